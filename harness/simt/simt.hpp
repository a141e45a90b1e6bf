// A CUDA block on a CPU. Enough of CUDA's dialect is defined here to compile kernels.cu as C++17.
//
// Every thread of a block is a fiber with a stack of its own; blocks run one after the other. A fiber runs until it
// reaches a barrier or a shuffle, and goes on when all that take part have come. So these are errors, which are told
// with the thread and the line: a barrier that not all threads of the block reach, a shuffle that not all lanes of its
// mask reach, lanes that reach different ones, and a lane that its own mask does not name. Shared memory is NaN when a
// block begins. The order in which fibers run is a permutation, by a seed: no result may depend on it. With an odd seed a warp
// goes on alone as long as it can, so that it is ahead of the others by all that barriers allow.
#pragma once
#include <link.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#if !defined(__x86_64__) || defined(SIMT_UCONTEXT)
#include <ucontext.h>
#endif

#define __device__
#define __global__
#define __launch_bounds__(...) /* what a block may have is checked in run_block */
#define __shared__ static thread_local  // so that all of it lies in one segment, which can be filled with NaN

using std::exp;
using std::log;
using std::sqrt;  // with their overloads for float, as in CUDA

namespace simt {

struct Dim {
    unsigned x, y, z;
};

constexpr int WARP_SIZE = 32, MOST_THREADS = 1024;
constexpr std::size_t STACK = 64 * 1024;
constexpr std::uint64_t UNTOUCHED = 0x5354414B454E4421;  // at the end of every stack

// ---------------------------------------------------------------------------------------------------------------------
// Fibers: switch_to(from, to) goes on with `to`, and returns when something goes on with `from`.

void entry();

#if defined(__x86_64__) && !defined(SIMT_UCONTEXT)
struct Context {
    void* stack_pointer = nullptr;
};
extern "C" void simt_switch(void** from, void* to);
asm(R"(
.text
.globl simt_switch
.type simt_switch,@function
simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size simt_switch,.-simt_switch
)");
inline void switch_to(Context& from, Context& to) { simt_switch(&from.stack_pointer, to.stack_pointer); }
inline void prepare(Context& fiber, char* stack)
{
    void** top = (void**)((std::uintptr_t)(stack + STACK) & ~std::uintptr_t(15));
    *--top = nullptr;        // entry() never returns to it
    *--top = (void*)&entry;  // what the first switch returns to
    for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
    fiber.stack_pointer = top;
}
#else
using Context = ucontext_t;
inline void switch_to(Context& from, Context& to) { swapcontext(&from, &to); }
inline void prepare(Context& fiber, char* stack)
{
    getcontext(&fiber);
    fiber.uc_stack.ss_sp = stack;
    fiber.uc_stack.ss_size = STACK;
    fiber.uc_link = nullptr;
    makecontext(&fiber, entry, 0);
}
#endif

// ---------------------------------------------------------------------------------------------------------------------
// The block that runs now

struct Fiber {
    Context context;
    Dim index;
    bool done;
    const char* waits;  // for what, or null
    int line;           // of the source, where it waits
    unsigned shuffles;  // that it has been in
    unsigned products;  // of tensor cores
};

struct Meeting {  // of a block at a barrier, or of a warp at a shuffle
    int arrived = 0, line = 0, distance = 0;
    unsigned mask = 0, generation = 0;
};

struct Warp : Meeting {
    std::uint64_t slot[2][WARP_SIZE];  // two of each lane: one is read while the next is written
    std::uint32_t words[2][WARP_SIZE][6];
};

inline Fiber fibers[MOST_THREADS];
inline char stacks[MOST_THREADS][STACK];
inline Warp warps[MOST_THREADS / WARP_SIZE];
inline Meeting barriers;
inline Context scheduler;
inline Dim grid_dim, block_dim, block_index;
inline int threads, current, order[MOST_THREADS];
inline std::uint64_t progress;
inline char error[256];
inline void (*body)(void**);
inline void** arguments;

inline void pause() { switch_to(fibers[current].context, scheduler); }

inline void fail(const char* what, int line)
{
    std::snprintf(error, sizeof error, "thread %d, line %d: %s", current, line, what);
    pause();  // and never goes on
}

inline void entry()
{
    body(arguments);
    fibers[current].done = true;
    ++progress;
    pause();
    std::abort();
}

// Waits at a meeting of `expected` fibers.
inline void meet(Meeting& meeting, int expected, const char* what, int line)
{
    Fiber& me = fibers[current];
    const unsigned mine = meeting.generation;
    if (meeting.arrived == 0) meeting.line = line;
    if (meeting.line != line) fail("others wait at another line", line);
    ++progress;
    if (++meeting.arrived == expected) {
        meeting.arrived = 0;
        ++meeting.generation;
        return;
    }
    me.waits = what;
    me.line = line;
    while (meeting.generation == mine) pause();
    me.waits = nullptr;
}

inline void barrier(int line) { meet(barriers, threads, "__syncthreads", line); }

template <class T>
T shuffle_xor(unsigned mask, T value, int distance, int line)
{
    static_assert(sizeof(T) <= 8, "a shuffle moves four or eight bytes");
    const int lane = current % WARP_SIZE;
    Warp& warp = warps[current / WARP_SIZE];
    if (!(mask >> lane & 1)) fail("the mask of a shuffle does not name its own lane", line);
    if (distance <= 0 || distance >= WARP_SIZE || !(mask >> (lane ^ distance) & 1))
        fail("a shuffle reads a lane that its mask does not name", line);
    if (warp.arrived == 0) {
        warp.mask = mask;
        warp.distance = distance;
    }
    if (warp.mask != mask || warp.distance != distance) fail("lanes of a warp shuffle by other masks or distances", line);
    const unsigned half = fibers[current].shuffles++ & 1;
    std::memcpy(&warp.slot[half][lane], &value, sizeof(T));
    meet(warp, __builtin_popcount(mask), "__shfl_xor_sync", line);
    T other;
    std::memcpy(&other, &warp.slot[half][lane ^ distance], sizeof(T));
    return other;
}

inline float as_float(std::uint32_t bits)
{
    float number;
    std::memcpy(&number, &bits, sizeof number);
    return number;
}

// The sum of `many` numbers as tensor cores make it: all are cut off at the last bit that float has of the largest, and
// so is their sum. Newer GPUs keep a few bits more.
inline float cut_sum(const float* numbers, int many)
{
    float largest = 0;
    for (int k = 0; k < many; ++k) {
        if (!std::isfinite(numbers[k])) return NAN;
        if (std::fabs(numbers[k]) > largest) largest = std::fabs(numbers[k]);
    }
    if (largest == 0) return 0;
    const double last = std::ldexp(1.0, std::ilogb(largest) - 23);
    std::int64_t sum = 0;
    for (int k = 0; k < many; ++k) sum += (std::int64_t)(numbers[k] / last);
    std::int64_t most = sum < 0 ? -sum : sum, lost = 0;
    while (most >> lost >> 24) ++lost;
    return (float)((double)(sum / ((std::int64_t)1 << lost)) * std::ldexp(last, (int)lost));
}

// mma.m16n8k16 with bfloat16: sums (16 x 8) += A (16 x 16) B (16 x 8), where lanes have what the PTX ISA says. All lanes
// of the warp take part.
template <class Word>
void mma_bf16(float* sums, const Word* a, const Word* b, int line)
{
    const int lane = current % WARP_SIZE, group = lane / 4, place = lane % 4;
    Warp& warp = warps[current / WARP_SIZE];
    auto& words = warp.words[fibers[current].products++ & 1];
    std::memcpy(words[lane], a, 4 * sizeof(Word));
    std::memcpy(words[lane] + 4, b, 2 * sizeof(Word));
    meet(warp, WARP_SIZE, "mma", line);
    for (int e = 0; e < 4; ++e) {
        float terms[17] = {};
        for (int k = 0; k < 16; ++k) {
            const int shift = k % 2 ? 0 : 16, from = k % 8 / 2;  // two of the 16 in a word: the lower half first
            const std::uint32_t left = words[group * 4 + from][e / 2 + k / 8 * 2];
            const std::uint32_t right = words[(2 * place + e % 2) * 4 + from][4 + k / 8];
            terms[k] = as_float(left << shift & 0xFFFF0000u) * as_float(right << shift & 0xFFFF0000u);
        }
        terms[16] = sums[e];
        sums[e] = cut_sum(terms, 17);
    }
}

// Fills shared memory, which is the thread-local storage of this library, with bytes that make NaN.
inline void forget_shared_memory()
{
    static thread_local volatile char first;
    first = 0;  // the system makes the storage when a thread first uses it
    dl_iterate_phdr(
        [](dl_phdr_info* library, std::size_t, void* here) {
            bool ours = false;
            std::size_t size = 0;
            for (int k = 0; k < library->dlpi_phnum; ++k) {
                const auto& part = library->dlpi_phdr[k];
                const auto start = (std::uintptr_t)(library->dlpi_addr + part.p_vaddr);
                if (part.p_type == PT_LOAD && (std::uintptr_t)here - start < part.p_memsz) ours = true;
                if (part.p_type == PT_TLS) size = part.p_memsz;
            }
            if (ours && library->dlpi_tls_data) std::memset(library->dlpi_tls_data, 0xFF, size);
            return (int)ours;
        },
        (void*)&entry);
}

inline void permute(std::uint32_t seed)  // the identity for 0
{
    for (int t = 0; t < threads; ++t) order[t] = t;
    if (seed == 0) return;
    for (int t = threads - 1; t > 0; --t) {
        seed = seed * 1664525u + 1013904223u;
        std::swap(order[t], order[(seed >> 8) % (unsigned)(t + 1)]);
    }
}

inline void group_by_warp()  // in the order in which their first threads have
{
    int first[MOST_THREADS / WARP_SIZE];
    for (int k = threads - 1; k >= 0; --k) first[order[k] / WARP_SIZE] = k;
    std::stable_sort(order, order + threads,
                     [&](int a, int b) { return first[a / WARP_SIZE] < first[b / WARP_SIZE]; });
}

// Lets a fiber go on until it waits or is done; returns whether it made no error.
inline bool resume(int thread, int& alive)
{
    Fiber& fiber = fibers[current = thread];
    if (fiber.done) return true;
    switch_to(scheduler, fiber.context);
    alive -= fiber.done;
    if (!error[0] && std::memcmp(stacks[thread], &UNTOUCHED, sizeof UNTOUCHED))
        std::snprintf(error, sizeof error, "thread %d needs more than %zu bytes of stack", thread, STACK);
    return !error[0];
}

inline bool run_block(unsigned seed)
{
    forget_shared_memory();
    permute(seed);
    const bool alone = seed % 2;
    if (alone) group_by_warp();
    barriers = Meeting();
    for (int w = 0; w * WARP_SIZE < threads; ++w) static_cast<Meeting&>(warps[w]) = Meeting();
    for (int t = 0; t < threads; ++t) {
        const unsigned u = (unsigned)t;
        fibers[t].index = {u % block_dim.x, u / block_dim.x % block_dim.y, u / (block_dim.x * block_dim.y)};
        fibers[t].done = false;
        fibers[t].waits = nullptr;
        fibers[t].shuffles = fibers[t].products = 0;
        std::memcpy(stacks[t], &UNTOUCHED, sizeof UNTOUCHED);
        prepare(fibers[t].context, stacks[t]);
    }
    for (int alive = threads; alive;) {
        const std::uint64_t before = progress;
        for (int k = 0, end; k < threads; k = end) {
            end = k + 1;
            while (alone && end < threads && order[end] / WARP_SIZE == order[k] / WARP_SIZE) ++end;
            std::uint64_t last;
            do {
                last = progress;
                for (int j = k; j < end; ++j)
                    if (!resume(order[j], alive)) return false;
            } while (alone && progress != last);
        }
        if (progress == before) {  // all that are left wait, and none will come
            for (current = 0; fibers[current].done;) ++current;
            std::snprintf(error, sizeof error, "deadlock: thread %d waits at %s in line %d, and not all come", current,
                          fibers[current].waits, fibers[current].line);
            return false;
        }
    }
    return true;
}

template <class... Types, std::size_t... Place>
void call(void (*kernel)(Types...), void** given, std::index_sequence<Place...>)
{
    kernel(*(std::remove_const_t<Types>*)given[Place]...);
}

// What the table of kernels holds for each: its parameters, and how it is called.
template <auto Kernel>
struct Entry;
template <class... Types, void (*Kernel)(Types...)>
struct Entry<Kernel> {
    // Writes a code for each parameter, and returns how many there are: 'p' a pointer, 'f' and 'i' a floating-point or
    // whole number, 's' a structure, each with its size in bytes.
    static int parameters(char* kinds, int* sizes)
    {
        int k = 0;
        ((kinds[k] = std::is_pointer_v<Types> ? 'p' : std::is_floating_point_v<Types> ? 'f' : std::is_class_v<Types> ? 's' : 'i',
          sizes[k++] = (int)sizeof(Types)),
         ...);
        return k;
    }
    static void run(void** given) { call(Kernel, given, std::index_sequence_for<Types...>{}); }
};

inline bool launch(void (*kernel)(void**), Dim grid, Dim block, void** given, unsigned seed)
{
    error[0] = 0;
    body = kernel;
    arguments = given;
    grid_dim = grid;
    block_dim = block;
    threads = (int)(block.x * block.y * block.z);
    const std::uint64_t blocks = (std::uint64_t)grid.x * grid.y * grid.z;
    for (std::uint64_t b = 0; b < blocks; ++b) {
        const std::uint64_t at = seed ? blocks - 1 - b : b;  // no block may depend on another
        block_index = {(unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y), (unsigned)(at / grid.x / grid.y)};
        if (!run_block(seed ? seed + (unsigned)at : 0)) return false;
    }
    return true;
}

}  // namespace simt

#define threadIdx (simt::fibers[simt::current].index)
#define blockIdx (simt::block_index)
#define blockDim (simt::block_dim)
#define gridDim (simt::grid_dim)
#define __syncthreads() simt::barrier(__LINE__)
#define __shfl_xor_sync(mask, value, distance) simt::shuffle_xor(mask, value, distance, __LINE__)
#define mma_bf16(sums, a, b) simt::mma_bf16(sums, a, b, __LINE__)

inline float __int_as_float(int bits) { return simt::as_float((std::uint32_t)bits); }
inline int __float_as_int(float number)
{
    int bits;
    std::memcpy(&bits, &number, sizeof bits);
    return bits;
}

// sin(πx) and cos(πx), exact where x is a multiple of 1/2.
inline void sincospi(double x, double* sine, double* cosine)
{
    const double quarters = std::nearbyint(2 * x), rest = 3.14159265358979323846 * (x - quarters / 2);
    const double s = std::sin(rest), c = std::cos(rest);
    switch ((long long)quarters & 3) {
        case 0: *sine = s, *cosine = c; break;
        case 1: *sine = c, *cosine = -s; break;
        case 2: *sine = -s, *cosine = -c; break;
        default: *sine = -c, *cosine = s;
    }
}
