// The sums of backward compositing, of which a surfel has 19 over its pixels, added up for a patch.
//
// A warp's 32 pixels meet a surfel together. Their addends are summed before memory is touched, and not by shuffles, of
// which one surfel would need a hundred: each pixel leaves six numbers in shared memory, and once kGroup surfels wait
// there, each surfel's lanes add up some columns of the patch each, in registers. Only the last halvings are shuffles.
#pragma once

#include "addresses.h"
#include "patches.h"

// What is summed for a surfel of a view over its pixels (equations 12 to 14); d = (dx, dy) from its centre.
struct alignas(16) Sums {
  float px, py, pxx, pxy, pyy;  // d p and d d^T p
  float s, wx, wy;              // dL/ds, and with d
  float plane, floor;           // e q on the plane, e on the floor
  float share;                  // g
  float floor_x;                // d g on the floor; its y below
  float rgb[3], normal[3];
  float floor_y, unused;
};
constexpr int kSums = sizeof(Sums) / sizeof(float);
static_assert(kSums == kGradients, "rows of surfel_gradients");

constexpr int kGroup = 8;            // surfels that wait
constexpr int kLanes = 32 / kGroup;  // lanes that sum one of them, two columns of the patch each, kLanes apart
static_assert(2 * kLanes == kPatchWidth, "a lane sums two columns");

// A surfel that waits. Neighbours lie half of the banks apart.
struct Waiting {
  float4 planes[32];  // per pixel: p, dL/ds, g, omega
  float2 depths[32];  // e q on the plane, e on the floor
  float4 head;        // of the record
  float4 unused[3];
};
constexpr int kWaiting = sizeof(Waiting);
static_assert(kWaiting % 128 == 64, "banks");
constexpr int kDepths = 32 * sizeof(float4), kHead = kDepths + 32 * sizeof(float2);  // where they lie, in bytes

// What a warp has in shared memory.
struct Bench {
  float4 records[32][kSurfelParts];  // part 0: surfel's centre to the patch's first pixel, bits of its index, z w0
  // of the pixels' Upstream: rgb and normal[0] of each, then normal[1] and normal[2] (normal_place)
  float4 colours[48];
  Waiting waiting[kGroup];
};
constexpr int kRecordBytes = kSurfelParts * sizeof(float4);
// Bytes from the colours' beginning to a pixel's normal[1] and normal[2]: two rows in turn, so that lanes meet
// different banks.
__device__ __forceinline__ constexpr int normal_place(int row, int column) {
  return 512 + 16 * column + 8 * (row % 2) + 128 * (row / 2);
}

// Four sums to four neighbours in memory: one operation where there is one.
__device__ __forceinline__ void add4(float* to, float a, float b, float c, float d) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(a), "f"(b), "f"(c), "f"(d) : "memory");
#else
  atomicAdd(to, a);
  atomicAdd(to + 1, b);
  atomicAdd(to + 2, c);
  atomicAdd(to + 3, d);
#endif
}

// A number's moments over a lane's pixels, built row by row from the last up (Horner): n counts rows, and `right` is
// the second column alone.
template <int kOrder>
struct Columns {
  float sum, row, square;  // of q, n q, n^2 q
  float right, right_row;  // of q, n q in the second column

  // Take row kRow: q of the first column and of the second.
  template <int kRow>
  __device__ __forceinline__ void take(float q, float other) {
    constexpr bool kFirst = kRow == kPatchHeight - 1;
    const float both = q + other;
    sum = kFirst ? both : sum + both;
    if (kOrder == 0) return;
    right = kFirst ? other : right + other;
    if (kRow == 0) return;
    row = kFirst ? sum : row + sum;
    if (kOrder == 1) return;
    constexpr float kSquare = float(2 * kRow - 1);  // n^2 - (n - 1)^2
    square = kFirst ? kSquare * sum : fused(kSquare, sum, square);
    right_row = kFirst ? right : right_row + right;
  }
  // With dx = that of the first column, dy = that of the first row.
  __device__ __forceinline__ float x(float dx) const { return fused(dx, sum, float(kLanes) * right); }
  __device__ __forceinline__ float y(float dy) const { return fused(dy, sum, row); }
  __device__ __forceinline__ float xx(float dx, float x) const {
    return fused(dx, x, fused(float(kLanes), dx, float(kLanes * kLanes)) * right);
  }
  __device__ __forceinline__ float xy(float dx, float dy, float y) const {
    return fused(dx, y, float(kLanes) * fused(dy, right, right_row));
  }
  __device__ __forceinline__ float yy(float dy, float y) const { return fused(dy, row + y, square); }
};

// Sum over a lane and its partner kStep away: of `values` the first kKept stay with the lower lane of the two and the
// others go to the upper one, which counts them from 0.
template <int kStep, int kKept, int K>
__device__ __forceinline__ void halve(float* values) {
  const bool upper = threadIdx.x & kStep;
#pragma unroll
  for (int i = 0; i < kKept; ++i) {
    if (i + kKept < K) {
      const float low = values[i], high = values[i + kKept];
      values[i] = (upper ? high : low) + __shfl_xor_sync(kAllLanes, upper ? low : high, kStep);
    } else {
      values[i] += __shfl_xor_sync(kAllLanes, values[i], kStep);  // the upper lane has no use for it
    }
  }
}

