"""Selection of draws of a store by an expression on their columns, by a sweep, or by a seed."""

from __future__ import annotations

import argparse
import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.sampling.schema import ENSEMBLE_NAMES, ENSEMBLE_NUMBERS, EXPORTED_ID
from rmtsim.store import Store

if TYPE_CHECKING:
    from rmtsim.sweeps.spec import Spec

#: Columns of numbers and of text that an expression may name: those that identify a row's point, layer and seed.
_NUMBERS = ("n_classes", "dim", "n_samples", "width", "aspect_ratio", *ENSEMBLE_NUMBERS, "seed")
_TEXTS = ("model", "loss", "layer", *ENSEMBLE_NAMES, "point_id")

#: Most characters of an expression.
_LONGEST = 2000

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}


class Condition:
    """An expression on columns such as ``dim == 500 and loss in ['ce', 'mse']``.

    The syntax is that of comparisons in Python. Names are columns; values are numbers, texts and lists of these.
    Nothing else is allowed, in particular no call and no attribute.

    Raises
    ------
    InputError
        If the text is not such an expression.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            if len(text) > _LONGEST:
                raise ValueError("too long")
            with warnings.catch_warnings():  # of Python's, on escapes in text
                warnings.simplefilter("ignore")
                self._tree = ast.parse(text.strip(), mode="eval").body
            _check(self._tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if isinstance(error, InputError):
                raise
            raise _refused(text if len(text) <= _LONGEST else "it", "is not an expression") from None

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Return whether the expression holds for a row, plain values by column; None is equal to nothing."""
        return bool(_value(self._tree, row))


def _refused(what: str, why: str) -> InputError:
    columns = ", ".join([*_NUMBERS, *_TEXTS])
    return InputError(
        f"--where: {what!r} {why}; compare columns with values, as in \"dim == 500 and loss == 'ce'\"; the columns are "
        f"{columns}"
    )


def _check(node: ast.expr) -> None:
    """Raise InputError unless a tree consists of comparisons joined by and, or, not."""
    if isinstance(node, ast.BoolOp):
        for part in node.values:
            _check(part)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check(node.operand)
    elif isinstance(node, ast.Compare):
        for left, sign, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            _check_comparison(left, sign, right)
    else:
        raise _refused(ast.unparse(node), "is not a comparison")


def _check_comparison(left: ast.expr, sign: ast.cmpop, right: ast.expr) -> None:
    if type(sign) not in _COMPARISONS:
        raise _refused(ast.unparse(ast.Compare(left, [sign], [right])), "is not a comparison of values")
    several = isinstance(sign, ast.In | ast.NotIn)
    if several and not isinstance(right, ast.List | ast.Tuple | ast.Set):
        raise _refused(ast.unparse(right), "is not a list of values")
    kinds = {_kind(part) for part in [left, *(right.elts if several else [right])]}  # type: ignore[attr-defined]
    if len(kinds) > 1:
        raise _refused(ast.unparse(ast.Compare(left, [sign], [right])), "compares a number with text")


def _kind(node: ast.expr) -> type:
    if isinstance(node, ast.Name):
        if node.id not in _NUMBERS + _TEXTS:
            raise _refused(node.id, "is not a column")
        return float if node.id in _NUMBERS else str
    value = _constant(node)
    if value is None:
        raise _refused(ast.unparse(node), "is neither a column nor a value")
    return str if isinstance(value, str) else float


