"""What estimating the diagonal saves, and how many draws the average over all blocks saves."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

import rmtsim
from benchmarks.report import Part, Row, Table, Target
from benchmarks.single_blocks import single_blocks
from benchmarks.timing import SPREAD, Timing, elapsed
from rmtsim.kernels.explicit_blocks import hidden_blocks, linear_blocks, output_blocks
from rmtsim.model.point import Point
from rmtsim.sampling.draws import sample

_KINDS = ("diag", "offdiag")
_BATCH = 16  # draws whose V is held at once

#: (C, d, N) → draws, and how many of them are in one timed call.
_SAMPLED = {(4096, 256, 512): (96, 8), (10_000, 256, 512): (48, 4), (100_000, 256, 512): (8, 1)}
_QUICK_SAMPLED = {(4096, 64, 128): (16, 8)}


def run(quick: bool) -> Part:
    """Compare precision per second, and variances of single blocks with those of means over all blocks."""
    sampled = [_auto(sizes, *counts) for sizes, counts in (_QUICK_SAMPLED if quick else _SAMPLED).items()]
    draws, d, N = (40, 20, 40) if quick else (300, 100, 200)
    points = [Point("linear", "ce", C, d, N) for C in (10, 100, 1000)]
    points += [Point("one_hidden", "ce", C, d, N, 8) for C in (10, 100, 1000)]
    _check_single_blocks()
    saved = [row for point in points[:: 3 if quick else 1] for row in _saved(point, draws)]
    about = (
        "First table: diagonal='auto' against 'exact' on the same draws of linear CE, float64, one core. A draw with "
        "estimated diagonal counts as 1 − mean(std_error²)/variance of an exact one; that times the ratio of times is "
        "the gain in precision per second. rms z is the root mean square of (auto − exact)/std_error, which should "
        f"be 1. {SPREAD} "
        "Second table: squared relative standard deviation over draws of the blocks (1, 1) and (1, 2) alone, over that "
        "of the means over all diagonal and off-diagonal blocks: so many times as many draws would one block pair need "
        "for the same precision. Standard errors by the jackknife over draws."
    )
    targets = [
        Target(f"gain in precision per second of {kind} at C = {row['C']}", row[f"gain_{kind}"], 1.0, at_most=False)
        for row in sampled
        for kind in _KINDS
    ]
    tables = [
        Table("Diagonal from a sample of classes: time of one draw", [_part(row, "_ms", "spread") for row in sampled]),
        Table("Diagonal from a sample of classes: precision", [_part(row, "diag") for row in sampled]),
        Table(f"Draws that the average over all blocks saves, d = {d}, N = {N}, {draws} draws", saved),
    ]
    return Part(about, tables, [] if quick else targets)


def _part(row: Row, *words: str) -> Row:
    """Return the columns that name the point, and those whose names hold one of the words."""
    named = ("C", "d", "N", "draws", "classes", "repeats", "exact_over_auto")
    return {key: value for key, value in row.items() if key in named or any(word in key for word in words)}


def _auto(sizes: tuple[int, int, int], draws: int, at_once: int) -> Row:
    """Time both ways in turn, on the same draws."""
    point = Point("linear", "ce", *sizes)
    times: dict[str, list[float]] = {"exact": [], "auto": []}
    found: dict[str, list[pd.DataFrame]] = {"exact": [], "auto": []}
    rmtsim.simulate(point, 1, threads=1)

    def compute(way: str, some: range) -> None:
        found[way].append(rmtsim.simulate(point, some, diagonal=way, threads=1))

    for start in range(0, draws, at_once):
        for way in times:
            times[way].append(elapsed(partial(compute, way, range(start, start + at_once))) / at_once)
    exact, auto = (pd.concat(found[way], ignore_index=True) for way in ("exact", "auto"))
    timing = {way: Timing.of(values) for way, values in times.items()}
    ratio = timing["exact"].seconds / timing["auto"].seconds
    row: Row = {
        **dict(zip("CdN", sizes, strict=True)),
        "draws": draws,
        "classes": int(auto["classes"].iloc[0]),
        **timing["exact"].columns("ms", "exact_"),
        **timing["auto"].columns("ms", "auto_"),
        "exact_over_auto": ratio,
    }
    for kind in _KINDS:
        error, value = auto[f"std_error_{kind}"], auto[f"{kind}_sqfro"]
        worth = float(1 - np.mean(error**2) / np.var(value, ddof=1))
        z = (value - exact[f"{kind}_sqfro"]) / error
        row |= {
            f"lost_percent_{kind}": 100 * (1 - worth),
            f"effective_draws_{kind}": draws * worth,
            f"gain_{kind}": worth * ratio,
            f"rms_z_{kind}": float(np.sqrt(np.mean(z**2))),
        }
    return row


def _saved(point: Point, draws: int) -> list[Row]:
    """Compare single blocks with means over all blocks, draw by draw."""
    layers = ("linear",) if point.width is None else ("hidden", "output")
    single: dict[str, list[tuple[float, float]]] = {layer: [] for layer in layers}
    for start in range(0, draws, _BATCH):
        drawn = sample(point, range(start, min(start + _BATCH, draws)), 0, dtype="float64", xp=np)
        V = drawn.V.all()
        for k in range(len(V)):
            blocks = single_blocks(drawn.X[k], V[k], None if drawn.W is None else drawn.W[k])
            for layer in layers:
                single[layer].append(blocks[layer])
    rows = rmtsim.simulate(point, draws, layers=layers)
    found: list[Row] = []
    for layer in layers:
        means = rows[rows["layer"] == layer][[f"{kind}_sqfro" for kind in _KINDS]].to_numpy()
        for kind, one, mean in zip(_KINDS, np.array(single[layer]).T, means.T, strict=True):
            ratio, error = _variance_ratio(one, mean)
            found.append(
                {
                    "layer": layer,
                    "C": point.n_classes,
                    "m": point.width,
                    "blocks": kind,
                    "draws_saved": ratio,
                    "std_error": error,
                    "relative_sd_of_one_block": float(np.std(one, ddof=1) / one.mean()),
                    "relative_sd_of_mean": float(np.std(mean, ddof=1) / mean.mean()),
                    "mean_of_one_over_mean_of_all": float(one.mean() / mean.mean()),
                }
            )
    return found


def _variance_ratio(one: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    """Squared relative standard deviation of ``one`` over that of ``mean``, and its standard error by the jackknife."""

    def ratio(kept: np.ndarray) -> float:
        a, b = one[kept], mean[kept]
        return float(np.var(a, ddof=1) / a.mean() ** 2 / (np.var(b, ddof=1) / b.mean() ** 2))

    n = len(one)
    without = np.array([ratio(np.arange(n) != k) for k in range(n)])
    return ratio(np.arange(n)), float(np.sqrt((n - 1) * np.var(without)))


def _check_single_blocks() -> None:
    """Hold the single blocks against blocks that are written out, on a small draw."""
    for point in (Point("linear", "ce", 5, 4, 9), Point("one_hidden", "ce", 5, 4, 9, 3)):
        drawn = sample(point, range(1), 0, dtype="float64", xp=np)
        X, V = drawn.X[0], drawn.V.all()[0]
        W = None if drawn.W is None else drawn.W[0]
        if W is None:
            blocks = {"linear": linear_blocks(X, V, "ce")}
        else:
            blocks = {"hidden": hidden_blocks(X, V, W, "ce"), "output": output_blocks(X, V, W, "ce")}
        found = single_blocks(X, V, W)
        for layer, H in blocks.items():
            expected = [np.vdot(H[0, j], H[0, j]) for j in (0, 1)]
            np.testing.assert_allclose(found[layer], expected, rtol=1e-12, err_msg=layer)
