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
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rmtsim.arrays.backend import Array, Module
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.errors import InputError
from rmtsim.kernels.classes import GivenRows, Rows, SideBySide
from rmtsim.kernels.cost import pairs_of_classes, restricts_pairs, weights_at_once
from rmtsim.kernels.covariances import Covariances, covariances
from rmtsim.kernels.cross_layer import CrossLayer
from rmtsim.kernels.draw_resources import draw_resources
from rmtsim.kernels.grams import DataKernel
from rmtsim.kernels.hidden_layer import HiddenLayer, Moments, gradient_mse, gram_of_neurons
from rmtsim.kernels.last_layer import (
    RowPowers,
    first_pass,
    last_layer_by_pairs,
    last_layer_ce,
    last_layer_mse,
    last_layer_sampled,
)
from rmtsim.kernels.precision import PrecisionCheck
from rmtsim.kernels.probabilities import Softmax
from rmtsim.kernels.results import BlockNorms, SampledNorms
from rmtsim.kernels.scaling import OutOfRange, Scaling, restored, scaled_network
from rmtsim.kernels.tiling import Tiling
from rmtsim.model.activation import get_activation, layers_with_labels
from rmtsim.model.arguments import as_network, as_one_layer, check_labelled
from rmtsim.model.choices import ACTIVATIONS, LOSSES, LayerName, LossName
from rmtsim.model.ensemble import LECUN, Ensemble
from rmtsim.model.layers import CROSS, HIDDEN, LAST
from rmtsim.model.loss import get_loss
from rmtsim.model.models import model_with
from rmtsim.model.network import Forward, forward
from rmtsim.model.point import Point, check_layers
from rmtsim.text.call_progress import CallProgress
from rmtsim.text.checks import check_choice, check_flag, check_size
from rmtsim.text.sizes import as_bytes

#: How norms of several V are added up, named in rows beside the BLAS library: a change of last digits has a new number.
SUMS_OVER_V = "sums over V 2"


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
        Last layer: (…, C, d) for the linear model, (…, C, m) with a hidden layer.
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
        float64; or float64 where float32 would lose digits, as with large logits.

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
) -> dict[str, BlockNorms | SampledNorms]:
    """Compute in one dtype; raises OutOfRange where it does not do."""
    kind, batch = getattr(xp, dtype), math.prod(X.shape[:-2])
    X, V, W = (A if A is None or A.dtype == kind else xp.astype(A, kind) for A in (X, V, W))
    place: dict[str, Any] = {"threads": threads, "memory": memory, "batch": batch, "tick": shown.tick}
    ignored = np.errstate(over="ignore", invalid="ignore")  # what comes of it is found by the check
    with ignored, draw_resources(point, layers, dtype, xp, **place) as (tiling, team):
        weights = [V] if W is None else [W, V]
        X, (*hidden_layers, V), scaling = scaled_network(X, weights, point.loss, dtype, xp, activation)
        W = hidden_layers[0] if hidden_layers else None
        options: dict[str, Any] = {"tiling": tiling, "team": team, "activation": activation, "done": shown.advance}
        options |= {"scaling": scaling, "check": PrecisionCheck(dtype, point.loss, careful=True)}
        return compute(X, [GivenRows(V)], W, y, point.loss, layers, xp, **options)


