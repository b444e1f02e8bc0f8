// Which tiles, and which 8x4 patches of them, a footprint may touch.
#pragma once

#include "launch.h"

// A footprint about its absolute centre, as it is stored between the kernels, in the last parts of a record: all passes
// that enumerate tiles read these very numbers, so that they agree on every tile.
struct StoredFootprint {
  float x, y;
  Footprint<float> shape;
};

__device__ __forceinline__ void pack(const StoredFootprint& f, float4* out) {
  out[0] = make_float4(f.x, f.y, f.shape.ex, f.shape.ey);
  out[1] = make_float4(f.shape.whole ? -1.0f : f.shape.sxx, f.shape.sxy, f.shape.syy, f.shape.disc);
}

__device__ __forceinline__ StoredFootprint unpack_footprint(float4 a, float4 b) {
  StoredFootprint f;
  f.x = a.x, f.y = a.y;
  f.shape.ex = a.z, f.shape.ey = a.w;
  f.shape.whole = b.x < 0.0f;
  f.shape.sxx = b.x, f.shape.sxy = b.y, f.shape.syy = b.z, f.shape.disc = b.w;
  return f;
}

__device__ __forceinline__ StoredFootprint unpack_footprint(const float4* record) {
  return unpack_footprint(record[kFootprint], record[kFootprint + 1]);
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

__device__ __forceinline__ int rounded_up(float x) {
#if defined(__CUDA_ARCH__)
  return __float2int_ru(x);
#else
  return int(ceilf(x));
#endif
}
__device__ __forceinline__ int rounded_down(float x) {
#if defined(__CUDA_ARCH__)
  return __float2int_rd(x);
#else
  return int(floorf(x));
#endif
}

// First and last pixel column whose centre lies in the footprint's span within `rows` rows; last < first where there is
// none. The span is footprint_span's, bit for bit, without its branches: of the neighbours in a warp each would take
// others.
__device__ __forceinline__ void span_columns(const Outline<float>& o, const StoredFootprint& f, const Launch& p,
                                             int row, int rows, int& first, int& last) {
  constexpr float kFar = 1e30f;  // where a shape is missed: no column is found there
  const float top = float(row) + 0.5f - f.y, y0 = top - o.slack, y1 = top + float(rows - 1) + o.slack;
  const float t = fmaxf(y0, fminf(y1, 0.0f));  // the disc's widest chord in the band
  const float half = fabsf(t) <= o.disc ? rough_root(o.disc * o.disc - t * t) : -kFar;
  const float t0 = fmaxf(y0 - o.ey, -o.hy), t1 = fminf(y1 - o.ey, o.hy);
  const float c0 = o.rest * rough_root(fmaxf(1.0f - t0 * t0 * o.inverse, 0.0f));
  const float c1 = o.rest * rough_root(fmaxf(1.0f - t1 * t1 * o.inverse, 0.0f));
  const float m0 = o.slope * t0, m1 = o.slope * t1;
  const float right = o.tip >= t0 && o.tip <= t1 ? o.hx : fmaxf(m0 + c0, m1 + c1);
  const float left = -o.tip >= t0 && -o.tip <= t1 ? -o.hx : fminf(m0 - c0, m1 - c1);
  const bool met = t0 <= t1;
  const float x0 = fminf(-half, met ? o.ex + left : kFar) - o.widen;
  const float x1 = fmaxf(half, met ? o.ex + right : -kFar) + o.widen;
  // clamped before the conversion: a float out of int's range has no defined value
  first = rounded_up(fminf(fmaxf(f.x + (o.whole ? -kFar : x0) - 0.5f, 0.0f), float(p.width)));
  last = rounded_down(fminf(fmaxf(f.x + (o.whole ? kFar : x1) - 0.5f, -1.0f), float(p.width - 1)));
}

// What a footprint touches in one tile row: for each of its four rows of patches the first and last column of patches
// (in units of 8 pixels; empty rows have last < first), and the tiles from the first to the last column of all.
struct TileRun {
  int first_patch[4], last_patch[4];
  int first, last;  // tiles; last < first where there are none
};

__device__ __forceinline__ TileRun tile_run(const Outline<float>& o, const StoredFootprint& f, const Launch& p,
                                            int tile_y) {
  TileRun run;
  run.first = p.tiles_x;
  run.last = -1;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    int first, last;
    span_columns(o, f, p, tile_y * kTile + r * kPatchHeight, kPatchHeight, first, last);
    const bool found = first <= last;
    // divided as words without a sign, by shifts
    run.first_patch[r] = found ? int(uint32(first) / kPatchWidth) : 0;
    run.last_patch[r] = found ? int(uint32(last) / kPatchWidth) : -1;
    run.first = min(run.first, found ? int(uint32(first) / kTile) : p.tiles_x);
    run.last = max(run.last, run.last_patch[r] >> 1);  // -1 stays -1
  }
  return run;
}

