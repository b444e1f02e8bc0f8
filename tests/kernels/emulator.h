// Runs CUDA kernels on the CPU, a block at a time, each thread with a stack of its own: enough of the language
// for kernels with static shared memory, barriers, exchanges within warps and float atomics. The threads of a
// block take turns and go on to their next barrier; where a round of turns begins and which way it goes is drawn
// anew each time, so that what a barrier is missing for comes out in some order.
#pragma once

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700  // for ucontext.h on macOS
#endif
#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

struct Index {
  unsigned x, y, z;
};
static Index threadIdx, blockIdx, gridDim, blockDim;

// A thread of the block in hand; its stack outlives the block.
struct Thread {
  jmp_buf place;
  bool begun, done;
};
constexpr size_t STACK = 256 << 10;  // bytes; pages that no kernel touches take no memory
static std::vector<Thread> team;
static jmp_buf turns;
static unsigned long long advances;  // barriers opened and threads ended: a round without one is a deadlock

// Ends the turn of the thread in hand; returns at its next turn.
__attribute__((noinline)) static void pass() {
  const Index mine = threadIdx;
  if (_setjmp(team[mine.x].place) == 0) _longjmp(turns, 1);
  threadIdx = mine;
}

struct Barrier {
  unsigned members, arrived = 0, phase = 0;
  void arrive_and_wait() {
    const unsigned before = phase;
    if (++arrived == members) {
      arrived = 0;
      ++phase;
      ++advances;
    }
    while (phase == before) pass();
  }
};
static Barrier block_barrier;
static std::vector<Barrier> warp_barriers;
alignas(8) static char exchanged[1024][8];

inline void __syncthreads() { block_barrier.arrive_and_wait(); }

static int votes;
inline int __syncthreads_or(int vote) {
  block_barrier.arrive_and_wait();
  if (vote) votes = 1;
  block_barrier.arrive_and_wait();
  const int found = votes;
  block_barrier.arrive_and_wait();
  votes = 0;
  return found;
}

// What the thread `other` of the warp passes in; every thread of the warp must call.
template <class T>
inline T exchange(T value, unsigned other) {
  static_assert(sizeof(T) <= 8);
  Barrier& warp = warp_barriers[threadIdx.x / 32];
  memcpy(exchanged[threadIdx.x], &value, sizeof(T));
  warp.arrive_and_wait();
  T found;
  memcpy(&found, exchanged[other], sizeof(T));
  warp.arrive_and_wait();
  return found;
}
template <class T>
inline T __shfl_xor_sync(unsigned, T value, int step) {
  return exchange(value, threadIdx.x ^ unsigned(step));
}
template <class T>
inline T __shfl_sync(unsigned, T value, int lane) {
  return exchange(value, (threadIdx.x & ~31u) + (unsigned(lane) & 31u));
}
template <class T>
inline T __shfl_up_sync(unsigned, T value, int step) {
  const unsigned lane = threadIdx.x & 31u;
  return exchange(value, lane >= unsigned(step) ? threadIdx.x - unsigned(step) : threadIdx.x);
}
template <class T>
inline T __shfl_down_sync(unsigned, T value, int step) {
  const unsigned lane = threadIdx.x & 31u;
  return exchange(value, lane + unsigned(step) < 32u ? threadIdx.x + unsigned(step) : threadIdx.x);
}

inline unsigned __ballot_sync(unsigned, int vote) {
  unsigned found = 0;
  Barrier& warp = warp_barriers[threadIdx.x / 32];
  memcpy(exchanged[threadIdx.x], &vote, sizeof vote);
  warp.arrive_and_wait();
  for (unsigned lane = 0; lane < 32; ++lane) {
    int other;
    memcpy(&other, exchanged[(threadIdx.x & ~31u) + lane], sizeof other);
    found |= unsigned(other != 0) << lane;
  }
  warp.arrive_and_wait();
  return found;
}
// The threads of the warp that pass in the same.
inline unsigned __match_any_sync(unsigned, int value) {
  unsigned found = 0;
  for (int lane = 0; lane < 32; ++lane) found |= unsigned(__shfl_sync(~0u, value, lane) == value) << lane;
  return found;
}
inline bool __any_sync(unsigned lanes, int vote) { return __ballot_sync(lanes, vote) != 0; }
inline void __syncwarp() { warp_barriers[threadIdx.x / 32].arrive_and_wait(); }

