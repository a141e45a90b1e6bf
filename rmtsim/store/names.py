"""What a shard's name tells: ``NUMBER-DRAWS-BYTES.parquet``.

The number is that of its commit; DRAWS is a digest of which draws it holds, and BYTES one of all its bytes, which
anybody can make: ``b2sum -l 64``. Bytes that no checksum of Parquet covers, as those of the footer, decide what is
read; the name tells whether they are those that were written. The commit stands in the metadata too, so that a shard
under the name of another is found out.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import NamedTuple

import pyarrow as pa

#: Numbers of commits have at most 17 digits, so that how many there are in a stretch can be counted.
MOST_COMMITS = 10**17 - 1

#: Names since format 4, which had no digest of the bytes; compacted shards, which may replace others, say so.
_PATTERN = re.compile(r"(\d{8,17}-[0-9a-f]{16})(?:-([0-9a-f]{16}))?(-compacted)?\.parquet")

#: Bytes of a file that are held at a time.
_BLOCK = 1 << 20


class ShardName(NamedTuple):
    """The parts of a name since format 4.

    Attributes
    ----------
    commit
        The number of the commit, and the digest of its draws: ``NUMBER-DRAWS``.
    digest
        The digest of the bytes; "" in format 4.
    compacted
        Whether compaction made it, and it may replace others.
    """

    commit: str
    digest: str
    compacted: bool

    def __str__(self) -> str:
        parts = [self.commit, *([self.digest] if self.digest else []), *(["compacted"] if self.compacted else [])]
        return f"{'-'.join(parts)}.parquet"

    @property
    def number(self) -> int:
        """Number of the commit."""
        return int(self.commit.partition("-")[0])


def parse_name(name: str) -> ShardName | None:
    """Take a name apart; names of formats 2 and 3, which have no number, are None."""
    found = _PATTERN.fullmatch(name)
    return ShardName(found[1], found[2] or "", bool(found[3])) if found else None


def commit_number(name: str) -> int:
    """Return the number of the commit that a shard's name tells; 0 for names of formats 2 and 3, which have none."""
    parts = parse_name(name)
    return parts.number if parts else 0


def file_digest(file: pa.NativeFile) -> str:
    """Digest of all bytes of a file, which is at its start before and after."""
    digest = blake2b(digest_size=8)
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()
