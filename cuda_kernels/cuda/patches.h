// What the forward and backward compositing share: a warp's patch of 8x4 pixels and the entries of its tile's list.
#pragma once

#include "spilling.h"

// The tile and the patch of this warp in a launch of kPatches / kBlockWarps blocks a tile: the longest lists of a view
// begin first, so that none begins when there is little else left to do.
struct Work {
  int tile, patch;
};

__device__ __forceinline__ Work patch_work(const Launch& p) {
  constexpr int kBlocks = kPatches / kBlockWarps;
  static_assert(kBlocks * kBlockWarps == kPatches, "a block's patches are of one tile");
  return {p.order[blockIdx.x / kBlocks], int(blockIdx.x % kBlocks * kBlockWarps + (threadIdx.x >> 5))};
}

struct PatchPixel {
  int view, patch;
  float x, y;   // column and row in the patch
  float first_x, first_y;  // centre of the patch's first pixel
  size_t at;    // (view, row, column) flattened
  bool inside;  // the picture
};

__device__ __forceinline__ PatchPixel patch_pixel(const Launch& p, int tile, int patch) {
  const int tiles = p.tiles_x * p.tiles_y;
  const int lane = threadIdx.x & 31;
  PatchPixel pixel;
  pixel.patch = patch;
  pixel.view = tile / tiles;
  const int within = tile - pixel.view * tiles;
  const int tile_y = within / p.tiles_x, tile_x = within - tile_y * p.tiles_x;
  const int column = tile_x * kTile + (patch & 1) * kPatchWidth + (lane & 7);
  const int row = tile_y * kTile + (patch >> 1) * kPatchHeight + (lane >> 3);
  pixel.inside = row < p.height && column < p.width;
  pixel.x = float(lane & 7);
  pixel.y = float(lane >> 3);
  pixel.first_x = float(column) - pixel.x + 0.5f;
  pixel.first_y = float(row) - pixel.y + 0.5f;
  pixel.at = (size_t(pixel.view) * p.height + row) * p.width + column;
  return pixel;
}

// Depth of a pair minus the surfel's rounded depth.
__device__ __forceinline__ float pair_offset(const Surfel<float>& surfel, const Hit<float, bool>& hit) {
  return fused(-surfel.z, hit.s * hit.q, surfel.z_low);
}

// The entry at a place of a tile's list; one that touches nothing from `end` on.
__device__ __forceinline__ uint32 list_entry(const uint32* list, int stride, int place, int end) {
  return place >= 0 && place < end ? list[size_t(place) * stride] : 0u;
}
