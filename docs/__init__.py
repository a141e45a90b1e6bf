"""The pages of the documentation, the settings of their site, and what generates parts of them."""
