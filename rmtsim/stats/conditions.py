"""Conditions on the columns of a table, such as ``dim == 500 and loss in ['ce', 'mse']``: read, never executed."""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.sampling.schema import EXPORTED_ID
from rmtsim.text.words import abridge, did_you_mean

__all__ = ["Condition"]

#: A sign of equality of those who mean that of a comparison.
_ASSIGNS = re.compile(r"(?<![=<>!])=(?!=)")

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

    The syntax is that of comparisons in Python, joined by ``and``, ``or`` and ``not``. Names are columns; values are
    numbers, texts and lists of these. Nothing else is allowed, in particular no call and no attribute: the text is
    parsed, and what it says is looked up, so that nothing of it is ever executed.

    Parameters
    ----------
    text
        The expression.
    numbers, texts
        The columns of numbers and those of texts that it may name.
    name
        What it was given by, for messages.

    Raises
    ------
    InputError
        If the text is not such an expression.

    Examples
    --------
    >>> import pandas as pd
    >>> condition = Condition("dim > 10 and not loss == 'mse'", ["dim"], ["loss"], "where")
    >>> condition.rows(pd.DataFrame({"dim": [5, 20, 20], "loss": ["ce", "ce", "mse"]})).tolist()
    [False, True, False]
    """

    def __init__(self, text: str, numbers: Sequence[str], texts: Sequence[str], name: str) -> None:
        self._kinds: dict[str, type] = dict.fromkeys(numbers, float) | dict.fromkeys(texts, str)
        self._name = name
        if not isinstance(text, str):
            raise self._refused(abridge(text), "is not a text")
        try:
            if len(text) > _LONGEST:
                raise self._refused(f"{text[:20]}…", f"has {len(text)} characters, and {_LONGEST} are the most")
            with warnings.catch_warnings():  # of Python's, on escapes in text
                warnings.simplefilter("ignore")
                self._tree = ast.parse(text.strip(), mode="eval").body
            self._check(self._tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if isinstance(error, InputError):
                raise
            hint = " (it is ==, not =)" if _ASSIGNS.search(text) else ""
            raise self._refused(text, f"is not an expression{hint}") from None

    @property
    def columns(self) -> list[str]:
        """The columns that it names, in the order of the text."""
        names = [(node.lineno, node.col_offset, node.id) for node in ast.walk(self._tree) if isinstance(node, ast.Name)]
        return list(dict.fromkeys(name for *_, name in sorted(names)))

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Return whether the expression holds for a row, plain values by column; None is equal to nothing."""
        return bool(_value(self._tree, row))

    def rows(self, table: pd.DataFrame) -> pd.Series[bool]:
        """Return for each row of a table whether it holds; each distinct combination is evaluated once."""
        columns = [name for name in self._kinds if name in table]
        kinds = table[columns].drop_duplicates()
        plain = kinds.astype(object).where(kinds.notna(), None)
        kinds = kinds.assign(
            holds=[self.holds(dict(zip(columns, row, strict=True))) for row in plain.itertuples(index=False)]
        )
        held: pd.Series[bool] = table[columns].merge(kinds, how="left", on=columns)["holds"].astype(bool)
        return held.set_axis(table.index)

    def _refused(self, what: str, why: str) -> InputError:
        return InputError(
            f"{self._name}: {what!r} {why}; compare columns with values, as in \"dim == 500 and loss == 'ce'\"; the "
            f"columns are {', '.join(self._kinds)}"
        )

    def _check(self, node: ast.expr) -> None:
        """Raise InputError unless a tree consists of comparisons joined by and, or, not."""
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                self._check(part)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._check(node.operand)
        elif isinstance(node, ast.Compare):
            for left, sign, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                self._check_comparison(left, sign, right)
        else:
            raise self._refused(ast.unparse(node), "is not a comparison")

    def _check_comparison(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> None:
        if type(sign) not in _COMPARISONS:
            raise self._refused(ast.unparse(ast.Compare(left, [sign], [right])), "is not a comparison of values")
        several = isinstance(sign, ast.In | ast.NotIn)
        if several and not isinstance(right, ast.List | ast.Tuple | ast.Set):
            raise self._refused(ast.unparse(right), "is not a list of values")
        if isinstance(left, ast.Name) and self._kinds.get(left.id) is str:
            names = (part.id for part in ast.walk(right) if isinstance(part, ast.Name))
            if name := next((name for name in names if name not in self._kinds), ""):
                raise self._refused(name, f"is not a column, and text has quotes, as in {left.id} == {name!r}")
        kinds = {self._kind(part) for part in [left, *(right.elts if several else [right])]}  # type: ignore[attr-defined]
        if len(kinds) > 1:
            raise self._refused(ast.unparse(ast.Compare(left, [sign], [right])), "compares a number with text")

    def _kind(self, node: ast.expr) -> type:
        if isinstance(node, ast.Name):
            if node.id not in self._kinds:
                raise self._refused(node.id, f"is not a column{did_you_mean(node.id, self._kinds)}")
            return self._kinds[node.id]
        value = _constant(node)
        if value is None:
            raise self._refused(ast.unparse(node), "is neither a column nor a value")
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
    try:
        return node.value if math.isfinite(node.value) else None
    except OverflowError:  # a whole number that no float holds
        return None


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
