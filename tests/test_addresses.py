"""What an address shows, apart from what it is: a secret laid in any part of it comes out nowhere."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow.fs as pafs
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import rmtsim
from rmtsim.cli.main import main
from rmtsim.store import Store, StoreError
from rmtsim.store.storage import open_files
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.sweeps.table_runner import TableJob, TableWork, run_tables
from rmtsim.text.addresses import Address, discreet, shown
from rmtsim.training.task import Checkpoint
from tests.s3 import s3, s3_server

__all__ = ["s3", "s3_server"]  # fixtures

SECRET = "wJalrXUtn"

#: Addresses with the secret in every part of them, and what they show.
ADDRESSES = {
    f"s3://AKIAEX:{SECRET}@bucket/p": "s3://***@bucket/p",
    f"s3://AKIAEX:{SECRET}/K7MDENG@bucket/p": "s3://***@bucket/p",
    f"s3://AKIAEX:K7/{SECRET}@bucket/p": "s3://***@bucket/p",
    f"s3://{SECRET}@bucket/p": "s3://***@bucket/p",
    f"s3://{SECRET}:pw@bucket/p": "s3://***@bucket/p",
    f"s3://a@b:{SECRET}@bucket/p": "s3://***@bucket/p",
    f"s3://AKIAEX:a%40{SECRET}%2F@bucket/p": "s3://***@bucket/p",
    f"s3://AKIAEX:{SECRET}%40bucket/p": "s3://***",
    f"s3://AKIAEX:{SECRET}?x=y@bucket/p": "s3://***",
    f"s3://AKIAEX:12?{SECRET}@bucket/p": "s3://***",
    f"s3://AKIAEX:12#{SECRET}@bucket/p": "s3://***",
    f"s3://AKIAEX:K7/{SECRET}": "s3://***",
    f"s3:///AKIAEX:{SECRET}/p": "s3://***",
    f"s3:/AKIAEX:{SECRET}@bucket/p": "s3:/***@bucket/p",
    f"s3:////AKIAEX:{SECRET}@bucket/p": "s3://***@bucket/p",
    f"s3:/bucket/p?secret_key={SECRET}": "s3:/bucket/p?***",
    f" s3://AKIAEX:{SECRET}@bucket/p": "***://***",
    f"'s3://AKIAEX:{SECRET}@bucket/p": "***://***",
    f"simplecache::s3://AKIAEX:{SECRET}@bucket/p": "***://***",
    f"s3://AKIAEX:{SECRET} @bucket/p": "s3://***@bucket/p",
    f"s3://bucket/p?access_key=k&secret_key={SECRET}&region=eu-west-1": "s3://bucket/p?region=eu-west-1&***",
    f"s3://bucket/p?secret_key=a@{SECRET}": "s3://bucket/p?***",
    f"s3://bucket/p?access_key={SECRET}&secret_key=k": "s3://bucket/p?***",
    f"s3://bucket/p?session_token={SECRET}": "s3://bucket/p?***",
    f"s3://bucket/p?{SECRET}=1": "s3://bucket/p?***",
    f"s3://bucket/p?{SECRET}": "s3://bucket/p?***",
    f"s3://bucket/p?REGION={SECRET}": "s3://bucket/p?***",
    f"s3://bucket/p?region={SECRET}&scheme=http": "s3://bucket/p?scheme=http&***",
    f"s3://bucket/p?scheme={SECRET}": "s3://bucket/p?***",
    f"s3://bucket/p?anonymous={SECRET}": "s3://bucket/p?***",
    f"s3://bucket/p?connect_timeout={SECRET}": "s3://bucket/p?***",
    f"s3://bucket/p?region=eu&endpoint_override=http://u:{SECRET}@h:9000": "s3://bucket/p?region=eu&***",
    f"s3://bucket/p?endpoint_override=http%3A%2F%2Fu%3A{SECRET}%40h": "s3://bucket/p?***",
    f"s3://bucket/p?endpoint_override=h/{SECRET}": "s3://bucket/p?***",
    f"s3://bucket/p#{SECRET}": "s3://***",
    f"s3://bucket/p;session_token={SECRET}": "s3://bucket/p***",
    f"s3://bucket/p&secret_key={SECRET}&x": "s3://bucket/p***",
    f"s3://bucket/p%3Ftoken={SECRET}": "s3://bucket/p***",
    f"s3://bucket/p%3fsecret_key%3d{SECRET}": "s3://bucket/p***",
    f"s3://bucket/secret_key={SECRET}/p": "s3://bucket/***",
    f"memory://x?token={SECRET}": "memory://x?***",
    f"memory://x?token=a@{SECRET}": "memory://***",
    f"gs://bucket/p?token={SECRET}&retry_limit_seconds=1": "gs://bucket/p?retry_limit_seconds=1&***",
    f"gs://{SECRET}@bucket/p": "gs://***@bucket/p",
    f"abfs://{SECRET}@account.dfs.core.windows.net/p": "abfs://***@account.dfs.core.windows.net/p",
    f"https://u:{SECRET}@host/x?sig={SECRET}": "https://***@host/x?***",
    f"webhdfs://user:{SECRET}@127.0.0.1:1/x?token={SECRET}": "webhdfs://***@127.0.0.1:1/x?***",
    f"file://u:{SECRET}@host/x": "file://***@host/x",
    f"nothing://u:{SECRET}@host/x": "nothing://***@host/x",
    f"ray://u:{SECRET}@head:10001": "ray://***@head:10001",
}

#: Nothing is hidden here.
OPEN = [
    "s3://bucket/prefix/deeper",
    "s3://bucket/model=linear/a&b;c/my_secret_key=x",
    "s3://bucket/p?region=eu-west-1&allow_bucket_creation=true&connect_timeout=2.5",
    "s3://bucket/p?endpoint_override=127.0.0.1:9000&scheme=http",
    "s3://bucket/p?endpoint_override=http://[::1]:9000",
    "hdfs://namenode:8020/user/store?replication=3",
    "file:///data/store",
    "ray://HOST:10001",
    "/a/local/path@home",
    "a:/path%20of:somebody",
    "results",
]


@pytest.mark.parametrize(("address", "expected"), ADDRESSES.items())
def test_an_address_shows_what_is_known_to_be_harmless(address: str, expected: str) -> None:
    assert shown(address) == expected
    assert shown(expected) == expected
    assert repr(Address(address)) == f"Address({expected!r})"
    assert str(Address(address)) == expected
    assert pickle.loads(pickle.dumps(Address(address))).reveal() == address


@pytest.mark.parametrize("address", OPEN)
def test_an_address_without_secrets_is_shown_whole(address: str) -> None:
    assert shown(address) == address


@pytest.mark.parametrize(
    "text", ["no such host: {}", "'{}' is not a valid address; try again", "for url ({}).", "{}", "a={}, b"]
)
def test_a_text_that_quotes_an_address(text: str) -> None:
    for address in ADDRESSES:
        if "://" in address and " " not in address and address[0] != "'":
            assert SECRET not in discreet(text.format(address))
            assert SECRET not in Address(address).discreet(text.format(address))
    for address in (address for address in OPEN if "://" in address):
        assert discreet(text.format(address)) == text.format(address)


def test_long_texts_take_no_longer_than_they_are() -> None:
    for text in ("a" * 1_000_000, "a1." * 300_000, "'a" * 100_000, "/a:b" * 100_000):
        assert discreet(text) == text
    assert SECRET not in discreet("a" * 100_000 + f"1s3://AK:{SECRET}@b")
    assert SECRET not in discreet(f"--store=s3://AK:{SECRET}@b 1s3://AK:{SECRET}@b _s3://AK:{SECRET}@b")


def test_a_text_that_quotes_parts_of_an_address() -> None:
    address = Address(f"s3://AKIAEX:a%2F{SECRET}%40@bucket/p?session_token={SECRET}tok%2B")
    for part in (f"a/{SECRET}@", f"a%2F{SECRET}%40", f"{SECRET}tok+", "AKIAEX", f"key a/{SECRET}@ is unknown"):
        told = address.discreet(f"refused: {part}")
        assert SECRET not in told
        assert "AKIAEX" not in told
    assert address.discreet("the bucket bucket/p has no region") == "the bucket bucket/p has no region"


#: The verbs, each with a place for the address.
VERBS = [
    ["status", "--store", "{}"],
    ["status", "--store", "{}", "--json"],
    ["verify", "--store", "{}"],
    ["compact", "--store", "{}"],
    ["fit", "--store", "{}"],
    ["plan", "figure8", "--store", "{}"],
    ["plan", "{}", "--store", "there"],
    ["plan", "figure8", "{}", "--store", "there"],
    ["plan", "figure8", "--stor={}"],
    ["run", "{}", "--store", "there"],
    ["run", "figure8", "--store", "there", "--address", "{}"],
    ["merge", "{}", "--store", "there"],
    ["merge", "there", "--store", "{}"],
    ["export", "--store", "{}", "--out", "t.csv"],
    ["export", "--store", "there", "--out", "{}.csv"],
    ["figure", "fig8", "--store", "{}", "--out", "f.png"],
    ["figure", "{}", "--store", "there", "--out", "f.png"],
    ["figure", "fig8", "--store", "there", "--out", "{}.png"],
    ["reproduce", "{}"],
    ["{}"],
]


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_no_verb_shows_a_secret(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(f"cannot connect with {arguments} {options}")

    for system in ("S3FileSystem", "resolve_s3_region"):
        monkeypatch.setattr(pafs, system, refuse)
    monkeypatch.chdir(tmp_path)
    for address in [address for address in ADDRESSES if not address.startswith(("gs:", "abfs:", "webhdfs:", "https:"))]:
        try:
            code = main([word.format(address) for word in words])
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        assert SECRET not in said.out + said.err, address
        assert code in (1, 2) or "memory://" in address, (address, said)
        assert said.err.count("\n") == (code > 0), said.err


class Quoting(MemoryFileSystem):  # type: ignore[misc]
    """A file system whose errors quote the address it was opened with."""

    protocol = "quoting"
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    refuses: type[Exception] | None = None
    address = ""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        if "://" in path:
            cls.address = path
        return str(super()._strip_protocol(re.sub(r"^quoting://([^/?]*@)?|\?.*", "", path)))

    def _refuse(self) -> None:
        if self.refuses is not None:
            raise self.refuses(f"Cannot connect to {self.address}: the key {SECRET} is unknown")

    def info(self, path: str, **options: Any) -> Any:
        self._refuse()
        return super().info(path, **options)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self._refuse()
        return super().ls(path, detail, **options)

    def mkdir(self, path: str, create_parents: bool = True, **options: Any) -> None:
        self._refuse()
        super().mkdir(path, create_parents, **options)

    def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
        self._refuse()
        return super()._open(path, *arguments, **options)


@pytest.fixture
def quoting() -> Iterator[str]:
    """Address of a store in it."""
    fsspec.register_implementation("quoting", Quoting, clobber=True)
    yield f"quoting://AKIAEX:{SECRET}@{uuid.uuid4().hex}/store?token={SECRET}"
    Quoting.refuses = None
    Quoting.store.clear()


@pytest.mark.parametrize("kind", [OSError, PermissionError, ConnectionError, ValueError, RuntimeError, KeyError])
def test_errors_of_libraries_that_quote_the_address(
    kind: type[Exception], quoting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    point = rmtsim.Point("linear", "ce", 3, 4, 5)
    with Store(quoting).writer() as writer:
        writer.append(rmtsim.simulate(point, 2), {"name": "test"})
    store = Store(quoting)
    files, [shard] = store.files, store.shards()
    Quoting.refuses = kind
    acts: list[Callable[[], object]] = [
        lambda: files.read(shard.path),
        lambda: files.write("draws/x", b"x"),
        lambda: files.prepare(("draws",)),
    ]
    acts += [files.exists, lambda: files.names("draws"), lambda: files.folders(""), store.read]
    for act in acts:
        with pytest.raises((StoreError, OSError)) as caught:
            act()
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert SECRET not in told
        assert "AKIAEX" not in told
        if kind is PermissionError and isinstance(caught.value, OSError):
            assert isinstance(caught.value, PermissionError)
    for words in (["verify"], ["status"], ["fit"], ["compact"]):
        assert main([*words, "--store", quoting]) == 1
        said = capsys.readouterr()
        assert SECRET not in said.out + said.err
        assert said.err.count("\n") == 1


def test_a_secret_is_in_no_file_of_a_store_and_in_no_word(quoting: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(quoting)
    with store.writer() as writer:
        writer.save_spec("test", {"name": "test"})
        for draws in (range(2), range(2, 4)):
            writer.append(rmtsim.simulate(rmtsim.Point("linear", "ce", 3, 4, 5), draws), {"name": "test"})
        inside = {path: bytes(Quoting.store[path].getvalue()) for path in Quoting.store}
    run_tables(Experiment("squares", [Task("t", {}, lambda: pd.DataFrame({"k": [1]}))]), store)
    assert any("/locks/" in path for path in inside)
    inside |= {path: bytes(Quoting.store[path].getvalue()) for path in Quoting.store}
    assert len(inside) >= 5
    for path, content in inside.items():
        assert SECRET not in path
        assert SECRET.encode() not in content
    assert SECRET not in f"{store!r} {store} {store.files!r} {store.root} {store.quoted} {vars(store)} {store.shards()}"
    for words in (["compact"], ["verify"], ["status"], ["merge", quoting], ["verify", "--json"]):
        main([*words, "--store", quoting])
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    assert "quoting://***@" in said.err


def test_what_is_hidden_still_opens_the_store(quoting: str) -> None:
    """A store that is handed on, as to a worker, is opened with the whole address."""
    with Store(quoting).writer() as writer:
        writer.append(rmtsim.simulate(rmtsim.Point("linear", "ce", 3, 4, 5), 2), {"name": "test"})
    handed = pickle.loads(pickle.dumps(Store(quoting).files.address))
    Quoting.address = ""
    assert len(Store(handed).read()) == 2
    assert Quoting.address.startswith("quoting://AKIAEX:")
    assert open_files(handed).address == Store(quoting).files.address
    assert SECRET not in repr(handed)


def test_workers_get_the_whole_address(quoting: str) -> None:
    """Each task of an experiment on a cluster saves what it has where the driver writes, with the same credentials."""
    kept: list[bytes | None] = []

    def save(checkpoint: Checkpoint) -> pd.DataFrame:
        kept.append(checkpoint.load("half"))
        checkpoint.save("half", b"half")
        return pd.DataFrame({"k": [1]})

    experiment = Experiment("squares", [Task("t", {}, save, resumable=True)])
    work = TableWork(experiment, None, "auto")
    store = Store(quoting)
    with store.writer(work.folders) as writer:
        jobs, _ = work.begin(store, writer, "numpy")
        job = jobs.next(1)
    assert isinstance(job, TableJob)
    assert isinstance(job.place, Address)
    assert job.place.reveal() == quoting
    assert SECRET not in repr(job)
    sent = replace(job, place=pickle.loads(pickle.dumps(job.place)))
    for _ in range(2):  # the second worker, after the first has died
        assert sent.compute().frame["k"].tolist() == [1]
    assert kept == [None, b"half"]


def test_stores_with_other_credentials_are_others(quoting: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What two addresses show may be the same: that does not make them the same store."""
    other = quoting.replace("AKIAEX", "AKIAOTHER")
    with Store(quoting).writer() as writer:
        writer.append(rmtsim.simulate(rmtsim.Point("linear", "ce", 3, 4, 5), 2), {"name": "test"})
    assert main(["merge", quoting, "--store", quoting]) == 2
    assert "is the store itself" in capsys.readouterr().err
    assert Store(other).location == Store(quoting).location
    assert Store(other).files.address != Store(quoting).files.address


def test_an_uncaught_error_shows_no_secret(s3_server: str, tmp_path: Path) -> None:
    """From Python, too: the traceback of a store that cannot be reached."""
    options = "endpoint_override=127.0.0.1:1&scheme=http&region=us-east-1&request_timeout=1"
    script = f"import sys; from rmtsim.store import Store; Store('s3://AKIAEX:{SECRET}@bucket/p?{options}').read()"
    done = subprocess.run(
        [sys.executable, "-"], input=script, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "StoreError: store: s3://***@bucket/p/draws cannot be read" in done.stderr
    assert SECRET not in done.stderr
