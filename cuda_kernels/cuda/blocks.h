// Sums over the threads of a block.
#pragma once

#include "launch.h"

// The sum over this lane and those before it.
template <class T>
__device__ __forceinline__ T warp_scan(T value, int lane) {
#pragma unroll
  for (int step = 1; step < 32; step <<= 1) {
    const T other = __shfl_up_sync(kAllLanes, value, step);
    if (lane >= step) value += other;
  }
  return value;
}

// The sum over the threads before this one, and over all of them (kWarps warps). `sums` is shared memory for kWarps
// values; the block must meet at a barrier before it is used again.
template <int kWarps, class T>
__device__ __forceinline__ T block_scan(T value, T* sums, T& total) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const T sum = warp_scan(value, lane);
  if (lane == 31) sums[warp] = sum;
  __syncthreads();
  T before = 0;
  total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    if (w == warp) before = total;
    total += sums[w];
  }
  return before + sum - value;
}
