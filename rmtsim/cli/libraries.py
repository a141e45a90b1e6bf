"""What NumPy and Arrow are told before they are loaded, and whether there is room for them at all."""

from __future__ import annotations

import os

from rmtsim.arrays.limits import address_limit
from rmtsim.errors import InputError
from rmtsim.text.sizes import format_bytes

#: Address space that Python takes with all that it loads, and with the smallest of draws (measured: 0.5 GiB).
_LEAST = 2**29


def prepare_libraries() -> None:
    """Keep libraries from threads and address space that nobody uses.

    Draws take one thread of BLAS each, whatever there are; where threads are short, OpenBLAS ends the process if it
    does not get all of its own.

    Raises
    ------
    InputError
        If the process may have too little address space to load them: they would hang, or end it without a word.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    limit = address_limit()
    if limit is None:
        return
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # its own takes a gigabyte of addresses at once
    if limit < _LEAST:
        raise InputError(
            f"memory: this process may have {format_bytes(limit)} of addresses (ulimit -v, ulimit -d), and rmtsim "
            f"needs at least {format_bytes(_LEAST)}; raise the limit"
        )
