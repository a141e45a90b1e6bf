"""The connection to Ray: one of our own on this machine, closed to all others, or a cluster that runs already."""

from __future__ import annotations

import os
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

from rmtsim.errors import InputError
from rmtsim.threads import cores

#: The address that means a Ray of our own, on this machine, for as long as the run takes.
OWN_RAY = "ray"


@contextmanager
def connected(address: str, workers: int | None = None) -> Iterator[ModuleType]:
    """Connect to Ray; yield the module ``ray``. What was started here is shut down at the end, and only that.

    Parameters
    ----------
    address
        ``ray``: a Ray of our own on this machine; ``auto``, ``HOST:6379`` or ``ray://HOST:10001``: a running cluster.
    workers
        CPUs of a Ray of our own; by default the cores that this process may use.

    Raises
    ------
    InputError
        If no Ray answers there, or one of another version, or one that wants another token.
    """
    with _own(workers or cores()) if address == OWN_RAY else _foreign(address) as ray:
        yield ray


@contextmanager
def _own(cpus: int) -> Iterator[ModuleType]:
    """Start a Ray that listens on the loopback interface only, wants a token that no one else has, and tells no one."""
    closed = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's switch for "this machine only", whatever the system
    }
    with (
        tempfile.TemporaryDirectory(prefix="ray", dir=_short_directory(), ignore_cleanup_errors=True) as folder,
        _environment(closed),
    ):
        import ray  # seconds to import, and only needed here

        _reread_environment()
        try:
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                _temp_dir=folder,
            )
            yield ray
        finally:
            ray.shutdown(wait_for_processes=True)


@contextmanager
def _foreign(address: str) -> Iterator[ModuleType]:
    """Join a running cluster, with the token that the user's environment or ~/.ray/auth_token holds, if any."""
    _check_address(address)
    import ray  # seconds to import, and only needed here

    _reread_environment()
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise _no_ray(address, " ".join(str(error).split()) or "no answer") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise InputError unless someone listens at ``address``: Ray itself would try for many minutes."""
    match = re.fullmatch(r"(?:ray://)?([^:/]+|\[[0-9a-fA-F:]+\]):(\d{1,5})", address)
    if address == "auto":
        return  # Ray looks for a cluster on this machine, and says at once if there is none
    if match is None:
        raise _no_ray(address, "no address")
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise _no_ray(address, getattr(error, "strerror", None) or str(error)) from None


def _no_ray(address: str, reason: str) -> InputError:
    return InputError(
        f"address: no Ray answers at {address!r} ({reason}); give local, ray, or a running cluster's address "
        "such as auto, HOST:6379 or ray://HOST:10001"
    )


def _short_directory() -> str | None:
    """Return where Ray's sockets go: their paths may have 107 bytes, and Ray's own names take 80 of them."""
    return None if len(os.fsencode(tempfile.gettempdir())) < 25 else "/tmp"


def _reread_environment() -> None:
    """Have Ray read again what it read when it was imported, or connected last."""
    from ray._private import ray_constants
    from ray._raylet import AuthenticationTokenLoader, Config

    switch = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    ray_constants.ENABLE_RAY_CLUSTER = ray_constants.env_bool(switch, not ray_constants.IS_WINDOWS_OR_OSX)
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and put them back as they were."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
