"""One batch of samples measured: block norms, those of decoupled samples, and what the softmax predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.threads import ThreadTeam, cores
from rmtsim.errors import InputError
from rmtsim.heads.head import Head, HeadRows
from rmtsim.heads.predictions import HeadSoftmax, Predictions, Values
from rmtsim.kernels.cost import point_tiling
from rmtsim.kernels.draw_resources import draw_resources
from rmtsim.kernels.last_layer import first_pass, last_layer_ce
from rmtsim.kernels.memory import BASE, memory
from rmtsim.kernels.permuted_kernel import PermutedKernel
from rmtsim.kernels.precision import PrecisionCheck
from rmtsim.kernels.probabilities import Softmax
from rmtsim.kernels.scaling import OutOfRange, restored, scaled_network
from rmtsim.kernels.tiling import Tiling, with_span
from rmtsim.model.point import Point
from rmtsim.text.call_progress import CallProgress
from rmtsim.text.sizes import format_bytes

_LAYERS = ("linear",)

#: Numbers in float64 that the norms of single pairs take for each sample, beside its vector and K.
_OF_PAIRS = 6144


@dataclass(frozen=True)
class Wanted:
    """What of a batch is wanted beside its norms.

    Parameters
    ----------
    top
        How many of the most probable classes of each sample; 0: none.
    classes
        Whether the squared norms of all diagonal blocks are kept.
    blocks
        How many of the most frequent classes have the norms of all blocks between them computed.
    groups
        Numbers of the classes of each group that has several.
    """

    top: int = 0
    classes: bool = False
    blocks: int = 0
    groups: tuple[npt.NDArray[np.int64], ...] = ()

    @property
    def again(self) -> bool:
        """Whether the batches are needed once more, for the norms of single pairs."""
        return bool(self.top or self.blocks)


@dataclass(frozen=True)
class Resources:
    """What may be used: threads, and bytes of memory with Python's own."""

    threads: int | None
    memory: float


@dataclass(frozen=True)
class BatchNorms:
    """Mean squared norms of the blocks of a batch, and what its softmax predicts.

    Attributes
    ----------
    diag, offdiag
        Mean ‖H_ii‖² and ‖H_ij‖², i ≠ j, in each order of the samples that was asked for, (R,).
    square, entropy, logit_variance
        Means over samples of Σ p², of the entropy, and of the variance of the logits over the classes.
    mean_prediction
        The mean of p, (C,).
    log_sums
        log Σ_c exp(logit) of each sample, (N,).
    best
        Probabilities and numbers of the most probable classes, (N, top).
    classes
        ‖H_cc‖² of each class, (C,), or None.
    groups
        Σ_{i≠j} ‖H_ij‖² of each group.
    dtype
        What it was computed in.
    """

    diag: Values
    offdiag: Values
    square: float
    entropy: float
    logit_variance: float
    mean_prediction: Values
    log_sums: Values
    best: tuple[Values, npt.NDArray[np.int64]]
    classes: Values | None
    groups: Values
    dtype: str


def batch_memory(head: Head, n_samples: int, dtype: str, threads: int, orders: int, wanted: Wanted) -> int:
    """Bytes that the measurement of a batch holds at its peak, Python's own included."""
    least, extra = _needs(head, n_samples, dtype, threads, orders, wanted)
    return least + extra


def _needs(head: Head, n_samples: int, dtype: str, threads: int, orders: int, wanted: Wanted) -> tuple[int, int]:
    """Return the least bytes of the kernels, with Python's own, and those of what is held beside them."""
    point = _point(head, n_samples)
    tiling, item = point_tiling(point), np.dtype(dtype).itemsize
    inputs, C, tile = point.dim, point.n_classes, min(tiling.tile, n_samples)
    chunk = min(tiling.chunk, C)
    kernels = memory(point, _LAYERS, dtype, with_span(tiling, 1), threads=threads)
    K = n_samples**2
    copies = 2 * n_samples * inputs + 2 * chunk * inputs  # samples as read, and rows of V with the bias
    tiles = 2 * threads * orders * tile**2
    vectors = C * (4 + tiling.n_tiles(n_samples)) + 8 * n_samples * (wanted.top + 4)
    of_pairs = 8 * (n_samples * (2 * inputs + _OF_PAIRS) + K + 2 * 512 * inputs) if wanted.again else 0
    rest = item * n_samples * chunk * (2 + 2 * wanted.classes)
    return BASE + kernels, item * (K + copies + tiles) + 8 * vectors + of_pairs + rest


def _point(head: Head, n_samples: int) -> Point:
    inputs = len(head.largest)
    return Point("linear", "ce", head.V.shape[0], inputs, n_samples)


