"""Sums over all pairs of samples and all classes that stay on a GPU while the classes stream past."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rmtsim.arrays.backend import Array
from rmtsim.kernels.classes import Chunk
from rmtsim.kernels.tiling import Tiling

#: (the sum so far or None, outputs of a tile and a chunk, those of another tile, the chunk) → the sum with these
Add = Callable[[Array | None, Any, Any, Chunk], Array]


def sums_of_pairs(
    sums: Any,
    n_samples: int,
    chunks: Callable[[], Iterable[Chunk]],
    tiling: Tiling,
    outputs: Callable[[int, Chunk], Array],
    of_pair: Callable[[int, int], Add],
) -> Array:
    """Return the sums of all pairs of tiles, (…, kinds), in float64.

    Parameters
    ----------
    sums
        `Backend.chunk_sums` of the arrays.
    n_samples, chunks, tiling
        The samples and how they are cut; the classes, which stream past once for every block of tiles.
    outputs
        Numbers of the samples of a tile and the classes of a chunk.
    of_pair
        What adds a chunk of two tiles i ≥ j.
    """
    tiles, done = tiling.tiles(n_samples), {}
    for block in tiling.blocks(len(tiles)):
        adds = {(i, j): of_pair(i, j) for i, j in block}
        partial: dict[tuple[int, int], Array] = {}
        for chunk in chunks():
            start = chunk.classes.start
            of_tile = {
                i: sums.Outputs(outputs(i, chunk), tiles[i], start) for i in sorted({i for ij in block for i in ij})
            }
            for (i, j), add in adds.items():
                partial[i, j] = add(partial.get((i, j)), of_tile[i], of_tile[j], chunk)
            del of_tile  # before the next chunk's are made
        done.update({pair: sums.total(found) for pair, found in partial.items()})
    first, *others = sorted(done)  # an order that does not depend on the blocks
    return sum((done[pair] for pair in others), done[first])
