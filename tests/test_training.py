"""Adam against its definition, the schedule against its formula, resuming to the bit."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rmtsim import InputError
from rmtsim.errors import RunError, StoppedError
from rmtsim.full_hessian.description import Look
from rmtsim.full_hessian.propagation import loss_and_gradient
from rmtsim.store import Store
from rmtsim.store.failures import TornError
from rmtsim.store.saved_files import SavedFiles
from rmtsim.store.storage import open_files
from rmtsim.store.verify import verify
from rmtsim.sweeps.experiment import Experiment, table_file
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.task import Checkpoint
from rmtsim.training.trajectory import core_seconds, trajectory, trajectory_task

PROBLEM = Problem("ce", 6, 5, 40, (4,))
SCHEDULE = Schedule(60, 0.02, (0.0, 0.1, 1.0))


def test_the_schedule_is_the_cosine() -> None:
    schedule = Schedule(100, 1e-4)
    assert [schedule.rate(t) for t in (0, 50, 100)] == pytest.approx([1e-4, 5e-5, 0.0], abs=1e-20)
    assert Schedule(1000, checkpoints=(0, 0.0001, 0.25, 1)).checkpoint_steps == (0, 1, 250, 1000)


def test_checkpoints_of_few_steps_stand_once() -> None:
    schedule = Schedule(10, 0.02, (0, 0.001, 0.01, 0.1, 0.26, 1))
    assert schedule.checkpoint_steps == (0, 1, 3, 10)
    table = trajectory(PROBLEM, schedule)
    assert table[table["quantity"] == "residual_sqnorm"]["step"].tolist() == [0, 1, 3, 10]
    assert not table.duplicated(["step", "layer", "other", "quantity", "i", "j"]).any()


def test_equal_schedules_are_one() -> None:
    given = [Schedule(50, 1, (0, 1)), Schedule(50, 1.0, (0.0, 1.0)), Schedule(50, np.float32(1), np.array([0, 1]))]
    assert len(set(given)) == 1
    assert len({table_file(trajectory_task("a", PROBLEM, schedule)) for schedule in given}) == 1
    assert table_file(trajectory_task("a", PROBLEM, Schedule(50, 1.0, (0.0, 0.5)))) != table_file(
        trajectory_task("a", PROBLEM, given[0])
    )


def test_a_loss_that_is_no_number_ends_a_run() -> None:
    with pytest.raises(
        RunError, match=r"training: the loss is (nan|inf) after \d+ steps; give a smaller learning_rate"
    ):
        trajectory(Problem("mse", 6, 5, 40, (4,)), Schedule(10, 1e160, (0, 1)))


def test_work_and_overhead_make_the_time() -> None:
    """Steps and looks cost time however fast products are; work is counted besides."""
    none, start, trained = Schedule(), Schedule(100, checkpoints=(0.0, 1.0)), Schedule(1000, checkpoints=(0.0, 1.0))
    look, short, long = (core_seconds(PROBLEM, schedule, np.inf) for schedule in (none, start, trained))
    assert long - short == pytest.approx(900 / 100 * (short - 2 * look))
    work = [trajectory_task("", PROBLEM, schedule).cost for schedule in (start, trained)]
    slower = [core_seconds(PROBLEM, schedule, 1e9) for schedule in (start, trained)]
    assert (slower[1] - long) / (slower[0] - short) == pytest.approx(work[1] / work[0])
    assert slower[1] - long > work[1] / 1e9


@pytest.mark.parametrize("name", ["run", "step6"])
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-7], lambda data: data[:50] + b"x" + data[51:], lambda data: b""]
)
def test_a_damaged_state_is_reported(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    task = trajectory_task("a", PROBLEM, SCHEDULE)
    saved = Checkpoint(SavedFiles(open_files(tmp_path), "experiments/e", table_file(task)))
    open_files(tmp_path).prepare(("experiments/e",))
    run = Run(PROBLEM.draw().weights)
    X, _, y = PROBLEM.draw()
    whole = task.table(saved)  # and leaves its steps
    assert list(run.advance(X, y, "ce", SCHEDULE, 23))
    saved.save("run", run.save())
    pd.testing.assert_frame_equal(task.table(saved), whole)
    [path] = tmp_path.glob(f"experiments/e/*.{name}")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TornError, match=rf"{path} is torn; remove it, and the same call goes on"):
        task.table(saved)
    path.unlink()  # without the checkpoint's table it starts again
    pd.testing.assert_frame_equal(task.table(saved), whole)


def test_adam_is_its_definition() -> None:
    """Kingma & Ba's Algorithm 1, written out with bias-corrected moments, in one vector."""
    X, weights, y = PROBLEM.draw()
    run = Run([W.copy() for W in weights])
    shapes, w = [W.shape for W in weights], np.concatenate([W.ravel() for W in weights])
    m, v = np.zeros_like(w), np.zeros_like(w)
    cuts = np.cumsum([W.size for W in weights])[:-1]
    for t in range(1, 31):
        parts = [part.reshape(shape) for part, shape in zip(np.split(w, cuts), shapes, strict=True)]
        g = np.concatenate([part.ravel() for part in loss_and_gradient(X, parts, y, "ce")[1]])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        rate = 0.01 * (1 + np.cos(np.pi * (t - 1) / 60))
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    for _ in run.advance(X, y, "ce", SCHEDULE, 30):
        pass
    np.testing.assert_allclose(np.concatenate([W.ravel() for W in run.weights]), w, rtol=1e-10)


