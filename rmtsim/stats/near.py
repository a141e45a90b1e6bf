"""How near to block-diagonal a layer is: one threshold for all figures, and a verdict with error bars."""

from __future__ import annotations

import math

import pandas as pd

#: A layer with less than this share of its squared norm outside the diagonal blocks is near-block-diagonal.
NEAR = 0.1

#: With more than this share outside, the diagonal blocks are the lesser part.
LOST = 0.5

#: Standard errors that the verdict leaves room for.
ROOM = 2


def structure(outside: pd.Series, std_errors: pd.Series) -> str:
    """Judge the shares outside the diagonal blocks, all those of one layer along training.

    Parameters
    ----------
    outside, std_errors
        Means over draws, with their standard errors.

    Returns
    -------
    str
        ``"holds"``: all are under ``NEAR``; ``"weakened"``: all are under ``LOST``, but one is above ``NEAR``;
        ``"lost"``: one is above ``LOST``; each by ``ROOM`` standard errors. ``"unresolved"``: none of these; ``"no
        verdict without a standard error"``: one is not known.
    """
    if std_errors.map(math.isnan).any():
        return "no verdict without a standard error"
    lower, upper = outside - ROOM * std_errors, outside + ROOM * std_errors
    if (upper < NEAR).all():
        return "holds"
    if (lower > LOST).any():
        return "lost"
    return "weakened" if (lower > NEAR).any() and (upper < LOST).all() else "unresolved"
