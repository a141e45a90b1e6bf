"""The reference of the public Python names, from their signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from numpydoc.docscrape import NumpyDocString, Parameter

from docs.generate.markdown import code, table

#: The public names under the headings of the reference, each of a class with the members that are public.
PUBLIC: dict[str, dict[str, tuple[str, ...]]] = {
    "What is simulated": {
        "rmtsim.Point": ("aspect_ratio", "id", "layers", "block_shape"),
        "rmtsim.Ensemble": ("hidden_variance", "last_variance"),
    },
    "One point": {"rmtsim.simulate": (), "rmtsim.predict": (), "rmtsim.summarize": ()},
    "A sweep": {
        "rmtsim.run": (),
        "rmtsim.Spec": ("points", "document"),
        "rmtsim.Outcome": ("limited", "heavy", "unfinished", "document"),
        "rmtsim.Progress": ("per_second", "document"),
        "rmtsim.open_store": (),
        "rmtsim.Store": ("draws", "read", "specs", "exists"),
        "rmtsim.fit": (),
        "rmtsim.Fit": ("points", "text", "document"),
    },
    "Arrays of your own": {
        "rmtsim.block_norms": (),
        "rmtsim.BlockNorms": ("ratio",),
        "rmtsim.layer_norms": (),
        "rmtsim.LayerNorms": (),
        "rmtsim.hessian": (),
    },
    "A trained network": {"rmtsim.measure": (), "rmtsim.Measurement": ("nulls", "text", "document")},
    "Plots": {
        "rmtsim.plot.decay": (),
        "rmtsim.plot.columns": (),
        "rmtsim.plot.head": (),
        "rmtsim.plot.head_classes": (),
        "rmtsim.plot.head_blocks": (),
    },
    "A report": {"rmtsim.report": ()},
    "Figures of your own": {
        "rmtsim.figures.Figure": ("numbers", "plot", "select", "tables", "text", "headline"),
        "rmtsim.figures.register": (),
    },
    "Losses and activations of your own": {
        "rmtsim.model.loss.Loss": ("value_and_residuals", "curvature"),
        "rmtsim.model.loss.register_loss": (),
        "rmtsim.model.activation.Activation": ("value", "slope", "bend"),
        "rmtsim.model.activation.register_activation": (),
    },
    "Errors": {"rmtsim.InputError": (), "rmtsim.RunError": ()},
}


#: Modules that `import rmtsim` does not bring, and whose names are public.
MODULES = ("rmtsim.figures", "rmtsim.model.activation", "rmtsim.model.loss")


#: Classes whose objects are returned, or derived from, and not made by users.
RETURNED = (
    "rmtsim.Outcome",
    "rmtsim.Progress",
    "rmtsim.Fit",
    "rmtsim.BlockNorms",
    "rmtsim.LayerNorms",
    "rmtsim.Measurement",
    "rmtsim.figures.Figure",
    "rmtsim.model.loss.Loss",
    "rmtsim.model.activation.Activation",
)


def public_names() -> Iterator[str]:
    """Yield every public name, and every public member of a class, in full."""
    for names in PUBLIC.values():
        for name, members in names.items():
            yield name
            yield from (f"{name}.{member}" for member in members)


def listing() -> str:
    """Return the table of the public names with their summaries."""
    names = [name for names in PUBLIC.values() for name in names]
    rows = ([f"[`{name}`](#{_anchor(name)})", _inline(_parsed(find(name))["Summary"])] for name in names)
    return table(["name", "what it is"], rows)


def reference() -> str:
    """Return a section for each public name."""
    parts = []
    for heading, names in PUBLIC.items():
        parts.append(f"## {heading}")
        for name, members in names.items():
            parts += _section(name)
            parts += ["**Members**", "\n".join(_member(name, member) for member in members)] if members else []
    return "\n\n".join(parts)


def find(name: str) -> Any:
    """Return what a full name stands for, a member of a class as it stands in the class."""
    package, *names = name.split(".")
    for module in MODULES:
        import_module(module)
    found = import_module(package)
    for one in names:
        found = inspect.getattr_static(found, one) if isinstance(found, type) else getattr(found, one)
    return found


def _section(name: str) -> list[str]:
    found = find(name)
    doc = _parsed(found)
    parts = [f"### {name}", code(_signature(name, found), "python")]
    parts += [_inline(doc["Summary"]), *_paragraphs(doc["Extended Summary"])]
    for title in ("Parameters", "Attributes", "Returns", "Raises"):
        if doc[title]:
            parts += [f"**{title}**", "\n".join(_item(one, title) for one in doc[title])]
    parts += ["**Notes**", *_paragraphs(doc["Notes"])] if doc["Notes"] else []
    parts += ["**Examples**", *_examples(doc["Examples"])] if doc["Examples"] else []
    return parts


def _member(name: str, member: str) -> str:
    found = find(f"{name}.{member}")
    owner = name.rpartition(".")[2]
    function = found.fget if isinstance(found, property) else getattr(found, "func", found)
    called = function is found and not isinstance(found, property)
    shown = f"{owner}.{member}" + (f"({_names(function)})" if called else "")
    doc = _parsed(function)
    lines = [f"- `{shown}`: {_inline(doc['Summary'])}"]
    for title, said in (("Parameters", ""), ("Returns", "returns "), ("Raises", "raises ")):
        lines += [_item(one, title, said) for one in doc[title]]
    return "\n".join(lines).replace("\n", "\n  ")


def _signature(name: str, found: Any) -> str:
    """Return the line that calls a function or makes an object; the name alone of what users do not make."""
    if name in RETURNED or (isinstance(found, type) and issubclass(found, Exception)):
        return name
    signature = inspect.signature(found)
    given = []
    for one in signature.parameters.values():
        if one.name == "self":
            continue
        if one.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in given:
            given.append("*")
        given.append(_argument(one))
    returned = str(signature.return_annotation)
    arrow = "" if signature.return_annotation in (inspect.Signature.empty, None, "None") else f" -> {returned}"
    line = f"{name}({', '.join(given)}){arrow}"
    return line if len(line) <= 100 else "\n".join([f"{name}(", *(f"    {one}," for one in given), f"){arrow}"])


def _names(function: Any) -> str:
    """Return the names of a method's parameters."""
    given = inspect.signature(function).parameters.values()
    return ", ".join(str(one).partition(":")[0] for one in given if one.name != "self")


