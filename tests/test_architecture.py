"""What an import does not load, what is public, and what runs from a bare checkout; import-linter holds the rest."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import rmtsim
from rmtsim.theory import Prediction

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import rmtsim; rmtsim.simulate(rmtsim.Point('linear', 'ce', 3, 4, 5), 2)",
            "cupy ray matplotlib seaborn rich jax attr attrs",
        ),
        (
            "import rmtsim.cli.command; rmtsim.cli.command.parser()",
            "cupy ray matplotlib seaborn rich pandas pyarrow scipy attr attrs",
        ),
        (
            "import rmtsim.store, rmtsim.store.verify, rmtsim.store.merge, rmtsim.store.compact",
            "cupy ray matplotlib rich fsspec boto3 attr attrs",
        ),
        ("import rmtsim", "numpy pandas pyarrow scipy ray matplotlib seaborn cupy rich jax IPython"),
        ("import rmtsim; rmtsim.open_store('s').read()", "ray matplotlib seaborn cupy rich jax IPython"),
        ("import rmtsim; rmtsim.run, rmtsim.plot, rmtsim.predict([])", "ray matplotlib seaborn cupy rich jax IPython"),
        ("import rmtsim.cli.sweep_verbs, rmtsim.sweeps.runner", "cupy ray matplotlib scipy.stats rmtsim.theory"),
        ("import rmtsim.sweeps.ray_workers, rmtsim.sweeps.batches", "cupy ray pandas scipy.stats rmtsim.store"),
        ("import rmtsim.stats.fit", "cupy ray matplotlib seaborn scipy.stats scipy.interpolate"),
    ],
)
def test_what_is_not_loaded(statement: str, absent: str) -> None:
    check = f"{statement}\nimport sys\nprint(*(set({absent.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_engine_runs_from_a_bare_checkout(tmp_path: Path) -> None:
    """With nothing to import but NumPy, SciPy, pandas, pyarrow and what they need."""
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
class Bare:
    def find_spec(self, name, path=None, target=None):
        absent = "attr attrs ray rich matplotlib seaborn threadpoolctl cupy"
        if name.split(".")[0] in absent.split():
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Bare())
import importlib.util
find = importlib.util.find_spec
import rmtsim.arrays.gpu_device
import rmtsim.arrays.threads
hidden = ("threadpoolctl", "cupy")
def found(name):
    return None if name in hidden else find(name)
rmtsim.arrays.gpu_device.find_spec = rmtsim.arrays.threads.find_spec = found
import rmtsim
from rmtsim.store import Store
point = rmtsim.Point("one_hidden", "ce", 4, 6, 8, 2)
with Store("s").writer() as writer:
    writer.append(rmtsim.simulate(point, 3), {{}})
assert len(Store("s").read()) == 9
from rmtsim.store.compact import compact
from rmtsim.store.merge import merge
from rmtsim.store.verify import verify
assert merge(["s"], Store("t")).rows == 9
assert compact(Store("t")).after == 1
assert not verify(Store("t"), 2).findings
assert rmtsim.predict(rmtsim.Point("linear", "ce", 10, 6, 12)).diag_sqfro.item() > 0
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


def test_public_surface() -> None:
    names = """
        BlockNorms Ensemble Fit InputError LayerNorms Measurement Outcome Point Progress RunError Spec Store
        block_norms fit hessian layer_norms measure open_store plot predict report run simulate summarize
    """
    public = [name for name in dir(rmtsim) if not name.startswith("_")]
    assert public == names.split()
    for name in public:
        assert inspect.getdoc(getattr(rmtsim, name)), name
    examples = (
        "Ensemble Point block_norms fit hessian layer_norms measure open_store predict report run simulate summarize"
    )
    for name in examples.split():
        assert ">>>" in inspect.getdoc(getattr(rmtsim, name)), name


def test_predictions_have_the_documented_fields() -> None:
    sizes = "model loss layer n_classes aspect_ratio width dim n_samples"
    values = "diag offdiag ratio std_error_diag std_error_offdiag regime diag_power offdiag_power"
    assert {*sizes.split(), *values.split()} <= {field.name for field in dataclasses.fields(Prediction)}


def test_lock_files_hold_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-test.lock", "requirements-cluster.lock"):
        lines = (ROOT / name).read_text().splitlines()
        pins = [line for line in lines if "==" in line and not line.startswith("#")]
        assert len(pins) > 20
        assert all(line.rstrip().endswith("\\") for line in pins)  # hashes follow
        assert sum("--hash=sha256:" in line for line in lines) >= len(pins)
        assert not any("://" in line or "index" in line or "find-links" in line for line in lines)
