"""The connection to Ray: one of our own on this machine, closed to all others, or a cluster that runs already."""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import Any

from rmtsim.arrays.threads import cores
from rmtsim.errors import InputError, RunError

#: The address that means a Ray of our own, on this machine, for as long as the run takes.
OWN_RAY = "ray"

#: Ray's switch for "this machine alone", on every system: it listens on 127.0.0.1, and takes that for an address.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

#: Long enough for a network, short for a person who mistyped an address.
_TIMEOUT = 5.0

#: What HTTP/2, and so gRPC, opens with: its preface and an empty SETTINGS frame. The answer is a SETTINGS frame.
_HTTP2_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@contextmanager
def connected(address: str, workers: int | None = None) -> Iterator[ModuleType]:
    """Connect to Ray; yield the module ``ray``. What was started here is shut down at the end, and only that.

    Parameters
    ----------
    address
        ``ray``: a Ray of our own on this machine. It listens on the loopback interface only, wants a token that no
        one else has, sends no usage statistics, and its files go with it. ``auto``, ``HOST:6379``,
        ``ray://HOST:10001``: a running cluster, with the token of RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or
        ~/.ray/auth_token if it wants one.
    workers
        CPUs of a Ray of our own; by default the cores that this process may use.

    Raises
    ------
    InputError
        If no Ray answers there, or one of another version, or one that wants another token.
    """
    before = signal.getsignal(signal.SIGTERM)  # Ray puts its own handler in its place
    try:
        with _environment({}), _own(workers or cores()) if address == OWN_RAY else _foreign(address) as ray:
            yield ray
    finally:
        if signal.getsignal(signal.SIGTERM) is not before:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _own(cpus: int) -> Iterator[ModuleType]:
    """Start a Ray that no one else can use, and shut it down at the end."""
    closed = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "AUTOSCALER_METRIC_PORT": "-1",  # asks for no token and has no switch: a port that cannot be had
        "DASHBOARD_METRIC_PORT": "-1",
        **_LOOPBACK,
    }
    with (
        tempfile.TemporaryDirectory(prefix="ray", dir=_short_directory(), ignore_cleanup_errors=True) as folder,
        _environment(closed) as ray,
        _silent(),
    ):
        try:
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                _temp_dir=folder,
                _system_config={"enable_metrics_collection": False},  # nor does its port ask
            )
        except (RuntimeError, OSError, ValueError) as error:
            ray.shutdown()
            raise RunError(f"ray: it does not start on this machine ({_line(error)})") from None
        try:
            yield ray
        finally:
            ray.shutdown(wait_for_processes=True)


@contextmanager
def _foreign(address: str) -> Iterator[ModuleType]:
    """Join a running cluster."""
    found = _found(address)
    _check_listens(address, found)
    # Without the switch, Ray would take the address of another interface in the place of 127.0.0.1.
    switch = _LOOPBACK if re.match(r"(localhost|127\.0\.0\.1|\[::1\]):", found) else {}
    with _environment({"RAY_AUTH_MODE": _auth_mode(address, found), **switch}) as ray, _silent():
        try:
            _join(ray, found)
        except (ConnectionError, ValueError, RuntimeError, OSError, ImportError) as error:
            ray.shutdown()
            raise _no_ray(address, _line(error)) from None
        try:
            yield ray
        finally:
            ray.shutdown()


def _join(ray: ModuleType, found: str) -> None:
    options = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(found, **options)
    except ConnectionError as error:
        if "Initialization failure from server" not in str(error):
            raise
        ray.shutdown()
        # The server that ray:// starts for each client lost its port to another, or its start: a second has its own.
        ray.init(found, **options)


def _found(address: str) -> str:
    """Return the address of the cluster that ``auto`` means: RAY_ADDRESS, or what runs on this machine."""
    if address != "auto":
        return address
    from ray._private.services import get_ray_address_from_environment

    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        found: str | None = get_ray_address_from_environment("auto", None)
    except ConnectionError:
        found = None
    if found in (None, "auto"):
        raise _no_ray(address, "there is no cluster on this machine")
    return str(found)


def _check_listens(address: str, found: str) -> None:
    """Raise InputError unless gRPC answers there: Ray itself would try for up to a minute."""
    match = re.fullmatch(r"(?:ray://)?([^:/]+|\[[0-9a-fA-F:]+\]):(\d{1,5})", found)
    if match is None or int(match[2]) > 65535:
        raise _no_ray(address, "no address" if address == found else f"it stands for {found}, which is no address")
    try:
        with socket.create_connection((match[1].strip("[]"), int(match[2])), timeout=_TIMEOUT) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return  # there are no frames before the handshake
            connection.settimeout(_TIMEOUT)
            connection.sendall(_HTTP2_OPENING)
            if connection.recv(4)[3:] != b"\x04":
                raise _no_ray(address, "something else does")
    except OSError as error:
        raise _no_ray(address, error.strerror or str(error)) from None


