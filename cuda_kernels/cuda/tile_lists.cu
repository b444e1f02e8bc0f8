// Tile lists: which surfels each 16x16 tile of each view shows, front to back. A counting sort by tile (the entries,
// their counts and their ranks are made by project_surfels) and a sort by depth inside each tile. Reference twin: the
// stable sort by depth of the rasterizer `torch`.
#include "blocks.h"
#include "footprints.h"
#include "sorting.h"

constexpr int kScanThreads = 1024;

// offsets[t] = entries of the tiles before t. Each block takes a run of tiles and adds up by itself what all the tiles
// before them count.
extern "C" __global__ void __launch_bounds__(kScanThreads) scan_tiles(const Launch p) {
  constexpr int kWarps = kScanThreads / 32;
  __shared__ int64 sums[2][kWarps];
  const int tiles = p.views * p.tiles_x * p.tiles_y, step = int(gridDim.x) * kScanThreads;
  const int rounds = (tiles + step - 1) / step;
  const int begin = int(blockIdx.x) * rounds * kScanThreads;
  int64 own = 0, carry;
  for (int tile = threadIdx.x; tile < min(begin, tiles); tile += kScanThreads) own += p.counts[tile];
  block_scan<kWarps>(own, sums[1], carry);
  for (int round = 0; round < rounds; ++round) {
    const int tile = begin + round * kScanThreads + int(threadIdx.x);
    const int64 count = tile < tiles ? p.counts[tile] : 0;
    int64 total;
    const int64 at = carry + block_scan<kWarps>(count, sums[round & 1], total);
    // beyond what an int holds every tile has spilled anyway
    if (tile < tiles) p.offsets[tile] = int(at < 0x7fffffffLL ? at : 0x7fffffffLL);
    carry += total;
  }
  if (blockIdx.x + 1 != gridDim.x) return;
  for (int i = threadIdx.x; i < 2 * p.views; i += kScanThreads) p.depth_bounds[i] = p.found_bounds[i];
  if (threadIdx.x == 0) p.offsets[tiles] = int(carry < 0x7fffffffLL ? carry : 0x7fffffffLL);
}

constexpr int kClasses = 64;

// The longer a list the lower the class, four of them an octave.
__device__ __forceinline__ int length_class(int count) {
  if (count >= 4) {
    const int octave = 31 - __clz(count);
    count = min(4 * (octave - 1) + ((count >> (octave - 2)) & 3), kClasses - 1);
  }
  return kClasses - 1 - count;
}

// Order the tiles of one view by class, and by place in a class: a counting sort by one block, whose warps take a run of
// tiles each. In a launch the work that takes longest then begins first, and a view's surfels stay in the cache.
__device__ void order_tiles(const Launch& p, int view) {
  constexpr int kWarps = kThreads / 32, kStarts = kClasses * kWarps;
  static_assert(kStarts == 2 * kThreads, "two a thread");
  __shared__ int starts[kStarts], sums[kWarps];  // for each class, its tiles of each warp
  const int tiles = p.tiles_x * p.tiles_y, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int rounds = (tiles + kThreads - 1) / kThreads, begin = 32 * rounds * warp;
  const int* offsets = p.offsets + view * tiles;
  for (int i = threadIdx.x; i < kStarts; i += kThreads) starts[i] = 0;
  __syncthreads();
  for (int pass = 0; pass < 2; ++pass) {  // counts, then places
    for (int round = 0; round < rounds; ++round) {
      const int tile = begin + 32 * round + lane;
      const int found = tile < tiles ? length_class(offsets[tile + 1] - offsets[tile]) : -1;
      const uint32 same = __match_any_sync(kAllLanes, found), before = same & lanes_before(lane);
      int* const start = starts + kWarps * max(found, 0) + warp;
      const int place = *start + __popc(before);
      __syncwarp();
      if (found >= 0) {
        if (before == 0) *start += __popc(same);
        if (pass) p.order[view * tiles + place] = view * tiles + tile;
      }
      __syncwarp();
    }
    if (pass) break;
    __syncthreads();
    const int one = starts[2 * threadIdx.x], two = starts[2 * threadIdx.x + 1];
    int total;
    const int sum = block_scan<kWarps>(one + two, sums, total);
    starts[2 * threadIdx.x] = sum;
    starts[2 * threadIdx.x + 1] = sum + one;
    __syncthreads();
  }
}

