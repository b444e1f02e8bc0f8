// Terms of the loss in one pass each way: normals drawn against those of the depth picture, and the length of
// carried normals; and what goes beyond a limit, with its gradient, in one pass. Forward sums by block; the host side
// adds the blocks. Mathematics and twins: ../surface.h, kernels/ops/mesh_terms.py.
#include "../surface.h"
#include "rows.h"

using namespace SURFEL_NAMESPACE;

namespace {

using uint8 = unsigned char;
constexpr int kThreads = 256;
constexpr int kWide = 32, kTall = 8;  // pixels of a block

// plugins/regularizers/normal.py: sum of w (1 - N . N_depth alpha) over the pixels where N_depth is defined, and
// of w, which is the mask or 1.
struct NormalTerm {
  int views, height, width;
  const float *depth, *alpha, *normal, *intrinsics;  // (B, H, W), (B, H, W), (B, H, W, 3), (B, 3, 3)
  const uint8* mask;                                 // (B, H, W) or null
  float* partial;                                    // (B, blocks, 2)
  const float* g_sum;                                // scalar: of the first sum
  float *g_depth, *g_normal;
};

// plugins/regularizers/normal_length.py: sum of | |carried normal| - 1 | over the visible surfels of all views.
struct LengthTerm {
  int views, surfels;
  const float *quaternion, *linear, *scale;  // (N, 4), (B, N, 3, 3), (N,)
  const bool* visible;                       // (B, N)
  float* partial;                            // (blocks, 2) sums of the change and of the visible
  const float* g_sum;
  float *g_quaternion, *g_linear;
};

// kernels/ops/mesh_terms.py, excess: sums of what is beyond the limit and of the surfels that are seen on a triangle.
struct Excess {
  int surfels, width, each;
  float limit;
  const float* value;  // (N, width)
  const bool* seen;    // (N,)
  const int64* host;   // (N,)
  float* partial;      // (blocks, 2)
  float* g_value;      // of the first sum
};

struct Rays {
  float fx, fy, cx, cy;
};

__device__ __forceinline__ Rays rays_of(const NormalTerm& p, int view) {
  const float* k = p.intrinsics + 9 * view;
  return {1.0f / k[0], 1.0f / k[4], k[2], k[5]};
}

// False where the depth normal at the pixel is not defined.
__device__ __forceinline__ bool stencil_at(const NormalTerm& p, const Rays& rays, size_t view, int row, int column,
                                           Stencil<float>& s) {
  if (row < 1 || column < 1 || row >= p.height - 1 || column >= p.width - 1) return false;
  const size_t at = view + size_t(row) * p.width + column;
  const float own = p.alpha[at], before = p.alpha[at - 1], after = p.alpha[at + 1];
  const float over = p.alpha[at - p.width], under = p.alpha[at + p.width];
  // not one after another: none waits for the others to be loaded
  if (!((own > 0.0f) & (before > 0.0f) & (after > 0.0f) & (over > 0.0f) & (under > 0.0f))) return false;
  s.left = p.depth[at - 1], s.right = p.depth[at + 1];
  s.above = p.depth[at - p.width], s.below = p.depth[at + p.width];
  for (int i = 0; i < 3; ++i) {
    s.x[i] = (float(column + i - 1) + 0.5f - rays.cx) * rays.fx;
    s.y[i] = (float(row + i - 1) + 0.5f - rays.cy) * rays.fy;
  }
  return true;
}

__device__ __forceinline__ float weight_at(const NormalTerm& p, size_t at) {
  return p.mask ? float(p.mask[at]) * (1.0f / 255.0f) : 1.0f;
}

// What the pixel's normal passes back to the four depths around it (left, right, above, below) and to the drawn normal;
// zeros where there is none.
__device__ __forceinline__ void pass_back(const NormalTerm& p, const Rays& rays, size_t view, int row, int column,
                                          float g_sum, float* g_depth, float* g_normal) {
  for (int i = 0; i < 4; ++i) g_depth[i] = 0.0f;
  for (int i = 0; i < 3; ++i) g_normal[i] = 0.0f;
  Stencil<float> s;
  if (!stencil_at(p, rays, view, row, column, s)) return;
  const size_t at = view + size_t(row) * p.width + column;
  const float factor = -g_sum * weight_at(p, at) * p.alpha[at];
  const DepthNormal<float> n = depth_normal(s);
  float drawn[3], g_unit[3];
  load<3>(p.normal, at, drawn);
  for (int i = 0; i < 3; ++i) g_unit[i] = factor * drawn[i];
  depth_normal_backward(s, n, g_unit, g_depth);
  for (int i = 0; i < 3; ++i) g_normal[i] = factor * n.unit[i];
}

__device__ __forceinline__ void own_normal(const LengthTerm& p, int n, float* unit, float& inverse,
                                           float* normal) {
  float q[4], squared = 0.0f, m[9];
  load<4>(p.quaternion, n, q);
  for (int i = 0; i < 4; ++i) squared += q[i] * q[i];
  inverse = 1.0f / fmaxf(sqrtf(squared), 1e-12f);
  for (int i = 0; i < 4; ++i) unit[i] = q[i] * inverse;
  rotation_matrix(unit, m);
  for (int r = 0; r < 3; ++r) normal[r] = m[3 * r + 2];
}

}  // namespace

