// The kernel of the cross layer, compiled after tiles.cu; rmtsim/arrays/gpu_chunks.py asks for it. The sums are linear
// in the classes, so those of a chunk are added to those before, with no Gram matrix and no derivative in memory.

// What belongs to all samples, or to a sample and a neuron, by the samples' numbers over all draws; what depends on V, by
// their numbers over the V of each draw, too, and with softmax only.
template <class T>
struct Network {
    const T *slopes, *features;
    const i64* labels;
    const T *inverse, *centre, *rest, *excess;  // these depend on V
    const i64* leading;
    i64 start;  // number of the chunk's first class
    int c, m, softmax;
};

// The same for a tile of samples and one neuron, in shared memory. Classes are numbered within the chunk; others are -1.
template <class T>
struct Samples {
    T slope[TILE], feature[TILE], inverse[TILE], centre[TILE], rest[TILE], excess[TILE];
    int label[TILE], leading[TILE];

    // `sample` is its number over all draws, and `place` that over the V of each.
    __device__ void load(const Network<T>& of, int at, i64 sample, i64 place, int neuron)
    {
        const i64 own = of.labels[sample] - of.start;
        slope[at] = of.slopes[sample * of.m + neuron];
        feature[at] = of.features[sample * of.m + neuron];
        label[at] = own >= 0 && own < of.c ? (int)own : -1;
        leading[at] = -1;
        inverse[at] = 0;
        if (!of.softmax) return;
        const i64 first = of.leading[place] - of.start;
        leading[at] = first >= 0 && first < of.c ? (int)first : -1;
        inverse[at] = of.inverse[place];
        rest[at] = of.rest[place];
        centre[at] = of.centre[place * of.m + neuron];
        excess[at] = of.excess[place * of.m + neuron];
    }

    // w = r + u*f goes to part[0], u to part[1]: with softmax, of E and P = E * inverse, u = P*(v - centre) and r = P - y;
    // without, u = 2*v and r = 2*(output - y). For the leading class v - centre is `excess`, and P - 1 is -rest.
    __device__ void put(T part[2][Pieces<T, 2>::STEP][TILE + PAD], int step, int at, int column, bool there, T output,
                        T v, int softmax) const
    {
        const bool own = label[at] == column, careful = leading[at] == column;
        const T p = output * inverse[at], u = softmax ? p * (careful ? excess[at] : v - centre[at]) : 2 * v;
        const T r = softmax ? (careful && own ? -rest[at] : p - T(own)) : 2 * (output - T(own));
        part[0][step][at] = there ? r + u * feature[at] : T(0);
        part[1][step][at] = there ? u : T(0);
    }
};

