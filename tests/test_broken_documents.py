"""Documents in a store that someone changed, and specs that no one should write: a sentence, never a traceback."""

from __future__ import annotations

import copy
import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import rmtsim
from rmtsim import InputError
from rmtsim.cli.main import main
from rmtsim.store import Store, StoreError
from rmtsim.store.commits import Commits, read_commits
from rmtsim.store.failures import TornError
from rmtsim.store.lock import parse_claim
from rmtsim.store.verify import verify
from rmtsim.sweeps import training_spec
from rmtsim.sweeps.spec import from_document, requests_of
from tests.small_sweeps import TINY
from tests.trained_tables import TRAIN

#: Values that hardly any field of a spec takes.
VALUES: list[Any] = [
    3, -1, 10**18, 0.5, 1e308, True, None, "x", [], {}, [[]], [{}], [None], ["x"], [[3]], [10**18], {"x": 1}, [2, 2],
]  # fmt: skip
BOMBS = {
    "deep lists": "[" * 100_000 + "]" * 100_000,
    "deep tables": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "deep lists in a spec": '{"name": "tiny", "layers": ' + "[" * 900 + "]" * 900 + "}",
    "many digits": '{"name": "tiny", "last": ' + "9" * 5000 + "}",
    "too large": '{"name": "tiny", "last": 1e999, "gone": []}',
    "not a number": '{"name": "tiny", "last": NaN, "gone": []}',
    "half a pair": '{"name": "tiny", "x": "\\ud800"}',
    "no text": b'{"name": "\xff"}',
    "null": "null",
    "a list": "[]",
    "nothing": "",
}


