"""The extras of the package: that of the tests has all that they import, so that `pytest` runs after `pip install`."""

from __future__ import annotations

import ast
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

#: What `pytest` imports: the tests, and what they stand on.
FOLDERS = ("tests", "docs", "harness", "benchmarks", "rmtsim")


def project() -> dict[str, list[str]]:
    """Return the requirements of the project by extra; those that all have under ""."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {"": table["dependencies"], **table["optional-dependencies"]}


def installed_with(extra: str, own: dict[str, list[str]]) -> set[str]:
    """Return the names of all distributions that an extra of the project installs."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    open_ = [("rmtsim", ""), ("rmtsim", extra)]
    while open_:
        name, of = open_.pop()
        if (name, of) in seen:
            continue
        seen.add((name, of))
        found.add(name)
        if name == "rmtsim":
            needed = own[of]
        else:
            try:
                needed = requires(name) or []
            except PackageNotFoundError:
                continue  # for another system
        for text in needed:
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"extra": of}):
                open_ += [(canonicalize_name(one.name), part) for part in ("", *one.extras)]
    return found


@cache
def imported() -> frozenset[str]:
    """Return the packages that files import as they are loaded, not within functions."""
    found: set[str] = set()
    for file in (file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))):
        for node in ast.parse(file.read_text("utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found |= {name.partition(".")[0] for name in names}
    return frozenset(found - {*FOLDERS} - sys.stdlib_module_names)


def lacking(own: dict[str, list[str]]) -> set[str]:
    """Return the packages that are imported, and that the extra of the tests does not install."""
    there, providers = installed_with("test", own), packages_distributions()
    return {
        name
        for name in imported()
        if not {canonicalize_name(distribution) for distribution in providers.get(name, [])} & there
    }


#: Packages of modules that are loaded only where these are there.
OPTIONAL = {"cupy", "cupyx"}


def test_the_extra_of_the_tests_has_what_they_import() -> None:
    assert lacking(project()) - OPTIONAL == set()


@pytest.mark.parametrize(
    ("requirement", "missed"),
    [("rmtsim[docs]", {"numpydoc", "sphinx"}), ("duckdb", {"duckdb"}), ("hypothesis", {"hypothesis"})],
)
def test_the_check_notices_what_is_not_there(requirement: str, missed: set[str]) -> None:
    """A negative control."""
    own = project()
    own["test"] = [text for text in own["test"] if not text.startswith(requirement)]
    assert missed <= lacking(own)
