"""The errors that are reported to the user in one sentence."""


class InputError(ValueError):
    """Bad input: what is wrong, where, and what would be valid.

    The command line prints the sentence and ends with exit code 2; from Python it is a ``ValueError``.

    Examples
    --------
    >>> import rmtsim
    >>> rmtsim.Point("linear", "ce", n_classes=0, dim=4, n_samples=8)
    Traceback (most recent call last):
    rmtsim.errors.InputError: n_classes: 0 is not valid; give a whole number from 1 to 1000000000
    """


class RunError(RuntimeError):
    """Something failed that is no fault of the input, as a full disk; the command line ends with exit code 1.

    ``StoreError``, of a store that cannot be read or written, is one.

    Examples
    --------
    What a store says of a file that someone else put there is one:

    >>> import tempfile, pathlib
    >>> import rmtsim
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (pathlib.Path(folder) / "draws").mkdir()
    ...     _ = (pathlib.Path(folder) / "draws" / "own.parquet").write_bytes(b"PAR1")
    ...     try:
    ...         rmtsim.open_store(folder).draws()
    ...     except rmtsim.RunError as error:
    ...         "own.parquet" in str(error)
    True
    """


#: The end of the message of every run that was stopped.
GOES_ON = "what was committed is safe, the same command goes on"


class StoppedError(RunError):
    """A run was stopped before its end; what it had is kept. The command line ends with exit code 3."""

    def __init__(self, what: str = f"stopped: {GOES_ON}") -> None:
        super().__init__(what)


def short_of_threads(error: BaseException) -> bool:
    """Whether Python or Arrow was refused a thread, as by ``ulimit -u``: nothing is wrong with what was to be done."""
    return any(words in str(error) for words in ("can't start new thread", "Failed to launch worker thread"))
