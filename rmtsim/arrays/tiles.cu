// The kernels of rmtsim/arrays/gpu_tiles.py, compiled after kernels.cu: a block makes a tile of a product of matrices,
// or of several, in registers, while pieces of the columns pass through shared memory. A block has SIDE x SIDE threads,
// and a thread EACH x EACH entries of the tile. Each is added up column after column, by one thread.

constexpr int SIDE = 16, EACH = 4, TILE = SIDE * EACH;  // as in gpu_tiles.py
constexpr int PAD = 4;                                  // neighbouring rows then lie in different banks

struct Layout {  // of a batch of matrices: entries from one draw, row and column to the next
    i64 draw, row, column;
};

template <class T, int KINDS>
struct Pieces {  // of the columns of both tiles, for each kind of matrix; what fits in 48 KiB
    static constexpr int STEP = sizeof(T) == 4 ? 16 : 8;
    T left[KINDS][STEP][TILE + PAD], right[KINDS][STEP][TILE + PAD];
};

// products[kind] += left[kind]^T right[kind], this thread's share.
template <class T, int KINDS, int HELD>
__device__ void add_pieces(const Pieces<T, HELD>& pieces, T products[KINDS][EACH][EACH])
{
#pragma unroll 4
    for (int step = 0; step < Pieces<T, HELD>::STEP; ++step)
#pragma unroll
        for (int kind = 0; kind < KINDS; ++kind) {
            T a[EACH], b[EACH];
#pragma unroll
            for (int u = 0; u < EACH; ++u) {
                a[u] = pieces.left[kind][step][threadIdx.y * EACH + u];
                b[u] = pieces.right[kind][step][threadIdx.x * EACH + u];
            }
#pragma unroll
            for (int u = 0; u < EACH; ++u)
#pragma unroll
                for (int v = 0; v < EACH; ++v) products[kind][u][v] += a[u] * b[v];
        }
}

// part[step][sample] = entry (first + sample, from + step) of M, and 0 from row `rows` and from column `to` on.
template <class T>
__device__ void load(T part[][TILE + PAD], const T* M, const Layout& layout, i64 first, i64 rows, i64 from, i64 to)
{
    constexpr int STEP = Pieces<T, 1>::STEP;
    for (int entry = threadIdx.y * SIDE + threadIdx.x; entry < TILE * STEP; entry += SIDE * SIDE) {
        const i64 row = first + entry / STEP, column = from + entry % STEP;
        const bool there = row < rows && column < to;
        part[entry % STEP][entry / STEP] = there ? M[row * layout.row + column * layout.column] : T(0);
    }
}

constexpr i64 RUN = 256;  // columns; rounding errors grow with the length of a run, and little with their number

