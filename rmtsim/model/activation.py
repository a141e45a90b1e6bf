"""What an activation is: a function σ and its first two derivatives; and the activations by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from rmtsim.arrays.backend import Array, Module
from rmtsim.model.choices import LayerName
from rmtsim.model.layers import CROSS, HIDDEN
from rmtsim.text.named_objects import Registry


class Activation(ABC):
    """The nonlinearity after each hidden layer, applied to every entry of its pre-activations.

    A new activation derives from this class, defines `name` and the abstract methods, and is passed to
    `register_activation`. It can then be given by its name to `rmtsim.block_norms`, `rmtsim.layer_norms` and
    `rmtsim.hessian`, and to training.

    Attributes
    ----------
    name
        What users choose it by.
    homogeneous
        Whether σ(ax) = a σ(x) for a > 0. Arrays of any size can then be scaled to order one and back.
    piecewise_linear
        Whether σ″ = 0 wherever it exists, so that no term with σ″ is computed.
    rectifies
        Whether σ(x) = x 1[x > 0]: samples that a neuron does not let through are then left out of its sums.
    bounded
        Whether |σ| has a bound, which keeps large entries of data from making large norms.

    Examples
    --------
    >>> import numpy as np
    >>> from rmtsim.model.activation import Activation
    >>> class Square(Activation):
    ...     name = "square"
    ...     def value(self, pre, xp):
    ...         return pre**2
    ...     def slope(self, pre, xp):
    ...         return 2 * pre
    ...     def bend(self, pre, xp):
    ...         return 2 + 0 * pre
    >>> Square().value(np.array([-1.0, 3.0]), np).tolist()
    [1.0, 9.0]
    """

    name: ClassVar[str]
    homogeneous: ClassVar[bool] = False
    piecewise_linear: ClassVar[bool] = False
    rectifies: ClassVar[bool] = False
    bounded: ClassVar[bool] = False

    @abstractmethod
    def value(self, pre: Array, xp: Module) -> Array:
        """Return σ of each entry.

        Parameters
        ----------
        pre
            Pre-activations, an array of any shape; it is kept.
        xp
            The array module.

        Returns
        -------
        array
            Values of σ, in the same shape.
        """

    @abstractmethod
    def slope(self, pre: Array, xp: Module) -> Array:
        """Return σ′ of each entry.

        Parameters
        ----------
        pre
            Pre-activations, an array of any shape.
        xp
            The array module.

        Returns
        -------
        array
            Values of σ′, in the shape and the dtype of ``pre``.
        """

    def bend(self, pre: Array, xp: Module) -> Array:
        """Return σ″ of each entry; not asked for where σ is piecewise linear.

        Parameters
        ----------
        pre
            Pre-activations, an array of any shape.
        xp
            The array module.

        Returns
        -------
        array
            Values of σ″, in the shape and the dtype of ``pre``.
        """
        raise NotImplementedError(f"{self!r} is not piecewise linear, so it has to define bend, the second derivative")

    def value_and_slope(self, pre: Array, xp: Module) -> tuple[Array, Array]:
        """Return σ and σ′; worth another definition where they share work."""
        return self.value(pre, xp), self.slope(pre, xp)

    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}()"


_ACTIVATIONS: Registry[Activation] = Registry("activation", "rmtsim.model.activations")


def register_activation(activation: Activation) -> Activation:
    """Make an activation known by its name; each process that uses it has to import the module that does so.

    Parameters
    ----------
    activation
        An object of a class derived from `rmtsim.model.activation.Activation`.

    Returns
    -------
    Activation
        The activation.

    Raises
    ------
    InputError
        If the name is not a valid one, or another activation has it.

    Examples
    --------
    >>> from rmtsim.model.activation import get_activation, register_activation
    >>> register_activation(get_activation("relu")) is get_activation("relu")  # the same again is no error
    True
    """
    return _ACTIVATIONS.register(activation)


def get_activation(name: Any) -> Activation:
    """Return the activation of that name; raise InputError, which lists the names, if there is none."""
    return _ACTIVATIONS.get(name)


def layers_with_labels(activation: str) -> tuple[LayerName, ...]:
    """Return the layers whose blocks depend on the labels: the hidden one where the activation bends."""
    return (CROSS.name,) if get_activation(activation).piecewise_linear else (HIDDEN.name, CROSS.name)


def activation_names() -> tuple[str, ...]:
    """Names of all activations that a network can have."""
    return _ACTIVATIONS.names()