// A lane's sums.
struct LaneSums {
  Columns<2> p;
  Columns<1> s, floor;
  Columns<0> share, plane, off_plane;
  float colour[6];

  template <bool kNormal, int kRow>
  __device__ __forceinline__ void take(Place from, Place colours) {
    constexpr int kPixel = 16 * kRow * kPatchWidth, kOther = kPixel + 16 * kLanes;
    const float4 a = from.load4<kPixel>(), b = from.load4<kOther>();
    p.template take<kRow>(a.x, b.x);
    s.template take<kRow>(a.y, b.y);
    share.template take<kRow>(a.z, b.z);
    // p is 0 on the floor, and elsewhere where there is nothing to add
    floor.template take<kRow>(a.x == 0.0f ? a.z : 0.0f, b.x == 0.0f ? b.z : 0.0f);
    take_colours<kNormal, kRow, 0>(a.w, colours);
    take_colours<kNormal, kRow, kLanes>(b.w, colours);
  }
  template <int kRow>
  __device__ __forceinline__ void take_depths(Place from) {
    constexpr int kPixel = 8 * kRow * kPatchWidth;
    const float2 a = from.load2<kPixel>(), b = from.load2<kPixel + 8 * kLanes>();
    plane.template take<kRow>(a.x, b.x);
    off_plane.template take<kRow>(a.y, b.y);
  }

 private:
  template <bool kNormal, int kRow, int kColumn>
  __device__ __forceinline__ void take_colours(float omega, Place colours) {
    constexpr bool kFirst = kRow == kPatchHeight - 1 && kColumn == 0;
    const float4 c = colours.load4<16 * (kRow * kPatchWidth + kColumn)>();
    colour[0] = kFirst ? omega * c.x : fused(omega, c.x, colour[0]);
    colour[1] = kFirst ? omega * c.y : fused(omega, c.y, colour[1]);
    colour[2] = kFirst ? omega * c.z : fused(omega, c.z, colour[2]);
    if (kNormal) {
      const float2 n = colours.load2<normal_place(kRow, kColumn)>();
      colour[3] = kFirst ? omega * c.w : fused(omega, c.w, colour[3]);
      colour[4] = kFirst ? omega * n.x : fused(omega, n.x, colour[4]);
      colour[5] = kFirst ? omega * n.y : fused(omega, n.y, colour[5]);
    }
  }
};

// Add the first `count` waiting surfels' sums to `rows`, the gradients of the view's surfels.
template <bool kNormal, bool kDepth>
__device__ __forceinline__ void flush(float* rows, const Bench& bench, int count) {
  __syncwarp();
  const int lane = threadIdx.x & 31, slot = lane / kLanes, column = lane % kLanes;
  const Place waiting = Place::of(&bench.waiting[0], slot * kWaiting);
  const Place planes = waiting.plus(16 * column), depths = waiting.plus(8 * column + kDepths);
  const Place colours = Place::of(bench.colours, 16 * column);
  LaneSums sums;
  sums.colour[3] = sums.colour[4] = sums.colour[5] = 0.0f;
  sums.plane.sum = sums.off_plane.sum = 0.0f;
  sums.template take<kNormal, 3>(planes, colours);
  sums.template take<kNormal, 2>(planes, colours);
  sums.template take<kNormal, 1>(planes, colours);
  sums.template take<kNormal, 0>(planes, colours);
  if (kDepth) {
    sums.template take_depths<3>(depths);
    sums.template take_depths<2>(depths);
    sums.template take_depths<1>(depths);
    sums.template take_depths<0>(depths);
  }
  const float4 head = waiting.load4<kHead>();
  const float dx = float(column) + head.x, dy = head.y;
  Sums row;
  row.px = sums.p.x(dx), row.py = sums.p.y(dy);
  row.pxx = sums.p.xx(dx, row.px), row.pxy = sums.p.xy(dx, dy, row.py), row.pyy = sums.p.yy(dy, row.py);
  row.s = sums.s.sum, row.wx = sums.s.x(dx), row.wy = sums.s.y(dy);
  row.plane = sums.plane.sum, row.floor = sums.off_plane.sum;
  row.share = sums.share.sum;
  row.floor_x = sums.floor.x(dx), row.floor_y = sums.floor.y(dy);
  for (int c = 0; c < 3; ++c) row.rgb[c] = sums.colour[c], row.normal[c] = sums.colour[3 + c];

  // of the first 16 four and of the last 4 one a lane
  float values[kSums];
  const float* from = &row.px;
#pragma unroll
  for (int i = 0; i < kSums; ++i) values[i < 16 ? 5 * (i / 4) + i % 4 : 5 * (i - 16) + 4] = from[i];
  halve<2, 10, kSums - 1>(values);
  halve<1, 5, 10>(values);
  if (slot < count) {
    float* out = rows + kGradients * size_t(__float_as_uint(head.z));
    add4(out + 4 * column, values[0], values[1], values[2], values[3]);
    atomicAdd(out + 16 + column, values[4]);  // what `unused` gets nobody reads; a question would cost registers
  }
  __syncwarp();
}