def _auth_mode(address: str, found: str) -> str:
    """Return the RAY_AUTH_MODE with which the cluster lets us in: the user's, or the one it asks for.

    Ray would ask 20 times, and print what it was told. The first question goes without a token, which is so not shown
    to a cluster that does not ask for it; nor may a GcsClient ask with a token that is not there: it aborts.
    """
    from ray.exceptions import AuthenticationError

    token = _raylet().AuthenticationTokenLoader.instance()
    ask = _ask_client_server if found.startswith("ray://") else _ask_head
    given = os.environ.get("RAY_AUTH_MODE")
    for mode in [given] if given else ["disabled", "token"]:
        with _environment({"RAY_AUTH_MODE": mode}), suppress(AuthenticationError):
            if mode != "token" or token.has_token(ignore_auth_mode=True):
                ask(address, found)
                return mode
    raise InputError(
        f"address: the Ray at {address!r} wants a token that is not ours; put its token into RAY_AUTH_TOKEN, or into "
        "~/.ray/auth_token, and leave RAY_AUTH_MODE unset or token"
    )


def _ask_head(address: str, found: str) -> None:
    """Ask the head at HOST:6379 what is asked first; raise InputError if it is none, or no node of its is here."""
    from ray._private.services import get_node_to_connect_for_driver
    from ray.exceptions import AuthenticationError, RayError

    try:
        with _no_stderr():
            head = _raylet().GcsClient(address=found)
    except AuthenticationError:
        raise
    except RayError as error:
        raise _no_ray(address, _line(error)) from None
    try:
        get_node_to_connect_for_driver(head, timeout_seconds=_TIMEOUT)
    except RuntimeError:
        raise InputError(
            f"address: this machine is no node of the cluster at {address!r}; run on one of its nodes, as `ray job "
            "submit` does, or give ray://HOST:10001"
        ) from None


def _ask_client_server(address: str, found: str) -> None:
    """Ping the server at ray://HOST:10001; raise InputError if there is none."""
    try:
        grpc = import_module("grpc")
        from ray._private.grpc_utils import init_grpc_channel
        from ray.core.generated.ray_client_pb2 import ClusterInfoRequest, ClusterInfoType
        from ray.core.generated.ray_client_pb2_grpc import RayletDriverStub
    except ImportError:
        raise _no_ray(address, "ray:// needs the packages of ray[default]") from None
    from ray.exceptions import AuthenticationError

    with init_grpc_channel(found.removeprefix("ray://")) as channel:
        try:
            RayletDriverStub(channel).ClusterInfo(ClusterInfoRequest(type=ClusterInfoType.PING), timeout=_TIMEOUT)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise AuthenticationError(error.details()) from None
            raise _no_ray(address, error.details() or error.code().name.lower()) from None


def _no_ray(address: str, reason: str) -> InputError:
    return InputError(
        f"address: no Ray answers at {address!r} ({reason}); give local, ray, or a running cluster's address "
        "such as auto, HOST:6379 or ray://HOST:10001"
    )


def _line(error: BaseException) -> str:
    """Return what Ray says in several lines as one."""
    return " ".join(str(error).split()) or type(error).__name__


def _short_directory() -> str | None:
    """Return where Ray's sockets go: their paths may have 107 bytes, and Ray's own names take 80 of them."""
    return None if len(os.fsencode(tempfile.gettempdir())) < 25 else "/tmp"


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[ModuleType]:
    """Set environment variables for Ray, and put all back as they were; yield the module ``ray``."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        import ray  # takes a second, and is only needed here

        _reread_environment()
        yield ray
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        _reread_environment()


def _reread_environment() -> None:
    """Have Ray read again what it reads when it is imported, or when it first connects."""
    from ray._private import ray_constants

    switch = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    ray_constants.ENABLE_RAY_CLUSTER = ray_constants.env_bool(switch, not ray_constants.IS_WINDOWS_OR_OSX)
    _raylet().Config.initialize("")
    _raylet().AuthenticationTokenLoader.instance().reset_cache()


def _raylet() -> ModuleType:
    """Return Ray's C++ part, whose type stubs leave out what we need of it."""
    return import_module("ray._raylet")


@contextmanager
def _silent() -> Iterator[None]:
    """Have Ray not print of workers and nodes that die: that goes to stdout, whatever ``log_to_driver`` says."""
    worker: Any = import_module("ray._private.worker")
    before, worker._worker_logs_enabled = worker._worker_logs_enabled, False
    try:
        yield
    finally:
        worker._worker_logs_enabled = before


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Send what Ray's C++ code prints nowhere, for the milliseconds of a call."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
