// What a highlight's perceptron looks at, and its gradient, on a CPU: the arithmetic of cuda/highlight.cu, surfel by
// surfel, so that what a direction gathers over the lobes is a sum in their order. Reference twin: kernels/ops/lobes.py.
#pragma once

#include "../lobes.h"
#include "interface.h"

namespace SURFEL_NAMESPACE {

// struct Lobes of cuda/highlight.cu.
struct LobeRows {
  int views, surfels, lobes, sharpnesses, columns;
  const float *raw, *axes, *directions, *normals;
  float* inputs;
  const float* g_inputs;
  float *g_raw, *g_directions;
};

static void lobe_inputs_of(const LobeRows& p, int n, bool backward) {
  const bool anisotropic = p.sharpnesses == 2;
  const size_t width = size_t(2 + p.sharpnesses) * p.lobes;
  const float* raw = p.raw + n * width;
  float* g_raw = backward ? p.g_raw + n * width : nullptr;
  if (backward) memset(g_raw, 0, width * sizeof(float));
  for (int view = 0; view < p.views; ++view) {
    const size_t at = size_t(view) * p.surfels + n;
    const float *d = p.directions + 3 * at, *normal = p.normals + 3 * at;
    float o[3], g_o[3] = {};
    const float facing = reflect(d, normal, o);
    float* row = backward ? nullptr : p.inputs + at * p.columns;
    const float* g = backward ? p.g_inputs + at * p.columns : nullptr;
    for (int lobe = 0; lobe < p.lobes; ++lobe) {
      const float first = raw[2 * p.lobes + lobe] - 1.0f, second = anisotropic ? raw[3 * p.lobes + lobe] - 1.0f : 0.0f;
      const float lambda = softplus(first), mu = anisotropic ? softplus(second) : 0.0f;
      const float* axes = p.axes + 9 * lobe;
      const float response = respond(anisotropic, axes, lambda, mu, o);
      if (!backward) {
        for (int i = 0; i < 2; ++i) row[2 * lobe + i] = raw[2 * lobe + i] * response;
        continue;
      }
      float g_response = 0.0f, g_lambda = 0.0f, g_mu = 0.0f;
      for (int i = 0; i < 2; ++i) {
        g_raw[2 * lobe + i] += g[2 * lobe + i] * response;
        g_response += g[2 * lobe + i] * raw[2 * lobe + i];
      }
      respond_backward(anisotropic, axes, lambda, mu, o, g_response, g_lambda, g_mu, g_o);
      g_raw[2 * p.lobes + lobe] += g_lambda * logistic(first);
      if (anisotropic) g_raw[3 * p.lobes + lobe] += g_mu * logistic(second);
    }
    if (backward)
      beside_backward(g + 2 * p.lobes, g_o, d, normal, p.g_directions + 3 * at);
    else
      for (int i = 0; i < kBesides; ++i) row[2 * p.lobes + i] = beside(i, facing, d);
  }
}

// Status of interface.h.
static int lobe_inputs(const SurfheadRows& given, bool backward) {
  if (given.grid[0] <= 0) return kSurfheadOk;  // only asked for whether it is there
  const LobeRows& p = *static_cast<const LobeRows*>(given.arguments);
#pragma omp parallel for schedule(static) num_threads(int(given.threads)) if (p.surfels > 64)
  for (int n = 0; n < p.surfels; ++n) lobe_inputs_of(p, n, backward);
  return kSurfheadOk;
}

}  // namespace SURFEL_NAMESPACE
