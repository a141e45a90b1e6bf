"""What training does to the Hessian: the dynamic force, the rates in C, and the blocks' spectra."""

from __future__ import annotations

from rmtsim.model.choices import LOSSES
from rmtsim.paper.experiments.block_spectra import spectra_task
from rmtsim.paper.fig2 import Fig2
from rmtsim.paper.fig3 import Fig3
from rmtsim.paper.hessian_pictures import PAPER, PROGRESS
from rmtsim.sweeps.experiment import Experiment, Joined
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory_task

#: Where the Hessian is looked at, as fractions of the steps: also between the paper's places, for the first do most.
DENSE = (0.0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)

#: Hidden neurons, and samples a class, of Section 3.1.
WIDTH, PER_CLASS = 8, 10


def appendix_b3(checkpoints: tuple[float, ...], times: int = 1) -> Schedule:
    """Return the paper's schedule, 50 000 steps from 1e-4, or one of ``times`` fewer steps at as many times the rate.

    Steps times rate bounds how far a weight moves. Runs of the same product still differ, by more the larger the rate
    is, so figures tell theirs.
    """
    return Schedule(PAPER.steps // times, PAPER.learning_rate * times, checkpoints)


def fig13(full: bool = False) -> Experiment:
    """Experiment of Figure 13: the runs of Figures 2 and 3."""
    return Joined("fig13", [Fig2().tables(full), Fig3().tables(full)])


def dynamic_force(full: bool = False) -> Experiment:
    """Experiment of Section 3.1, Finding 2: one hidden layer, d = C, N = 10 C, random labels, CE and MSE.

    And with one sample a class, as in Section 8, where 8 neurons can learn all labels by heart, so that the residual
    vanishes. d = C = 64 with 10 draws, or 500 with 3.
    """
    size, draws, times = (500, 3, 1) if full else (64, 10, 10)
    schedule = appendix_b3(DENSE, times)
    tasks = [
        trajectory_task(f"{loss}-n{per_class * size:04d}-draw{draw}", problem, schedule, draw)
        for loss in LOSSES
        for per_class in (PER_CLASS, 1)
        for problem in [Problem(loss, size, size, per_class * size, (WIDTH,), dtype="float32")]
        for draw in range(draws)
    ]
    return Experiment("dynamic_force", tasks)


def training_rates(full: bool = False) -> Experiment:
    """Experiment of Appendix A's second question: one hidden layer at fixed d and many C, through training.

    The theorems vary C at fixed d and N; the paper's runs have N = 10 C, so that every class has as many samples. Both
    are done. C to 256 (128 with N = 10 C), d = 64, N = 640, 10 draws; or to 1024 (512), d = 100, N = 1000, 8 draws.
    """
    dim, most, draws, times = (100, 1024, 8, 5) if full else (64, 256, 10, 10)
    schedule = appendix_b3(DENSE, times)
    fixed = PER_CLASS * dim
    classes = [2**k for k in range(2, 11) if 2**k <= most]
    sizes = {(C, fixed) for C in classes} | {(C, PER_CLASS * C) for C in classes if most >= 2 * C}
    tasks = [
        trajectory_task(
            f"{loss}-c{C:04d}-n{N:05d}-draw{draw}",
            Problem(loss, C, dim, N, (WIDTH,), dtype="float32"),
            schedule,
            draw,
        )
        for loss in LOSSES
        for C, N in sorted(sizes)
        for draw in range(draws)
    ]
    return Experiment("training_rates", tasks)


def training_spectra(full: bool = False) -> Experiment:
    """Experiment of Appendix A's fourth question: eigenvalues of all diagonal blocks, through training.

    Linear CE with more samples than it can learn by heart and with fewer; one hidden layer with CE and MSE.
    d = 100 with 24 draws, or 200 with 8; C = 10 for the linear model, C = d with a hidden layer.
    """
    dim, draws, times = (200, 8, 5) if full else (100, 24, 10)
    schedule = appendix_b3(PROGRESS, times)
    problems = [
        Problem("ce", 10, dim, 10 * dim, dtype="float32"),
        Problem("ce", 10, dim, 2 * dim, dtype="float32"),
        *(Problem(loss, dim, dim, 10 * dim, (WIDTH,), dtype="float32") for loss in LOSSES),
    ]
    return Experiment(
        "training_spectra", [spectra_task(problem, schedule, draw) for problem in problems for draw in range(draws)]
    )
