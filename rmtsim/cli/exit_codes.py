"""Exit codes of the command line: what a script that calls it may rely on.

Only `UNFINISHED` says that the same command goes on, so a job that is put back into the queue on 3 ends at last.
"""

from __future__ import annotations

from collections.abc import Iterable

DONE = 0  #: all that was asked for is there
FAILED = 1  #: anything else, such as a batch that failed for good, a damaged store or a full disk
BAD_INPUT = 2  #: one sentence says what would be valid; nothing was written
UNFINISHED = 3  #: stopped before the end: the same command goes on
LIMITED = 4  #: finished, but points used up max_draws above their target: a repeat finds nothing to do

#: What is told of several, the first that occurs.
_ORDER = (FAILED, UNFINISHED, LIMITED, DONE)


def exit_code(*, failed: object = False, unfinished: object = False, limited: object = False) -> int:
    """Return the exit code for what is true of the end: failures come first, then what is left to do."""
    return FAILED if failed else UNFINISHED if unfinished else LIMITED if limited else DONE


def joint_exit_code(codes: Iterable[int]) -> int:
    """Return the exit code of several things that were done one after the other."""
    found = set(codes)
    return next((code for code in _ORDER if code in found), DONE)
