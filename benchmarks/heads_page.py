"""The page of results on the heads of trained networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date

from benchmarks import environment
from benchmarks.report import Part, markdown
from docs.generate.markdown import prose


def page(part: Part, networks: Mapping[str, str], forms: Sequence[str], install: Sequence[str]) -> str:
    """Return the page; every number in it is of the part.

    Parameters
    ----------
    networks
        What each is.
    forms
        What the ratio was divided by.
    install
        The commands that make the page.
    """
    measured, nulls, over_forms, training, scaled, _ = part.tables
    processor, numpy = environment.machine()["processor"], environment.versions()["numpy"]
    over = [row["measured"] / row["theorem"] for row in nulls.rows]
    everywhere = [*over_forms.rows, *training.rows, *scaled.rows]
    worst = {name: max(math.exp(abs(math.log(row[f"ratio over {name}"]))) for row in everywhere) for name in forms}
    nearest = {name: [row["network"] for row in over_forms.rows if row["nearest"] == name] for name in forms}
    found = "\n".join(
        f"- {name}: nearest for {', '.join(nearest[name]) or 'none'}; here, in training and at any temperature off by "
        f"a factor of up to {worst[name]:,.3g}"
        for name in forms
    )
    best = [f"{name} for {len(of)} of {len(networks)}" for name, of in nearest.items() if of]
    answer = prose(
        f"The ratio of off-diagonal to diagonal blocks in trained heads is {_three(min(over))} to {_three(max(over))} "
        "times that of the theorem at their own C, d and N. Nearest, of the laws below, is "
        f"{' and '.join(best)}."
    )
    heads = "\n".join(prose(f"- {name}: {about}.") for name, about in networks.items())
    commands = "\n".join(f"    {line}" for line in install)
    return f"""# Heads of trained networks

*Written by `python -m benchmarks --only heads` on {date.today().isoformat()} ({processor}, NumPy {numpy}); every
number is from that run. [How to measure a head of your own](../how-to/measure.md).*

The last layer of a classifier or language model with cross-entropy has the Hessian of the linear model, with the
network's features as X and the weights of the head as V. So Theorem 1 can be held against trained networks.

**{answer}**

{heads}

{prose(part.about)}

## Measured

{markdown(measured)}

## What the ratio goes with

Theorem 1 has a ratio like 1/C². There are two numbers of classes that a softmax sees at a time. One is e, the
effective number of classes of a sample. The other leaves out the samples that are sure, since these have no Hessian:
of one sample alone the diagonal blocks have |x|⁴ Σ_i p_i²(1 − p_i)² and the others |x|⁴ Σ_(i≠j) p_i² p_j², and k is
the mean of the first over that of the second. It is m − 1 for samples that waver between m classes.

If these classes were all that there is, the ratio would be like 1/e². But there are blocks for all C classes: the
diagonal norm is a mean over C of them, the other over C(C − 1), and of these only as many count as a sample sees. That
makes 1/(C e), or 1/((C−1) k). The latter is exact where samples are orthogonal to each other; their blocks overlap the
more, the more samples a batch has.

{found}

{markdown(over_forms)}

## Beside the nulls

The ratio of each null, at the same C, d and N: *theorem* is the theorem's ensemble, *logit_variance* the same with the
model's variance of logits, *decoupled* the model's own probabilities with features permuted among the samples, and
*gaussian* the model's weights on Gaussian features of the model's covariance.

{markdown(nulls)}

## In training, at other temperatures, in other batches

[Tables](numbers/heads.md) have the ratio beside the same laws while the last layer alone is trained anew, with logits
times a factor, and in batches of other sizes. [Networks that we trained ourselves](head_training.md), with all their
layers, have a page of their own.

## Again

The networks come in Python packages. The command installs nothing, and runs nothing of the packages but the networks.

{commands}
"""


def numbers(part: Part) -> str:
    """Return the page of the tables that go on: in training, at other temperatures, and in batches of other sizes."""
    *_, training, scaled, sizes = part.tables
    return f"""# Heads of trained networks: more tables

*Written by `python -m benchmarks --only heads`. [What was measured, and what came out](../heads.md).*

## Through training

The last layer alone is trained anew, from random weights on the network's own features: weights as Theorem 1 has them
at the start, a trained head at the end. Labels are the characters that follow in the text (textgenrnn), or what
the network itself predicts (PP-OCRv4). Adam, all samples at once, seed 0.

{markdown(training)}

## Confidence alone

Logits of the trained heads times a factor: near 0 all classes are equally probable, at 1 it is the head as it is.

{markdown(scaled)}

## Batches of other sizes

{markdown(sizes)}
"""


def _three(value: float) -> str:
    """Return a number to three digits."""
    return f"{float(f'{value:.3g}'):,g}"
