"""Networks that learn to tell clusters apart, with labels of a Zipf law, and their last layer on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rmtsim.data.labelled import keyed
from rmtsim.data.labels import Labels
from rmtsim.training.adam import Schedule
from rmtsim.training.trajectory import train

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Moment:
    """A network at one moment of its training.

    Attributes
    ----------
    step
        Steps done.
    V, X
        The weights of the head (C, m), and the features that it is given (M, m) for samples that are not trained on.
    loss, right
        Mean cross-entropy of these samples, and the share of them whose most probable class is theirs.
    """

    step: int
    V: Array
    X: Array
    loss: float
    right: float


@dataclass(frozen=True)
class Learner:
    """A network of ReLU layers on samples around centres, several for each class.

    A sample of class y is x = (μ + noise · ε)/√(1 + noise²) with one of the class's centres μ; centres and ε have
    independent N(0, 1) entries. Class c = 0 … C − 1 has a probability proportional to 1/(c + 1). The network has no
    biases, begins with independent normal weights of variance 1/fan_in, and learns by Adam on all samples at once, with
    a rate that falls to 0 as a cosine does (`rmtsim.training.adam.Schedule`).

    Parameters
    ----------
    n_classes, dim, hidden
        C, the entries of a sample, and the neurons of each hidden layer; those of the last are the features.
    centres, noise
        Centres of a class; standard deviation of the noise, in that of the centres.
    n_samples
        Samples that are trained on.
    steps, learning_rate
        Steps of Adam, and the rate of the first.
    """

    n_classes: int
    dim: int
    hidden: tuple[int, ...]
    centres: int
    noise: float
    n_samples: int
    steps: int
    learning_rate: float

    def moments(self, steps: Sequence[int], n_features: int, seed: int = 0) -> Iterator[Moment]:
        """Train, and yield the network after each of some steps, in ascending order."""
        middles = self._keyed("centres", seed).standard_normal((self.n_classes, self.centres, self.dim))
        X, y = self._samples(middles, self.n_samples, "trained on", seed)
        held, labels = self._samples(middles, n_features, "held out", seed)
        rng, sizes = self._keyed("weights", seed), [self.dim, *self.hidden, self.n_classes]
        weights = [
            (rng.standard_normal((rows, columns)) / math.sqrt(columns)).astype(np.float32)
            for columns, rows in pairwise(sizes)
        ]
        schedule = Schedule(self.steps, self.learning_rate, tuple(step / self.steps for step in steps))
        for step, run in train(X, weights, y, "ce", schedule):
            features = held
            for W in run.weights[:-1]:
                features = np.maximum(features @ W.T, 0)
            logits = features @ run.weights[-1].T
            logits -= logits.max(axis=1, keepdims=True)
            losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(n_features), labels]
            right = float(np.mean(logits.argmax(axis=1) == labels))
            yield Moment(step, run.weights[-1].copy(), features, float(np.mean(losses)), right)

    def _samples(
        self, middles: npt.NDArray[np.float64], count: int, role: str, seed: int
    ) -> tuple[Array, npt.NDArray[np.int64]]:
        rng = self._keyed(role, seed)
        y = Labels(decay=1.0).draw(self.n_classes, count, f"{role}/{seed}")
        noise = self.noise * rng.standard_normal((count, self.dim))
        X = (middles[y, rng.integers(self.centres, size=count)] + noise) / math.sqrt(1 + self.noise**2)
        return X.astype(np.float32), y

    def _keyed(self, role: str, seed: int) -> np.random.Generator:
        return keyed("learner", role, str(seed))
