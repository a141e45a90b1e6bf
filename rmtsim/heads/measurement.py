"""Measurement of the last layer of a trained network: the Hessian blocks of its head, beside what they could be."""

from __future__ import annotations

import logging
import math
import numbers
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rmtsim.arrays.backend import DTYPES, DtypeName
from rmtsim.arrays.machine import usable_memory
from rmtsim.arrays.threads import cores
from rmtsim.errors import InputError
from rmtsim.heads.batch import Resources, Wanted, check_memory
from rmtsim.heads.batch_totals import BatchTotals
from rmtsim.heads.block_map import MOST_CLASSES
from rmtsim.heads.class_names import group_members, partition_of, read_vocabulary
from rmtsim.heads.features import Features
from rmtsim.heads.head import Head
from rmtsim.heads.matrix import Matrix, as_matrix, as_vector
from rmtsim.heads.pairs import MOST_PROBABLE
from rmtsim.heads.results import Measurement
from rmtsim.heads.swapped import of_classes, suspicion
from rmtsim.model.choices import BIASES, NULLS, BiasName, NullName
from rmtsim.text.call_progress import CallProgress
from rmtsim.text.checks import check_choice, check_size, is_several
from rmtsim.text.sizes import as_bytes
from rmtsim.text.words import abridge, number_of

_log = logging.getLogger(__name__)

#: Samples of a batch, at most, where nothing is said.
_LARGEST_BATCH = 2048

#: Numbers below this have lost digits in float32, or are zero.
_LEAST_IN_FLOAT32 = 1e-37

#: Draws of Gaussian features: as many as batches, within these.
_LEAST_GAUSSIAN, _MOST_GAUSSIAN = 2, 4


