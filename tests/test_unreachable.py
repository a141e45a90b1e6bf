"""Addresses of kinds that are not installed or not reached: one sentence in our words, none of a library's."""

from __future__ import annotations

import re

import pytest

from rmtsim.cli.main import main
from rmtsim.errors import RunError
from rmtsim.store.failures import ServerError, StoreError, hiding_secrets, refusal, transient
from rmtsim.text.addresses import Address

#: Words of libraries that no user asked for.
_RAW = re.compile(
    r"HTTPConnection|Pool|Errno|Traceback|Error:|__init__|google|Azure[A-Z]|N5Azure|libjvm|requires|url:|<"
)

REACHED = {
    "webhdfs://127.0.0.1:1/x": "no server answers",
    "ftp://127.0.0.1:1/x": "Connection refused",
    "http://127.0.0.1:1/x": "Connection refused",
    "https://127.0.0.1:1/x": "Connection refused",
    "http://nowhere.invalid/x": "",
    "hdfs://127.0.0.1:1/x": "",
    "reference://x": "it is not a valid address of a place that a store can be in",
    "filecache://x": "it is not a valid address of a place that a store can be in",
    "jupyter://127.0.0.1:1/x": "",
}

NOT_INSTALLED = {
    "sftp://127.0.0.1:1/x": "paramiko",
    "smb://127.0.0.1/share/x": "smbprotocol",
    "git://x": "pygit2",
    "adl://x": "adlfs",
    "root://x": "fsspec-xrootd",
}


@pytest.mark.parametrize("verb", ["status", "run"])
@pytest.mark.parametrize("address", REACHED)
def test_what_cannot_be_reached_is_reported_in_our_words(
    address: str, verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    spec = ["linear_mse"] if verb == "run" else []
    assert main([verb, *spec, "--store", address]) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert re.search(rf"{re.escape(address)}(/draws|/sweeps)? cannot be (reached|read|written) \(", said)
    assert REACHED[address] in said
    assert said.endswith("; give another --store")
    assert not _RAW.search(said.replace(address, ""))
    assert len(said) < 200


@pytest.mark.parametrize("address", NOT_INSTALLED)
def test_a_package_that_is_not_installed_is_named(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--store", address]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert f"the Python package {NOT_INSTALLED[address]} is not installed" in said
    assert not _RAW.search(said)


@pytest.mark.parametrize("address", ["abfs://b/x", "abfss://b/x"])
def test_an_address_that_is_none_of_its_kind_has_an_example(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--store", address]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert said.endswith(
        "is not a valid address of its kind; give one such as abfs://ACCOUNT.dfs.core.windows.net/CONTAINER/prefix"
    )


#: What libraries said, found by trying, and what we say.
SAID = {
    "HTTPConnectionPool(host='h', port=1): Max retries exceeded with url: /x (Caused by NewConnectionError": (
        "no server answers"
    ),
    "HTTPSConnectionPool(host='h', port=443): (Caused by NameResolutionError(Failed to resolve 'h'": (
        "there is no such host"
    ),
    "google::cloud::Status(UNAVAILABLE: Retry policy exhausted, with a last message of Could not create a OAuth2 "
    "access token to authenticate the request)": "permission denied",
    "Unknown error: Check for Hierarchical Namespace support on 'https://a' failed: N5Azure4Core11Credentials23"
    "AuthenticationExceptionE: Failed to get token from DefaultAzureCredential": "permission denied",
    "Unable to load libjvm": "it takes Java and the Hadoop client, which are not installed here",
    "404 Client Error: Not Found for url: http://h": "there is no such place",
    "403 Client Error: Forbidden for url: http://h": "permission denied",
    "HTTPConnectionPool(host='h', port=1): Read timed out. (read timeout=5)": "no answer in time",
    "some words of a library": "its server or library refused",
    "": "its server or library refused",
}


@pytest.mark.parametrize("text", SAID)
def test_words_of_libraries_are_put_into_ours(text: str) -> None:
    for kind in (OSError, RuntimeError, ArithmeticError):
        with pytest.raises(ServerError) as raised, hiding_secrets(Address("gs://b/x")):
            raise kind(text)
        assert refusal(raised.value) == SAID[text]


def test_whether_it_may_pass_is_still_seen_in_the_librarys_words() -> None:
    with pytest.raises(ServerError) as raised, hiding_secrets(Address("gs://b/x")):
        raise OSError("google::cloud::Status(UNAVAILABLE: try again)")
    for cause, passes in ((raised.value, True), (ServerError("NOT_THERE"), False), (TimeoutError(), True)):
        failure = StoreError("store: gone")
        failure.__cause__ = cause
        assert transient(failure) is passes
    assert issubclass(StoreError, RunError)
