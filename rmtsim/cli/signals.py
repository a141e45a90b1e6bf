"""Signals that ask to end, held back while the command starts: it could not say a sentence yet."""

from __future__ import annotations

import signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hold_signals() -> None:
    """Have signals wait. They go on waiting if this process is replaced by another program."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def release_signals() -> None:
    """Let the signals come, those that waited first."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