def _constant(node: ast.expr) -> float | str | None:
    """Return a finite number or a text, a point's identity without the prefix of exports; None for all else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _constant(node.operand)
        return -value if isinstance(value, int | float) else None
    if (
        not isinstance(node, ast.Constant)
        or isinstance(node.value, bool)
        or not isinstance(node.value, int | float | str)
    ):
        return None
    if isinstance(node.value, str):
        return node.value.removeprefix(EXPORTED_ID)
    return node.value if math.isfinite(node.value) else None


def _value(node: ast.expr, row: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.BoolOp):
        return (all if isinstance(node.op, ast.And) else any)(_value(part, row) for part in node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not _value(node.operand, row)
    if isinstance(node, ast.Compare):
        values = [_value(part, row) for part in [node.left, *node.comparators]]
        return all(
            before is not None and after is not None and _COMPARISONS[type(sign)](before, after)
            for before, sign, after in zip(values, node.ops, values[1:], strict=False)
        )
    if isinstance(node, ast.Name):
        return row[node.id]
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_value(part, row) for part in node.elts]
    return _constant(node)


@dataclass(frozen=True)
class Selection:
    """A selection of draws: by a condition, the name of a sweep that the store keeps, and a seed; by default all."""

    condition: Condition | None = None
    sweep: str | None = None
    seed: int | None = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Selection:
        """Return the selection of a command line; raise InputError if its condition is not an expression."""
        return cls(Condition(arguments.where) if arguments.where is not None else None, arguments.sweep, arguments.seed)

    @property
    def options(self) -> list[str]:
        """The options that were given."""
        given = {"--where": self.condition, "--sweep": self.sweep, "--seed": self.seed}
        return [option for option, value in given.items() if value is not None]

    def of_sweep(self, store: Store) -> tuple[set[str], int] | None:
        """Return points and seed of the sweep; None without one.

        Raises
        ------
        InputError
            If the store has no sweep of that name.
        """
        if self.sweep is None:
            return None
        spec = _stored_spec(store, self.sweep)
        return {point.id for point in spec.points()}, spec.sampling.seed

    def rows(self, table: pd.DataFrame, of_sweep: tuple[set[str], int] | None = None) -> pd.DataFrame:
        """Return the selected rows of a table; ``of_sweep`` has points and seed of the sweep."""
        if of_sweep is not None:
            points, seed = of_sweep
            table = table[table["point_id"].isin(points) & (table["seed"] == seed)]
        if self.seed is not None:
            table = table[table["seed"] == self.seed]
        if self.condition is not None:
            table = table[rows_that_hold(self.condition, table)]
        return table.reset_index(drop=True)

    def read(self, store: Store) -> pd.DataFrame:
        """Read the selected draws.

        Raises
        ------
        InputError
            If there are none.
        """
        of_sweep = self.of_sweep(store)
        rows = self.rows(store.read(points=None if of_sweep is None else of_sweep[0]), of_sweep)
        if rows.empty:
            raise self.nothing(store)
        return rows

    def nothing(self, store: Store) -> InputError:
        """Return the error for an empty selection."""
        if not self.options:
            return InputError(f"--store: {store.location} holds no draws; run a sweep into it first")
        given = " and ".join(self.options)
        return InputError(
            f"{given}: {store.location} has no such draws; give other values, or leave out {given}; "
            f"`rmtsim status --store {store.quoted}` shows what it has"
        )


def rows_that_hold(condition: Condition, table: pd.DataFrame) -> pd.Series[bool]:
    """Return for each row of a table whether a condition holds; each distinct combination is evaluated once."""
    columns = [name for name in _NUMBERS + _TEXTS if name in table]
    kinds = table[columns].drop_duplicates()
    plain = kinds.astype(object).where(kinds.notna(), None)
    kinds = kinds.assign(
        holds=[condition.holds(dict(zip(columns, row, strict=True))) for row in plain.itertuples(index=False)]
    )
    held: pd.Series[bool] = table[columns].merge(kinds, how="left", on=columns)["holds"].astype(bool)
    return held.set_axis(table.index)


def _stored_spec(store: Store, name: str) -> Spec:
    from rmtsim.sweeps.spec import from_document

    documents = {str(document["name"]): document for document in store.specs()}
    if name not in documents:
        known = ", ".join(documents) or "none at all"
        raise InputError(f"--sweep: {store.location} keeps no sweep {name!r}; those that it keeps: {known}")
    try:
        return from_document(documents[name])
    except InputError as error:
        where = store.files.where(f"sweeps/{name}.json")
        raise InputError(
            f"--sweep: {where} is not a valid spec ({error}); run its spec again, or leave --sweep out"
        ) from None
