// Which tiles, and which 8x4 patches of them, a footprint may touch.
#pragma once

#include "launch.h"

// A footprint about its absolute centre, as it is stored between the kernels: all passes that enumerate
// tiles read these very numbers, so that they agree on every tile.
struct StoredFootprint {
  float x, y;
  Footprint<float> shape;
};

__device__ __forceinline__ void pack(const StoredFootprint& f, float4* out) {
  out[0] = make_float4(f.x, f.y, f.shape.ex, f.shape.ey);
  out[1] = make_float4(f.shape.whole ? -1.0f : f.shape.sxx, f.shape.sxy, f.shape.syy, f.shape.disc);
}

__device__ __forceinline__ StoredFootprint unpack_footprint(const float4* in) {
  const float4 a = in[0], b = in[1];
  StoredFootprint f;
  f.x = a.x, f.y = a.y;
  f.shape.ex = a.z, f.shape.ey = a.w;
  f.shape.whole = b.x < 0.0f;
  f.shape.sxx = b.x, f.shape.sxy = b.y, f.shape.syy = b.z, f.shape.disc = b.w;
  return f;
}

// The first and last tile row that the footprint may touch; last < first where it misses the picture.
__device__ __forceinline__ void tile_rows(const StoredFootprint& f, const Launch& p, int& first, int& last) {
  first = 0;
  last = p.tiles_y - 1;
  if (f.shape.whole) return;
  const float hy = square_root(greater(f.shape.syy, 0.0f)) * 1.001f + 0.1f;
  const float top = f.y + lesser(f.shape.ey - hy, -f.shape.disc - 0.1f);
  const float bottom = f.y + greater(f.shape.ey + hy, f.shape.disc + 0.1f);
  // clamped before the conversion: a float out of int's range has no defined value
  first = int(lesser(greater(top, 0.0f), float(p.height)) * (1.0f / kTile));
  last = min(last, int(lesser(greater(bottom, -1.0f), float(p.height)) + float(kTile)) / kTile - 1);
}

// First and last pixel column whose centre lies in a span of the footprint; false where there is none.
__device__ __forceinline__ bool span_columns(const Outline<float>& o, const StoredFootprint& f, const Launch& p,
                                             int row, int rows, int& first, int& last) {
  const float y0 = float(row) + 0.5f - f.y;
  float x0, x1;
  if (!footprint_span(o, y0, y0 + float(rows - 1), x0, x1)) return false;
  first = int(lesser(greater(ceilf(f.x + x0 - 0.5f), 0.0f), float(p.width)));
  last = int(lesser(greater(floorf(f.x + x1 - 0.5f), -1.0f), float(p.width - 1)));
  return first <= last;
}

// The tiles of one tile row that the footprint touches; last < first where there are none.
__device__ __forceinline__ void tile_columns(const Outline<float>& o, const StoredFootprint& f,
                                             const Launch& p, int tile_y, int& first, int& last) {
  if (span_columns(o, f, p, tile_y * kTile, kTile, first, last)) {
    first /= kTile;
    last /= kTile;
  } else {
    first = 0;
    last = -1;
  }
}

// The patches of one tile row that a footprint touches: for each of the four rows of patches, the first and
// last column of patches (in units of 8 pixels); empty rows have last < first.
struct PatchRows {
  int first[4], last[4];
};

__device__ __forceinline__ PatchRows patch_rows(const Outline<float>& o, const StoredFootprint& f,
                                                const Launch& p, int tile_y) {
  PatchRows rows;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    int first, last;
    const bool found = span_columns(o, f, p, tile_y * kTile + r * kPatchHeight, kPatchHeight, first, last);
    rows.first[r] = found ? first / kPatchWidth : 0;
    rows.last[r] = found ? last / kPatchWidth : -1;
  }
  return rows;
}

// Bit 2 r + c is set where the footprint touches the patch in row r, column c of the tile.
__device__ __forceinline__ uint32 patch_mask(const PatchRows& rows, int tile_x) {
  uint32 mask = 0;
#pragma unroll
  for (int r = 0; r < 4; ++r)
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int column = 2 * tile_x + c;
      if (column >= rows.first[r] && column <= rows.last[r]) mask |= 1u << (2 * r + c);
    }
  return mask;
}

// Call visit(tile row, first tile column, last) for the rows first, first + step, ... <= last that the footprint
// touches.
template <class Visit>
__device__ __forceinline__ void visit_rows(const Outline<float>& o, const StoredFootprint& f, const Launch& p,
                                           int first, int last, int step, Visit visit) {
  for (int tile_y = first; tile_y <= last; tile_y += step) {
    int tile_x, end;
    tile_columns(o, f, p, tile_y, tile_x, end);
    if (tile_x <= end) visit(tile_y, tile_x, end);
  }
}

// The same for the surfels of a whole warp, each lane with its own (valid or not): tall footprints are shared
// out over the lanes by tile rows, so that one large surfel does not hold up its warp.
// visit(lane that owns the surfel, its outline, its footprint, tile row, first tile column, last).
template <class Visit>
__device__ __forceinline__ void visit_warp_rows(bool valid, const StoredFootprint& f, const Launch& p,
                                                Visit visit) {
  constexpr int kTall = 6;
  const int lane = threadIdx.x & 31;
  int first = 0, last = -1;
  if (valid) tile_rows(f, p, first, last);
  const bool tall = last - first >= kTall;
  if (!tall) {
    const Outline<float> o = outline(f.shape);
    visit_rows(o, f, p, first, last, 1, [&](int y, int x, int end) { visit(lane, o, f, y, x, end); });
  }
  uint32 waiting = __ballot_sync(kAllLanes, tall);
  while (waiting) {
    const int owner = __ffs(waiting) - 1;
    waiting &= waiting - 1;
    StoredFootprint g;
    g.x = __shfl_sync(kAllLanes, f.x, owner);
    g.y = __shfl_sync(kAllLanes, f.y, owner);
    g.shape.ex = __shfl_sync(kAllLanes, f.shape.ex, owner);
    g.shape.ey = __shfl_sync(kAllLanes, f.shape.ey, owner);
    g.shape.sxx = __shfl_sync(kAllLanes, f.shape.sxx, owner);
    g.shape.sxy = __shfl_sync(kAllLanes, f.shape.sxy, owner);
    g.shape.syy = __shfl_sync(kAllLanes, f.shape.syy, owner);
    g.shape.disc = __shfl_sync(kAllLanes, f.shape.disc, owner);
    g.shape.whole = __shfl_sync(kAllLanes, int(f.shape.whole), owner) != 0;
    const int from = __shfl_sync(kAllLanes, first, owner) + lane, to = __shfl_sync(kAllLanes, last, owner);
    const Outline<float> o = outline(g.shape);
    visit_rows(o, g, p, from, to, 32, [&](int y, int x, int end) { visit(owner, o, g, y, x, end); });
  }
}
