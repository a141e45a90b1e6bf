// The kernels of rmtsim/arrays/gpu_chunks.py, compiled after tiles.cu: sums over classes that come chunk by chunk. They
// stay on the device from one chunk to the next; a chunk adds to each of them by one block, so that their order, and
// with it all bits, depends on the sizes of a draw alone.

constexpr int LONG_RUN = 512;  // columns that are added up in registers

// A thread's and a block's share of a large product: 8 x 8 of 128 x 128 entries, or 4 x 4 of 64 x 64 in double; as in
// gpu_chunks.py.
template <class T> constexpr int WIDE = sizeof(T) == 4 ? 2 * EACH : EACH;
template <class T> constexpr int BROAD = SIDE * WIDE<T>;

// Where entry u of a thread lies in a block's tile: neighbouring threads have neighbouring groups of EACH.
__device__ inline int place(int thread, int u) { return u / EACH * TILE + thread * EACH + u % EACH; }

template <class T>
struct Columns {  // pieces of the columns of both tiles
    static constexpr int STEP = Pieces<T, 1>::STEP;
    T left[STEP][BROAD<T> + PAD], right[STEP][BROAD<T> + PAD];
};

// What a block makes: tile (i, j) of a product of a batch, over one of several slices of its columns. Blocks are
// numbered by batch, slice and tile; with `lower`, only tiles i >= j are there.
template <class T>
struct Part {
    i64 batch;
    int slice, i, j, from, to;  // the samples of a tile and the classes of a chunk are few

