// Backward compositing of a patch by moments. A warp's 32 pixels meet a surfel together, and each has an addend for each
// of 19 sums. They are summed before memory is touched, and not by shuffles: the pixels leave six numbers each in shared
// memory, and once kGroup surfels wait there, each surfel's lanes add up some columns of the patch each, in registers.
// Only the last halvings are shuffles.
//
// The gradients of equation 13 to u w and v w are -p (ux dx + uy dy) and -p (vx dx + vy dy) with one p = g alpha q^2 of
// the pixel (g = dL/d alpha), so the five moments of p, d p and d d^T p stand for all six of their sums. In equation 14,
// 1 - s q is w0 q on the plane: with e = dL/d depth, the sum of e q there and of e on the floor stand for those of z and
// w0.
#pragma once

#include "addresses.h"
#include "patches.h"

// What is summed for a surfel of a view over its pixels; d = (dx, dy) from its centre.
struct alignas(16) Sums {
  float px, py, pxx, pxy, pyy;  // d p and d d^T p
  float s, wx, wy;              // PairGradient's s, and with d
  float plane, floor;           // e q on the plane, e on the floor
  float share;             // g alpha: opacity times the opacity's gradient
  float floor_x;           // d g alpha, on the floor
  float rgb[3], normal[3];
  float floor_y, unused;
};
constexpr int kSums = sizeof(Sums) / sizeof(float);
static_assert(kSums == kGradients, "rows of surfel_gradients");

constexpr int kGroup = BACKWARD_GROUP;               // surfels that wait
constexpr int kLanes = 32 / kGroup;                  // lanes that sum one of them
constexpr int kColumns = kPatchWidth / kLanes;       // of the patch, that a lane sums: kLanes apart
static_assert(kColumns == 1 || kColumns == 2, "as column_sums has it");
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr bool kMatrix = false;
#else
constexpr bool kMatrix = BACKWARD_MATRIX != 0;  // the products with the pixel's colours by tensor cores
#endif
constexpr bool kFine = kMatrix && BACKWARD_MATRIX == 2;  // fine parts of colours made once
static_assert(!kMatrix || kGroup == 8, "a row of a fragment a surfel");

// A surfel that waits. Neighbours lie half of the banks apart.
struct Waiting {
  float4 planes[32];  // per pixel: p, s, share, omega
  float2 depths[32];  // e q on the plane, e on the floor
  float4 head;        // of the record
  float4 unused[3];
};
constexpr int kWaiting = sizeof(Waiting);
static_assert(kWaiting % 128 == 64, "banks");
constexpr int kDepths = 512, kHead = 768;

// What a warp has in shared memory.
struct Bench {
  float4 records[32][kSurfelParts];  // part 0: surfel's centre to the patch's first pixel, bits of its index, z w0
  // of the pixels' Upstream. With kMatrix: by pairs of rows of the patch and 24 lanes, (columns lane % 4 and lane % 4 + 4
  // of component lane / 4) of both rows, and with kFine then the fine parts; else rgb and normal[0] of a pixel, and then
  // normal[1] and normal[2] of two. With kMatrix the last lanes read what lies behind, for columns that nobody asks for.
  float4 colours[kFine ? 96 : 48];
  Waiting waiting[kGroup];
};
constexpr int kFragments = 24 * 16;  // bytes of two rows
constexpr int kRecordBytes = kSurfelParts * 16;
// Bytes from the colours' beginning to a pixel's normal[1] and normal[2] (without kMatrix), two rows interleaved.
__device__ __forceinline__ constexpr int normal_place(int row, int column) {
  return 512 + 16 * column + 8 * (row % 2) + 128 * (row / 2);
}

// ---- matrices -----------------------------------------------------------------------------------------------

// Of a float the part that tensor cores keep (10 bits after the point), exactly; the rest has no more than 13 bits.
__device__ __forceinline__ float coarse(float x) { return __uint_as_float(__float_as_uint(x) & 0xffffe000u); }

// c += a b: a of 16x8, rows lane / 4 and that + 8, columns lane % 4 and that + 4; b of 8x8, rows lane % 4 and that + 4,
// column lane / 4; c of 16x8, columns 2 (lane % 4) and the next of a's rows. PTX ISA: mma.m16n8k8, tf32.
__device__ __forceinline__ void multiply_add(float4& c, float a0, float a1, float a2, float a3, float b0, float b1) {
#if defined(__CUDA_ARCH__)
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c.x), "+f"(c.y), "+f"(c.z), "+f"(c.w)
      : "r"(__float_as_uint(a0)), "r"(__float_as_uint(a1)), "r"(__float_as_uint(a2)), "r"(__float_as_uint(a3)),
        "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
