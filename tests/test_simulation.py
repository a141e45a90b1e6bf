"""Draws and rows: keyed, reproducible, and distributed as Assumptions 1 and 2 say."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from threadpoolctl import threadpool_info, threadpool_limits

import rmtsim
from rmtsim.arrays.backend import Backend
from rmtsim.arrays.threads import single_threaded_blas
from rmtsim.model.point import Point
from rmtsim.sampling import waves
from rmtsim.sampling.draws import sample
from rmtsim.sampling.schema import SCHEMA

LINEAR = Point("linear", "ce", 5, 12, 30)
HIDDEN = Point("one_hidden", "ce", 5, 12, 30, 3)


def draw(point: Point, draws: range, seed: int = 0, dtype: str = "float64"):
    made = sample(point, draws, seed, dtype=dtype, xp=np, labels=True)
    return made._replace(V=made.V.all())


def test_distribution() -> None:
    point = Point("one_hidden", "ce", 50, 40, 100, 8)
    X, V, W, y, _ = draw(point, range(50))
    for values, variance in ((X, 1.0), (V, 1 / 8), (W, 1 / 40)):
        scaled = values.ravel() / variance**0.5
        assert stats.kstest(scaled, "norm").pvalue > 1e-3
        n = scaled.size
        assert abs(np.mean(scaled**2) - 1) < 4 * (2 / n) ** 0.5
        assert abs(np.mean((1.05 * scaled) ** 2) - 1) > 4 * (2 / n) ** 0.5  # 5 % more spread would be seen
    assert stats.chisquare(np.bincount(y.ravel(), minlength=50)).pvalue > 1e-3
    assert draw(LINEAR, range(2)).V.std() == pytest.approx(12**-0.5, rel=0.2)


@pytest.mark.parametrize("role", ["X", "V", "W", "y"])
def test_a_draw_depends_on_its_key_alone(role: str) -> None:
    batch = getattr(draw(HIDDEN, range(3, 9)), role)
    alone = getattr(draw(HIDDEN, range(5, 6)), role)
    assert np.array_equal(batch[2], alone[0])
    others = [
        draw(HIDDEN, range(6, 7)),
        draw(HIDDEN, range(5, 6), seed=1),
        draw(Point("one_hidden", "mse", 5, 12, 30, 3), range(5, 6)),
    ]
    assert not any(np.array_equal(getattr(other, role), alone) for other in others)


def test_roles_are_independent() -> None:
    square = Point("linear", "ce", 30, 12, 30)
    X, V, *_ = draw(square, range(1))
    assert abs(np.corrcoef(X.ravel(), V.ravel())[0, 1]) < 4 / X.size**0.5


def test_both_dtypes_see_the_same_draw() -> None:
    single, double = draw(HIDDEN, range(3), dtype="float32"), draw(HIDDEN, range(3))
    for role in ("X", "V", "W"):
        assert np.array_equal(getattr(single, role), getattr(double, role).astype("float32"))


def test_the_stream_is_the_one_that_stores_hold() -> None:
    """Numbers of stream sfc64-2: if this fails, stored sweeps cannot be continued; give the stream a new name."""
    X, V, W, y, _ = draw(HIDDEN, range(7, 8), seed=3)
    np.testing.assert_allclose(
        [X[0, 0, 0], V[0, 0, 0], W[0, 0, 0]],
        [-0.4166599985044089, -0.6663273852248944, 0.2059797040251047],
        rtol=1e-15,
    )
    assert y[0, :5].tolist() == [1, 4, 3, 0, 4]


@pytest.mark.parametrize("point", [LINEAR, HIDDEN])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rows_do_not_depend_on_batches(point: Point, dtype: str) -> None:
    whole = rmtsim.simulate(point, 10, seed=1, dtype=dtype)
    for batch in (1, 3, 10):
        pd.testing.assert_frame_equal(
            rmtsim.simulate(point, 10, seed=1, dtype=dtype, batch=batch), whole, check_exact=True
        )
    parts = [rmtsim.simulate(point, part, seed=1, dtype=dtype) for part in (range(4), range(4, 10))]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole, check_exact=True)


def test_rows_have_the_stores_columns() -> None:
    rows = rmtsim.simulate(HIDDEN, 2, seed=4)
    assert list(rows.columns) == SCHEMA.names
    assert rows["layer"].tolist() == ["hidden", "output", "cross"] * 2
    assert rows["draw"].tolist() == [0, 0, 0, 1, 1, 1]
    assert rows[["block_rows", "block_cols"]].iloc[:3].values.tolist() == [[12, 12], [3, 3], [12, 3]]
    assert rows["diag_sqfro"].isna().tolist() == [False, False, True] * 2
    assert (rows["seed"] == 4).all()
    assert (rows["aspect_ratio"] == 0.4).all()
    assert rmtsim.simulate(LINEAR, 1)["width"].isna().all()


def test_rows_are_the_norms_of_the_draw() -> None:
    X, V, W, y = (array[0] for array in draw(HIDDEN, range(5, 6), seed=2)[:4])
    norms = rmtsim.block_norms(X, V, W=W, y=y, loss="ce")
    rows = rmtsim.simulate(HIDDEN, range(5, 6), seed=2).set_index("layer")
    for layer, (diag, off) in norms.items():
        np.testing.assert_array_equal(rows.loc[layer, ["diag_sqfro", "offdiag_sqfro"]].astype(float), [diag, off])


@pytest.mark.parametrize(
    ("point", "layers"),
    [
        (Point("linear", "ce", 300, 100, 200), None),
        (Point("linear", "ce", 30_000, 100, 200), None),  # many chunks
        (Point("linear", "ce", 300, 20, 1500), None),  # features, several tiles
        (Point("linear", "mse", 30, 100, 700), None),
        (Point("one_hidden", "ce", 300, 100, 200, 8), None),
        (Point("one_hidden", "ce", 30_000, 100, 200, 8), ("hidden", "output")),
        (Point("one_hidden", "mse", 300, 100, 200, 8), None),
    ],
    ids=lambda value: f"{value.model}-{value.loss}-C{value.n_classes}" if isinstance(value, Point) else "",
)
def test_float32_is_within_1e_5(point: Point, layers: tuple[str, ...] | None) -> None:
    single, double = (rmtsim.simulate(point, 3, dtype=dtype, layers=layers) for dtype in ("float32", "float64"))
    for column in ("diag_sqfro", "offdiag_sqfro"):
        np.testing.assert_allclose(single[column], double[column], rtol=1e-5)
        assert not double[column].any() or not np.array_equal(single[column], double[column], equal_nan=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"draws": 0}, "count of at least 1"),
        ({"draws": 2.5}, "count of at least 1"),
        ({"draws": True}, "count of at least 1"),
        ({"draws": range(0)}, "non-empty range"),
        ({"draws": range(0, 9, 2)}, "step 1"),
        ({"draws": range(-1, 3)}, "from 0"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.0}, "seed"),
        ({"dtype": "float16"}, "choose one of float32, float64"),
        ({"backend": "torch"}, "choose one of auto, cupy, numpy"),
        ({"layers": ("hidden",)}, "choose one of linear"),
        ({"layers": ()}, "choose one of linear"),
        ({"batch": -1}, "batch: -1"),
    ],
)
def test_bad_arguments(arguments: dict, words: str) -> None:
    with pytest.raises(rmtsim.InputError, match=words):
        rmtsim.simulate(LINEAR, **{"draws": 1, **arguments})


@pytest.mark.parametrize("call", [lambda: rmtsim.simulate("linear", 1), lambda: rmtsim.predict("linear")])
def test_no_point(call: Callable[[], object]) -> None:
    with pytest.raises(rmtsim.InputError, match=r"^point: 'linear' is not valid; give an rmtsim\.Point$"):
        call()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "deep"}, "choose one of linear, one_hidden"),
        ({"loss": "hinge"}, "choose one of ce, mse"),
        ({"n_classes": 0}, "n_classes: 0"),
        ({"dim": 1.5}, "dim: 1.5"),
        ({"n_samples": "10"}, "n_samples: '10'"),
        ({"dim": True}, "dim: True"),
        ({"n_classes": 10**12}, "from 1 to"),
        ({"width": 8}, "leave it out"),
        ({"model": "one_hidden"}, "needs it"),
        ({"model": "one_hidden", "width": 0}, "width: 0"),
    ],
)
def test_bad_points(arguments: dict, words: str) -> None:
    with pytest.raises(rmtsim.InputError, match=words):
        Point(**{"model": "linear", "loss": "ce", "n_classes": 3, "dim": 4, "n_samples": 5, **arguments})


def test_integers_of_numpy_are_integers() -> None:
    point = Point("linear", "ce", np.int64(5), np.int32(12), np.uint8(30))
    assert point == LINEAR
    assert point.id == LINEAR.id
    rows = rmtsim.simulate(point, np.int64(2), seed=np.int64(3))
    pd.testing.assert_frame_equal(rows, rmtsim.simulate(LINEAR, 2, seed=3), check_exact=True)


def test_identity_of_a_point_is_pinned() -> None:
    assert LINEAR.id == "b9bcb649b3b16695"
    assert len({Point("linear", "ce", C, 12, 30).id for C in range(1, 100)}) == 99


def test_rows_do_not_depend_on_blas_threads() -> None:
    """To the bit, in processes that start with one and with two BLAS threads."""
    script = """
