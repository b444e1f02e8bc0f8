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

// Sort `count` keys in place with the threads of one block, by the whole network.
__device__ inline void bitonic_sort(uint64* keys, int count) {
  const int padded = power_of_two(count);
  for (int width = 2; width <= padded; width <<= 1) {
    bitonic_step<true>(keys, count, padded / 2, width);
    for (int half = width >> 2; half > 0; half >>= 1) bitonic_step<false>(keys, count, padded / 2, half);
  }
}

// Sort `count` keys in place with the threads of one block; `chunk` is shared memory for kSortChunk keys.
// Lists longer than that are sorted chunk by chunk and merged in global memory.
__device__ inline void sort_keys(uint64* keys, int count, uint64* chunk) {
  const int padded = power_of_two(count);
  for (int base = 0; base < count; base += kSortChunk) {
    const int n = min(count - base, kSortChunk);
    for (int i = threadIdx.x; i < n; i += blockDim.x) chunk[i] = keys[base + i];
    __syncthreads();
    bitonic_sort(chunk, n);
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
constexpr int kMostEach = 16;      // keys of a thread
constexpr int kMostKeys = kMostEach * kSortThreads;
constexpr int kTidyPasses = 4;

// Which of two values belongs to the lower place, or to the upper.
__device__ __forceinline__ uint32 kept(uint32 value, uint32 other, bool lower) {
  return (other < value) == lower ? other : value;
}

// Compare with the values of another thread: each pair keeps the smaller in the lower place. kFlip: the partner is
// thread ^ mask (mask + 1 a power of two) and its values count backwards; else mask is one bit. Values cross warps
// through `buffer`, shared memory for kEach values a thread.
template <int kEach, bool kFlip>
__device__ __forceinline__ void compare_threads(uint32 (&values)[kEach], int mask, uint32* buffer) {
  const int thread = threadIdx.x;
  const bool lower = (thread & (kFlip ? (mask + 1) >> 1 : mask)) == 0;
  if (mask >= 32) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) buffer[i * kSortThreads + thread] = values[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kEach; ++i)
      values[i] = kept(values[i], buffer[(kFlip ? kEach - 1 - i : i) * kSortThreads + (thread ^ mask)], lower);
    __syncthreads();
    return;
  }
  // two at a time, so that few answers are held
#pragma unroll
  for (int i = 0; i < (kEach + 1) / 2; ++i) {
    const int j = kEach - 1 - i;
    const uint32 a = __shfl_xor_sync(kAllLanes, values[i], mask), b = __shfl_xor_sync(kAllLanes, values[j], mask);
    values[i] = kept(values[i], kFlip ? b : a, lower);
    if (i != j) values[j] = kept(values[j], kFlip ? a : b, lower);
  }
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
  if (kEach > 8) compare_values<kEach, 8>(values);
  if (kEach > 4) compare_values<kEach, 4>(values);
  if (kEach > 2) compare_values<kEach, 2>(values);
  if (kEach > 1) compare_values<kEach, 1>(values);
}

// The list's least depth key, and by how many bits to shift what exceeds it so that `bits` are left: the more keys, the
// fewer bits are left beside the place, and a tile's depths are a small part of the view's.
template <int kEach>
__device__ __forceinline__ uint32 relative_to_least(uint32 (&depths)[kEach], int count, int bits, int& shift) {
  constexpr int kWarps = kSortThreads / 32;
  __shared__ uint32 bounds[2][kWarps];
  uint32 complement = 0, greatest = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    if (i * kSortThreads + int(threadIdx.x) >= count) continue;
    complement = max(complement, ~depths[i]);
    greatest = max(greatest, depths[i]);
  }
  for (int step = 16; step > 0; step >>= 1) {
    complement = max(complement, __shfl_xor_sync(kAllLanes, complement, step));
    greatest = max(greatest, __shfl_xor_sync(kAllLanes, greatest, step));
  }
  if ((threadIdx.x & 31) == 0) {
    bounds[0][threadIdx.x >> 5] = complement;
    bounds[1][threadIdx.x >> 5] = greatest;
  }
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) {
    complement = max(complement, bounds[0][w]);
    greatest = max(greatest, bounds[1][w]);
  }
  shift = max(32 - __clz(int(greatest - ~complement)) - bits, 0);
  return ~complement;
}

