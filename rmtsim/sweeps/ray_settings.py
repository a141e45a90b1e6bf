"""The surroundings of Ray while it is in use: environment variables, folders, paths and standard error."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

#: Variables with lists of paths, and with a path, which mean something else in another working directory.
_PATH_LISTS, _PATHS = ("PYTHONPATH",), ("RMTSIM_CACHE",)


@contextmanager
def environment(variables: Mapping[str, str], *, closed: bool = False) -> Iterator[ModuleType]:
    """Set environment variables for Ray, and put all back as they were; yield the module ``ray``.

    With ``closed``, Ray sees no other variables of its own than these: a user's may name hooks that pack up a folder
    or run code, or other ports, files and limits. Ray's C++ part then does not read again at the end what would end
    this process.
    """
    before = dict(os.environ)
    if closed:
        for name in [name for name in before if name.startswith("RAY_")]:
            del os.environ[name]
    os.environ.update(variables)
    try:
        import ray  # takes a second, and is only needed here

        _reread()
        yield ray
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        _reread(config=not (closed and malformed_settings()))


def malformed_settings() -> list[str]:
    """Return the variables with whose values Ray's C++ part ends the process that reads them, with no error to catch.

    Those of that part have names in lower case. Each is tried in a process of its own, if all together end one.
    """
    suspects = {name for name in os.environ if re.match("RAY_[a-z]", name)}

    def end(names: set[str]) -> bool:
        variables = {name: value for name, value in os.environ.items() if name not in suspects - names}
        line = [sys.executable, "-P", "-c", "import ray; ray._raylet.Config.initialize('')"]
        return subprocess.run(line, env=variables, capture_output=True, check=False).returncode != 0

    return sorted(name for name in suspects if end({name})) if suspects and end(suspects) else []


def _reread(*, config: bool = True) -> None:
    """Have Ray read again what it reads when it is imported, or when it first connects; ``config``: in C++, too."""
    from ray._private import ray_constants

    switch = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    ray_constants.ENABLE_RAY_CLUSTER = ray_constants.env_bool(switch, not ray_constants.IS_WINDOWS_OR_OSX)
    uv = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"
    if hasattr(ray_constants, uv):
        setattr(ray_constants, uv, ray_constants.env_bool(uv, True))
    if config:
        raylet().Config.initialize("")
    raylet().AuthenticationTokenLoader.instance().reset_cache()


def raylet() -> ModuleType:
    """Return Ray's C++ part, whose type stubs leave out what we need of it."""
    return import_module("ray._raylet")


def absolute_paths() -> dict[str, str]:
    """Return the variables of paths as they are to be in another working directory, this one only where it is named.

    An empty entry of PYTHONPATH means the working directory; workers would import a user's ``numpy.py`` from there.
    """
    lists = {name: os.environ.get(name, "").split(os.pathsep) for name in _PATH_LISTS}
    root = Path(__file__).absolute().parents[2]
    if not {"site-packages", "dist-packages"} & {*root.parts}:  # a checkout, which workers find by this alone
        lists["PYTHONPATH"].append(str(root))
    found = {name: os.pathsep.join(os.path.abspath(path) for path in paths if path) for name, paths in lists.items()}
    found |= {name: os.path.abspath(os.environ[name]) for name in _PATHS if os.environ.get(name)}
    return {name: value for name, value in found.items() if value}


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a folder that only its owner may enter, to be removed at the end.

    Paths of Ray's sockets may have 107 bytes, and Ray's own names take 80 of them.
    """
    base = None if len(os.fsencode(tempfile.gettempdir())) < 23 else "/tmp"
    with tempfile.TemporaryDirectory(prefix="ray", dir=base, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def own_signals() -> Iterator[None]:
    """Put back the handler of SIGTERM, which Ray replaces when it connects by one that ends the process."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is not before:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def silent(log: str = os.devnull) -> Iterator[None]:
    """Send what Ray prints of workers and nodes that die, and what its C++ code writes to descriptor 2, to a file.

    The first goes to stdout, whatever ``log_to_driver`` says. The second is left alone where our own words go to
    descriptor 2, too; those of the command line have another.
    """
    worker: Any = import_module("ray._private.worker")
    before, worker._worker_logs_enabled = worker._worker_logs_enabled, False
    try:
        with _descriptor_2(log) if _stderr_is_elsewhere() else nullcontext():
            yield
    finally:
        worker._worker_logs_enabled = before


@contextmanager
def no_stderr() -> Iterator[None]:
    """Send what Ray's C++ code prints nowhere, for the milliseconds of a call."""
    with _descriptor_2(os.devnull):
        yield


def _stderr_is_elsewhere() -> bool:
    try:
        return sys.stderr.fileno() != 2
    except (OSError, ValueError, AttributeError):  # as in a notebook
        return False


@contextmanager
def _descriptor_2(path: str) -> Iterator[None]:
    kept, other = os.dup(2), os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(other, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(other)
