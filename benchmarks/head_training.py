"""Heads of networks that we train ourselves, at moments of their training: which law of the classes the ratio keeps to.

It writes docs/results/head_training.md, and tables of all moments to docs/results/numbers/head_training.md.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import rmtsim
from benchmarks import environment
from benchmarks.report import Part, Row, Table, markdown
from docs.generate.markdown import prose
from harness.learners import Learner, Moment
from harness.ratio_laws import LAWS, PHASES, distances, slopes
from harness.wavering import pairs_seen
from rmtsim.heads.results import Measurement
from rmtsim.model.choices import NULLS
from rmtsim.text.words import number_of

PAGE = Path(__file__).parents[1] / "docs" / "results" / "head_training.md"
NUMBERS = PAGE.parent / "numbers" / "head_training.md"

#: The networks, by name.
LEARNERS = {
    "clear, C = 100": Learner(100, 64, (128, 64), 2, 1.0, 8192, 200, 0.004),
    "unclear, C = 100": Learner(100, 64, (128, 64), 2, 2.0, 16384, 200, 0.004),
    "clear, C = 1000": Learner(1000, 64, (128, 64), 1, 1.5, 16384, 128, 0.004),
}

#: Steps after which the head is measured; the last is the end of training.
_STEPS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)

#: Samples of a batch, batches, runs of each network, and permutations for the null *decoupled*.
_N, _BATCHES, _SEEDS, _PERMUTATIONS = 512, 8, 4, 8


def run(quick: bool) -> Part:
    """Train each network several times; write the page unless ``quick``."""
    courses: dict[str, list[list[Row]]] = {}
    nulls: list[Row] = []
    for name, learner in LEARNERS.items():
        start = time.perf_counter()
        for seed in range(2 if quick else _SEEDS):
            steps = _STEPS[:6] if quick else (*_STEPS, learner.steps)
            course = []
            for moment, found in measured(learner, steps, seed, with_nulls=not (seed or quick)):
                course.append(_row(moment, found))
                if len(found.nulls):
                    ratios = dict(zip(found.nulls["name"], found.nulls["ratio"], strict=True))
                    nulls.append({"network": name, "step": moment.step, "measured": found.ratio, **ratios})
            courses.setdefault(name, []).append(course)
        print(f"  {name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    tables = [
        Table("Slope of log ratio in log e", [slopes(name, runs) for name, runs in courses.items()]),
        Table(
            "Distance to each law", [distances(name, LEARNERS[name].n_classes, runs) for name, runs in courses.items()]
        ),
        Table(
            "Through training, the first run", [{"network": n} | row for n, runs in courses.items() for row in runs[0]]
        ),
        Table("The ratio of each null, the first run", nulls),
    ]
    part = Part(_about(), tables)
    if not quick:
        PAGE.write_text(page(part, {name: (LEARNERS[name].n_classes, runs) for name, runs in courses.items()}), "utf-8")
        NUMBERS.write_text(numbers(part), "utf-8")
        print(f"  {PAGE} and {NUMBERS}: written", file=sys.stderr)
    return part


def measured(learner: Learner, steps: Sequence[int], seed: int, with_nulls: bool) -> list[tuple[Moment, Measurement]]:
    """Train a network, and return its moments with the measurement of the head at each."""
    nulls = NULLS if with_nulls else ()
    options = {"batch": _N, "nulls": nulls, "permutations": _PERMUTATIONS, "progress": False}
    moments = learner.moments(steps, _N * _BATCHES, seed)
    return [(moment, rmtsim.measure(moment.V, moment.X, **options)) for moment in moments]  # type: ignore[arg-type]


def _row(moment: Moment, found: Measurement) -> Row:
    return {
        "step": moment.step,
        "loss": moment.loss,
        "right": moment.right,
        "perplexity": found.perplexity,
        "effective_classes": found.effective_classes,
        "classes_in_use": math.exp(found.entropy_of_mean),
        "k": pairs_seen(moment.V, moment.X),
        "ratio": found.ratio,
        "std_error_ratio": found.std_error_ratio,
        "outside": found.outside,
        "ratio C²": found.ratio * found.n_classes**2,
        "ratio e²": found.ratio * found.effective_classes**2,
    }


def _about() -> str:
    return (
        "Networks with two hidden layers, of 128 and 64 ReLU neurons without biases, on samples around centres in 64 "
        "dimensions, with labels of Zipf's law (class c has a probability proportional to 1/c); Adam on all samples at "
        f"once (harness/learners.py); seeds 0 to {_SEEDS - 1} are independent runs with centres of their own. The head "
        f"is measured by rmtsim.measure on {_BATCHES} batches of N = {_N} samples that were not trained on. e is the "
        "effective number of classes of a sample, 1/E Σp²; k the off-diagonal blocks that a sample's diagonal ones "
        "amount to (see the heads of trained networks); classes in use the exponential of the entropy of the mean "
        "prediction."
    )


def page(part: Part, courses: dict[str, tuple[int, list[list[Row]]]]) -> str:
    """Return the page; every number in it is of the part."""
    slope, distance, *_ = part.tables
    processor, numpy = environment.machine()["processor"], environment.versions()["numpy"]
    moments = sum(row["moments"] for row in distance.rows)
    nearer = sum(row["nearer to 1/C²"] for row in distance.rows)
    said = []
    for row, (name, (n_classes, runs)) in zip(slope.rows, courses.items(), strict=True):
        first, last = runs[0][0], runs[0][-1]
        phases = [f"{phase} {row[phase]:.2f} ± {row[f'std_error_{phase}']:.2f}" for phase in PHASES if phase in row]
        words = (
            f"- {name}: e goes from {first['effective_classes']:.3g} to {last['effective_classes']:.3g} of "
            f"{n_classes} classes, and the ratio from {first['ratio']:.2g} to {last['ratio']:.2g}, that is from "
            f"{first['ratio C²']:.2g} to {last['ratio C²']:.3g} times 1/C², and from {first['ratio e²']:.2g} to "
            f"{last['ratio e²']:.2g} times 1/e². Slope in log e: {', '.join(phases)}."
        )
        said.append(prose(words))
    which = "1/C²" if 2 * nearer > moments else "1/e²"
    best = Counter(min(LAWS, key=lambda law, row=row: row[f"off {law} by"]) for row in distance.rows)
    nearest = " and ".join(f"{law} for {number_of(count, 'network')}" for law, count in best.most_common())
    near, far, best_known = (_range(distance.rows, f"off {law} by") for law in ("1/C²", "1/e²", "1/((C−1) k)"))
    factors = [row[f"off {law} by"] for row in distance.rows for law in ("1/C²", "1/e²")]
    neither = ", and near neither" if min(factors) > 2 else ""
    answer = (
        f"Nearer to {which}, at {max(nearer, moments - nearer)} of the {moments} moments of all networks and "
        f"runs{neither}: over a training it is off 1/C² by a factor of {near}, and off 1/e² by one of {far} (root mean "
        f"squares of logarithms). It goes as a power of e of {_range(slope.rows, 'all')}, where 1/C² would have 0 and "
        f"1/e² −2. Nearest, of the laws below, is {nearest}; 1/((C−1) k) is off by a factor of {best_known}."
    )
    return f"""# Heads through training