// Sort up to kEach kSortThreads keys into `sorted`, shared memory for so many. The leading bits of the depths are sorted
// in registers, with the place of the key in the bits below; keys whose leading bits are equal are put right
// afterwards. `loaded` is shared memory for kSortChunk keys, and not used for more of them.
template <int kEach>
__device__ __forceinline__ void sort_short(const uint64* keys, int count, uint64* loaded, uint64* sorted) {
  static_assert(kEach <= kMostEach, "finish_values knows no more");
  constexpr int kSlots = kEach * kSortThreads;
  constexpr bool kHeld = kSlots <= kSortChunk;  // else the keys are read twice
  uint32 values[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int slot = i * kSortThreads + threadIdx.x;
    values[i] = kAllLanes;  // no key's: its slot would be the last, and then there is no room to fill
    if (slot < count) {
      if (kHeld) {
        const uint64 key = keys[slot];
        loaded[slot] = key;
        values[i] = (uint32(key >> 32) & ~uint32(kSlots - 1)) | uint32(slot);
      } else {
        values[i] = uint32(keys[slot] >> 32);
      }
    }
  }
  if (!kHeld) {
    int shift;
    const uint32 least = relative_to_least(values, count, 1 + __clz(kSlots), shift);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int slot = i * kSortThreads + threadIdx.x;
      if (slot < count) values[i] = ((values[i] - least) >> shift) * kSlots | uint32(slot);
    }
  }
  uint32* buffer = reinterpret_cast<uint32*>(sorted);
  if (kEach > 1) compare_values<kEach, 1>(values);
  if (kEach > 2) compare_values<kEach, 3>(values), compare_values<kEach, 1>(values);
  if (kEach > 4) compare_values<kEach, 7>(values), compare_values<kEach, 2>(values), compare_values<kEach, 1>(values);
  if (kEach > 8) compare_values<kEach, 15>(values), compare_values<kEach, 4>(values), compare_values<kEach, 2>(values),
                 compare_values<kEach, 1>(values);
  // stops early only for kEach = 1, where keys fill the threads from the first on
  for (int threads = 2; threads <= kSortThreads && (threads >> 1) * kEach < count; threads <<= 1) {
    compare_threads<kEach, true>(values, threads - 1, buffer);
    for (int mask = threads >> 2; mask > 0; mask >>= 1) compare_threads<kEach, false>(values, mask, buffer);
    finish_values<kEach>(values);
  }
  const uint64* source = kHeld ? loaded : keys;
  if constexpr (kEach >= 8) {
    // Neighbouring threads write neighbouring keys, for the banks: they read in the last quarter of `sorted` which ones,
    // and what that quarter says of itself before it is overwritten.
    constexpr int kFree = kSlots / 4 * 3, kLast = kEach / 4;
    uint32* pairs = reinterpret_cast<uint32*>(sorted + kFree);
#pragma unroll
    for (int i = 0; i < kEach; i += 2)
      pairs[(int(threadIdx.x) * kEach + i) / 2] =
          (values[i] & uint32(kSlots - 1)) | (values[i + 1] & uint32(kSlots - 1)) << 16;
    __syncthreads();
    const unsigned short* slots = reinterpret_cast<const unsigned short*>(pairs);
#pragma unroll 2
    for (int place = threadIdx.x; place < min(count, kFree); place += kSortThreads)
      sorted[place] = source[slots[place]];
    uint32 last[kLast];
#pragma unroll
    for (int i = 0; i < kLast; ++i) last[i] = slots[kFree + i * kSortThreads + threadIdx.x];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kLast; ++i) {
      const int place = kFree + i * kSortThreads + threadIdx.x;
      if (place < count) sorted[place] = source[last[i]];
    }
  } else {
    __syncthreads();  // `loaded` is complete, `buffer` read
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int place = int(threadIdx.x) * kEach + i;
      if (place < count) sorted[place] = source[values[i] & uint32(kSlots - 1)];
    }
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
  bitonic_sort(sorted, count);  // many surfels at one depth
}

// ---- long lists --------------------------------------------------------------------------------------------

// Merge each two neighbouring sorted runs of `run` keys, the last of which may be shorter or alone. Every thread finds
// where its equal share of the two begins in each, and merges it by itself. Leaves keys or, as uint32, entries.
template <class Left>
__device__ __forceinline__ void merge_runs(const uint64* keys, Left* merged, int count, int run) {
  constexpr uint64 kNone = ~0ull;  // greater than any key: no index has all bits
  for (int begin = 0; begin < count; begin += 2 * run) {
    const int first_count = min(run, count - begin), second_count = min(run, count - begin - first_count);
    const uint64 *first = keys + begin, *second = first + first_count;
    const int all = first_count + second_count, share = (all + kSortThreads - 1) / kSortThreads;
    const int from = min(int(threadIdx.x) * share, all), to = min(from + share, all);
    int a = max(from - second_count, 0);  // of the `from` least keys so many are of the first run
    for (int high = min(from, first_count); a < high;) {
      const int middle = (a + high) / 2;
      if (first[middle] < second[from - 1 - middle]) a = middle + 1;
      else high = middle;
    }
    int b = from - a;
    uint64 x = a < first_count ? first[a] : kNone, y = b < second_count ? second[b] : kNone;
    for (int i = from; i < to; ++i) {
      const bool take_first = x < y;
      merged[begin + i] = Left(take_first ? x : y);
      if (take_first) x = ++a < first_count ? first[a] : kNone;
      else y = ++b < second_count ? second[b] : kNone;
    }
  }
  __syncthreads();
}

// Sort a list whose runs of kMostKeys keys are sorted; leaves its entries in order. `spare` has room for `count` keys.
__device__ __forceinline__ void merge_list(uint64* keys, uint64* spare, uint32* entries, int count) {
  int run = kMostKeys;
  for (; 2 * run < count; run *= 2) {
    merge_runs(keys, spare, count, run);
    uint64* const merged = spare;
    spare = keys;
    keys = merged;
  }
  merge_runs(keys, entries, count, run);
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
