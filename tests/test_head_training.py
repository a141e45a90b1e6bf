"""Networks trained here, whose heads are measured on the way; and what the results say of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmtsim
from harness.learners import Learner, Moment
from harness.ratio_laws import distances, slopes

LEARNER = Learner(
    n_classes=100, dim=24, hidden=(48, 16), centres=1, noise=1.0, n_samples=3000, steps=60, learning_rate=0.02
)


@pytest.fixture(scope="module")
def moments() -> list[Moment]:
    return list(LEARNER.moments((0, 6, 60), 192))


def explicit(V: Any, X: Any) -> tuple[float, float]:
    """Mean squared norms of the diagonal and of the other blocks of one batch, each block formed."""
    logits = X @ V.T
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    C, pairs = len(V), (X[:, :, None] * X[:, None, :]).reshape(len(X), -1)
    norms = np.array([((p[:, [i]] * ((np.arange(C) == i) - p)).T @ pairs / len(X)) ** 2 for i in range(C)]).sum(axis=2)
    own = np.trace(norms)
    return own / C, (norms.sum() - own) / (C * (C - 1))


def test_its_head_is_measured_at_every_moment(moments: list[Moment]) -> None:
    """Blocks are those written out, from a start that is as the theorem has it to a network that knows the classes."""
    found = []
    for moment in moments:
        one = rmtsim.measure(moment.V, moment.X, batch=192, nulls="theorem")
        diag, offdiag = explicit(moment.V.astype(float), moment.X.astype(float))
        assert one.diag_sqfro == pytest.approx(diag, rel=1e-5)
        assert one.offdiag_sqfro == pytest.approx(offdiag, rel=1e-5)
        found.append(one)
    start, *_, end = found
    theorem = start.nulls["ratio"].item()
    assert 0.5 < start.ratio / theorem < 1.5
    assert end.ratio > 4 * theorem
    assert start.effective_classes > 60 > 5 > end.effective_classes
    assert moments[0].loss > 4 > 2 > moments[-1].loss
    assert moments[0].right < 0.1 < 0.6 < moments[-1].right


def test_a_training_is_a_function_of_its_seed(moments: list[Moment]) -> None:
    again = next(LEARNER.moments((0, 6, 60), 192))
    assert np.array_equal(again.V, moments[0].V)
    assert np.array_equal(again.X, moments[0].X)
    other = next(LEARNER.moments((0, 6, 60), 192, seed=1))
    assert np.abs(np.corrcoef(other.V.ravel(), again.V.ravel())[0, 1]) < 0.1


def course(constant: float, power: float, C: int) -> list[dict[str, Any]]:
    """A training whose ratio is a constant times a power of e."""
    rows = []
    for step, e in enumerate(np.geomspace(0.8 * C, 1.1, 12)):
        ratio = constant * e**power / C
        row = {"step": step, "effective_classes": e, "k": e, "ratio": ratio}
        rows.append(row | {"ratio C²": ratio * C**2, "ratio e²": ratio * e**2})
    return rows


def test_slopes_and_distances_are_those_of_the_law() -> None:
    runs = [course(1.5, -1, 100), course(1.5, -1, 100)]
    row = slopes("one", runs)
    for phase in ("all", "early", "late"):
        assert row[phase] == pytest.approx(-1)
    far = distances("one", 100, runs)
    assert far["off 1/(C e) by"] == pytest.approx(1.5)
    assert far["off 1/((C−1) k) by"] == pytest.approx(1.5 * 0.99)
    assert far["off 1/C² by"] > 5
    assert far["off 1/e² by"] > 5
    constant, falling = [course(0.012, 0, 100)], [course(120, -2, 100)]
    assert slopes("one", constant)["late"] == pytest.approx(0, abs=1e-12)
    counts = [distances("one", 100, of)["nearer to 1/C²"] for of in (constant, falling)]
    assert counts == [12, 0]
    apart = [course(1.5, -1, 100), course(1.5, -1.2, 100)]
    assert slopes("one", apart)["std_error_all"] == pytest.approx(0.1)


#: A page of numbers that no run had.
RENDER = """
import numpy as np
from benchmarks import head_training
from benchmarks.report import Part, Table
from harness.ratio_laws import distances, slopes
from tests.test_head_training import course
runs = [course(1.5, -1, 100), course(1.5, -1.2, 100)]
tables = [[slopes("one", runs)], [distances("one", 100, runs)], [{"network": "one", "ratio": 1 / 64}]]
tables = [Table("", rows) for rows in [*tables, [{"network": "one", "theorem": 0.0234375}]]]
part = Part("what was done", tables)
print(head_training.page(part, {"one": (100, runs)}), head_training.numbers(part))
"""


def test_every_number_of_the_page_is_of_the_run() -> None:
    command = [sys.executable, "-c", RENDER]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    for said in ("of the 24 moments", "one: e goes from 80 to 1.1 of 100", "all -1.10 ± 0.10", "0.01562", "0.02344"):
        assert said in words
    assert "what was done" in words
