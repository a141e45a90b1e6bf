"""The batches of a measurement of a last layer, added up, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.heads.batch import BatchNorms, Resources, Wanted, measure_batch
from rmtsim.heads.block_map import block_map, most_frequent
from rmtsim.heads.class_names import name_of
from rmtsim.heads.features import Features
from rmtsim.heads.head import Head
from rmtsim.heads.nulls import Norms, Null, decoupled, shares_of, theory
from rmtsim.heads.pairs import PairCandidates
from rmtsim.heads.predictions import Values, entropy_of
from rmtsim.heads.results import Measurement
from rmtsim.model.choices import NullName
from rmtsim.stats.estimates import mean_estimate
from rmtsim.text.call_progress import CallProgress
from rmtsim.text.words import number_of

#: Fewer batches than these determine no standard error well: at eight it is known to a quarter.
_FEW_BATCHES = 8

#: Successive vectors whose correlation is above this are not independent.
_CORRELATED = 0.1

#: A sample covariance whose tr Σ² is too large by more than this says little of Gaussian features.
_COARSE = 0.1


class BatchTotals:
    """The batches of a measurement, added up: `add` each, the `gaussian` ones too, then ask for the `result`."""

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
        if self._wanted.again:
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
            blocks=self._block_table(tokens) if self._wanted.blocks else None,
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
        whole = C * (C - 1) * offdiag
        share = 2 * found.sqfro / whole if whole else np.full(len(found.sqfro), np.nan)
        return _named(table, tokens).assign(sqfro=found.sqfro, share=share), found.certain, found.others

    def _block_table(self, tokens: list[str] | None) -> pd.DataFrame:
        count = self._features.batches
        chosen = most_frequent(self._mean, self._wanted.blocks)
        found = block_map(self._head, chosen, self._classes[0, chosen] / count, self._again())
        table = pd.DataFrame({"class_i": np.repeat(chosen, len(chosen)), "class_j": np.tile(chosen, len(chosen))})
        return _named(table, tokens).assign(sqfro=found.ravel())

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


def _named(pairs: pd.DataFrame, tokens: list[str] | None) -> pd.DataFrame:
    """Return a table of pairs of classes with their names, where there are names."""
    if tokens is None:
        return pairs
    return pairs.assign(
        **{f"token_{which}": [name_of(tokens, number) for number in pairs[f"class_{which}"]] for which in ("i", "j")}
    )
