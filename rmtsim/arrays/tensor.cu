// The kernels of rmtsim/arrays/tensor_cores.py: Gram matrices on tensor cores. NVRTC compiles them by themselves.
//
// Tensor cores multiply numbers of 8 bits (bfloat16), so x is taken as b1 + b2, which has 16 of float's 24; a product is
// then b1 b1 + b1 b2 + b2 b1. What is left out, b2 b2, is noise, except on the diagonal of a Gram matrix, where it is a
// square.
//
// They cut off what does not fit into a sum, so that long sums of positive numbers are too small. So no sum there has more
// than SHORT_RUN columns; the sums of these are added by rounding.

typedef unsigned int u32;
typedef long long i64;

constexpr int WARP = 32, THREADS = 256, SIDE = 128;  // threads of a block, and rows of its tile; as in tensor_cores.py
constexpr int SHORT_RUN = 128;                       // columns
constexpr int WORDS = 16;                            // of two columns each, in a piece of the columns
constexpr int GROUP = 4, ROWS = 16, WIDTH = 8;       // of an mma: threads that share a row, and what its tile has
constexpr int DEPTH = 8;                             // words of two columns in an mma
constexpr int DOWN = 4, ACROSS = 4;                  // tiles of an mma in a warp's share of a block's tile
constexpr int WARPS_ACROSS = SIDE / (ACROSS * WIDTH);

#ifndef mma_bf16  // the emulator has its own
// sums += A B, for a tile of 16 x 8: a warp has A (16 x 16) by rows and B (16 x 8) by columns, two columns or rows in a
// word. Which thread has what stands in the PTX ISA under mma.m16n8k16.
__device__ inline void mma_bf16(float sums[4], const u32 a[4], const u32 b[2])
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    asm("trap;");  // tensor_cores.py asks for sm_80
#endif
}
#endif

