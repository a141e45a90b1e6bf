"""The pages that are made of stored results: README's table, and pages of docs/results."""
