// The kernels of rmtsim/arrays/gpu_chunks.py, compiled after tiles.cu: sums over classes that come chunk by chunk. They
// stay on the device from one chunk to the next; a chunk adds to each of them by one block, so that their order, and
// with it all bits, depends on the sizes of a draw alone.

constexpr int WIDE = 2 * EACH, BROAD = SIDE * WIDE;  // a thread's and a block's share of a large product; as in gpu_chunks.py
constexpr i64 LONG_RUN = 512;                        // columns that are added up in registers

// Where entry u of a thread lies in a block's tile: neighbouring threads have neighbouring groups of EACH.
__device__ inline int place(int thread, int u) { return u / EACH * TILE + thread * EACH + u % EACH; }

template <class T>
struct Columns {  // pieces of the columns of both tiles
    static constexpr int STEP = Pieces<T, 1>::STEP;
    T left[STEP][BROAD + PAD], right[STEP][BROAD + PAD];
};

// What a block makes: tile (i, j) of a product of a batch, over one of several slices of its columns. Blocks are
// numbered by batch, slice and tile; with `lower`, only tiles i >= j are there.
struct Part {
    i64 batch, slice, i, j, from, to;

    __device__ Part(i64 n, i64 k, i64 c, i64 slices, int lower)
    {
        const i64 down = (n + BROAD - 1) / BROAD, across = (k + BROAD - 1) / BROAD;
        const i64 tiles = lower ? down * (down + 1) / 2 : down * across, length = (c + slices - 1) / slices;
        i = 0;
        j = blockIdx.x % tiles;
        if (lower)
            while (j > i) j -= ++i;  // the tiles (0, 0), (1, 0), (1, 1), (2, 0) and so on
        else {
            i = j / across;
            j %= across;
        }
        slice = blockIdx.x / tiles % slices;
        batch = blockIdx.x / tiles / slices;
        from = slice * length < c ? slice * length : c;
        to = from + length < c ? from + length : c;
    }
};