#endif
#else
  const int lane = threadIdx.x & 31, row = lane / 4, column = lane % 4;
  for (int k = 0; k < 4; ++k) {
    const float upper0 = coarse(__shfl_sync(kAllLanes, a0, 4 * row + k));
    const float lower0 = coarse(__shfl_sync(kAllLanes, a1, 4 * row + k));
    const float upper1 = coarse(__shfl_sync(kAllLanes, a2, 4 * row + k));
    const float lower1 = coarse(__shfl_sync(kAllLanes, a3, 4 * row + k));
    const float left0 = coarse(__shfl_sync(kAllLanes, b0, 8 * column + k));
    const float left1 = coarse(__shfl_sync(kAllLanes, b1, 8 * column + k));
    const float right0 = coarse(__shfl_sync(kAllLanes, b0, 8 * column + 4 + k));
    const float right1 = coarse(__shfl_sync(kAllLanes, b1, 8 * column + 4 + k));
    c.x += upper0 * left0 + upper1 * left1;
    c.y += upper0 * right0 + upper1 * right1;
    c.z += lower0 * left0 + lower1 * left1;
    c.w += lower0 * right0 + lower1 * right1;
  }
#endif
}

// ---- sums ---------------------------------------------------------------------------------------------------

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900 && BACKWARD_RED
__device__ __forceinline__ void add4(float* to, float a, float b, float c, float d) {
  asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(a), "f"(b), "f"(c), "f"(d) : "memory");
}
__device__ __forceinline__ void add2(float* to, float a, float b) {
  asm volatile("red.global.add.v2.f32 [%0], {%1, %2};" ::"l"(to), "f"(a), "f"(b) : "memory");
}
#else
__device__ __forceinline__ void add4(float* to, float a, float b, float c, float d) {
  atomicAdd(to, a);
  atomicAdd(to + 1, b);
  atomicAdd(to + 2, c);
  atomicAdd(to + 3, d);
}
__device__ __forceinline__ void add2(float* to, float a, float b) {
  atomicAdd(to, a);
  atomicAdd(to + 1, b);
}
#endif

// A number's moments over a lane's pixels, built row by row from the last up (Horner): n counts rows, and `right` is
// the second column alone.
template <int kOrder>
struct Column {
  float sum, row, square;      // of q, n q, n^2 q
  float right, right_row;      // of q, n q in the second column

