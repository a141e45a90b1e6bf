"""Damage to a shard's bytes, whichever they are: one sentence reports it; it is never passed on, never a traceback."""

from __future__ import annotations

import random
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.store import Store, StoreError
from rmtsim.store.compact import compact
from rmtsim.store.merge import merge
from rmtsim.store.shard_names import parse_name
from rmtsim.store.verify import verify
from rmtsim.sweeps.spec import from_document
from tests.s3 import location, s3, s3_server
from tests.shards import flipped, rewrite

__all__ = ["location", "s3", "s3_server"]  # fixtures

POINTS = [rmtsim.Point("linear", "ce", n_classes, 8, 16) for n_classes in (2, 5, 10)]
TINY = """
name = "tiny"
model = "linear"
loss = "ce"
[grid]
n_classes = [2, 5, 10]
aspect_ratio = [0.5]
dim = [8]
[sampling]
seed = 3
min_draws = 4
max_draws = 8
target_rse = 0.9
"""
SPEC = from_document(tomllib.loads(TINY)).document()


def rows_of(draws: range) -> pd.DataFrame:
    return pd.concat([rmtsim.simulate(point, draws, seed=3) for point in POINTS])


def filled(root: Path | str, *parts: range) -> Store:
    store = Store(root)
    with store.writer() as writer:
        writer.save_spec("tiny", SPEC)
        for part in parts:
            writer.append(rows_of(part), SPEC)
    return store


def path_of(store: Store, place: int = 0) -> Path:
    return Path(store.shards()[place])


def statistics_of(path: Path) -> list[int]:
    """Places of the least and greatest point_id in a footer, which stand in no page."""
    data, statistics = path.read_bytes(), pq.ParquetFile(path).metadata.row_group(0).column(0).statistics
    places = []
    for value in (statistics.min.encode(), statistics.max.encode()):
        start = data.rindex(value)
        places += range(start, start + len(value))
    return places


def places_of(path: Path, count: int) -> Iterator[tuple[int, int]]:
    """Some bits of every part of a file: header, pages, statistics, footer, its length and the last mark."""
    generator, size = random.Random(5), path.stat().st_size
    footer = int.from_bytes(path.read_bytes()[-8:-4], "little")
    parts = [range(4), range(4, size - 8 - footer), range(size - 8 - footer, size - 8), range(size - 8, size)]
    for part in [*parts, statistics_of(path)]:
        for _ in range(count):
            yield generator.choice(part), generator.randrange(8)


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", range(4))
    path, right = path_of(store), store.read()
    whole = path.read_bytes()
    for place, bit in places_of(path, 30):
        path.write_bytes(flipped(whole, place, bit))
        [torn] = verify(store).damage
        assert (torn.kind, torn.what) == ("torn", f"{path} does not hold the bytes that were written under its name")
        for points in (None, [POINTS[1].id]):
            with pytest.raises(StoreError, match="does not hold the bytes"):
                store.read(points=points)
            with pytest.raises(StoreError, match="does not hold the bytes"):
                list(Store(store.root).tables(["draw"], points))
    path.write_bytes(whole)
    assert not verify(store).findings
    pd.testing.assert_frame_equal(store.read(), right, check_exact=True)


