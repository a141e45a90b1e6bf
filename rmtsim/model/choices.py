"""The names that users choose by, as types for signatures and as tuples to check values against.

Each list of names is declared once, in its ``Literal``; `rmtsim.text.checks.check_choice` checks a value against it.
These are the names that come with rmtsim and that a point of a sweep may have; what can be registered besides is in
`rmtsim.model.losses` and its neighbours.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from rmtsim.arrays.backend import BACKENDS as BACKENDS
from rmtsim.arrays.backend import BackendName as BackendName

ModelName: TypeAlias = Literal["linear", "one_hidden"]
LossName: TypeAlias = Literal["ce", "mse"]
LayerName: TypeAlias = Literal["linear", "hidden", "output", "cross"]
RegimeName: TypeAlias = Literal["limit", "large_c", "finite"]
WeightsName: TypeAlias = Literal["gaussian", "uniform", "orthogonal"]
ActivationName: TypeAlias = Literal["relu", "gelu", "silu", "tanh", "identity"]

#: States of points of a sweep, in the order in which they are told; see `rmtsim.sweeps.state`.
StateName: TypeAlias = Literal["done", "limited", "partial", "new"]

#: What the bias of a head is: the weight of a further input that is always 1, with entries in the blocks; or a constant
#: of the logits, left out of the blocks.
BiasName: TypeAlias = Literal["column", "left-out"]

#: What a head is held against: see `rmtsim.heads.nulls`.
NullName: TypeAlias = Literal["theorem", "logit_variance", "decoupled", "gaussian"]

MODELS: tuple[ModelName, ...] = get_args(ModelName)
LOSSES: tuple[LossName, ...] = get_args(LossName)
LAYERS: tuple[LayerName, ...] = get_args(LayerName)
REGIMES: tuple[RegimeName, ...] = get_args(RegimeName)
BIASES: tuple[BiasName, ...] = get_args(BiasName)
STATES: tuple[StateName, ...] = get_args(StateName)
NULLS: tuple[NullName, ...] = get_args(NullName)
WEIGHTS: tuple[WeightsName, ...] = get_args(WeightsName)
ACTIVATIONS: tuple[ActivationName, ...] = get_args(ActivationName)
