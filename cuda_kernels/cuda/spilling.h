// Tiles whose entries did not fit.
//
// `capacity` is chosen by the host before it can know how many entries a call needs. Entries are laid out
// tile by tile, so the ones that do not fit are those of all tiles from some tile on. Nothing is dropped:
// the spilled tiles are drawn by a few blocks that build each tile's list themselves, from all surfels of the
// view, in a row of scratch memory that is long enough for every surfel. Slow, exact, and without the host;
// the host reads `needed` later and gives the next call more room.
#pragma once

#include "footprints.h"
#include "sorting.h"

// The first tile that did not fit (all later ones spill too), by bisection: `offsets` ascends.
__device__ __forceinline__ int first_spilled_tile(const Launch& p) {
  const int tiles = p.views * p.tiles_x * p.tiles_y;
  int low = 0, high = tiles;  // tiles below `low` fit; `high` and beyond do not
  while (low < high) {
    const int middle = (low + high) / 2;
    if (p.offsets[middle + 1] <= p.capacity) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Build and sort the list of `tile` in `keys`; returns its length. For all threads of a block; `counter` and
// `chunk` are shared memory.
__device__ inline int build_list(const Launch& p, int tile, uint64* keys, int* counter, uint64* chunk) {
  const int tiles = p.tiles_x * p.tiles_y;
  const int view = tile / tiles, tile_y = (tile % tiles) / p.tiles_x, tile_x = (tile % tiles) % p.tiles_x;
  if (threadIdx.x == 0) *counter = 0;
  __syncthreads();
  for (int n = threadIdx.x; n < p.surfels; n += blockDim.x) {
    const size_t at = size_t(view) * p.surfels + n;
    if (!p.visible[at]) continue;
    const StoredFootprint f = unpack_footprint(p.records + kRecord * at);
    int first, last;
    tile_rows(f, p, first, last);
    if (tile_y < first || tile_y > last) continue;
    const Outline<float> o = outline(f.shape);
    const uint32 mask = patch_mask(tile_run(o, f, p, tile_y), tile_x);
    if (mask)
      keys[atomicAdd(counter, 1)] = list_key(surfel_depth_key(p, p.depth_bounds + 2 * view, at), n, mask);
  }
  __syncthreads();
  const int count = *counter;
  sort_keys(keys, count, chunk);
  return count;
}
