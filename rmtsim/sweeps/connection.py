"""The connection to Ray: one of our own on this machine, closed to all others, or a cluster that runs already."""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import Any

from rmtsim.arrays.threads import cores
from rmtsim.errors import InputError, RunError
from rmtsim.sweeps.first_worker import check_worker
from rmtsim.sweeps.ray_settings import (
    absolute_paths,
    environment,
    malformed_settings,
    no_stderr,
    own_signals,
    private_folder,
    raylet,
    silent,
)

#: The address that means a Ray of our own, on this machine, for as long as the run takes.
OWN_RAY = "ray"

#: Ray's switch for "this machine alone", on every system: it listens on 127.0.0.1, and takes that for an address.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

#: Long enough for a network, short for a person who mistyped an address.
_TIMEOUT = 5.0

#: Seconds for each of the tries to reach a head that was there before.
_PATIENCE = (2.0, 4.0, 4.0)

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
    with _own(workers or cores()) if address == OWN_RAY else _foreign(address) as ray:
        try:
            yield ray
        except (ConnectionError, ray.exceptions.RayError) as error:
            raise _broken(address, _line(error)) from error


def check_head() -> None:
    """Raise RunError if the head of the cluster does not take connections: Ray itself would end us after a minute."""
    node = import_module("ray._private.worker")._global_node
    if node is None:  # a client, whose calls fail with the server
        return
    host, _, port = node.gcs_address.rpartition(":")
    for patience in _PATIENCE:
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=patience):
            return
        time.sleep(patience / 4)
    raise _broken(node.gcs_address, "the head of the cluster does not answer")


def _broken(address: str, why: str) -> RunError:
    return RunError(
        f"ray: the connection to {address} broke ({why}); what was committed is safe, the same command goes on where a "
        "cluster answers"
    )


@contextmanager
def _own(cpus: int) -> Iterator[ModuleType]:
    """Start a Ray that no one else can use, and shut it down at the end."""
    closed = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # would pack up the folder of who says `uv run`
        "AUTOSCALER_METRIC_PORT": "-1",  # asks for no token and has no switch: a port that cannot be had
        "DASHBOARD_METRIC_PORT": "-1",
        **_LOOPBACK,
    }
    # Ray opens its own folder to all users of the machine, sockets included: it stands in one that is ours alone.
    with (
        private_folder() as folder,
        environment(closed | absolute_paths(), closed=True) as ray,
        silent(str(folder / "driver.err")),
    ):
        try:
            with chdir(folder), own_signals():  # Ray has workers import from the folder that it is started in
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="ERROR",
                    _temp_dir=str(folder / "r"),
                    _system_config={
                        "enable_metrics_collection": False,  # nor does its port ask
                        "prestart_worker_first_driver": False,  # else it waits, deaf to signals, for workers to start
                    },
                )
        except (RuntimeError, OSError, ValueError) as error:
            ray.shutdown()
            raise RunError(f"ray: it does not start on this machine ({_line(error)})") from None
        try:
            check_worker(ray)
            yield ray
        finally:
            ray.shutdown(wait_for_processes=True)


@contextmanager
def _foreign(address: str) -> Iterator[ModuleType]:
    """Join a running cluster."""
    if wrong := malformed_settings():
        raise InputError(f"environment: Ray cannot read the value of {', '.join(wrong)}; correct it, or unset it")
    with environment({}):
        found = _found(address)
    _check_listens(address, found)
    # Without the switch, Ray would take the address of another interface in the place of 127.0.0.1.
    switch = _LOOPBACK if re.match(r"(localhost|127\.0\.0\.1|\[::1\]):", found) else {}
    with (
        environment({}),
        private_folder() as folder,
        environment({"RAY_AUTH_MODE": _auth_mode(address, found), **switch}) as ray,
        silent(),
    ):
        try:
            with chdir(folder), own_signals():
                _join(ray, found)
        except (ConnectionError, ValueError, RuntimeError, OSError, ImportError) as error:
            ray.shutdown()
            raise _no_ray(address, _line(error)) from None
        try:
            yield ray
        finally:
            ray.shutdown()


def _join(ray: ModuleType, found: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
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

    Ray would ask 20 times, and print the answers. The first question goes without a token, which is so not shown
    to a cluster that does not ask for it; nor may a GcsClient ask with a token that is not there: it aborts.
    """
    from ray.exceptions import AuthenticationError

    token = raylet().AuthenticationTokenLoader.instance()
    ask = _ask_client_server if found.startswith("ray://") else _ask_head
    given = os.environ.get("RAY_AUTH_MODE")
    for mode in [given] if given else ["disabled", "token"]:
        with environment({"RAY_AUTH_MODE": mode}), suppress(AuthenticationError):
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
        with no_stderr():
            head = raylet().GcsClient(address=found)
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
