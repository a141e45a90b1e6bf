"""A check that worker processes of a Ray of our own start."""

from __future__ import annotations

import logging
from typing import Any

from rmtsim.errors import RunError
from rmtsim.sweeps.last_words import raylet_words

_log = logging.getLogger(__name__)

#: Seconds for the first worker to answer before we say that we wait, and from then on. Ray gives one up after 60.
_QUIET, _PATIENCE = 20.0, 100.0


def check_worker(ray: Any) -> None:
    """Wait for a first worker to answer.

    Raises
    ------
    RunError
        If none does: Ray starts those that end before they answer again for ever, without a word.
    """
    call = ray.remote(num_cpus=0, max_retries=0)(_answer).remote()
    if ray.wait([call], timeout=_QUIET)[0]:
        return
    _log.info("ray: waits for its first worker process, for %.0f s at most", _PATIENCE)
    if ray.wait([call], timeout=_PATIENCE)[0]:
        return
    words = raylet_words()
    raise RunError(
        f"ray: it runs on this machine, but in {_QUIET + _PATIENCE:.0f} s no worker process of it got as far as rmtsim"
        f"{f' (the last one with the words: {words})' if words else ''}; see what Python runs when it starts, such as "
        "a sitecustomize.py on PYTHONPATH, or choose --address local"
    )


def _answer() -> None:
    """Do nothing, on a worker."""
