// The mathematics of harmonics.h for all surfels, every view with a pose of its own: one thread a surfel, all its
// views in turn, so that what a surfel gathers over the views needs no atomics.
#include "../harmonics.h"
#include "rows.h"

using namespace SURFEL_NAMESPACE;

namespace {

constexpr int kThreads = 128;
constexpr int kRestCount = 15;

// avatars/avatar.py, rest_directions.
struct Directions {
  int views, surfels;
  const float *mean, *normal, *rotation, *centre;   // (B, N, 3), (B, N, 3), (B, N, 3, 3), (B, 3)
  float *directions, *normals;                      // (B, N, 3)
  const float *g_directions, *g_beside;             // g_beside: what reaches the means otherwise; null: nothing
  float *g_mean, *g_rotation;
};

// kernels/ops/colours.py, facing_normals.
struct Facing {
  int views, surfels;
  const float *mean, *normal, *quaternion, *centre;  // (B, N, 3), (B, N, 3), (N, 4) or null, (B, 3)
  const float* vectors;                              // (B, N, 3): the normals, or gradients of what they become
  float* turned;                                     // (B, N, 3)
};

// plugins/appearances/diffuse.py.
struct Harmonics {
  int views, surfels, degree, count;  // count: rows of `rest`
  const float *constant, *rest, *directions;  // (N, 3), (N, count, 3), (B, N, 3)
  float* colour;                              // (B, N, 3)
  const float* g_colour;
  float *g_constant, *g_rest, *g_directions;
};

struct Sight {
  float unit[3], inverse;
};

__device__ __forceinline__ Sight sight(const Directions& p, int view, const float* mean) {
  float centre[3];
  load<3>(p.centre, view, centre);
  Sight s;
  for (int i = 0; i < 3; ++i) s.unit[i] = mean[i] - centre[i];
  s.inverse = 1.0f / fmaxf(sqrtf(inner(s.unit, s.unit)), 1e-12f);
  for (int i = 0; i < 3; ++i) s.unit[i] *= s.inverse;
  return s;
}

using Triples = WarpRows<3, kThreads, 9>;
using Matrices = WarpRows<9, kThreads>;

template <int kDegree>
__device__ __forceinline__ void colour_of(const Harmonics& p) {
  constexpr int kCount = (kDegree + 1) * (kDegree + 1) - 1, kWide = kCount > 0 ? 3 * kCount : 1;
  const int n = blockIdx.x * kThreads + threadIdx.x, first = first_of_warp<kThreads>(), width = 3 * p.count;
  if (first >= p.surfels) return;
  const bool inside = n < p.surfels;
  float constant[3], next[3] = {};
  load<3>(p.constant, inside ? n : 0, constant);
  WarpRows<kWide, kThreads, 3 * kRestCount> rows;
  const float* rest = kCount > 0 ? rows.read(p.rest + size_t(width) * first, width, p.surfels - first) : nullptr;
  if (!inside) return;
  if (kDegree > 0) load<3>(p.directions, n, next);
  for (int view = 0; view < p.views; ++view) {
    const size_t at = size_t(view) * p.surfels + n;
    float colour[3], d[3], values[kRestCount];
    for (int c = 0; c < 3; ++c) colour[c] = float(kY00) * constant[c] + 0.5f;
    if (kDegree > 0) {
      for (int i = 0; i < 3; ++i) d[i] = next[i];
      if (view + 1 < p.views) load<3>(p.directions, at + p.surfels, next);
      harmonics<kDegree>(d, values);
#pragma unroll
      for (int k = 0; k < kCount; ++k)
        for (int c = 0; c < 3; ++c) colour[c] = fused(values[k], rest[3 * k + c], colour[c]);
    }
    store<3>(colour, at, p.colour);
  }
}

template <int kDegree>
__device__ __forceinline__ void colour_backward(const Harmonics& p) {
  constexpr int kCount = (kDegree + 1) * (kDegree + 1) - 1, kWide = kCount > 0 ? 3 * kCount : 1;
  const int n = blockIdx.x * kThreads + threadIdx.x, first = first_of_warp<kThreads>(), width = 3 * p.count;
  if (first >= p.surfels) return;
  const bool inside = n < p.surfels;
  WarpRows<kWide, kThreads, 3 * kRestCount> rows;
  const float* rest = kCount > 0 ? rows.read(p.rest + size_t(width) * first, width, p.surfels - first) : nullptr;
  float g_constant[3] = {}, g_rest[kWide] = {}, next_g[3] = {}, next_d[3] = {};
  for (int view = inside ? -1 : p.views; view < p.views; ++view) {
    const size_t at = size_t(view) * p.surfels + n, next = at + p.surfels;
    float g[3], d[3], values[kRestCount], g_values[kRestCount], g_d[3] = {};
    for (int i = 0; i < 3; ++i) g[i] = next_g[i], d[i] = next_d[i];
    if (view + 1 < p.views) {  // on its way while this view is worked on
      load<3>(p.g_colour, next, next_g);
      if (kDegree > 0) load<3>(p.directions, next, next_d);
    }
    if (view < 0) continue;
    for (int c = 0; c < 3; ++c) g_constant[c] = fused(float(kY00), g[c], g_constant[c]);
    if (kDegree > 0) {
      harmonics<kDegree>(d, values);
#pragma unroll
      for (int k = 0; k < kCount; ++k)
        for (int c = 0; c < 3; ++c) g_rest[3 * k + c] = fused(values[k], g[c], g_rest[3 * k + c]);
#pragma unroll
      for (int k = 0; k < kCount; ++k) g_values[k] = inner(g, rest + 3 * k);
      harmonics_backward<kDegree>(d, g_values, g_d);
    }
    if (p.g_directions) store<3>(g_d, at, p.g_directions);
  }
  if (inside) store<3>(g_constant, n, p.g_constant);
  if (width > 0) rows.write(g_rest, p.g_rest + size_t(width) * first, width, p.surfels - first);
}

}  // namespace

