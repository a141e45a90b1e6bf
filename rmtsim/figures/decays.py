"""Figures 8 and 9 of the paper and their analogues: which model, layers and norms each shows against C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rmtsim.stats.summary import QUANTITIES

#: Series, each a sweep over C with all else fixed, that can be told apart in a figure.
MOST_SERIES = 12


@dataclass(frozen=True)
class DecayFigure:
    """What a figure over C shows: one row of panels per layer."""

    model: str
    loss: str
    layers: tuple[str, ...]
    title: str
    quantities: tuple[str, ...] = QUANTITIES
    landmarks: Mapping[int, str] = field(default_factory=dict)  # numbers of classes with a name


DECAY_FIGURES = {
    "fig8": DecayFigure("linear", "ce", ("linear",), "Linear model, cross-entropy"),
    "fig9": DecayFigure("one_hidden", "ce", ("hidden", "output"), "One hidden layer, cross-entropy"),
    "fig8_mse": DecayFigure("linear", "mse", ("linear",), "Linear model, squared loss"),
    "vocabulary": DecayFigure(
        "linear",
        "ce",
        ("linear",),
        "Linear model, cross-entropy, at vocabulary sizes",
        ("ratio",),
        {32_000: "Llama 2", 50_257: "GPT-2", 128_256: "Llama 3", 256_000: "Gemma"},
    ),
    "fig9_mse": DecayFigure("one_hidden", "mse", ("hidden", "output"), "One hidden layer, squared loss"),
}
