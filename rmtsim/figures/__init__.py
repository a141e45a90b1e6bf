"""Figures: what a figure is, the registry of all, drawing, costs, and the gallery.

A figure is one class derived from `Figure`; `register` adds it to those that the command line lists and makes.
"""

from rmtsim.figures.figure import Figure
from rmtsim.figures.registry import all_figures, get_figure, register

__all__ = ["Figure", "all_figures", "get_figure", "register"]
