"""Figures are the same whatever the user's set-up for plots, and matplotlib is loaded only to draw."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

import rmtsim
from rmtsim.cli.main import main
from rmtsim.figures.matplotlib_setup import encoded
from rmtsim.figures.style import paper_style
from rmtsim.store import Store

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("drawing")
    with Store(folder / "s").writer() as writer:
        points = [rmtsim.Point("linear", "mse", C, 8, 16) for C in (2, 5, 10)]
        writer.append(pd.concat([rmtsim.simulate(point, 4) for point in points]), {"name": "test"})
    return str(folder / "s")


@pytest.fixture(scope="module")
def expected(store: str) -> bytes:
    """The figure as it is drawn with nothing set."""
    out = Path(store).with_name("expected.png")
    assert main(["figure", "fig8_mse", "--store", store, "--out", str(out)]) == 0
    return out.read_bytes()


@pytest.fixture
def undone() -> Iterator[None]:
    with mpl.rc_context():
        yield


@pytest.mark.usefixtures("undone")
@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_settings_of_the_same_process_play_no_part(store: str, suffix: str, tmp_path: Path) -> None:
    def drawn(name: str) -> bytes:
        assert main(["figure", "fig8_mse", "--store", store, "--out", str(tmp_path / f"{name}{suffix}")]) == 0
        return (tmp_path / f"{name}{suffix}").read_bytes()

    plain = drawn("plain")
    mpl.style.use("dark_background")
    sns.set_theme(style="darkgrid", palette="husl", font="serif", font_scale=3)
    mpl.rcParams.update(
        {
            "text.usetex": True,
            "savefig.dpi": 30,
            "savefig.bbox": "tight",
            "savefig.transparent": True,
            "figure.constrained_layout.w_pad": 1.0,
            "figure.autolayout": True,
            "axes.unicode_minus": False,
            "lines.markersize": 30,
            "path.sketch": (1, 100, 2),
            "pdf.fonttype": 42,
            "mathtext.fontset": "stix",
            "image.cmap": "jet",
        }
    )
    set_so = dict(mpl.rcParams)
    assert drawn("changed") == plain
    assert dict(mpl.rcParams) == set_so


def run(folder: Path, store: str, variables: dict[str, str]) -> bytes:
    out = folder / "f.png"
    command = [sys.executable, "-m", "rmtsim", "figure", "fig8_mse", "--store", store, "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{out}: drawn\n"
    return out.read_bytes()


RC = "text.usetex: True\nfont.family: serif\nsavefig.dpi: 30\nlines.linewidth: 9\nnonsense: 3\nbackend: nonsense\n"


def test_a_jupyter_kernel_and_a_file_of_settings(store: str, expected: bytes, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(RC)
    assert run(tmp_path, store, {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}) == expected


def test_what_matplotlib_would_stumble_over(store: str, expected: bytes, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")
    assert run(tmp_path, store, {"MPLBACKEND": "nonsense"}) == expected


AFTERWARDS = """
import sys
from rmtsim.figures.matplotlib_setup import save
from rmtsim.figures.registry import draw
from rmtsim.store import Store
save(draw("fig8_mse", Store(sys.argv[1]).read()), "f.png")
import matplotlib
print(matplotlib.rcParams["lines.linewidth"], matplotlib.rcParams["backend"])
"""


def test_a_users_settings_hold_for_the_user(store: str, expected: bytes, tmp_path: Path) -> None:
    (tmp_path / "rc").write_text("lines.linewidth: 9\nfont.family: serif\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment |= {"MATPLOTLIBRC": str(tmp_path / "rc"), "MPLBACKEND": "svg"}
    command = [sys.executable, "-c", AFTERWARDS, store]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["9.0", "svg"]
    assert (tmp_path / "f.png").read_bytes() == expected


WITHOUT = """
import sys
from rmtsim.cli.main import main
store = sys.argv[1]
for line in (
    "figure --list",
    "figure fig8_mse",
    "figure fig99 --store S --out f.png",
    "figure fig8_mse --store S --out f.gif",
    "figure fig8_mse --store none --out f.png",
    "figure fig9 --store S --out f.png",
    "plan fig2 --store S",
    "plan nothing --store S",
    "plan figure8 --store S",
    "reproduce fig99",
    "status --store S",
    "fit --store S",
    "export --store S --out t.csv",
    "theory --model linear --loss ce --classes 10 --aspect-ratio 0.5 --spectrum --out no/f.png",
):
    try:
        main(line.replace("S ", f"{store} ").replace(" S", f" {store}").split())
    except SystemExit:
        pass
    print(line, *sorted({"matplotlib", "seaborn"} & set(sys.modules)), file=sys.stderr)
"""


def test_only_what_draws_loads_matplotlib(store: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "nonsense"}
    command = [sys.executable, "-c", WITHOUT, store]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.endswith(("matplotlib", "seaborn"))]


def test_every_figure_is_drawn_with_settings_of_our_own() -> None:
    """Figures are made inside one of the two styles, and saved in one place."""
    for path in [*(ROOT / "rmtsim" / "figures").glob("*.py"), *(ROOT / "rmtsim" / "paper").rglob("*.py")]:
        text = path.read_text("utf-8")
        if path.name != "matplotlib_setup.py":
            assert "rc_context" not in text, path.name
            assert "savefig" not in text, path.name
        tree = ast.parse(text)
        styled = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.With) and ast.unparse(node.items[0]).startswith(("paper_style(", "settings("))
        ]
        inside = {id(node) for block in styled for node in ast.walk(block)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Figure":
                assert id(node) in inside, f"{path.name}, line {node.lineno}"


def test_fonts_are_those_of_matplotlib() -> None:
    """seaborn's first choice is Arial, which some machines have."""
    with paper_style():
        assert mpl.rcParams["font.sans-serif"] == ["DejaVu Sans"]
    figure = mpl.figure.Figure()
    assert encoded(figure, ".png") == encoded(figure, ".png")


def test_a_figure_is_laid_out_once_for_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are then the same in any order. Control: ``savefig`` lays it out for each."""
    laid_out = []
    execute = ConstrainedLayoutEngine.execute
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda *given: laid_out.append(1) or execute(*given))

    def small() -> Figure:
        figure = Figure(figsize=(3, 2), layout="constrained")
        figure.subplots().set_title("$C^2$")
        return figure

    both, other = small(), small()
    files = [encoded(both, suffix) for suffix in (".png", ".pdf")]
    assert len(laid_out) == 1
    assert (both.dpi, both.canvas) == (other.dpi, both.canvas)
    assert files == [encoded(other, suffix) for suffix in (".pdf", ".png")][::-1]
    laid_out.clear()
    control = small()
    for suffix in (".png", ".pdf"):
        control.savefig(BytesIO(), format=suffix[1:])
    assert len(laid_out) == 2
