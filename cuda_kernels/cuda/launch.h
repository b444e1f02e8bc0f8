// What every rasterizer kernel is given: one structure by value, filled once a call by
// surfhead/kernels/cuda_rasterizer.py (class Launch mirrors it field by field, in this order).
#pragma once

#include "../surfel.h"

using namespace surfel;

using int64 = long long;
using uint64 = unsigned long long;
using uint32 = unsigned int;

// A tile is 16x16 pixels, eight patches of 8x4. A warp draws a patch and waits for no other, so the compositing
// blocks are small: a block's registers come free when its slowest warp ends.
constexpr int kTile = 16;
constexpr int kPatchWidth = 8;
constexpr int kPatchHeight = 4;
constexpr int kPatches = 8;     // of a tile
constexpr int kBlockWarps = 2;  // patches of a compositing block; mirrored in cuda_rasterizer.py
constexpr int kThreads = 256;   // of the other kernels' blocks
constexpr uint32 kAllLanes = 0xffffffffu;
constexpr int kRecord = 8;      // float4s of one projected surfel: a line of the cache
constexpr int kSurfelParts = 5;  // of them: the surfel and its colour
constexpr int kFootprint = 5;    // the first of its footprint's two; the last holds nothing
constexpr int kParts = 7;        // that hold anything
constexpr int kGradients = 20;  // floats that backward compositing sums for a surfel (moments.h)

struct Launch {
  // sizes
  int views, poses, surfels, height, width, tiles_x, tiles_y;
  int capacity;      // entries that fit in `keys` and `entries`
  int spill_blocks;  // rows of `surfels` keys that fit in `keys`
  float near;
  // inputs
  const float *mean, *tangents, *normal, *opacity, *colour;
  const float *camera_from_world, *intrinsics, *background;
  const int64* pose_of_view;
  // what forward leaves for backward
  float4* records;     // (views, surfels, 8)
  uint32* depth_bounds;  // (views, 2) complement of the least, and the greatest, depth's bits
  int* offsets;        // (views * tiles + 1) where each tile's entries begin
  int* order;          // (views * tiles) each view's tiles, those with the longest lists first
  uint32* entries;     // (capacity) surfel index << 8 | patches of the tile it may touch; from the sort on by tile and
                       // depth, before it in any order
  float4* pixel_sums;  // (views, height, width) transmittance at the end, D1, D2, depth they count from
  int2* pixel_places;  // (views, height, width) before which a pixel composited; of the median pair or -1
  // scratch
  uint64* reserved;    // entries that projection has found so far, zeroed
  uint32* found_bounds;  // (views, 2) depth_bounds while they are being found, zeroed
  int* counts;         // (views * tiles) entries of each tile, zeroed
  int4* places;        // (capacity) of each entry that projection left in `entries`: bits of its depth as a double
                       // (two words), tile of all views, rank among the tile's entries in no particular order;
                       // once scattered, room for merging long lists
  uint64* keys;        // (capacity) depth bits << 32 | entry
  int64* needed;       // entries this call needed; host memory, read by the host whenever it likes
  // outputs
  float *rgb, *alpha, *normal_map, *depth, *median_depth, *distortion, *radius;
  bool* visible;
  // upstream gradients (null: zero)
  const float *g_rgb, *g_alpha, *g_normal_map, *g_depth, *g_median_depth, *g_distortion;
  // gradients
  float* surfel_gradients;  // (views, surfels, 20), zeroed
  float *g_mean, *g_tangents, *g_normal, *g_opacity, *g_colour;
};

// ---- warps -----------------------------------------------------------------------------------------------

// The lanes before this one, as bits.
__device__ __forceinline__ uint32 lanes_before(int lane) { return (1u << lane) - 1u; }

// ---- records ---------------------------------------------------------------------------------------------

struct Record {
  Surfel<float> surfel;
  float rgb[3];
};

__device__ __forceinline__ void pack(const Record& r, float4* out) {
  const Surfel<float>& s = r.surfel;
  out[0] = make_float4(s.x, s.y, s.x_low, s.y_low);
  out[1] = make_float4(s.ux, s.uy, s.vx, s.vy);
  out[2] = make_float4(s.w0, s.wx, s.wy, s.z);
  out[3] = make_float4(s.z_low, s.opacity, r.rgb[0], r.rgb[1]);
  out[4] = make_float4(r.rgb[2], s.normal[0], s.normal[1], s.normal[2]);
}

// All but the last blue and the normal, which only pairs that count need.
__device__ __forceinline__ Record unpack(float4 a, float4 b, float4 c, float4 d) {
  Record r;
  Surfel<float>& s = r.surfel;
  s.x = a.x, s.y = a.y, s.x_low = a.z, s.y_low = a.w;
  s.ux = b.x, s.uy = b.y, s.vx = b.z, s.vy = b.w;
  s.w0 = c.x, s.wx = c.y, s.wy = c.z, s.z = c.w;
  s.z_low = d.x, s.opacity = d.y, s.reach = 0.0f;
  r.rgb[0] = d.z, r.rgb[1] = d.w;
  return r;
}
__device__ __forceinline__ void unpack_rest(float4 e, Record& r) {
  r.rgb[2] = e.x;
  r.surfel.normal[0] = e.y, r.surfel.normal[1] = e.z, r.surfel.normal[2] = e.w;
}

// ---- cameras ---------------------------------------------------------------------------------------------

constexpr int kCameraNumbers = sizeof(Camera<double>) / sizeof(double);
static_assert(kCameraNumbers == 19, "in the order of Camera, which camera_number knows");

// Number `i` of a view's camera, in the order of Camera; 0 beyond them.
__device__ __forceinline__ float camera_number(const Launch& p, int view, int i) {
  const float* from = p.camera_from_world + 16 * view + (i < 9 ? 4 * (i / 3) + i % 3 : 4 * (i - 9) + 3);
  if (i >= 12) from = p.intrinsics + 9 * view + (i == 12 ? 0 : i == 13 ? 4 : i == 14 ? 2 : 5);
  if (i < 16) return *from;
  return i == 16 ? p.near : i == 17 ? float(p.width) : i == 18 ? float(p.height) : 0.0f;
}

// Widen what each lane has of a camera into the warp's place in shared memory: a conversion a lane instead of one a
// number in every lane. For all lanes of a warp, which may read it after.
__device__ __forceinline__ void widen_camera(float number, Camera<double>& camera) {
  const int lane = threadIdx.x & 31;
  if (lane < kCameraNumbers) reinterpret_cast<double*>(&camera)[lane] = double(number);
  __syncwarp();
}
