"""The pages of docs/results, and README's table, are what their stored numbers make."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu_rows import PRETENDED, written

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of what the pages are made by, made of, and made as."""
    for room in ("generate", "verdicts"):
        shutil.copytree(ROOT / "docs" / room, tmp_path / "docs" / room)
    shutil.copy(ROOT / "docs" / "__init__.py", tmp_path / "docs")
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs" / "results", tmp_path / "docs" / "results", ignore=shutil.ignore_patterns("*.png"))
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def called(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.pages", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_page_is_what_its_numbers_make() -> None:
    done = called(ROOT, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_page_with_another_number_is_named_and_written_anew(copy: Path) -> None:
    """Of the gallery one measured number, of the verdicts one word, of README and a page one number each.

    And the rows of a run on a GPU, which were not there.
    """
    changed = {
        "benchmarks/gallery.md": ("hidden 0.773 % → 1.18 %", "hidden 0.773 % → 31.18 %"),
        "docs/results/verdicts.json": ('"agrees"', '"differs"'),
        "benchmarks/results.json": ('"rows": 34356', '"rows": 34357'),
        "docs/results/speed.md": ("float32", "float16"),
    }
    for name, (old, new) in changed.items():
        text = (copy / name).read_text("utf-8")
        assert old in text, name
        (copy / name).write_text(text.replace(old, new), "utf-8")
    gpu = copy / "docs/results/gpu.md"
    assert "Nothing on this page was measured on a GPU" in gpu.read_text("utf-8")
    written(gpu.parent, PRETENDED)
    done = called(copy, "--check")
    assert (done.returncode, done.stderr) == (1, "")
    named = {line.partition(":")[0] for line in done.stdout.splitlines()}
    changed_pages = ("verdicts", "numbers/verdicts", "paper", "figures/fig3", "kills", "speed", "gpu")
    wanted = {"README.md", *(f"docs/results/{page}.md" for page in changed_pages)}
    assert named == wanted
    assert called(copy).returncode == 0
    assert "31.18 %" in (copy / "docs/results/figures/fig3.md").read_text("utf-8")
    said = " ".join((copy / "docs/results/paper.md").read_text("utf-8").split())
    assert "16 of 19 entries of this page show what the paper says; in part in Figure 3, Findings 1 and 2;" in said
    assert "At the paper's sizes the hidden and the output layer are not near-block-diagonal" in said
    assert "| differs |" in (copy / "README.md").read_text("utf-8")
    assert "34,357" in (copy / "docs/results/kills.md").read_text("utf-8")
    assert "on one Pretended P1 on 2001-02-03." in gpu.read_text("utf-8")


def test_a_folder_without_verdicts_is_refused_and_nothing_is_written(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "gallery.md").write_text("# Gallery\n")
    before = {file: file.read_bytes() for file in copy.rglob("*.md")}
    done = called(copy, "out")
    assert done.returncode == 2
    said = "OUT: out has no verdicts.json; give a folder that `rmtsim reproduce` filled"
    assert done.stderr.splitlines()[-1].endswith(said)
    assert before == {file: file.read_bytes() for file in copy.rglob("*.md")}


def test_words_that_the_gallery_lost_are_named(copy: Path) -> None:
    gallery = copy / "benchmarks/gallery.md"
    gallery.write_text(gallery.read_text("utf-8").replace("(2 clusters)", "(two clusters)"), "utf-8")
    done = called(copy, "--check")
    assert done.returncode == 1
    assert "gallery, fig10: nothing matches" in done.stderr


def test_the_picture_of_blocks_says_what_the_hessian_has() -> None:
    code = """
import numpy as np
from benchmarks.pages.block_picture import CLASSES, DIM, panel
for n_classes in CLASSES:
    shown = panel(n_classes)
    blocks = shown.hessian.reshape(n_classes, DIM, n_classes, DIM)
    norms = (blocks**2).sum(axis=(1, 3))
    outside = 1 - np.trace(norms) / norms.sum()
    assert abs(outside - shown.outside) < 1e-12 * n_classes, (outside, shown.outside)
    assert abs(np.sqrt(np.trace(norms) / n_classes) / DIM - shown.scale) < 1e-12
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
