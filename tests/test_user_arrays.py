"""What users hand in as arrays: taken right in every welcome form, refused with the conversion to type otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import rmtsim
from tests import autodiff  # noqa: F401  # sets JAX to float64
from tests.cases import problem

P = problem((3, 5, 8, 4), "ce")
#: Whole numbers, so that every dtype has the same values.
X, V, W = (np.rint(2 * A) for A in (P.X, P.V, P.W))
Y = P.y


class Tensor:
    """A tensor as PyTorch has it: DLPack, no gradient that NumPy would lose, on some device."""

    def __init__(self, array: np.ndarray, device: tuple[int, int] = (1, 0), requires_grad: bool = False) -> None:
        self.array, self.device, self.requires_grad = array, device, requires_grad
        self.dtype, self.shape, self.ndim = array.dtype, array.shape, array.ndim

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, **options: Any) -> Any:
        if self.device[0] != 1:
            raise BufferError("device memory")
        return self.array.__dlpack__(**options)


class HalfTensor(Tensor):
    """PyTorch's bfloat16 on the CPU: neither DLPack nor ``__array__`` gives it to NumPy."""

    def __dlpack__(self, **_: Any) -> Any:
        raise BufferError("bfloat16")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Got unsupported ScalarType BFloat16")

    def float(self) -> Tensor:
        return Tensor(self.array.astype(np.float32))


