"""Block norms of all layers of a draw, for several last layers V: what X and W alone decide is made once.

Some V at a time go through all steps along an axis of their own after the leading ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rmtsim.arrays.backend import Array, Module
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels.classes import GivenRows, Rows, SideBySide
from rmtsim.kernels.cost import pairs_of_classes, restricts_pairs, weights_at_once
from rmtsim.kernels.covariances import Covariances, covariances
from rmtsim.kernels.cross_layer import CrossLayer
from rmtsim.kernels.doubts import AT_ONCE
from rmtsim.kernels.grams import DataKernel
from rmtsim.kernels.hidden_layer import HiddenLayer, gradient_mse, gram_of_neurons
from rmtsim.kernels.last_layer import (
    RowPowers,
    first_pass,
    last_layer_by_pairs,
    last_layer_ce,
    last_layer_in_registers,
    last_layer_mse,
    last_layer_sampled,
    sums_pairs,
)
from rmtsim.kernels.moments import Moments
from rmtsim.kernels.precision import PrecisionCheck
from rmtsim.kernels.probabilities import Softmax
from rmtsim.kernels.results import BlockNorms, SampledNorms
from rmtsim.kernels.scaling import Scaling, restored
from rmtsim.kernels.tiling import Tiling
from rmtsim.model.activation import get_activation
from rmtsim.model.layers import CROSS, HIDDEN, LAST
from rmtsim.model.loss import get_loss
from rmtsim.model.network import forward

Norms = BlockNorms | SampledNorms

#: How norms of several V are added up, named in rows beside the BLAS library: a change of last digits has a new number.
SUMS_OVER_V = "sums over V 2"


@dataclass(frozen=True, eq=False)
class Networks:
    """Networks of one kind, one for each draw, with some last layers each, and what their norms are computed with.

    Attributes
    ----------
    X, W, y
        Samples (…, N, d), hidden layer (…, m, d) or None, labels (…, N) or None where no layer needs them. Leading axes
        run over draws.
    last_layers
        The V of a draw, (…, C, d), or (…, C, m) with a hidden layer.
    loss, layers, activation
        What the norms are of. Names are known to be valid, and the layers to be those of the network.
    xp, tiling, team
        The module of the arrays, and how much is held and done at once: values do not depend on the last two.
    active
        ReLU's masks of neurons, (…, N, m), if they are known better than X and W tell.
    scaling
        The powers of two that were taken out of the arrays: the norms are those of the network before that.
    check
        What examines the norms, if anything.
    """

    X: Array
    last_layers: Sequence[Rows]
    W: Array | None
    y: Array | None
    loss: str
    layers: tuple[str, ...]
    xp: Module
    tiling: Tiling
    team: ThreadTeam
    activation: str = "relu"
    active: Array | None = None
    scaling: Scaling | None = None
    check: PrecisionCheck | None = None


def compute(
    networks: Networks, *, sampled_classes: int | None = None, done: Callable[[int], None] = lambda _: None
) -> dict[str, Norms]:
    """Do the work of `rmtsim.block_norms` for networks that are known to be good, and for several V: return means.

    With ``sampled_classes``, terms of single classes of the last layer are estimated from that many of them. ``done``
    is called with the number of layers done.

    Raises
    ------
    OutOfRange
        If the dtype cannot hold a norm, or what it is a sum of.
    """
    computation = _Computation(networks)
    found = computation.ce(sampled_classes, done) if get_loss(networks.loss).softmax else computation.mse()
    means = {layer: _mean(found[layer], len(networks.last_layers), networks.xp) for layer in networks.layers}
    return {layer: computation.at_own_scale(layer, means[layer]) for layer in networks.layers}


class _Computation:
    """Samples and hidden layers of networks, with what depends on these alone, and the norms of some V after others.

    ``found`` has the norms of each layer, (…, some V).
    """

    def __init__(self, networks: Networks) -> None:
        X, W, layers = networks.X, networks.W, networks.layers
        xp, tiling, team = networks.xp, networks.tiling, networks.team
        self._last_layers, self._y, self._loss, self._layers = networks.last_layers, networks.y, networks.loss, layers
        self._X, self._xp, self._tiling, self._team, self._check = X, xp, tiling, team, networks.check
        self._doubts = networks.check.doubts if networks.check else AT_ONCE
        self._scaling = networks.scaling or Scaling(hidden=() if W is None else (0,))
        self.forward = forward(X, W, xp, networks.activation, networks.active)
        samples = DataKernel(X[..., None, :, :], tiling, team, xp)
        features = self.forward.features
        self._inputs = samples if W is None else DataKernel(features[..., None, :, :], tiling, team, xp)
        self._count, self._C = len(networks.last_layers), networks.last_layers[0].shape[-2]
        (self._n_samples, dim), width = X.shape[-2:], None if W is None else W.shape[-2]
        self._bundles = weights_at_once(self._C, dim, self._n_samples, width, layers, tiling, self._count)
        self._masked = get_activation(networks.activation).rectifies
        self._hidden: HiddenLayer | None = None
        self._cross: CrossLayer | None = None
        if width is not None and HIDDEN.name in layers:
            restricted = self._masked and get_loss(networks.loss).softmax and not samples.in_registers
            restricted = restricted and restricts_pairs(dim, self._n_samples, width, self._count)
            self._hidden = HiddenLayer(samples, self.forward, self._scaling, networks.check, xp, restricted=restricted)
        if CROSS.name in layers:
            keep = self._count > len(self._bundles[0][0])
            self._cross = CrossLayer(X, self.forward, networks.y, tiling, team, xp, masked=self._masked, keep=keep)
        self.found: dict[str, list[Norms]] = {layer: [] for layer in layers}

    def mse(self) -> dict[str, list[Norms]]:
        """Return the norms with the squared error."""
        smooth, grams = self.forward.bends is not None, []
        for bundle in self._bundles:
            for some in bundle:
                V = self._side_by_side(some)
                if self._hidden:
                    gram = gram_of_neurons(V, self._tiling, self._xp)
                    if smooth:
                        gradient = gradient_mse(self.forward.features, gram, V, self._y, self._tiling, self._xp)
                        self._hidden.add(2 * gram, gradient)
                    else:
                        grams.append(2 * gram)
                if self._cross:
                    self.found[CROSS.name].append(self._cross.mse(V))
            if self._hidden and smooth:
                self._take_hidden(_count(bundle))
        if self._hidden and not smooth:
            covariance = self._xp.concat(grams, axis=-3)
            if self._count > 1:  # they are the same for all samples, so norms go as the mean of their squares
                covariance = self._xp.mean(covariance**2, axis=-3, keepdims=True) ** 0.5
            self._hidden.add(covariance)
            self._take_hidden(self._count)
        for layer in set(self._layers).intersection(LAST):
            same = last_layer_mse(self.forward.features, self._C, self._xp)
            self.found[layer].append(_times(self._count, same))
        return self.found

    def ce(self, sampled_classes: int | None, done: Callable[[int], None]) -> dict[str, list[Norms]]:
        """Return the norms with cross-entropy."""
        many = self._masked and self._count > 1  # whatever other layers are wanted: hidden rows do not depend on them
        for bundle in self._bundles:
            for some in bundle:
                V, left, known = self._side_by_side(some), self._layers, None
                if self._hidden and many:
                    given = (self.forward.features, self.forward.slopes, self._hidden.seen)
                    U, slopes, seen = (A[..., None, :, :] for A in given)
                    known = covariances(U, V, slopes, seen, self._tiling, self._team, self._xp)
                    if not (self._doubts.all_with_care or self._doubts.arise(~known.trusted, self._xp)):
                        self._hidden.add_known(known)
                        left = tuple(layer for layer in left if layer != HIDDEN.name)
                if left:
                    self._add(V, left, known, self._C if sampled_classes is None else sampled_classes, done)
            if self._hidden:
                self._take_hidden(_count(bundle))
        return self.found

    def at_own_scale(self, layer: str, norms: Norms) -> Norms:
        """Return the norms of a layer at the network's own scale, after a look at them; `hidden` is there already."""
        if layer == HIDDEN.name:
            return norms
        xp, C, scaling = self._xp, self._C, self._scaling
        what = f"the {layer} layer's mean squared norm"
        if layer == CROSS.name:
            exponent = 2 * scaling.entry(0, 1)
            pairs = [(norms.offdiag_sqfro, self.forward.features.shape[-1] * C)]
        else:
            last = len(scaling.hidden)
            exponent = 2 * scaling.entry(last, last)
            pairs = [(norms.diag_sqfro, C), (norms.offdiag_sqfro, C * (C - 1))]
        couples_classes = get_loss(self._loss).softmax
        if not couples_classes:  # without the blocks that are zero; those between the layers may be so in a perfect fit
            pairs = [] if layer == CROSS.name else pairs[:1]
        if self._check and (C > 1 or not couples_classes):
            for value, blocks in pairs:
                size = float(self._n_samples) ** 2 * blocks
                self._check.norm(value, size, what, lambda: xp.any(self._passed(layer), axis=(-2, -1)), xp)
        return type(norms)(*(restored(value, exponent, xp, what, self._doubts) for value in norms))

    def _passed(self, layer: str) -> Array:
        """Which samples have a part in blocks by which neuron or input of the last layer, (…, N, inputs)."""
        if layer != CROSS.name:
            return self.forward.features != 0
        there = self._xp.any(self._X != 0, axis=-1, keepdims=True)
        return there if self.forward.bends is not None else (self.forward.slopes != 0) & there

    def _add(
        self,
        V: Rows,
        layers: tuple[str, ...],
        known: Covariances | None,
        sampled: int,
        done: Callable[[int], None],
    ) -> None:
        """Add some layers' norms of some V with cross-entropy, by a softmax of all classes."""
        xp, U = self._xp, self.forward.features[..., None, :, :]
        by_pairs = pairs_of_classes(self._C, U.shape[-1], self._n_samples, self._tiling, self._count)
        with_grams = self._C > 1 and not by_pairs and not set(LAST).isdisjoint(self._layers)
        shape = (*U.shape[:-3], V.shape[-3], *U.shape[-2:])
        softmax = Softmax(xp.broadcast_to(U, shape), V, self._tiling, self._team, xp, doubts=self._doubts)
        labels = None if self._hidden is None or self.forward.bends is None else self._y
        moments = None
        if not set(LAST).issuperset(layers):
            moments = Moments(softmax, y=labels, pairs=HIDDEN.name in layers)
        powers = RowPowers(softmax) if sampled < self._C else None
        sums = [of_rows for of_rows in (moments, powers) if of_rows]
        in_registers = with_grams and powers is None and sums_pairs(softmax, self._inputs)
        kernel = self._inputs if with_grams and not in_registers else None
        all_pairs = first_pass(softmax, kernel, sums, (2, 1) if powers else (2,))
        if self._check:
            self._check.logits(lambda: softmax.largest_logits, xp)
        for number, layer in enumerate(layers):
            done(number)
            if layer == HIDDEN.name and self._hidden and moments:
                covariance = moments.covariance(self._hidden.seen[..., None, :, :])
                gradient = None if labels is None else moments.gradient()
                self._hidden.add(covariance, gradient, softmax, known)
            elif layer == CROSS.name and self._cross and moments:
                self.found[layer].append(self._cross.ce(softmax, moments))
            elif by_pairs:
                self.found[layer].append(last_layer_by_pairs(softmax, self._inputs))
            elif powers:
                self.found[layer].append(last_layer_sampled(softmax, self._inputs, all_pairs, powers, sampled))
            elif in_registers:
                self.found[layer].append(last_layer_in_registers(softmax, self._inputs))
            else:
                self.found[layer].append(last_layer_ce(softmax, self._inputs, all_pairs))

    def _side_by_side(self, some: range) -> Rows:
        """Return some V as one."""
        V = SideBySide(self._last_layers[some.start : some.stop], self._xp)
        # One chunk is all of V: not to be made again for every pass.
        return GivenRows(V.rows(slice(0, self._C))) if self._tiling.one_chunk(self._C) else V

    def _take_hidden(self, count: int) -> None:
        """Take in the norms of the hidden layer for the V that were added to it."""
        assert self._hidden is not None
        self.found[HIDDEN.name].append(_times(count, self._hidden.norms()))


def _count(bundle: list[range]) -> int:
    """Return how many V a bundle has."""
    return bundle[-1].stop - bundle[0].start


def _times(count: int, norms: BlockNorms) -> BlockNorms:
    """Return the sum over V of norms that are a mean over ``count`` of them, with an axis as if it were of one V."""
    return BlockNorms(*((value if count == 1 else count * value)[..., None] for value in norms))


def _mean(found: list[Norms], count: int, xp: Module) -> Norms:
    """Return the means over all V; errors of estimating terms of single classes are independent between them."""
    if count == 1:
        (only,) = found
        return type(only)(*(kind[..., 0] for kind in only))
    kinds = zip(*found, strict=True)
    diag, offdiag, *errors = (kind[0] if len(kind) == 1 else xp.concat(kind, axis=-1) for kind in kinds)
    sums = (kind[..., 0] if kind.shape[-1] == 1 else xp.sum(kind, axis=-1) for kind in (diag, offdiag))
    means = [of_all / count for of_all in sums]
    return type(found[0])(*means, *(xp.sum(error**2, axis=-1) ** 0.5 / count for error in errors))
