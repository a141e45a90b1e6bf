"""Off-diagonal over diagonal blocks of the linear model at the vocabulary sizes of language models."""

from __future__ import annotations

from typing import ClassVar

from rmtsim.figures.decay_figure import DecayFigure
from rmtsim.figures.registry import register


@register
class Vocabulary(DecayFigure):
    """Section 1."""

    name = "vocabulary"
    title = "Off-diagonal over diagonal at vocabulary sizes"
    source = "Section 1"
    sentence = (
        "Our theory may shed new light on the Hessian structures of LLMs since they usually have large $C$ "
        "(more than $10^4$ or $10^5$)"
    )
    place = 23
    specs = ("vocabulary",)
    model = "linear"
    loss = "ce"
    layers = ("linear",)
    heading = "Linear model, cross-entropy, at vocabulary sizes"
    quantities = ("ratio",)
    landmarks: ClassVar = {32_000: "Llama 2", 50_257: "GPT-2", 128_256: "Llama 3", 256_000: "Gemma"}
