"""Values of the theory that take seconds, kept on disk between runs.

A file for each value in ``$RMTSIM_CACHE``, by default ``rmtsim`` in the user's cache directory; ``RMTSIM_CACHE=``
(empty) keeps nothing. Its name is a hash of the question and of the source of the theory, so a changed formula never
meets values of the old one. Deleting the directory costs nothing but time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache, wraps
from hashlib import blake2b
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
T = TypeVar("T")


def kept_on_disk(record: Callable[..., T]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keep what a function of numbers returns, a dataclass ``record`` of floats and arrays, in memory and on disk."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        in_memory: dict[str, T] = {}

        @wraps(function)
        def remembering(*args: P.args, **kwargs: P.kwargs) -> T:
            question = f"{function.__module__}.{function.__qualname__}{args!r}{sorted(kwargs.items())!r}"
            if question not in in_memory:
                path = _path(question)
                found = _read(path)
                if found is None:
                    in_memory[question] = function(*args, **kwargs)
                    _write(path, in_memory[question])
                else:
                    in_memory[question] = record(**found)
            return in_memory[question]

        return remembering

    return decorate


def directory() -> Path | None:
    """Return the directory of the cache; None if nothing is to be kept."""
    chosen = os.environ.get("RMTSIM_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "rmtsim"


@lru_cache(maxsize=1)
def _edition() -> str:
    """Hash of the theory's source."""
    hashed = blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        hashed.update(path.read_bytes())
    return hashed.hexdigest()


def _path(question: str) -> Path | None:
    folder = directory()
    name = blake2b(f"{_edition()} {question}".encode(), digest_size=16).hexdigest()
    return None if folder is None else folder / f"{name}.json"


def _read(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        fields = json.loads(path.read_text())
    except (OSError, ValueError):  # not there, or torn
        return None
    return {name: np.array(v) if isinstance(v, list) else v for name, v in fields.items()}


def _write(path: Path | None, value: Any) -> None:
    if path is None:
        return
    fields = {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in asdict(value).items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(fields))
        temporary.replace(path)
    except OSError:  # a full or foreign disk: the value is right all the same
        with suppress(OSError):
            temporary.unlink()
