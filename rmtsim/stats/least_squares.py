"""Weighted least squares: the one solver of all fits that are linear in their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LinearFit:
    """A linear model fitted to values.

    Attributes
    ----------
    values
        The parameters, (k,); or (k, m) where m sets of values were fitted at once.
    std_errors
        Their standard errors, (k,), those of the values carried through: not rescaled by χ². Without standard errors
        of the values they are those for values of variance 1.
    residuals
        Values less fit over their standard errors, (n,) or (n, m).
    leverages
        Diagonal of the projection onto the model, (n,).
    """

    values: Values
    std_errors: Values
    residuals: Values
    leverages: Values

    @property
    def chi2(self) -> float:
        """Sum of the squared residuals."""
        return float(np.sum(self.residuals**2))


def least_squares(columns: Sequence[Values], y: Values, std_errors: Values | None = None) -> LinearFit:
    """Fit y = Σ_k values_k columns_k.

    Parameters
    ----------
    columns
        k columns (n,) of the model. Where they depend on each other, the parameters are those of least norm.
    y
        Values (n,), or m sets of them (n, m).
    std_errors
        Of the values, (n,); each has the weight 1/std_error². None: equal weights. Where one is not known, neither is
        the fit, and all of it is NaN.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0])
    >>> fit = least_squares([np.ones(3), x], 1 + 2 * x, np.full(3, 0.1))
    >>> fit.values.round(6).tolist(), fit.std_errors.round(6).tolist()
    ([1.0, 2.0], [0.091287, 0.070711])
    """
    design = np.stack(columns, axis=1)
    if std_errors is not None:
        design = design / std_errors[:, None]
        y = (y.T / std_errors).T
    known = bool(np.isfinite(design).all())
    inverse = np.linalg.pinv(design) if known else np.full(design.T.shape, np.nan)
    values = inverse @ y
    return LinearFit(
        values=values,
        std_errors=np.sqrt(np.sum(inverse**2, axis=1)),  # the covariance is (XᵀX)⁻¹ = X⁺X⁺ᵀ
        residuals=y - design @ values,
        leverages=np.sum(design * inverse.T, axis=1),
    )
