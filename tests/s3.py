"""A real S3 server on this machine, for the tests of stores that are not in a directory."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

import harness.s3_server
from harness.s3_server import KEYS, FlakyServer

__all__ = ["KEYS", "FlakyServer", "flaky", "flaky_s3", "location", "s3", "s3_server"]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """HOST:PORT of moto's S3 server."""
    with harness.s3_server.s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_server: str) -> str:
    """Address of a store that is not there yet, in a bucket that is made with it."""
    options = f"endpoint_override={s3_server}&scheme=http&region=us-east-1&allow_bucket_creation=true"
    return f"s3://bucket-{uuid.uuid4().hex[:8]}/dir?{options}"


@pytest.fixture(params=["local", "s3", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: os.PathLike[str]) -> str:
    """Where a store may be."""
    if request.param == "s3":
        return str(request.getfixturevalue("s3"))
    return os.path.join(tmp_path, "store") if request.param == "local" else f"memory://{uuid.uuid4().hex}/store"


@pytest.fixture
def flaky(s3_server: str) -> Iterator[FlakyServer]:
    """A server in front of the one of S3."""
    server = FlakyServer(s3_server)
    yield server
    server.close()


@pytest.fixture
def flaky_s3(s3: str, s3_server: str, flaky: FlakyServer) -> str:
    """Address of a store that is reached through that server."""
    return s3.replace(s3_server, flaky.address)
