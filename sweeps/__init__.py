"""Sweep specs and the runner that takes them from one laptop to a Ray cluster."""