def measure(
    V: Any,
    X: Any,
    *,
    bias: Any = None,
    bias_as: BiasName = "column",
    scale: float = 1.0,
    batch: int | None = None,
    shuffle: int = 0,
    by_sequence: bool = False,
    nulls: NullName | Iterable[NullName] = NULLS,
    permutations: int = 16,
    top: int = 0,
    vocabulary: str | os.PathLike[str] | None = None,
    classes: bool = False,
    blocks: int = 0,
    groups: Any = None,
    dtype: DtypeName | None = None,
    threads: int | None = None,
    memory: float | str | None = None,
    progress: bool | None = None,
) -> Measurement:
    """Measure the Hessian blocks of the last layer of a trained classifier or language model with cross-entropy.

    Its Hessian is that of the linear model with the network's features as X and the head's weights as V, whatever the
    network below: H_ij = (1/N) Σ_n p_ni (δ_ij − p_nj) x_n x_nᵀ. The labels do not enter. No block is formed.

    Parameters
    ----------
    V
        The weights (C, d): an array; or a file, ``"model.safetensors:lm_head.weight"``, of .npy, .npz or .safetensors,
        which is read row by row. Weights come first here, other than in `rmtsim.block_norms` and `rmtsim.hessian`.
    X
        Features (M, d): what the last layer is given, one row for each sample or token. An array or a file.
    bias
        The bias (C,), an array or a file.
    bias_as
        ``"column"``: the bias is the weight of a further input that is always 1, so blocks have d + 1 rows.
        ``"left-out"``: it is in the logits, and blocks are of the weights alone.
    scale
        Logits are scale · (V x + bias); blocks are derivatives by V (and the bias), so they have its square in them.
    batch
        N, the samples of a batch, over which the loss is a mean. By default the M rows are cut into equal batches of at
        most 2048; rows that are left are not used.
    shuffle, by_sequence
        Rows are shared out to batches at random, by this seed; or, ``by_sequence``, as they follow each other. Tokens
        of one sequence are not independent: standard errors over batches of successive rows hold where a batch has
        whole sequences, and those over shuffled rows are about further tokens of the same sequences.
    nulls
        What is computed beside it: any of ``"theorem"``, ``"logit_variance"``, ``"decoupled"``, ``"gaussian"``;
        ``()`` for none. `Measurement.nulls` says what each isolates.
    permutations
        Of features among the samples of each batch, for ``"decoupled"``.
    top
        How many of the strongest off-diagonal blocks to list.
    vocabulary
        File with the names of the classes: one a line, a list or an object in .json, or a ``tokenizer.json``.
    classes
        Whether to keep the squared norm of every diagonal block, with the class's frequency as predicted.
    blocks
        Of how many classes, at most 256, the most frequent ones, to keep the squared norms of all blocks between them:
        a map to draw (`rmtsim.plot.head_blocks`). Those of every diagonal block are then kept, too.
    groups
        A partition of the classes: the group of each, (C,), or a file with one a line, or .json.
    dtype
        ``"float32"`` or ``"float64"``: the arithmetic's. By default float64 where V or X are, else float32, which holds
        half precision exactly; float64 also where float32 would lose digits.
    threads, memory
        As in `rmtsim.simulate`; norms do not depend on them.
    progress
        Whether to show on stderr how far a call is that takes over a few seconds; by default in a terminal or notebook.

    Returns
    -------
    Measurement
        Norms, shares and predictions with standard errors over batches, the nulls, and tables of batches, classes,
        pairs and groups as DataFrames.

    Raises
    ------
    InputError
        If something is not a matrix of finite numbers, sizes do not fit, or memory does not do.

    Examples
    --------
    A head that is sure of itself has few blocks that count:

    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> V, X = rng.normal(size=(20, 8)), rng.normal(size=(400, 8))
    >>> sure, unsure = (rmtsim.measure(s * V, X, batch=50, nulls=()) for s in (3.0, 0.1))
    >>> sure.perplexity < 3 < 19 < unsure.perplexity
    True
    >>> bool(sure.ratio > 10 * unsure.ratio)
    True
    """
    weights, given = as_matrix(V, "V"), as_matrix(X, "X")
    n_classes, dim = weights.shape
    if given.shape[1] != dim:
        raise InputError(
            f"X: {_or_it(given, 'X')} has {given.shape[1]} columns, and {weights.source} has {dim}; give features "
            "(N, d) and weights (C, d) of one d"
        )
    if n_classes < 2:
        raise InputError(
            f"V: {_or_it(weights, 'V')} has one row, and so no off-diagonal block; give at least two classes"
        )
    vector = (
        None if bias is None else of_classes(lambda length: as_vector(bias, "bias", length), "bias", weights, given)
    )
    check_choice("bias_as", bias_as, BIASES)
    size = _batch_size(batch, given.shape[0])
    names = [check_choice("nulls", name, NULLS) for name in (nulls if is_several(nulls) else [nulls])]
    check_size("permutations", permutations)
    if dtype is not None:
        check_choice("dtype", dtype, DTYPES)
    most = min(check_size("blocks", blocks, least=0, most=MOST_CLASSES), n_classes)
    wanted = Wanted(MOST_PROBABLE + 1 if check_size("top", top, least=0) else 0, bool(classes or most), most)
    tokens = None if vocabulary is None else read_vocabulary(vocabulary, n_classes)
    partition = (
        None if groups is None else of_classes(lambda count: partition_of(groups, count), "groups", weights, given)
    )
    if partition is not None:
        members = [group for group in group_members(partition[1], len(partition[0])) if len(group) > 1]
        wanted = replace(wanted, groups=tuple(members))
    threads = None if threads is None else check_size("threads", threads)
    budget = float(usable_memory()) if memory is None else as_bytes(memory)
    kind = dtype or _dtype(weights, given)
    seed = None if by_sequence else check_size("shuffle", shuffle, least=0, most=2**63 - 1)
    R = permutations if "decoupled" in names and size > 1 else 0
    gaussians = min(_MOST_GAUSSIAN, max(_LEAST_GAUSSIAN, given.shape[0] // size)) if "gaussian" in names else 0
    head = Head.of(weights, vector, bias_as, _scale(scale))
    check_memory(head, size, kind, threads or cores(), R + 1, wanted, budget)
    features = Features.of(given, size, seed)
    if why := suspicion(weights, given, head.least, features.least):
        _log.warning("measure: %s", why)
    if kind == "float32" and given.dtype == "float64" and 0 < features.largest < _LEAST_IN_FLOAT32:
        raise InputError(f"X: {_or_it(given, 'X')} holds numbers too small for float32; compute in float64")
    totals = BatchTotals(head, features, wanted, kind, Resources(threads, budget), R)
    with CallProgress("measure", features.batches + gaussians, "batches", show=progress) as shown:
        for number in range(features.batches):
            totals.add(number, shown)
            shown.advance(number + 1)
        drawn = []
        for number in range(gaussians if size > 1 else 0):
            drawn.append(totals.gaussian(number, shown))
            shown.advance(features.batches + number + 1)
    return totals.result(names, drawn, top, tokens, partition)


def _or_it(matrix: Matrix, name: str) -> str:
    """Return where a matrix is from, or "it" where that is the name that the message begins with."""
    return "it" if matrix.source == name else matrix.source


def _batch_size(batch: int | None, rows: int) -> int:
    if batch is None:
        return rows // -(-rows // _LARGEST_BATCH)
    size = check_size("batch", batch)
    if size > rows:
        raise InputError(f"batch: {size} is more than the {number_of(rows, 'row')} of X; give at most {rows}")
    return size


def _scale(scale: Any) -> float:
    value = float(scale) if isinstance(scale, numbers.Real) and not isinstance(scale, bool) else 0.0
    if not 0 < value < math.inf:
        raise InputError(f"scale: {abridge(scale)} is not valid; give a positive number, the factor of the logits")
    return value


def _dtype(V: Matrix, X: Matrix) -> str:
    return "float32" if {V.dtype, X.dtype} <= {"bfloat16", "float16", "float32"} else "float64"
