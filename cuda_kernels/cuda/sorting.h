// Sorting by one block: the list of one tile, shortest depth first, lower index first at equal depth.
#pragma once

#include "launch.h"

constexpr int kSortChunk = 1024;  // keys that a block sorts in shared memory at once

__device__ __forceinline__ void order(uint64* keys, int a, int b) {
  const uint64 x = keys[a], y = keys[b];
  if (y < x) {
    keys[a] = y;
    keys[b] = x;
  }
}

// One step of the bitonic network in its ascending form: every comparison puts the smaller key at the lower
// place, so places beyond `count` act as infinities and are skipped. width: of the sorted runs made (flip)
// or distance between the partners (otherwise).
template <bool kFlip>
__device__ __forceinline__ void bitonic_step(uint64* keys, int count, int pairs, int width) {
  const int half = kFlip ? width >> 1 : width;
  const int shift = 31 - __clz(half);
  for (int t = threadIdx.x; t < pairs; t += blockDim.x) {
    const int run = (t >> shift) << (shift + 1), within = t & (half - 1);
    const int a = run + within, b = kFlip ? run + 2 * half - 1 - within : a + half;
    if (b < count) order(keys, a, b);
  }
  __syncthreads();
}

__device__ __forceinline__ int power_of_two(int n) { return n <= 1 ? 1 : 1 << (32 - __clz(n - 1)); }

// Sort `count` keys in place with the threads of one block; `chunk` is shared memory for kSortChunk keys.
// Lists longer than that are sorted chunk by chunk and merged in global memory.
__device__ inline void sort_keys(uint64* keys, int count, uint64* chunk) {
  const int padded = power_of_two(count);
  const int inner = min(padded, kSortChunk);
  for (int base = 0; base < count; base += kSortChunk) {
    const int n = min(count - base, kSortChunk);
    for (int i = threadIdx.x; i < n; i += blockDim.x) chunk[i] = keys[base + i];
    __syncthreads();
    for (int width = 2; width <= inner; width <<= 1) {
      bitonic_step<true>(chunk, n, inner / 2, width);
      for (int half = width >> 2; half > 0; half >>= 1) bitonic_step<false>(chunk, n, inner / 2, half);
    }
    for (int i = threadIdx.x; i < n; i += blockDim.x) keys[base + i] = chunk[i];
    __syncthreads();
  }
  for (int width = 2 * kSortChunk; width <= padded; width <<= 1) {
    bitonic_step<true>(keys, count, padded / 2, width);
    for (int half = width >> 2; half >= kSortChunk; half >>= 1)
      bitonic_step<false>(keys, count, padded / 2, half);
    for (int base = 0; base < count; base += kSortChunk) {
      const int n = min(count - base, kSortChunk);
      for (int i = threadIdx.x; i < n; i += blockDim.x) chunk[i] = keys[base + i];
      __syncthreads();
      for (int half = kSortChunk >> 1; half > 0; half >>= 1)
        bitonic_step<false>(chunk, n, kSortChunk / 2, half);
      for (int i = threadIdx.x; i < n; i += blockDim.x) keys[base + i] = chunk[i];
      __syncthreads();
    }
  }
}

// ---- short lists -------------------------------------------------------------------------------------------

constexpr int kSortThreads = 128;  // of a block that sorts short lists
constexpr int kTidyPasses = 4;

// Compare with the values of another thread: each pair keeps the smaller in the lower place. kFlip: the partner is
// thread ^ mask (mask + 1 a power of two) and its values count backwards; else mask is one bit. Values cross warps
// through `buffer`, shared memory for kEach values a thread.
template <int kEach, bool kFlip>
__device__ __forceinline__ void compare_threads(uint32 (&values)[kEach], int mask, uint32* buffer) {
  const int thread = threadIdx.x;
  const bool lower = (thread & (kFlip ? (mask + 1) >> 1 : mask)) == 0;
  uint32 others[kEach];
  if (mask < 32) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) others[i] = __shfl_xor_sync(kAllLanes, values[kFlip ? kEach - 1 - i : i], mask);
  } else {
#pragma unroll
    for (int i = 0; i < kEach; ++i) buffer[i * kSortThreads + thread] = values[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      others[i] = buffer[(kFlip ? kEach - 1 - i : i) * kSortThreads + (thread ^ mask)];
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) values[i] = (others[i] < values[i]) == lower ? others[i] : values[i];
}

// The same among the values of one thread, with partner i ^ kMask.
template <int kEach, int kMask>
__device__ __forceinline__ void compare_values(uint32 (&values)[kEach]) {
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int partner = i ^ kMask;
    if (partner <= i || partner >= kEach) continue;
    const uint32 a = values[i], b = values[partner];
    values[i] = min(a, b);
    values[partner] = max(a, b);
  }
}

