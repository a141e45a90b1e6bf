"""The emulator of CUDA: what it takes for an error, and what the tests of the kernels would miss without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import rmtsim
from harness.simt.cupy_module import emulated
from harness.simt.kernels import KernelError, Kernels, compiler
from harness.simt.memory import Guarded
from rmtsim.arrays import gpu, gpu_launch, gpu_tiles, philox
from rmtsim.model.ensemble import Ensemble

pytestmark = pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")

SOURCE = gpu_launch.source()

#: Of its draws 10 … 13, the last has nearly all probability of a sample in one class.
FEW = rmtsim.Point("linear", "ce", 12, 20, 60, ensemble=Ensemble(last_gain=4.0))


def agree(kernels: Kernels) -> bool:
    """Whether the kernels run, and make the numbers of NumPy: of streams, of rows and of all entries of a matrix."""
    try:
        return all(agreements(kernels))
    except KernelError:
        return False


def agreements(kernels: Kernels) -> Iterator[bool]:
    kernels.seed = 7
    E = np.random.default_rng(0).normal(size=(70, 300))
    n, c = E.shape

    def new(*shape: int) -> np.ndarray:
        made.append(Guarded(shape, "float64"))
        return made[-1].array

    made: list[Guarded] = []
    names = np.zeros(1, dtype=gpu._NAMES)
    names["words"][0, 1] = np.frombuffer(bytes(range(16)), "<u4")
    normals = new(2, 301)
    kernels.launch("normals_double", (2, 2), (256,), (normals, np.int64(5), np.int64(306), names[0], np.float64(2)))
    yield np.allclose(normals[1], 2 * philox.normals(bytes(range(16)), 5, 306), rtol=1e-13)
    for lanes in (4, 256):  # rows that share a warp, and rows of a block each
        L, sums, highest = new(n, c), new(n), new(n)
        L[...] = E
        block = (lanes, 256 // lanes)
        given = (L, np.zeros(n), sums, highest, *map(np.int64, (n, c, n, n, 0)), np.int32(0))
        kernels.launch("exponentials_double", (-(-n // block[1]),), block, given)
        yield np.allclose(sums, np.exp(E).sum(axis=1), rtol=1e-13) and np.array_equal(highest, E.max(axis=1))
    partial = new(8)
    sizes = (np.int32(1), np.int64(1), np.int64(n), np.int64(c), np.int64(8))
    kernels.launch("weighted_sum_double", (8,), (32, 8), (E, E, np.ones(n), np.ones(c), *sizes, partial))
    yield bool(np.isclose(partial.sum(), (E * E).sum(), rtol=1e-12))
    E = np.exp(E)
    P, K = E / E.sum(axis=1, keepdims=True), (E[:, :20] @ E[:, :20].T) ** 2
    partial = new(1, 3, 3)  # of two tiles
    inverse, sizes, X = 1 / E.sum(axis=1), (np.int64(1), *map(np.int64, (n, c, 20, 3))), E[:, :20].copy()
    kernels.launch("pair_sums_double", (3,), (16, 16), (X, E, inverse, *sizes, partial))
    expected = [np.sum(K * G) for G in ((P - P * P) @ (P - P * P).T, (P @ P.T) ** 2, (P * P) @ (P * P).T)]
    yield np.allclose(partial[0].sum(axis=1), expected, rtol=1e-12)
    partial, sizes = new(1, 2, 3), tuple(map(np.int64, (n, c, 20, 30, 3)))
    kernels.launch("quadratic_sums_double", (3,), (16, 16), (X, E, *sizes, partial))
    yield np.allclose(partial[0].sum(axis=1), [np.sum(K * (A @ A.T)) for A in (E[:, :30], E[:, 30:])], rtol=1e-12)
    s, f, V, F, y = (E[:, :2] > 1) * 1.0, E[:, 2:4].copy(), E[:9, 4:6].copy(), E[:, 12:21].copy(), np.arange(n) % 9
    U = P[:, :9] * (V.T[:, None, :] - f.T[:, :, None])
    W = P[:, :9] - np.eye(9)[y] + U * f.T[:, :, None]
    G, own = s.T[:, :, None] * (X @ X.T) * s.T[:, None, :], f.T[:, :, None] * f.T[:, None, :]
    partial, F, nobody = new(1, 2, 3), E[:, :9].copy(), np.full(n, -1)
    sizes = (*map(np.int64, (1, n, 0, n, 0, n, 20, 2, 9, 0, 1)), *map(np.int32, (1, 1, 0)))
    kernels.launch(
        "cross_sums_double", (6,), (16, 16), (X, s, f, V, F, F, inverse, f, f, f, y, nobody, *sizes, partial)
    )
    yield np.isclose(partial.sum(), (G * (U @ U.mT * (f @ f.T - own) + W @ W.mT)).sum(), rtol=1e-12)
    totals, sizes = new(2, n, n), (*map(np.int64, (n, n, c, 2)), np.int32(1))
    totals[...] = 0
    kernels.launch("grams_double", (6,), (16, 16), (E, E, totals, *sizes))
    yield np.allclose(np.tril(totals.sum(axis=0)), np.tril(E @ E.T), rtol=1e-12)
    partial, K = new(2, 2, 3), np.tril(K)
    sizes = (*map(np.int64, (1, n, 0, n, 0, n, c, 0, 2)), *map(np.int32, (1, 0)))
    kernels.launch("diagonal_sums_double", (12,), (16, 16), (K, E, E, inverse, inverse, nobody, *sizes, partial))
    expected = [np.sum(K * (A @ A.T)) for A in (P - P * P, P * P)]
    yield np.allclose(partial.sum(axis=(1, 2)), expected, rtol=1e-12)
    given, out, layouts = E.reshape(2, 35, 300), new(2, 35, 40), np.zeros(2, dtype=gpu_tiles._LAYOUT)
    out[...], layouts["steps"] = 1, [(35 * 300, 300, 1), (35 * 300, 1, 300)]  # by rows, and by columns
    sizes = (*map(np.int64, (35, 40, 35)), np.int32(1), np.int32(0))
    kernels.launch("products_double", (2,), (16, 16), (given, given, out, *layouts, *sizes))
    yield np.allclose(out, 1 + given[..., :35] @ given[:, :, :40], rtol=1e-12)
    yield all(array.check() for array in made)


#: What is wrong → what stands in the source, and what in its place.
MUTANTS = {
    "no barrier": ("= value;\n    __syncthreads();\n", "= value;\n"),
    "no barrier after loading": ("T(0));\n        }\n        __syncthreads();\n", "T(0));\n        }\n"),
    "no barrier before loading": ("(pieces, run);\n            __syncthreads();\n", "(pieces, run);\n"),
    "runs that are forgotten": ("products[0][u][v] += run[0][u][v];", "products[0][u][v] = run[0][u][v];"),
    "columns of another kind": ("ends[3] = {0, first, c}", "ends[3] = {0, first - 1, c}"),
    "no step of columns": ("row * layout.row + column * layout.column", "row * layout.row + column"),
    "the other draw": ("B += draw * of_B.draw", "B += 0"),
    "its own neuron, too": (" - (double)above.feature[a] * beside.feature[b]", ""),
    "one slope": ("* above.slope[a] * beside.slope[b] *", "* above.slope[a] *"),
    "labels of another class": ("(int)own : -1;", "(int)own + 1 : -1;"),
    "slices that leave a column out": ("? from + length : c;", "? from + length - 1 : c;"),
    "the left tile twice": ("= ahead[1][entry];", "= ahead[0][entry];"),
    "the piece before": ("load(from + STEP + step)", "load(from + step)"),
    "nothing added to": ("add ? entry + sums", "!add ? entry + sums"),
    "the diagonal counts twice": ("(a > b) + (a >= b) :", "2 * (a >= b) :"),
    "other pairs of tiles": ("while (j > i) j -= ++i;  // the pairs", "while (j >= i) j -= ++i;  // the pairs"),
    "early return": ("    if (row < rows) {  // no early", "    if (row >= rows) return;\n    {  // no early"),
    "half of the shuffles": ("distance > 0; distance /= 2)", "distance > 1; distance /= 2)"),
    "half of the warps": ("warp < warps; ++warp)", "warp < warps / 2; ++warp)"),
    "another mask": ("__shfl_xor_sync(0xFFFFFFFFu", "__shfl_xor_sync(0x0000FFFFu"),
    "no offset in the stream": ("out[2 * pair - start] =", "out[2 * pair] ="),
    "no offset of the draw": ("out += blockIdx.y * (stop - start);", ""),
    "no stride": ("first += AHEAD * step)", "first += AHEAD * WARP * step)"),
}


def test_the_kernels_agree_with_numpy() -> None:
    assert agree(Kernels(SOURCE))


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_noticed(mutant: str) -> None:
    right, wrong = MUTANTS[mutant]
    assert SOURCE.count(right) == 1
    source = re.sub(r"(KERNELS|TILES|CROSS|CHUNKS)_FOR\(float\)", "", SOURCE.replace(right, wrong))
    assert not agree(Kernels(source, level="-O0"))


def kernel(body: str, parameters: str = "double* out") -> str:
    return f'extern "C" __global__ void kernel({parameters})\n{{\n{body}\n}}\n'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("if (threadIdx.x < 40) __syncthreads();", "thread 0 waits at __syncthreads in line 3, and not all come"),
        ("if (threadIdx.x < 40) __syncthreads();\nelse __syncthreads();", "line 4: others wait at another line"),
        ("if (threadIdx.x != 5) __shfl_xor_sync(0xFFFFFFFFu, 1, 16);", "thread 0 waits at __shfl_xor_sync in line 3"),
        ("__shfl_xor_sync(0xFFFFFFFFu, 1, threadIdx.x < 7 ? 16 : 8);", "thread 7, line 3: lanes of a warp shuffle by"),
        ("__shfl_xor_sync(0xFFFFFFFEu, 1, 16);", "thread 0, line 3: the mask of a shuffle does not name its own lane"),
        ("if (threadIdx.x < 16) __shfl_xor_sync(0xFFFFu, 1, 16);", "reads a lane that its mask does not name"),
        ("volatile char much[70000]; for (int i = 70000; i--;) much[i] = 1;", "needs more than 65536 bytes of stack"),
    ],
)
def test_what_is_undefined_on_a_gpu_is_an_error(body: str, said: str) -> None:
    with pytest.raises(KernelError, match=said):
        Kernels(kernel(body)).launch("kernel", (1,), (64,), (np.zeros(64),))


def test_shared_memory_begins_as_nan_in_every_block() -> None:
    body = "__shared__ double s[64];\nout[64 * blockIdx.x + threadIdx.x] = s[threadIdx.x];\ns[threadIdx.x] = 1;"
    out = np.zeros(192)
    Kernels(kernel(body)).launch("kernel", (3,), (64,), (out,))
    assert np.isnan(out).all()


def test_threads_and_blocks_run_in_the_order_of_the_seed() -> None:
    kernels, orders = Kernels(kernel("static int k; out[k++ % 128] = 64 * blockIdx.x + threadIdx.x;")), set()
    for kernels.seed in range(4):
        out = np.zeros(128)
        kernels.launch("kernel", (2,), (64,), (out,))
        assert sorted(out) == list(range(128))
        orders.add(tuple(out))
    assert len(orders) == 4


def test_with_an_odd_seed_a_warp_is_ahead_of_others_by_all_that_barriers_allow() -> None:
    """In turns, warps that shuffle as often would stay together, and a barrier that is missing would not be missed."""
    body = """__shared__ int turns[2];