// Everything is sent for at once, and read and written side by side; lanes beyond the last surfel keep their warp company.
SURFEL_KERNEL(kThreads, rest_directions)(const Directions p) {
  const int first = first_of_warp<kThreads>(), view = blockIdx.y, rows = p.surfels - first;
  if (rows <= 0) return;
  const size_t at = size_t(view) * p.surfels + first;
  Triples means, normals;
  Matrices rotations;
  means.fetch(p.mean + 3 * at, rows);
  normals.fetch(p.normal + 3 * at, rows);
  rotations.fetch(p.rotation + 9 * at, rows);
  float mean[3], normal[3], rotation[9], out[3];
  means.take(mean);
  normals.take(normal);
  rotations.take(rotation);
  const Sight s = sight(p, view, mean);
  to_rest(rotation, s.unit, out);
  means.write(out, p.directions + 3 * at, 3, rows);
  const float sign = inner(normal, s.unit) > 0.0f ? -1.0f : 1.0f;
  to_rest(rotation, normal, out);
  for (int i = 0; i < 3; ++i) out[i] *= sign;
  normals.write(out, p.normals + 3 * at, 3, rows);
}

SURFEL_KERNEL(kThreads, rest_directions_backward)(const Directions p) {
  const int first = first_of_warp<kThreads>(), view = blockIdx.y, rows = p.surfels - first;
  if (rows <= 0) return;
  const size_t at = size_t(view) * p.surfels + first;
  Triples means, gradients;
  Matrices rotations;
  means.fetch(p.mean + 3 * at, rows);
  gradients.fetch(p.g_directions + 3 * at, rows);
  rotations.fetch(p.rotation + 9 * at, rows);
  float mean[3], rotation[9], g[3], g_unit[3], g_rotation[9] = {};
  means.take(mean);
  gradients.take(g);
  rotations.take(rotation);
  const Sight s = sight(p, view, mean);
  apply(rotation, g, g_unit);
  outer_add(s.unit, g, g_rotation);
  rotations.write(g_rotation, p.g_rotation + 9 * at, 9, rows);
  const float along = inner(g_unit, s.unit);
  for (int i = 0; i < 3; ++i) g_unit[i] = (g_unit[i] - along * s.unit[i]) * s.inverse;
  means.write_sum(g_unit, p.g_beside ? p.g_beside + 3 * at : nullptr, p.g_mean + 3 * at, rows);
}

// A side, and for normals of the outer side that look away a mirror across the line of sight. The map of the normals is
// its own transpose, so that it is that of their gradients, too.
SURFEL_KERNEL(kThreads, facing_normals)(const Facing p) {
  const int first = first_of_warp<kThreads>(), view = blockIdx.y, rows = p.surfels - first;
  if (rows <= 0) return;
  const int n = blockIdx.x * kThreads + threadIdx.x;
  const size_t at = size_t(view) * p.surfels + first;
  Triples means, normals, vectors;
  means.fetch(p.mean + 3 * at, rows);
  normals.fetch(p.normal + 3 * at, rows);
  vectors.fetch(p.vectors + 3 * at, rows);
  float mean[3], normal[3], vector[3], centre[3];
  means.take(mean);
  normals.take(normal);
  vectors.take(vector);
  load<3>(p.centre, view, centre);
  for (int i = 0; i < 3; ++i) mean[i] -= centre[i];
  const float away = inner(normal, mean);
  float side = away > 0.0f ? -1.0f : 1.0f, slope = 0.0f;
  if (p.quaternion) {
    float q[4];
    load<4>(p.quaternion, n < p.surfels ? n : 0, q);
    side = q[0] * q[0] + q[3] * q[3] < q[1] * q[1] + q[2] * q[2] ? -1.0f : 1.0f;
    if (side * away > 0.0f) slope = 2.0f * inner(vector, mean) / fmaxf(inner(mean, mean), 1e-12f);
  }
  for (int i = 0; i < 3; ++i) vector[i] = side * (vector[i] - slope * mean[i]);
  vectors.write(vector, p.turned + 3 * at, 3, rows);
}

SURFEL_KERNEL_BLOCKS(kThreads, 6, harmonic_colours)(const Harmonics p) {
  if (p.degree == 0) colour_of<0>(p);
  if (p.degree == 1) colour_of<1>(p);
  if (p.degree == 2) colour_of<2>(p);
  if (p.degree == 3) colour_of<3>(p);
}

SURFEL_KERNEL_BLOCKS(kThreads, 6, harmonic_colours_backward)(const Harmonics p) {
  if (p.degree == 0) colour_backward<0>(p);
  if (p.degree == 1) colour_backward<1>(p);
  if (p.degree == 2) colour_backward<2>(p);
  if (p.degree == 3) colour_backward<3>(p);
}