class Table:
    """Something that knows ``__array__`` only."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array


class Subclass(np.ndarray):
    pass


def memmap(A: np.ndarray, folder: Path) -> np.ndarray:
    mapped = np.memmap(folder / "A", dtype=A.dtype, mode="w+", shape=A.shape)
    mapped[:] = A
    return mapped


def read_only(A: np.ndarray) -> np.ndarray:
    A = A.copy()
    A.flags.writeable = False
    return A


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)

WELCOME: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "lists": (lambda A: A.tolist(), "float64"),
    "lists of whole numbers": (lambda A: A.astype(int).tolist(), "float64"),
    "tuples of lists": (lambda A: tuple(A.tolist()), "float64"),
    "list of rows": (lambda A: list(A), "float64"),
    "list of float32 rows": (lambda A: list(A.astype("f4")), "float32"),
    "list of tensors": (lambda A: [Tensor(row) for row in A], "float64"),
    "matrix": (lambda A: A.view(np.matrix), "float64"),
    "subclass": (lambda A: A.view(Subclass), "float64"),
    "read only": (read_only, "float64"),
    "big endian": (lambda A: A.astype(">f8"), "float64"),
    "big endian, single": (lambda A: A.astype(">f4"), "float32"),
    "Fortran order": (np.asfortranarray, "float64"),
    "float32": (lambda A: A.astype("f4"), "float32"),
    "float16": (lambda A: A.astype("f2"), "float32"),
    "bfloat16": (lambda A: A.astype(ml_dtypes.bfloat16), "float32"),
    "float8": (lambda A: A.astype(ml_dtypes.float8_e4m3fn), "float32"),
    "int4": (lambda A: A.astype(ml_dtypes.int4), "float32"),
    "int64": (lambda A: A.astype("i8"), "float64"),
    "int8": (lambda A: A.astype("i1"), "float64"),
    "DataFrame": (pd.DataFrame, "float64"),
    "DataFrame, shuffled index": (lambda A: pd.DataFrame(A, index=np.arange(len(A))[::-1]), "float64"),
    "DataFrame of float32": (lambda A: pd.DataFrame(A.astype("f4")), "float32"),
    "DataFrame, nullable": (lambda A: pd.DataFrame(A).astype("Float64"), "float64"),
    "DataFrame, nullable float32": (lambda A: pd.DataFrame(A).astype("Float32"), "float32"),
    "DataFrame, Arrow": (lambda A: pd.DataFrame(A).astype("double[pyarrow]"), "float64"),
    "DataFrame, mixed": (lambda A: pd.DataFrame(A).astype({0: "int32", 1: "Int64", 2: "float32"}), "float64"),
    "DataFrame, sparse": (lambda A: pd.DataFrame(A).astype(pd.SparseDtype(float, 0.0)), "float64"),
    "tensor": (Tensor, "float64"),
    "tensor, single": (lambda A: Tensor(A.astype("f4")), "float32"),
    "tensor, bfloat16": (lambda A: HalfTensor(A.astype(ml_dtypes.bfloat16)), "float32"),
    "__array__": (Table, "float64"),
    "JAX": (jnp.asarray, "float64"),
    "JAX, single": (lambda A: jnp.asarray(A, dtype=jnp.float32), "float32"),
    "JAX, bfloat16": (lambda A: jnp.asarray(A, dtype=jnp.bfloat16), "float32"),
}


@pytest.mark.parametrize("form", WELCOME)
def test_welcome_forms_are_their_values(form: str) -> None:
    assert jax.config.jax_enable_x64
    convert, dtype = WELCOME[form]
    expected = rmtsim.block_norms(*(A.astype(dtype) for A in (X, V)), W=W.astype(dtype), y=Y)
    found = rmtsim.block_norms(convert(X), convert(V), W=convert(W), y=Y)
    assert found == expected or all(np.array_equal(found[k], expected[k], equal_nan=True) for k in expected)
    assert {norms.dtype for norms in found.values()} == {dtype}
    H = rmtsim.hessian(convert(X), convert(V), W=convert(W), y=Y)
    np.testing.assert_array_equal(H, rmtsim.hessian(*(A.astype(dtype) for A in (X, V)), W=W.astype(dtype), y=Y))
    assert H.dtype == dtype


def test_a_memory_map_is_its_values(tmp_path: Path) -> None:
    found = rmtsim.block_norms(memmap(X, tmp_path), V[:, :1].repeat(5, axis=1))
    assert found == rmtsim.block_norms(X, V[:, :1].repeat(5, axis=1))


@pytest.mark.parametrize(
    ("x_type", "v_type", "dtype"),
    [
        ("f4", "f8", "float64"),
        ("f8", "f4", "float64"),
        ("f2", "f4", "float32"),
        ("f2", "f8", "float64"),
        (ml_dtypes.bfloat16, "f2", "float32"),
        (ml_dtypes.bfloat16, "f8", "float64"),
        ("i8", "f4", "float64"),
        ("i4", "f4", "float64"),
        ("u1", "f4", "float32"),
        ("?", "f4", "float32"),
        ("?", "?", "float64"),
        ("i8", "i8", "float64"),
    ],
)
def test_mixed_dtypes_are_promoted(x_type: Any, v_type: Any, dtype: str) -> None:
    A, B = np.abs(X).astype(x_type), np.abs(V).repeat(2, axis=1)[:, :5].astype(v_type)
    found = rmtsim.block_norms(A, B)["linear"]
    assert found == rmtsim.block_norms(A.astype(dtype), B.astype(dtype))["linear"]
    assert found.dtype == rmtsim.hessian(A, B).dtype == dtype
    assert found.in_dtype("float32") == found


@pytest.mark.parametrize(
    "labels",
    [
        lambda y: y.tolist(),
        lambda y: tuple(y),
        lambda y: y.astype(float),
        lambda y: y.astype("f2"),
        lambda y: y.astype("u1"),
        lambda y: y.astype(">i4"),
        pd.Series,
        lambda y: pd.Series(y, dtype="Int64"),
        lambda y: pd.Series(y, dtype="category"),
        lambda y: pd.Index(y),
        Tensor,
        Table,
        jnp.asarray,
        lambda y: y.view(Subclass),
    ],
)
def test_labels_of_any_dtype(labels: Callable[[np.ndarray], Any]) -> None:
    expected = rmtsim.block_norms(X, V, W=W, y=Y)["cross"].offdiag_sqfro
    assert rmtsim.block_norms(X, V, W=W, y=labels(Y))["cross"].offdiag_sqfro == expected
    np.testing.assert_array_equal(rmtsim.hessian(X, V, W=W, y=labels(Y)), rmtsim.hessian(X, V, W=W, y=Y))


def test_boolean_labels_are_two_classes() -> None:
    expected = rmtsim.block_norms(X, V[:2], W=W, y=Y % 2)["cross"]
    assert rmtsim.block_norms(X, V[:2], W=W, y=Y % 2 == 1)["cross"].offdiag_sqfro == expected.offdiag_sqfro


def test_lists_of_matrices_are_a_batch_where_all_are() -> None:
    found = rmtsim.block_norms([X, X + 1], [V, V], W=[W, W], y=[Y, Y])
    for layer, norms in rmtsim.block_norms(X + 1, V, W=W, y=Y).items():
        assert found[layer].offdiag_sqfro[1] == norms.offdiag_sqfro


MASKED = np.ma.masked_array(X, mask=X > 1)
RECORDS = np.zeros((8, 5), dtype=[("a", float), ("b", float)])
MISSING = pd.DataFrame(X).astype("Float64")
MISSING.iloc[2, 1] = pd.NA
TEXT = pd.DataFrame(X).astype({3: str})


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (MASKED, r"masked array.*give X\.filled\(VALUE\), or .*X\.compressed\(\)"),
        (np.ma.asarray(X), "masked array"),
        (list(MASKED), r"X\[0\]: it is a masked array.*X\[0\]\.filled"),
        ([[1.0, np.ma.masked]] * 8, "masked array"),
        (MISSING, r"a value is missing at \[2, 1\]; give X\.dropna\(\).*X\.fillna\(VALUE\)"),
        (pd.DataFrame(X).where(X < 2), r"a value is missing at"),
        (TEXT, r"column 3 of X as numbers: \.astype\('float64'\)"),
        (pd.DataFrame(X).assign(t=pd.Timestamp(0)), "column 't' of X as numbers"),
        (scipy.sparse.csr_array(X), r"csr_array is sparse; give X\.toarray\(\)"),
        (scipy.sparse.coo_matrix(X), r"sparse; give X\.toarray\(\)"),
        (Tensor(X, device=(2, 0)), r"Tensor lies in a device's memory; give X\.detach\(\)\.cpu\(\)"),
        (Tensor(X, requires_grad=True), r"requires a gradient.*; give X\.detach\(\)\.cpu\(\)"),
        ([Tensor(row, requires_grad=True) for row in X], r"X\[0\]: .*; give X\[0\]\.detach\(\)\.cpu\(\)"),
        (RECORDS, r"structured array; give X\[FIELD\], or numpy\.lib\.recfunctions"),
        (RECORDS.view(np.recarray), "structured array"),
        (X.astype(object), r"dtype object is not valid; give real numbers, as numpy\.asarray\(X, dtype='float64'\)"),
        ([[1.0, None]] * 8, "dtype object is not valid"),
        ([[2**70, 1]] * 8, "dtype object is not valid"),
        (X.astype(str), r"dtype <U32 is not valid; give real numbers, as numpy\.asarray"),
        (X.astype(bytes), r"dtype \|S32 is not valid"),
        (X.astype(np.dtypes.StringDType()), "is not valid; give real numbers"),
        ([["a"] * 5] * 8, "dtype <U1 is not valid"),
        (X.astype(complex), r"dtype complex128 is not valid; give real numbers, as X\.real"),
        ([[1j] * 5] * 8, "dtype complex128"),
        (X.astype(ml_dtypes.complex32), "is not valid; give real numbers"),
        (X.astype("M8[s]"), r"give real numbers, as X\.astype\('int64'\)"),
        (X.astype("m8[s]"), r"give real numbers, as X\.astype\('int64'\)"),
        (X.astype(np.longdouble), r"give at most float64, as X\.astype\('float64'\)"),
        (np.zeros((8, 5), "V4"), "raw bytes"),
        ([[1.0] * 5] * 7 + [[1.0]], "not an array of one shape; give lists of equal length"),
        (ENDLESS, "lists are nested without end"),
        ([X[0], X[1, :2]], "not an array of one shape"),
        (3.0, r"shape \(\) is not valid; give matrices"),
        (np.float64(3), r"shape \(\) is not valid"),
        ([], r"shape \(0,\) is not valid"),
        (None, "NoneType is not an array"),
        ("X.npy", "dtype <U5 is not valid"),
        ({"a": [1.0]}, "dict is not an array"),
        ((row for row in X), "generator is not an array"),
        (np.where(X.max() == X, np.nan, X), r"it holds NaN at \[\d, \d\]; give finite numbers"),
        (np.where(X.max() == X, -np.inf, X).astype("f4"), r"it holds -inf at \[\d, \d\]"),
        (np.where(X.max() == X, np.nan, X).astype(ml_dtypes.bfloat16), "it holds NaN at"),
        (Table(MASKED), r"masked array.*X\.filled"),
        (Table(np.asarray(["a"])), "dtype <U1 is not valid"),
        (Table(X.tolist()), r"Table cannot be read .*; give numpy\.asarray\(X\)"),  # type: ignore[arg-type]
    ],
)
def test_what_would_count_wrongly_is_refused(bad: Any, words: str) -> None:
    for compute in (rmtsim.block_norms, rmtsim.hessian):
        with pytest.raises(rmtsim.InputError, match=words) as caught:
            compute(bad, V, W=W, y=Y)
        assert str(caught.value).startswith("X")
        assert "\n" not in str(caught.value)
    with pytest.raises(rmtsim.InputError, match=r"^V"):
        rmtsim.block_norms(X, bad)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.ma.masked_array(Y, mask=Y > 0), r"masked array.*give y\.filled\(VALUE\), or leave the masked samples out"),
        (np.eye(3)[Y], r"shape \(8, 3\) is not valid; give \(8,\) whole numbers, as y\.argmax\(axis=-1\)"),
        (np.eye(3, dtype=int)[Y].tolist(), r"argmax"),
        (Y[:, None], r"shape \(8, 1\) is not valid; .*numpy\.asarray\(y\)\[\.\.\., 0\]"),
        (Y[None].view(np.matrix), r"shape \(1, 8\) is not valid; .*numpy\.ravel\(y\)"),
        (pd.DataFrame({"y": Y}), r"shape \(8, 1\)"),
        (Y[:7], r"give \(8,\) whole numbers"),
        (np.where(Y == 1, np.nan, Y), r"it holds NaN at \[\d\]"),
        (np.where(Y == 1, np.inf, Y), r"it holds inf at \[\d\]"),
        (pd.Series(Y, dtype="Int64").where(Y > 0), "a value is missing at"),
        (np.where(Y == 1, 0.5, Y), r"label 0\.5 at \[\d\] is not valid; give \(8,\) whole numbers"),
        (Y - 1, r"a label lies outside 0 … 2: -1 at \[\d\]; there are 3 classes"),
        (Y + 1.0, r"a label lies outside 0 … 2: 3 at"),
        (np.full(8, 2**63, dtype="u8"), "a label lies outside 0 … 2: 9.22337203685478e[+]18"),
        (np.full(8, 1e300), "a label lies outside"),
        (np.full(8, "cat"), r"dtype <U3, .*numpy\.unique\(y, return_inverse=True\)\[1\]"),
        (pd.Series(["cat"] * 8), r"pandas\.factorize"),
        (Y.astype(object), r"dtype object, .*numpy\.unique"),
        (Y.astype(complex), "real numbers"),
        (Tensor(Y, device=(2, 0)), r"y\.detach\(\)\.cpu\(\)"),
        (1, r"shape \(\) is not valid"),
        ([0, [1]], "not an array of one shape"),
    ],
)
def test_labels_that_are_none_are_refused(bad: Any, words: str) -> None:
    for compute in (rmtsim.block_norms, rmtsim.hessian):
        with pytest.raises(rmtsim.InputError, match=words) as caught:
            compute(X, V, W=W, y=bad)
        assert str(caught.value).startswith("y")
        assert "\n" not in str(caught.value)


def test_a_traced_array_of_jax_is_refused() -> None:
    with pytest.raises(rmtsim.InputError, match="X: DynamicJaxprTracer cannot be read") as caught:
        jax.jit(lambda A: rmtsim.hessian(A, V))(X)
    assert "\n" not in str(caught.value)


def test_labels_count_even_where_no_layer_needs_them() -> None:
    with pytest.raises(rmtsim.InputError, match="outside 0 … 2"):
        rmtsim.hessian(X, V.repeat(2, axis=1)[:, :5], y=Y + 1)


def test_inputs_stay_as_they_are() -> None:
    before = [A.copy() for A in (X, V, W, Y)]
    rmtsim.block_norms(X, V, W=W, y=Y, loss="mse")
    rmtsim.hessian(X, V, W=W, y=Y, loss="mse")
    for A, B in zip((X, V, W, Y), before, strict=True):
        np.testing.assert_array_equal(A, B)


def test_other_modules_keep_their_arrays(xp: ModuleType) -> None:
    found = rmtsim.block_norms(xp.asarray(X), xp.asarray(V), W=xp.asarray(W.astype("f4")), y=Y.tolist())
    assert found["output"].dtype == "float64"
    for layer, norms in rmtsim.block_norms(X, V, W=W, y=Y).items():
        assert float(found[layer].offdiag_sqfro) == pytest.approx(norms.offdiag_sqfro, rel=1e-12)


def test_arrays_of_two_modules_are_refused() -> None:
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(rmtsim.InputError, match="V: it belongs to another array module than X"):
        rmtsim.block_norms(strict.asarray(X), V)
    with pytest.raises(rmtsim.InputError, match=r"dtype .*complex128 is not valid"):
        rmtsim.block_norms(strict.asarray(X.astype(complex)), V)
