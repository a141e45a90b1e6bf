"""A linter of the docstrings of public names, by the rules of numpydoc.

``python -m docs.docstrings`` prints what is wrong, and ends with 1 if anything is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from numpydoc.validate import validate

from docs.generate.python_names import PUBLIC, RETURNED, public_names

#: What is not asked for: types, which stand in the annotations; a longer text, and other names to see.
IGNORED = {"PR04", "ES01", "SA01"}

#: What is not asked for of members: an example, which their class may have, and a section on what they return.
OF_MEMBERS = {"EX01", "RT01"}

#: What is not asked for of objects that are returned, which have attributes, and of Spec, which has the keys of specs.
OF_RETURNED = {"PR01"}


def faults(name: str) -> Iterator[str]:
    """Yield what is wrong with the docstring of a public name."""
    ignored = set(IGNORED)
    ignored |= OF_RETURNED if name in (*RETURNED, "rmtsim.Spec") else set()
    ignored |= set() if any(name in names for names in PUBLIC.values()) else OF_MEMBERS
    for code, message in validate(name)["errors"]:
        if code not in ignored:
            yield f"{name}: {code}: {message}"


if __name__ == "__main__":
    found = [fault for name in public_names() for fault in faults(name)]
    sys.exit("\n".join(found) or 0)
