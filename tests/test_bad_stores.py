"""Bad stores and addresses over all verbs: exit code 2, one sentence that says what would be valid, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input import check, here, run

__all__ = ["here"]  # a fixture

ADDRESSES = [
    ("s3://", "names no bucket; give s3://bucket/prefix"),
    ("S3://", "names no bucket; give s3://bucket/prefix"),
    ("s3:///dir", "names no bucket"),
    ("s3://host:9000/bucket", "?endpoint_override=HOST:PORT"),
    (
        "s3://bucket/dir?endpoint=host",
        "'endpoint' is not an option of an s3:// address; choose one of endpoint_override",
    ),
    ("s3://bucket/dir?scheme=ftp", "choose http or https"),
    ("s3://bucket/dir?allow_bucket_creation=yes", "choose true or false"),
    ("s3://bucket/dir?connect_timeout=0", "positive number of seconds"),
    ("s3://bucket/dir?request_timeout=soon", "positive number of seconds"),
    ("s3://bucket/dir?region=", "region has no value"),
    ("s3://bucket/dir?access_key=me", "give both or none"),
    ("s3://buc ket/dir", "is not a valid address"),
    ("s3://[bucket/dir", "is not a valid address"),
    ("://bucket", "is not a valid address"),
    ("gs://", "names no bucket"),
    ("file://elsewhere/dir", "file:///data/store"),
    ("carrier-pigeon://coop", "is not known; choose s3, gs"),
]

STORES = [
    (["verify"], "--store"),
    (["verify", "--store", "S"], "there is no folder S; give a store that `rmtsim run` wrote"),
    (["verify", "--store", "good.toml"], "give a directory"),
    (["verify", "--store", ".", "--recompute", "0"], "at least 1"),
    (["verify", "--store", ".", "--recompute", "-3"], "at least 1"),
    (["verify", "--store", ".", "--recompute", "all"], "at least 1"),
    (["verify", "--store", "memory://nothing/here"], "there is nothing at memory://nothing/here"),
    (["merge", "--store", "S"], "SOURCE"),
    (["merge", "."], "--store"),
    (["merge", "S", "--store", "S"], "is the store itself"),
    (["merge", "file://{here}/S", "--store", "S"], "is the store itself"),
    (["merge", "elsewhere", "--store", "S"], "SOURCE: there is no folder elsewhere; give stores that"),
    (["merge", ".", "--store", "S"], "SOURCE: . holds no store; give stores that"),
    (["merge", "good.toml", "--store", "S"], "give a directory"),
    (["compact"], "--store"),
    (["compact", "--store", "S"], "there is no folder S"),
    (["compact", "--store", "S", "--force"], "--help"),
    (["export", "--store", "."], "--out"),
    (["export", "--store", "S", "--out", "t.csv"], "there is no folder S"),
    (["export", "--store", ".", "--out", "t.csv"], "holds no store"),
    (["export", "--store", "S", "--out", "none/t.csv"], "--out: there is no folder none for t.csv; make it"),
    (["export", "--store", "S", "--out", "s3://bucket/t.csv"], "'s3://bucket/t.csv' is not valid; give a file on this"),
    (["verify", "--store", "."], ". holds no store; give a store that `rmtsim run` wrote"),
    (["compact", "--store", "."], ". holds no store"),
    (["verify", "--store", ""], "the location is empty"),
    (["merge", "", "--store", "S"], "the location is empty"),
    (["export", "--store", ".", "--out", "t.xlsx"], ".csv, .parquet or .json"),
    (["export", "--store", ".", "--out", "t"], ".csv, .parquet or .json"),
    (["run", "good.toml", "--store", "S", "--time-limit", "0"], "positive time such as 90s, 30min or 2h"),
    (["run", "good.toml", "--store", "S", "--time-limit", "-5min"], "--time-limit"),
    (["run", "good.toml", "--store", "S", "--time-limit", "soon"], "positive time"),
    (["run", "good.toml", "--store", "S", "--time-limit", "2weeks"], "positive time"),
    (["run", "good.toml", "--store", "S", "--time-limit", "nan"], "positive time"),
    (["run", "good.toml", "--store", "S", "--time-limit"], "--time-limit"),
    (["run", "good.toml", "--store", "S", "--fail-fast=no"], "--fail-fast"),
    (["run", "good.toml", "--store", "S", "--failfast"], "--help"),
    (["plan", "good.toml", "--store", "S", "--json=yes"], "--json"),
]


@pytest.mark.parametrize(("argv", "words"), STORES, ids=[" ".join(argv) for argv, _ in STORES])
def test_store_verbs(argv: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = run([word.format(here=here) for word in argv], capsys)
    check(code, message, words, here)


@pytest.mark.parametrize(("address", "words"), ADDRESSES, ids=[address for address, _ in ADDRESSES])
def test_addresses(address: str, words: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["run", "good.toml"], ["plan", "good.toml"], ["verify"], ["compact"], ["export", "--out", "t.csv"]):
        code, message = run([*argv, "--store", address], capsys)
        check(code, message, words, here)
    check(*run(["merge", address, "--store", "S"], capsys), words, here)