  // Take row kRow: q of the first column and of the second.
  template <int kRow>
  __device__ __forceinline__ void take(float q, float other) {
    constexpr bool kFirst = kRow == kPatchHeight - 1;
    const float both = kColumns == 2 ? q + other : q;
    sum = kFirst ? both : sum + both;
    if (kOrder == 0) return;
    if (kRow > 0) row = kFirst ? sum : row + sum;
    if (kOrder == 2 && kRow > 0) square = kFirst ? float(2 * kRow - 1) * sum : fused(float(2 * kRow - 1), sum, square);
    if (kColumns == 2) {
      right = kFirst ? other : right + other;
      if (kOrder == 2 && kRow > 0) right_row = kFirst ? right : right_row + right;
    }
  }
  // With dx = that of the first column, dy = that of the first row.
  __device__ __forceinline__ float x(float dx) const {
    return kColumns == 2 ? fused(dx, sum, float(kLanes) * right) : dx * sum;
  }
  __device__ __forceinline__ float y(float dy) const { return fused(dy, sum, row); }
  __device__ __forceinline__ float xx(float dx, float x) const {
    return kColumns == 2 ? fused(dx, x, fused(float(kLanes), dx, float(kLanes * kLanes)) * right) : dx * x;
  }
  __device__ __forceinline__ float xy(float dx, float dy, float y) const {
    return kColumns == 2 ? fused(dx, y, float(kLanes) * fused(dy, right, right_row)) : dx * y;
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
template <bool kDepth>
struct LaneSums {
  Column<2> p;
  Column<1> s, floor;
  Column<0> share, plane, off_plane;
  float colour[6];      // without kMatrix
  float4 products;      // with it, a fragment

  template <bool kNormal, int kRow>
  __device__ __forceinline__ void take(Place from, Place colours) {
    constexpr int kRight = kColumns == 2 ? kLanes : 0;  // in pixels
    constexpr int kPixel = kRow * kPatchWidth;
    const float4 a = from.load4<16 * kPixel>();
    const float4 b = kColumns == 2 ? from.load4<16 * (kPixel + kRight)>() : a;
    p.template take<kRow>(a.x, b.x);
    s.template take<kRow>(a.y, b.y);
    share.template take<kRow>(a.z, b.z);
    // p is 0 on the floor, and elsewhere where there is nothing to add
    floor.template take<kRow>(a.x == 0.0f ? a.z : 0.0f, b.x == 0.0f ? b.z : 0.0f);
    if (!kMatrix) {
      take_colours<kNormal, kRow, 0>(a.w, colours);
      if (kColumns == 2) take_colours<kNormal, kRow, kRight>(b.w, colours);
    }
  }
  template <int kRow>
  __device__ __forceinline__ void take_depths(Place from) {  // `from` counts pixels by 8 bytes
    constexpr int kRight = kColumns == 2 ? kLanes : 0;
    constexpr int kPixel = kRow * kPatchWidth;
    const float2 a = from.load2<8 * kPixel>();
    const float2 b = kColumns == 2 ? from.load2<8 * (kPixel + kRight)>() : a;
    plane.template take<kRow>(a.x, b.x);
    off_plane.template take<kRow>(a.y, b.y);
  }
  template <bool kNormal, int kRow, int kRight>
  __device__ __forceinline__ void take_colours(float omega, Place colours) {
    constexpr bool kFirst = kRow == kPatchHeight - 1 && kRight == 0;
    constexpr int kPixel = kRow * kPatchWidth + kRight;
    const float4 c = colours.load4<16 * kPixel>();
    colour[0] = kFirst ? omega * c.x : fused(omega, c.x, colour[0]);
    colour[1] = kFirst ? omega * c.y : fused(omega, c.y, colour[1]);
    colour[2] = kFirst ? omega * c.z : fused(omega, c.z, colour[2]);
    if (kNormal) {
      const float2 n = colours.load2<normal_place(kRow, kRight)>();
      colour[3] = kFirst ? omega * c.w : fused(omega, c.w, colour[3]);
      colour[4] = kFirst ? omega * n.x : fused(omega, n.x, colour[4]);
      colour[5] = kFirst ? omega * n.y : fused(omega, n.y, colour[5]);
    }
  }
  // The products of two rows' omega with the colours: rows of both matrices in a coarse and a fine part.
  template <int kRow>
  __device__ __forceinline__ void multiply(Place from, Place fragments) {
    const float4 b = fragments.load4<kFragments * (kRow / 2)>();
    const float4 fine = kFine ? fragments.load4<kFragments * (2 + kRow / 2)>()
                              : make_float4(b.x - coarse(b.x), b.y - coarse(b.y), b.z - coarse(b.z), b.w - coarse(b.w));
    multiply_row<kRow>(from, b.x, b.y, fine.x, fine.y);
    multiply_row<kRow + 1>(from, b.z, b.w, fine.z, fine.w);
  }
  template <int kRow>
  __device__ __forceinline__ void multiply_row(Place from, float left, float right, float left_fine, float right_fine) {
    const float a = from.load<16 * kRow * kPatchWidth + 12>();
    const float b = from.load<16 * (kRow * kPatchWidth + 4) + 12>();
    const float a_high = coarse(a), b_high = coarse(b);
    multiply_add(products, a_high, a - a_high, b_high, b - b_high, coarse(left), coarse(right));
    multiply_add(products, a_high, a - a_high, b_high, b - b_high, left_fine, right_fine);
  }
};

// Add the first `count` waiting surfels' sums to memory.
// `rows`: of the view's gradients.
template <bool kNormal, bool kDepth>
__device__ __forceinline__ void flush(float* rows, Bench& bench, int count) {
  __syncwarp();
  const int lane = threadIdx.x & 31, slot = lane / kLanes, column = lane % kLanes;
  const Place waiting = Place::of(&bench.waiting[0], slot * kWaiting);
  Place planes = waiting, depths = waiting;
  planes.advance(16 * column);
  depths.advance(8 * column + kDepths);
  const Place colours = Place::of(bench.colours, 16 * (kMatrix ? lane : column));
  LaneSums<kDepth> sums;
  sums.products = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  sums.colour[3] = sums.colour[4] = sums.colour[5] = 0.0f;
  sums.plane.sum = sums.off_plane.sum = 0.0f;
  if (kMatrix) {
    sums.template multiply<0>(planes, colours);
    sums.template multiply<2>(planes, colours);
  }
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
  row.unused = 0.0f;
  for (int c = 0; c < 3; ++c) row.rgb[c] = sums.colour[c], row.normal[c] = sums.colour[3 + c];
  const float* from = &row.px;
  float* out = rows + kGradients * size_t(__float_as_uint(head.z));
  if (kMatrix) {
    // the first 12 and floor_y: four a lane
    float values[13];
#pragma unroll
    for (int i = 0; i < 12; ++i) values[i] = from[i];
    values[12] = row.floor_y;
    halve<2, 8, 13>(values);
    halve<1, 4, 8>(values);
    const float4 products = sums.products;
    const bool last = column == 3;
    const float left = last ? values[0] : products.x + products.z, right = last ? 0.0f : products.y + products.w;
    out += 4 * column;
    if (slot < count && !last) add4(out, values[0], values[1], values[2], values[3]);
    if (slot < count) add2(out + (12 - 2 * column), left, right);
  } else {
    // of the first 16 four and of the last 4 one a lane, or a pair of lanes
    float values[kSums];
#pragma unroll
    for (int i = 0; i < kSums; ++i) values[i < 16 ? 5 * (i / 4) + i % 4 : 5 * (i - 16) + 4] = from[i];
    halve<kLanes / 2, 10, kSums - 1>(values);
    halve<kLanes / 4, 5, 10>(values);
    if (kLanes == 8)
#pragma unroll
      for (int i = 0; i < 5; ++i) values[i] += __shfl_xor_sync(kAllLanes, values[i], 1);
    const int part = column / (kLanes / 4);
    const bool lower = kLanes == 4 || column % 2 == 0, upper = kLanes == 4 || !lower;
    if (lower && slot < count) add4(out + 4 * part, values[0], values[1], values[2], values[3]);
    if (upper && slot < count) atomicAdd(out + 16 + part, values[4]);
  }
  __syncwarp();
}
