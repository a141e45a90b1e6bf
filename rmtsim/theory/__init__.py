"""Expected block norms of the Hessian, from theory alone: no draw of the simulation enters here."""

from rmtsim.theory.prediction import Prediction
from rmtsim.theory.regimes import REGIMES, finite, large_c, limit, predict

__all__ = ["REGIMES", "Prediction", "finite", "large_c", "limit", "predict"]
