"""Opening of shards one after the other, with the next few fetched in the background."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Generator
from concurrent.futures import Future
from itertools import islice

from rmtsim.arrays.pool import Pool
from rmtsim.store.shards import OpenShard, Shard

#: Number of shards that are fetched at a time, ahead of the one in use; of large ones fewer, since each takes memory
#: for its metadata, which has the time of each of its points.
AHEAD, AHEAD_OF_LARGE = 8, 1

#: Rows from which on a shard is large.
_LARGE = 10_000


def open_ahead(shards: Collection[Shard]) -> Generator[tuple[Shard, OpenShard], None, None]:
    """Yield shards in their order, each open until the next one is requested; raises what `Shard.open` raises."""
    with Pool(min(AHEAD, len(shards))) as pool:
        opening: deque[tuple[Shard, Future[OpenShard]]] = deque()
        left = iter(shards)
        try:
            opening.extend((shard, pool.submit(shard.open)) for shard in islice(left, 1))
            while opening:
                shard, future = opening.popleft()
                with future.result() as opened:
                    ahead = AHEAD_OF_LARGE if opened.num_rows > _LARGE else AHEAD
                    more = islice(left, max(0, ahead - len(opening)))
                    opening.extend((shard, pool.submit(shard.open)) for shard in more)
                    yield shard, opened
        finally:
            for _, future in opening:
                future.cancel()
                if not future.cancelled() and future.exception() is None:
                    future.result().__exit__()
