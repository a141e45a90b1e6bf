"""Softmax over classes that stream past: the probabilities are never held for all classes at once.

A first pass over the classes adds up z_n = Σ_c exp(l_nc − a_n) for the logits l = U Vᵀ, together with sums that can be
normalised later. Passes after it make p_nc = exp(l_nc − a_n)/z_n anew, a chunk at a time. The shift a_n is the largest
logit of the first chunk, or the largest of all where that is so much larger that exp could overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from rmtsim.arrays.backend import Array, Module, backend_of
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels.classes import Chunk, Rows, chunks
from rmtsim.kernels.doubts import AT_ONCE, Doubts
from rmtsim.kernels.tiling import Tiling, holds, retiled

Result = TypeVar("Result")

#: A logit may stand this far above its shift: the square of its exp, summed, is far from overflow in float32.
_SLACK = 20.0

#: A probability above this has lost two digits of its complement.
SATURATED = 0.99


class Leading(NamedTuple):
    """The most probable class of every sample: its logit (…, N, 1) and number (…, N, 1)."""

    logit: Array
    index: Array


class _ShiftTooLow(Exception):  # noqa: N818  # no error: the pass starts again with a better shift
    pass


class Softmax:
    """Probabilities softmax(V u_n) of samples U (…, N, inputs), by tile of samples and chunk of classes.

    Parameters
    ----------
    U, V
        Samples and the rows of V.
    tiling, team, xp
        Tiles and chunks, the threads that share them, and the array module.
    leading
        If given, the leading class of every sample is left out of all sums.
    doubts
        Of draws whose samples have nearly all their probability in one class, or whose shifts are too low.

    Attributes
    ----------
    total
        z (…, N, 1) in float64; complete after the first pass.
    """

    total: Array

    def __init__(
        self,
        U: Array,
        V: Rows,
        tiling: Tiling,
        team: ThreadTeam,
        xp: Module,
        *,
        leading: Leading | None = None,
        doubts: Doubts = AT_ONCE,
    ) -> None:
        self.U, self.V, self.tiling, self.team, self.xp, self.doubts = U, V, tiling, team, xp, doubts
        self._backend = backend_of(xp)
        self.tiles = tiling.tiles(U.shape[-2])
        self._left_out = None if leading is None else leading.index
        self._shift_is_known = leading is not None
        self._shift: Array = None if leading is None else leading.logit
        self._held: dict[tuple[int, int], Array] = {}
        self._inverses: dict[int, Array] = {}
        self._picked: tuple[Array, Array, Array] | None = None  # all samples, their shifts, and which of them these are
        self._too_low: list[Array] = []  # whether some shift of a tile and chunk is, of each draw

    def chunks(self) -> Iterator[Chunk]:
        """Let the classes stream past."""
        return chunks(self.V, self.tiling)

    def first_pass(self, work: Callable[[], Result]) -> Result:
        """Do ``work``, which calls `count` for every tile and chunk; return what it returns."""
        try:
            return self._run(work)
        except _ShiftTooLow:
            first, highest = self._highest_of_first_chunk(), self.leading.logit
            # Row by row: a draw's shifts depend neither on its batch nor on what was seen before the pass ended.
            self._shift = self.xp.where(highest - first > _SLACK, highest, first)
            self._shift_is_known = True
            self._held.clear()
            return self._run(work)

    def _run(self, work: Callable[[], Result]) -> Result:
        self._inverses.clear()
        self._too_low.clear()
        if len(self.tiles) > 1 or self._shift_is_known:
            self.total = self.xp.zeros((*self.U.shape[:-1], 1), dtype=self.xp.float64)
            self._highest = self.xp.full(self.total.shape, -self.xp.inf, dtype=self.U.dtype)
            if not self._shift_is_known:
                self._shift = self.xp.zeros_like(self._highest)
        result = work()
        if self._backend.needs_gpu and not self.tiling.one_chunk(self.V.shape[-2]):
            self._check_shift(self._highest - self._shift > _SLACK)
        if self._too_low and self.doubts.arise(self.xp.stack(self._too_low, axis=-1), self.xp):
            raise _ShiftTooLow
        if self._left_out is None and self.is_saturated:
            _ = self.rest  # found here once, not by the team's threads
        return result

    def count(self, i: int, chunk: Chunk, fresh: bool = True) -> Array:
        """Return exp(logits − shift) of a tile and a chunk; where ``fresh``, add its sums over the classes to z."""
        xp, rows = self.xp, (..., self.tiles[i], slice(None))
        on_device = self._backend.chunk_sums()
        if on_device and not fresh and self._left_out is None:
            return self.exponentials(i, chunk)
        is_first = fresh and chunk.classes.start == 0 and not self._shift_is_known
        if on_device and not is_first and self._left_out is None:
            if self._highest is self._shift:  # what is added to is not what is taken off
                self._highest = xp.maximum(self._highest, self._shift)
            L, given = self.logits(i, chunk), (self._shift, self.total, self._highest, self.tiles[i].start)
            return self._hold(i, chunk, on_device.add_exponentials(L, *given))
        shift = None if is_first else self._shift[rows]
        E, sums, highest = self._backend.exponentials(self.logits(i, chunk), shift)
        if is_first and len(self.tiles) > 1:
            self._shift[rows] = highest
        elif not is_first:
            self._check_shift(highest - shift > _SLACK)
        if self._left_out is not None:
            E = xp.where(self._left_out[rows] == _numbers(chunk, xp), xp.zeros_like(E), E)
            sums = xp.sum(xp.astype(E, xp.float64), axis=-1, keepdims=True)
        if is_first and len(self.tiles) == 1:
            self.total, self._highest, self._shift = sums, highest, highest
        elif fresh:
            self.total[rows] += sums
            if len(self.tiles) == 1:
                self._highest = xp.maximum(self._highest, highest)
            else:
                self._highest[rows] = xp.maximum(self._highest[rows], highest)
        return self._hold(i, chunk, E)

    def _hold(self, i: int, chunk: Chunk, E: Array) -> Array:
        if self.tiling.hold:
            self._held[i, chunk.classes.start] = E
        return E

    def _check_shift(self, too_low: Array) -> None:
        """Raise _ShiftTooLow if the shift is too low: at the end of the pass where waiting for a device takes long."""
        if self._backend.needs_gpu:
            self._too_low.append(self.xp.any(too_low, axis=(-2, -1)))
        elif bool(self.xp.any(too_low)):
            raise _ShiftTooLow

    def logits(self, i: int, chunk: Chunk) -> Array:
        """Return U Vᵀ of a tile and a chunk, (…, samples of the tile, classes of the chunk)."""
        return self._backend.products(self.U[..., self.tiles[i], :], chunk.V)

    def inverse(self, i: int) -> Array:
        """Return 1/z of a tile, (…, samples of the tile, 1), in the arrays' dtype."""
        if i not in self._inverses:
            one_piece = len(self.tiles) == 1 and self._highest is self._shift
            inverse = self._largest_probability if one_piece else 1 / self.total[..., self.tiles[i], :]
            self._inverses[i] = self.xp.astype(inverse, self.U.dtype, copy=False)
        return self._inverses[i]

    def log_sums(self, i: int) -> Array:
        """Return log Σ_c exp(l_nc) of a tile, (…, samples of the tile, 1), in float64; after the first pass."""
        xp, rows = self.xp, (..., self.tiles[i], slice(None))
        return xp.astype(self._shift[rows], xp.float64) + xp.log(self.total[rows])

    def later_chunks(self, n_classes: int | None = None) -> Iterator[Chunk]:
        """Let the classes, or the first ``n_classes`` of them, stream past again."""
        if self._held:  # V is not needed again
            return iter([Chunk(classes, None) for classes in self.tiling.chunks(n_classes or self.V.shape[-2])])
        return chunks(self.V, self.tiling, n_classes)

    def probabilities(self, i: int, chunk: Chunk) -> Array:
        """Return p of a tile and a chunk, in a later pass."""
        return self.exponentials(i, chunk) * self.inverse(i)

    def diagonal_weights(self, i: int, chunk: Chunk, fresh: bool = True) -> tuple[Array, Array]:
        """Return Q = p(1 − p) and S = p² of a tile and a chunk, in a later pass."""
        rows = (..., self.tiles[i], slice(None))
        Q, S = self._backend.diagonal_weights(self.exponentials(i, chunk), self.inverse(i))
        return (self.leading_or(chunk, i, S**0.5 * self.rest[rows], Q) if self.is_saturated else Q), S

    def on_device(self) -> Any:
        """Return what makes the probabilities of all samples for `Backend.chunk_sums`, in a later pass."""
        xp, z = self.xp, self.total
        inverse = self.inverse(0) if len(self.tiles) == 1 else xp.astype(1 / z, self.U.dtype, copy=False)
        leading = xp.full(z.shape, -1, dtype=xp.int64)
        if self.is_saturated:
            leading = xp.where(self.saturated, self.leading.index, leading)
        return self._backend.chunk_sums().Probabilities(inverse, leading, self.rest if self.is_saturated else inverse)

    def leading_or(self, chunk: Chunk, i: int, careful: Array, plain: Array) -> Array:
        """Return ``careful`` for the leading class of the tile's saturated samples, and ``plain`` for all else."""
        return self.xp.where(self.leads(i, chunk), careful, plain) if self.is_saturated else plain

    def leads(self, i: int, chunk: Chunk) -> Array:
        """Whether a class is the leading one of a saturated sample, (…, samples of the tile, classes of the chunk)."""
        rows = (..., self.tiles[i], slice(None))
        return (self.leading.index[rows] == _numbers(chunk, self.xp)) & self.saturated[rows]

    def residual(self, P: Array, i: int, chunk: Chunk, y: Array) -> Array:
        """Return p − y for the probabilities of a tile and a chunk and the tile's labels y (…, n)."""
        xp, rows = self.xp, (..., self.tiles[i], slice(None))
        own = y[..., None] == _numbers(chunk, xp)
        r = P - xp.astype(own, P.dtype)
        return self.leading_or(chunk, i, xp.where(own, -self.rest[rows], r), r) if self.is_saturated else r

    def select(self, draw: tuple[int, ...], samples: Array) -> Softmax:
        """Return the probabilities of some samples, given by number, of one draw."""
        xp = self.xp

        def chosen(A: Array) -> Array:
            return xp.take(A[*draw, ...], samples, axis=0)

        U, V = chosen(self.U), self.V.draw(draw)
        few = Softmax(U, V, retiled(self.tiling, samples.shape[0]), self.team, xp)
        few.is_saturated = self.is_saturated  # not asked about again
        few._shift, few._highest, few.total = (chosen(A) for A in (self._shift, self._highest, self.total))
        if self.is_saturated:
            few.leading, few.rest = Leading(*(chosen(A) for A in self.leading)), chosen(self.rest)
        if len(self.tiles) == 1:
            few._held = {key: chosen(E) for key, E in self._held.items()}
            if not self._held and holds(V.shape[-2], self.U.shape[-2]):  # to have the bits of those that are held
                few._picked = self.U[*draw, ...], self._shift[*draw, ...], samples
        return few

    def exponentials(self, i: int, chunk: Chunk) -> Array:
        """Return exp(logits − shift) of a tile and a chunk, in a later pass."""
        if (i, chunk.classes.start) in self._held:
            E = self._held[i, chunk.classes.start]
            count = chunk.classes.stop - chunk.classes.start  # of the first classes, maybe a part of a chunk
            return E if E.shape[-1] == count else E[..., :count]
        if self._picked is not None:
            U, shift, samples = self._picked
            E = self._backend.exponentials(self._backend.products(U, chunk.V), shift)[0]
            return self.xp.take(E, samples, axis=0)
        return self._backend.exponentials(self.logits(i, chunk), self._shift[..., self.tiles[i], :])[0]

    @cached_property
    def saturated(self) -> Array:
        """Which samples have nearly all their probability in one class, (…, N, 1)."""
        return self._largest_probability > SATURATED

    @cached_property
    def _largest_probability(self) -> Array:
        """Of each sample, (…, N, 1), in float64."""
        if self._highest is self._shift:  # all classes were in the first chunk
            return 1 / self.total
        return self.xp.exp(self._highest - self._shift) / self.total

    @cached_property
    def is_saturated(self) -> bool:
        """Whether some sample has nearly all its probability in one class, and is to be made with care."""
        if self.doubts.all_with_care:
            return True
        largest = self.xp.max(self._largest_probability, axis=(-2, -1))
        return self.doubts.outside(largest, self.xp, below=SATURATED) and bool(self.xp.any(self.saturated))

    @property
    def vanished(self) -> Array:
        """Which samples have, beside the most probable class, no probability left that the dtype holds, (…, N, 1)."""
        return self.rest == 0 if self.is_saturated else self.saturated

    @cached_property
    def largest_logits(self) -> Array:
        """Return for each draw the largest |logit| among those of the most probable classes, (…)."""
        return self.xp.max(self.xp.abs(self._highest), axis=(-2, -1))

    @cached_property
    def leading(self) -> Leading:
        """The most probable class of every sample."""
        return self.find_leading()

    @cached_property
    def leading_rows(self) -> Array:
        """Rows of V of the leading classes, (…, N, inputs)."""
        xp, found = self.xp, self.xp.zeros_like(self.U)
        for chunk in chunks(self.V, self.tiling):
            last = chunk.V.shape[-2] - 1
            place = self.leading.index - chunk.classes.start
            where = xp.broadcast_to(xp.clip(place, 0, last), (*place.shape[:-1], found.shape[-1]))
            found = xp.where((place >= 0) & (place <= last), xp.take_along_axis(chunk.V, where, axis=-2), found)
        return found

    @cached_property
    def others(self) -> Softmax:
        """The same without the leading classes, after its first pass: its z is relative to the leading class."""
        others = self.without_leading()

        def work() -> None:
            for chunk in others.chunks():  # the exponentials are not kept: those of all classes may not fit
                self.team.map(lambda i, chunk=chunk: others.count(i, chunk), range(len(self.tiles)))  # type: ignore[misc]

        others.first_pass(work)
        return others

    @cached_property
    def rest(self) -> Array:
        """1 − p of the leading classes, (…, N, 1), to all digits."""
        return self.xp.astype(self.others.total / (1 + self.others.total), self.U.dtype)

    def without_leading(self) -> Softmax:
        """Return the same with the leading class of every sample left out, before its first pass."""
        return Softmax(self.U, self.V, self.tiling, self.team, self.xp, leading=self.leading, doubts=self.doubts)

    def _highest_of_first_chunk(self) -> Array:
        chunk = next(self.chunks())
        logits = [self.logits(i, chunk) for i in range(len(self.tiles))]
        return self.xp.concat([self.xp.max(L, axis=-1, keepdims=True) for L in logits], axis=-2)

    def find_leading(self) -> Leading:
        """Find the most probable class of every sample, in a pass of its own."""
        xp = self.xp
        logit = xp.full((*self.U.shape[:-1], 1), -xp.inf, dtype=self.U.dtype)
        index = xp.zeros(logit.shape, dtype=xp.int64)

        def look(i: int, chunk: Chunk) -> None:
            rows = (..., self.tiles[i], slice(None))
            L = self.logits(i, chunk)
            where = xp.argmax(L, axis=-1, keepdims=True)
            highest = xp.take_along_axis(L, where, axis=-1)
            better = highest > logit[rows]
            logit[rows] = xp.where(better, highest, logit[rows])
            index[rows] = xp.where(better, where + chunk.classes.start, index[rows])

        for chunk in chunks(self.V, self.tiling):
            self.team.map(lambda i, chunk=chunk: look(i, chunk), range(len(self.tiles)))  # type: ignore[misc]
        return Leading(logit, index)


def _numbers(chunk: Chunk, xp: Module) -> Array:
    return xp.arange(chunk.classes.start, chunk.classes.stop)