template <class T, class V>
inline T atomicAdd(T* at, V value) {
  return std::atomic_ref<T>(*at).fetch_add(T(value));
}
inline int atomicSub(int* at, int value) { return std::atomic_ref<int>(*at).fetch_sub(value); }
inline unsigned atomicMax(unsigned* at, unsigned value) {
  std::atomic_ref<unsigned> word(*at);
  unsigned found = word.load();
  while (found < value && !word.compare_exchange_weak(found, value)) {}
  return found;
}

template <class To, class From>
inline To bits_as(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To found;
  memcpy(&found, &value, sizeof(To));
  return found;
}
inline unsigned __float_as_uint(float value) { return bits_as<unsigned>(value); }
inline float __uint_as_float(unsigned value) { return bits_as<float>(value); }
inline long long __double_as_longlong(double value) { return bits_as<long long>(value); }
inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __ffs(int value) { return __builtin_ffs(value); }
inline int __clz(int value) { return value ? __builtin_clz(unsigned(value)) : 32; }
inline int __clzll(unsigned long long value) { return value ? __builtin_clzll(value) : 64; }

struct int2 {
  int x, y;
};
struct float2 {
  float x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline int2 make_int2(int x, int y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
using std::max;
using std::min;

static void (*body)(const void*);  // runs the kernel of the launch in hand
static const void* body_arguments;
static ucontext_t launcher;

static void first_turn() {
  body(body_arguments);
  team[threadIdx.x].done = true;
  ++advances;
  _longjmp(turns, 1);
}

// Lets thread `t` go on to where it passes or ends.
__attribute__((noinline)) static void take_turn(unsigned t, char* stack) {
  if (_setjmp(turns) != 0) return;
  threadIdx = {t, 0, 0};
  if (team[t].begun) _longjmp(team[t].place, 1);
  team[t].begun = true;
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = stack + t * STACK;
  context.uc_stack.ss_size = STACK;
  context.uc_link = nullptr;
  makecontext(&context, first_turn, 0);
  swapcontext(&launcher, &context);
}

static void run_block(unsigned threads, char* stack) {
  static uint64_t drawn = 1;
  team.assign(threads, Thread{});
  block_barrier = {threads};
  warp_barriers.clear();
  for (unsigned w = 0; w < (threads + 31) / 32; ++w) warp_barriers.push_back({std::min(32u, threads - 32 * w)});
  for (unsigned left = threads; left > 0;) {
    const unsigned long long before = advances;
    drawn = drawn * 6364136223846793005ull + 1442695040888963407ull;
    const unsigned start = unsigned(drawn >> 40) % threads, step = (drawn >> 33) & 1 ? 1 : threads - 1;
    for (unsigned turn = 0, t = start; turn < threads; ++turn, t = (t + step) % threads) {
      if (team[t].done) continue;
      take_turn(t, stack);
      left -= team[t].done;
    }
    if (advances == before) {
      fprintf(stderr, "the threads of block %u %u %u wait for one another\n", blockIdx.x, blockIdx.y, blockIdx.z);
      abort();
    }
  }
}

template <class Kernel, class Arguments>
void launch(Kernel kernel, const Arguments& arguments, Index grid, unsigned threads) {
  static Kernel chosen;
  static char* const stack = static_cast<char*>(malloc(1024 * STACK));
  chosen = kernel;
  body = [](const void* given) { chosen(*static_cast<const Arguments*>(given)); };
  body_arguments = &arguments;
  gridDim = grid;
  blockDim = {threads, 1, 1};
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        run_block(threads, stack);
      }
}

// A C function that launches `kernel` with `Arguments` behind a pointer.
#define EMULATED(kernel, Arguments)                                                             \
  extern "C" void launch_##kernel(const void* arguments, unsigned x, unsigned y, unsigned z,    \
                                  unsigned threads) {                                           \
    launch(kernel, *static_cast<const Arguments*>(arguments), {x, y, z}, threads);              \
  }