threadIdx.x % 32 || (turns[threadIdx.x / 32] = 0);
__syncthreads();
for (int turn = 0; turn < 5; ++turn) {
    __shfl_xor_sync(0xFFFFFFFFu, turn, 1);
    if (threadIdx.x % 32 == 0) {
        ++turns[threadIdx.x / 32];
        const double ahead = turns[threadIdx.x / 32] - turns[1 - threadIdx.x / 32];
        if (ahead > out[0]) out[0] = ahead;
    }
}"""
    kernels, most = Kernels(kernel(body)), {}
    for kernels.seed in range(4):
        out = np.zeros(1)
        kernels.launch("kernel", (1,), (64,), (out,))
        most[kernels.seed] = out[0]
    assert most[1] == most[3] == 5
    assert max(most[0], most[2]) <= 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((np.zeros(1),), "has 3 parameters, and 1 arguments"),
        ((np.zeros(1), np.int32(1), np.float64(1)), "argument 1 is .*size=4.*reads .*size=8"),
        ((np.zeros(1), np.int64(1), np.float32(1)), "argument 2 is .*size=4.*reads .*size=8"),
        ((np.zeros(1), np.float64(1), np.float64(1)), "argument 1 is .*'f'.*reads .*'i'"),
        ((np.int64(1), np.int64(1), np.float64(1)), "argument 0 is .*'i'.*reads .*'p'"),
        ((np.zeros(1), 1, np.float64(1)), "argument 1 is int"),
    ],
)
def test_arguments_are_those_that_the_kernel_reads(arguments: tuple, said: str) -> None:
    kernels = Kernels(kernel("", "double* out, long long n, double x"))
    kernels.launch("kernel", (1,), (32,), (np.zeros(1), np.int64(1), np.float64(1)))
    with pytest.raises(KernelError, match=said):
        kernels.launch("kernel", (1,), (32,), arguments)


@pytest.mark.parametrize(("grid", "block"), [((1,), (2048,)), ((0,), (32,)), ((1, 70000), (32,))])
def test_launches_are_those_that_a_gpu_has(grid: tuple[int, ...], block: tuple[int, ...]) -> None:
    with pytest.raises(KernelError, match="no launch"):
        Kernels(kernel("")).launch("kernel", grid, block, (np.zeros(1),))


def test_a_source_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Kernels(kernel(""), tmp_path)
    monkeypatch.setattr("harness.simt.kernels.compiler", lambda: "false")
    Kernels(kernel(""), tmp_path)
    with pytest.raises(KernelError):
        Kernels(kernel("int another;"), tmp_path)


@pytest.mark.parametrize(
    ("point", "draws"),
    [
        (rmtsim.Point("linear", "ce", 40, 7, 70), range(3)),
        (rmtsim.Point("one_hidden", "ce", 5, 6, 40, 3), range(3)),
        (FEW, range(10, 14)),
    ],
)
def test_no_draw_depends_on_the_order_of_threads(point: rmtsim.Point, draws: range) -> None:
    tables = []
    for seed in (0, 1, 2):
        with emulated(seed=seed):
            tables.append(rmtsim.simulate(point, draws, backend="cupy"))
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
