// The mathematics of skinning.h for all surfels: one thread a surfel, all its poses in turn, so that what a surfel
// gathers over the poses needs no atomics; what triangles gather does.
#include "../skinning.h"
#include "rows.h"

using namespace SURFEL_NAMESPACE;

namespace {

constexpr int kThreads = 128;

// avatars/surfels.py, apply_field.
struct Field {
  int poses, surfels;
  const float *offset, *log_scale, *quaternion;  // (N, 3), (N, 2), (N, 4)
  const float *linear, *origin;                  // (P, N, 3, 3), (P, N, 3)
  float *mean, *tangents, *normal;               // (P, N, 3), (P, N, 3, 2), (P, N, 3)
  const float *g_mean, *g_tangents, *g_normal;   // null: zero
  const float* g_beside;                         // what reaches `linear` otherwise; null: nothing
  float *g_offset, *g_log_scale, *g_quaternion, *g_linear;
};

// plugins/deformers/jbs.py.
struct Blend {
  int poses, surfels, triangles;
  const int64 *host, *neighbours;                       // (N,), (F, 3)
  const float* weights;                                 // (N, 4)
  const float *quaternion, *logarithm, *stretch;        // (P, F, 4), (P, 3 F, 3), (P, F, 6)
  const float* axes;                                    // (F, 3, 3) k R of the rest triangles
  float *linear, *rotation;                             // (P, N, 3, 3)
  const float *g_linear, *g_rotation;                   // null: zero
  const int64* order;                                   // (N,) surfels by host; null: as they are
  float* g_weights;
  float *g_quaternion, *g_logarithm, *g_stretch;        // zeroed; null where the rig takes no gradient
};

// core/neighbour_blend.py, weights.
struct Shares {
  int surfels, triangles;
  const int64* host;                  // (N,)
  const bool *eyeballs, *boundary;    // (F,) whose surfels follow their host alone; null: none
  const float* logits;                // (N, 4)
  float* weights;                     // (N, 4)
  const float* g_weights;
  float* g_logits;
};

// Sigmoids of the logits, and their sum; false where the host counts alone.
__device__ __forceinline__ bool shares_of(const Shares& p, int n, float* activated, float& sum) {
  const int64 host = p.host[n];
  if ((p.eyeballs && p.eyeballs[host]) || (p.boundary && p.boundary[host])) return false;
  load<4>(p.logits, n, activated);
  sum = 0.0f;
  for (int i = 0; i < 4; ++i) {
    activated[i] = 1.0f / (1.0f + exponential_exact(-activated[i]));
    sum += activated[i];
  }
  return true;
}

__device__ __forceinline__ Canonical<float> canonical(const Field& p, int n) {
  Canonical<float> c;
  load<3>(p.offset, n, c.offset);
  load<2>(p.log_scale, n, c.log_scale);
  load<4>(p.quaternion, n, c.quaternion);
  return c;
}

// A surfel's host and its neighbours.
struct Near {
  int64 triangles[4];
};

__device__ __forceinline__ Near near_of(const Blend& p, int n) {
  Near near;
  near.triangles[0] = p.host[n];
  for (int j = 0; j < 3; ++j) near.triangles[1 + j] = p.neighbours[3 * near.triangles[0] + j];
  return near;
}

__device__ __forceinline__ Neighbourhood<float> neighbourhood(const Blend& p, const Near& near, int pose) {
  Neighbourhood<float> h;
  const size_t first = size_t(pose) * p.triangles;
  load<4>(p.quaternion, first + near.triangles[0], h.quaternion);
  for (int j = 0; j < 3; ++j)
    load<3>(p.logarithm, 3 * first + size_t(j) * p.triangles + near.triangles[0], h.logarithm[j]);
  for (int j = 0; j < 4; ++j) load<6>(p.stretch, first + near.triangles[j], h.stretch[j]);
  return h;
}

// Lanes of a warp that stand side by side and have one host.
struct Run {
  int last;      // lane
  bool first;    // whether this lane is the first
  int longest;   // lanes of the warp's longest run
};

#if defined(SURFEL_ON_CPU)
__device__ __forceinline__ Run run_of(int) { return {0, true, 1}; }
#else
__device__ __forceinline__ Run run_of(int host) {
  const int lane = threadIdx.x & 31;
  const int before = __shfl_up_sync(0xffffffffu, host, 1);
  Run run;
  run.first = lane == 0 || before != host;
  const unsigned firsts = __ballot_sync(0xffffffffu, run.first);
  const unsigned after = lane == 31 ? 0u : firsts >> (lane + 1);
  run.last = after ? lane + __ffs(int(after)) - 1 : 31;
  run.longest = run.last - lane + 1;
  for (int step = 16; step > 0; step >>= 1)
    run.longest = max(run.longest, __shfl_xor_sync(0xffffffffu, run.longest, step));
  return run;
}
#endif

// Sums over a run, in its first lane, added to a row by atomics.
template <int K>
__device__ __forceinline__ void add_run(const Run& run, const float* values, size_t row, float* to) {
  const int lane = threadIdx.x & 31;
  float sums[K];
  for (int i = 0; i < K; ++i) sums[i] = values[i];
  for (int step = 1; step < run.longest; step <<= 1)
#pragma unroll
    for (int i = 0; i < K; ++i) {
      const float other = __shfl_down_sync(0xffffffffu, sums[i], step);
      if (lane + step <= run.last) sums[i] += other;
    }
  if (run.first) add<K>(sums, row, to);
}

// The surfel of a thread and whether it is its own: those beyond the last keep a warp's exchanges company.
struct Seat {
  int n;
  bool inside;
};

__device__ __forceinline__ Seat seat_of_thread(const Blend& p) {
  const int slot = blockIdx.x * kThreads + threadIdx.x;
  const bool inside = slot < p.surfels;
  const int place = inside ? slot : p.surfels - 1;
  return {p.order ? int(p.order[place]) : place, inside};
}

}  // namespace

