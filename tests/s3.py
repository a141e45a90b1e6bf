"""A real S3 server on this machine, for the tests of stores that are not in a directory."""

from __future__ import annotations

import logging
import os
import uuid
import warnings
from collections.abc import Iterator

import pytest

#: What subprocesses that use the server need in their environment.
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """HOST:PORT of moto's S3 server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # moto's own
        from moto.server import ThreadedMotoServer
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    before = {key: os.environ.get(key) for key in KEYS}
    os.environ.update(KEYS)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()
    for key, value in before.items():
        if value is None:
            del os.environ[key]
        else:
            os.environ[key] = value


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
