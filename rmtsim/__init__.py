"""rmtsim: a Monte Carlo engine for the Hessian structure of neural networks.

The engine evaluates closed-form Hessian blocks of linear and one-hidden-layer classifiers over random draws
(X, W, V), and the theory that predicts them (Dong, Zhang, Luo, Yao, Sun: arXiv:2505.02809).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rmtsim.version import __version__

if TYPE_CHECKING:
    from rmtsim.errors import InputError
    from rmtsim.full_hessian.assembled import hessian
    from rmtsim.full_hessian.layer_norms import LayerNorms, layer_norms
    from rmtsim.kernels.norms import block_norms
    from rmtsim.kernels.results import BlockNorms
    from rmtsim.model.ensemble import Ensemble
    from rmtsim.model.point import Point
    from rmtsim.sampling.simulation import simulate
    from rmtsim.stats.prediction_table import predict
    from rmtsim.stats.summary import summarize

__all__ = [
    "BlockNorms",
    "Ensemble",
    "InputError",
    "LayerNorms",
    "Point",
    "__version__",
    "block_norms",
    "hessian",
    "layer_norms",
    "predict",
    "simulate",
    "summarize",
]

#: Loaded when they are asked for: the command line starts without pandas and SciPy, which take a second.
_HOMES = {
    "BlockNorms": "kernels.results",
    "Ensemble": "model.ensemble",
    "InputError": "errors",
    "LayerNorms": "full_hessian.layer_norms",
    "Point": "model.point",
    "block_norms": "kernels.norms",
    "hessian": "full_hessian.assembled",
    "layer_norms": "full_hessian.layer_norms",
    "predict": "stats.prediction_table",
    "simulate": "sampling.simulation",
    "summarize": "stats.summary",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rmtsim' has no attribute {name!r}")
    value = getattr(import_module(f"rmtsim.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
