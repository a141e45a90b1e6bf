"""Figures: the registry, drawing, and the gallery."""
