"""The ensemble: the laws and variances of data and weights that theory and simulation share."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from numbers import Real
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from rmtsim.data.gaussian import Gaussian
from rmtsim.data.row_laws import RowLaw, parse_row_law
from rmtsim.errors import InputError
from rmtsim.model.activation import get_activation
from rmtsim.model.choices import ACTIVATIONS, WEIGHTS, ActivationName, WeightsName
from rmtsim.model.loss import get_loss
from rmtsim.model.models import Model
from rmtsim.text.checks import check_choice
from rmtsim.text.words import abridge

InitName: TypeAlias = Literal["lecun", "he", "xavier"]
INITS: tuple[InitName, ...] = get_args(InitName)

#: No variance or gain may lie outside: squared norms then stay inside float32, and typing errors outside.
LEAST, MOST = 1e-6, 1e6

#: The laws of data that come with rmtsim and have independent samples, as users write them.
_DATA = "`gaussian`, `rademacher`, `uniform`, `student_t:NU`, `sphere`, `ar1:RHO`, `spectrum:ALPHA` or `spiked:K:S`"


class Scales(NamedTuple):
    """Variances in units of the LeCun ensemble's, in which data have variance 1 and a weight 1/fan_in."""

    data: float  #: s² = Var(X)
    hidden: float  #: w = d Var(W); 1 for the linear model
    last: float  #: ν = fan_in Var(V)

    @property
    def gain(self) -> float:
        """The gain g = s² w ν: with ReLU, or the identity, logits are √g times the LeCun ensemble's."""
        return self.data * self.hidden * self.last


def _checked(name: str, value: Any) -> float:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not LEAST <= value <= MOST:
        raise InputError(f"{name}: {abridge(value)} is not valid; give a positive number from {LEAST:g} to {MOST:g}")
    return float(value)


#: The fields of an ensemble that name laws.
LAWS = ("data", "weights", "activation")

_GAUSSIAN = Gaussian()
_GAUSSIAN_TEXT = _GAUSSIAN.text


def _parsed(text: Any) -> RowLaw:
    """Return the law that a text names; the usual one without a look at those of all modules."""
    return _GAUSSIAN if isinstance(text, str) and text == _GAUSSIAN_TEXT else parse_row_law(text)


