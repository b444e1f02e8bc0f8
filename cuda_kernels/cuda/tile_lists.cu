// Tile lists: which surfels each 16x16 tile of each view shows, front to back. A counting sort by tile (the entries,
// their counts and their ranks are made by project_surfels) and a sort by depth inside each tile. Reference twin: the
// stable sort by depth of the rasterizer `torch`.
#include "blocks.h"
#include "footprints.h"
#include "sorting.h"

constexpr int kScanThreads = 1024;

// offsets[t] = entries of the tiles before t; the total goes to the host. Each block takes a run of tiles and adds up by
// itself what all the tiles before them count.
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
  if (threadIdx.x == 0) {
    p.offsets[tiles] = int(carry < 0x7fffffffLL ? carry : 0x7fffffffLL);
    *reinterpret_cast<volatile int64*>(p.needed) = carry;
  }
}

// Where not all entries fitted in the notes of projection: enumerate them once more, for those of the tiles that fit.
__device__ void scatter_again(const Launch& p) {
  const int tiles = p.tiles_x * p.tiles_y;
  const int64 count = int64(p.views) * p.surfels;
  for (int64 at = blockIdx.x * kThreads + threadIdx.x; at < count; at += int64(gridDim.x) * kThreads) {
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

// Put every entry into the list of its tile, in any order. Threads stride over the entries.
extern "C" __global__ void __launch_bounds__(kThreads) scatter_entries(const Launch p) {
  const int tiles = p.tiles_x * p.tiles_y, count = p.offsets[p.views * tiles];
  if (count > p.capacity) {
    scatter_again(p);
    return;
  }
  const int step = int(gridDim.x) * kThreads;
#pragma unroll 4
  for (int i = blockIdx.x * kThreads + threadIdx.x; i < count; i += step) {
    const int4 place = p.places[i];
    const uint64 bits = uint64(uint32(place.y)) << 32 | uint32(place.x);
    const uint32 depth = depth_key(p.depth_bounds + 2 * (uint32(place.z) / uint32(tiles)), bits);
    p.keys[p.offsets[place.z] + place.w] = uint64(depth) << 32 | p.entries[i];
  }
}

template <int kEach>
__device__ __forceinline__ void sort_short_tile(const Launch& p, int begin, int count, uint64* loaded, uint64* sorted) {
  sort_short<kEach>(p.keys + begin, count, loaded, sorted);
  for (int i = threadIdx.x; i < count; i += kSortThreads) p.entries[begin + i] = uint32(sorted[i]);
}

// Sort each tile's list. One block a tile.
extern "C" __global__ void __launch_bounds__(kSortThreads) sort_tiles(const Launch p) {
  __shared__ uint64 loaded[kSortChunk], sorted[kSortChunk];
  const int begin = p.offsets[blockIdx.x], end = p.offsets[blockIdx.x + 1], count = end - begin;
  if (count == 0 || end > p.capacity) return;
  if (count <= kSortThreads) return sort_short_tile<1>(p, begin, count, loaded, sorted);
  if (count <= 2 * kSortThreads) return sort_short_tile<2>(p, begin, count, loaded, sorted);
  if (count <= 4 * kSortThreads) return sort_short_tile<4>(p, begin, count, loaded, sorted);
  if (count <= 8 * kSortThreads) return sort_short_tile<8>(p, begin, count, loaded, sorted);
  sort_keys(p.keys + begin, count, loaded);
  for (int i = threadIdx.x; i < count; i += kSortThreads) p.entries[begin + i] = uint32(p.keys[begin + i]);
}