def measure_batch(
    X: npt.NDArray[Any],
    head: Head,
    orders: npt.NDArray[np.int64],
    wanted: Wanted,
    dtype: str,
    resources: Resources,
    shown: CallProgress | None = None,
) -> BatchNorms:
    """Measure the blocks of a batch X (N, d), in float64 where float32 does not do.

    Parameters
    ----------
    orders
        Orders of the samples whose vectors meet the weights, (R, N): the first is the samples' own.

    Raises
    ------
    InputError
        If memory does not do, or float64 does not hold a norm.
    """
    reason = ""
    for kind in dict.fromkeys((dtype, "float64")):
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is found by the check
                return _in_dtype(X.astype(kind, copy=False), head, orders, wanted, kind, resources, shown)
        except OutOfRange as error:
            reason = str(error)
    raise InputError(f"X, V: {reason}")


def _in_dtype(
    X: npt.NDArray[Any],
    head: Head,
    orders: npt.NDArray[np.int64],
    wanted: Wanted,
    dtype: str,
    resources: Resources,
    shown: CallProgress | None,
) -> BatchNorms:
    U, _, scaling = scaled_network(head.inputs(X), [head.largest[None].astype(dtype)], "ce", dtype, np)
    n_samples, C = len(U), head.V.shape[0]
    threads = resources.threads
    _, extra = _needs(head, n_samples, dtype, threads or cores(), len(orders), wanted)
    place: dict[str, Any] = {"threads": threads, "memory": resources.memory - extra}
    if shown is not None:
        place["tick"] = shown.tick
    with draw_resources(_point(head, n_samples), _LAYERS, dtype, np, **place) as (tiling, team):
        tiling = with_span(tiling, tiling.span)  # no exponentials are held: classes pass in other orders, too
        softmax = HeadSoftmax(U, HeadRows(head, dtype, scaling.last), tiling, team)
        kernel = PermutedKernel(head.of_blocks(U), orders, tiling, team, np)
        predictions = Predictions(softmax, wanted.top)
        all_pairs = first_pass(softmax, kernel, [predictions])
        check, what = PrecisionCheck(dtype, "ce", careful=True), "the mean squared norm"
        check.logits(lambda: softmax.largest_logits, np)
        norms = last_layer_ce(softmax, kernel, all_pairs)
        terms, power = float(n_samples) ** 2 * C, 2 * scaling.entry(0, 0)
        check.norm(norms.diag_sqfro, terms, what, lambda: np.any(U != 0), np)
        check.norm(norms.offdiag_sqfro, terms * (C - 1), what, lambda: np.any(U != 0), np)
        of_classes = restored(_class_norms(softmax, kernel), power, np, what) if wanted.classes else None
        of_groups = np.array([_within(softmax, kernel, of, tiling, team) for of in wanted.groups])
        return BatchNorms(
            restored(norms.diag_sqfro, power, np, what),
            restored(norms.offdiag_sqfro, power, np, what),
            predictions.square(),
            predictions.entropy(),
            float(np.ldexp(softmax.logit_variance(), -2 * int(scaling.extra))),
            softmax.mean_prediction(),
            np.concatenate([softmax.log_sums(i)[:, 0] for i in range(len(softmax.tiles))]),
            predictions.best(),
            of_classes,
            np.ldexp(of_groups, power),
            dtype,
        )


def _class_norms(softmax: Softmax, kernel: PermutedKernel) -> Values:
    """Return ‖H_cc‖² of each class, (C,)."""
    found = []
    for chunk in softmax.later_chunks():

        def weights(i: int, chunk: Any = chunk) -> Any:
            return softmax.diagonal_weights(i, chunk, False)[0]

        found.append(kernel.class_sums(np.concatenate(softmax.team.map(weights, range(len(softmax.tiles))))))
    return np.concatenate(found) / len(softmax.U) ** 2


def _within(
    softmax: Softmax, kernel: PermutedKernel, classes: npt.NDArray[np.int64], tiling: Tiling, team: ThreadTeam
) -> float:
    """Return Σ_{i≠j} ‖H_ij‖² over the classes of a group.

    Within a group, p = w π with the group's probability w and a softmax π of its logits alone. So these are the blocks
    of a head with the group's rows of V, for samples times w: p_ni p_nj x_n x_nᵀ = π_ni π_nj (w_n x_n)(w_n x_n)ᵀ.
    """
    rows = softmax.V.of(classes)  # type: ignore[attr-defined]
    of_group = Softmax(softmax.U, rows, tiling, team, np)
    dtype = softmax.U.dtype

    def share(i: int) -> Any:
        return np.exp(of_group.log_sums(i) - softmax.log_sums(i)).astype(dtype)

    weighed = kernel.weighed(share)
    norms = last_layer_ce(of_group, weighed, first_pass(of_group, weighed, []))
    return float(norms.offdiag_sqfro[0]) * len(classes) * (len(classes) - 1)


def check_memory(
    head: Head, n_samples: int, dtype: str, threads: int, orders: int, wanted: Wanted, budget: float
) -> None:
    """Raise InputError if a batch does not fit into the memory that may be used."""
    need = batch_memory(head, n_samples, dtype, threads, orders, wanted)
    if need > budget:
        raise InputError(
            f"memory: a batch of {n_samples} samples with C = {head.V.shape[0]} and d = {head.V.shape[1]} needs "
            f"{format_bytes(need)}, Python included, and there are {format_bytes(budget)}; give a smaller batch, or "
            "more memory"
        )
