"""The verb ``theory``: predicted block norms, or with ``--spectrum`` the limiting density of the eigenvalues."""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rmtsim.cli.exit_codes import DONE
from rmtsim.cli.printing import line_width, print_json, print_message, print_text
from rmtsim.cli.theory_progress import show_progress
from rmtsim.errors import InputError
from rmtsim.model.ensemble import LECUN, Ensemble
from rmtsim.model.layers import BY_NAME, WITH_DIAGONAL
from rmtsim.model.loss import get_loss
from rmtsim.model.models import get_model
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.text.tables import frame_table, records, text_table
from rmtsim.theory import Prediction, finite, large_c, limit
from rmtsim.theory.laws import check_spectrum
from rmtsim.theory.spectra import Spectrum, block_spectrum, weight_laws

#: Number of points of a printed density, and of one in JSON or in a drawing.
_PRINTED, _DRAWN = 25, 400


def theory(arguments: argparse.Namespace) -> int:
    """Print predictions, or print or draw spectra."""
    _check(arguments)
    if arguments.spectrum:
        _spectrum(arguments)
    else:
        _norms(arguments)
    return DONE


def _check(arguments: argparse.Namespace) -> None:
    has_width = get_model(arguments.model).has_width
    if has_width != (arguments.width is not None):
        need = "needs --width, a whole number" if has_width else "has no width; leave --width out"
        raise InputError(f"--width: the {arguments.model} model {need}")
    if (arguments.dim is None) != (arguments.samples is None):
        raise InputError("--dim, --samples: one was given without the other; give both or none")
    if arguments.dim is not None:
        gamma = arguments.dim / arguments.samples
        if arguments.aspect_ratio not in (None, [gamma]):
            raise InputError(
                f"--aspect-ratio: {arguments.aspect_ratio} is not --dim / --samples = {gamma:g}; leave it out"
            )
    elif arguments.aspect_ratio is None:
        raise InputError("--aspect-ratio: it is missing; give d/N, say 0.5, or both --dim and --samples")
    if arguments.spectrum and arguments.dim is not None:
        raise InputError("--spectrum: the limiting law knows d and N by their ratio only; give --aspect-ratio instead")
    if arguments.spectrum:
        return
    if arguments.out is not None:
        raise InputError("--out: norms are printed, not drawn; give --spectrum to draw a density")
    for option in ("block", "seed"):
        if getattr(arguments, option) is not None:
            raise InputError(f"--{option}: norms are of all blocks and all weights; give it with --spectrum")


def _ensemble(arguments: argparse.Namespace) -> Ensemble:
    return Ensemble(**{name: getattr(arguments, name) for name in ENSEMBLE})


def _norms(arguments: argparse.Namespace) -> None:
    sizes = len(arguments.width or [None]) * len(arguments.aspect_ratio or [None]) * len(arguments.classes)
    predictions: list[Prediction] = []
    with show_progress("rmtsim theory", sizes, "sizes") as progress:
        for k, of_size in enumerate(_predictions(arguments)):
            predictions += of_size
            progress.advance(min(k + 1, sizes))
    for prediction in predictions:
        if prediction.note and prediction.layer in WITH_DIAGONAL:
            size = "" if prediction.width is None else f" at width {prediction.width}"
            print_message(f"rmtsim theory: {prediction.regime}, {prediction.layer} layer{size}: {prediction.note}")
    found = records(pd.DataFrame([asdict(prediction) for prediction in predictions]))
    if arguments.json:
        per_dim = [one.regime != "finite" and BY_NAME[one.layer].is_d_by_d for one in predictions]
        print_json([record | {"divided_by_dim": flag} for record, flag in zip(found, per_dim, strict=True)])
        return
    if (ensemble := _ensemble(arguments)) != LECUN:
        print_text(ensemble)
    print_text("\n".join(_table(predictions)), lines=True)


def _table(predictions: Sequence[Prediction]) -> list[str]:
    """Return the lines of a table, without columns that have nothing to tell."""
    head = ["layer", "C", "d/N", "m", "diag", "±s.e.", "offdiag", "±s.e.", "ratio", "regime", "powers"]
    rows = [
        [
            one.layer,
            "-" if one.n_classes is None else str(one.n_classes),
            f"{one.aspect_ratio:.6g}",
            "-" if one.width is None else str(one.width),
            *(_cell(value, how) for value, how in _values(one)),
            one.regime,
            f"{one.diag_power}, {one.offdiag_power}" if one.regime == "large_c" else "-",
        ]
        for one in predictions
    ]
    silent = {"m": "-", "±s.e.": "0", "powers": "-"}
    kept = [k for k, name in enumerate(head) if any(row[k] not in ("-", silent.get(name)) for row in rows)]
    grid = [[row[k] for k in kept] for row in (head, *rows)]
    errors = [k for k, name in enumerate(grid[0]) if name == "±s.e."]
    return text_table(grid, "<>", 1, width=line_width(), spare=[errors])


def _values(one: Prediction) -> list[tuple[float, str]]:
    errors = (one.std_error_diag, one.std_error_offdiag)
    return [(one.diag, ".9g"), (errors[0], ".2g"), (one.offdiag, ".9g"), (errors[1], ".2g"), (one.ratio, ".9g")]


def _cell(value: float, how: str) -> str:
    return "-" if math.isnan(value) else format(value, how)