// Where not all entries fitted in the notes of projection: enumerate them once more, for those of the tiles that fit.
__device__ void scatter_again(const Launch& p, int block, int blocks) {
  const int tiles = p.tiles_x * p.tiles_y;
  const int64 count = int64(p.views) * p.surfels;
  for (int64 at = block * kThreads + int(threadIdx.x); at < count; at += int64(blocks) * kThreads) {
    if (!p.visible[at]) continue;
    const int view = int(at / p.surfels), index = int(at % p.surfels);
    const StoredFootprint f = unpack_footprint(p.records + kRecord * at);
    const uint32 depth = surfel_depth_key(p, p.depth_bounds + 2 * view, at);
    const Outline<float> o = outline(f.shape);
    int first, last;
    tile_rows(f, p, first, last);
    for (int tile_y = first; tile_y <= last; ++tile_y) {
      const TileRun run = tile_run(o, f, p, tile_y);
      for (int tile_x = run.first; tile_x <= run.last; ++tile_x) {
        const int tile = view * tiles + tile_y * p.tiles_x + tile_x;
        const int64 place = int64(p.offsets[tile]) + atomicSub(p.counts + tile, 1) - 1;
        if (place < p.capacity) p.keys[place] = list_key(depth, index, patch_mask(run, tile_x));
      }
    }
  }
}

// Put every entry into the list of its tile, in any order. Threads stride over the entries. Before them a block a view
// finds in which order its tiles are best worked on, which nobody waits for here.
extern "C" __global__ void __launch_bounds__(kThreads) scatter_entries(const Launch p) {
  if (int(blockIdx.x) < p.views) {
    // the host's memory is far: told here, where others work meanwhile
    if (blockIdx.x == 0 && threadIdx.x == 0) *reinterpret_cast<volatile uint64*>(p.needed) = *p.reserved;
    order_tiles(p, int(blockIdx.x));
    return;
  }
  const int block = int(blockIdx.x) - p.views, blocks = int(gridDim.x) - p.views;
  const int tiles = p.tiles_x * p.tiles_y, count = p.offsets[p.views * tiles];
  if (count > p.capacity) {
    scatter_again(p, block, blocks);
    return;
  }
  const int step = blocks * kThreads;
#pragma unroll 4
  for (int i = block * kThreads + int(threadIdx.x); i < count; i += step) {
    const int4 place = p.places[i];
    const uint64 bits = uint64(uint32(place.y)) << 32 | uint32(place.x);
    const uint32 depth = depth_key(p.depth_bounds + 2 * (uint32(place.z) / uint32(tiles)), bits);
    p.keys[p.offsets[place.z] + place.w] = uint64(depth) << 32 | p.entries[i];
  }
}

// Blocks of a multiprocessor that the registers must suffice for: 48 a thread.
constexpr int kResident = 10;

// Sort each tile's list. One block a tile, the longest lists of a view first.
extern "C" __global__ void __launch_bounds__(kSortThreads, kResident) sort_tiles(const Launch p) {
  __shared__ uint64 memory[kMostKeys];
  static_assert(kMostKeys == 2 * kSortChunk, "of shorter lists it holds the keys as they are and in order");
  uint64 *const sorted = memory, *const loaded = memory + kSortChunk;
  const int tile = p.order[blockIdx.x], begin = p.offsets[tile], end = p.offsets[tile + 1];
  if (begin == end || end > p.capacity) return;
  for (int base = begin; base < end; base += kMostKeys) {
    const uint64* keys = p.keys + base;
    const int count = min(end - base, kMostKeys);
    if (count <= kSortThreads) sort_short<1>(keys, count, loaded, sorted);
    else if (count <= 2 * kSortThreads) sort_short<2>(keys, count, loaded, sorted);
    else if (count <= 4 * kSortThreads) sort_short<4>(keys, count, loaded, sorted);
    else if (count <= 8 * kSortThreads) sort_short<8>(keys, count, loaded, sorted);
    else sort_short<16>(keys, count, loaded, sorted);
    if (end - begin <= kMostKeys) {
      for (int i = threadIdx.x; i < count; i += kSortThreads) p.entries[begin + i] = uint32(sorted[i]);
      return;
    }
    for (int i = threadIdx.x; i < count; i += kSortThreads) p.keys[base + i] = sorted[i];
    __syncthreads();
  }
  merge_list(p.keys + begin, reinterpret_cast<uint64*>(p.places + begin), p.entries + begin, end - begin);
}
