"""Draws of a point, and their rows."""
