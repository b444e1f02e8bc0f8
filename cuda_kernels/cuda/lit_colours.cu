// Colours under distant light (lit.h) and their gradient: one thread a surfel, all its views in turn, so that what a surfel
// gathers over the views needs no atomics. What the light gathers over all of them is summed in a fixed order.
#include "../harmonics.h"
#include "../lit.h"
#include "rows.h"

using namespace SURFEL_NAMESPACE;

namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;

// Both quadrics' factors in shared memory, the shading's first.
__device__ __forceinline__ void take_light(const Lit& p, float* factors) {
  const int at = threadIdx.x;
  if (at < kLightSums) {
    const int channel = at / kMonomials;
    factors[at] = quadric_factor(channel < 3 ? p.shading : p.mirror, at % kMonomials, channel % 3);
  }
  __syncthreads();
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// What a surfel is made of, whatever the view.
struct Matter {
  float albedo[3], share, open;
};
__device__ __forceinline__ Matter matter_of(const Lit& p, int n) {
  Matter m;
  load<3>(p.albedo, n, m.albedo);
  for (float& value : m.albedo) value = sigmoid(value);
  m.share = p.gloss ? sigmoid(p.gloss[n]) : 0.0f;
  m.open = p.occlusion ? sigmoid(p.occlusion[n]) : 1.0f;
  return m;
}

// The monomials of the direction mirrored, and Schlick's factor; neither carries a gradient to the geometry.
struct Gloss {
  float terms[kMonomials], fresnel;
};
__device__ __forceinline__ Gloss gloss_of(const Lit& p, size_t at, const float* d) {
  float normal[3], rotation[9], o[3];
  load<3>(p.normals, at, normal);
  load<9>(p.rotation, at, rotation);
  const float facing = mirrored(d, normal, rotation, o);
  Gloss g;
  monomials(o, g.terms);
  g.fresnel = fresnel(lesser(1.0f, greater(1.0f - facing, 0.0f)));  // in this order both keep what is not a number
  return g;
}

template <int kDegree>
__device__ __forceinline__ void colour_of(const Lit& p, const float* light, int n) {
  constexpr int kCount = (kDegree + 1) * (kDegree + 1) - 1;
  const Matter m = matter_of(p, n);
  float residual[kCount > 0 ? 3 * kCount : 1];
  for (int i = 0; i < 3 * kCount; ++i) residual[i] = p.residual[size_t(3 * p.count) * n + i];
  for (int view = 0; view < p.views; ++view) {
    const size_t at = size_t(view) * p.surfels + n;
    float d[3], normal[3], terms[kMonomials], colour[3], values[kCount > 0 ? kCount : 1];
    load<3>(p.directions, at, d);
    load<3>(p.world_normals, at, normal);
    monomials(normal, terms);
    for (int c = 0; c < 3; ++c) colour[c] = m.albedo[c] * m.open * quadric_value(light + kMonomials * c, terms);
    if (kDegree > 0) {
      harmonics<kDegree>(d, values);
#pragma unroll
      for (int k = 0; k < kCount; ++k)
        for (int c = 0; c < 3; ++c) colour[c] = fused(values[k], residual[3 * k + c], colour[c]);
    }
    if (p.gloss) {
      const Gloss g = gloss_of(p, at, d);
      for (int c = 0; c < 3; ++c)
        colour[c] = fused(g.fresnel * m.share, greater(quadric_value(light + kMonomials * (3 + c), g.terms), 0.0f), colour[c]);
    }
    store<3>(colour, at, p.colour);
  }
}

template <int kDegree>
__device__ __forceinline__ void colour_backward(const Lit& p, const float* light, int n) {
  constexpr int kCount = (kDegree + 1) * (kDegree + 1) - 1;
  const Matter m = matter_of(p, n);
  float residual[kCount > 0 ? 3 * kCount : 1], g_residual[kCount > 0 ? 3 * kCount : 1] = {};
  float g_albedo[3] = {}, g_share = 0.0f, g_open = 0.0f;
  for (int i = 0; i < 3 * kCount; ++i) residual[i] = p.residual[size_t(3 * p.count) * n + i];
  for (int view = 0; view < p.views; ++view) {
    const size_t at = size_t(view) * p.surfels + n;
    float g[3], d[3], normal[3], terms[kMonomials], g_d[3] = {}, g_normal[3] = {};
    load<3>(p.g_colour, at, g);
    load<3>(p.directions, at, d);
    load<3>(p.world_normals, at, normal);
    monomials(normal, terms);
    for (int c = 0; c < 3; ++c) {
      const float* factors = light + kMonomials * c;
      const float lit = g[c] * quadric_value(factors, terms), g_shade = g[c] * m.albedo[c] * m.open;
      g_albedo[c] = fused(lit, m.open, g_albedo[c]);
      g_open = fused(lit, m.albedo[c], g_open);
      float slope[3];
      quadric_slope(factors, normal, slope);
      for (int i = 0; i < 3; ++i) g_normal[i] = fused(g_shade, slope[i], g_normal[i]);
    }
    if (kDegree > 0) {
      float values[kCount > 0 ? kCount : 1], g_values[kCount > 0 ? kCount : 1];
      harmonics<kDegree>(d, values);
#pragma unroll
      for (int k = 0; k < kCount; ++k) {
        g_values[k] = fused(g[0], residual[3 * k], fused(g[1], residual[3 * k + 1], g[2] * residual[3 * k + 2]));
        for (int c = 0; c < 3; ++c) g_residual[3 * k + c] = fused(values[k], g[c], g_residual[3 * k + c]);
      }
      harmonics_backward<kDegree>(d, g_values, g_d);
    }
    if (p.gloss) {
      const Gloss gloss = gloss_of(p, at, d);
      for (int c = 0; c < 3; ++c)
        g_share = fused(g[c] * gloss.fresnel, greater(quadric_value(light + kMonomials * (3 + c), gloss.terms), 0.0f), g_share);
    }
    store<3>(g_d, at, p.g_directions);
    store<3>(g_normal, at, p.g_world_normals);
  }
  for (int c = 0; c < 3; ++c) g_albedo[c] *= m.albedo[c] * (1.0f - m.albedo[c]);
  store<3>(g_albedo, n, p.g_albedo);
  if (p.g_residual) {
    float* row = p.g_residual + size_t(3 * p.count) * n;
    for (int i = 0; i < 3 * kCount; ++i) row[i] = g_residual[i];
    for (int i = 3 * kCount; i < 3 * p.count; ++i) row[i] = 0.0f;
  }
  if (p.g_gloss) p.g_gloss[n] = g_share * m.share * (1.0f - m.share);
  if (p.g_occlusion) p.g_occlusion[n] = g_open * m.open * (1.0f - m.open);
}

}  // namespace

