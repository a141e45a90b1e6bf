"""The errors that a user is told of in one sentence."""


class InputError(ValueError):
    """Bad input: what is wrong, where, and what would be valid.

    The command line prints the sentence and ends with exit code 2; from Python it is a ``ValueError``.
    """


class RunError(RuntimeError):
    """Something failed that is no fault of the input, as a full disk; the command line ends with exit code 1."""


class StoppedError(RunError):
    """A run was stopped before its end; what it had is kept. The command line ends with exit code 3."""
