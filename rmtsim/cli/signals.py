"""Signals that ask the process to end, held back while the command starts, as it could not print a message yet."""

from __future__ import annotations

import signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hold_signals() -> None:
    """Block the signals. They stay blocked if this process is replaced by another program."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def release_signals() -> None:
    """Unblock the signals; those that waited come first."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
