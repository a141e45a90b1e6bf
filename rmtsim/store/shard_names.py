"""Names of shards: ``NUMBER-DRAWS-BYTES.parquet``.

NUMBER is the number of the commit, DRAWS a digest of the keys of its draws, and BYTES a digest of all bytes of the
file, which anybody can compute: ``b2sum -l 64``. Parquet's checksums do not cover the footer, which decides what is
read; BYTES shows whether it is as it was written. The metadata name the commit too, so that a shard under the name of
another is noticed.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import NamedTuple

import pyarrow as pa

#: Numbers of commits have at most 17 digits, so that Python can count the numbers of a range.
MOST_COMMITS = 10**17 - 1

#: Names since format 4, whose names have no BYTES; compacted shards, which may replace others, are marked.
_PATTERN = re.compile(r"(\d{8,17}-[0-9a-f]{16})(?:-([0-9a-f]{16}))?(-compacted)?\.parquet")

#: Number of bytes of a file that are held at a time.
_BLOCK = 1 << 20


class ShardName(NamedTuple):
    """The parts of a name since format 4.

    Attributes
    ----------
    commit
        The number of the commit, and the digest of its draws: ``NUMBER-DRAWS``.
    digest
        The digest of the bytes, BYTES; "" in format 4.
    compacted
        Whether compaction made the shard, which may then replace others.
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
    """Return the parts of a name; None for names of formats 2 and 3, which have no number."""
    found = _PATTERN.fullmatch(name)
    return ShardName(found[1], found[2] or "", bool(found[3])) if found else None


def commit_number(name: str) -> int:
    """Return the number of the commit in a shard's name; 0 for names of formats 2 and 3, which have none."""
    parts = parse_name(name)
    return parts.number if parts else 0


def file_digest(file: pa.NativeFile) -> str:
    """Return the digest of all bytes of a file, which must be at its start, and is there again afterwards."""
    digest = blake2b(digest_size=8)
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()
