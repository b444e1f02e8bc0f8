// The mathematics of triangles.h for all triangles of all poses: one thread a (pose, triangle). What vertices and
// neighbouring triangles gather in backward goes through atomics.
#include "../triangles.h"
#include "rows.h"

using namespace SURFEL_NAMESPACE;

namespace {

constexpr int kThreads = 128;
constexpr int kRest = 14;  // floats of a rest triangle: |e1|, h, p, |c|, the frame's nine, valid

struct Triangles {
  int poses, triangles, vertices;
  const float* position;     // (P, V, 3)
  const int64* corners;      // (F, 3)
  const int64* neighbours;   // (F, 3)
  const float* rest;         // (F, kRest)
  float *quaternion, *stretch, *centroid, *logarithm;  // (P, F, 4), (P, F, 6), (P, F, 3), (P, 3 F, 3)
  const float *g_stretch, *g_centroid, *g_logarithm;   // null: zero
  float* g_quaternion;  // (P, F, 4) in: what reaches R from elsewhere; the logarithms' share is added
  float* g_position;    // (P, V, 3), zeroed
};

struct Corners {
  int64 at[3];
  float e1[3], e2[3], centroid[3];
};

__device__ __forceinline__ Corners corners_of(const Triangles& p, int pose, int triangle) {
  Corners c;
  float v[3][3];
  for (int k = 0; k < 3; ++k) {
    c.at[k] = int64(pose) * p.vertices + p.corners[3 * triangle + k];
    load<3>(p.position, c.at[k], v[k]);
  }
  for (int i = 0; i < 3; ++i) {
    c.e1[i] = v[1][i] - v[0][i];
    c.e2[i] = v[2][i] - v[0][i];
    c.centroid[i] = (v[0][i] + v[1][i] + v[2][i]) * (1.0f / 3.0f);
  }
  return c;
}

__device__ __forceinline__ RestTriangle<float> rest_of(const Triangles& p, int triangle) {
  float row[kRest];
  load<kRest>(p.rest, triangle, row);
  RestTriangle<float> rest;
  rest.length = row[0], rest.height = row[1], rest.along = row[2], rest.area = row[3];
  for (int i = 0; i < 9; ++i) rest.frame[i] = row[4 + i];
  rest.valid = row[13] != 0.0f;
  return rest;
}

}  // namespace

SURFEL_KERNEL(kThreads, pose_triangles)(const Triangles p) {
  const int triangle = blockIdx.x * kThreads + threadIdx.x, pose = blockIdx.y;
  if (triangle >= p.triangles) return;
  const size_t at = size_t(pose) * p.triangles + triangle;
  const Corners c = corners_of(p, pose, triangle);
  const RestTriangle<float> rest = rest_of(p, triangle);
  float quaternion[4], stretch[6];
  rotation_and_stretch(rest, pose_triangle(rest, c.e1, c.e2), quaternion, stretch);
  store<4>(quaternion, at, p.quaternion);
  store<6>(stretch, at, p.stretch);
  store<3>(c.centroid, at, p.centroid);
}

// log(R_i^T R_j) for the three neighbours j of each triangle i.
SURFEL_KERNEL(kThreads, relative_logarithms)(const Triangles p) {
  const int triangle = blockIdx.x * kThreads + threadIdx.x, pose = blockIdx.y;
  if (triangle >= p.triangles) return;
  const size_t first = size_t(pose) * p.triangles;
  float own[4], other[4];
  load<4>(p.quaternion, first + triangle, own);
  for (int j = 0; j < 3; ++j) {
    load<4>(p.quaternion, first + p.neighbours[3 * triangle + j], other);
    const Logarithm<float> l = relative_logarithm(own, other);
    const float scale = 2.0f * l.sign * l.factor;
    const float vector[3] = {scale * l.vector[0], scale * l.vector[1], scale * l.vector[2]};
    store<3>(vector, 3 * first + size_t(j) * p.triangles + triangle, p.logarithm);
  }
}

SURFEL_KERNEL(kThreads, relative_logarithms_backward)(const Triangles p) {
  const int triangle = blockIdx.x * kThreads + threadIdx.x, pose = blockIdx.y;
  if (triangle >= p.triangles) return;
  const size_t first = size_t(pose) * p.triangles;
  float own[4], other[4], g_own[4] = {}, g[3];
  load<4>(p.quaternion, first + triangle, own);
  for (int j = 0; j < 3; ++j) {
    const size_t near = first + p.neighbours[3 * triangle + j];
    float g_other[4] = {};
    load<4>(p.quaternion, near, other);
    load<3>(p.g_logarithm, 3 * first + size_t(j) * p.triangles + triangle, g);
    logarithm_backward(relative_logarithm(own, other), own, other, g, g_own, g_other);
    add<4>(g_other, near, p.g_quaternion);
  }
  add<4>(g_own, first + triangle, p.g_quaternion);
}

SURFEL_KERNEL(kThreads, pose_triangles_backward)(const Triangles p) {
  const int triangle = blockIdx.x * kThreads + threadIdx.x, pose = blockIdx.y;
  if (triangle >= p.triangles) return;
  const size_t at = size_t(pose) * p.triangles + triangle;
  const Corners c = corners_of(p, pose, triangle);
  const RestTriangle<float> rest = rest_of(p, triangle);
  float quaternion[4], g_quaternion[4], g_stretch[6], g_centroid[3], g1[3], g2[3], g[3];
  load<4>(p.quaternion, at, quaternion);
  load_or_zero<4>(p.g_quaternion, at, g_quaternion);
  load_or_zero<6>(p.g_stretch, at, g_stretch);
  load_or_zero<3>(p.g_centroid, at, g_centroid);
  triangle_backward(rest, pose_triangle(rest, c.e1, c.e2), quaternion, g_quaternion, g_stretch, g1, g2);
  for (int i = 0; i < 3; ++i) g_centroid[i] *= 1.0f / 3.0f;
  for (int i = 0; i < 3; ++i) g[i] = g_centroid[i] - g1[i] - g2[i];
  add<3>(g, c.at[0], p.g_position);
  for (int i = 0; i < 3; ++i) g[i] = g_centroid[i] + g1[i];
  add<3>(g, c.at[1], p.g_position);
  for (int i = 0; i < 3; ++i) g[i] = g_centroid[i] + g2[i];
  add<3>(g, c.at[2], p.g_position);
}
