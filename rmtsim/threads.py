"""BLAS threads: one, where results must agree to the bit or the products are small."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec
from typing import Any, cast


def single_threaded_blas() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread: sums are then split the same way everywhere, so results agree to the bit.

    Without threadpoolctl, on a bare host, BLAS keeps its threads and the last digits may differ.
    """
    if find_spec("threadpoolctl") is None:
        return nullcontext()
    return cast(AbstractContextManager[Any], _threadpools().limit(limits=1, user_api="blas"))


@cache
def _threadpools() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