    __device__ Part(int n, int k, int c, int slices, int lower)
    {
        const int down = (n + BROAD<T> - 1) / BROAD<T>, across = (k + BROAD<T> - 1) / BROAD<T>;
        const int tiles = lower ? down * (down + 1) / 2 : down * across, length = (c + slices - 1) / slices;
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

// run = the products of rows `top` to n of `left` and `first` to k of `right`, over the columns from `from` to `to`.
// While a piece of the columns is multiplied, the next is under way from memory.
template <class T, class Left, class Right>
__device__ void make_run(Columns<T>& columns, int top, int n, const Left& left, int first, int k, const Right& right,
                         int from, int to, T run[WIDE<T>][WIDE<T>])
{
    constexpr int STEP = Columns<T>::STEP, MINE = BROAD<T> * STEP / (SIDE * SIDE), ROWS = SIDE * SIDE / STEP;
    const int thread = threadIdx.y * SIDE + threadIdx.x, sample = thread / STEP, step = thread % STEP;
    T ahead[2][MINE];
    const auto load = [&](int column) {
#pragma unroll
        for (int entry = 0; entry < MINE; ++entry) {
            const int a = top + sample + entry * ROWS, b = first + sample + entry * ROWS;
            ahead[0][entry] = a < n && column < to ? left(a, column) : T(0);
            ahead[1][entry] = b < k && column < to ? right(b, column) : T(0);
        }
    };
    load(from + step);
    for (; from < to; from += STEP) {
#pragma unroll
        for (int entry = 0; entry < MINE; ++entry) {
            columns.left[step][sample + entry * ROWS] = ahead[0][entry];
            columns.right[step][sample + entry * ROWS] = ahead[1][entry];
        }
        __syncthreads();
        if (from + STEP < to) load(from + STEP + step);
#pragma unroll 2
        for (int now = 0; now < STEP; ++now) {
            T a[WIDE<T>], b[WIDE<T>];
#pragma unroll
            for (int u = 0; u < WIDE<T>; ++u) {
                a[u] = columns.left[now][place(threadIdx.y, u)];
                b[u] = columns.right[now][place(threadIdx.x, u)];
            }
#pragma unroll
            for (int u = 0; u < WIDE<T>; ++u)
#pragma unroll
                for (int v = 0; v < WIDE<T>; ++v) run[u][v] += a[u] * b[v];
        }
        __syncthreads();
    }
}

// Calls use(row, column, entry) for the entries of a thread of the product of `left` (n rows) and `right` (k rows), for
// each run of columns anew: a use adds up what the runs give.
template <class T, class Left, class Right, class Use>
__device__ void for_each_entry(const Part<T>& at, int n, const Left& left, int k, const Right& right, const Use& use)
{
    __shared__ Columns<T> columns;
    const int top = at.i * BROAD<T>, first = at.j * BROAD<T>;
    for (int from = at.from; from < at.to; from += LONG_RUN) {
        T run[WIDE<T>][WIDE<T>] = {};
        make_run(columns, top, n, left, first, k, right, from, from + LONG_RUN < at.to ? from + LONG_RUN : at.to, run);
#pragma unroll
        for (int u = 0; u < WIDE<T>; ++u)
#pragma unroll
            for (int v = 0; v < WIDE<T>; ++v) {
                const int row = top + place(threadIdx.y, u), column = first + place(threadIdx.x, v);
                if (row < n && column < k) use(row, column, run[u][v]);
            }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Gram matrices

template <class T>
struct Plain {  // entries of a matrix
    const T* M;
    int columns;

    __device__ T operator()(int row, int column) const { return M[(i64)row * columns + column]; }
};

// totals (draws, slices, n, k) += A B^T, over a slice of the columns of A (draws, n, c) and B (draws, k, c) each. With
// `lower`, A is B, and only the lower triangle is defined.
template <class T>
__device__ void grams(const T* __restrict__ A, const T* __restrict__ B, T* totals, i64 n, i64 k, i64 c, i64 slices,
                      int lower)
{
    const Part<T> at(n, k, c, slices, lower);
    const Plain<T> left = {A + at.batch * n * c, (int)c}, right = {B + at.batch * k * c, (int)c};
    totals += (at.batch * slices + at.slice) * n * k;
    for_each_entry(at, n, left, k, right,
                   [&](int row, int column, T entry) { totals[(i64)row * k + column] += entry; });
}

// ---------------------------------------------------------------------------------------------------------------------
// Moments

// Rows of V (classes, m) as columns of their entries, and then of the products of two of them.
template <class T>
struct Products {
    const T* V;
    const i64 *i, *j;
    int m;

    __device__ T operator()(int row, int column) const
    {
        const T* const v = V + (i64)column * m;
        return row < m ? v[row] : v[i[row - m]] * v[j[row - m]];
    }
};

// totals (draws, slices, N, width) += E [V, V_i V_j], over a slice of the classes each: E (draws, n, c) has the samples
// from `start` on, V is (draws, c, m), and i and j have width - m entries.
template <class T>
__device__ void moments(const T* __restrict__ E, const T* __restrict__ V, const i64* __restrict__ i,
                        const i64* __restrict__ j, double* totals, i64 n, i64 N, i64 start, i64 c, i64 m, i64 width,
                        i64 slices)
{
    const Part<T> at(n, width, c, slices, 0);
    const Plain<T> left = {E + at.batch * n * c, (int)c};
    const Products<T> right = {V + at.batch * c * m, i, j, (int)m};
    totals += ((at.batch * slices + at.slice) * N + start) * width;
    for_each_entry(at, n, left, width, right,
                   [&](int row, int column, T entry) { totals[(i64)row * width + column] += entry; });
}

// sums[0] and sums[1] of a row += the sums of E^3 and E^4 over its columns. E has n samples of each draw, from `start`
// on of N; a warp has a row.
template <class T>
__device__ void row_powers(const T* __restrict__ E, i64 rows, i64 columns, i64 n, i64 N, i64 start,
                           double* __restrict__ sums)
{
    const i64 row = (i64)blockIdx.x * blockDim.y + threadIdx.y;
    double cubes = 0, fourths = 0;
    if (row < rows)  // no early return: reduce() needs all threads
#pragma unroll AHEAD
        for (i64 column = threadIdx.x; column < columns; column += WARP) {
            const double e = E[row * columns + column], square = e * e;
            cubes += square * e;
            fourths += square * square;
        }
    cubes = reduce(cubes, WARP, Sum());
    fourths = reduce(fourths, WARP, Sum());
    if (row >= rows || threadIdx.x) return;
    double* const found = sums + 2 * (row / n * N + start + row % n);
    found[0] += cubes;
    found[1] += fourths;
}

// ---------------------------------------------------------------------------------------------------------------------
// Diagonal blocks of the last layer

// What makes P = E * inverse of a draw's samples: of the class with the number `leading`, 1 - P is `rest`.
template <class T>
struct Probabilities {
    const T *inverse, *rest;
    const i64* leading;
    i64 start;  // number of the chunk's first class
    int columns;
    bool squares;
};

// P*P, or P*(1 - P), of a tile's samples, which begin at number `top`.
template <class T>
struct Weights {
    const Probabilities<T>& of;
    const T* E;
    i64 top;

    __device__ T operator()(int row, int column) const
    {
        const i64 sample = top + row;
        const T p = E[(i64)row * of.columns + column] * of.inverse[sample];
        if (of.squares) return p * p;
        return p * (of.leading[sample] == of.start + column ? of.rest[sample] : 1 - p);  // exact where p is near 1
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
    const Part<T> at(n, k, c, slices, lower);
    const i64 draw = at.batch / 2;
    const Probabilities<T> of = {inverse + draw * N, rest + draw * N, leading + draw * N, start, (int)c, at.batch % 2 == 1};
    const Weights<T> left = {of, left_E + draw * n * c, left_start}, right = {of, right_E + draw * k * c, right_start};
    K += draw / repeats * n * k;
    double sum = 0;
    for_each_entry(at, n, left, k, right,
                   [&](int row, int column, T entry) { sum += (double)K[(i64)row * k + column] * entry; });
    sum = reduce(sum, SIDE * SIDE, Sum());
    if (threadIdx.x == 0 && threadIdx.y == 0) partial[blockIdx.x] = add ? partial[blockIdx.x] + sum : sum;
}

// ---------------------------------------------------------------------------------------------------------------------
// Names that gpu_chunks.py can ask for

// With 1 block on a multiprocessor asked for, the compiler keeps all sums in registers; it would spill some to fit more.

#define CHUNKS_FOR(T)                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1)                                                       \
        grams_##T(const T* A, const T* B, T* totals, i64 n, i64 k, i64 c, i64 slices, int lower)                       \
    {                                                                                                                  \
        grams(A, B, totals, n, k, c, slices, lower);                                                                   \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1)                                                       \
        moments_##T(const T* E, const T* V, const i64* i, const i64* j, double* totals, i64 n, i64 N, i64 start, i64 c, \
                    i64 m, i64 width, i64 slices)                                                                      \
    {                                                                                                                  \
        moments(E, V, i, j, totals, n, N, start, c, m, width, slices);                                                 \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1)                                                       \
        row_powers_##T(const T* E, i64 rows, i64 columns, i64 n, i64 N, i64 start, double* sums)                       \
    {                                                                                                                  \
        row_powers(E, rows, columns, n, N, start, sums);                                                               \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1)                                                       \
        diagonal_sums_##T(const T* K, const T* left_E, const T* right_E, const T* inverse, const T* rest,              \
                          const i64* leading, i64 repeats, i64 N, i64 left_start, i64 n, i64 right_start, i64 k,       \
                          i64 c, i64 start, i64 slices, int lower, int add, double* partial)                           \
    {                                                                                                                  \
        diagonal_sums(K, left_E, right_E, inverse, rest, leading, repeats, N, left_start, n, right_start, k, c, start, \
                      slices, lower, add, partial);                                                                    \
    }

CHUNKS_FOR(float)
CHUNKS_FOR(double)
