"""`rmtsim theory --spectrum`: what it prints and draws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rmtsim.cli.main import main
from rmtsim.theory.spectra import block_spectrum


def run(capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, str, str]:
    code = main(["theory", *line.split()])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_json_is_the_law(capsys: pytest.CaptureFixture[str]) -> None:
    line = "--model linear --loss ce --classes 3 --aspect-ratio 0.5 2 --spectrum --block diag --json"
    code, out, _ = run(capsys, line)
    assert code == 0
    first, second = json.loads(out)
    law = block_spectrum("linear", "ce", "linear", "diag", 3, 0.5)
    assert first["moments"] == pytest.approx(law.free_moments(), rel=1e-4)
    assert np.allclose(law.density(first["x"]), first["density"])
    assert (first["atom"], second["atom"]) == (0, 0.5)
    # Mass and mean of the curve itself, by the trapezoid rule.
    x, density = np.array(first["x"]), np.array(first["density"])
    assert np.trapezoid(density, x) == pytest.approx(1, abs=2e-3)
    assert np.trapezoid(x * density, x) == pytest.approx(first["moments"][0], rel=2e-3)


def test_an_ensemble_scales_the_eigenvalues(capsys: pytest.CaptureFixture[str]) -> None:
    """With MSE and data of variance 4, linear blocks are 4 times the paper's: E tr H_ii/d = 2 Var x."""
    line = "--model linear --loss mse --classes 3 --aspect-ratio 0.5 --spectrum --block diag --data-variance 4 --json"
    _, out, _ = run(capsys, line)
    [law] = json.loads(out)
    assert law["moments"][0] == pytest.approx(8)
    assert law["edges"][0] == pytest.approx([8 * (1 - 0.5**0.5) ** 2, 8 * (1 + 0.5**0.5) ** 2])
    x, density = np.array(law["x"]), np.array(law["density"])
    assert np.trapezoid(density, x) == pytest.approx(1, abs=2e-3)


def test_hidden_blocks_have_one_V(capsys: pytest.CaptureFixture[str]) -> None:
    line = "--model one_hidden --loss mse --classes 5 --width 3 --aspect-ratio 0.5 --spectrum --block diag --json"
    laws = [json.loads(run(capsys, f"{line} --seed {seed}")[1])[0] for seed in (1, 1, 2)]
    assert laws[0] == laws[1]
    assert laws[0]["moments"] != laws[2]["moments"]
    V = np.random.default_rng(1).standard_normal((5, 3)) / 3**0.5
    assert laws[0]["moments"][0] == pytest.approx((V[:, 0] ** 2).sum())  # 2 Σ v² · P(on)


def test_text_and_what_has_no_offdiagonal_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--model linear --loss ce --classes 1 --aspect-ratio 0.5 --spectrum")
    assert code == 0
    assert out.startswith("eigenvalues of H_ii, linear layer, ce: C = 1, d/N = 0.5\natom at 0: 1; bands: none")
    assert "no off-diagonal blocks" in err
    code, out, _ = run(capsys, "--model linear --loss ce --classes 10 --aspect-ratio 0.5 --spectrum")
    assert [line for line in out.splitlines() if "eigenvalues of -H_ij" in line]
    lines = out.splitlines()
    [start, _] = [k for k, text in enumerate(lines) if text.split() == ["x", "density"]]
    x, density = np.array([text.split() for text in lines[start + 1 :][:20]], dtype=float).T
    law = block_spectrum("linear", "ce", "linear", "diag", 10, 0.5)
    np.testing.assert_allclose(density, law.density(x), atol=0.02)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--model linear --loss ce --classes 1 --aspect-ratio 0.5 --spectrum --block offdiag", "no off-diagonal block"),
        ("--model linear --loss ce --classes 9 --dim 5 --samples 10 --spectrum", "give --aspect-ratio instead"),
        ("--model linear --loss ce --classes 9 --aspect-ratio 0.5 --out x.png", "give --spectrum to draw"),
        ("--model linear --loss ce --classes 9 --aspect-ratio 0.5 --spectrum --out x.jpg", "give one of .png, .pdf"),
        ("--model linear --loss ce --classes 9 --aspect-ratio 0.5 --spectrum --last-gain 90", "logit variance from"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], line: str, sentence: str) -> None:
    code, out, err = run(capsys, line)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_density_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "density.png"
    line = f"--model linear --loss ce --classes 2 1000 --aspect-ratio 0.5 --spectrum --out {path}"
    assert run(capsys, line)[:2] == (0, "")
    assert path.read_bytes().startswith(b"\x89PNG")
