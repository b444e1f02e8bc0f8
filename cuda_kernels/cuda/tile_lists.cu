// Tile lists: which surfels each 16x16 tile of each view shows, front to back. A counting sort by tile (the
// counts are made by project_surfels) and a sort by depth inside each tile. Reference twin: the stable sort
// by depth of the rasterizer `torch`.
#include "footprints.h"
#include "sorting.h"

constexpr int kScanThreads = 1024;

// The sum over this lane and those before it.
__device__ __forceinline__ int64 warp_scan(int64 value, int lane) {
  for (int step = 1; step < 32; step <<= 1) {
    const int64 other = __shfl_up_sync(kAllLanes, value, step);
    if (lane >= step) value += other;
  }
  return value;
}

// offsets[t] = entries of the tiles before t; cursors become the same; the total goes to the host. One block.
extern "C" __global__ void __launch_bounds__(kScanThreads) scan_tiles(const Launch p) {
  __shared__ int64 warp_sums[32];
  const int tiles = p.views * p.tiles_x * p.tiles_y;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  constexpr int kEach = 16;  // counts of a thread, four a load
  int64 carry = 0;
  for (int base = 0; base < tiles; base += kScanThreads * kEach) {
    const int begin = base + int(threadIdx.x) * kEach;
    int counts[kEach];
    int64 own = 0;
#pragma unroll
    for (int i = 0; i < kEach; i += 4) {
      int4 four = {0, 0, 0, 0};
      if (begin + i + 3 < tiles) {
        four = *reinterpret_cast<const int4*>(p.cursors + begin + i);
      } else {
        if (begin + i < tiles) four.x = p.cursors[begin + i];
        if (begin + i + 1 < tiles) four.y = p.cursors[begin + i + 1];
        if (begin + i + 2 < tiles) four.z = p.cursors[begin + i + 2];
      }
      counts[i] = four.x, counts[i + 1] = four.y, counts[i + 2] = four.z, counts[i + 3] = four.w;
      own += int64(four.x) + four.y + four.z + four.w;
    }
    const int64 sum = warp_scan(own, lane);
    if (lane == 31) warp_sums[warp] = sum;
    __syncthreads();
    if (warp == 0) warp_sums[lane] = warp_scan(warp_sums[lane], lane);
    __syncthreads();
    int64 at = carry + (warp ? warp_sums[warp - 1] : 0) + sum - own;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (begin + i < tiles) {
        // beyond what an int holds every tile has spilled anyway
        const int clipped = int(at < 0x7fffffffLL ? at : 0x7fffffffLL);
        p.offsets[begin + i] = clipped;
        p.cursors[begin + i] = clipped;
      }
      at += counts[i];
    }
    carry += warp_sums[31];
    __syncthreads();
  }
  for (int i = threadIdx.x; i < 2 * p.views; i += kScanThreads) p.depth_bounds[i] = p.found_bounds[i];
  if (threadIdx.x == 0) {
    p.offsets[tiles] = int(carry < 0x7fffffffLL ? carry : 0x7fffffffLL);
    *reinterpret_cast<volatile int64*>(p.needed) = carry;
  }
}

// Put every surfel into the lists of its tiles, in any order. One thread a (view, surfel).
extern "C" __global__ void __launch_bounds__(kThreads) scatter_entries(const Launch p) {
  const int n = blockIdx.x * kThreads + threadIdx.x, view = blockIdx.y, lane = threadIdx.x & 31;
  const size_t first = size_t(view) * p.surfels;
  const uint32* bounds = p.depth_bounds + 2 * view;
  const bool seen = n < p.surfels && p.visible[first + n];
  StoredFootprint stored{};
  uint32 depth = 0;
  if (seen) {
    stored = unpack_footprint(p.footprints + 2 * (first + n));
    depth = surfel_depth_key(p, bounds, first + n);
  }
  int* cursors = p.cursors + size_t(view) * p.tiles_x * p.tiles_y;
  visit_warp_rows(seen, stored, p, [&](int owner, const Outline<float>& o, const StoredFootprint& f,
                                       int tile_y, int tile_x, int end) {
    // a tall surfel's tiles are visited by other lanes than its own
    const int index = n - lane + owner;
    const uint32 key = owner == lane ? depth : surfel_depth_key(p, bounds, first + index);
    const PatchRows rows = patch_rows(o, f, p, tile_y);
    int* row = cursors + tile_y * p.tiles_x;
    constexpr int kAtOnce = 4;  // answers of atomics to wait for together
    for (; tile_x <= end; tile_x += kAtOnce) {
      int places[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i)
        places[i] = tile_x + i <= end ? atomicAdd(row + tile_x + i, 1) : p.capacity;
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i)
        if (uint32(places[i]) < uint32(p.capacity))
          p.keys[places[i]] = list_key(key, index, patch_mask(rows, tile_x + i));
    }
  });
}

// Sort each tile's list. One block a tile.
extern "C" __global__ void __launch_bounds__(128) sort_tiles(const Launch p) {
  __shared__ uint64 chunk[kSortChunk];
  const int begin = p.offsets[blockIdx.x], end = p.offsets[blockIdx.x + 1];
  if (begin == end || end > p.capacity) return;
  sort_keys(p.keys + begin, end - begin, chunk);
  for (int i = begin + threadIdx.x; i < end; i += blockDim.x) p.entries[i] = uint32(p.keys[i]);
}
