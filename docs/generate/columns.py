"""The columns of the store, from their declaration."""

from __future__ import annotations

from docs.generate.markdown import table
from rmtsim.full_hessian import description
from rmtsim.sampling.schema import MEANINGS, SCHEMA


def of_draws() -> str:
    """Return the table of the columns of draws."""
    rows = ([f"`{one.name}`", str(one.type).replace("double", "float64"), MEANINGS[one.name]] for one in SCHEMA)
    return table(["column", "type", "meaning"], rows)


def of_tables() -> str:
    """Return the table of the quantities of a Hessian, which the module that writes them has in its docstring."""
    return "\n".join(line for line in str(description.__doc__).splitlines() if line.startswith("|")).replace("``", "`")
