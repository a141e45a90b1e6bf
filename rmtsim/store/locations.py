"""Parsing of store addresses such as ``s3://bucket/prefix?region=eu-west-1``, and connecting to them."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import getproxies

import pyarrow as pa
import pyarrow.fs as pafs

from rmtsim.errors import InputError
from rmtsim.text.addresses import Address

#: Connects to a file system; returns it, and the path of the store's root in it.
Connect = Callable[[], tuple[Any, str]]

#: Options of an S3 address, under the names of pyarrow's S3FileSystem. Options in neither list are text.
_SWITCHES = ("allow_bucket_creation", "anonymous", "force_virtual_addressing")
_SECONDS = ("connect_timeout", "request_timeout")
_OPTIONS = ("endpoint_override", "scheme", "region", "access_key", "secret_key", "session_token", *_SECONDS, *_SWITCHES)

#: Examples of addresses of the kinds that pyarrow knows.
_EXAMPLES = {
    **dict.fromkeys(("gs", "gcs"), "gs://bucket/prefix"),
    **dict.fromkeys(("abfs", "abfss"), "abfs://ACCOUNT.dfs.core.windows.net/CONTAINER/prefix"),
    **dict.fromkeys(("hdfs", "viewfs"), "hdfs://HOST:PORT/prefix"),
}

#: Python packages whose modules have other names.
_PACKAGES = {"smbclient": "smbprotocol", "git": "pygit2"}

#: Seconds to wait for a server's answer, and the number of attempts.
_PATIENCE = 5
_ATTEMPTS = 3


class Place(NamedTuple):
    """The place that an address stands for."""

    path: str  #: path of a local directory, else ""
    connect: Connect | None  #: connects to the place, None for a local directory


def parse_address(address: Address) -> Place:
    """Return the place that an address stands for; raise InputError if the address is not valid."""
    scheme, separator, rest = address.reveal().partition("://")
    scheme = scheme.lower()
    location = f"{scheme}{separator}{rest}"
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) or re.search(r"[\s\x00-\x1f]", location):
        raise _no_address(address)
    try:
        parts = urlsplit(location)
        if parts.fragment or location.endswith("#"):
            raise InputError(f"store: '{address}' has a #, which ends an address; write %23 for one in a name")
        if scheme == "file":
            if parts.netloc not in ("", "localhost") or not parts.path:
                raise InputError(f"store: '{address}' names no directory; give one such as file:///data/store")
            return Place(unquote(parts.path), None)
        if scheme == "s3":
            return Place("", _s3(location, address))
        if scheme in ("gs", "gcs", "abfs", "abfss", "hdfs", "viewfs"):
            if not parts.netloc:
                raise InputError(f"store: '{address}' names no bucket; give one such as {scheme}://bucket/prefix")
            return Place("", lambda: _arrow(location, scheme))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise _no_address(address) from None  # its text may quote the address
    return Place("", _fsspec(location, scheme, address))


def _no_address(address: Address) -> InputError:
    return InputError(f"store: '{address}' is not a valid address; give a directory, or one such as s3://bucket/prefix")


def _s3(location: str, address: Address) -> Connect:
    parts = urlsplit(location)
    bucket = parts.netloc.rpartition("@")[2]
    if not bucket or ":" in bucket:
        raise InputError(
            f"store: '{address}' names no bucket; give s3://bucket/prefix, a server of your own as "
            "?endpoint_override=HOST:PORT, and a / within a secret key as %2F"
        )
    options: dict[str, Any] = {"connect_timeout": _PATIENCE, "request_timeout": 60}
    if parts.username:
        options |= {"access_key": unquote(parts.username), "secret_key": unquote(parts.password or "")}
    for place, (key, value) in enumerate(parse_qsl(parts.query, keep_blank_values=True), 1):
        if key not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            if get_close_matches(key, _OPTIONS):  # a slip, and not a secret
                raise InputError(f"store: {key!r} is not an option of an s3:// address; choose one of {known}")
            raise InputError(
                f"store: option {place} of '{address}' is not one of an s3:// address; choose one of {known}"
            )
        options[key] = _option(key, value)
    if options.get("scheme", "https") not in ("http", "https"):
        raise InputError("store: the value of scheme is not valid; choose http or https")
    if ("access_key" in options) != ("secret_key" in options):
        raise InputError("store: access_key and secret_key belong together; give both or none")

    def connect() -> tuple[Any, str]:
        if "region" not in options and "endpoint_override" not in options and not _region_is_set():
            options["region"] = pafs.resolve_s3_region(bucket)
        options["retry_strategy"] = pafs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS)
        try:  # small files in one request; older pyarrow takes three, which as well makes them appear whole
            system = pafs.S3FileSystem(allow_delayed_open=True, **options)
        except TypeError:
            system = pafs.S3FileSystem(**options)
        return system, f"{bucket}/{unquote(parts.path).strip('/')}".rstrip("/")

    return connect


def _option(key: str, value: str) -> Any:
    if key in _SWITCHES:
        if value not in ("true", "false"):
            raise InputError(f"store: the value of {key} is not valid; choose true or false")
        return value == "true"
    if key in _SECONDS:
        if not re.fullmatch(r"\d{1,6}(\.\d*)?", value) or float(value) == 0:
            raise InputError(f"store: the value of {key} is not valid; give a positive number of seconds")
        return float(value)
    if not value:
        raise InputError(f"store: {key} has no value; give one, or leave it out")
    return value


def _check_answers(location: str, scheme: str) -> None:
    """Raise OSError unless a server listens there: fsspec treats a server that does not answer as an empty one."""
    parts = urlsplit(location)
    port = parts.port or {"http": 80, "https": 443}[scheme]
    socket.create_connection((parts.hostname or "", port), _PATIENCE).close()


def _region_is_set() -> bool:
    return any(os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"))


def _arrow(location: str, scheme: str) -> tuple[Any, str]:
    if scheme in ("gs", "gcs") and "retry_limit_seconds" not in location:  # which is 15 minutes else
        location += f"{'&' if '?' in location else '?'}retry_limit_seconds={_ATTEMPTS * _PATIENCE}"
    try:
        system, path = pafs.FileSystem.from_uri(location)
    except pa.ArrowInvalid:
        raise InputError(
            f"store: '{Address(location)}' is not a valid address of its kind; give one such as {_EXAMPLES[scheme]}"
        ) from None
    return system, path.rstrip("/")


def _fsspec(location: str, scheme: str, address: Address) -> Connect:
    wanted = "choose s3, gs, abfs, hdfs, or one that an installed fsspec knows"
    try:
        from fsspec import get_filesystem_class, url_to_fs  # type: ignore[import-untyped]
    except ImportError:
        raise InputError(f"store: {scheme}:// is not known; {wanted}") from None
    try:
        get_filesystem_class(scheme)
    except ValueError:
        raise InputError(f"store: {scheme}:// is not known; {wanted}") from None
    except ImportError as error:
        module = getattr(error.__cause__, "name", None) or f"that fsspec takes for {scheme}://"
        package = _PACKAGES.get(module, module.replace("_", "-"))
        raise InputError(
            f"store: '{address}' cannot be reached: the Python package {package} is not installed; install it, or give "
            "another --store"
        ) from None

    def connect() -> tuple[Any, str]:
        if scheme in ("http", "https") and not getproxies():
            _check_answers(location, scheme)
        system, path = url_to_fs(location)
        return pafs.PyFileSystem(_Listing(system)), path.rstrip("/")

    return connect


class _Listing(pafs.FSSpecHandler):  # type: ignore[misc]
    """Files of fsspec; its own walk would treat a folder that cannot be listed as empty."""

    def get_file_info_selector(self, selector: pafs.FileSelector) -> Any:
        with suppress(FileNotFoundError):
            self.fs.ls(selector.base_dir)
        return super().get_file_info_selector(selector)
