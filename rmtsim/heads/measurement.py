"""Measurement of the last layer of a trained network: the Hessian blocks of its head, beside what they could be."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.arrays.backend import DTYPES, DtypeName
from rmtsim.arrays.machine import usable_memory
from rmtsim.arrays.threads import cores
from rmtsim.errors import InputError
from rmtsim.heads.batch import BatchNorms, Resources, Wanted, check_memory, measure_batch
from rmtsim.heads.class_names import group_members, name_of, partition_of, read_vocabulary
from rmtsim.heads.features import Features
from rmtsim.heads.head import Head
from rmtsim.heads.matrix import Matrix, as_matrix, as_vector
from rmtsim.heads.nulls import Norms, Null, decoupled, shares_of, theory
from rmtsim.heads.pairs import MOST_PROBABLE, PairCandidates
from rmtsim.heads.predictions import Values, entropy_of
from rmtsim.heads.results import Measurement
from rmtsim.model.choices import BIASES, NULLS, BiasName, NullName
from rmtsim.stats.estimates import mean_estimate
from rmtsim.text.call_progress import CallProgress
from rmtsim.text.checks import check_choice, check_size, is_several
from rmtsim.text.sizes import as_bytes
from rmtsim.text.words import abridge, number_of

#: Samples of a batch, at most, where nothing is said.
_LARGEST_BATCH = 2048

#: Fewer batches than these determine no standard error well: at eight it is known to a quarter.
_FEW_BATCHES = 8

#: Successive vectors whose correlation is above this are not independent.
_CORRELATED = 0.1

#: A sample covariance whose tr Σ² is too large by more than this says little of Gaussian features.
_COARSE = 0.1

#: Draws of Gaussian features: as many as batches, within these.
_LEAST_GAUSSIAN, _MOST_GAUSSIAN = 2, 4


def measure(
    V: Any,
    X: Any,
    *,
    bias: Any = None,
    bias_as: BiasName = "column",
    scale: float = 1.0,
    batch: int | None = None,
    shuffle: int = 0,
    by_sequence: bool = False,
    nulls: NullName | Iterable[NullName] = NULLS,
    permutations: int = 16,
    top: int = 0,
    vocabulary: str | os.PathLike[str] | None = None,
    classes: bool = False,
    groups: Any = None,
    dtype: DtypeName | None = None,
    threads: int | None = None,
    memory: float | str | None = None,
    progress: bool | None = None,
) -> Measurement:
    """Measure the Hessian blocks of the last layer of a trained classifier or language model with cross-entropy.

    Its Hessian is that of the linear model with the network's features as X and the head's weights as V, whatever the
    network below: H_ij = (1/N) Σ_n p_ni (δ_ij − p_nj) x_n x_nᵀ. The labels do not enter. No block is formed.

    Parameters
    ----------
    V
        The weights (C, d): an array; or a file, ``"model.safetensors:lm_head.weight"``, of .npy, .npz or .safetensors,
        which is read row by row.
    X
        Features (M, d): what the last layer is given, one row for each sample or token. An array or a file.
    bias
        The bias (C,), an array or a file.
    bias_as
        ``"column"``: the bias is the weight of a further input that is always 1, so blocks have d + 1 rows.
        ``"left-out"``: it is in the logits, and blocks are of the weights alone.
    scale
        Logits are scale · (V x + bias); blocks are derivatives by V (and the bias), so they have its square in them.
    batch
        N, the samples of a batch, over which the loss is a mean. By default the M rows are cut into equal batches of at
        most 2048; rows that are left are not used.
    shuffle, by_sequence
        Rows are shared out to batches at random, by this seed; or, ``by_sequence``, as they follow each other. Tokens
        of one sequence are not independent: standard errors over batches of successive rows hold where a batch has
        whole sequences, and those over shuffled rows are about further tokens of the same sequences.
    nulls
        What is computed beside it: any of ``"theorem"``, ``"logit_variance"``, ``"decoupled"``, ``"gaussian"``;
        ``()`` for none. `Measurement.nulls` says what each isolates.
    permutations
        Of features among the samples of each batch, for ``"decoupled"``.
    top
        How many of the strongest off-diagonal blocks to list.
    vocabulary
        File with the names of the classes: one a line, a list or an object in .json, or a ``tokenizer.json``.
    classes
        Whether to keep the squared norm of every diagonal block, with the class's frequency as predicted.
    groups
        A partition of the classes: the group of each, (C,), or a file with one a line, or .json.
    dtype
        ``"float32"`` or ``"float64"``: the arithmetic's. By default float64 where V or X are, else float32, which holds
        half precision exactly; float64 also where float32 would lose digits.
    threads, memory
        As in `rmtsim.simulate`; norms do not depend on them.
    progress
        Whether to show on stderr how far a call is that takes over a few seconds; by default in a terminal or notebook.

    Returns
    -------
    Measurement
        Norms, shares and predictions with standard errors over batches, the nulls, and tables of batches, classes,
        pairs and groups as DataFrames.

    Raises
    ------
    InputError
        If something is not a matrix of finite numbers, sizes do not fit, or memory does not do.

    Examples
    --------
    A head that is sure of itself has few blocks that count:

    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> V, X = rng.normal(size=(20, 8)), rng.normal(size=(400, 8))
    >>> sure, unsure = (rmtsim.measure(s * V, X, batch=50, nulls=()) for s in (3.0, 0.1))
    >>> sure.perplexity < 3 < 19 < unsure.perplexity
    True
    >>> bool(sure.ratio > 10 * unsure.ratio)
    True
    """
    weights, given = as_matrix(V, "V"), as_matrix(X, "X")
    n_classes, dim = weights.shape
    if given.shape[1] != dim:
        raise InputError(
            f"X: {given.source} has {given.shape[1]} columns, and V ({weights.source}) has {dim}; give features (N, d) "
            "and weights (C, d) of one d"
        )
    if n_classes < 2:
        raise InputError(f"V: {weights.source} has one class, and so no off-diagonal block; give at least two rows")
    vector = None if bias is None else as_vector(bias, "bias", n_classes)
    check_choice("bias_as", bias_as, BIASES)
    size = _batch_size(batch, given.shape[0])
    names = [check_choice("nulls", name, NULLS) for name in (nulls if is_several(nulls) else [nulls])]
    check_size("permutations", permutations)
    if dtype is not None:
        check_choice("dtype", dtype, DTYPES)
    wanted = Wanted(MOST_PROBABLE + 1 if check_size("top", top, least=0) else 0, bool(classes))
    tokens = None if vocabulary is None else read_vocabulary(vocabulary, n_classes)
    partition = None if groups is None else partition_of(groups, n_classes)
    if partition is not None:
        members = [group for group in group_members(partition[1], len(partition[0])) if len(group) > 1]
        wanted = Wanted(wanted.top, wanted.classes, tuple(members))
    threads = None if threads is None else check_size("threads", threads)
    budget = float(usable_memory()) if memory is None else as_bytes(memory)
    kind = dtype or _dtype(weights, given)
    seed = None if by_sequence else check_size("shuffle", shuffle, least=0, most=2**63 - 1)
    R = permutations if "decoupled" in names and size > 1 else 0
    gaussians = min(_MOST_GAUSSIAN, max(_LEAST_GAUSSIAN, given.shape[0] // size)) if "gaussian" in names else 0
    head = Head.of(weights, vector, bias_as, _scale(scale))
    check_memory(head, size, kind, threads or cores(), R + 1, wanted, budget)
    features = Features.of(given, size, seed)
    run = _Run(head, features, wanted, kind, Resources(threads, budget), R)
    with CallProgress("measure", features.batches + gaussians, "batches", show=progress) as shown:
        for number in range(features.batches):
            run.add(number, shown)
            shown.advance(number + 1)
        drawn = []
        for number in range(gaussians if size > 1 else 0):
            drawn.append(run.gaussian(number, shown))
            shown.advance(features.batches + number + 1)
    return run.result(names, drawn, top, tokens, partition)


def _batch_size(batch: int | None, rows: int) -> int:
    if batch is None:
        return rows // -(-rows // _LARGEST_BATCH)
    size = check_size("batch", batch)
    if size > rows:
        raise InputError(f"batch: {size} is more than the {number_of(rows, 'row')} of X; give at most {rows}")
    return size


def _scale(scale: Any) -> float:
    value = float(scale) if isinstance(scale, numbers.Real) and not isinstance(scale, bool) else 0.0
    if not 0 < value < math.inf:
        raise InputError(f"scale: {abridge(scale)} is not valid; give a positive number, the factor of the logits")
    return value


def _dtype(V: Matrix, X: Matrix) -> str:
    return "float32" if {V.dtype, X.dtype} <= {"bfloat16", "float16", "float32"} else "float64"


class _Run:
    """The batches of a measurement, added up."""

    def __init__(
        self, head: Head, features: Features, wanted: Wanted, dtype: str, resources: Resources, permutations: int
    ) -> None:
        self._head, self._features, self._wanted = head, features, wanted
        self._dtype, self._resources, self._R = dtype, resources, permutations
        self._rows: list[dict[str, Any]] = []
        self._norms: list[tuple[Values, Values]] = []  # of every order, one a batch
        self._entropies: list[float] = []
        self._squares: list[float] = []
        self._groups: list[Values] = []
        self._log_sums: list[Values] = []
        self._mean = np.zeros(head.V.shape[0])
        self._classes = np.zeros((2, head.V.shape[0]))
        self._effective = math.nan
        self._candidates = PairCandidates(head)

    def add(self, number: int, shown: CallProgress) -> None:
        """Measure a batch."""
        X, size = self._features.batch(number, self._dtype), self._features.size
        rng = np.random.default_rng([self._features.shuffled or 0, 1, number])
        orders = np.stack([np.arange(size), *(rng.permutation(size) for _ in range(self._R))])
        found = measure_batch(X, self._head, orders, self._wanted, self._dtype, self._resources, shown)
        self._norms.append((found.diag, found.offdiag))
        self._entropies.append(found.entropy)
        self._squares.append(found.square)
        self._mean += found.mean_prediction
        self._rows.append(self._row(number, found, X))
        if found.classes is not None:
            self._classes += found.classes, found.classes**2
        if self._wanted.groups:
            self._groups.append(found.groups)
        if self._wanted.top:
            self._candidates.add(found, X)
            self._log_sums.append(found.log_sums)

    def _row(self, number: int, found: BatchNorms, X: npt.NDArray[Any]) -> dict[str, Any]:
        diag, offdiag = float(found.diag[0]), float(found.offdiag[0])
        ratio, outside = shares_of(diag, offdiag, self._head.V.shape[0])
        return {
            "batch": number,
            "diag_sqfro": diag,
            "offdiag_sqfro": offdiag,
            "ratio": ratio,
            "outside": outside,
            "perplexity": math.exp(found.entropy),
            "effective_classes": 1 / found.square,
            "entropy_of_mean": entropy_of(found.mean_prediction),
            "logit_variance": found.logit_variance,
            "feature_mean_square": float(np.mean(np.square(X, dtype=np.float64))),
            "dtype": found.dtype,
        }

    def gaussian(self, number: int, shown: CallProgress) -> tuple[float, float]:
        """Measure a batch of Gaussian features."""
        if not number:
            self._effective = self._features.effective_dimension(self._features.batch(0, self._dtype))
        X = self._features.gaussian([self._features.shuffled or 0, 2, number], self._dtype)
        own = np.arange(self._features.size)[None]
        found = measure_batch(X, self._head, own, Wanted(), self._dtype, self._resources, shown)
        return float(found.diag[0]), float(found.offdiag[0])

    def result(
        self,
        nulls: list[NullName],
        drawn: list[tuple[float, float]],
        top: int,
        tokens: list[str] | None,
        partition: tuple[list[str], npt.NDArray[np.int64]] | None,
    ) -> Measurement:
        """Return what was found."""
        head, features, table = self._head, self._features, pd.DataFrame(self._rows)
        C, d = head.V.shape
        diag, offdiag = (np.stack(kind) for kind in zip(*self._norms, strict=True))
        norms = Norms.of(diag[:, 0], offdiag[:, 0], C)
        entropy, square, variance = (
            mean_estimate(np.array(kind)) for kind in (self._entropies, self._squares, table["logit_variance"])
        )
        found = [self._null(name, variance.value, diag[:, 1:], offdiag[:, 1:], drawn) for name in nulls]
        pairs, certain, bound = self._pairs(top, tokens, norms.offdiag_sqfro)
        return Measurement(
            n_classes=C,
            dim=d,
            block_dim=d + (head.bias is not None and head.bias_as == "column"),
            batch=features.size,
            batches=features.batches,
            rows=features.X.shape[0],
            bias=None if head.bias is None else head.bias_as,
            scale=head.scale,
            order="by sequence" if features.shuffled is None else "shuffled",
            seed=features.shuffled,
            dtype=", ".join(sorted(set(table["dtype"]))),
            weights=head.V.source,
            features=features.X.source,
            norms=norms,
            perplexity=math.exp(entropy.value),
            std_error_perplexity=math.exp(entropy.value) * entropy.std_error,
            effective_classes=1 / square.value,
            std_error_effective_classes=square.std_error / square.value**2,
            entropy_of_mean=entropy_of(self._mean / features.batches),
            logit_variance=variance.value,
            std_error_logit_variance=variance.std_error,
            feature_mean_square=features.mean_square,
            by_batch=table,
            null_list=tuple(found),
            classes=self._class_table(tokens) if self._wanted.classes else None,
            pairs=pairs,
            pairs_certain=certain,
            pairs_bound=bound,
            groups=None if partition is None else self._group_table(partition, norms),
            notes=tuple(self._notes()),
        )

    def _null(
        self, name: NullName, variance: float, diag: Values, offdiag: Values, drawn: list[tuple[float, float]]
    ) -> Null:
        C, d = self._head.V.shape
        if name == "theorem":
            return theory(name, C, d, self._features.size, 1.0)
        if name == "logit_variance":
            return theory(name, C, d, self._features.size, variance)
        if name == "decoupled" and self._R:
            return decoupled(diag, offdiag, C)
        if name == "gaussian" and drawn:
            of_draws = np.array(drawn)
            return Null(name, Norms.of(of_draws[:, 0], of_draws[:, 1], C))
        return Null(name, Norms(*(math.nan,) * 4), note="it takes at least two samples")

    def _class_table(self, tokens: list[str] | None) -> pd.DataFrame:
        count = self._features.batches
        mean, square = self._classes / count
        table = pd.DataFrame({"class": np.arange(len(mean))})
        if tokens is not None:
            table["token"] = tokens
        table["frequency"] = self._mean / count
        table["diag_sqfro"] = mean
        spread = np.sqrt(np.maximum(square - mean**2, 0.0) / (count - 1)) if count > 1 else np.nan
        return table.assign(std_error_diag=spread)

    def _pairs(self, top: int, tokens: list[str] | None, offdiag: float) -> tuple[pd.DataFrame | None, bool, float]:
        if not top:
            return None, True, math.nan
        C = self._head.V.shape[0]
        found = self._candidates.strongest(min(top, C * (C - 1) // 2), self._again())
        table = pd.DataFrame({"class_i": found.first, "class_j": found.second})
        if tokens is not None:
            for which in ("i", "j"):
                table[f"token_{which}"] = [name_of(tokens, number) for number in table[f"class_{which}"]]
        whole = C * (C - 1) * offdiag
        share = 2 * found.sqfro / whole if whole else np.full(len(found.sqfro), np.nan)
        return table.assign(sqfro=found.sqfro, share=share), found.certain, found.others

    def _again(self) -> Iterator[tuple[npt.NDArray[Any], Values]]:
        """Yield the samples of every batch once more, with their normalisation."""
        for number, log_sums in enumerate(self._log_sums):
            yield self._features.batch(number, self._dtype), log_sums

    def _group_table(self, partition: tuple[list[str], npt.NDArray[np.int64]], norms: Norms) -> pd.DataFrame:
        """Return the shares of the whole squared norm within blocks, within groups and between them."""
        C = self._head.V.shape[0]
        blocks, others = C * norms.diag_sqfro, C * (C - 1) * norms.offdiag_sqfro
        within = float(np.mean([np.sum(of_batch) for of_batch in self._groups])) if self._groups else 0.0
        parts = [blocks, within, max(others - within, 0.0)]
        pairs = int(sum(size * (size - 1) for size in np.bincount(partition[1])))
        shares = [part / (blocks + others) if blocks + others else math.nan for part in parts]
        where = ["within blocks", "within groups", "between groups"]
        return pd.DataFrame({"where": where, "blocks": [C, pairs, C * (C - 1) - pairs], "share": shares})

    def _notes(self) -> Iterator[str]:
        features = self._features
        count, size, rows = features.batches, features.size, features.X.shape[0]
        if count == 1:
            yield f"one batch of {size}: no standard errors; give a smaller batch, or more features"
        elif count < _FEW_BATCHES:
            error = 100 / math.sqrt(2 * (count - 1))
            advice = "smaller batches" if size > 1 else "more features"
            yield f"{count} batches: standard errors are themselves uncertain by {error:.0f} %; give {advice}"
        if left := rows - count * size:
            yield f"{number_of(left, 'row')} of {rows} are in no batch of {size}"
        if (excess := self._effective / (rows - 1) if rows > 1 else 0.0) > _COARSE:
            yield (
                f"gaussian: {rows} vectors of effective dimension {self._effective:.0f} determine their covariance too "
                f"coarsely: its tr Σ² is too large by {excess:.0%}; give more features"
            )
        if features.correlation > _CORRELATED:
            meaning = "are about further rows of the same sequences; take rows by sequence, whole ones a batch"
            if features.shuffled is None:
                meaning = (
                    "hold where a batch is longer than what correlates, as whole sequences are; else shuffle the rows"
                )
            yield f"successive rows correlate ({features.correlation:.2f}): standard errors {meaning}"
