"""The one error that a user's input can cause."""


class InputError(ValueError):
    """Bad input, told in one sentence: what is wrong, where, and what would be valid.

    The command line prints the sentence and ends with exit code 2; from Python it is a ``ValueError``.
    """