def _predictions(arguments: argparse.Namespace) -> Iterator[list[Prediction]]:
    """Yield the predictions of each size; after those of a width and an aspect ratio comes their form as C → ∞."""
    model, loss, widths, ensemble = arguments.model, arguments.loss, arguments.width or [None], _ensemble(arguments)
    if arguments.dim is not None:
        for m, C in itertools.product(widths, arguments.classes):
            yield finite(model, loss, C, arguments.dim, arguments.samples, m, ensemble=ensemble)
        return
    for m, gamma in itertools.product(widths, arguments.aspect_ratio):
        for C in arguments.classes:
            yield limit(model, loss, C, gamma, m, ensemble=ensemble)
        try:
            yield large_c(model, loss, gamma, m, ensemble=ensemble)
        except InputError as error:  # the limits were fine: it is this regime that the ensemble does not have
            print_message(f"rmtsim theory: there is no large_c at width {m}: {error}")


class _Density(NamedTuple):
    """A limiting spectrum, where it comes from, and the factor of its eigenvalues."""

    case: dict[str, Any]
    spectrum: Spectrum
    scale: float

    def grid(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        x, density = self.spectrum.grid(n)
        return self.scale * x, density / self.scale

    def summary(self) -> dict[str, Any]:
        edges = [[_plain(self.scale * edge) for edge in band] for band in self.spectrum.edges]
        moments = [self.scale ** (k + 1) * m for k, m in enumerate(self.spectrum.moments().tolist())]
        return self.case | {"atom": self.spectrum.atom, "edges": edges, "moments": moments}


def _spectrum(arguments: argparse.Namespace) -> None:
    if arguments.out is not None:
        from rmtsim.figures.matplotlib_setup import check_picture_file

        check_picture_file(arguments.out)
    blocks = len(arguments.width or [None]) * len(arguments.aspect_ratio) * len(arguments.classes)
    blocks *= len(arguments.block or ("diag", "offdiag"))
    densities = []
    with show_progress("rmtsim theory", blocks, "spectra") as progress:
        for k, density in enumerate(_densities(arguments)):
            density.summary()  # finds the bands, which takes the time
            densities.append(density)
            progress.advance(k + 1)
    if arguments.out is not None:
        from rmtsim.figures.matplotlib_setup import load_matplotlib, save

        load_matplotlib()
        from rmtsim.figures.density_drawing import plot_densities

        curves = [(density.case, density.spectrum.atom, *density.grid(_DRAWN)) for density in densities]
        save(plot_densities(curves, arguments.model, arguments.loss), Path(arguments.out))
        print_message(f"{arguments.out}: drawn")
    elif arguments.json:
        for_json = []
        for density in densities:
            x, values = density.grid(_DRAWN)
            for_json.append(density.summary() | {"x": x.tolist(), "density": values.tolist()})
        print_json(for_json)
    else:
        print_text("\n\n".join(_text(density) for density in densities), lines=True)


def _densities(arguments: argparse.Namespace) -> Iterator[_Density]:
    """Yield the requested laws; V, where they depend on it, is a draw of its ensemble with a fixed seed."""
    model, loss, ensemble = arguments.model, arguments.loss, _ensemble(arguments)
    layer = get_model(model).layers[0].name
    check_spectrum(ensemble, get_model(model).has_width)
    for m, C, gamma, block in itertools.product(
        arguments.width or [None], arguments.classes, arguments.aspect_ratio, arguments.block or ["diag", "offdiag"]
    ):
        if block == "offdiag" and arguments.block is None and (C if m is None else m) == 1:
            print_message(f"rmtsim theory: there are no off-diagonal blocks at {'C' if m is None else 'width'} = 1")
            continue
        if m is not None:
            weight_laws.check_work(C, m)
        scales, V = ensemble.scales(C, m, None), None
        gain = scales.gain if m is None else scales.data * scales.hidden
        if m is not None:
            V = np.random.default_rng(arguments.seed or 0).standard_normal((C, m)) * (scales.last / m) ** 0.5
        spectrum = block_spectrum(
            model, loss, layer, block, C, gamma, m, V, gain=gain if get_loss(loss).softmax else 1.0
        )
        case = {"model": model, "loss": loss, "layer": layer, "block": block}
        sizes = {"n_classes": C, "aspect_ratio": gamma, "width": m, "seed": None if m is None else arguments.seed or 0}
        sign = -1 if (model, loss, block) == ("linear", "ce", "offdiag") else 1
        yield _Density(case | sizes | {"sign": sign} | asdict(ensemble), spectrum, scales.data)


def _text(density: _Density) -> str:
    case, summary = density.case, density.summary()
    name = {"diag": "H_ii", "offdiag": "H_ij"}[case["block"]]
    sizes = f"C = {case['n_classes']}, d/N = {case['aspect_ratio']:g}"
    if case["width"] is not None:
        sizes += f", m = {case['width']}, V drawn with seed {case['seed']}"
    bands = " ".join(
        "[" + ", ".join("inf" if e is None else f"{e:.6g}" for e in band) + "]" for band in summary["edges"]
    )
    moments = " ".join(f"{moment:.8g}" for moment in summary["moments"])
    x, values = density.grid(_PRINTED)
    return "\n".join(
        [
            f"eigenvalues of {'-' if case['sign'] < 0 else ''}{name}, {case['layer']} layer, {case['loss']}: {sizes}",
            f"atom at 0: {summary['atom']:.6g}; bands: {bands or 'none'}",
            f"moments m1 to m4: {moments}",
            *frame_table(pd.DataFrame({"x": x, "density": values}), "{:.6g}"),
        ]
    )


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
