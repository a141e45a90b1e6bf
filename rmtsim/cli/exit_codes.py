"""Exit codes of the command line, on which scripts may rely.

Only `UNFINISHED` says that the same command goes on, so a job that is queued again on 3 ends at last.
"""

from __future__ import annotations

from collections.abc import Iterable

DONE = 0
FAILED = 1
BAD_INPUT = 2
UNFINISHED = 3
LIMITED = 4

#: What each code means; help texts and the reference print it.
MEANINGS = {
    DONE: "done: everything that was asked for exists",
    BAD_INPUT: "bad input: one sentence says what would be valid, and nothing is written",
    UNFINISHED: "stopped or unfinished: the same command goes on",
    LIMITED: "finished, but points used up max_draws above their target: a repeat finds nothing to do",
    FAILED: "anything else, such as a batch that failed for good, a damaged store or a full disk",
}

#: Of several codes, the first of these that occurs counts.
_ORDER = (FAILED, UNFINISHED, LIMITED, DONE)


def exit_code(*, failed: object = False, unfinished: object = False, limited: object = False) -> int:
    """Return the exit code for how a run ended: failures come first, then unfinished work, then limits."""
    return FAILED if failed else UNFINISHED if unfinished else LIMITED if limited else DONE


def joint_exit_code(codes: Iterable[int]) -> int:
    """Return the exit code of several actions, one after the other."""
    found = set(codes)
    return next((code for code in _ORDER if code in found), DONE)
