// Runs CUDA kernels on the CPU, a block at a time, a thread a CUDA thread: enough of the language for kernels
// with static shared memory, barriers, exchanges within warps and float atomics.
#pragma once

#include <math.h>
#include <stddef.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <memory>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

struct Index {
  unsigned x, y, z;
};
static thread_local Index threadIdx;
static Index blockIdx, gridDim, blockDim;

static std::unique_ptr<std::barrier<>> block_barrier;
static std::vector<std::unique_ptr<std::barrier<>>> warp_barriers;
static float exchanged[1024];

inline void __syncthreads() { block_barrier->arrive_and_wait(); }

inline float __shfl_xor_sync(unsigned, float value, int step) {
  std::barrier<>& warp = *warp_barriers[threadIdx.x / 32];
  exchanged[threadIdx.x] = value;
  warp.arrive_and_wait();
  const float other = exchanged[threadIdx.x ^ unsigned(step)];
  warp.arrive_and_wait();
  return other;
}

inline float atomicAdd(float* at, float value) {
  return std::atomic_ref<float>(*at).fetch_add(value);
}

template <class Kernel, class Arguments>
void launch(Kernel kernel, const Arguments& arguments, Index grid, unsigned threads) {
  gridDim = grid;
  blockDim = {threads, 1, 1};
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        block_barrier = std::make_unique<std::barrier<>>(threads);
        warp_barriers.clear();
        for (unsigned w = 0; w < (threads + 31) / 32; ++w)
          warp_barriers.push_back(std::make_unique<std::barrier<>>(std::min(32u, threads - 32 * w)));
        std::vector<std::thread> team;
        for (unsigned t = 0; t < threads; ++t)
          team.emplace_back([&, t] {
            threadIdx = {t, 0, 0};
            kernel(arguments);
          });
        for (std::thread& member : team) member.join();
      }
}

// A C function that launches `kernel` with `Arguments` behind a pointer.
#define EMULATED(kernel, Arguments)                                                             \
  extern "C" void launch_##kernel(const void* arguments, unsigned x, unsigned y, unsigned z,    \
                                  unsigned threads) {                                           \
    launch(kernel, *static_cast<const Arguments*>(arguments), {x, y, z}, threads);              \
  }
