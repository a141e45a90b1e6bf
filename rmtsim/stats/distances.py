"""Kolmogorov-Smirnov distances of samples from laws and from each other, as SciPy finds them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def distances_from_law(below: Values, zeros: int = 0, atom: float = 0.0) -> Values:
    """Return sup |F_n(x) − F(x)| between samples and their law.

    Parameters
    ----------
    below
        F at the positive values of each sample, (…, n), in any order.
    zeros
        Further values of each sample, all 0.
    atom
        F(0).

    Returns
    -------
    array (…)
        A distance for each sample.

    Notes
    -----
    SciPy's test is for laws without atoms. With a share p of zeros, F_n = p + (1 − p) G_n, where G_n is that of the
    positive values: so over these the distance is 1 − p times that of G_n from (F − p)/(1 − p).
    """
    from scipy import stats  # it takes half a second to load, and few need it

    share = zeros / (zeros + below.shape[-1])
    positive = (below - share) / (1 - share)
    found = (1 - share) * stats.ks_1samp(positive, lambda F: F, axis=-1, method="asymp").statistic
    return np.asarray(np.maximum(found, abs(share - atom)))


def distance_of_samples(first: Values, second: Values) -> float:
    """Return sup |F_1 − F_2| of two samples, which may share values."""
    from scipy import stats

    return float(stats.ks_2samp(first, second, method="asymp").statistic)
