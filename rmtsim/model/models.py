"""The models of a sweep's points: which layers each has, and which sizes it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rmtsim.errors import InputError
from rmtsim.model.choices import MODELS, LayerName, ModelName
from rmtsim.model.layers import CROSS, HIDDEN, LINEAR, OUTPUT, Layer
from rmtsim.text.checks import check_choice, check_size


@dataclass(frozen=True)
class Model:
    """A network whose block norms have closed forms.

    Attributes
    ----------
    name
        Its name in rows and arguments.
    layers
        The layers of its Hessian, in the order in which they are reported.
    has_width
        Whether it has hidden neurons, so that a point needs their number m.
    """

    name: ModelName
    layers: tuple[Layer, ...]
    has_width: bool

    @property
    def layer_names(self) -> tuple[LayerName, ...]:
        """Names of its layers."""
        return tuple(layer.name for layer in self.layers)

    def check_width(self, width: Any) -> int | None:
        """Return the width as an int, or None for a model without; raise InputError if it does not fit the model."""
        if not self.has_width:
            if width is not None:
                raise InputError(f"width: {width!r} was given, but the {self.name} model has none; leave it out")
            return None
        if width is None:
            raise InputError(f"width: the {self.name} model needs it; give a whole number of at least 1")
        return check_size("width", width)


#: Logits V x.
LINEAR_MODEL = Model("linear", (LINEAR,), has_width=False)
#: Logits V σ(W x), σ = ReLU, no biases.
ONE_HIDDEN = Model("one_hidden", (HIDDEN, OUTPUT, CROSS), has_width=True)

_BY_NAME: dict[str, Model] = {model.name: model for model in (LINEAR_MODEL, ONE_HIDDEN)}


def get_model(name: Any) -> Model:
    """Return the model of that name; raise InputError if there is none."""
    return _BY_NAME[check_choice("model", name, MODELS)]


def model_with(width: int | None) -> Model:
    """Return the model with this number of hidden neurons; None stands for no hidden layer."""
    return LINEAR_MODEL if width is None else ONE_HIDDEN