SURFEL_KERNEL(kThreads, apply_field)(const Field p) {
  const int first = first_of_warp<kThreads>(), count = p.surfels - first;
  if (count <= 0) return;
  const int thread = blockIdx.x * kThreads + threadIdx.x, n = thread < p.surfels ? thread : p.surfels - 1;
  WarpRows<9, kThreads> matrices;
  WarpRows<3, kThreads, 9> triples;
  matrices.fetch(p.linear + size_t(9) * first, count);
  const Canonical<float> own = canonical(p, n);
  const Axes<float> axes = canonical_axes(own);
  for (int pose = 0; pose < p.poses; ++pose) {
    const size_t at = size_t(pose) * p.surfels;
    float linear[9], origin[3];
    load<3>(p.origin, at + n, origin);
    matrices.take(linear);
    if (pose + 1 < p.poses) matrices.fetch(p.linear + 9 * (at + p.surfels + first), count);
    const World<float> world = to_world(linear, origin, own, axes);
    triples.write(world.mean, p.mean + 3 * (at + first), 3, count);
    triples.write(world.normal, p.normal + 3 * (at + first), 3, count);
    if (thread < p.surfels) store<6>(world.t, at + n, p.tangents);
  }
}

SURFEL_KERNEL(kThreads, apply_field_backward)(const Field p) {
  const int first = first_of_warp<kThreads>(), count = p.surfels - first;
  if (count <= 0) return;
  const int thread = blockIdx.x * kThreads + threadIdx.x, n = thread < p.surfels ? thread : p.surfels - 1;
  const Canonical<float> own = canonical(p, n);
  const Axes<float> axes = canonical_axes(own);
  float g_offset[3] = {}, g_u[3] = {}, g_v[3] = {}, g_log_scale[2] = {}, g_quaternion[4];
  WarpRows<9, kThreads> matrices;
  for (int pose = 0; pose < p.poses; ++pose) {
    const size_t at = size_t(pose) * p.surfels + n, from = 9 * (size_t(pose) * p.surfels + first);
    float linear[9], g_linear[9];
    load<9>(p.linear, at, linear);
    World<float> g;
    load_or_zero<3>(p.g_mean, at, g.mean);
    load_or_zero<6>(p.g_tangents, at, g.t);
    load_or_zero<3>(p.g_normal, at, g.normal);
    to_world_backward(linear, own, axes, g, g_linear, g_offset, g_u, g_v, g_log_scale);
    matrices.write_sum(g_linear, p.g_beside ? p.g_beside + from : nullptr, p.g_linear + from, count);
  }
  if (thread >= p.surfels) return;
  axes_backward(axes, g_u, g_v, g_quaternion);
  store<3>(g_offset, n, p.g_offset);
  store<2>(g_log_scale, n, p.g_log_scale);
  store<4>(g_quaternion, n, p.g_quaternion);
}

