// Reading and writing the rows of tensors (rows, K), and sums over a block.
#pragma once

using int64 = long long;

// The kernels of sources that include this file, and nothing but it and scalar mathematics, run on a CPU too: a row, a
// pixel or a surfel a call (cpu/rows.h). What stands under SURFEL_ON_CPU has no neighbours in a warp.
#if !defined(SURFEL_ON_CPU)
#define SURFEL_KERNEL(threads, name) extern "C" __global__ void __launch_bounds__(threads) name
// With registers for so many blocks on a processor at a time.
#define SURFEL_KERNEL_BLOCKS(threads, blocks, name) extern "C" __global__ void __launch_bounds__(threads, blocks) name
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

// A warp's rows of a tensor, a lane's each, side by side in memory: read and written through shared memory, so that
// neighbouring lanes take neighbouring numbers. (Where each lane reads or writes a row of its own, an instruction
// touches 32 places that lie a row apart.) All lanes must call; `from` and `to` are the first lane's row, `rows` how
// many rows there are from it on.
#if defined(SURFEL_ON_CPU)
template <int kBlock>
__device__ __forceinline__ int first_of_warp() { return int(blockIdx.x) * kBlock + int(threadIdx.x); }

template <int K, int kBlock, int kMost = K>
struct WarpRows {
  const float* coming;

  // This lane's K numbers, of a row of `stride`.
  __device__ __forceinline__ const float* read(const float* from, int, int) { return from; }
  __device__ __forceinline__ void fetch(const float* from, int) { coming = from; }
  __device__ __forceinline__ void take(float* own) { load<K>(coming, 0, own); }
  // Write this lane's K numbers, and zeros up to `stride`.
  __device__ __forceinline__ void write(const float* own, float* to, int stride, int rows) {
    for (int k = 0; rows > 0 && k < stride; ++k) to[k] = k < K ? own[k] : 0.0f;
  }
  // Write this lane's K numbers and what stands at the same places in `beside`, if it is not null, added up.
  __device__ __forceinline__ void write_sum(const float* own, const float* beside, float* to, int rows) {
    for (int k = 0; rows > 0 && k < K; ++k) to[k] = own[k] + (beside ? beside[k] : 0.0f);
  }
};
template <int K, int kBlock>
struct ScatteredRows {
  int row;
  bool inside;

  __device__ __forceinline__ ScatteredRows(int n, bool own) : row(n), inside(own) {}
  __device__ __forceinline__ void write(const float* own, float* to) const {
    if (inside) store<K>(own, size_t(row), to);
  }
};
#else
template <int kBlock>
__device__ __forceinline__ int first_of_warp() { return int(blockIdx.x) * kBlock + int(threadIdx.x & ~31u); }

// This warp's shared memory for 32 rows of up to kMost numbers, which all that a kernel reads and writes so may share.
template <int kMost, int kBlock>
__device__ __forceinline__ float* warp_memory() {
  __shared__ float all[kBlock / 32][32 * (kMost | 1)];
  return all[threadIdx.x >> 5];
}

template <int K, int kBlock, int kMost = K>
struct WarpRows {
  static constexpr int kPitch = K | 1;  // odd: the lanes' rows begin in as many banks
  float* staged = warp_memory<kMost, kBlock>();
  float coming[K];

  __device__ __forceinline__ void place() {
    __syncwarp();  // what was here has been read
#pragma unroll
    for (int i = 0; i < K; ++i) staged[32 * i + int(threadIdx.x & 31)] = coming[i];
    __syncwarp();
  }

  // This lane's K numbers, of a row of `stride`, until the memory is used again.
  __device__ __forceinline__ const float* read(const float* from, int stride, int rows) {
    const int lane = threadIdx.x & 31;
    if (kPitch == K && stride == K) {
      fetch(from, rows);
      place();
      return staged + lane * kPitch;
    }
    __syncwarp();  // what was here has been read
    for (int first = 0; first < 32; first += 8)
      for (int k = lane; k < K; k += 32) {
        float some[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) some[i] = first + i < rows ? from[size_t(first + i) * stride + k] : 0.0f;
#pragma unroll
        for (int i = 0; i < 8; ++i) staged[(first + i) * kPitch + k] = some[i];
      }
    __syncwarp();
    return staged + lane * kPitch;
  }
  // Send for rows of K numbers, and take this lane's later: what is done between does not wait for them.
  __device__ __forceinline__ void fetch(const float* from, int rows) {
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < K; ++i) coming[i] = 32 * i + lane < rows * K ? from[32 * i + lane] : 0.0f;
  }
  __device__ __forceinline__ void take(float* own) {
    static_assert(kPitch == K, "rows stand as they came");
    place();
    load<K>(staged, threadIdx.x & 31, own);
  }
  // Write this lane's K numbers, and zeros up to `stride`.
  __device__ __forceinline__ void write(const float* own, float* to, int stride, int rows) {
    const int lane = threadIdx.x & 31;
    __syncwarp();
#pragma unroll
    for (int k = 0; k < K; ++k) staged[lane * kPitch + k] = own[k];
    __syncwarp();
    if (kPitch == K && stride == K) {
#pragma unroll
      for (int i = 0; i < K; ++i)
        if (32 * i + lane < rows * K) to[32 * i + lane] = staged[32 * i + lane];
    } else {
      for (int row = 0; row < 32; ++row)
        for (int k = lane; k < stride; k += 32)
          if (row < rows) to[size_t(row) * stride + k] = k < K ? staged[row * kPitch + k] : 0.0f;
    }
  }
  // Write this lane's K numbers and what stands at the same places in `beside`, if it is not null, added up.
  __device__ __forceinline__ void write_sum(const float* own, const float* beside, float* to, int rows) {
    static_assert(kPitch == K, "rows stand as they go");
    const int lane = threadIdx.x & 31;
    float others[K] = {};
    if (beside)
#pragma unroll
      for (int i = 0; i < K; ++i)
        if (32 * i + lane < rows * K) others[i] = beside[32 * i + lane];
    __syncwarp();
    store<K>(own, lane, staged);
    __syncwarp();
#pragma unroll
    for (int i = 0; i < K; ++i)
      if (32 * i + lane < rows * K) to[32 * i + lane] = staged[32 * i + lane] + others[i];
  }
};

// The same for writing rows anywhere, which still are some consecutive numbers: this lane's is row n. A lane that only
// keeps the warp company (not `inside`) has the row of one that does not, and writes just what that one does.
template <int K, int kBlock>
struct ScatteredRows {
  static_assert(K % 2 == 1, "the lanes' rows begin in as many banks");
  float* staged = warp_memory<K, kBlock>();
  int places[K];  // of the numbers that this lane writes for the warp

  __device__ __forceinline__ ScatteredRows(int n, bool) {
#pragma unroll
    for (int i = 0; i < K; ++i) {
      const int j = 32 * i + int(threadIdx.x & 31);
      places[i] = __shfl_sync(0xffffffffu, n, j / K) * K + j % K;
    }
  }
  __device__ __forceinline__ void write(const float* own, float* to) const {
    const int lane = threadIdx.x & 31;
    __syncwarp();
    store<K>(own, 0, staged + lane * K);
    __syncwarp();
#pragma unroll
    for (int i = 0; i < K; ++i) to[places[i]] = staged[32 * i + lane];
  }
};
#endif

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
