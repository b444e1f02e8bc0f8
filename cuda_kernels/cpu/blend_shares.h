// Weights of a surfel's host and its three neighbours on a CPU: sigmoids divided by their sum, and the way back.
// Reference twin: surfhead/core/neighbour_blend.py.
#pragma once

#include "../scalar.h"
#include "interface.h"

namespace SURFEL_NAMESPACE {

struct BlendShares {
  int surfels;
  const float* logits;         // (surfels, 4)
  const unsigned char* alone;  // (surfels,): the weights are 1, 0, 0, 0
  float* shares;               // (surfels, 4)
  const float* g_shares;
  float* g_logits;
};

static int blend_shares(const SurfheadRows& given, bool backward) {
  if (given.grid[0] <= 0) return kSurfheadOk;  // only asked for whether it is there
  const BlendShares& p = *static_cast<const BlendShares*>(given.arguments);
#pragma omp parallel for schedule(static) num_threads(int(given.threads)) if (p.surfels > 1024)
  for (int i = 0; i < p.surfels; ++i) {
    const float* x = p.logits + 4 * size_t(i);
    float* out = (backward ? p.g_logits : p.shares) + 4 * size_t(i);
    if (p.alone[i]) {
      out[0] = backward ? 0.0f : 1.0f;
      out[1] = out[2] = out[3] = 0.0f;
      continue;
    }
    float s[4];
    for (int k = 0; k < 4; ++k) s[k] = 1.0f / (1.0f + exponential_exact(-x[k]));
    const float inverse = 1.0f / ((s[0] + s[1]) + (s[2] + s[3]));
    if (!backward) {
      for (int k = 0; k < 4; ++k) out[k] = s[k] * inverse;
      continue;
    }
    const float* g = p.g_shares + 4 * size_t(i);
    const float mean = ((g[0] * s[0] + g[1] * s[1]) + (g[2] * s[2] + g[3] * s[3])) * inverse;
    for (int k = 0; k < 4; ++k) out[k] = (g[k] - mean) * inverse * s[k] * (1.0f - s[k]);
  }
  return kSurfheadOk;
}

}  // namespace SURFEL_NAMESPACE
