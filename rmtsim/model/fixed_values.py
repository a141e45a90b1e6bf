"""Quantities that have the same value in every draw: because the model makes it so, not because the draws look so."""

from __future__ import annotations

from rmtsim.model.layers import LAST
from rmtsim.model.loss import get_loss


def fixed_values(loss: str, layer: str, n_classes: int) -> dict[str, float]:
    """Return the quantities of a layer whose value does not depend on the draw, with that value.

    Only such a quantity has the standard error 0. Draws of any other quantity that are all equal so far, zeros above
    all, do not show how much they spread.

    Parameters
    ----------
    loss
        ``"ce"`` or ``"mse"``.
    layer
        A layer of `rmtsim.model.choices.LAYERS`.
    n_classes
        C.

    Returns
    -------
    dict
        Some of ``"diag"``, ``"offdiag"`` and ``"ratio"``, the mean squared norms of blocks and their quotient:

        - with MSE, H_ij = 0 for i ≠ j in the last layer, since output j does not depend on the weights of output i;
        - with CE and one class, p = 1, so the Hessian is zero;
        - with CE and two classes, λ_12 = −p_1 p_2 = −λ_11 in the last layer, so all blocks have equal norms.

        A ratio is named where the quotient exists, that is, where the diagonal blocks are not zero.

    Examples
    --------
    >>> fixed_values("mse", "output", 10)
    {'offdiag': 0.0, 'ratio': 0.0}
    >>> fixed_values("ce", "hidden", 10)
    {}
    """
    if get_loss(loss).softmax and n_classes == 1:
        return {"diag": 0.0, "offdiag": 0.0}
    if layer not in LAST:
        return {}
    if not get_loss(loss).softmax:
        return {"offdiag": 0.0, "ratio": 0.0}
    return {"ratio": 1.0} if n_classes == 2 else {}
