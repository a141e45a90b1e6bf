"""The layers of the Hessian: which blocks each has, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from rmtsim.model.choices import LayerName

#: The size of a point that a block has on one side: d, or m.
Side: TypeAlias = Literal["dim", "width"]


@dataclass(frozen=True)
class Layer:
    """A part of the Hessian of a model with at most one hidden layer.

    Attributes
    ----------
    name
        Its name in rows and arguments.
    part
        The numbers, from 1, of the two layers of weights whose second derivatives it holds.
    sides
        What the rows and columns of one block are as many as.
    is_last
        Whether its weights give the logits; its blocks then belong to pairs of classes.
    """

    name: LayerName
    part: tuple[int, int]
    sides: tuple[Side, Side]
    is_last: bool = False

    @property
    def has_diagonal(self) -> bool:
        """Whether it has diagonal blocks; the part between two layers has none."""
        return self.part[0] == self.part[1]

    def has_off_diagonal(self, n_classes: int, width: int | None) -> bool:
        """Return whether it has blocks off the diagonal, which takes more than one class, or more than one neuron."""
        return not self.has_diagonal or (n_classes if self.is_last else width or 0) > 1

    @property
    def is_d_by_d(self) -> bool:
        """Whether its blocks are d×d: their norms grow as d, and in a limit d → ∞ they are divided by it."""
        return self.sides == ("dim", "dim")

    def block_shape(self, dim: int, width: int | None) -> tuple[int, int]:
        """Return the rows and columns of one block."""
        sizes = {"dim": dim, "width": width or 0}
        rows, columns = self.sides
        return sizes[rows], sizes[columns]


LINEAR = Layer("linear", (1, 1), ("dim", "dim"), is_last=True)
HIDDEN = Layer("hidden", (1, 1), ("dim", "dim"))
OUTPUT = Layer("output", (2, 2), ("width", "width"), is_last=True)
CROSS = Layer("cross", (1, 2), ("dim", "width"))

#: Every layer, by its name.
BY_NAME: dict[str, Layer] = {layer.name: layer for layer in (LINEAR, HIDDEN, OUTPUT, CROSS)}

#: Names of the layers whose blocks are d×d, of those that give the logits, and of those that have diagonal blocks.
D_BY_D = tuple(layer.name for layer in BY_NAME.values() if layer.is_d_by_d)
LAST = tuple(layer.name for layer in BY_NAME.values() if layer.is_last)
WITH_DIAGONAL = tuple(layer.name for layer in BY_NAME.values() if layer.has_diagonal)