def places(document: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the keys that lead to every value of a document."""
    for key, value in document.items():
        yield (*keys, key)
        if isinstance(value, dict):
            yield from places(value, (*keys, key))


def changed(document: dict[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(document)
    table = document
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = value
    return document


def sweep() -> dict[str, Any]:
    return from_document(tomllib.loads(TINY)).document() | {"ensemble": {"init": "he", "data_variance": 0.5}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "tiny.toml").write_text(TINY)
    (folder / "other.toml").write_text(TINY.replace('"tiny"', '"other"'))
    assert main(["run", str(folder / "tiny.toml"), "--store", str(folder / "store")]) == 0
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A store with draws of a sweep."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "store"


@pytest.mark.parametrize("keys", [keys for keys in places(sweep()) if keys != ("name",)], ids=".".join)
def test_any_value_of_a_stored_sweep_may_be_any(
    keys: tuple[str, ...], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store / "sweeps/tiny.json"
    for value in VALUES:
        document = changed(sweep(), keys, value)
        path.write_text(json.dumps(document))
        code = main(["verify", "--store", str(store)])
        told = capsys.readouterr().out
        try:
            from_document(document)
        except InputError:
            assert main(["status", "--store", str(store)]) == 1, value
            assert f"{path} is not a valid spec" in capsys.readouterr().err
            assert code == 1, value
            assert f"torn: {path} is not a valid spec" in told
        else:
            assert main(["status", "--store", str(store)]) in (0, 3, 4), value
            assert code in (0, 1), value


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 3},
        {"layers": [3]},
        {"grid": []},
        {"grid": {}},
        {"grid": {"n_classes": 2, "dim": [8], "aspect_ratio": [0.5]}},
        {"grid": {"n_classes": [], "dim": [8], "aspect_ratio": [0.5]}},
        {"grid": {"n_classes": ["2"], "dim": [8], "aspect_ratio": [0.5]}},
        {"grid": {"n_classes": [2] * 50_000, "dim": [8] * 50_000, "aspect_ratio": [0.5]}},
        {"grid": {"n_classes": [2], "dim": [8], "aspect_ratio": ["x"]}},
        {"grid": {"n_classes": [2], "dim": [8], "aspect_ratio": [0]}},
        {"model": []},
        {"ensemble": [1]},
        {"ensemble": {"x": 1}},
        {"sampling": 3},
        {"sampling": {"seed": 0.5, "min_draws": 4}},
        {"sampling": {"seed": 0, "min_draws": -1}},
    ],
)
def test_a_stored_sweep_of_wrong_types_is_damage(
    change: dict[str, Any], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store / "sweeps/tiny.json"
    path.write_text(json.dumps(sweep() | change))
    [finding] = verify(Store(store), requests_of=requests_of).findings
    assert str(finding).startswith(f"torn: {path} is not a valid spec (")
    assert str(finding).endswith("); remove it and run its spec again")
    assert main(["merge", str(store), "--store", str(store.parent / "new")]) == 1
    assert f"store: {path} is not a valid spec (" in capsys.readouterr().err
    assert not (store.parent / "new").exists()


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("name", ["sweeps/tiny.json", "commits.json", "experiments/train/_spec.json"])
def test_bombs_are_torn_files(bomb: str, name: str, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, text = store / name, BOMBS[bomb]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    verbs = [["verify", "--store", str(store)], ["status", "--store", str(store)]]
    verbs.append(["merge", str(store), "--store", str(store.parent / "new")])
    verbs.append(["plan", str(store.parent / "other.toml"), "--store", str(store)])
    verbs.append(["run", str(store.parent / "tiny.toml"), "--store", str(store)])
    verbs.append(["compact", "--store", str(store)])
    verbs.append(["export", "--store", str(store), "--out", str(store.parent / "means.csv")])
    capsys.readouterr()
    assert main(verbs[0]) == 1
    assert f"{path} is " in capsys.readouterr().out
    for line in verbs[1:]:
        code = main(line)
        said = capsys.readouterr()
        assert code in (0, 1), line
        assert code == 0 or f"{path} is " in said.err, line
        assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "document",
    [
        {"last": 1e30, "gone": []},
        {"last": 3.0, "gone": []},
        {"last": -1, "gone": []},
        {"last": True, "gone": []},
        {"last": "3", "gone": []},
        {"last": 10**18, "gone": []},
        {"last": 3},
        {"last": 3, "gone": {}},
        {"last": 3, "gone": [3]},
        {"last": 3, "gone": [[2, 1]]},
        {"last": 3, "gone": [[1, 2, 3]]},
        {"last": 3, "gone": [[1, "2"]]},
        {"last": 3, "gone": [[1, None]]},
        {"last": 3, "gone": [[1, 1e30]]},
    ],
)
def test_commits_of_wrong_types_are_torn(document: Any, store: Path) -> None:
    path = store / "commits.json"
    path.write_text(json.dumps(document))
    with pytest.raises(TornError, match=r"commits.json is torn; remove it, and the next writer makes it anew"):
        read_commits(Store(store).files)
    assert [finding.kind for finding in verify(Store(store)).findings] == ["torn"]
    with Store(store).writer():  # which makes it anew
        pass
    assert not verify(Store(store)).findings


def test_numbers_of_commits_stay_countable(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A large number, and a shard under a name with a larger one."""
    (store / "commits.json").write_text(json.dumps({"last": 10**17 - 1, "gone": []}))
    assert read_commits(Store(store).files) == Commits(10**17 - 1)
    [shard, *_] = sorted((store / "draws").iterdir())
    _, _, rest = shard.name.partition("-")
    shard.rename(shard.with_name(f"{'9' * 20}-{rest}"))
    assert main(["verify", "--store", str(store)]) == 1
    assert shard.name.partition("-")[2] in capsys.readouterr().out
    main(["run", str(store.parent / "tiny.toml"), "--store", str(store)])
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("text", [*BOMBS.values(), '{"owner": 3, "buried": []}', '{"owner": "me", "buried": "x"}'])
def test_claims_that_say_nothing_are_of_another_process(text: bytes | str) -> None:
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    assert parse_claim(text) == {"owner": "another process", "counter": 0, "buried": []}
    claim = {"owner": "me", "buried": ["a"], "counter": 3}
    assert parse_claim(json.dumps(claim)) == claim


@pytest.mark.parametrize(
    "document",
    [
        {"spec": {}, "tables": [3]},
        {"spec": {}, "tables": ["../../x.parquet"]},
        {"spec": {}, "tables": ["experiments/../x.parquet"]},
        {"spec": {}, "tables": ["experiments/train/_spec.json"]},
        {"spec": {}, "tables": ["experiments/train/a/b.parquet"]},
        {"spec": {}, "tables": {}},
        {"spec": [], "tables": None},
        3,
    ],
)
def test_specs_of_experiments_name_tables(document: Any, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = store / "experiments/train/_spec.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document))
    assert [finding.kind for finding in verify(Store(store)).findings] == ["torn"]
    assert main(["status", "--store", str(store)]) == 1
    assert f"{path} is torn; remove it and run its experiment again" in capsys.readouterr().err


@pytest.mark.parametrize("keys", list(places(tomllib.loads(TRAIN))), ids=".".join)
def test_any_value_of_a_stored_training_may_be_any(keys: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "experiments/train/_spec.json"
    path.parent.mkdir(parents=True)
    for value in VALUES:
        path.write_text(json.dumps({"spec": changed(tomllib.loads(TRAIN), keys, value), "tables": []}))
        foreign = keys == ("name",) and isinstance(value, str)
        assert main(["verify", "--store", str(tmp_path), "--recompute", "1"]) == foreign
        assert main(["status", "--store", str(tmp_path)]) == 0


def test_any_value_of_a_spec_may_be_any() -> None:
    """Specs of sweeps and of trainings: taken, or refused with a sentence; numbers of any size."""
    for make, document in ((from_document, sweep()), (training_spec.from_document, tomllib.loads(TRAIN))):
        for keys in places(document):
            for value in [
                *VALUES,
                10**400,
                10**5000,
                [10**5000],
                [[10**5000]],
                -(10**400),
                float("inf"),
                [float("nan")],
            ]:
                with suppress(InputError):
                    make(changed(document, keys, value))
    for value in (10**400, 10**5000, -(10**5000)):
        with pytest.raises(InputError):
            rmtsim.Point("linear", "ce", value, 3, 4)
        with pytest.raises(InputError):
            rmtsim.Ensemble(data_variance=value)


TEXTS = {
    "n_classes = [" + "9" * 5000 + "]": "number of thousands of digits",
    "n_classes = [" + "9" * 400 + "]": "9… is not valid; give a whole number from 1 to 1000000000",
    "n_classes = [0x" + "f" * 5000 + "]": "a number of thousands of digits is not valid; give a whole number from 1",
    "n_classes = [1e999]": "[grid] n_classes: inf is not valid",
    "n_classes = [inf]": "[grid] n_classes: inf is not valid",
    "n_classes = [-nan]": "[grid] n_classes: nan is not valid",
    "n_classes = 2026-01-01": "grid.n_classes: 2026-01-01 is a date or a time, not text in quotes, a number",
    "n_classes = [2026-01-01T00:00:00Z]": "2026-01-01T00:00:00+00:00 is a date or a time, not text",
    "n_classes = [00:00:00]": "00:00:00 is a date or a time, not text",
    "n_classes = " + "[" * 40 + "]" * 40: "deep inside one another",
    "n_classes = " + "[" * 100_000: "deep inside one another",
    "n_classes = " + "{a = " * 100_000: "deep inside one another",
    "a." * 300_000 + "a = 1": "a key of more than 32 parts",
    '"a" . ' * 100_000 + "a = 1": "a key of more than 32 parts",
    "n_classes = [[2]]": "[grid] n_classes: [2] is not valid",
    'x = "' + "y" * (1 << 20) + '"': "larger than 1 MiB",
    "x" * 300 + " = 1": "there is no such key",
}


@pytest.mark.parametrize("line", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("text", [TINY, TRAIN])
def test_what_no_spec_says_is_refused(line: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(text.replace("[grid]\n", f"[grid]\n{line}\n").replace("\nn_classes = [2, ", "\n# "))
    for verb in ("plan", "run"):
        assert main([verb, str(spec), "--store", str(tmp_path / "store")]) == 2
        said = capsys.readouterr().err
        assert TEXTS[line] in said
        assert said.count("\n") == 1
        assert len(said) < 700
    assert not (tmp_path / "store").exists()


def test_specs_are_regular_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for source in ("pipe.toml", "folder.toml", "/dev/zero"):
        (tmp_path / "folder.toml").mkdir(exist_ok=True)
        assert main(["plan", str(tmp_path / source), "--store", str(tmp_path / "store")]) == 2
        assert "cannot be read" in capsys.readouterr().err


def test_a_store_names_what_is_wrong_with_it_once(store: Path) -> None:
    (store / "sweeps/tiny.json").write_text('{"name": "other"}')
    with pytest.raises(StoreError, match=r"tiny.json is not a valid spec of rmtsim; remove it and run its spec again"):
        Store(store).specs()
