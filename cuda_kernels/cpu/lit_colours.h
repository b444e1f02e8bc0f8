// Colours under distant light (plugins/appearances/lit.py) and their gradient on a CPU: a register of surfels at a
// time, a view after the other. Reference twin: kernels/ops/lit.py.
#pragma once

#include "../harmonics.h"
#include "../lit.h"
#include "buffer.h"
#include "interface.h"
#include "lanes.h"

namespace SURFEL_NAMESPACE {

constexpr int kLitRun = 512;     // surfels of a job: its sums do not depend on the number of threads

using LitLanes = Lanes<float>;

// k values of each of a register's surfels, rows `stride` apart; those past the last are the last's again.
template <int k>
SURFEL_FN void take_rows(const float* from, int64_t stride, int64_t first, int64_t end, LitLanes* out) {
  constexpr int n = LitLanes::count;
  alignas(kRegister) float rows[k > 0 ? k : 1][n];
  for (int i = 0; i < n; ++i) {
    const float* row = from + stride * (first + i < end ? first + i : end - 1);
    for (int j = 0; j < k; ++j) rows[j][i] = row[j];
  }
  memcpy(static_cast<void*>(out), rows, size_t(k) * sizeof(LitLanes));
}
template <int k>
SURFEL_FN void put_rows(const LitLanes* values, float* to, int64_t stride, int64_t first, int64_t end) {
  constexpr int n = LitLanes::count;
  alignas(kRegister) float rows[k > 0 ? k : 1][n];
  memcpy(rows, static_cast<const void*>(values), size_t(k) * sizeof(LitLanes));
  for (int i = 0; i < n && first + i < end; ++i)
    for (int j = 0; j < k; ++j) to[stride * (first + i) + j] = rows[j][i];
}

SURFEL_FN LitLanes sigmoid(LitLanes x) {
  const LitLanes zero(0.0f), one(1.0f);
  const LaneInt<float> positive = x >= zero;
  const LitLanes e = exponential(pick(positive, -x, x)), inverse = reciprocal(one + e);
  return pick(positive, inverse, e * inverse);
}

// Both quadrics' factors of each monomial.
struct Light {
  float factors[6][kMonomials];
  explicit Light(const Lit& p) {
    for (int c = 0; c < 6; ++c)
      for (int k = 0; k < kMonomials; ++k) factors[c][k] = quadric_factor(c < 3 ? p.shading : p.mirror, k, c % 3);
  }
};

// What a surfel mirrors in a view, and Schlick's factor; neither carries a gradient to the geometry.
struct Gloss {
  LitLanes terms[kMonomials], fresnel;
};
SURFEL_FN Gloss gloss_of(const Lit& p, int64_t view, int64_t first, int64_t end, const LitLanes* d) {
  const int64_t n = p.surfels;
  LitLanes normal[3], rotation[9], o[3];
  take_rows<3>(p.normals + 3 * n * view, 3, first, end, normal);
  take_rows<9>(p.rotation + 9 * n * view, 9, first, end, rotation);
  const LitLanes facing = mirrored(d, normal, rotation, o), zero(0.0f), one(1.0f);
  Gloss g;
  monomials(o, g.terms);
  g.fresnel = fresnel(lesser(one, greater(one - facing, zero)));  // in this order both keep what is not a number
  return g;
}

template <int kDegree>
static void lit_run(const Lit& p, const Light& light, int64_t begin, int64_t end) {
  constexpr int kCount = (kDegree + 1) * (kDegree + 1) - 1;
  const int64_t n = p.surfels;
  const LitLanes zero(0.0f), one(1.0f);
  for (int64_t first = begin; first < end; first += LitLanes::count) {
    LitLanes albedo[3], residual[kCount > 0 ? 3 * kCount : 1], share = zero, open = one;
    take_rows<3>(p.albedo, 3, first, end, albedo);
    for (LitLanes& value : albedo) value = sigmoid(value);
    if (kCount > 0) take_rows<3 * kCount>(p.residual, 3 * p.count, first, end, residual);
    if (p.gloss) take_rows<1>(p.gloss, 1, first, end, &share), share = sigmoid(share);
    if (p.occlusion) take_rows<1>(p.occlusion, 1, first, end, &open), open = sigmoid(open);
    for (int64_t view = 0; view < p.views; ++view) {
      LitLanes d[3], normal[3], terms[kMonomials], colour[3], values[kCount > 0 ? kCount : 1];
      take_rows<3>(p.directions + 3 * n * view, 3, first, end, d);
      take_rows<3>(p.world_normals + 3 * n * view, 3, first, end, normal);
      monomials(normal, terms);
      for (int c = 0; c < 3; ++c) colour[c] = albedo[c] * open * quadric_value(light.factors[c], terms);
      harmonics<kDegree>(d, values);
      for (int k = 0; k < kCount; ++k)
        for (int c = 0; c < 3; ++c) colour[c] = fused(values[k], residual[3 * k + c], colour[c]);
      if (p.gloss) {
        const Gloss g = gloss_of(p, view, first, end, d);
        const LitLanes weight = g.fresnel * share;
        for (int c = 0; c < 3; ++c) {
          const LitLanes mirror = quadric_value(light.factors[3 + c], g.terms);
          colour[c] = fused(weight, greater(mirror, zero), colour[c]);
        }
      }
      put_rows<3>(colour, p.colour + 3 * n * view, 3, first, end);
    }
  }
}

template <int kDegree>
static void lit_backward_run(const Lit& p, const Light& light, int64_t begin, int64_t end,
                             float* totals) {
  constexpr int kCount = (kDegree + 1) * (kDegree + 1) - 1;
  const int64_t n = p.surfels;
  const LitLanes zero(0.0f), one(1.0f);
  LitLanes sums[kLightSums];
  for (LitLanes& sum : sums) sum = zero;
  for (int64_t first = begin; first < end; first += LitLanes::count) {
    LitLanes raw[3], albedo[3], residual[kCount > 0 ? 3 * kCount : 1], share = zero, open = one;
    LitLanes g_albedo[3] = {zero, zero, zero}, g_residual[kCount > 0 ? 3 * kCount : 1], g_share = zero, g_open = zero;
    take_rows<3>(p.albedo, 3, first, end, raw);
    for (int c = 0; c < 3; ++c) albedo[c] = sigmoid(raw[c]);
    if (kCount > 0) take_rows<3 * kCount>(p.residual, 3 * p.count, first, end, residual);
    for (LitLanes& value : g_residual) value = zero;
    if (p.gloss) take_rows<1>(p.gloss, 1, first, end, &share), share = sigmoid(share);
    if (p.occlusion) take_rows<1>(p.occlusion, 1, first, end, &open), open = sigmoid(open);
    // lanes past the last surfel repeat it; they must add nothing to the light
    alignas(kRegister) float inside[LitLanes::count];
    for (int i = 0; i < LitLanes::count; ++i) inside[i] = first + i < end ? 1.0f : 0.0f;
    LitLanes there;
    memcpy(static_cast<void*>(&there), inside, sizeof(there));
    for (int64_t view = 0; view < p.views; ++view) {
      LitLanes d[3], normal[3], terms[kMonomials], g[3], g_normal[3] = {zero, zero, zero}, g_d[3] = {zero, zero, zero};
      LitLanes values[kCount > 0 ? kCount : 1], g_values[kCount > 0 ? kCount : 1];
      take_rows<3>(p.g_colour + 3 * n * view, 3, first, end, g);
      for (int c = 0; c < 3; ++c) g[c] = g[c] * there;
      take_rows<3>(p.directions + 3 * n * view, 3, first, end, d);
      take_rows<3>(p.world_normals + 3 * n * view, 3, first, end, normal);
      monomials(normal, terms);
      for (int c = 0; c < 3; ++c) {
        const LitLanes shade = quadric_value(light.factors[c], terms), lit = g[c] * shade;
        g_albedo[c] = fused(lit, open, g_albedo[c]);
        g_open = fused(lit, albedo[c], g_open);
        const LitLanes g_shade = g[c] * albedo[c] * open;
        LitLanes slope[3];
        quadric_slope(light.factors[c], normal, slope);
        for (int i = 0; i < 3; ++i) g_normal[i] = fused(g_shade, slope[i], g_normal[i]);
        for (int k = 0; k < kMonomials; ++k)
          sums[kMonomials * c + k] = fused(g_shade, terms[k], sums[kMonomials * c + k]);
      }
      if (kCount > 0) {
        harmonics<kDegree>(d, values);
        for (int k = 0; k < kCount; ++k) {
          g_values[k] = fused(g[0], residual[3 * k], fused(g[1], residual[3 * k + 1], g[2] * residual[3 * k + 2]));
          for (int c = 0; c < 3; ++c) g_residual[3 * k + c] = fused(values[k], g[c], g_residual[3 * k + c]);
        }
        harmonics_backward<kDegree>(d, g_values, g_d);
      }
      if (p.gloss) {
        const Gloss gloss = gloss_of(p, view, first, end, d);
        for (int c = 0; c < 3; ++c) {
          const LitLanes mirror = quadric_value(light.factors[3 + c], gloss.terms), weighted = g[c] * gloss.fresnel;
          g_share = fused(weighted, greater(mirror, zero), g_share);
          const LitLanes g_light = pick(mirror >= zero, weighted * share, zero);
          LitLanes* to = sums + kMonomials * (3 + c);
          for (int k = 0; k < kMonomials; ++k) to[k] = fused(g_light, gloss.terms[k], to[k]);
        }
      }
      put_rows<3>(g_d, p.g_directions + 3 * n * view, 3, first, end);
      put_rows<3>(g_normal, p.g_world_normals + 3 * n * view, 3, first, end);
    }
    for (int c = 0; c < 3; ++c) g_albedo[c] = g_albedo[c] * albedo[c] * (one - albedo[c]);
    put_rows<3>(g_albedo, p.g_albedo, 3, first, end);
    if (p.g_residual) {
      put_rows<3 * kCount>(g_residual, p.g_residual, 3 * p.count, first, end);
      if (kCount < p.count)
        for (int64_t i = first; i < first + LitLanes::count && i < end; ++i)
          memset(p.g_residual + 3 * (p.count * i + kCount), 0, 3 * size_t(p.count - kCount) * sizeof(float));
    }
    g_share = g_share * share * (one - share);
    g_open = g_open * open * (one - open);
    if (p.gloss) put_rows<1>(&g_share, p.g_gloss, 1, first, end);
    if (p.occlusion) put_rows<1>(&g_open, p.g_occlusion, 1, first, end);
  }
  for (int i = 0; i < kLightSums; ++i) sum_lanes<1>(sums + i, totals + i);
}

// The gradient of the 13 numbers of a quadric from the sums by monomial; Q's entries beside the diagonal are two.
static inline void put_quadric(const double* sums, float* to) {
  for (int row = 0; row < kQuadricRows; ++row)
    for (int c = 0; c < 3; ++c) to[3 * row + c] = float(sums[kMonomials * c + quadric_monomial(row)]);
}

static int lit_colours(const SurfheadRows& given, bool backward) {
  if (given.grid[0] <= 0) return kSurfheadOk;  // only asked for whether it is there
  const Lit& p = *static_cast<const Lit*>(given.arguments);
  const Light light(p);
  const int64_t jobs = (int64_t(p.surfels) + kLitRun - 1) / kLitRun;
  Buffer<float> totals;
  if (backward && !totals.reserve(jobs * kLightSums)) return kSurfheadOutOfMemory;
#pragma omp parallel for schedule(static) num_threads(int(given.threads)) if (jobs > 1)
  for (int64_t job = 0; job < jobs; ++job) {
    const int64_t begin = job * kLitRun, end = begin + kLitRun < p.surfels ? begin + kLitRun : p.surfels;
    if (backward) {
      auto run = p.degree == 0   ? lit_backward_run<0>
                 : p.degree == 1 ? lit_backward_run<1>
                 : p.degree == 2 ? lit_backward_run<2>
                                 : lit_backward_run<3>;
      run(p, light, begin, end, totals.data() + job * kLightSums);
    } else {
      auto run = p.degree == 0 ? lit_run<0> : p.degree == 1 ? lit_run<1> : p.degree == 2 ? lit_run<2> : lit_run<3>;
      run(p, light, begin, end);
    }
  }
  if (backward) {
    double sums[kLightSums] = {};
    for (int64_t job = 0; job < jobs; ++job)
      for (int i = 0; i < kLightSums; ++i) sums[i] += double(totals[job * kLightSums + i]);
    put_quadric(sums, p.g_shading);
    put_quadric(sums + 3 * kMonomials, p.g_mirror);
  }
  return kSurfheadOk;
}

}  // namespace SURFEL_NAMESPACE
