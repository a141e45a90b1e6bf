"""Laws that the ratio of off-diagonal to diagonal blocks of a head might keep to, and how far it is from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rmtsim.stats.estimates import mean_estimate

#: The laws: functions of C, the effective number of classes e, and k as `harness.wavering.pairs_seen` has it.
LAWS: dict[str, Callable[[float, float, float], float]] = {
    "1/C²": lambda C, e, k: 1 / C**2,
    "1/e²": lambda C, e, k: 1 / e**2,
    "1/(C e)": lambda C, e, k: 1 / (C * e),
    "1/((C−1) k)": lambda C, e, k: 1 / ((C - 1) * k),
}

#: Parts of a training, whose slopes are taken.
PHASES = ("all", "early", "late")


def slopes(name: str, runs: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the slope of log ratio in log e, by least squares over the moments of a run: means over runs.

    Early is while e is at least √ of that of the start, late is after it.
    """
    row: dict[str, Any] = {"network": name, "runs": len(runs)}
    for phase in PHASES:
        found = []
        for course in runs:
            e, ratio = (np.log([moment[what] for moment in course]) for what in ("effective_classes", "ratio"))
            of_phase = {"all": e == e, "early": e >= e[0] / 2, "late": e < e[0] / 2}[phase]
            if np.count_nonzero(of_phase) > 2:
                found.append(np.polyfit(e[of_phase], ratio[of_phase], 1)[0])
        if len(found) == len(runs):
            mean = mean_estimate(np.array(found))
            row |= {phase: mean.value, f"std_error_{phase}": mean.std_error}
    return row


def distances(name: str, n_classes: int, runs: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the root mean square of log(ratio/law) over moments and runs, as a factor, and where 1/C² is nearer."""
    logs = {law: [] for law in LAWS}  # type: dict[str, list[float]]
    for course in runs:
        for moment in course:
            for law, form in LAWS.items():
                size = form(n_classes, moment["effective_classes"], moment["k"])
                logs[law].append(math.log(moment["ratio"] / size))
    nearer = np.abs(logs["1/C²"]) < np.abs(logs["1/e²"])
    factors = {f"off {law} by": math.exp(math.sqrt(np.mean(np.square(of)))) for law, of in logs.items()}
    return {"network": name, "moments": len(nearer), "nearer to 1/C²": int(nearer.sum()), **factors}
