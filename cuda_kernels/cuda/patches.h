// What the forward and backward compositing share: a warp's patch of 8x4 pixels; and for backward, whose pixels meet a
// surfel together, the staging of those that touch the patch.
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

// Up to 32 surfels in a warp's shared memory.
struct Staged {
  float4 records[32][kSurfelParts];
  int2 names[32];  // index of the surfel; place in the tile's list
};

// A warp's Staged by its address in shared memory: with plain pointers the compiler makes that address anew for
// every surfel. What is no GPU has only those.
struct Stage {
#if defined(__CUDA_ARCH__)
  uint32 address;

  __device__ __forceinline__ explicit Stage(Staged* staged) {
    // through an instruction that may not be repeated
    asm volatile("mov.b32 %0, %1;"
                 : "=r"(address)
                 : "r"(uint32(__cvta_generic_to_shared(staged + (threadIdx.x >> 5)))));
  }

  __device__ __forceinline__ float4 part(int slot, int i) const {
    float4 v;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "r"(address + slot * int(sizeof(float4) * kSurfelParts) + i * int(sizeof(float4))));
    return v;
  }
  __device__ __forceinline__ int2 name(int slot) const {
    int2 v;
    asm volatile("ld.shared.v2.s32 {%0, %1}, [%2];"
                 : "=r"(v.x), "=r"(v.y)
                 : "r"(address + int(sizeof(float4) * kSurfelParts * 32) + slot * int(sizeof(int2))));
    return v;
  }
#else
  const Staged& staged;

  explicit Stage(Staged* all) : staged(all[threadIdx.x >> 5]) {}
  float4 part(int slot, int i) const { return staged.records[slot][i]; }
  int2 name(int slot) const { return staged.names[slot]; }
#endif
  // x and y of its surfel: from its centre to the patch's first pixel.
  __device__ __forceinline__ Record record(int slot) const {
    return unpack(part(slot, 0), part(slot, 1), part(slot, 2), part(slot, 3));
  }
  __device__ __forceinline__ void complete(int slot, Record& record) const { unpack_rest(part(slot, 4), record); }
};

// The entry at a place of a tile's list; one that touches nothing from `end` on.
__device__ __forceinline__ uint32 list_entry(const uint32* list, int stride, int place, int end) {
  return place >= 0 && place < end ? list[size_t(place) * stride] : 0u;
}

// Load the surfels of those of 32 entries (each lane with its own, at `place` of the list) that touch this warp's patch,
// in order; returns how many. The place of the surfel's centre is kept as the way from it to the patch's first pixel, so
// that the way to any other is one addition.
__device__ __forceinline__ int stage(const Launch& p, const PatchPixel& pixel, uint32 entry, int place, Staged* block) {
  Staged* staged = block + (threadIdx.x >> 5);
  const int lane = threadIdx.x & 31;
  const bool touches = (entry >> pixel.patch) & 1u;
  const uint32 touching = __ballot_sync(kAllLanes, touches);
  if (touches) {
    const int slot = __popc(touching & lanes_before(lane));
    const int index = int(entry >> 8);
    const float4* record = p.records + kRecord * (size_t(pixel.view) * p.surfels + index);
    const float4 centre = record[0];
    staged->records[slot][0] =
        make_float4(pixel.first_x - centre.x - centre.z, pixel.first_y - centre.y - centre.w, 0.0f, 0.0f);
#pragma unroll
    for (int i = 1; i < kSurfelParts; ++i) staged->records[slot][i] = record[i];
    staged->names[slot] = make_int2(index, place);
  }
  __syncwarp();
  return __popc(touching);
}
