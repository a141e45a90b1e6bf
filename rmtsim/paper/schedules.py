"""The schedules of training of the paper's runs, and the sizes that they share."""

from __future__ import annotations

from rmtsim.paper.hessian_pictures import PAPER
from rmtsim.training.adam import Schedule

#: Where the Hessian is looked at, as fractions of the steps: also between the paper's places, for the first do most.
DENSE = (0.0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)

#: Hidden neurons, and samples a class, of Section 3.1.
WIDTH, PER_CLASS = 8, 10


def appendix_b3(checkpoints: tuple[float, ...], times: int = 1) -> Schedule:
    """Return the paper's schedule, 50 000 steps from 1e-4, or one of ``times`` fewer steps at as many times the rate.

    Steps times rate bounds how far a weight moves. Runs of the same product still differ, by more the larger the rate
    is, so figures name theirs.
    """
    return Schedule(PAPER.steps // times, PAPER.learning_rate * times, checkpoints)