def compute(
    X: Array,
    last_layers: Sequence[Rows],
    W: Array | None,
    y: Array | None,
    loss: str,
    layers: tuple[str, ...],
    xp: Module,
    *,
    tiling: Tiling,
    team: ThreadTeam,
    activation: str = "relu",
    active: Array | None = None,
    sampled_classes: int | None = None,
    scaling: Scaling | None = None,
    check: PrecisionCheck | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> dict[str, BlockNorms | SampledNorms]:
    """Do the work of `block_norms` for arguments that are known to be good, and for several V: return means over them.

    Values do not depend on how much of ``tiling`` is held at once, nor on ``team``. ``active`` are ReLU's masks of
    neurons, (…, N, m), if they are known better than X and W tell. With ``sampled_classes``, terms of single classes of
    the last layer are estimated from that many of them. The arrays are those of a network that ``scaling`` was taken
    out of; the norms are those of the network itself, and ``check``, if given, examines them. ``done`` is called with
    the number of layers done.

    What depends on X and W alone is made once. Some V at a time go through all steps along an axis of their own after
    the leading ones.

    Raises
    ------
    OutOfRange
        If the dtype cannot hold a norm, or what it is a sum of.
    """
    C, forward_pass = last_layers[0].shape[-2], forward(X, W, xp, activation, active)
    scaling = scaling or Scaling(hidden=() if W is None else (0,))
    samples = DataKernel(X[..., None, :, :], tiling, team, xp)
    inputs = samples if W is None else DataKernel(forward_pass.features[..., None, :, :], tiling, team, xp)
    count, (n_samples, dim), width = len(last_layers), X.shape[-2:], None if W is None else W.shape[-2]
    bundles = weights_at_once(C, dim, n_samples, width, layers, tiling, count)
    hidden = cross = None
    masked, bends = get_activation(activation).rectifies, forward_pass.bends
    if width is not None and HIDDEN.name in layers:
        restricted = masked and get_loss(loss).softmax and restricts_pairs(dim, n_samples, width, count)
        hidden = HiddenLayer(samples, forward_pass, scaling, check, xp, restricted=restricted)
    if CROSS.name in layers:
        keep = count > len(bundles[0][0])
        cross = CrossLayer(X, forward_pass, y, tiling, team, xp, masked=masked, keep=keep)
    found: dict[str, list[BlockNorms | SampledNorms]] = {layer: [] for layer in layers}  # each (…, some V)

    def side_by_side(some: range) -> Rows:
        V = SideBySide(last_layers[some.start : some.stop], xp)
        # One chunk is all of V: not to be made again for every pass.
        return GivenRows(V.rows(slice(0, C))) if tiling.one_chunk(C) else V

    def without_softmax() -> None:
        grams = []
        for bundle in bundles:
            for some in bundle:
                V = side_by_side(some)
                if hidden:
                    gram = gram_of_neurons(V, tiling, xp)
                    if bends is None:
                        grams.append(2 * gram)
                    else:
                        hidden.add(2 * gram, gradient_mse(forward_pass.features, gram, V, y, tiling, xp))
                if cross:
                    found[CROSS.name].append(cross.mse(V))
            if hidden and bends is not None:
                found[HIDDEN.name].append(_times(_count(bundle), hidden.norms()))
        if hidden and bends is None:
            covariance = xp.concat(grams, axis=-3)
            if count > 1:  # they are the same for all samples, so norms go as the mean of their squares
                covariance = xp.mean(covariance**2, axis=-3, keepdims=True) ** 0.5
            hidden.add(covariance)
            found[HIDDEN.name].append(_times(count, hidden.norms()))
        for layer in set(layers).intersection(LAST):
            found[layer].append(_times(count, last_layer_mse(forward_pass.features, C, xp)))

    def with_softmax() -> None:
        U = forward_pass.features[..., None, :, :]
        sampled = C if sampled_classes is None else sampled_classes
        by_pairs = pairs_of_classes(C, U.shape[-1], n_samples, tiling, count)
        with_grams = C > 1 and not by_pairs and not set(LAST).isdisjoint(layers)
        many = masked and count > 1  # V; whatever other layers are wanted, so that a hidden row does not depend on them

        def all_steps(V: Rows, layers: tuple[str, ...], known: Covariances | None) -> None:
            shape = (*U.shape[:-3], V.shape[-3], *U.shape[-2:])
            softmax = Softmax(xp.broadcast_to(U, shape), V, tiling, team, xp)
            labels = None if hidden is None or bends is None else y
            moments = None if set(LAST).issuperset(layers) else Moments(softmax, y=labels)
            powers = RowPowers(softmax) if sampled < C else None
            all_pairs = first_pass(
                softmax,
                inputs if with_grams else None,
                [sums for sums in (moments, powers) if sums],
                (2, 1) if powers else (2,),
            )
            if check:
                check.logits(softmax.largest_logit)
            for number, layer in enumerate(layers):
                done(number)
                if layer == HIDDEN.name and hidden and moments:
                    covariance = moments.covariance(hidden.seen[..., None, :, :])
                    gradient = None if labels is None else moments.gradient()
                    hidden.add(covariance, gradient, softmax, known)
                elif layer == CROSS.name and cross and moments:
                    found[layer].append(cross.ce(softmax, moments))
                elif by_pairs:
                    found[layer].append(last_layer_by_pairs(softmax, inputs))
                elif powers:
                    found[layer].append(last_layer_sampled(softmax, inputs, all_pairs, powers, sampled))
                else:
                    found[layer].append(last_layer_ce(softmax, inputs, all_pairs))

        for bundle in bundles:
            for some in bundle:
                V, left, known = side_by_side(some), layers, None
                if hidden and many:
                    known = covariances(U, V, forward_pass.slopes[..., None, :, :], tiling, team, xp)
                    if bool(xp.all(known.trusted)):
                        hidden.add_known(known)
                        left = tuple(layer for layer in layers if layer != HIDDEN.name)
                if left:
                    all_steps(V, left, known)
            if hidden:
                found[HIDDEN.name].append(_times(_count(bundle), hidden.norms()))

    if get_loss(loss).softmax:
        with_softmax()
    else:
        without_softmax()
    means = {layer: _mean(found[layer], count, xp) for layer in layers}
    return {layer: _at_own_scale(layer, means[layer], loss, C, forward_pass, scaling, check, xp) for layer in layers}


def _count(bundle: list[range]) -> int:
    """Return how many V a bundle has."""
    return bundle[-1].stop - bundle[0].start


def _times(count: int, norms: BlockNorms) -> BlockNorms:
    """Return the sum over V of norms that are a mean over ``count`` of them, with an axis as if it were of one V."""
    return BlockNorms(*(count * value[..., None] for value in norms))


def _mean(found: list[BlockNorms | SampledNorms], count: int, xp: Module) -> BlockNorms | SampledNorms:
    """Return the means over all V; errors of estimating terms of single classes are independent between them."""
    diag, offdiag, *errors = (xp.concat(kind, axis=-1) for kind in zip(*found, strict=True))
    means = [xp.sum(kind, axis=-1) / count for kind in (diag, offdiag)]
    return type(found[0])(*means, *(xp.sum(error**2, axis=-1) ** 0.5 / count for error in errors))


def _at_own_scale(
    layer: str,
    norms: BlockNorms | SampledNorms,
    loss: str,
    C: int,
    forward_pass: Forward,
    scaling: Scaling,
    check: PrecisionCheck | None,
    xp: Module,
) -> BlockNorms | SampledNorms:
    """Return the norms of a layer at the network's own scale, after a look at them; `hidden` does that by itself."""
    if layer == HIDDEN.name:
        return norms
    N, inputs = forward_pass.features.shape[-2:]
    what = f"the {layer} layer's mean squared norm"
    if layer == CROSS.name:
        exponent = 2 * scaling.entry(0, 1)
        seen = forward_pass.slopes
        pairs = [(norms.offdiag_sqfro, inputs * C)]
    else:
        last = len(scaling.hidden)
        exponent = 2 * scaling.entry(last, last)
        seen = forward_pass.features
        pairs = [(norms.diag_sqfro, C), (norms.offdiag_sqfro, C * (C - 1))]
    couples_classes = get_loss(loss).softmax
    if not couples_classes:  # without the blocks that are zero; those between the layers may be so in a perfect fit
        pairs = [] if layer == CROSS.name else pairs[:1]
    if check and (C > 1 or not couples_classes):
        for value, blocks in pairs:
            check.norm(value, float(N) ** 2 * blocks, what, lambda: xp.any(seen != 0, axis=(-2, -1)))
    return type(norms)(*(restored(value, exponent, xp, what) for value in norms))