SURFEL_KERNEL(kThreads, lit_colours)(const Lit p) {
  __shared__ float light[kLightSums];
  take_light(p, light);
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= p.surfels) return;
  if (p.degree == 0) colour_of<0>(p, light, n);
  if (p.degree == 1) colour_of<1>(p, light, n);
  if (p.degree == 2) colour_of<2>(p, light, n);
  if (p.degree == 3) colour_of<3>(p, light, n);
}

SURFEL_KERNEL(kThreads, lit_colours_backward)(const Lit p) {
  __shared__ float light[kLightSums];
  take_light(p, light);
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= p.surfels) return;
  if (p.degree == 0) colour_backward<0>(p, light, n);
  if (p.degree == 1) colour_backward<1>(p, light, n);
  if (p.degree == 2) colour_backward<2>(p, light, n);
  if (p.degree == 3) colour_backward<3>(p, light, n);
}

// What the light gathers: a block's sums over its surfels, of which each thread takes every (blocks * kThreads)-th.
SURFEL_KERNEL(kThreads, lit_light_backward)(const Lit p) {
  __shared__ float light[kLightSums], parts[kWarps][kLightSums];
  take_light(p, light);
  float sums[kLightSums] = {};
  for (int n = blockIdx.x * kThreads + threadIdx.x; n < p.surfels; n += gridDim.x * kThreads) {
    const Matter m = matter_of(p, n);
    for (int view = 0; view < p.views; ++view) {
      const size_t at = size_t(view) * p.surfels + n;
      float g[3], normal[3], terms[kMonomials];
      load<3>(p.g_colour, at, g);
      load<3>(p.world_normals, at, normal);
      monomials(normal, terms);
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        const float g_shade = g[c] * m.albedo[c] * m.open;
#pragma unroll
        for (int k = 0; k < kMonomials; ++k) sums[kMonomials * c + k] = fused(g_shade, terms[k], sums[kMonomials * c + k]);
      }
      if (p.gloss) {
        float d[3];
        load<3>(p.directions, at, d);
        const Gloss gloss = gloss_of(p, at, d);
        const float weight = gloss.fresnel * m.share;
#pragma unroll
        for (int c = 0; c < 3; ++c) {
          // at zero the gradient passes, as that of PyTorch's clamp_min does
          const bool shines = quadric_value(light + kMonomials * (3 + c), gloss.terms) >= 0.0f;
          const float g_light = shines ? g[c] * weight : 0.0f;
#pragma unroll
          for (int k = 0; k < kMonomials; ++k) {
            float& sum = sums[kMonomials * (3 + c) + k];
            sum = fused(g_light, gloss.terms[k], sum);
          }
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kLightSums; ++i) {
    float sum = sums[i];
    for (int step = 16; step > 0; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5][i] = sum;
  }
  __syncthreads();
  const int at = threadIdx.x;
  if (at >= kLightSums) return;
  float sum = 0.0f;
  for (int w = 0; w < kWarps; ++w) sum += parts[w][at];
  p.sums[size_t(kLightSums) * blockIdx.x + at] = sum;
}

// One block: the sums of all blocks, as the gradient of both quadrics' numbers. `degree` is how many blocks there were.
SURFEL_KERNEL(kThreads, lit_light_sums)(const Lit p) {
  __shared__ float totals[kLightSums];
  const int at = threadIdx.x;
  if (at < kLightSums) {
    float sum = 0.0f;
    for (int block = 0; block < p.degree; ++block) sum += p.sums[size_t(kLightSums) * block + at];
    totals[at] = sum;
  }
  __syncthreads();
  if (at >= 3 * kQuadricRows) return;
  const int from = kMonomials * (at % 3) + quadric_monomial(at / 3);
  p.g_shading[at] = totals[from];
  p.g_mirror[at] = totals[3 * kMonomials + from];
}
