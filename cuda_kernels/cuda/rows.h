// Reading and writing the rows of tensors (rows, K), and sums over a block.
#pragma once

using int64 = long long;

// The kernels of sources that include this file, and nothing but it and scalar mathematics, run on a CPU too: a row, a
// pixel or a surfel a call (cpu/rows.h). What stands under SURFEL_ON_CPU has no neighbours in a warp.
#if !defined(SURFEL_ON_CPU)
#define SURFEL_KERNEL(threads, name) extern "C" __global__ void __launch_bounds__(threads) name
#endif

template <int K>
__device__ __forceinline__ void load(const float* from, size_t row, float* to) {
  for (int i = 0; i < K; ++i) to[i] = from[K * row + i];
}
template <int K>
__device__ __forceinline__ void load_or_zero(const float* from, size_t row, float* to) {
  for (int i = 0; i < K; ++i) to[i] = from ? from[K * row + i] : 0.0f;
}
template <int K>
__device__ __forceinline__ void store(const float* from, size_t row, float* to) {
  for (int i = 0; i < K; ++i) to[K * row + i] = from[i];
}
template <int K>
__device__ __forceinline__ void add(const float* from, size_t row, float* to) {
  for (int i = 0; i < K; ++i) atomicAdd(to + K * row + i, from[i]);
}

// The sums of two numbers over all threads of a block, in the first thread; the others get parts of them.
#if !defined(SURFEL_ON_CPU)
template <int kBlock>
__device__ __forceinline__ void block_sums(float& first, float& second) {
  __shared__ float parts[2][kBlock / 32];
  for (int step = 16; step > 0; step >>= 1) {
    first += __shfl_xor_sync(0xffffffffu, first, step);
    second += __shfl_xor_sync(0xffffffffu, second, step);
  }
  if ((threadIdx.x & 31) == 0) {
    parts[0][threadIdx.x >> 5] = first;
    parts[1][threadIdx.x >> 5] = second;
  }
  __syncthreads();
  first = second = 0.0f;
  if (threadIdx.x == 0)
    for (int w = 0; w < kBlock / 32; ++w) {
      first += parts[0][w];
      second += parts[1][w];
    }
}
#endif
