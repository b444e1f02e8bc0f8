// The mathematics of rig.h: one thread a pose for its few joints, one a (pose, vertex) for the skin. What joints gather
// from vertices is summed within a block before it goes through atomics. Before them, the poses' rows of the parameters.
#include "../rig.h"
#include "rows.h"

using namespace surfel;

namespace {

constexpr int kThreads = 128;

struct Joints {
  int poses, joints, rest_poses;     // rest_poses: 1, or one for each pose
  int parents[kMaxJoints];
  const float *vectors, *rest;       // (P, J, 3), (rest_poses, J, 3)
  float *rotations, *transforms;     // (P, J, 3, 3), (P, J, 12)
  const float* g_rotations;          // null: zero
  float *g_transforms;               // (P, J, 12), overwritten
  float *g_vectors, *g_rest;         // (P, J, 3)
};

struct Skin {
  int poses, vertices, joints;
  const float *shaped, *transforms, *weights, *translation;  // (P, V, 3), (P, J, 12), (V, J), (P, 3)
  float* posed;                                              // (P, V, 3)
  const float* g_posed;
  float *g_shaped, *g_transforms, *g_translation;            // the last two zeroed
};

constexpr int kTables = 24;  // mirrored in cuda_rig.py

// Rows of tables (T, width), one for each pose; backward tables from the gradients of their rows.
struct Rows {
  int tables, poses;
  int first[kTables + 1];  // block with which each table begins
  int width[kTables], rows[kTables];
  int stride[kTables];     // of a row in `from`
  const int64* index;      // (P,)
  const float* from[kTables];
  float* to[kTables];
};

__device__ __forceinline__ int table_of(const Rows& p) {
  int table = 0;
  while (table + 1 < p.tables && int(blockIdx.x) >= p.first[table + 1]) ++table;
  return table;
}

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int step = 16; step > 0; step >>= 1) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kThreads) pose_joints_of(const Joints p) {
  const int pose = blockIdx.x * kThreads + threadIdx.x;
  if (pose >= p.poses) return;
  const size_t row = size_t(pose) * p.joints;
  pose_joints(p.joints, p.parents, p.vectors + 3 * row, p.rest + (p.rest_poses == 1 ? 0 : 3 * row),
              p.rotations + 9 * row, p.transforms + kTransform * row);
}

extern "C" __global__ void __launch_bounds__(kThreads) pose_joints_of_backward(const Joints p) {
  const int pose = blockIdx.x * kThreads + threadIdx.x;
  if (pose >= p.poses) return;
  const size_t row = size_t(pose) * p.joints;
  pose_joints_backward(p.joints, p.parents, p.vectors + 3 * row, p.rest + (p.rest_poses == 1 ? 0 : 3 * row),
                       p.rotations + 9 * row, p.transforms + kTransform * row,
                       p.g_rotations ? p.g_rotations + 9 * row : p.g_rotations,
                       p.g_transforms + kTransform * row, p.g_vectors + 3 * row, p.g_rest + 3 * row);
}

extern "C" __global__ void __launch_bounds__(kThreads) skin_vertices(const Skin p) {
  const int vertex = blockIdx.x * kThreads + threadIdx.x, pose = blockIdx.y;
  if (vertex >= p.vertices) return;
  const size_t at = size_t(pose) * p.vertices + vertex;
  float x[3], blended[kTransform], out[3];
  load<3>(p.shaped, at, x);
  blend_transforms(p.joints, p.weights + size_t(vertex) * p.joints,
                   p.transforms + size_t(pose) * p.joints * kTransform, blended);
  apply(blended, x, out);
  for (int i = 0; i < 3; ++i) out[i] += blended[9 + i] + p.translation[3 * pose + i];
  store<3>(out, at, p.posed);
}

extern "C" __global__ void __launch_bounds__(kThreads) skin_vertices_backward(const Skin p) {
  __shared__ float parts[kMaxJoints * kTransform + 3];
  const int vertex = blockIdx.x * kThreads + threadIdx.x, pose = blockIdx.y, lane = threadIdx.x & 31;
  const int sums = p.joints * kTransform + 3;
  for (int i = threadIdx.x; i < sums; i += kThreads) parts[i] = 0.0f;
  __syncthreads();
  const bool inside = vertex < p.vertices;
  const size_t at = size_t(pose) * p.vertices + vertex;
  float x[3] = {}, g[3] = {};
  if (inside) {
    float blended[kTransform], g_x[3] = {};
    load<3>(p.shaped, at, x);
    load<3>(p.g_posed, at, g);
    blend_transforms(p.joints, p.weights + size_t(vertex) * p.joints,
                     p.transforms + size_t(pose) * p.joints * kTransform, blended);
    apply_transposed_add(blended, g, g_x);
    store<3>(g_x, at, p.g_shaped);
  }
  float outer[kTransform];
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) outer[3 * r + c] = g[r] * x[c];
    outer[9 + r] = g[r];
  }
  for (int j = 0; j < p.joints; ++j) {
    const float weight = inside ? p.weights[size_t(vertex) * p.joints + j] : 0.0f;
    if (!__any_sync(0xffffffffu, weight != 0.0f)) continue;  // most vertices hang on one joint or two
    for (int i = 0; i < kTransform; ++i) {
      const float sum = warp_sum(weight * outer[i]);
      if (lane == 0) atomicAdd(parts + kTransform * j + i, sum);
    }
  }
  for (int i = 0; i < 3; ++i) {
    const float sum = warp_sum(g[i]);
    if (lane == 0) atomicAdd(parts + kTransform * p.joints + i, sum);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < sums; i += kThreads) {
    float* to = i < sums - 3 ? p.g_transforms + size_t(pose) * (sums - 3) + i
                             : p.g_translation + 3 * pose + (i - (sums - 3));
    if (parts[i] != 0.0f) atomicAdd(to, parts[i]);
  }
}

extern "C" __global__ void __launch_bounds__(kThreads) pose_rows(const Rows p) {
  const int table = table_of(p), width = p.width[table];
  const int at = (int(blockIdx.x) - p.first[table]) * kThreads + threadIdx.x;
  if (at >= p.poses * width) return;
  p.to[table][at] = p.from[table][p.index[at / width] * p.stride[table] + at % width];
}

// A thread a number of a table, so that nothing is zeroed and nothing goes through atomics.
extern "C" __global__ void __launch_bounds__(kThreads) pose_rows_backward(const Rows p) {
  const int table = table_of(p), width = p.width[table];
  const int at = (int(blockIdx.x) - p.first[table]) * kThreads + threadIdx.x;
  if (at >= p.rows[table] * width) return;
  const int row = at / width, column = at % width;
  float sum = 0.0f;
  for (int pose = 0; pose < p.poses; ++pose)
    if (p.index[pose] == row) sum += p.from[table][size_t(pose) * p.stride[table] + column];
  p.to[table][at] = sum;
}
