"""The notebooks of analysis/ run from their first cell to the last, on small stores that they make themselves."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbclient
import pytest

ANALYSIS = Path(__file__).parents[1] / "analysis"

#: Of each notebook, the pictures that it shows, and words that its outputs have.
NOTEBOOKS = {
    "decay_by_hand": (1, ["Theorem 1 has −4", "with corrections −3.9", "448 draws"]),
    "figures_8_and_9": (2, ["29 points, 928 draws", "ratio_theory"]),
    "own_sweep": (1, ["nothing to do", "standard errors"]),
}


def test_all_notebooks_are_run() -> None:
    assert {path.stem for path in ANALYSIS.glob("*.md")} == set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name: str, tmp_path: Path) -> None:
    pictures, words = NOTEBOOKS[name]
    notebook = jupytext.read(ANALYSIS / f"{name}.md")
    (folder := tmp_path / "analysis").mkdir()  # Jupyter runs a notebook in its own folder
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output["data"] for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) == pictures
    text = "\n".join([output.get("text", "") for output in outputs] + [data["text/plain"] for data in shown])
    assert all(word in text.replace("-", "−") or word in text for word in words), text
    assert any("<progress" in data.get("text/html", "") for data in shown)  # of the sweep, as it went on
    warnings = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert not [line for line in warnings if "Creating legend" not in line]  # which a stalled machine has it say
