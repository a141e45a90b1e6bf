"""The reference of specs, from their declarations, and the specs that come with rmtsim."""

from __future__ import annotations

from docs.generate.markdown import table
from rmtsim.sweeps.declaration import Key, keys_of
from rmtsim.sweeps.documents import builtin
from rmtsim.sweeps.spec import Spec, builtin_specs, load
from rmtsim.sweeps.training_spec import TrainingSpec, builtin_trainings


def keys_of_sweeps() -> str:
    """Return a table for each table of a spec of a sweep."""
    return _tables(keys_of(Spec))


def keys_of_trainings() -> str:
    """Return a table for each table of a spec of training runs."""
    return _tables(keys_of(TrainingSpec))


def built_in_sweeps() -> str:
    """Return a table of the sweeps that come with rmtsim."""
    rows = ([_linked(name), *_numbers(load(name)), _about(name)] for name in builtin_specs())
    return table(["name", "model", "loss", "points", "C", "what it is for"], rows)


def built_in_trainings() -> str:
    """Return a table of the training runs that come with rmtsim."""
    return table(["name", "what it is for"], ([_linked(name), _about(name)] for name in builtin_trainings()))


def _numbers(spec: Spec) -> list[str]:
    least, most = min(spec.n_classes), max(spec.n_classes)
    classes = f"{least}" if least == most else f"{least} to {most}"
    return [f"`{spec.model}`", f"`{spec.loss}`", f"{len(spec.points())}", classes]


def _linked(name: str) -> str:
    return f"[`{name}`](../../sweeps/{name}.toml)"


def _about(name: str) -> str:
    """Return what the comment at the top of a built-in document says."""
    lines = [line for line in builtin()[name].splitlines() if line]
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment)


def _tables(keys: list[Key]) -> str:
    """Return a table for each table of a document, those above all tables first."""
    parts = []
    for name in dict.fromkeys(key.table for key in keys):
        parts += [f"### `[{name}]`"] if name else []
        rows = (_row(key) for key in keys if key.table == name)
        parts.append(table(["key", "values", "default", "meaning"], rows))
    return "\n\n".join(parts)


def _row(key: Key) -> list[str]:
    default = "*must be given*" if key.required else f"`{key.default}`" if _is_value(key.default) else key.default
    return [f"`{key.name}`", key.values, default, key.meaning]


def _is_value(default: str) -> bool:
    """Whether a default is one value, and not a description of several."""
    return " or " not in default and default[:1] in '"[0123456789tf'