def _argument(one: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(one.kind, "")
    kind = "" if one.annotation in (inspect.Parameter.empty, "Any") else f": {one.annotation}"
    if one.default is inspect.Parameter.empty:
        return f"{stars}{one.name}{kind}"
    plain = one.default is None or isinstance(one.default, bool | int | float | str | tuple)
    default = repr(one.default) if plain else f"{type(one.default).__name__}()"
    return f"{one.name}{kind}{' = ' if kind else '='}{default}"


def _item(one: Parameter, title: str, said: str = "") -> str:
    """Return a parameter, an attribute, a returned value or an error as an item of a list, after ``said``."""
    name = one.name if title in ("Parameters", "Attributes") else one.type
    name = name or one.name
    shown = ", ".join(f"`{part}`" for part in name.split(", "))
    described = "\n".join(_markdown(one.desc)).strip()
    return f"- {said}{shown}: {described}".replace("\n", "\n  ").replace("\n  \n", "\n\n")


def _paragraphs(lines: list[str]) -> list[str]:
    return ["\n".join(_markdown(lines))] if lines else []


def _examples(lines: list[str]) -> list[str]:
    """Return the paragraphs of examples, their sessions as code."""
    parts = []
    for paragraph in "\n".join(lines).strip().split("\n\n"):
        parts.append(code(paragraph, "pycon") if paragraph.startswith(">>>") else _inline(paragraph.splitlines()))
    return parts


def _parsed(found: Any) -> NumpyDocString:
    return NumpyDocString(inspect.getdoc(found) or "")


def _inline(lines: list[str]) -> str:
    return " ".join(line.strip() for line in _markdown(lines))


def _markdown(lines: list[str]) -> list[str]:
    """Return lines of a docstring in Markdown: code between single marks, and signs outside it as they are."""
    return [_outside_code(line.replace("``", "`")) for line in lines]


def _outside_code(line: str) -> str:
    parts = re.split(r"(`[^`]*`)", line)
    parts[::2] = [re.sub(r"(?<!\w)_|_(?!\w)|\*(?=\*)|(?<=\*)\*", r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def _anchor(name: str) -> str:
    return re.sub(r"[^\w\- ]", "", name.lower())