SURFEL_KERNEL(kThreads, neighbour_weights)(const Shares p) {
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= p.surfels) return;
  float activated[4], sum, weights[4] = {1.0f, 0.0f, 0.0f, 0.0f};
  if (shares_of(p, n, activated, sum))
    for (int i = 0; i < 4; ++i) weights[i] = activated[i] / sum;
  store<4>(weights, n, p.weights);
}

SURFEL_KERNEL(kThreads, neighbour_weights_backward)(const Shares p) {
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= p.surfels) return;
  float activated[4], sum, g[4] = {};
  if (shares_of(p, n, activated, sum)) {
    float mean = 0.0f;
    load<4>(p.g_weights, n, g);
    for (int i = 0; i < 4; ++i) mean += g[i] * (activated[i] / sum);
    for (int i = 0; i < 4; ++i) g[i] = (g[i] - mean) / sum * activated[i] * (1.0f - activated[i]);
  }
  store<4>(g, n, p.g_logits);
}

// With `order`, lanes of one host read the same numbers of their triangles.
SURFEL_KERNEL_BLOCKS(kThreads, 6, blend_triangles)(const Blend p) {
  const Seat seat = seat_of_thread(p);
  const int n = seat.n;
  const Near near = near_of(p, n);
  const ScatteredRows<9, kThreads> rows(n, seat.inside);
  float weights[4], axes[9];
  load<4>(p.weights, n, weights);
  load<9>(p.axes, near.triangles[0], axes);
  for (int pose = 0; pose < p.poses; ++pose) {
    const size_t first = size_t(9) * pose * p.surfels;
    const Blended<float> b = blend(neighbourhood(p, near, pose), weights);
    float linear[9];
    multiply(b.affine, axes, linear);
    rows.write(linear, p.linear + first);
    rows.write(b.rotation, p.rotation + first);
  }
}

// Surfels of one host stand side by side in `order`: what they give their triangles is summed within the warp before
// it goes through atomics. With more than one row of blocks each takes its share of the poses, and `g_weights` is zeroed.
SURFEL_KERNEL(kThreads, blend_triangles_backward)(const Blend p) {
  const Seat seat = seat_of_thread(p);
  const int n = seat.n;
  const Near near = near_of(p, n);
  const Run run = run_of(seat.inside ? int(near.triangles[0]) : -1);
  float weights[4], axes[9], g_weights[4] = {};
  load<4>(p.weights, n, weights);
  load<9>(p.axes, near.triangles[0], axes);
  for (int pose = blockIdx.y; pose < p.poses; pose += gridDim.y) {
    const size_t at = size_t(pose) * p.surfels + n, first = size_t(pose) * p.triangles;
    const Neighbourhood<float> around = neighbourhood(p, near, pose);
    const Blended<float> b = blend(around, weights);
    float g_linear[9], g_rotation[9], g_affine[9];
    load_or_zero<9>(seat.inside ? p.g_linear : nullptr, at, g_linear);
    load_or_zero<9>(seat.inside ? p.g_rotation : nullptr, at, g_rotation);
    multiply_by_transposed(g_linear, axes, g_affine);
    Neighbourhood<float> g;
    blend_backward(around, weights, b, g_affine, g_rotation, g_weights, g);
    if (p.g_quaternion) {
      add_run<4>(run, g.quaternion, first + near.triangles[0], p.g_quaternion);
      for (int j = 0; j < 3; ++j)
        add_run<3>(run, g.logarithm[j], 3 * first + size_t(j) * p.triangles + near.triangles[0],
                   p.g_logarithm);
      for (int j = 0; j < 4; ++j) add_run<6>(run, g.stretch[j], first + near.triangles[j], p.g_stretch);
    }
  }
  if (!seat.inside) return;
  if (gridDim.y > 1)
    add<4>(g_weights, n, p.g_weights);
  else
    store<4>(g_weights, n, p.g_weights);
}