@dataclass(frozen=True)
class Ensemble:
    """Laws and variances of the data and of the weights; by default all are i.i.d. centred normals.

    Parameters
    ----------
    init
        Variance of a weight: ``"lecun"``: 1/fan_in, the paper's Assumption 2; ``"he"``: 2/fan_in (He et al. 2015);
        ``"xavier"``: 2/(fan_in + fan_out) (Glorot & Bengio 2010). Fan-in and fan-out are d and m for W, m and C for V
        (d and C in the linear model).
    data_variance
        Variance of an entry of X, a mean over the entries of a sample; 1 is the paper's Assumption 1.
    hidden_gain
        Factor of the variance of W, so that any variance can be had; the linear model has no W.
    last_gain
        Factor of the variance of V.
    data
        Law of a sample of X: ``gaussian``; ``rademacher``, independent signs; ``uniform``, independent uniform entries;
        ``student_t:NU``, independent entries with heavy tails; ``sphere``, uniform on a sphere; ``ar1:RHO``,
        neighbouring entries with the correlation RHO; ``spectrum:ALPHA``, variances of the entries that fall as
        i^−ALPHA; ``spiked:K:S``, K entries with 1 + S times the variance of the others. All have mean 0 and the same
        E|x|².
    weights
        Law of the weights: ``"gaussian"``; ``"uniform"``: i.i.d. on the interval about 0 that has the variance of
        ``init``, which with gains of 1/3 is PyTorch's default, ±1/√fan_in; ``"orthogonal"``: each matrix a multiple of
        a random one whose rows (or columns, where these are fewer) are orthonormal, with entries of that variance.
    activation
        Activation σ of the hidden neurons; the linear model has none: ``relu``; ``gelu``, x Φ(x) with the normal
        distribution function Φ; ``silu``, x/(1 + e^−x); ``tanh``; ``identity``, x.

    Raises
    ------
    InputError
        If a name is not known, or a number is not one from 1e-6 to 1e6.

    Examples
    --------
    >>> import rmtsim
    >>> he = rmtsim.Ensemble(init="he", data_variance=0.25)
    >>> he.hidden_variance(dim=100, width=8)
    0.02
    >>> point = rmtsim.Point("one_hidden", "mse", n_classes=10, dim=64, n_samples=128, width=8, ensemble=he)
    >>> hidden, *_ = rmtsim.predict(point).itertuples()
    >>> round(hidden.diag_sqfro, 9)  # (0.25 · 2)² times the LeCun ensemble's
    60.703125
    """

    init: InitName = "lecun"
    data_variance: float = 1.0
    hidden_gain: float = 1.0
    last_gain: float = 1.0
    data: str = field(default="gaussian", metadata={"values": _DATA})
    weights: WeightsName = "gaussian"
    activation: ActivationName = "relu"

    def __post_init__(self) -> None:
        check_choice("init", self.init, INITS)
        for name in ("data_variance", "hidden_gain", "last_gain"):
            object.__setattr__(self, name, _checked(name, getattr(self, name)))
        object.__setattr__(self, "data", _parsed(self.data).text)
        check_choice("weights", self.weights, WEIGHTS)
        check_choice("activation", self.activation, ACTIVATIONS)

    @property
    def data_law(self) -> RowLaw:
        """The law of a sample that ``data`` names, of E|x|² = d."""
        return _parsed(self.data)

    def document(self) -> dict[str, Any]:
        """Return the ensemble as plain data: identities and stored specs are made of it.

        The laws stand in it where they are not the paper's, as they do in what was written before there were others.
        """
        usual = {name: value for name, value in asdict(LECUN).items() if name in LAWS}
        return {name: value for name, value in asdict(self).items() if name not in LAWS or value != usual[name]}

    def hidden_variance(self, dim: int, width: int) -> float:
        """Return the variance of an entry of W (m, d).

        Parameters
        ----------
        dim, width
            The sizes d and m.
        """
        return self.hidden_gain * self._variance(dim, width)

    def last_variance(self, fan_in: int, n_classes: int) -> float:
        """Return the variance of an entry of V (C, fan_in).

        Parameters
        ----------
        fan_in, n_classes
            The sizes m, or d in the linear model, and C.
        """
        return self.last_gain * self._variance(fan_in, n_classes)

    def scales(self, n_classes: int | None, width: int | None, dim: int | None) -> Scales:
        """Return s², d Var(W) and fan_in Var(V); ``dim`` None is d → ∞, where Xavier's d Var tends to 2.

        ``n_classes`` None stands for any: fan_in Var(V) is NaN where it depends on C.
        """
        hidden = 1.0 if width is None else self.hidden_gain * self._scale(dim, width)
        return Scales(self.data_variance, hidden, self.last_gain * self._scale(width or dim, n_classes))

    def __str__(self) -> str:
        numbers = {"data variance": self.data_variance, "hidden gain": self.hidden_gain, "last gain": self.last_gain}
        words = [self.init, *(f"{name} {value:g}" for name, value in numbers.items() if value != 1)]
        return ", ".join([*words, *(f"{name} {getattr(self, name)}" for name in LAWS if name in self.document())])

    def _variance(self, fan_in: int, fan_out: int) -> float:
        return {"lecun": 1.0 / fan_in, "he": 2.0 / fan_in, "xavier": 2.0 / (fan_in + fan_out)}[self.init]

    def _scale(self, fan_in: int | None, fan_out: int | None) -> float:
        """fan_in times the variance, without a gain; None: infinitely many inputs, any number of outputs."""
        if self.init == "xavier" and fan_in is not None:
            return math.nan if fan_out is None else 2.0 * fan_in / (fan_in + fan_out)
        return 1.0 if self.init == "lecun" else 2.0


#: The paper's ensemble.
LECUN = Ensemble()


def check_ensemble(ensemble: Any, model: Model) -> None:
    """Raise InputError unless ``ensemble`` is one, and one that the model has."""
    if not isinstance(ensemble, Ensemble):
        raise InputError(f"ensemble: {ensemble!r} is not valid; give an rmtsim.Ensemble")
    for name in ("hidden_gain", "activation"):
        if not model.has_width and (value := getattr(ensemble, name)) != getattr(LECUN, name):
            raise InputError(
                f"{name}: {value!r} was given, but the {model.name} model has no hidden layer; leave it out"
            )


def check_data(ensemble: Ensemble, loss: str, dim: int) -> None:
    """Raise InputError unless the law of data exists at d, and squared norms of blocks have a mean with it."""
    law = ensemble.data_law
    law.check_dim(dim)
    if not norms_have_mean(law, loss, dim):
        raise InputError(
            f"data: with {law.text} entries have no fourth moment, so squared norms of blocks have no mean with "
            f"{loss!r}; give student_t with NU above 4, or another loss"
        )


def norms_have_variance(data: str, loss: str, activation: str = "relu") -> bool:
    """Whether squared norms of blocks have a variance, so that draws of them tell a standard error.

    They go with fourth powers of the samples, their squares with eighth ones, unless a softmax or a bounded activation
    makes up for heavy tails. What is not known here by its name is taken to have no heavy tail.

    Examples
    --------
    >>> from rmtsim.model.ensemble import norms_have_variance
    >>> [norms_have_variance(f"student_t:{dof}", loss) for dof, loss in ((5, "ce"), (5, "mse"), (9, "mse"))]
    [True, False, True]
    """
    try:
        return get_loss(loss).softmax or get_activation(activation).bounded or parse_row_law(data).moments > 8
    except InputError:
        return True


def norms_have_mean(law: RowLaw, loss: str, dim: int) -> bool:
    """Whether squared norms of blocks have a mean with these data: nothing but a softmax makes up for heavy tails."""
    return get_loss(loss).softmax or not math.isinf(law.fourth_moment(dim))