@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("hidden", [(), (4,), (6, 5)])
def test_losses_fall(loss: str, hidden: tuple[int, ...]) -> None:
    table = trajectory(Problem(loss, 6, 5, 40, hidden), Schedule(200, 0.02, (0.0, 0.5, 1.0)))
    losses = table[(table["quantity"] == "loss") & table["progress"].isin([0.0, 0.5, 1.0])].set_index("step")["value"]
    assert losses[0] > losses[100] > losses[200]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_saved_run_goes_on_to_the_bit(dtype: str) -> None:
    X, weights, y = Problem("ce", 6, 5, 40, (4,), dtype=dtype).draw()
    whole, half = (Run([W.copy() for W in weights]) for _ in range(2))
    for _ in whole.advance(X, y, "ce", SCHEDULE, 60):
        pass
    for _ in half.advance(X, y, "ce", SCHEDULE, 23):
        pass
    again = Run.load(half.save(), weights)
    for _ in again.advance(X, y, "ce", SCHEDULE, 60):
        pass
    for mine, theirs in zip(again.weights, whole.weights, strict=True):
        assert mine.dtype == dtype
        np.testing.assert_array_equal(mine, theirs)
    assert again.losses == whole.losses


#: Dies after so many steps, on a clock that shows a second more whenever it is looked at: once at each step.
_KILLED = """
import itertools, os, signal, sys
from types import SimpleNamespace
import rmtsim.training.trajectory
from rmtsim.store.verify import verify
from rmtsim.sweeps.experiment import Experiment
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.training.adam import Run
from tests.test_training import long_task
advance, start = Run.advance, []

def dying(run, *arguments):
    for step in advance(run, *arguments):
        if not start:
            start.append(print(run.step, flush=True))
        if run.step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield step

Run.advance = dying
rmtsim.training.trajectory._SAVE_EVERY = 400
rmtsim.training.trajectory.time = SimpleNamespace(monotonic=itertools.count().__next__)
run_tables(Experiment("killed", [long_task()]), sys.argv[1])
"""


def long_task() -> object:
    problem = Problem("ce", 20, 10, 400, (8,))
    return trajectory_task("killed", problem, Schedule(4000, 0.01, (0.0, 0.01, 0.5, 1.0)), look=Look(cells=20))


