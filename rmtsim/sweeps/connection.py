"""The connection to Ray: to one that is started here and closed to all others, or to a cluster that runs already."""

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
    nothing_that_watches,
    own_signals,
    private_folder,
    raylet,
    silent,
)
from rmtsim.text.words import abridge

_log = logging.getLogger(__name__)

#: The address that stands for a Ray which the run starts on this machine and stops at its end.
OWN_RAY = "ray"

#: An address of a cluster: of its head, or with ``ray://`` of its server for clients.
_HOST_AND_PORT = re.compile(r"(?:ray://)?([^:/]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")

#: The variable that keeps Ray to this machine, on every system in spite of its name: Ray then listens on 127.0.0.1
#: only, and accepts 127.0.0.1 as the address of a node.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

#: What a message on a wrong address advises.
_ADVICE = "give local, ray, or a running cluster's address such as auto, HOST:6379 or ray://HOST:10001"

#: Seconds that a cluster has to answer: enough for a slow network, and few for a user who has mistyped an address.
_TIMEOUT = 5.0

#: Seconds that the head of a cluster has to answer in each attempt, once a run is connected to it.
_PATIENCE = (2.0, 4.0, 4.0)

#: The first bytes of a connection by HTTP/2, which gRPC uses: the preface and an empty SETTINGS frame. A server of
#: gRPC answers with a SETTINGS frame.
_HTTP2_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@contextmanager
def connected(address: str, workers: int | None = None) -> Iterator[ModuleType]:
    """Connect to Ray and yield the module ``ray``; at the end shut down what was started here, and nothing else.

    Parameters
    ----------
    address
        ``ray``: a Ray is started on this machine. It listens on the loopback interface only, asks for a token that no
        one else has, sends no usage statistics, and its files are removed at the end. ``auto``, ``HOST:6379``,
        ``ray://HOST:10001``: a running cluster. If it asks for a token, it gets that of RAY_AUTH_TOKEN,
        RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.
    workers
        The number of CPUs of a Ray that is started; by default the cores that this process may use.

    Raises
    ------
    InputError
        If no Ray answers there, or if it has another version or asks for another token.
    RunError
        If a Ray cannot be started on this machine, or the connection breaks.
    """
    with _own(workers or cores()) if address == OWN_RAY else _foreign(address) as ray:
        try:
            yield ray
        except (ConnectionError, ray.exceptions.RayError) as error:
            raise _broken(address, _line(error)) from error


def check_head() -> None:
    """Raise RunError if the head of the cluster accepts no connection.

    Ray itself would notice after a minute, and then end this process.
    """
    node = import_module("ray._private.worker")._global_node
    if node is None:  # this process is a client of ray://, whose calls raise an error when the server is gone
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
    """Start a Ray on this machine that no one else can use; shut it down at the end."""
    closed = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # otherwise Ray packs the current folder under `uv run`
        **_LOOPBACK,
    }
    # Ray lets all users of the machine into its folder, sockets included. So it is made inside one that is private.
    with (
        private_folder() as folder,
        environment(closed | absolute_paths(), closed=True) as ray,
        silent(str(folder / "driver.err")),
    ):
        try:
            # Workers import modules from the folder that Ray is started in.
            with chdir(folder), own_signals(), nothing_that_watches():
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="ERROR",
                    _temp_dir=str(folder / "r"),
                    _system_config={
                        "enable_metrics_collection": False,  # its port would not ask for the token either
                        "prestart_worker_first_driver": False,  # Ray ignores signals while it starts workers in advance
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
    """Join a running cluster; leave it at the end."""
    if wrong := malformed_settings():
        raise InputError(f"environment: Ray cannot read the value of {', '.join(wrong)}; correct it, or unset it")
    with environment({}):
        found = _found(address)
    _check_listens(address, found)
    # Without this variable Ray replaces 127.0.0.1 by the address of another interface of the machine.
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
        # For each client the server at ray:// starts another server. Its port was taken meanwhile, or it did not
        # start. A second attempt gets a server of its own.
        ray.init(found, **options)


def _found(address: str) -> str:
    """Return an address as it is; for ``auto`` that in RAY_ADDRESS, or that of the cluster of this machine."""
    if address != "auto":
        return address

    from ray._private.services import find_gcs_addresses, get_ray_address_from_environment

    logging.getLogger("ray").setLevel(logging.ERROR)
    if not os.environ.get("RAY_ADDRESS") and len(several := sorted(find_gcs_addresses())) > 1:
        return _last_started(several)
    try:
        found: str | None = get_ray_address_from_environment("auto", None)
    except ConnectionError:
        found = None
    if found in (None, "auto"):
        raise _no_ray(address, "there is no cluster on this machine")
    return str(found)


def _last_started(several: list[str]) -> str:
    """Return which of several clusters ``auto`` stands for, as for Ray itself: that of the last ``ray start``."""
    from ray._private.services import find_bootstrap_address

    last = find_bootstrap_address(None)
    if last not in several:
        raise InputError(
            f"address: several clusters run on this machine, {', '.join(several)}, and it is not known which of them "
            f"was started last; give the address of one, such as {several[0]}, or set RAY_ADDRESS to it"
        )
    others = [other for other in several if other != last]
    there = f"{', '.join(others)} {'runs' if len(others) == 1 else 'run'}"
    _log.warning(
        "run: address: auto is %s, the cluster that was started last; %s on this machine, too: give the address of "
        "the one that is meant",
        last,
        there,
    )
    return str(last)


def check_address(address: Any) -> None:
    """Raise InputError unless a text has the form of the address of a cluster; nothing is asked there."""
    if not isinstance(address, str) or (address != "auto" and _host_and_port(address) is None):
        raise InputError(f"address: {abridge(address)} is not valid; {_ADVICE}")


def _host_and_port(address: str) -> tuple[str, int] | None:
    match = _HOST_AND_PORT.fullmatch(address)
    return (match[1].strip("[]"), int(match[2])) if match and int(match[2]) <= 65535 else None


def _check_listens(address: str, found: str) -> None:
    """Raise InputError unless a server of gRPC answers there. Ray itself would try for up to a minute."""
    place = _host_and_port(found)
    if place is None:
        raise _no_ray(address, "no address" if address == found else f"it stands for {found}, which is no address")
    try:
        with socket.create_connection(place, timeout=_TIMEOUT) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return  # with TLS a server sends no frame before the handshake
            connection.settimeout(_TIMEOUT)
            connection.sendall(_HTTP2_OPENING)
            if connection.recv(4)[3:] != b"\x04":
                raise _no_ray(address, "something else does")
    except OSError as error:
        raise _no_ray(address, error.strerror or str(error)) from None


def _auth_mode(address: str, found: str) -> str:
    """Return the value of RAY_AUTH_MODE with which the cluster accepts us: the user's, or the one that works.

    Ray itself would try 20 times and print every answer. The first attempt is made without a token, so that a cluster
    that asks for none never sees it. Where there is no token, no attempt is made with one: Ray's client would abort.
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
    """Send the first request to the head at HOST:6379.

    Raises
    ------
    InputError
        If there is no head of a cluster, or this machine is not a node of the cluster.
    """
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
    """Send a ping to the server at ray://HOST:10001; raise InputError if it does not answer."""
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
    return InputError(f"address: no Ray answers at {address!r} ({reason}); {_ADVICE}")


def _line(error: BaseException) -> str:
    """Return the message of an error of Ray, which may have several lines, as one line."""
    return " ".join(str(error).split()) or type(error).__name__