// products += A B^T over the columns from `from` to `to`, run after run, for a tile whose first row is `top` of A's n and
// whose first column is row `left` of B's k.
template <class T, int HELD>
__device__ void add_product(Pieces<T, HELD>& pieces, const T* A, const Layout& of_A, i64 top, i64 n, const T* B,
                            const Layout& of_B, i64 left, i64 k, i64 from, i64 to, T products[1][EACH][EACH])
{
    while (from < to) {
        const i64 stop = from + RUN < to ? from + RUN : to;
        T run[1][EACH][EACH] = {};
        for (; from < stop; from += Pieces<T, HELD>::STEP) {
            load<T>(pieces.left[0], A, of_A, top, n, from, stop);
            load<T>(pieces.right[0], B, of_B, left, k, from, stop);
            __syncthreads();
            add_pieces<T, 1>(pieces, run);
            __syncthreads();
        }
#pragma unroll
        for (int u = 0; u < EACH; ++u)
#pragma unroll
            for (int v = 0; v < EACH; ++v) products[0][u][v] += run[0][u][v];
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Products of small matrices, for a whole batch at once

// out (draws, n, k) = A B^T of every draw, or that is added to it with `add`. With `lower`, A is B, and only the lower
// triangle is defined. A block makes a tile.
template <class T>
__device__ void products(const T* A, const T* B, T* out, const Layout& of_A, const Layout& of_B, i64 n, i64 k, i64 c,
                         int add, int lower)
{
    __shared__ Pieces<T, 1> pieces;
    const i64 down = (n + TILE - 1) / TILE, across = (k + TILE - 1) / TILE, draw = blockIdx.x / (down * across);
    const i64 i = blockIdx.x / across % down, j = blockIdx.x % across;
    if (lower && j > i) return;
    T sums[1][EACH][EACH] = {};
    A += draw * of_A.draw;
    B += draw * of_B.draw;
    add_product(pieces, A, of_A, i * TILE, n, B, of_B, j * TILE, k, 0, c, sums);
    for (int u = 0; u < EACH; ++u)
        for (int v = 0; v < EACH; ++v) {
            const i64 row = i * TILE + threadIdx.y * EACH + u, column = j * TILE + threadIdx.x * EACH + v;
            if (row >= n || column >= k) continue;
            T& entry = out[(draw * n + row) * k + column];
            entry = add ? entry + sums[0][u][v] : sums[0][u][v];
        }
}

// ---------------------------------------------------------------------------------------------------------------------
// Sums over pairs of samples, without a Gram matrix in memory

// What a block sums over: a draw, and a pair of tiles of samples i >= j; pairs of samples below the diagonal count twice.
struct Place {
    i64 draw;
    int i, j;  // a grid has fewer than 2^31 blocks, so these and the samples' numbers are small

    __device__ explicit Place(i64 pairs) : draw(blockIdx.x / pairs), i(0), j(blockIdx.x % pairs)
    {
        while (j > i) j -= ++i;  // the pairs (0, 0), (1, 0), (1, 1), (2, 0) and so on
    }

    // How often a pair of this thread's samples counts in sums over all pairs of n.
    __device__ int times(int u, int v, i64 n) const
    {
        const int a = i * TILE + threadIdx.y * EACH + u, b = j * TILE + threadIdx.x * EACH + v;
        return a < n && b < n ? (a > b) + (a >= b) : 0;
    }
};

// partial[draw, kind, pair of tiles] = the sum of sums[kind] over the threads of the block.
template <int KINDS>
__device__ void put_sums(const double sums[KINDS], double* partial, i64 pairs)
{
    constexpr int WARPS = SIDE * SIDE / WARP;
    __shared__ double of_warp[KINDS][WARPS];
    const int thread = threadIdx.y * SIDE + threadIdx.x;
#pragma unroll
    for (int kind = 0; kind < KINDS; ++kind) {
        const double sum = reduce(sums[kind], WARP, Sum());
        if (thread % WARP == 0) of_warp[kind][thread / WARP] = sum;
    }
    __syncthreads();
    if (thread < KINDS) {
        double sum = 0;
        for (int warp = 0; warp < WARPS; ++warp) sum += of_warp[thread][warp];
        partial[(blockIdx.x / pairs * KINDS + thread) * pairs + blockIdx.x % pairs] = sum;
    }
}

// Of samples X (n, d) and A (n, c), with K = (X X^T)^2 by entry: the sums of K*(A A^T), for the first columns of A, and
// for those from `first` on.
template <class T>
__device__ void quadratic_sums(const T* __restrict__ X, const T* __restrict__ A, i64 n, i64 c, i64 d, i64 first,
                               i64 pairs, double* __restrict__ partial)
{
    __shared__ Pieces<T, 1> pieces;
    const Place at(pairs);
    X += at.draw * n * d;
    A += at.draw * n * c;
    const int top = at.i * TILE, left = at.j * TILE;
    const i64 ends[3] = {0, first, c};
    const Layout of_X = {0, d, 1}, of_A = {0, c, 1};
    T gram[1][EACH][EACH] = {};
    add_product(pieces, X, of_X, top, n, X, of_X, left, n, 0, d, gram);
    double sums[2] = {0, 0};
#pragma unroll  // so that sums and ends stand in registers
    for (int kind = 0; kind < 2; ++kind) {
        T products[1][EACH][EACH] = {};
        add_product(pieces, A, of_A, top, n, A, of_A, left, n, ends[kind], ends[kind + 1], products);
#pragma unroll
        for (int u = 0; u < EACH; ++u)
#pragma unroll
            for (int v = 0; v < EACH; ++v) {
                const double k = gram[0][u][v];
                sums[kind] += k * k * at.times(u, v, n) * products[0][u][v];
            }
    }
    put_sums<2>(sums, partial, pairs);
}

// One entry of P, Q and S. 1 - p is exact where p is near 1, and so Q keeps its digits.
template <class T>
__device__ void put_weights(T part[3][Pieces<T, 3>::STEP][TILE + PAD], int step, int sample, T p)
{
    part[0][step][sample] = p;
    part[1][step][sample] = p * (1 - p);
    part[2][step][sample] = p * p;
}

// Of samples X (n, d) and E (n, c), with P = E * inverse[row], Q = P - P*P and S = P*P: the sums of K*(Q Q^T),
// K*(P P^T)^2 and K*(S S^T). `repeats` draws of E, one after the other, have the same X.
template <class T>
__device__ void pair_sums(const T* __restrict__ X, const T* __restrict__ E, const T* __restrict__ inverse, i64 repeats,
                          i64 n, i64 c, i64 d, i64 pairs, double* __restrict__ partial)
{
    constexpr int STEP = Pieces<T, 3>::STEP;
    __shared__ Pieces<T, 3> pieces;
    const Place at(pairs);
    X += at.draw / repeats * n * d;
    E += at.draw * n * c;
    inverse += at.draw * n;
    const Layout of_X = {0, d, 1};
    T gram[1][EACH][EACH] = {}, products[3][EACH][EACH] = {};
    add_product(pieces, X, of_X, at.i * TILE, n, X, of_X, at.j * TILE, n, 0, d, gram);
    for (i64 from = 0; from < c; from += STEP) {
        for (int entry = threadIdx.y * SIDE + threadIdx.x; entry < TILE * STEP; entry += SIDE * SIDE) {
            const int sample = entry / STEP, step = entry % STEP;
            const i64 a = at.i * TILE + sample, b = at.j * TILE + sample, column = from + step;
            put_weights<T>(pieces.left, step, sample, a < n && column < c ? E[a * c + column] * inverse[a] : T(0));
            put_weights<T>(pieces.right, step, sample, b < n && column < c ? E[b * c + column] * inverse[b] : T(0));
        }
        __syncthreads();
        add_pieces<T, 3>(pieces, products);
        __syncthreads();
    }
    double sums[3] = {0, 0, 0};
#pragma unroll
    for (int u = 0; u < EACH; ++u)
#pragma unroll
        for (int v = 0; v < EACH; ++v) {
            const double k = gram[0][u][v], p = products[0][u][v], weight = k * k * at.times(u, v, n);
            sums[0] += weight * products[1][u][v];
            sums[1] += weight * (p * p);
            sums[2] += weight * products[2][u][v];
        }
    put_sums<3>(sums, partial, pairs);
}

// ---------------------------------------------------------------------------------------------------------------------
// Names that gpu_tiles.py can ask for

// With 1 block on a multiprocessor asked for, the compiler keeps all sums in registers; it would spill some to fit more.

#define TILES_FOR(T)                                                                                                   \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS)                                                          \
        products_##T(const T* A, const T* B, T* out, Layout of_A, Layout of_B, i64 n, i64 k, i64 c, int add, int lower) \
    {                                                                                                                  \
        products(A, B, out, of_A, of_B, n, k, c, add, lower);                                                          \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS)                                                          \
        quadratic_sums_##T(const T* X, const T* A, i64 n, i64 c, i64 d, i64 first, i64 pairs, double* partial)         \
    {                                                                                                                  \
        quadratic_sums(X, A, n, c, d, first, pairs, partial);                                                          \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1)                                                       \
        pair_sums_##T(const T* X, const T* E, const T* inverse, i64 repeats, i64 n, i64 c, i64 d, i64 pairs,           \
                      double* partial)                                                                                 \
    {                                                                                                                  \
        pair_sums(X, E, inverse, repeats, n, c, d, pairs, partial);                                                    \
    }

TILES_FOR(float)
TILES_FOR(double)