// partial[draw, group, pair of tiles] (+)= the sum over a group of neurons i, the classes of a chunk and the pairs of
// samples of two tiles of G*(U U^T*(f f^T - f_i f_i^T) + W W^T), where G = s_i x.x s_i and products are by entry. X has d
// columns. The tiles have n and k of the N samples of a draw, from numbers `top` and `left` on, and V has the rows of the
// chunk; `repeats` V, one after the other, have the same samples. With `lower` the tiles are one, and pairs below the
// diagonal count twice; of two tiles all pairs do.
template <class T>
__device__ void cross_sums(const T* __restrict__ X, const T* __restrict__ V, const T* __restrict__ left_outputs,
                           const T* __restrict__ right_outputs, const Network<T>& of, i64 repeats, i64 N, i64 top,
                           int n, i64 left, int k, i64 d, int group, int lower, int add, double* __restrict__ partial)
{
    constexpr int STEP = Pieces<T, 2>::STEP;
    __shared__ Pieces<T, 2> pieces;
    __shared__ Samples<T> above, beside;
    const int m = of.m, c = of.c, down = (n + TILE - 1) / TILE, across = (k + TILE - 1) / TILE;
    const int pairs = lower ? down * (down + 1) / 2 : down * across, groups = (m + group - 1) / group;
    const int neurons = blockIdx.x / pairs % groups * group, thread = threadIdx.y * SIDE + threadIdx.x;
    const i64 draw = blockIdx.x / pairs / groups;
    const Place at(pairs);
    const int first = (lower ? at.i : blockIdx.x % pairs / across) * TILE;
    const int second = (lower ? at.j : blockIdx.x % pairs % across) * TILE;
    const i64 above_V = top + draw * N, beside_V = left + draw * N;
    top += draw / repeats * N;
    left += draw / repeats * N;
    left_outputs += draw * n * c;
    right_outputs += draw * k * c;
    V += draw * c * m;
    const Layout of_X = {0, d, 1}, of_features = {0, m, 1};
    T gram[1][EACH][EACH] = {}, of_all[1][EACH][EACH] = {};
    add_product(pieces, X + top * d, of_X, first, n, X + left * d, of_X, second, k, 0, d, gram);
    add_product(pieces, of.features + top * m, of_features, first, n, of.features + left * m, of_features, second, k, 0, m,
                of_all);
    double sum = 0;
    for (int neuron = neurons; neuron < m && neuron < neurons + group; ++neuron) {
        __syncthreads();  // all have done with the last neuron
        if (thread < TILE && first + thread < n) above.load(of, thread, top + first + thread, above_V + first + thread, neuron);
        const int other = thread - TILE;
        if (other >= 0 && other < TILE && second + other < k)
            beside.load(of, other, left + second + other, beside_V + second + other, neuron);
        __syncthreads();
        for (int start = 0; start < c; start += RUN) {
            const int stop = start + RUN < c ? start + RUN : c;
            T products[2][EACH][EACH] = {}, length = 0;
            for (int from = start; from < stop; from += STEP) {
                for (int entry = thread; entry < TILE * STEP; entry += SIDE * SIDE) {
                    const int sample = entry / STEP, step = entry % STEP, column = from + step;
                    const bool a = first + sample < n && column < stop, b = second + sample < k && column < stop;
                    const T v = column < stop ? V[(i64)column * m + neuron] : T(0);
                    const T output = a ? left_outputs[(i64)(first + sample) * c + column] : T(0);
                    const T other = b ? right_outputs[(i64)(second + sample) * c + column] : T(0);
                    above.put(pieces.left, step, sample, column, a, output, v, of.softmax);
                    beside.put(pieces.right, step, sample, column, b, other, v, of.softmax);
                }
                __syncthreads();
                if (of.softmax)
                    add_pieces<T, 2>(pieces, products);
                else {  // all samples have the same u
                    add_pieces<T, 1>(pieces, products);
                    for (int step = 0; step < STEP; ++step) length += pieces.left[1][step][0] * pieces.left[1][step][0];
                }
                __syncthreads();
            }
#pragma unroll
            for (int u = 0; u < EACH; ++u)
#pragma unroll
                for (int v = 0; v < EACH; ++v) {
                    const int a = threadIdx.y * EACH + u, b = threadIdx.x * EACH + v;
                    const int row = first + a, column = second + b;
                    const int times = row < n && column < k ? (lower ? (row > column) + (row >= column) : 2) : 0;
                    if (!times) continue;
                    const double others = (double)of_all[0][u][v] - (double)above.feature[a] * beside.feature[b];
                    const double weight = (double)gram[0][u][v] * above.slope[a] * beside.slope[b] * times;
                    sum += weight * ((of.softmax ? products[1][u][v] : length) * others + products[0][u][v]);
                }
        }
    }
    sum = reduce(sum, SIDE * SIDE, Sum());
    if (thread == 0) partial[blockIdx.x] = add ? partial[blockIdx.x] + sum : sum;
}

// ---------------------------------------------------------------------------------------------------------------------
// Names that gpu_chunks.py can ask for

#define CROSS_FOR(T)                                                                                                   \
    extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1)                                                       \
        cross_sums_##T(const T* X, const T* slopes, const T* features, const T* V, const T* left_outputs,              \
                       const T* right_outputs, const T* inverse, const T* centre, const T* rest, const T* excess,      \
                       const i64* labels, const i64* leading, i64 repeats, i64 N, i64 top, i64 n, i64 left, i64 k,     \
                       i64 d, i64 m, i64 c, i64 start, i64 group, int softmax, int lower, int add, double* partial)    \
    {                                                                                                                  \
        const Network<T> of = {slopes, features, labels, inverse, centre, rest, excess, leading, start, (int)c, (int)m,\
                               softmax};                                                                               \
        cross_sums(X, V, left_outputs, right_outputs, of, repeats, N, top, n, left, k, d, group, lower, add, partial); \
    }

CROSS_FOR(float)
CROSS_FOR(double)
