"""What this process sets up around Ray while it uses it: environment variables, folders, signals, standard error."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

#: Environment variables that hold a list of paths, and those that hold one path. A relative path in them would mean
#: another place on a worker, whose working directory is not ours.
_PATH_LISTS, _PATHS = ("PYTHONPATH",), ("RMTSIM_CACHE",)


@contextmanager
def environment(variables: Mapping[str, str], *, closed: bool = False) -> Iterator[ModuleType]:
    """Set environment variables for Ray and yield the module ``ray``; restore the whole environment at the end.

    Parameters
    ----------
    variables
        The variables to set.
    closed
        Whether to hide all variables ``RAY_…`` of the user from Ray. They may name hooks that pack a folder or run
        code, or other ports, files and limits. Ray's C++ code is then made to read the restored variables only if it
        can, because a value that it cannot read ends the process.
    """
    before = dict(os.environ)
    if closed:
        for name in [name for name in before if name.startswith("RAY_")]:
            del os.environ[name]
    os.environ.update(variables)
    try:
        import ray  # here, because the import takes a second and few commands need it

        _reread()
        yield ray
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        _reread(config=not (closed and malformed_settings()))


def malformed_settings() -> list[str]:
    """Return the names of the environment variables whose values Ray's C++ code cannot read.

    That code ends the process when it meets such a value, and raises no error that could be caught. So a process of
    its own tries all its variables, which are those with names in lower case. If that process ends, further processes
    try them one by one.
    """
    suspects = {name for name in os.environ if re.match("RAY_[a-z]", name)}

    def end(names: set[str]) -> bool:
        variables = {name: value for name, value in os.environ.items() if name not in suspects - names}
        line = [sys.executable, "-P", "-c", "import ray; ray._raylet.Config.initialize('')"]
        return subprocess.run(line, env=variables, capture_output=True, check=False).returncode != 0

    return sorted(name for name in suspects if end({name})) if suspects and end(suspects) else []


def _reread(*, config: bool = True) -> None:
    """Make Ray read its environment variables again.

    By itself Ray reads them once: some when it is imported, others when it first connects. With ``config`` its C++ code
    reads them again, too.
    """
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
    """Return the module of Ray's C++ code. It is imported by name because its type stubs lack what is used here."""
    return import_module("ray._raylet")


def absolute_paths() -> dict[str, str]:
    """Return the environment variables that hold paths, with every path made absolute, for workers elsewhere.

    An empty entry of PYTHONPATH means the current folder. It is left out: workers would import a user's ``numpy.py``
    from there. The current folder stays where the user has named it.
    """
    lists = {name: os.environ.get(name, "").split(os.pathsep) for name in _PATH_LISTS}
    root = Path(__file__).absolute().parents[2]
    if not {"site-packages", "dist-packages"} & {*root.parts}:  # a checkout: workers have no other way to find it
        lists["PYTHONPATH"].append(str(root))
    found = {name: os.pathsep.join(os.path.abspath(path) for path in paths if path) for name, paths in lists.items()}
    found |= {name: os.path.abspath(os.environ[name]) for name in _PATHS if os.environ.get(name)}
    return {name: value for name, value in found.items() if value}


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a new folder that only this user may enter; remove it at the end.

    It stands in ``/tmp`` where the usual folder for such files has a long name: the path of a socket may have 107
    bytes at most, and the names that Ray gives its own folders and sockets take 80 of them.
    """
    base = None if len(os.fsencode(tempfile.gettempdir())) < 23 else "/tmp"
    with tempfile.TemporaryDirectory(prefix="ray", dir=base, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def nothing_that_watches() -> Iterator[None]:
    """Have Ray start no dashboard, no reader of its logs and no autoscaler, and agents without a dashboard's services.

    Each is a Python that takes half a second or more of a core to start, half of what Ray takes in all, and opens
    ports; none of them is used here. Ray itself does without the services where ``ray[default]`` is not installed.
    """
    node, utils = import_module("ray._private.node").Node, import_module("ray._private.utils")
    with ExitStack() as patches:
        for start in ("start_api_server", "start_log_monitor", "start_monitor"):
            patches.enter_context(patch.object(node, start, lambda *_, **__: None))
        patches.enter_context(patch.object(utils, "get_dashboard_dependency_error", lambda: ImportError("left out")))
        yield


@contextmanager
def own_signals() -> Iterator[None]:
    """Restore the handler of SIGTERM at the end. When Ray connects it sets one that ends the process."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is not before:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def silent(log: str = os.devnull) -> Iterator[None]:
    """Keep Ray's own messages off the terminal while it is in use.

    Ray prints a message on stdout when a worker or a node dies, whatever ``log_to_driver`` says; these are switched
    off. Its C++ code writes messages to file descriptor 2; these go to the file ``log``. Where Python's standard error
    is descriptor 2, too, the latter are left alone, for our own messages would vanish with them. The command line
    writes its messages to another descriptor.
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
    """Discard what Ray's C++ code prints during a short call."""
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
