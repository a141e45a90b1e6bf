"""Names of specs and figures, and keys of specs, in help texts: looked up when a help text is printed, not before.

A help text has a placeholder where they belong.
"""

from __future__ import annotations

SWEEPS = "<sweeps>"
TRAININGS = "<trainings>"
FIGURES_OF_TABLES = "<figures of tables>"
GROUPS = "<figures>"
KEYS = "<keys of specs>"


def with_names(text: str) -> str:
    """Return a help text with names and keys in place of its placeholders."""
    if SWEEPS in text or TRAININGS in text:
        from rmtsim.sweeps.spec import builtin_specs
        from rmtsim.sweeps.training_spec import builtin_trainings

        text = text.replace(SWEEPS, ", ".join(builtin_specs())).replace(TRAININGS, ", ".join(builtin_trainings()))
    if FIGURES_OF_TABLES in text or GROUPS in text:
        from rmtsim.figures import all_figures

        figures = all_figures().values()
        tables = [figure.name for figure in figures if not figure.specs and not figure.data]
        groups = dict.fromkeys(figure.group or figure.name for figure in figures)
        text = text.replace(FIGURES_OF_TABLES, ", ".join(tables)).replace(GROUPS, ", ".join(groups))
    if KEYS in text:
        from rmtsim.sweeps.spec_reference import short_help

        text = text.replace(KEYS, short_help())
    return text