*Written by `python -m benchmarks --only head_training` on {date.today().isoformat()} ({processor}, NumPy {numpy});
every number is from that run, which needs no package beside those of the tests. See also [heads of networks that others
trained](heads.md), and [how to measure a head of your own](../how-to/measure.md).*

**Is the ratio of off-diagonal to diagonal blocks nearer to 1/C², or to 1/(effective classes)², through training?**

{prose(answer)}

{chr(10).join(said)}

{prose(part.about)}

## Slope of log ratio in log e

By least squares over the moments of a run; means over runs with their standard errors. Early: while e is at least half
of the way, in logarithms, from 1 to its value at the start; late: after that.

{markdown(slope)}

## Distance to each law

The root mean square of log(ratio/law) over all moments and runs, as a factor, and at how many moments 1/C² is nearer
than 1/e².

{markdown(distance)}

## Moment by moment

[Tables](numbers/head_training.md) have the first run of each network at every moment, and the nulls beside it.

## Not measured

Convolutions and attention, mini-batches, weight decay, heads with a bias, more than 1000 classes, and training on real
inputs. The networks that others trained are measured as they are, and two of them while their last layer alone is
trained anew.
"""


def numbers(part: Part) -> str:
    """Return the page of the tables of all moments."""
    *_, course, nulls = part.tables
    return f"""# Heads through training: moment by moment

*Written by `python -m benchmarks --only head_training`. [What was trained, and what came out](../head_training.md).*

## Through training

The first run of each (seed 0). Loss and the share of predictions that are right are those of the samples that were not
trained on.

{markdown(course)}

## Beside the nulls

The ratio of each null at the same moments: *theorem* is the theorem's ensemble, *logit_variance* the same with the
model's variance of logits (nan where there is no theory for so large a variance), *decoupled* the model's own
probabilities with features permuted among the samples, and *gaussian* the model's weights on Gaussian features of the
model's covariance.

{markdown(nulls)}
"""


def _range(rows: Sequence[Row], name: str) -> str:
    values = sorted((row[name] for row in rows), key=abs)
    return f"{values[0]:.3g} to {values[-1]:.3g}"