def test_statistics_that_rule_out_rows_that_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What other readers leave out by them, without a word, is what the digest is there for."""
    store = filled(tmp_path / "s", range(4), range(4, 8))
    path, least = path_of(store), min(point.id for point in POINTS)
    place = statistics_of(path)[0]
    path.write_bytes(flipped(path.read_bytes(), place, 3))
    other = pd.read_parquet(store.draws_folder, filters=[("point_id", "==", least)])
    assert len(other) == 4  # of 8
    assert main(["verify", "--store", str(store.root)]) == 1
    assert f"torn: {path}" in capsys.readouterr().out
    with pytest.raises(StoreError, match=path.name):
        store.read(points=[least])
    assert main(["export", "--store", str(store.root), "--out", str(tmp_path / "x.csv")]) == 1
    assert path.name in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()


def test_shards_without_a_digest_are_read_whatever_their_statistics_say(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", range(4), range(4, 8))
    right = store.read()
    for place in range(2):
        rewrite(path_of(store, place), pq.read_table(path_of(store, place)), "4")
    path = path_of(store)
    whole = path.read_bytes()
    for place in statistics_of(path)[::3]:
        path.write_bytes(flipped(whole, place, 3))
        for point in POINTS:
            mine = right[right["point_id"] == point.id].reset_index(drop=True)
            pd.testing.assert_frame_equal(store.read(points=[point.id]), mine, check_exact=True)


def test_no_damage_to_a_shard_without_a_digest_is_a_traceback(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", range(4))
    path = rewrite(path_of(store), pq.read_table(path_of(store)), "4")
    whole, noticed, generator = path.read_bytes(), 0, random.Random(7)
    damaged = [flipped(whole, *where) for where in places_of(path, 25)]
    for _ in range(60):
        place, length = generator.randrange(len(whole)), generator.randrange(1, 20)
        damaged.append(whole[:place] + generator.randbytes(length) + whole[place + length :])
        damaged.append(whole[:place] + whole[place + length :])
    for data in damaged:
        path.write_bytes(data)
        noticed += bool(verify(store, 1).damage)
        for points in (None, [POINTS[0].id]):
            with suppress(StoreError):
                store.read(points=points)
    assert noticed > len(damaged) // 2


def flip(store: Store) -> None:
    path = path_of(store)
    path.write_bytes(flipped(path.read_bytes(), statistics_of(path)[0], 3))


def cut(store: Store) -> None:
    path = path_of(store)
    path.write_bytes(path.read_bytes()[:-9])


def swap(store: Store) -> None:
    one, other = path_of(store, 0), path_of(store, 1)
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])


def another_s_content(store: Store) -> None:
    path_of(store, 1).write_bytes(path_of(store, 0).read_bytes())


def another_number(store: Store) -> None:
    path = path_of(store)
    path.rename(path.with_name(f"00000009{path.name[8:]}"))


def another_digest_of_draws(store: Store) -> None:
    path = path_of(store)
    path.rename(path.with_name(f"{path.name[:9]}{'0' * 16}{path.name[25:]}"))


def no_digest(store: Store) -> None:
    path = path_of(store)
    path.rename(path.with_name(f"{path.name[:25]}.parquet"))


def a_name_of_its_own(store: Store) -> None:
    path_of(store).rename(store.draws_folder / "mine.parquet")


def said_to_be_compacted(store: Store) -> None:
    path = path_of(store)
    path.rename(path.with_name(path.name.replace(".parquet", "-compacted.parquet")))


def a_copy_of_another_number(store: Store) -> None:
    path = path_of(store)
    shutil.copy(path, path.with_name(f"00000009{path.name[8:]}"))


DAMAGE = [
    flip,
    cut,
    swap,
    another_s_content,
    another_number,
    another_digest_of_draws,
    no_digest,
    a_name_of_its_own,
    said_to_be_compacted,
    a_copy_of_another_number,
]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_not_carried_on(
    tmp_path: Path, damage: Callable[[Store], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    store = filled(tmp_path / "s", range(2), range(2, 4))
    filled(tmp_path / "sound", range(4, 6))
    damage(store)
    before = contents(tmp_path)
    for command in (
        ["run", str(tmp_path / "tiny.toml"), "--store", str(store.root), "--workers", "1"],
        ["compact", "--store", str(store.root)],
        ["merge", str(store.root), "--store", str(tmp_path / "new")],
        ["merge", str(store.root), "--store", str(tmp_path / "sound")],
        ["merge", str(tmp_path / "sound"), "--store", str(store.root)],
        ["verify", "--store", str(store.root)],
    ):
        assert main(command) == 1, command
        said = capsys.readouterr()
        told = said.err if command[0] != "verify" else said.out
        assert str(store.draws_folder) in told
        assert "Traceback" not in told
        if command[0] != "verify":
            assert len(told.splitlines()) == 1
        assert contents(tmp_path) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", [cut, swap, another_s_content, another_digest_of_draws])
def test_damage_to_shards_without_a_digest_is_not_carried_on(tmp_path: Path, damage: Callable[[Store], None]) -> None:
    store = filled(tmp_path / "s", range(2), range(2, 4))
    for place in range(2):
        rewrite(path_of(store, place), pq.read_table(path_of(store, place)), "4")
    assert not verify(store).findings
    damage(store)
    before = contents(tmp_path)
    for use in (store.read, lambda: compact(store), lambda: merge([store.root], Store(tmp_path / "into"))):
        with pytest.raises(StoreError, match=r"holds other draws than its name says|cannot be read"):
            use()
        assert contents(tmp_path) == before


def test_damage_is_found_wherever_the_store_is(location: str, tmp_path: Path) -> None:
    store = filled(location, range(2), range(2, 4))
    path = store.shards()[0].path
    right = store.read()
    whole = store.files.read(path)
    for place in (2, len(whole) // 2, len(whole) - 6):
        store.files.write(path, flipped(whole, place))
        for use in (
            store.read,
            Store(location).read,
            lambda: list(store.tables(["draw"])),
            lambda: compact(store),
            lambda: merge([location], Store(tmp_path / "into")),
        ):
            with pytest.raises(StoreError, match="does not hold the bytes that were written under its name"):
                use()
        assert [finding.kind for finding in verify(store).damage] == ["torn"]
    assert not (tmp_path / "into").exists()
    store.files.write(path, whole)
    pd.testing.assert_frame_equal(store.read(), right, check_exact=True)


def test_the_advice_for_a_renamed_shard_helps(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", range(2), range(2, 4))
    right = path_of(store)
    another_number(store)
    with pytest.raises(StoreError, match=f"was written under another name, {right.name}; rename it"):
        store.read()
    (store.draws_folder / f"00000009{right.name[8:]}").rename(right)
    assert not verify(store).findings


def test_the_digest_is_one_that_anybody_can_make(tmp_path: Path) -> None:
    path = path_of(filled(tmp_path / "s", range(2)))
    parts = parse_name(path.name)
    assert parts
    assert parts.digest == blake2b(path.read_bytes(), digest_size=8).hexdigest()
    assert pq.read_metadata(path).metadata[b"rmtsim.commit"].decode() == parts.commit
