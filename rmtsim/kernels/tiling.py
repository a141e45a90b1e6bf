"""How a draw is cut up: chunks of classes, tiles of samples, and how much is held in memory at once.

Chunks and tiles are a function of the sizes alone, and every product and every sum is made by chunk and tile in one
order, so a draw's value has the same bits whatever the memory, the number of threads or the size of a batch. What
memory decides is the *span*: Gram matrices are held for blocks of span × span tiles, and the classes stream past once
for every block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Samples in a tile, at most: products of this size run at full speed, and two threads find work in three tiles.
TILE = 512
#: Classes in a chunk, at most, and numbers in a chunk of V, at most.
_CHUNK, _CHUNK_NUMBERS = 512, 2**22
#: On a GPU larger pieces are needed to fill it.
_GPU_FACTOR = 8
#: The exponentials of all classes are kept for the later passes where they are at most this many.
_HELD_NUMBERS = 2**22


@dataclass(frozen=True)
class Tiling:
    """Sizes of the pieces.

    Attributes
    ----------
    tile, largest
        Samples in a tile, and what they may be at most.
    chunk
        Classes in a chunk.
    span
        Tiles to a side of the block of Gram matrices that are held at once.
    hold
        Whether the exponentials of all chunks are kept between passes.
    """

    tile: int
    largest: int
    chunk: int
    span: int
    hold: bool

    def tiles(self, n_samples: int) -> list[slice]:
        """Cut the samples into tiles."""
        return [slice(start, min(start + self.tile, n_samples)) for start in range(0, n_samples, self.tile)]

    def chunks(self, n_classes: int) -> list[slice]:
        """Cut the classes into chunks."""
        return [slice(start, min(start + self.chunk, n_classes)) for start in range(0, n_classes, self.chunk)]

    def n_tiles(self, n_samples: int) -> int:
        """Return the number of tiles."""
        return -(-n_samples // self.tile)

    def one_chunk(self, n_classes: int) -> bool:
        """Whether all classes are in one chunk."""
        return n_classes <= self.chunk

    def blocks(self, n_tiles: int) -> list[list[tuple[int, int]]]:
        """All pairs of tiles i ≥ j, in the blocks that are held at once; those with pairs i = j come first."""
        groups = [range(start, min(start + self.span, n_tiles)) for start in range(0, n_tiles, self.span)]
        pairs = [(a, b) for a in range(len(groups)) for b in range(a + 1)]
        pairs.sort(key=lambda pair: pair[0] - pair[1])
        return [[(i, j) for i in groups[a] for j in groups[b] if i >= j] for a, b in pairs]


def tiling(n_classes: int, inputs: int, n_samples: int, *, gpu: bool = False) -> Tiling:
    """Return the tiling of a draw if memory is unlimited; V has ``inputs`` columns."""
    factor = _GPU_FACTOR if gpu else 1
    largest = TILE * factor
    chunk = min(_CHUNK * factor, max(1, _power_of_two(_CHUNK_NUMBERS * factor // inputs)))
    hold = holds(n_classes, n_samples, factor)
    return Tiling(_equal(n_samples, largest), largest, chunk, -(-n_samples // largest), hold)


def holds(n_classes: int, n_samples: int, factor: int = 1) -> bool:
    """Whether exponentials are held from one pass over the classes to the next if memory is unlimited."""
    return n_classes * n_samples <= _HELD_NUMBERS * factor**2


def retiled(tiling: Tiling, n_samples: int) -> Tiling:
    """Return the same for another number of samples."""
    return replace(tiling, tile=_equal(n_samples, tiling.largest))


def with_span(tiling: Tiling, span: int) -> Tiling:
    """Return the same pieces with fewer of them held at once."""
    return replace(tiling, span=span, hold=False)


def pieces(count: int, size: int) -> list[range]:
    """Cut ``count`` things into pieces of at most ``size``, of about the same length."""
    n = -(-count // size)
    return [range(k * count // n, (k + 1) * count // n) for k in range(n)]


def _equal(n_samples: int, largest: int) -> int:
    """Cut into tiles of equal size, their rows aligned."""
    n_tiles = -(-n_samples // largest)
    return min(n_samples, -(-n_samples // (16 * n_tiles)) * 16)


def _power_of_two(limit: int) -> int:
    """Return the largest power of two that is at most ``limit``, or 0."""
    return 1 << (limit.bit_length() - 1) if limit > 0 else 0
