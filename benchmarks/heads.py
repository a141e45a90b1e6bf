"""Last layers of trained networks: how their blocks compare with Theorem 1, and what the ratio goes with.

The networks come in Python packages, which are not installed here: give them an environment of their own, outside the
repository, and run this part in it. It writes docs/results/heads.md, and more tables to docs/results/numbers/heads.md.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import rmtsim
from benchmarks.heads_page import numbers, page
from benchmarks.report import Part, Row, Table
from benchmarks.trained_networks import NETWORKS, Array, Network, TrainedHead
from harness.ratio_laws import LAWS
from harness.wavering import pairs_seen

PAGE = Path(__file__).parents[1] / "docs" / "results" / "heads.md"
NUMBERS = PAGE.parent / "numbers" / "heads.md"

#: What one installs, and runs this part with: of the packages that bring networks only the files are needed.
_INSTALL = (
    "python -m venv DIR",
    "DIR/bin/pip install --requirement requirements.lock",
    "DIR/bin/pip install h5py onnx onnxruntime pillow",
    "DIR/bin/pip install --no-deps ddddocr jieba magika mplfonts rapidocr-onnxruntime textgenrnn",
    "DIR/bin/python -m benchmarks --only heads",
)

#: Samples of a batch, and batches.
_N, _BATCHES = 512, 8

#: Other sizes of a batch.
_SIZES = (64, 256, 1024, 2048)

#: Factors of the logits: the inverse of a temperature.
_SCALES = (0.001, 0.1, 0.3, 0.5, 1.0)

#: Steps of training after which the head is measured, and networks whose last layer is trained anew.
_STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128)
_TRAINED = ("PP-OCRv4", "textgenrnn")


def lacking() -> list[str]:
    """Return the packages that are not installed."""
    return sorted({name for network in NETWORKS for name in network.lacking})


def run(quick: bool) -> Part:
    """Measure every network; write the page unless ``quick``."""
    if names := lacking():
        commands = "; ".join(_INSTALL)
        raise SystemExit(f"heads: there is no {', '.join(names)}; run it in an environment of its own: {commands}")
    batches, size = (2, 64) if quick else (_BATCHES, _N)
    measured, training, scaled, sizes = [], [], [], []
    for network in NETWORKS:
        start = time.perf_counter()
        print(f"  {network.name} ...", file=sys.stderr)
        head = network.features(batches * size)
        measured.append(_measured(network, head, size, batches))
        scaled += [_scaled(network, head, size, scale) for scale in _SCALES]
        sizes += [_of_size(network, head, other) for other in _SIZES if 2 * other <= len(head.X)]
        if network.name in _TRAINED:
            training += _training(network, head, size, _STEPS[:4] if quick else _STEPS)
        print(f"  {network.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    tables = [
        Table("Measured", measured),
        Table("Beside the nulls: the ratio of each", [_nulls(row) for row in measured]),
        Table("The ratio over four forms", [_over_forms(row) for row in measured]),
        Table("The head trained anew, after some steps", training),
        Table("Logits times a factor", scaled),
        Table("Batches of other sizes", sizes),
    ]
    for row in measured:
        del row["nulls"]
    part = Part(_about(size), tables)
    if not quick:
        NUMBERS.parent.mkdir(parents=True, exist_ok=True)
        networks = {network.name: network.about for network in NETWORKS}
        PAGE.write_text(page(part, networks, [*LAWS], _INSTALL), "utf-8")
        NUMBERS.write_text(numbers(part), "utf-8")
        print(f"  {PAGE} and {NUMBERS}: written", file=sys.stderr)
    return part


def _measured(network: Network, head: TrainedHead, size: int, batches: int) -> Row:
    found = rmtsim.measure(head.V, head.X[: batches * size], bias=head.bias, batch=size)
    right = {} if head.labels is None else {"predicted_right": float(np.mean(_best(head) == head.labels))}
    return {
        "network": network.name,
        "n_classes": found.n_classes,
        "dim": found.dim,
        "batches": found.batches,
        "perplexity": found.perplexity,
        "effective_classes": found.effective_classes,
        "k": pairs_seen(head.V, head.X, head.bias),
        "classes_in_use": math.exp(found.entropy_of_mean),
        "logit_variance": found.logit_variance,
        "ratio": found.ratio,
        "std_error_ratio": found.std_error_ratio,
        "outside": found.outside,
        **right,
        "nulls": dict(zip(found.nulls["name"], found.nulls["ratio"], strict=True)),
    }


def _best(head: TrainedHead) -> Array:
    return head.logits().argmax(axis=1)


def _nulls(row: Row) -> Row:
    return {"network": row["network"], "measured": row["ratio"], **row["nulls"]}


def _over_forms(row: Row) -> Row:
    C, e, k = row["n_classes"], row["effective_classes"], row["k"]
    over = {f"ratio over {name}": row["ratio"] / form(C, e, k) for name, form in LAWS.items()}
    nearest = min(LAWS, key=lambda name: abs(math.log(over[f"ratio over {name}"])))
    return {"network": row["network"], "n_classes": C, "effective_classes": e, "k": k, **over, "nearest": nearest}


def _scaled(network: Network, head: TrainedHead, size: int, scale: float) -> Row:
    X = head.X[: 2 * size]
    found = rmtsim.measure(head.V, X, bias=head.bias, batch=size, scale=scale, nulls=())
    return _along({"network": network.name, "factor": scale}, found, pairs_seen(head.V, X, head.bias, scale))


def _of_size(network: Network, head: TrainedHead, size: int) -> Row:
    found = rmtsim.measure(head.V, head.X, bias=head.bias, batch=size, nulls=("theorem", "decoupled"))
    theorem, decoupled = found.nulls["ratio"]
    first = {"network": network.name, "samples": size, "batches": found.batches, "theorem": theorem}
    row = _along(first | {"decoupled": decoupled}, found, pairs_seen(head.V, head.X, head.bias))
    return {name: row[name] for name in (*first, "decoupled", "ratio", "outside", "ratio over 1/((C−1) k)")}


def _along(first: Row, found: Any, k: float) -> Row:
    row = {
        **first,
        "n_classes": found.n_classes,
        "perplexity": found.perplexity,
        "effective_classes": found.effective_classes,
        "k": k,
        "ratio": found.ratio,
        "outside": found.outside,
    }
    row |= {name: value for name, value in _over_forms(row).items() if name.startswith("ratio over")}
    del row["n_classes"]
    return row


def _training(network: Network, head: TrainedHead, size: int, steps: tuple[int, ...]) -> list[Row]:
    """Train the last layer alone, from random weights on the network's own features, and measure it on the way.

    Labels are those of the text where they are known, else the classes that the network itself predicts. Weights begin
    as Theorem 1 has them, normal with logits of variance 1, and are trained by Adam on all samples at once.
    """
    X = head.X[: 4 * size]
    labels = (_best(head) if head.labels is None else head.labels)[: len(X)]
    length = float(np.sqrt(np.mean(np.sum(np.square(X, dtype=float), axis=1))))
    rng = np.random.default_rng(0)
    V = (rng.standard_normal(head.V.shape) / length).astype(np.float32)
    mean, square, rate, rows = np.zeros_like(V), np.zeros_like(V), np.float32(0.3 / length), []
    for step in range(steps[-1] + 1):
        logits = X @ V.T
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        total = p.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(total[:, 0]) - logits[np.arange(len(X)), labels]))
        if step in steps:
            found = rmtsim.measure(V, X, batch=size, nulls=())
            first = {"network": network.name, "step": step, "loss": loss}
            rows.append(_along(first, found, pairs_seen(V, X)))
        p /= total
        p[np.arange(len(X)), labels] -= 1
        gradient = p.T @ X / np.float32(len(X))
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        V -= rate * (mean / (1 - 0.9 ** (step + 1))) / (np.sqrt(square / (1 - 0.99 ** (step + 1))) + np.float32(1e-12))
    return rows


def _about(size: int) -> str:
    return (
        f"By rmtsim.measure, the bias as a column, in batches of N = {size} shuffled samples. Ratio: mean squared norm "
        "of the off-diagonal blocks over that of the diagonal ones; outside: share of the whole squared norm that lies "
        "in the former. Effective classes: e = 1/E Σp², of a sample; classes in use: the exponential of the entropy of "
        "the mean prediction."
    )