SURFEL_KERNEL(kThreads, normal_term)(const NormalTerm p) {
  const int column = blockIdx.x * kWide + (threadIdx.x & 31), row = blockIdx.y * kTall + (threadIdx.x >> 5);
  const size_t view = size_t(blockIdx.z) * p.height * p.width;
  float sum = 0.0f, weights = 0.0f;
  if (row < p.height && column < p.width) {
    const size_t at = view + size_t(row) * p.width + column;
    weights = weight_at(p, at);
    Stencil<float> s;
    if (stencil_at(p, rays_of(p, blockIdx.z), view, row, column, s)) {
      float drawn[3];
      load<3>(p.normal, at, drawn);
      sum = weights * (1.0f - p.alpha[at] * inner(drawn, depth_normal(s).unit));
    }
  }
  block_sums<kThreads>(sum, weights);
  if (threadIdx.x == 0) {
    const size_t block = (size_t(blockIdx.z) * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    p.partial[2 * block] = sum;
    p.partial[2 * block + 1] = weights;
  }
}

#if !defined(SURFEL_ON_CPU)
// Every normal is made once, those of the pixels around the block's too: what it passes to the four depths around it
// goes through shared memory.
SURFEL_KERNEL(kThreads, normal_term_backward)(const NormalTerm p) {
  constexpr int kPitch = kWide + 2, kRing = 2 * kWide + 2 * kTall;
  __shared__ float shares[4][(kTall + 2) * kPitch];
  const int column = blockIdx.x * kWide, row = blockIdx.y * kTall;
  const size_t view = size_t(blockIdx.z) * p.height * p.width;
  const Rays rays = rays_of(p, blockIdx.z);
  const float g_sum = *p.g_sum;
  const int x = threadIdx.x & 31, y = threadIdx.x >> 5, own = (y + 1) * kPitch + x + 1;
  float g_depth[4], g_normal[3];
  pass_back(p, rays, view, row + y, column + x, g_sum, g_depth, g_normal);
  for (int i = 0; i < 4; ++i) shares[i][own] = g_depth[i];
  const size_t first = view + size_t(row + y) * p.width + column;
  if (row + y < p.height) {
    WarpRows<3, kThreads> normals;
    normals.write(g_normal, p.g_normal + 3 * first, 3, p.width - column);
  }
  static_assert(kRing <= kThreads, "a thread a pixel of the ring");
  if (threadIdx.x < kRing) {
    const int i = threadIdx.x, j = i - 2 * kWide;
    const int across = j < 0 ? i % kWide : j < kTall ? -1 : kWide;
    const int down = j >= 0 ? j % kTall : i < kWide ? -1 : kTall;
    pass_back(p, rays, view, row + down, column + across, g_sum, g_depth, g_normal);
    for (int q = 0; q < 4; ++q) shares[q][(down + 1) * kPitch + across + 1] = g_depth[q];
  }
  __syncthreads();
  if (row + y < p.height && column + x < p.width)
    p.g_depth[first + x] = shares[0][own + 1] + shares[1][own - 1] + shares[2][own + kPitch] + shares[3][own - kPitch];
}
#endif

SURFEL_KERNEL(kThreads, length_term)(const LengthTerm p) {
  const int n = blockIdx.x * kThreads + threadIdx.x;
  float sum = 0.0f, seen = 0.0f;
  if (n < p.surfels) {
    float unit[4], inverse, normal[3], linear[9];
    own_normal(p, n, unit, inverse, normal);
    for (int view = 0; view < p.views; ++view) {
      const size_t at = size_t(view) * p.surfels + n;
      if (!p.visible[at]) continue;
      load<9>(p.linear, at, linear);
      sum += fabsf(carried_normal(linear, normal, p.scale[n]).change);
      seen += 1.0f;
    }
  }
  block_sums<kThreads>(sum, seen);
  if (threadIdx.x == 0) {
    p.partial[2 * blockIdx.x] = sum;
    p.partial[2 * blockIdx.x + 1] = seen;
  }
}

SURFEL_KERNEL(kThreads, length_term_backward)(const LengthTerm p) {
  const int first = first_of_warp<kThreads>(), count = p.surfels - first;
  if (count <= 0) return;
  const int thread = blockIdx.x * kThreads + threadIdx.x, n = thread < p.surfels ? thread : p.surfels - 1;
  float unit[4], inverse, normal[3], g_normal[3] = {};
  WarpRows<9, kThreads> rows;
  rows.fetch(p.linear + size_t(9) * first, count);
  bool next = p.visible[n];
  own_normal(p, n, unit, inverse, normal);
  const float g_sum = *p.g_sum, scale = p.scale[n];
  for (int view = 0; view < p.views; ++view) {
    const size_t at = size_t(view) * p.surfels + first;
    const bool visible = next;
    float linear[9], g_linear[9] = {};
    rows.take(linear);
    if (view + 1 < p.views) {
      rows.fetch(p.linear + 9 * (at + p.surfels), count);
      next = p.visible[size_t(view + 1) * p.surfels + n];
    }
    if (visible)
      carried_normal_backward(linear, normal, scale, carried_normal(linear, normal, scale), g_sum, g_linear,
                              g_normal);
    rows.write(g_linear, p.g_linear + 9 * at, 9, count);
  }
  if (thread >= p.surfels) return;
  const float m[9] = {0.0f, 0.0f, g_normal[0], 0.0f, 0.0f, g_normal[1], 0.0f, 0.0f, g_normal[2]};
  float g[4] = {}, along = 0.0f;
  rotation_matrix_backward(unit, m, g);
  for (int i = 0; i < 4; ++i) along += g[i] * unit[i];
  for (int i = 0; i < 4; ++i) g[i] = inverse * (g[i] - along * unit[i]);
  store<4>(g, n, p.g_quaternion);
}

SURFEL_KERNEL(kThreads, excess)(const Excess p) {
  const int n = blockIdx.x * kThreads + threadIdx.x;
  float beyond = 0.0f, counted = 0.0f;
  if (n < p.surfels) {
    const float* x = p.value + size_t(n) * p.width;
    float* g = p.g_value + size_t(n) * p.width;
    counted = p.seen[n] && p.host[n] >= 0 ? 1.0f : 0.0f;
    float squared = 0.0f;
    for (int k = 0; k < p.width; ++k) {
      const float size = p.each ? exponential_exact(x[k]) : x[k], over = p.each ? size - p.limit : size;
      if (!(p.each && over <= 0.0f)) squared += over * over;  // what is not a number stays so
      g[k] = 0.0f;
    }
    const float length = square_root(squared), more = p.each ? length : length - p.limit;
    if (counted > 0.0f && !(more <= 0.0f)) {
      beyond = more;
      for (int k = 0; k < p.width; ++k) {
        const float size = p.each ? exponential_exact(x[k]) : 1.0f, over = p.each ? size - p.limit : x[k];
        if (!(p.each && over <= 0.0f)) g[k] = over * size / length;
      }
    }
  }
  block_sums<kThreads>(beyond, counted);
  if (threadIdx.x == 0) {
    p.partial[2 * blockIdx.x] = beyond;
    p.partial[2 * blockIdx.x + 1] = counted;
  }
}