// The upper half of the bits of x, rounded to the nearest even: bfloat16.
__device__ inline u32 upper_half(float x)
{
    if (!(x - x == 0)) return (u32)__float_as_int(x) >> 16 | 0x40;  // NaN: rounding it could give 0
    const u32 bits = (u32)__float_as_int(x);
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

struct Halves {  // b1 and b2 of pieces of the columns of both tiles, two columns in a word
    u32 left[2][SIDE][WORDS + GROUP], right[2][SIDE][WORDS + GROUP];  // 8 rows of 4 words then lie in 32 banks
};

__device__ inline void put_halves(u32 part[2][SIDE][WORDS + GROUP], int sample, int word, float even, float odd)
{
    const u32 b1[2] = {upper_half(even), upper_half(odd)};
    const u32 b2[2] = {upper_half(even - __int_as_float((int)(b1[0] << 16))),
                       upper_half(odd - __int_as_float((int)(b1[1] << 16)))};
    part[0][sample][word] = b1[0] | b1[1] << 16;
    part[1][sample][word] = b2[0] | b2[1] << 16;
}

struct Lane {  // of a warp: the first row and column that its threads have in a block's tile, and its own of them
    int row, column, group, place;

    __device__ Lane()
    {
        const int thread = threadIdx.x, warp = thread / WARP;
        row = warp / WARPS_ACROSS * DOWN * ROWS;
        column = warp % WARPS_ACROSS * ACROSS * WIDTH;
        group = thread % WARP / GROUP;
        place = thread % GROUP;
    }

    // Where entry e of tile (u, v) of an mma lies in the block's tile.
    __device__ int row_of(int u, int e) const { return row + u * ROWS + e / 2 * ROWS / 2 + group; }
    __device__ int column_of(int v, int e) const { return column + v * WIDTH + 2 * place + e % 2; }
};

struct Rows {  // of a matrix of some columns, from one on
    const float* first;
    int count, columns;

    __device__ float operator()(int row, int column, int to) const
    {
        return row < count && column < to ? first[(i64)row * columns + column] : 0.0f;
    }
};

// run += the products of rows of both sides over the columns from `from` to `to`; b2 b2 with `square`.
__device__ inline void add_short_run(Halves& halves, const Lane& lane, const Rows& left, const Rows& right, int from,
                                     int to, bool square, float run[DOWN][ACROSS][4])
{
    for (; from < to; from += 2 * WORDS) {
        for (int entry = threadIdx.x; entry < SIDE * WORDS; entry += THREADS) {
            const int row = entry / WORDS, word = entry % WORDS, even = from + 2 * word, odd = even + 1;
            put_halves(halves.left, row, word, left(row, even, to), left(row, odd, to));
            put_halves(halves.right, row, word, right(row, even, to), right(row, odd, to));
        }
        __syncthreads();
#pragma unroll
        for (int step = lane.place; step < WORDS; step += DEPTH) {
            u32 b[2][ACROSS][2];
#pragma unroll
            for (int half = 0; half < 2; ++half)
#pragma unroll
                for (int v = 0; v < ACROSS; ++v) {
                    const u32* const words = halves.right[half][lane.column + v * WIDTH + lane.group];
                    b[half][v][0] = words[step];
                    b[half][v][1] = words[step + GROUP];
                }
#pragma unroll
            for (int u = 0; u < DOWN; ++u) {
                u32 a[2][4];
#pragma unroll
                for (int half = 0; half < 2; ++half)
#pragma unroll
                    for (int e = 0; e < 4; ++e)
                        a[half][e] = halves.left[half][lane.row_of(u, e % 2 * 2)][step + e / 2 * GROUP];
#pragma unroll
                for (int v = 0; v < ACROSS; ++v) {  // the small ones first
                    if (square) mma_bf16(run[u][v], a[1], b[1][v]);
                    mma_bf16(run[u][v], a[1], b[0][v]);
                    mma_bf16(run[u][v], a[0], b[1][v]);
                    mma_bf16(run[u][v], a[0], b[0][v]);
                }
            }
        }
        __syncthreads();
    }
}

// totals (draws, slices, n, k) += A B^T, over a slice of the columns of A (draws, n, c) and B (draws, k, c) each. With
// `lower`, A is B, and only the lower triangle is defined. A block makes a tile of a slice.
extern "C" __global__ void __launch_bounds__(THREADS)
    tensor_grams_float(const float* A, const float* B, float* totals, i64 n, i64 k, i64 c, i64 slices, int lower)
{
    __shared__ Halves halves;
    const int down = (int)((n + SIDE - 1) / SIDE), across = (int)((k + SIDE - 1) / SIDE);
    const int tiles = lower ? down * (down + 1) / 2 : down * across, length = (int)((c + slices - 1) / slices);
    int i = 0, j = blockIdx.x % tiles;
    if (lower)
        while (j > i) j -= ++i;  // the tiles (0, 0), (1, 0), (1, 1), (2, 0) and so on
    else {
        i = j / across;
        j %= across;
    }
    const i64 part = blockIdx.x / tiles, draw = part / slices, top = (i64)i * SIDE, first = (i64)j * SIDE;
    const int begin = (int)(part % slices) * length, end = begin + length < c ? begin + length : (int)c;
    const Rows left = {A + (draw * n + top) * c, (int)(n - top), (int)c};
    const Rows right = {B + (draw * k + first) * c, (int)(k - first), (int)c};
    const Lane lane;
    float sums[DOWN][ACROSS][4] = {};
    for (int from = begin; from < end; from += SHORT_RUN) {
        float run[DOWN][ACROSS][4] = {};
        const int to = from + SHORT_RUN < end ? from + SHORT_RUN : end;
        add_short_run(halves, lane, left, right, from, to, lower && i == j, run);
#pragma unroll
        for (int u = 0; u < DOWN; ++u)
#pragma unroll
            for (int v = 0; v < ACROSS; ++v)
#pragma unroll
                for (int e = 0; e < 4; ++e) sums[u][v][e] += run[u][v][e];
    }
    totals += part * n * k;
#pragma unroll
    for (int u = 0; u < DOWN; ++u)
#pragma unroll
        for (int v = 0; v < ACROSS; ++v)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const i64 row = top + lane.row_of(u, e), column = first + lane.column_of(v, e);
                if (row < n && column < k) totals[row * k + column] += sums[u][v][e];
            }
}
