"""Settings for NumPy and Arrow before they are loaded, and the check that there is address space for them."""

from __future__ import annotations

import os

from rmtsim.arrays.limits import address_limit
from rmtsim.errors import InputError
from rmtsim.text.sizes import format_bytes

#: Address space of Python with all libraries and the smallest of draws (measured: 0.5 GiB).
_LEAST = 2**29


def prepare_libraries() -> None:
    """Keep libraries from taking threads and address space that are not used.

    A draw uses one thread of BLAS, however many there are. Where threads are limited, OpenBLAS ends the process if it
    does not get all that it asks for.

    Raises
    ------
    InputError
        If the process may have too little address space for the libraries: they would hang, or end it silently.
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
