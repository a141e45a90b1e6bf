"""How long a run in a job of SLURM may take: until the job's end, less what it takes to stop."""

from __future__ import annotations

import math
import os
import re
import subprocess
from time import time

from rmtsim.cli.printing import print_message
from rmtsim.errors import InputError
from rmtsim.text.sizes import format_seconds
from rmtsim.text.words import abridge

#: Seconds before the end of a job at which a run in it stops: it waits for threads up to 25 s, and commits; Ray ends
#: on every node, and the job queues itself again. sweeps/slurm.sh has SLURM warn the job after that.
MARGIN = 120.0

#: Seconds that squeue has to answer: a busy controller lets it wait, and it asks again by itself.
_PATIENCE = 60.0

#: Time left as squeue prints it: 2-03:04:05, 03:04:05, 4:05.
_TIME = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+)")


def seconds_to_run() -> float:
    """Return the seconds until a run in this job of SLURM should stop: `MARGIN` before the end, and at least 0.

    The end is that of SLURM_JOB_END_TIME; earlier versions of SLURM, which do not set it, are asked by squeue.

    Raises
    ------
    InputError
        If this process is in no job of SLURM, or the end of the job cannot be found.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    if not job:
        raise InputError("SLURM_JOB_ID is not set, so this is no job of SLURM; give a time such as 90s, 30min or 2h")
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    left = float(end) - time() if end.isascii() and end.isdecimal() else _asked(job)
    if left < MARGIN:
        print_message(
            f"--time-limit: job {job} of SLURM ends in {format_seconds(max(left, 0))}, and to stop takes up to "
            f"{format_seconds(MARGIN)}: stops after the first results; give the job more time"
        )
    return max(left - MARGIN, 0.0)


def _asked(job: str) -> float:
    """Return the seconds that a job has left, as squeue says it: no clock of another machine comes in."""
    try:
        done = subprocess.run(
            ["squeue", "--noheader", f"--jobs={job}", "--format=%L"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unknown(job, type(error).__name__) from None
    said = done.stdout.strip()
    if said == "UNLIMITED":
        return math.inf
    found = _TIME.fullmatch(said)
    if done.returncode or not found:
        raise _unknown(job, (done.stderr.strip() or said or "it prints nothing").splitlines()[-1])
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 86_400 * days + 3600 * hours + 60 * minutes + seconds


def _unknown(job: str, why: str) -> InputError:
    return InputError(
        f"when job {job} of SLURM ends is not known: SLURM_JOB_END_TIME is not set, and squeue does not say it "
        f"({abridge(why)}); give a time such as 90s, 30min or 2h"
    )