// run = the products of rows `top` to n of `left` and rows `first` to k of `right`, over the columns from `from` to `to`.
template <class T, class Entries>
__device__ void make_run(Columns<T>& columns, i64 top, i64 n, const Entries& left, i64 first, i64 k,
                         const Entries& right, i64 from, i64 to, T run[WIDE][WIDE])
{
    constexpr int STEP = Columns<T>::STEP;
    for (; from < to; from += STEP) {
        for (int entry = threadIdx.y * SIDE + threadIdx.x; entry < BROAD * STEP; entry += SIDE * SIDE) {
            const int sample = entry / STEP, step = entry % STEP;
            const i64 a = top + sample, b = first + sample, column = from + step;
            columns.left[step][sample] = a < n && column < to ? left(a, column) : T(0);
            columns.right[step][sample] = b < k && column < to ? right(b, column) : T(0);
        }
        __syncthreads();
#pragma unroll 2
        for (int step = 0; step < STEP; ++step) {
            T a[WIDE], b[WIDE];
#pragma unroll
            for (int u = 0; u < WIDE; ++u) {
                a[u] = columns.left[step][place(threadIdx.y, u)];
                b[u] = columns.right[step][place(threadIdx.x, u)];
            }
#pragma unroll
            for (int u = 0; u < WIDE; ++u)
#pragma unroll
                for (int v = 0; v < WIDE; ++v) run[u][v] += a[u] * b[v];
        }
        __syncthreads();
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Gram matrices

template <class T>
struct Plain {  // entries of a matrix
    const T* M;
    i64 columns;

    __device__ T operator()(i64 row, i64 column) const { return M[row * columns + column]; }
};

// totals (draws, slices, n, k) += A B^T, over a slice of the columns of A (draws, n, c) and B (draws, k, c) each. With
// `lower`, A is B, and only the lower triangle is defined.
template <class T>
__device__ void grams(const T* __restrict__ A, const T* __restrict__ B, T* totals, i64 n, i64 k, i64 c, i64 slices,
                      int lower)
{
    __shared__ Columns<T> columns;
    const Part at(n, k, c, slices, lower);
    const i64 top = at.i * BROAD, first = at.j * BROAD;
    const Plain<T> left = {A + at.batch * n * c, c}, right = {B + at.batch * k * c, c};
    totals += (at.batch * slices + at.slice) * n * k;
    for (i64 from = at.from; from < at.to; from += LONG_RUN) {
        T run[WIDE][WIDE] = {};
        make_run(columns, top, n, left, first, k, right, from, from + LONG_RUN < at.to ? from + LONG_RUN : at.to, run);
#pragma unroll
        for (int u = 0; u < WIDE; ++u)
#pragma unroll
            for (int v = 0; v < WIDE; ++v) {
                const i64 row = top + place(threadIdx.y, u), column = first + place(threadIdx.x, v);
                if (row < n && column < k) totals[row * k + column] += run[u][v];
            }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Diagonal blocks of the last layer

// With P = E * inverse[row]: P*(1 - P), or P*P. Where `leading` has the number of a class, 1 - P of that is `rest`.
template <class T>
struct Weights {
    const T *E, *inverse, *rest;
    const i64* leading;
    i64 columns, start;  // the chunk's classes, and the number of the first
    bool squares;

    __device__ T operator()(i64 row, i64 column) const
    {
        const T p = E[row * columns + column] * inverse[row];
        if (squares) return p * p;
        return p * (leading[row] == start + column ? rest[row] : 1 - p);  // 1 - p is exact where p is near 1
    }
};

// partial[draw, kind, slice, tile] (+)= the sum of K*(A B^T), by entry, over the slice of the chunk's classes: A and B
// have the weights of samples of two tiles, P*(1 - P) for kind 0 and P*P for kind 1. K (n, k) is what stands in sums over
// all pairs of samples; `repeats` draws of E, one after the other, have the same. The other arrays have all N samples.
template <class T>
__device__ void diagonal_sums(const T* __restrict__ K, const T* __restrict__ left_E, const T* __restrict__ right_E,
                              const T* __restrict__ inverse, const T* __restrict__ rest,
                              const i64* __restrict__ leading, i64 repeats, i64 N, i64 left_start, i64 n,
                              i64 right_start, i64 k, i64 c, i64 start, i64 slices, int lower, int add,
                              double* __restrict__ partial)
{
    __shared__ Columns<T> columns;
    const Part at(n, k, c, slices, lower);
    const i64 draw = at.batch / 2, top = at.i * BROAD, first = at.j * BROAD, a = draw * N + left_start,
              b = draw * N + right_start;
    const bool squares = at.batch % 2;
    const Weights<T> left = {left_E + draw * n * c, inverse + a, rest + a, leading + a, c, start, squares};
    const Weights<T> right = {right_E + draw * k * c, inverse + b, rest + b, leading + b, c, start, squares};
    K += draw / repeats * n * k;
    double sum = 0;
    for (i64 from = at.from; from < at.to; from += LONG_RUN) {
        T run[WIDE][WIDE] = {};
        make_run(columns, top, n, left, first, k, right, from, from + LONG_RUN < at.to ? from + LONG_RUN : at.to, run);
#pragma unroll
        for (int u = 0; u < WIDE; ++u)
#pragma unroll
            for (int v = 0; v < WIDE; ++v) {
                const i64 row = top + place(threadIdx.y, u), column = first + place(threadIdx.x, v);
                if (row < n && column < k) sum += (double)K[row * k + column] * run[u][v];
            }
    }
    sum = reduce(sum, SIDE * SIDE, Sum());
    if (threadIdx.x == 0 && threadIdx.y == 0) partial[blockIdx.x] = add ? partial[blockIdx.x] + sum : sum;
}

// ---------------------------------------------------------------------------------------------------------------------
// Names that gpu_chunks.py can ask for

#define CHUNKS_FOR(T)                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS)                                                          \
        grams_##T(const T* A, const T* B, T* totals, i64 n, i64 k, i64 c, i64 slices, int lower)                       \
    {                                                                                                                  \
        grams(A, B, totals, n, k, c, slices, lower);                                                                   \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS)                                                          \
        diagonal_sums_##T(const T* K, const T* left_E, const T* right_E, const T* inverse, const T* rest,              \
                          const i64* leading, i64 repeats, i64 N, i64 left_start, i64 n, i64 right_start, i64 k,       \
                          i64 c, i64 start, i64 slices, int lower, int add, double* partial)                           \
    {                                                                                                                  \
        diagonal_sums(K, left_E, right_E, inverse, rest, leading, repeats, N, left_start, n, right_start, k, c, start, \
                      slices, lower, add, partial);                                                                    \
    }

CHUNKS_FOR(float)
CHUNKS_FOR(double)
