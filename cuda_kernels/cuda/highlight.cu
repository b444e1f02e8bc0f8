// The mathematics of lobes.h: one thread a (surfel, lobe), all views in turn, so that what a lobe's shape gathers over the
// views needs no atomics; what a direction gathers over the lobes is summed by exchanges within the warp.
#include "../lobes.h"
#include "rows.h"

using namespace surfel;

namespace {

constexpr int kThreads = 128;

struct Lobes {
  int views, surfels, lobes, sharpnesses, columns;  // sharpnesses: 2 if anisotropic, else 1; columns: of `inputs`
  const float *raw, *axes;                // (M, (2 + sharpnesses) L): amplitudes by pairs, all lambda, all mu; (L, 3, 3)
  const float *directions, *normals;      // (B, M, 3)
  float* inputs;                          // (B, M, 2 L + kBesides)
  const float* g_inputs;
  float *g_raw, *g_directions;
};

struct Shape {
  float axes[9], amplitude[2], raw[2], sharpness[2];
};

__device__ __forceinline__ Shape shape_of(const Lobes& p, int n, int lobe) {
  Shape s;
  const float* row = p.raw + size_t(n) * (2 + p.sharpnesses) * p.lobes;
  load<9>(p.axes, lobe, s.axes);
  for (int i = 0; i < 2; ++i) s.amplitude[i] = row[2 * lobe + i];
  s.raw[1] = s.sharpness[1] = 0.0f;
  for (int i = 0; i < p.sharpnesses; ++i) {
    s.raw[i] = row[(2 + i) * p.lobes + lobe] - 1.0f;
    s.sharpness[i] = softplus(s.raw[i]);
  }
  return s;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kThreads) lobe_inputs(const Lobes p) {
  const int thread = blockIdx.x * kThreads + threadIdx.x, n = thread / p.lobes, lobe = thread % p.lobes;
  if (n >= p.surfels) return;
  const Shape s = shape_of(p, n, lobe);
  const bool anisotropic = p.sharpnesses == 2;
  for (int view = 0; view < p.views; ++view) {
    const size_t at = size_t(view) * p.surfels + n;
    float d[3], normal[3], o[3];
    load<3>(p.directions, at, d);
    load<3>(p.normals, at, normal);
    const float facing = reflect(d, normal, o);
    const float response = respond(anisotropic, s.axes, s.sharpness[0], s.sharpness[1], o);
    float* row = p.inputs + at * p.columns;
    for (int i = 0; i < 2; ++i) row[2 * lobe + i] = s.amplitude[i] * response;
    for (int i = lobe; i < kBesides; i += p.lobes) row[2 * p.lobes + i] = beside(i, facing, d);
  }
}

// The number of lobes is a power of two and at most 32, so that a surfel's threads share a warp.
extern "C" __global__ void __launch_bounds__(kThreads) lobe_inputs_backward(const Lobes p) {
  const int thread = blockIdx.x * kThreads + threadIdx.x, lobe = thread % p.lobes;
  const bool inside = thread / p.lobes < p.surfels;
  const int n = inside ? thread / p.lobes : p.surfels - 1;  // those outside keep the exchanges company
  const Shape s = shape_of(p, n, lobe);
  const bool anisotropic = p.sharpnesses == 2;
  float g_amplitude[2] = {}, g_sharpness[2] = {};
  for (int view = 0; view < p.views; ++view) {
    const size_t at = size_t(view) * p.surfels + n;
    float d[3], normal[3], o[3], g_o[3] = {};
    load<3>(p.directions, at, d);
    load<3>(p.normals, at, normal);
    reflect(d, normal, o);
    const float response = respond(anisotropic, s.axes, s.sharpness[0], s.sharpness[1], o);
    const float* g = p.g_inputs + at * p.columns;
    float g_response = 0.0f;
    for (int i = 0; i < 2; ++i) {
      const float upstream = g[2 * lobe + i];
      g_amplitude[i] += upstream * response;
      g_response += upstream * s.amplitude[i];
    }
    respond_backward(anisotropic, s.axes, s.sharpness[0], s.sharpness[1], o, g_response, g_sharpness[0],
                     g_sharpness[1], g_o);
    for (int step = p.lobes >> 1; step > 0; step >>= 1)
      for (int i = 0; i < 3; ++i) g_o[i] += __shfl_xor_sync(0xffffffffu, g_o[i], step);
    if (inside && lobe == 0 && p.g_directions) {
      float out[3];
      beside_backward(g + 2 * p.lobes, g_o, d, normal, out);
      store<3>(out, at, p.g_directions);
    }
  }
  if (!inside) return;
  float* row = p.g_raw + size_t(n) * (2 + p.sharpnesses) * p.lobes;
  for (int i = 0; i < 2; ++i) row[2 * lobe + i] = g_amplitude[i];
  for (int i = 0; i < p.sharpnesses; ++i) row[(2 + i) * p.lobes + lobe] = g_sharpness[i] * logistic(s.raw[i]);
}
