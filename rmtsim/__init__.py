"""rmtsim: a Monte Carlo engine for the Hessian structure of neural networks.

The engine evaluates closed-form Hessian blocks of linear and one-hidden-layer classifiers over random draws
(X, W, V), and the theory that predicts them (Dong, Zhang, Luo, Yao, Sun: arXiv:2505.02809).
"""

from rmtsim.ensemble import Ensemble
from rmtsim.errors import InputError
from rmtsim.full_hessian.assembled import hessian
from rmtsim.kernels.norms import block_norms
from rmtsim.kernels.results import BlockNorms
from rmtsim.point import Point
from rmtsim.simulation import simulate
from rmtsim.theory import Prediction, predict
from rmtsim.version import __version__

__all__ = [
    "BlockNorms",
    "Ensemble",
    "InputError",
    "Point",
    "Prediction",
    "__version__",
    "block_norms",
    "hessian",
    "predict",
    "simulate",
]
