"""The norms of all blocks between the most frequent classes of a head: against the blocks written out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.heads.batch import Wanted, batch_memory
from rmtsim.heads.head import Head
from rmtsim.heads.matrix import ArrayMatrix

Values = npt.NDArray[np.float64]

C, D, N, BATCHES, K = 50, 12, 40, 3, 9


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    """A head whose bias makes some classes frequent."""
    rng = np.random.default_rng(11)
    V, X = 0.6 * rng.normal(size=(C, D)), rng.normal(size=(N * BATCHES, D))
    return {"V": V, "X": X, "bias": 1.5 * rng.normal(size=C)}


def squares(X: Values, V: Values, bias: Values, scale: float, *, column: bool) -> tuple[Values, Values]:
    """Return ‖H_ij‖² of all blocks of a batch (C, C), each block formed, and the mean of p (C,)."""
    logits = scale * (X @ V.T + bias)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    inputs = np.column_stack([X, np.ones(len(X))]) if column else X
    outer = scale**2 * inputs[:, :, None] * inputs[:, None, :]
    weights = p[:, :, None] * (np.eye(C) - p[:, None, :])
    blocks = np.tensordot(weights, outer, axes=((0,), (0,))) / len(X)
    return np.sum(blocks**2, axis=(2, 3)), p.mean(axis=0)


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("bias_as", ["column", "left-out"])
def test_every_block_is_the_one_written_out(bias_as: Any, dtype: Any, close: float, arrays: dict[str, Any]) -> None:
    """Over several batches with bias and scale; the classes are those that are predicted most, in their order."""
    given = {name: values.astype(dtype) for name, values in arrays.items()}
    found = rmtsim.measure(
        given["V"], given["X"], bias=given["bias"], bias_as=bias_as, scale=0.7, batch=N, nulls=(), blocks=K
    )
    assert found.blocks is not None
    assert found.blocks.columns.tolist() == ["class_i", "class_j", "sqfro"]
    order = np.random.default_rng(0).permutation(N * BATCHES).reshape(BATCHES, N)
    exact = {name: values.astype(float) for name, values in given.items()}
    V, bias = exact["V"], exact["bias"]
    each = [squares(exact["X"][rows], V, bias, 0.7, column=bias_as == "column") for rows in order]
    norms, frequency = (np.mean(kind, axis=0) for kind in zip(*each, strict=True))
    chosen = np.argsort(-frequency)[:K]
    assert found.blocks["class_i"].tolist() == np.repeat(chosen, K).tolist()
    assert found.blocks["class_j"].tolist() == np.tile(chosen, K).tolist()
    assert found.blocks["sqfro"].to_numpy().reshape(K, K) == pytest.approx(norms[np.ix_(chosen, chosen)], rel=close)
    assert found.blocks["sqfro"].to_numpy().reshape(K, K) != pytest.approx(norms[:K, :K], rel=0.1)
    assert found.classes is not None  # which the diagonal of the map is from


def test_a_map_of_all_classes_has_the_whole_norm(arrays: dict[str, Any]) -> None:
    """And the diagonal of a head that is sure keeps its digits in float32."""
    for sharp in (1.0, 12.0):
        found = rmtsim.measure(sharp * arrays["V"], arrays["X"], batch=N, nulls=(), blocks=256, dtype="float32")
        assert found.blocks is not None
        assert len(found.blocks) == C**2
        whole = C * found.diag_sqfro + C * (C - 1) * found.offdiag_sqfro
        assert found.blocks["sqfro"].sum() == pytest.approx(whole, rel=1e-4)
        same = found.blocks[found.blocks["class_i"] == found.blocks["class_j"]]
        assert same["sqfro"].mean() == pytest.approx(found.diag_sqfro, rel=1e-4)
        assert "blocks between the 50 most frequent classes: 1 of the whole squared norm" in found.text()


def test_one_class_and_equal_frequencies() -> None:
    X = np.random.default_rng(0).normal(size=(8, 3))
    for count in (1, 4):
        found = rmtsim.measure(np.zeros((4, 3)), X, nulls=(), blocks=count).blocks
        assert found is not None
        assert found["class_i"].unique().tolist() == list(range(count))


def test_the_command_prints_it_with_names(
    arrays: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("head.npz", **arrays)
    Path("names.txt").write_text("\n".join(f"n{k}" for k in range(C)), "utf-8")
    files = "measure --weights head.npz:V --features head.npz:X --bias head.npz:bias --batch 40 --nulls none"
    assert main([*files.split(), "--blocks", "3", "--vocabulary", "names.txt", "--json"]) == 0
    blocks = json.loads(capsys.readouterr().out)["blocks"]
    assert len(blocks) == 9
    assert set(blocks[0]) == {"class_i", "class_j", "token_i", "token_j", "sqfro"}
    assert all(row["token_i"] == f"n{row['class_i']}" for row in blocks)
    assert main([*files.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["blocks"] is None
    assert main([*files.split(), "--blocks", "257"]) == 2
    assert "--blocks: 257 is not valid; give a whole number from 0 to 256" in capsys.readouterr().err


def test_its_memory_is_counted() -> None:
    """What single pairs need is asked for before anything is computed."""
    head = Head.of(ArrayMatrix(np.ones((C, D)), "V"), None, "column", 1.0)
    plain, mapped = (batch_memory(head, 2048, "float32", 1, 1, Wanted(classes=True, blocks=k)) for k in (0, K))
    assert mapped - plain > 8 * 2048**2
