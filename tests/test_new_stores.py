"""Where a store can begin: not in a folder of other things, which a mistyped path may name."""

from __future__ import annotations

from pathlib import Path

import pytest

import rmtsim
from harness.specs import TINY
from rmtsim.cli.main import main
from rmtsim.errors import InputError


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("verb", ["run", "merge"])
@pytest.mark.parametrize("there", [["notes.txt"], ["pyproject.toml", "sweeps/mine.toml"], [".git/config", "draws.txt"]])
def test_a_folder_of_other_things_is_refused(
    there: list[str], verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.toml").write_text(TINY)
    assert main(["run", str(tmp_path / "spec.toml"), "--store", str(tmp_path / "one")]) == 4
    place = tmp_path / "project"
    for name in there:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("{}")
    before = written(place)
    capsys.readouterr()
    source = tmp_path / ("spec.toml" if verb == "run" else "one")
    assert main([verb, str(source), "--store", str(place)]) == 2
    said = capsys.readouterr().err
    assert f"store: {place} holds other things, such as " in said
    assert said.endswith("and no store; give a folder that is empty or not there yet\n")
    assert written(place) == before


@pytest.mark.parametrize("there", [[], ["sweeps/"], ["sweeps/", ".writing/"], ["draws/", "notes.txt"]])
def test_empty_folders_and_stores_that_were_begun_are_not(there: list[str], tmp_path: Path) -> None:
    """A run may have been killed between one folder and the next; and in a store there may be other things."""
    (tmp_path / "spec.toml").write_text(TINY)
    place = tmp_path / "s"
    place.mkdir()
    for name in there:
        (place / name).mkdir() if name.endswith("/") else (place / name).touch()
    rmtsim.run(tmp_path / "spec.toml", place, workers=1)
    (place / "figure.png").touch()
    assert rmtsim.run(tmp_path / "spec.toml", place, workers=1).new_draws == 0
    with pytest.raises(InputError, match="holds other things, such as 's', and no store; give a"):
        rmtsim.run(tmp_path / "spec.toml", tmp_path, workers=1)