// Bit 2 r + c is set where the footprint touches the patch in row r, column c of the tile; 0 for a tile of the run
// that no patch's row reaches.
__device__ __forceinline__ uint32 patch_mask(const TileRun& run, int tile_x) {
  uint32 mask = 0;
#pragma unroll
  for (int r = 0; r < 4; ++r)
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int column = 2 * tile_x + c;
      if (column >= run.first_patch[r] && column <= run.last_patch[r]) mask |= 1u << (2 * r + c);
    }
  return mask;
}

__device__ __forceinline__ float saturated(float x) {  // to [0, 1]; 0 for NaN
#if defined(__CUDA_ARCH__)
  return __saturatef(x);
#else
  return fminf(fmaxf(x, 0.0f), 1.0f);
#endif
}

// Which pixels of a patch a footprint may touch, bit 8 row + column; `x` and `y` lead from its centre to the patch's
// first pixel. As conservative as footprint_span, but row by row, at the heights of the pixels' centres.
__device__ __forceinline__ uint32 pixel_mask(const Footprint<float>& f, float x, float y) {
  if (f.whole) return kAllLanes;
  constexpr float kScale = 1.0f / kPatchWidth;  // columns as parts of the patch, so that what is outside saturates
  constexpr float kSlack = 0.02f;
  const float hx = rough_root(f.sxx), hy = rough_root(fmaxf(f.syy, 0.0f));
  const float slope = f.syy > 1e-12f ? f.sxy * reciprocal(f.syy) : 0.0f;
  const float chord = kScale * rough_root(fmaxf(fused(-f.sxy, slope, f.sxx), 0.0f));
  const float inverse = reciprocal((hy + kSlack) * (hy + kSlack)), disc = kScale * (f.disc + kSlack);
  const float widen = kScale * (kSlack + 1e-3f * (hx + hy)), start = kScale * x;
  const float middle = kScale * f.ex, lean = kScale * slope;
  uint32 mask = 0;
#pragma unroll
  for (int row = 0; row < kPatchHeight; ++row) {
    const float dy = kScale * y + kScale * float(row), t = (y - f.ey) + float(row);
    // roots of what is negative, where the row misses the shape, are NaN, which the extremes pass over
    const float half = rough_root(fused(-dy, dy, disc * disc));
    const float root = rough_root(fused(-(t * t), inverse, 1.0f)), centre = fused(lean, t, middle);
    const float left = fminf(fused(-chord, root, centre), -half), right = fmaxf(fused(chord, root, centre), half);
    // the first column inside, and the one after the last
    const int first = int(ceilf(float(kPatchWidth) * saturated(left - (widen + start))));
    const int after = int(float(kPatchWidth) * saturated(right + (widen - start + kScale)));
    mask |= uint32(max((1 << after) - (1 << first), 0)) << (kPatchWidth * row);
  }
  return mask;
}