def test_a_killed_run_resumes_to_the_bit(tmp_path: Path) -> None:
    """SIGKILL at three moments; the table then equals that of an undisturbed run, and nothing is left beside it."""
    store, begins = tmp_path / "store", []
    folder = store / "experiments" / "killed"
    for steps in (1000, 2000, 3000):
        line = [sys.executable, "-c", _KILLED, str(store), str(steps)]
        done = subprocess.run(line, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        begins.append(int(done.stdout))
    assert begins[0] == 1
    assert 1 < begins[1] <= 1000 < begins[2] <= 2000  # each goes on where a state was saved
    assert not list(folder.glob("*.parquet"))
    experiment = Experiment("killed", [long_task()])  # type: ignore[list-item]
    assert run_tables(experiment, store).new_tables == 1
    undisturbed = Experiment("killed", [long_task()])  # type: ignore[list-item]
    run_tables(undisturbed, tmp_path / "other")
    pd.testing.assert_frame_equal(experiment.read(store), undisturbed.read(tmp_path / "other"), check_exact=True)
    assert [path.suffix for path in folder.iterdir()] == [".parquet"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"steps": -1}, "steps: -1 is not valid"),
        ({"steps": 2.5}, "steps: 2.5 is not valid"),
        ({"steps": 10, "learning_rate": 0}, "learning_rate: 0 is not valid"),
        ({"steps": 10, "learning_rate": float("nan")}, "learning_rate: nan is not valid"),
        ({"steps": 10, "checkpoints": ()}, r"checkpoints: \[\] is not valid"),
        ({"steps": 10, "checkpoints": (0.5, 0.1)}, "checkpoints: .* give ascending numbers"),
        ({"steps": 10, "checkpoints": (0, 2)}, "checkpoints: .* from 0 to 1"),
        ({"checkpoints": (0, 1)}, "checkpoints: .* is not valid without steps"),
        ({"checkpoints": None}, "checkpoints: None is not valid; give ascending numbers"),
        ({"steps": 10, "checkpoints": 0.5}, "checkpoints: 0.5 is not valid"),
        ({"steps": 10, "checkpoints": "01"}, "checkpoints: '01' is not valid"),
        ({"steps": 10, "learning_rate": 10**400}, "learning_rate: 10+… is not valid"),
    ],
)
def test_bad_schedules(arguments: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Schedule(**arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"loss": "hinge"}, "loss: 'hinge' is not known"),
        ({"n_classes": 0}, "n_classes: 0 is not valid"),
        ({"hidden": (3, 0)}, "hidden: 0 is not valid"),
        ({"loss": "binary_ce"}, "n_classes: 6 does not go with loss 'binary_ce'; give 2"),
        ({"dtype": "float16"}, "dtype: 'float16' is not known"),
        ({"hidden": 8}, r"hidden: 8 is not valid; give the widths of the layers, say \(8,\)"),
        ({"hidden": "8"}, "hidden: '8' is not valid"),
        ({"data": "gaussian"}, "data: 'gaussian' is not a data law; give one of rmtsim.data"),
    ],
)
def test_bad_problems(arguments: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Problem(**({"loss": "ce", "n_classes": 6, "dim": 5, "n_samples": 40} | arguments))


@pytest.mark.parametrize(
    ("draw", "seed", "sentence"), [(-1, 0, "draw: -1"), (0.5, 0, "draw: 0.5"), (0, -1, "seed: -1")]
)
@pytest.mark.parametrize("hidden", [(4,), (4, 3)])
def test_bad_draws(draw: Any, seed: int, sentence: str, hidden: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=f"{sentence} is not valid; give a whole number from 0"):
        Problem("ce", 6, 5, 40, hidden).draw(draw, seed)


def test_backends_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmtsim.arrays.gpu_device.problem", lambda: "there is no GPU")
    pd.testing.assert_frame_equal(trajectory(PROBLEM, backend="auto"), trajectory(PROBLEM))
    for name in ("cupy", "torch"):
        with pytest.raises(InputError, match=f"backend: '{name}' .*choose"):
            trajectory(PROBLEM, backend=name)


def test_draws_are_those_of_the_sweeps() -> None:
    import rmtsim

    table = trajectory(PROBLEM, draw=3)
    rows = rmtsim.simulate(PROBLEM.point, range(3, 4)).set_index("layer")
    for layer, a, b in (("hidden", 1, 1), ("output", 2, 2), ("cross", 1, 2)):
        part = table[(table["layer"] == a) & (table["other"] == b)].set_index("quantity")["value"]
        assert part["offdiag_sqfro"] == pytest.approx(rows.loc[layer, "offdiag_sqfro"], rel=1e-10)
    other = Problem("ce", 6, 5, 40, (4, 4))
    assert np.var(other.draw(0).weights[1]) == pytest.approx(1 / 4, rel=1.0)
    assert not np.array_equal(other.draw(0).X, other.draw(1).X)


def test_a_state_that_an_earlier_version_saved_is_gone_on_from(tmp_path: Path) -> None:
    """Its files are a digest, of the content alone or with the file's name as its key, and then the state."""
    task = trajectory_task("a", PROBLEM, SCHEDULE)
    folder, stem = tmp_path / "experiments/e", table_file(task).removesuffix(".parquet")
    folder.mkdir(parents=True)
    saved: dict[str, bytes] = {}
    looks = count()
    with pytest.raises(StoppedError, match="what was committed is safe, the same command goes on"):
        task.table(Checkpoint(saved, lambda: next(looks) >= 40))
    assert set(saved) == {"run", "step0", "step6"}
    for name, data in saved.items():
        file = f"_{stem}.{name}"
        key = b"" if name == "step0" else blake2b(file.encode(), digest_size=32).digest()
        (folder / file).write_bytes(blake2b(data, digest_size=16, key=key).digest() + data)
    assert not verify(Store(tmp_path)).findings
    steps: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        advance = Run.advance

        def watched(run: Run, *arguments: Any) -> Iterator[int]:
            for step in advance(run, *arguments):
                steps.append(step)
                yield step

        patch.setattr(Run, "advance", watched)
        experiment = Experiment("e", [task])
        assert run_tables(experiment, tmp_path, workers=1).new_tables == 1
    assert steps[0] == Run.load(saved["run"], PROBLEM.draw().weights).step + 1 > 6
    pd.testing.assert_frame_equal(experiment.read(tmp_path), task.table(), check_exact=True)
    assert [path.suffix for path in folder.iterdir()] == [".parquet"]
