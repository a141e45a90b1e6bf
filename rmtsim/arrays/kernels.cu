// The kernels of rmtsim/arrays/gpu.py. NVRTC compiles them with tiles.cu after them, so nothing is included.
//
// Every kernel is an instance, for float and for double, of a template of the same name; matrices are row-major and
// contiguous, batches of them too. Sums are made in double and in an order that the shape of one matrix fixes: no
// atomics, so a draw's value has the same bits in every run and in a batch of any size.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

constexpr int WARP = 32;
constexpr int MAX_THREADS = 256;  // of a block; as in gpu.py
constexpr int MAX_STREAMS = 64;   // of a launch of normals; as in gpu.py
constexpr int AHEAD = 4;          // entries that a thread loads before it uses them: more bytes are under way

// ---------------------------------------------------------------------------------------------------------------------
// Normals

// Philox4x32-10 (Salmon et al. 2011); x is the counter and becomes the random words. Twin: rmtsim/arrays/philox.py.
__device__ inline void philox4x32(u32 x[4], u32 key0, u32 key1)
{
#pragma unroll
    for (int turn = 0; turn < 10; ++turn) {
        const u64 first = 0xD2511F53ull * x[0], second = 0xCD9E8D57ull * x[2];
        x[0] = (u32)(second >> 32) ^ x[1] ^ key0;
        x[1] = (u32)second;
        x[2] = (u32)(first >> 32) ^ x[3] ^ key1;
        x[3] = (u32)first;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

struct Names {  // of streams: two words of the key, and the upper two of the counter
    u32 words[MAX_STREAMS][4];
};

// out[stream, i] = scale * (normal number start + i) of the stream, for start + i < stop; blockIdx.y is the stream. A
// thread makes pairs, by Box-Muller.
template <class T>
__device__ void normals(T* out, i64 start, i64 stop, const Names& names, double scale)
{
    const u32* const name = names.words[blockIdx.y];
    const i64 threads = (i64)gridDim.x * blockDim.x;
    out += blockIdx.y * (stop - start);
    for (i64 pair = start / 2 + (i64)blockIdx.x * blockDim.x + threadIdx.x; 2 * pair < stop; pair += threads) {
        u32 x[4] = {(u32)pair, (u32)(pair >> 32), name[2], name[3]};
        philox4x32(x, name[0], name[1]);
        const u64 bits1 = ((u64)x[0] << 32 | x[1]) >> 11, bits2 = ((u64)x[2] << 32 | x[3]) >> 11;
        const double radius = sqrt(-2.0 * log((double)(bits1 + 1) * 0x1p-53));  // of u in (0, 1]
        double sine, cosine;
        sincospi((double)bits2 * 0x1p-52, &sine, &cosine);  // twice a u in [0, 1), exactly
        if (2 * pair >= start) out[2 * pair - start] = (T)(scale * (radius * cosine));
        if (2 * pair + 1 < stop) out[2 * pair + 1 - start] = (T)(scale * (radius * sine));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Reductions

struct Sum {
    template <class T> __device__ T operator()(T a, T b) const { return a + b; }
};

struct Highest {
    template <class T> __device__ T operator()(T a, T b) const { return b > a ? b : a; }
};

// Reduces over `lanes` neighbouring threads, which all get the result: a power of two up to WARP, or else the whole
// block. All threads of a block must call it, and once only for each type and operation.
template <class T, class Operation>
__device__ T reduce(T value, int lanes, Operation combine)
{
    for (int distance = (lanes < WARP ? lanes : WARP) / 2; distance > 0; distance /= 2)
        value = combine(value, __shfl_xor_sync(0xFFFFFFFFu, value, distance));
    if (lanes <= WARP) return value;
    __shared__ T of_warp[MAX_THREADS / WARP];
    const int thread = threadIdx.y * blockDim.x + threadIdx.x, warps = blockDim.x * blockDim.y / WARP;
    if (thread % WARP == 0) of_warp[thread / WARP] = value;
    __syncthreads();
    value = of_warp[0];
    for (int warp = 1; warp < warps; ++warp) value = combine(value, of_warp[warp]);
    return value;
}

// ---------------------------------------------------------------------------------------------------------------------
// Softmax

// L (rows, columns) becomes exp(L - shift); sums is the sum of what is stored, highest the maximum of what was there,
// or with `add` those of what was in them before, too. L has n samples of each draw; of N samples that the other arrays
// have, they begin at number `start`. A block has blockDim.y rows; blockDim.x threads share one, a power of two up to WARP
// or all of them.
template <class T>
__device__ void exponentials(T* L, const T* __restrict__ shift, double* __restrict__ sums, T* __restrict__ highest,
                             i64 rows, i64 columns, i64 n, i64 N, i64 start, int add)
{
    const i64 row = (i64)blockIdx.x * blockDim.y + threadIdx.y, step = blockDim.x, at = row / n * N + start + row % n;
    double sum = 0;
    T top = (T)__int_as_float(0xFF800000);  // -infinity
    if (row < rows) {  // no early return: reduce() needs all threads
        T* const entries = L + row * columns;
        const T down = shift[at];
        for (i64 first = threadIdx.x; first < columns; first += AHEAD * step) {
            T x[AHEAD];  // the compiler cannot move loads above stores to the same row, so they are written first
#pragma unroll
            for (int i = 0; i < AHEAD; ++i)
                if (first + i * step < columns) x[i] = entries[first + i * step];
#pragma unroll
            for (int i = 0; i < AHEAD; ++i)
                if (first + i * step < columns) {
                    const T e = exp(x[i] - down);
                    entries[first + i * step] = e;
                    sum += (double)e;
                    top = Highest()(top, x[i]);
                }
        }
    }
    sum = reduce(sum, blockDim.x, Sum());
    top = reduce(top, blockDim.x, Highest());
    if (row < rows && threadIdx.x == 0) {
        sums[at] = add ? sums[at] + sum : sum;
        highest[at] = add ? Highest()(highest[at], top) : top;
    }
}

// With P = E * inverse[row]: S = P*P and Q = P - S. In double throughout, so that Q keeps its digits in float too.
template <class T>
__device__ void diagonal_weights(const T* __restrict__ E, const double* __restrict__ inverse, T* __restrict__ Q,
                                 T* __restrict__ S, i64 rows, i64 columns)
{
    const i64 row_step = (i64)gridDim.x * blockDim.y, step = (i64)gridDim.y * blockDim.x;
    for (i64 row = (i64)blockIdx.x * blockDim.y + threadIdx.y; row < rows; row += row_step) {
        const double factor = inverse[row];
#pragma unroll AHEAD
        for (i64 column = (i64)blockIdx.y * blockDim.x + threadIdx.x; column < columns; column += step) {
            const double p = (double)E[row * columns + column] * factor, square = p * p;
            S[row * columns + column] = (T)square;
            Q[row * columns + column] = (T)(p - square);
        }
    }
}

// out[row, k] = A[row, left[k]] * B[row, right[k]] * scale[k], for A and B (rows, m) and k < count. A thread has entries.
template <class T>
__device__ void column_products(const T* __restrict__ A, const T* __restrict__ B, const i64* __restrict__ left,
                                const i64* __restrict__ right, const T* __restrict__ scale, T* __restrict__ out,
                                i64 rows, i64 m, i64 count)
{
    const i64 threads = (i64)gridDim.x * blockDim.x;
    for (i64 entry = (i64)blockIdx.x * blockDim.x + threadIdx.x; entry < rows * count; entry += threads) {
        const i64 row = entry / count * m, k = entry % count;
        out[entry] = A[row + left[k]] * B[row + right[k]] * scale[k];
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Weighted sums

// K (count, n, n) becomes what stands in sums over all pairs of n samples, of which it has the lower triangle: 2K below
// the diagonal, K on it and 0 above. A block has rows of one matrix.
template <class T>
__device__ void pair_weights(T* K, i64 n, i64 count)
{
    const i64 rows = count * n;
    for (i64 row = (i64)blockIdx.x * blockDim.y + threadIdx.y; row < rows; row += (i64)gridDim.x * blockDim.y)
        for (i64 column = threadIdx.x; column < n; column += blockDim.x) {
            const i64 below = row % n - column;
            K[row * n + column] *= below > 0 ? T(2) : below == 0 ? T(1) : T(0);
        }
}

// partial[draw, part] = the sum of K*(G*left right^T)^power, by entry, over the share that `part` of `parts` blocks has
// of a draw's n x k entries: every parts-th group of blockDim.y rows. `repeats` draws of G, one after the other, have
// the same K.
template <class T>
__device__ void weighted_sum(const T* __restrict__ K, const T* __restrict__ G, const double* __restrict__ left,
                             const double* __restrict__ right, int power, i64 repeats, i64 n, i64 k,
                             i64 parts, double* __restrict__ partial)
{
    const i64 draw = blockIdx.x / parts, part = blockIdx.x % parts;
    K += draw / repeats * n * k;
    G += draw * n * k;
    left += draw * n;
    right += draw * k;
    double sum = 0;
    for (i64 row = part * blockDim.y + threadIdx.y; row < n; row += parts * blockDim.y) {
        const double of_row = left[row];
#pragma unroll AHEAD
        for (i64 column = threadIdx.x; column < k; column += blockDim.x) {
            const double scaled = (double)G[row * k + column] * of_row * right[column];
            sum += (double)K[row * k + column] * (power == 2 ? scaled * scaled : scaled);
        }
    }
    sum = reduce(sum, blockDim.x * blockDim.y, Sum());
    if (threadIdx.x == 0 && threadIdx.y == 0) partial[blockIdx.x] = sum;
}

// ---------------------------------------------------------------------------------------------------------------------

// out[draw] = sum of partial[draw, :], a block a draw.
extern "C" __global__ void __launch_bounds__(MAX_THREADS) total_double(const double* partial, i64 parts, double* out)
{
    const i64 draw = blockIdx.x;
    double sum = 0;
    for (i64 part = threadIdx.x; part < parts; part += blockDim.x) sum += partial[draw * parts + part];
    sum = reduce(sum, blockDim.x, Sum());
    if (threadIdx.x == 0) out[draw] = sum;
}

// ---------------------------------------------------------------------------------------------------------------------
// Names that gpu.py can ask for

#define KERNELS_FOR(T)                                                                                                 \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS) normals_##T(                                             \
        T* out, i64 start, i64 stop, Names names, double scale)                                                        \
    {                                                                                                                  \
        normals(out, start, stop, names, scale);                                                                       \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS)                                                          \
        exponentials_##T(T* L, const T* shift, double* sums, T* highest, i64 rows, i64 columns, i64 n, i64 N,          \
                         i64 start, int add)                                                                           \
    {                                                                                                                  \
        exponentials(L, shift, sums, highest, rows, columns, n, N, start, add);                                        \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS)                                                          \
        diagonal_weights_##T(const T* E, const double* inverse, T* Q, T* S, i64 rows, i64 columns)                     \
    {                                                                                                                  \
        diagonal_weights(E, inverse, Q, S, rows, columns);                                                             \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS)                                                          \
        column_products_##T(const T* A, const T* B, const i64* left, const i64* right, const T* scale, T* out,         \
                            i64 rows, i64 m, i64 count)                                                                \
    {                                                                                                                  \
        column_products(A, B, left, right, scale, out, rows, m, count);                                                \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS) pair_weights_##T(T* K, i64 n, i64 count)                 \
    {                                                                                                                  \
        pair_weights(K, n, count);                                                                                     \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS)                                                          \
        weighted_sum_##T(const T* K, const T* G, const double* left, const double* right, int power, i64 repeats,      \
                         i64 n, i64 k, i64 parts, double* partial)                                                     \
    {                                                                                                                  \
        weighted_sum(K, G, left, right, power, repeats, n, k, parts, partial);                                         \
    }

KERNELS_FOR(float)
KERNELS_FOR(double)
