"""What a head is held against: the theorem's ensemble, and the model's own parts put together anew."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.errors import InputError
from rmtsim.model.choices import NullName
from rmtsim.model.ensemble import LEAST, MOST, Ensemble
from rmtsim.stats.estimates import mean_estimate, ratio_estimate
from rmtsim.theory import finite

Values = npt.NDArray[np.float64]

#: What each null keeps of the model, and so what a difference from it comes from.
ISOLATES: dict[NullName, str] = {
    "theorem": "Gaussian features of variance 1 and Gaussian weights of variance 1/d at the same C, d and N, exact: "
    "what Theorem 1 says before training, in units of its own features",
    "logit_variance": "the same with weights scaled to the model's variance of logits: what confidence alone does, "
    "with logits that are independent between classes",
    "decoupled": "the model's own probabilities, with features permuted among the samples: what is left when "
    "the probabilities of a sample do not depend on its own features",
    "gaussian": "the model's weights on Gaussian features with the mean and covariance of the model's: what is left "
    "without clusters, heavy tails and all else beyond second moments",
}


@dataclass(frozen=True)
class Norms:
    """Mean squared norms with what follows from them, and standard errors; NaN for what is not known.

    Attributes
    ----------
    diag_sqfro, offdiag_sqfro
        Means of ‖H_ii‖² and of ‖H_ij‖², i ≠ j, over blocks, then over batches.
    ratio
        The second over the first.
    outside
        Share of the whole squared norm that lies outside the diagonal blocks.
    std_error_diag, std_error_offdiag, std_error_ratio, std_error_outside
        Standard errors, from the spread over batches.
    """

    diag_sqfro: float
    offdiag_sqfro: float
    ratio: float
    outside: float
    std_error_diag: float = math.nan
    std_error_offdiag: float = math.nan
    std_error_ratio: float = math.nan
    std_error_outside: float = math.nan

    @classmethod
    def of(cls, diag: Values, offdiag: Values, n_classes: int) -> Norms:
        """Return the means over batches of the norms of each."""
        others = (n_classes - 1) * offdiag
        means, errors = zip(mean_estimate(diag), mean_estimate(offdiag), strict=True)
        shares = ratio_estimate(offdiag, diag).std_error, ratio_estimate(others, diag + others).std_error
        return cls(*means, *shares_of(*means, n_classes), *errors, *shares)


def shares_of(diag: float, offdiag: float, n_classes: int) -> tuple[float, float]:
    """Return ratio and share outside of mean squared norms; NaN where all is zero."""
    whole = diag + (n_classes - 1) * offdiag
    return (offdiag / diag if diag else math.nan), ((n_classes - 1) * offdiag / whole if whole else math.nan)


@dataclass(frozen=True)
class Null:
    """The norms of a null.

    Attributes
    ----------
    name, isolates
        One of `NULLS`, and what it isolates.
    norms
        The norms.
    spread
        Of *decoupled*, the standard deviations over permutations of diag_sqfro, offdiag_sqfro, ratio and outside of
        one batch.
    note
        Why there are none.
    """

    name: NullName
    norms: Norms
    spread: tuple[float, float, float, float] | None = None
    note: str = ""

    @property
    def isolates(self) -> str:
        """What it isolates."""
        return ISOLATES[self.name]

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        spread = self.spread or (math.nan,) * 4
        names = ("spread_diag", "spread_offdiag", "spread_ratio", "spread_outside")
        values = asdict(self.norms) | dict(zip(names, spread, strict=True))
        return {"name": self.name, **values, "isolates": self.isolates, "note": self.note}


def theory(name: NullName, n_classes: int, dim: int, n_samples: int, gain: float) -> Null:
    """Return the exact norms of Gaussian features of variance 1 whose logits have the variance ``gain``."""
    unknown = f"not known where logits have a variance of {gain:.3g}"
    if not LEAST <= gain <= MOST:
        return Null(
            name, Norms(*(math.nan,) * 4), note=f"{unknown}: the theory has variances from {LEAST:g} to {MOST:g}"
        )
    try:
        [found] = finite("linear", "ce", n_classes, dim, n_samples, ensemble=Ensemble(last_gain=gain))
    except InputError as error:
        return Null(name, Norms(*(math.nan,) * 4), note=f"{unknown}: {error}")
    shares = shares_of(found.diag, found.offdiag, n_classes)
    return Null(name, Norms(found.diag, found.offdiag, *shares, 0.0, 0.0, 0.0, 0.0))


def decoupled(diag: Values, offdiag: Values, n_classes: int) -> Null:
    """Return the norms of permuted features, (batches, permutations) each."""
    ratios, outside = zip(
        *(shares_of(a, b, n_classes) for a, b in zip(diag.ravel(), offdiag.ravel(), strict=True)), strict=True
    )
    kinds = (diag, offdiag, np.reshape(ratios, diag.shape), np.reshape(outside, diag.shape))
    spread = [float(np.sqrt(np.mean(np.var(kind, axis=1, ddof=1)))) for kind in kinds] if diag.shape[1] > 1 else None
    norms = Norms.of(diag.mean(axis=1), offdiag.mean(axis=1), n_classes)
    return Null("decoupled", norms, tuple(spread) if spread else None)  # type: ignore[arg-type]
