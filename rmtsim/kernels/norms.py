"""Mean squared Frobenius norms of all Hessian blocks of a layer, without forming a block.

Every d×d block is (1/N) Σ_n λ_n x_n x_nᵀ for some weights λ ∈ R^N, so its squared norm is N⁻² λᵀ K λ with
K_nk = (x_n·x_k)². Sums over all classes, or pairs of classes, then collapse into Gram matrices of the
probabilities P (N×C): with Q = P∘(1−P) and S = P∘P,

    Σ_i ‖H_ii‖²     = N⁻² ⟨K, Q Qᵀ⟩
    Σ_{i≠j} ‖H_ij‖² = N⁻² ⟨K, (P Pᵀ)∘(P Pᵀ) − S Sᵀ⟩

since Σ_{i≠j} p_{n,i} p_{k,i} p_{n,j} p_{k,j} = (p_n·p_k)² − Σ_i p_{n,i}² p_{k,i}². The cost is O(N²(d + C))
against O(C² N d²) for explicit blocks, which ``rmtsim.kernels.explicit_blocks`` writes out. Classes stream past in
chunks and samples are cut into tiles, so memory does not grow with C. Arrays may have leading axes, which run over
draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rmtsim.arrays.backend import Array, Module
from rmtsim.errors import InputError
from rmtsim.kernels.classes import GivenRows
from rmtsim.kernels.draw_resources import draw_resources
from rmtsim.kernels.network_norms import Networks, Norms, compute
from rmtsim.kernels.precision import PrecisionCheck
from rmtsim.kernels.results import BlockNorms
from rmtsim.kernels.scaling import OutOfRange, scaled_network
from rmtsim.model.activation import get_activation, layers_with_labels
from rmtsim.model.arguments import as_network, as_one_layer, check_labelled
from rmtsim.model.choices import ACTIVATIONS, LOSSES, LayerName, LossName
from rmtsim.model.ensemble import LECUN, Ensemble
from rmtsim.model.layers import CROSS
from rmtsim.model.models import model_with
from rmtsim.model.point import Point, check_layers
from rmtsim.text.call_progress import CallProgress
from rmtsim.text.checks import check_choice, check_flag, check_size
from rmtsim.text.sizes import as_bytes


def block_norms(
    X: ArrayLike,
    V: ArrayLike,
    *,
    W: ArrayLike | None = None,
    y: ArrayLike | None = None,
    loss: LossName = "ce",
    activation: str = "relu",
    layers: LayerName | Iterable[LayerName] | None = None,
    threads: int | None = None,
    memory: float | str | None = None,
    progress: bool | None = None,
) -> dict[str, BlockNorms]:
    """Mean squared norms of the Hessian blocks of a linear model, or of one hidden layer W without biases.

    They are means of ‖block‖²_F over all diagonal, and over all off-diagonal, blocks of each layer. Weights of another
    network, such as one with biases, would be taken for those of this one. Deeper networks have `rmtsim.layer_norms`
    and `rmtsim.hessian`.

    Parameters
    ----------
    X
        Data, (…, N, d); leading axes, if any, run over draws and are the same for all arrays. Like V, W and y, any
        plain array of real numbers: of NumPy or CuPy, lists, a pandas table (its index does not count), a tensor of
        PyTorch or JAX on the CPU.
    V
        Last layer: (…, C, d) for the linear model, (…, C, m) with a hidden layer. Data come first and weights second,
        other than in `rmtsim.measure`. If the two are swapped in a linear model, shapes do not show it without labels,
        and the norms are those of another model; give y, and it is refused.
    W
        Hidden layer, (…, m, d), with an activation after it; None for the linear model.
    y
        Labels, (…, N), whole numbers from 0 to C − 1 of any dtype. Only the cross layer needs them, and the hidden
        layer where the activation is smooth.
    loss
        ``"ce"``: (1/N) Σ_n −log p_{n,y_n}; ``"mse"``: (1/N) Σ_n ‖f(x_n) − y_n‖².
    activation
        What follows the hidden layer: ``"relu"``, ``"gelu"``, ``"silu"``, ``"tanh"``, ``"identity"``, or one of your
        own (`rmtsim.model.activation`).
    layers
        A selection of ``("linear",)`` or ``("hidden", "output", "cross")``. By default all that the arguments
        allow: those that need labels only where these are given.
    threads, memory
        As in `rmtsim.simulate`; values do not depend on them.
    progress
        Whether to show on stderr how far a call is that takes over a few seconds; by default in a terminal or notebook.

    Returns
    -------
    dict
        Layer to `BlockNorms`. Blocks are those of Section 4 of the paper, (3), (5), (8), (9), (11), (14),
        (15), (18), with σ′ in place of ReLU's masks; where σ is smooth, the hidden layer's H_{w_i w_i} have a term
        (1/N) Σ_n (Vᵀ r_n)_i σ″(w_i·x_n) x_n x_nᵀ besides, r_n = p_n − y_n for CE and 2(f_n − y_n) for MSE. In the
        cross layer all m·C blocks count as off-diagonal. Its ``dtype`` is the precision of the
        computation: NumPy's promotion of all dtypes given, where half precision counts as float32 and whole numbers as
        float64; or float64 where float32 would lose digits, as with logits above 512. What float32 is good to is said
        at `rmtsim.simulate`.

    Raises
    ------
    InputError
        If shapes, dtypes, labels or layers do not fit together, something is not an array of finite real numbers, or
        float64 cannot hold a norm. A value is 0 only where all the blocks are.

    Examples
    --------
    With two classes all four blocks of the linear CE Hessian have the same norm:

    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> norms = rmtsim.block_norms(rng.normal(size=(50, 8)), rng.normal(size=(2, 8)), loss="ce")
    >>> bool(np.isclose(norms["linear"].diag_sqfro, norms["linear"].offdiag_sqfro, rtol=1e-12))
    True
    """
    given = as_network(X, V, W=as_one_layer(W, X), y=y, loss=loss, losses=LOSSES, batched=True)
    hidden = given.hidden[0] if given.hidden else None
    width = None if hidden is None else hidden.shape[-2]
    model = model_with(width)
    known, labelled = model.layer_names, layers_with_labels(activation)
    if layers is None:
        layers = [layer for layer in known if given.y is not None or layer not in labelled]
    chosen = check_layers(layers, known)
    for layer in labelled:
        if layer in chosen:
            where = "" if layer == CROSS.name else f" with activation {activation!r}"
            check_labelled(given.y, f"the {layer} layer{where} needs")
    (n_samples, dim), n_classes = given.X.shape[-2:], given.V.shape[-2]
    ensemble = LECUN if width is None else _stand_in(activation)
    point = Point(model.name, check_choice("loss", loss, LOSSES), n_classes, dim, n_samples, width, ensemble)
    threads = None if threads is None else check_size("threads", threads)
    memory = None if memory is None else as_bytes(memory)
    if progress is not None:
        check_flag("progress", progress)
    for kind in dict.fromkeys((given.dtype, "float64")):
        try:
            with CallProgress("block_norms", len(chosen), "layers", show=progress) as shown:
                options: dict[str, Any] = {"threads": threads, "memory": memory, "shown": shown}
                arrays = (given.X, given.V, hidden, given.y)
                found = _in_dtype(*arrays, point, activation, chosen, kind, given.xp, **options)
            return {layer: norms.in_dtype(kind) for layer, norms in found.items() if isinstance(norms, BlockNorms)}
        except OutOfRange as error:
            reason = str(error)
    raise InputError(f"X, V: {reason}")


def _stand_in(activation: str) -> Ensemble:
    """Return an ensemble with the activation, or for one of a user with one that takes as much memory."""
    for name in ACTIVATIONS:
        if name == activation:
            return Ensemble(activation=name)
    return Ensemble(activation="identity" if get_activation(activation).piecewise_linear else "gelu")


def _in_dtype(
    X: Array,
    V: Array,
    W: Array | None,
    y: Array | None,
    point: Point,
    activation: str,
    layers: tuple[str, ...],
    dtype: str,
    xp: Module,
    *,
    threads: int | None,
    memory: float | None,
    shown: CallProgress,
) -> dict[str, Norms]:
    """Compute in one dtype; raises OutOfRange where it does not do."""
    kind, batch = getattr(xp, dtype), math.prod(X.shape[:-2])
    X, V, W = (A if A is None or A.dtype == kind else xp.astype(A, kind) for A in (X, V, W))
    place: dict[str, Any] = {"threads": threads, "memory": memory, "batch": batch, "tick": shown.tick}
    ignored = np.errstate(over="ignore", invalid="ignore")  # what comes of it is found by the check
    with ignored, draw_resources(point, layers, dtype, xp, **place) as (tiling, team):
        weights = [V] if W is None else [W, V]
        X, (*hidden_layers, V), scaling = scaled_network(X, weights, point.loss, dtype, xp, activation)
        W = hidden_layers[0] if hidden_layers else None
        options: dict[str, Any] = {"tiling": tiling, "team": team, "activation": activation, "scaling": scaling}
        options["check"] = PrecisionCheck(dtype, point.loss, careful=True)
        return compute(Networks(X, [GivenRows(V)], W, y, point.loss, layers, xp, **options), done=shown.advance)
