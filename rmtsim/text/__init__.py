"""Words: what is printed, read and said, and what must not be."""