import rmtsim
rows = rmtsim.simulate(rmtsim.Point("one_hidden", "ce", 200, 150, 300, 8), 2)
print([value.hex() for column in ("diag_sqfro", "offdiag_sqfro") for value in rows[column].tolist()])
"""
    printed = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert "0x" in printed[0]
    assert printed[0] == printed[1]


def test_the_thread_limit_holds_until_the_last_is_out() -> None:
    def threads() -> int:
        return max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")

    with threadpool_limits(2):
        first, second = single_threaded_blas(), single_threaded_blas()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert threads() == 1
        second.__exit__(None, None, None)
        assert threads() == 2


def test_where_memory_runs_out_the_arrays_of_what_failed_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they count as memory that others use, and less is held at once than could be."""
    expected, compute = rmtsim.simulate(LINEAR, 2), waves.compute
    arrays: list[weakref.ref[np.ndarray]] = []
    held: list[bool] = []

    def failing(*arguments: Any, **options: Any) -> Any:
        if not arrays:
            array = np.zeros(1000)
            arrays.append(weakref.ref(array))
            raise MemoryError
        return compute(*arguments, **options)

    monkeypatch.setattr(waves, "compute", failing)
    monkeypatch.setattr(Backend, "is_out_of_memory", lambda _, error: isinstance(error, MemoryError))
    monkeypatch.setattr(Backend, "release_memory", lambda _: held.append(arrays[0]() is not None))
    pd.testing.assert_frame_equal(rmtsim.simulate(LINEAR, 2), expected, check_exact=True)
    assert held == [False]
