"""The networks whose rates are followed through training: one hidden layer, many numbers of classes."""

from __future__ import annotations

from rmtsim.model.choices import LOSSES
from rmtsim.paper.schedules import DENSE, PER_CLASS, WIDTH, appendix_b3
from rmtsim.sweeps.experiment import Experiment
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory_task


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
