"""Expected block norms of the Hessian, from theory alone: no draw of the simulation enters here."""

from rmtsim.theory.prediction import Prediction
from rmtsim.theory.regimes import at_point, finite, large_c, limit, why_no_theory

__all__ = ["Prediction", "at_point", "finite", "large_c", "limit", "why_no_theory"]
