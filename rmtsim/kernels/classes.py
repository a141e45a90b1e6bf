"""Where the rows of V come from: an array that is there, or a stream that makes them when they are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from rmtsim.arrays.backend import Array, Module
from rmtsim.kernels.tiling import Tiling


class Chunk(NamedTuple):
    """Some classes and their rows of V, (…, c, inputs)."""

    classes: slice
    V: Array


class Rows(Protocol):
    """The rows of V, (…, C, inputs), one for each class; leading axes run over draws."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all of V."""

    def rows(self, classes: slice) -> Array:
        """Return the rows of these classes, (…, c, inputs)."""

    def draw(self, index: tuple[int, ...]) -> Rows:
        """Return V of one draw, by its place in the leading axes."""


@runtime_checkable
class RowsMadeTogether(Rows, Protocol):
    """Rows that may be made at once with those of others of their kind."""

    def rows_beside(self, others: Sequence[Rows], classes: slice) -> Array | None:
        """Return the rows of these classes of this matrix and of others, (…, 1 + others, c, inputs).

        Return None where each matrix has to be made by itself.
        """


class GivenRows:
    """The rows of an array V (…, C, inputs)."""

    def __init__(self, V: Array) -> None:
        self._V = V
        self.shape: tuple[int, ...] = V.shape

    def rows(self, classes: slice) -> Array:
        """Return a view of the rows."""
        return self._V[..., classes, :]

    def draw(self, index: tuple[int, ...]) -> GivenRows:
        """Return V of one draw."""
        return GivenRows(self._V[*index, ...])


class SideBySide:
    """Several matrices V of one shape, along an axis of their own after those that run over draws."""

    def __init__(self, matrices: Sequence[Rows], xp: Module) -> None:
        self._matrices, self._xp = matrices, xp
        *lead, C, inputs = matrices[0].shape
        self.shape: tuple[int, ...] = (*lead, len(matrices), C, inputs)

    def rows(self, classes: slice) -> Array:
        """Return the rows of all matrices, (…, R, c, inputs)."""
        first, *others = self._matrices
        made = first.rows_beside(others, classes) if others and isinstance(first, RowsMadeTogether) else None
        if made is not None:
            return made
        found = [V.rows(classes) for V in self._matrices]
        return found[0][..., None, :, :] if len(found) == 1 else self._xp.stack(found, axis=-3)

    def draw(self, index: tuple[int, ...]) -> Rows:
        """Return one matrix of one draw, by its place in the leading axes."""
        return self._matrices[index[-1]].draw(index[:-1])


def chunks(V: Rows, tiling: Tiling, n_classes: int | None = None) -> Iterator[Chunk]:
    """Let the classes, or the first ``n_classes`` of them, stream past; only one chunk is held."""
    for classes in tiling.chunks(n_classes or V.shape[-2]):
        yield Chunk(classes, V.rows(classes))
