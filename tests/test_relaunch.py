"""Where OpenBLAS took a slow kernel, the command starts again with a faster one; once, and only then."""

from __future__ import annotations

import os
import sys

import pytest

from rmtsim.cli import relaunch

AVX512 = {"avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}


@pytest.mark.parametrize(
    ("flags", "libraries", "kernel"),
    [
        (AVX512, "openblas 0.3.30 Haswell", "SkylakeX"),
        (AVX512, "openblas 0.3.30 SkylakeX, openblas 0.3.31 Zen", "SkylakeX"),
        (AVX512, "openblas 0.3.30 SkylakeX", None),
        (AVX512 - {"avx512vl"}, "openblas 0.3.30 Haswell", None),
        (AVX512, "mkl 2024.1 Haswell", None),
        (set(), "unknown", None),
    ],
)
def test_which_kernel_is_asked_for(flags: set[str], libraries: str, kernel: str | None) -> None:
    assert relaunch.faster_kernel(flags, libraries) == kernel


def test_the_process_is_replaced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(relaunch, "_processor_flags", lambda: AVX512)
    monkeypatch.setattr(relaunch, "blas_kernel", lambda: "openblas 0.3.30 Haswell")
    monkeypatch.setattr(os, "execv", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(relaunch, "hold_signals", lambda: calls.append("held"))
    monkeypatch.setattr(sys, "orig_argv", ["python", "/venv/bin/rmtsim", "run", "figure8"])
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    relaunch.relaunch_with_faster_kernel()
    assert calls == ["held", (sys.executable, [sys.executable, "/venv/bin/rmtsim", "run", "figure8"])]
    assert os.environ["OPENBLAS_CORETYPE"] == "SkylakeX"
    relaunch.relaunch_with_faster_kernel()
    assert len(calls) == 2
    monkeypatch.undo()
    os.environ.pop("OPENBLAS_CORETYPE", None)
