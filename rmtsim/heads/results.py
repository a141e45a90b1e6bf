"""What a measurement of a head found: numbers, tables, and the text of them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import pandas as pd

from rmtsim.heads.nulls import Norms, Null
from rmtsim.text.tables import records, text_table
from rmtsim.text.words import number_of

#: The form of `Measurement.document`; it changes where that loses a key, or gives one another meaning.
FORMAT = 1

#: Columns of norms, in tables of nulls.
_COLUMNS = ("diag_sqfro", "offdiag_sqfro", "ratio", "outside")

#: A spread below this share of its value is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, repr=False)
class Measurement:
    """The Hessian blocks of the last layer of a trained network, measured by `rmtsim.measure`; prints as a report.

    Norms are means of ‖block‖²_F, divided by nothing, over all blocks of a batch of N samples, then over batches;
    standard errors are from the spread over batches, and NaN for a single one.

    Attributes
    ----------
    n_classes, dim, block_dim
        C, d, and the rows of a block: d, or d + 1 with the bias as a column.
    batch, batches, rows
        N, the number of batches, and the rows of features that there were.
    bias, scale
        How the bias enters, or None; the factor of the logits.
    order, seed
        ``"shuffled"`` by the seed, or ``"by sequence"``.
    dtype
        What it was computed in.
    weights, features
        Where V and X are from.
    norms
        diag_sqfro, offdiag_sqfro, ratio, outside and their standard errors; each is also an attribute of its own.
    perplexity
        exp of the mean entropy of the predictions p_n.
    effective_classes
        1/E Σ_c p_nc².
    entropy_of_mean
        Entropy of the mean prediction over all batches, in nats.
    logit_variance
        Mean over samples of the variance of the logits over the classes.
    feature_mean_square
        Mean of |x|²/d.
    by_batch
        DataFrame, one row a batch.
    null_list
        What it is held against; `nulls` is a DataFrame of it.
    classes
        DataFrame of diagonal blocks: ``class``, ``token``, ``frequency`` (mean probability), ``diag_sqfro`` = ‖H_cc‖²
        with its standard error; or None.
    pairs, pairs_certain, pairs_bound
        DataFrame of the strongest off-diagonal blocks: classes, ``sqfro`` = ‖H_ij‖², and the ``share`` that H_ij and
        H_ji have of all off-diagonal blocks; whether no other
        pair can be stronger; and what ‖H_ij‖² of every pair that was not computed is at most.
    blocks
        DataFrame of all blocks between the most frequent classes, the most frequent first: classes i and j, and
        ``sqfro`` = ‖H_ij‖², a row for each in either order; or None.
    groups
        DataFrame of shares of the whole squared norm within blocks, within groups and between groups; or None.
    notes
        What to bear in mind.

    Examples
    --------
    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> found = rmtsim.measure(rng.normal(size=(20, 8)), rng.normal(size=(400, 8)), batch=100, nulls="decoupled")
    >>> found.n_classes, found.dim, found.batches, found.nulls["name"].tolist()
    (20, 8, 4, ['decoupled'])
    >>> bool(0 < found.std_error_ratio < found.ratio < 1)
    True
    """

    n_classes: int
    dim: int
    block_dim: int
    batch: int
    batches: int
    rows: int
    bias: str | None
    scale: float
    order: str
    seed: int | None
    dtype: str
    weights: str
    features: str
    norms: Norms
    perplexity: float
    std_error_perplexity: float
    effective_classes: float
    std_error_effective_classes: float
    entropy_of_mean: float
    logit_variance: float
    std_error_logit_variance: float
    feature_mean_square: float
    by_batch: pd.DataFrame
    null_list: tuple[Null, ...]
    classes: pd.DataFrame | None
    pairs: pd.DataFrame | None
    pairs_certain: bool
    pairs_bound: float
    blocks: pd.DataFrame | None
    groups: pd.DataFrame | None
    notes: tuple[str, ...]

    @property
    def diag_sqfro(self) -> float:
        """Mean ‖H_ii‖²."""
        return self.norms.diag_sqfro

    @property
    def offdiag_sqfro(self) -> float:
        """Mean ‖H_ij‖², i ≠ j."""
        return self.norms.offdiag_sqfro

    @property
    def ratio(self) -> float:
        """offdiag_sqfro over diag_sqfro."""
        return self.norms.ratio

    @property
    def outside(self) -> float:
        """Share of the whole squared norm outside the diagonal blocks."""
        return self.norms.outside

    @property
    def std_error_diag(self) -> float:
        """Standard error of diag_sqfro."""
        return self.norms.std_error_diag

    @property
    def std_error_offdiag(self) -> float:
        """Standard error of offdiag_sqfro."""
        return self.norms.std_error_offdiag

    @property
    def std_error_ratio(self) -> float:
        """Standard error of ratio."""
        return self.norms.std_error_ratio

    @property
    def std_error_outside(self) -> float:
        """Standard error of outside."""
        return self.norms.std_error_outside

    @property
    def nulls(self) -> pd.DataFrame:
        """What the norms are held against, one row each, with what it isolates."""
        return pd.DataFrame([null.document() for null in self.null_list])

    def document(self) -> dict[str, Any]:
        """Return all but the table of classes as plain data, NaN for what is not known.

        `rmtsim.heads.saved.read_measurement` reads it from a file.
        """
        tables = ("by_batch", "classes", "pairs", "blocks", "groups")
        inner = {"norms", "null_list", "notes", *tables}
        plain = {name: value for name, value in vars(self).items() if name not in inner}
        found = (
            {"format": FORMAT} | plain | asdict(self.norms) | {"nulls": [null.document() for null in self.null_list]}
        )
        for name in ("by_batch", "pairs", "blocks", "groups"):
            table = getattr(self, name)
            found[name] = None if table is None else records(table)
        return found | {"notes": list(self.notes)}

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        """Return the report with its tables in HTML."""
        parts = [self._compared().to_html(index=False, border=0, na_rep="", float_format="{:.4g}".format)]
        for table in (self.groups, self.pairs):
            if table is not None:
                parts.append(table.to_html(index=False, border=0, na_rep="", float_format="{:.4g}".format))
        head = f"<p>{escape(self._title())}</p><pre>{escape(chr(10).join(self._values()))}</pre>"
        return head + "".join(parts) + "".join(f"<p>{escape(line)}</p>" for line in self._remarks())

    def text(self) -> str:
        """Return the report as text."""
        parts = [self._title(), "\n".join(self._values())]
        if self.null_list:
            cells = [[str(cell) for cell in row] for row in self._compared_cells()]
            parts.append("\n".join(text_table(cells, "<>", indent=2)))
        if self.groups is not None:
            rows = [["where", "blocks", "share"], *(list(row) for row in self._shares())]
            parts.append("\n".join(text_table(rows, "<>", indent=2)))
        if self.pairs is not None:
            parts.append("\n".join(self._pair_lines()))
        return "\n\n".join([*parts, "\n".join(self._remarks())]) if self._remarks() else "\n\n".join(parts)

    def _title(self) -> str:
        bias = {None: "no bias", "column": "the bias as a column", "left-out": "the bias left out of the blocks"}
        scale = "" if self.scale == 1 else f", logits times {self.scale:g}"
        sizes = f"C = {self.n_classes}, d = {self.dim}, {number_of(self.batches, 'batch')} of N = {self.batch}"
        return f"{self.weights} on {self.features}: {sizes}, {bias[self.bias]}{scale}, {self.order}, {self.dtype}"

    def _values(self) -> list[str]:
        norms = self.norms
        rows = [
            ("diag: mean ‖H_ii‖²", norms.diag_sqfro, norms.std_error_diag),
            ("offdiag: mean ‖H_ij‖², i ≠ j", norms.offdiag_sqfro, norms.std_error_offdiag),
            ("ratio", norms.ratio, norms.std_error_ratio),
            ("outside the diagonal blocks", norms.outside, norms.std_error_outside),
            ("perplexity", self.perplexity, self.std_error_perplexity),
            ("effective classes 1/E Σp²", self.effective_classes, self.std_error_effective_classes),
            ("entropy of the mean prediction", self.entropy_of_mean, math.nan),
            ("variance of logits", self.logit_variance, self.std_error_logit_variance),
        ]
        cells = [[what, _shown(value, 6), _error(error)] for what, value, error in rows]
        return text_table(cells, "<><", indent=2)

    def _compared(self) -> pd.DataFrame:
        own = {"name": "measured", **{name: getattr(self.norms, name) for name in _COLUMNS}}
        return pd.DataFrame([own, *({"name": null.name, **_norms(null)} for null in self.null_list)])

    def _compared_cells(self) -> list[list[str]]:
        rows = [["", "diag", "offdiag", "ratio", "outside"]]
        rows.append(["measured", *(_shown(getattr(self.norms, name)) for name in _COLUMNS)])
        for null in self.null_list:
            errors = (null.norms.std_error_diag, null.norms.std_error_offdiag, null.norms.std_error_ratio)
            spread = null.spread or (*errors, null.norms.std_error_outside)
            values = [_with_spread(value, of) for value, of in zip(_norms(null).values(), spread, strict=True)]
            rows.append([null.name, *values])
        return rows

    def _shares(self) -> list[list[str]]:
        assert self.groups is not None
        return [[where, str(blocks), _shown(share)] for where, blocks, share in self.groups.itertuples(index=False)]

    def _pair_lines(self) -> list[str]:
        assert self.pairs is not None
        named = "token_i" in self.pairs
        columns = ["class_i", "class_j", *(["token_i", "token_j"] if named else []), "sqfro", "share"]
        cells = [
            [_shown(value) if isinstance(value, float) else str(value) for value in row]
            for row in self.pairs[columns].itertuples(index=False)
        ]
        return text_table([columns, *cells], ">", indent=2)

    def _remarks(self) -> list[str]:
        found = [f"{null.name}: {null.note or null.isolates}" for null in self.null_list]
        if any(null.spread for null in self.null_list):
            found.append(
                "± of decoupled is the standard deviation over permutations of a batch, of the others a standard error."
            )
        if self.pairs is not None:
            sure = "no other pair is stronger"
            if not self.pairs_certain:
                sure = f"a pair that was not computed may be stronger, with ‖H_ij‖² of at most {self.pairs_bound:.4g}"
            found.append(f"strongest pairs: {sure}.")
        if self.blocks is not None:
            whole = self.n_classes * (self.diag_sqfro + (self.n_classes - 1) * self.offdiag_sqfro)
            share = self.blocks["sqfro"].sum() / whole if whole else math.nan
            classes = self.blocks["class_i"].nunique()
            found.append(f"blocks between the {classes} most frequent classes: {share:.3g} of the whole squared norm.")
        return [*found, *self.notes]


def _norms(null: Null) -> dict[str, float]:
    return {name: getattr(null.norms, name) for name in _COLUMNS}


def _error(error: float) -> str:
    return "" if math.isnan(error) else f"± {error:.2g}"


def _shown(value: float, digits: int = 4) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}g}"


def _with_spread(value: float, spread: float) -> str:
    """Return a value with its spread, if that is known and more than rounding."""
    return f"{_shown(value)} ± {spread:.1g}" if spread > _ROUNDING * abs(value) else _shown(value)
