"""The wheel: what is in it, and that it works beside packages and files that have the names of our folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from sysconfig import get_path
from typing import Any

import pytest

from rmtsim.sweeps.documents import builtin
from rmtsim.version import __version__
from tests.small_package import RAISES, SPEC

ROOT = Path(__file__).parents[1]


#: The cells of a notebook; the last one prints what the test looks at.
CELLS = [
    "import json, rmtsim",
    "from rmtsim.sweeps.spec import builtin_specs",
    "store = rmtsim.open_store('of the notebook')",
    "rmtsim.run('rmtsim.toml', store, workers=1)",
    "draws = store.draws()",
    "rmtsim.plot.decay(draws, theory=False).figure.savefig('notebook.png')",
    "print(json.dumps([rmtsim.__file__, builtin_specs(), len(draws)]))",
]


def called(line: list[object], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, line)), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as ``pip install .`` does, without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", folder, ROOT], check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment: with the wheel, another distribution, and the dependencies of the tests'."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    [packages] = (folder / "venv" / "lib").glob("python*/site-packages")
    # Of a folder that a .pth names, no .pth is read: the rmtsim that the tests themselves import stays out.
    (packages / "dependencies.pth").write_text(f"{get_path('purelib')}\n{get_path('platlib')}\n")
    other = folder / "namesakes-1.0-py3-none-any.whl"
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("sweeps/__init__.py", RAISES)
        file.writestr("analysis.py", RAISES)
        about = "namesakes-1.0.dist-info"
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: namesakes\nVersion: 1.0\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "".join(f"{name},,\n" for name in [*file.namelist(), f"{about}/RECORD"]))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python]
    options = ["install", "--no-deps", "--no-index", "--ignore-installed"]
    subprocess.run([*pip, *options, wheel, other], check=True, capture_output=True)
    assert {"rmtsim", "sweeps", "analysis.py"} <= set(os.listdir(packages))
    return python


@pytest.fixture
def environment() -> dict[str, str]:
    """Return the environment of a user who knows nothing of this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "COV_"))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, with files of names that we have, too."""
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").write_text(RAISES)
    (tmp_path / "sweeps.py").write_text(RAISES)
    (tmp_path / "rmtsim.toml").write_text(SPEC)
    return tmp_path


def test_the_wheel_holds_the_package_and_its_metadata_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"rmtsim", f"rmtsim-{__version__}.dist-info"}
    assert {"rmtsim/py.typed", "rmtsim/cli/main.py", "rmtsim/builtin/figure8.toml"} <= set(names)
    assert {f"rmtsim/builtin/{name}.toml" for name in builtin()} <= set(names)
    assert not [name for name in names if "test" in name or "benchmark" in name or "__pycache__" in name]


def test_the_command_among_namesakes(python: Path, folder: Path, environment: dict[str, str]) -> None:
    """By ``-m``, which imports from the user's folder first, it runs and draws; its script finds what it comes with."""
    script, module = [python.with_name("rmtsim")], [python, "-m", "rmtsim"]

    def rmtsim(*words: str, by: list[object] = module) -> subprocess.CompletedProcess[str]:
        return called([*by, *words], folder, environment)

    for way, name, code in ((module, "figure8", 0), (script, "figure8", 0), (script, "nothing", 2)):
        plan = rmtsim("plan", name, "--store", "results", by=way)
        assert plan.returncode == code, plan.stderr
        assert ("30 points" in plan.stdout) if code == 0 else ("figure8" in plan.stderr)
    done = rmtsim("run", "rmtsim.toml", "--store", "results", "--workers", "1", "--backend", "numpy")
    assert done.returncode == 0, done.stderr
    drawn = rmtsim("figure", "fig8_mse", "--store", "results", "--out", "fig8.png")
    assert drawn.returncode == 0, drawn.stderr
    assert (folder / "fig8.png").read_bytes().startswith(b"\x89PNG")


def test_a_notebook_among_namesakes(python: Path, folder: Path, environment: dict[str, str]) -> None:
    """In a kernel of Jupyter, which imports from the folder of the notebook first."""
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [cell | {"id": f"cell{number}", "source": line} for number, line in enumerate(CELLS)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    (folder / "notebook.ipynb").write_text(
        json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})
    )
    own = {name: str(folder / ".jupyter") for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    execute = "from nbclient.cli import main; main()"
    line: list[object] = [python, "-P", "-c", execute, "--inplace", "notebook.ipynb"]
    done = called(line, folder, environment | own)
    assert done.returncode == 0, done.stderr
    outputs: list[dict[str, Any]] = json.loads((folder / "notebook.ipynb").read_text())["cells"][-1]["outputs"]
    file, specs, rows = json.loads("".join(outputs[0]["text"]))
    assert Path(file).is_relative_to(python.parents[1])
    assert "figure8" in specs
    assert rows == 3 * 8
    assert (folder / "notebook.png").read_bytes().startswith(b"\x89PNG")


def test_an_editable_install_is_found_beside_a_clone(tmp_path: Path) -> None:
    """A clone is a folder named rmtsim; Python that starts in the folder above it takes that for a package."""
    build = "import sys, hatchling.build as b; b.build_editable(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, tmp_path], cwd=ROOT, check=True, capture_output=True)
    [built] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as file:
        file.extractall(tmp_path / "packages")
    (tmp_path / "rmtsim" / "docs").mkdir(parents=True)
    found = "import site, sys; site.addsitedir(sys.argv[1]); import rmtsim; print(rmtsim.__version__)"
    ended = called([sys.executable, "-S", "-c", found, tmp_path / "packages"], tmp_path, dict(os.environ))
    assert (ended.stdout.strip(), ended.stderr) == (__version__, "")