template <int kEach>
__device__ __forceinline__ void finish_values(uint32 (&values)[kEach]) {
  if (kEach > 4) compare_values<kEach, 4>(values);
  if (kEach > 2) compare_values<kEach, 2>(values);
  if (kEach > 1) compare_values<kEach, 1>(values);
}

// Sort up to kEach kSortThreads keys into `sorted`; both arrays are shared memory for so many. The leading bits of the
// depths are sorted in registers, with the place of the key in the bits below; keys whose leading bits are equal are
// put right afterwards.
template <int kEach>
__device__ __forceinline__ void sort_short(const uint64* keys, int count, uint64* loaded, uint64* sorted) {
  static_assert(kEach <= 8, "compare_values knows up to eight");
  constexpr int kSlots = kEach * kSortThreads;
  uint32 values[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int slot = i * kSortThreads + threadIdx.x;
    values[i] = kAllLanes;  // no key's: its slot would be the last, and then there is no room to fill
    if (slot < count) {
      const uint64 key = keys[slot];
      loaded[slot] = key;
      values[i] = (uint32(key >> 32) & ~uint32(kSlots - 1)) | uint32(slot);
    }
  }
  uint32* buffer = reinterpret_cast<uint32*>(sorted);
  if (kEach > 1) compare_values<kEach, 1>(values);
  if (kEach > 2) compare_values<kEach, 3>(values), compare_values<kEach, 1>(values);
  if (kEach > 4) compare_values<kEach, 7>(values), compare_values<kEach, 2>(values), compare_values<kEach, 1>(values);
  // stops early only for kEach = 1, where keys fill the threads from the first on
  for (int threads = 2; threads <= kSortThreads && (threads >> 1) * kEach < count; threads <<= 1) {
    compare_threads<kEach, true>(values, threads - 1, buffer);
    for (int mask = threads >> 2; mask > 0; mask >>= 1) compare_threads<kEach, false>(values, mask, buffer);
    finish_values<kEach>(values);
  }
  __syncthreads();  // `loaded` is complete, `buffer` read
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int place = int(threadIdx.x) * kEach + i;
    if (place < count) sorted[place] = loaded[values[i] & uint32(kSlots - 1)];
  }
  __syncthreads();
  for (int pass = 0;; ++pass) {
    bool wrong = false;
    for (int i = threadIdx.x; i + 1 < count; i += kSortThreads) wrong |= sorted[i + 1] < sorted[i];
    if (!__syncthreads_or(wrong)) return;
    if (pass == kTidyPasses) break;
    for (int odd = 0; odd < 2; ++odd) {
      for (int i = 2 * int(threadIdx.x) + odd; i + 1 < count; i += 2 * kSortThreads) order(sorted, i, i + 1);
      __syncthreads();
    }
  }
  // many surfels at one depth
  sort_keys(sorted, count, loaded);
}

// ---- keys ------------------------------------------------------------------------------------------------

// 32 bits that order the camera depths of one view more finely than a float does: the bits of the depth as a
// double, counted from the view's least and cut to what its greatest needs. Between 1 cm and 1 km that is a
// sixteenth of a float's spacing, over a head a thousandth; with float keys one pixel in a thousand of a dense
// head shows two surfels in the wrong order.
__device__ __forceinline__ uint32 depth_key(const uint32* bounds, uint64 depth) {
  // the bounds are of depths rounded to float: one float further out holds them all
  const uint64 least = __double_as_longlong(double(__uint_as_float(~bounds[0] - 1u)));
  const uint64 greatest = __double_as_longlong(double(__uint_as_float(bounds[1] + 1u)));
  const int bits = 64 - __clzll(greatest - least);
  return uint32((depth - least) >> max(bits - 32, 0));
}

// The bits of a depth as a double.
__device__ __forceinline__ uint64 depth_bits(float z, float z_low) {
  return uint64(__double_as_longlong(double(z) + double(z_low)));
}

// depth << 32 | index << 8 | patches: at equal depth the lower index comes first.
__device__ __forceinline__ uint64 list_key(uint32 depth, int index, uint32 mask) {
  return (uint64(depth) << 32) | (uint64(uint32(index)) << 8) | mask;
}

__device__ __forceinline__ uint32 surfel_depth_key(const Launch& p, const uint32* bounds, size_t at) {
  const float4* record = p.records + kRecord * at;
  return depth_key(bounds, depth_bits(record[2].w, record[3].x));
}
