"""What a data law is: where X and y of a Hessian or a training run come from; and the laws by name.

Each law is a module of this folder. Those of independent samples (`rmtsim.data.row_laws`) are `rmtsim.data.gaussian`
and others of its size; `rmtsim.data.clusters` has labels that belong to its samples, and so have the laws of files,
`rmtsim.data.cifar` and `rmtsim.data.own_data`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

from rmtsim.data.labelled import Samples
from rmtsim.errors import InputError
from rmtsim.text.named_objects import Registry
from rmtsim.text.words import abridge, did_you_mean


class DataLaw(ABC):
    """A law of (X, y), or a file to draw samples from. It is immutable and hashable, and can be pickled.

    A new law derives from this class, as a frozen dataclass of its parameters, and is decorated by `register_data`.
    Specs and `rmtsim.training.problem.Problem` then take it.

    Attributes
    ----------
    name
        Name of the law, which stands in the parameters of tables.
    form
        How users write it, such as ``"clusters:K"``.
    """

    name: ClassVar[str]
    form: ClassVar[str]

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> DataLaw | None:
        """Return the law that a text of this form names; None if it has another form.

        Raises
        ------
        InputError
            If it has this form and a parameter is not valid.
        """

    @property
    @abstractmethod
    def text(self) -> str:
        """Identity in tables, as `parse` takes it; of a file, its name and content instead.

        Raises
        ------
        InputError
            If a file cannot be read.
        """

    @property
    def label(self) -> str:
        """Description in titles of figures."""
        return f"{self.text} data"

    @abstractmethod
    def check(self, n_classes: int, dim: int, n_samples: int) -> None:
        """Raise InputError where ``draw`` would: a size is not valid, or does not fit the file."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Return all that the samples depend on beside the arguments of ``draw``, as JSON takes it.

        A file stands there by a hash of its content, wherever it is.
        """

    @abstractmethod
    def draw(self, n_classes: int, dim: int, n_samples: int, key: str) -> Samples:
        """Return X (N, d), float64, and y (N,), labels from 0 to C − 1, int64: a function of the arguments alone.

        Raises
        ------
        InputError
            If a size is not valid, or does not fit the file.
        """


_LAWS: Registry[type[DataLaw]] = Registry("data", "rmtsim.data")

Law = TypeVar("Law", bound=type[DataLaw])


def register_data(law: Law) -> Law:
    """Make a law known, and return it; a decorator. Each process that parses its texts has to import that module.

    Raises
    ------
    InputError
        If the name is not a valid one, or another law has it.
    """
    _LAWS.register(law)
    return law


def parse_data(text: Any, kind: type = DataLaw) -> DataLaw:
    """Return the data law that a text names.

    Parameters
    ----------
    text
        ``gaussian``; a law of independent samples, such as ``sphere`` or ``student_t:5``; ``clusters:K``, as in
        ``clusters:20``, or ``clusters:K:SCALE:NOISE``, as in ``clusters:20:standard:0.05``; ``cifar100:FOLDER``;
        ``FILE.npz``; or the form of a law of your own. A file is read when it is first needed, not here.
    kind
        The class of laws to choose from.

    Raises
    ------
    InputError
        If the text names none.

    Examples
    --------
    >>> from rmtsim.data.datasets import parse_data
    >>> parse_data("clusters:20")
    Clusters(n_clusters=20, noise=0.05, scale='unit')
    """
    if not isinstance(text, str):
        raise InputError(f"data: {abridge(text)} is not valid; give a text, such as 'gaussian'")
    known = [law for law in _LAWS if issubclass(law, kind)]
    for law in known:
        if (found := law.parse(text)) is not None:
            return found
    forms = ", ".join(law.form for law in known)
    if any(law.parse(text) is not None for law in _LAWS):
        raise InputError(f"data: {text!r} has labels of its own, which only training runs take; choose one of {forms}")
    heads = {law.form.partition(":")[0]: law.form for law in known}
    head = text.partition(":")[0]
    if head in heads:
        raise InputError(f"data: {abridge(text)} is not valid; give {heads[head]}")
    meant = did_you_mean(head, heads)
    raise InputError(f"data: {abridge(text)} is not known{meant}; choose one of {forms}")


def is_data(text: str) -> bool:
    """Return whether a text names a data law, or begins as the form of one: else it may be a folder, for example."""
    start = text.partition(":")[0]
    return any(start == law.form.partition(":")[0] or law.parse(text) is not None for law in _LAWS)
