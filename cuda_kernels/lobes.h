// What the perceptron of a highlight looks at, and its reverse: responses of lobes to a reflected direction
// (docs/method.md, section 6). Reference twin: plugins/appearances/lobes.py (LobeNetwork).
#pragma once

#include "skinning.h"

namespace SURFEL_NAMESPACE {

constexpr int kOctaves = 2;                        // of the positional encoding
constexpr int kBesides = 1 + 3 + 6 * kOctaves;     // inputs that are no responses: n.(-d), d, sines, cosines

// log(1 + exp x), and its slope.
template <class T>
SURFEL_FN T softplus(T x) {
  return greater(x, T(0)) + logarithm_one_plus(exponential_exact(x > T(0) ? -x : x));
}
template <class T>
SURFEL_FN T logistic(T x) {
  const T e = exponential_exact(x > T(0) ? -x : x);
  return (x > T(0) ? T(1) : e) / (T(1) + e);
}

// o = d + 2 f n with f = -d.n; gives f.
template <class T>
SURFEL_FN T reflect(const T* direction, const T* normal, T* reflected) {
  const T facing = -inner(direction, normal);
  for (int i = 0; i < 3; ++i) reflected[i] = direction[i] + T(2) * facing * normal[i];
  return facing;
}

// A lobe's response without its amplitude; `lobe` holds axis, x and y, mu is not used by isotropic lobes.
template <class T>
SURFEL_FN T respond(bool anisotropic, const T* lobe, T lambda, T mu, const T* o) {
  const T along = inner(lobe, o);
  if (!anisotropic) return exponential_exact(lambda * (along - T(1)));
  const T x = inner(lobe + 3, o), y = inner(lobe + 6, o);
  return greater(along, T(0)) * exponential_exact(-lambda * x * x - mu * y * y);
}

// Add to the gradients of lambda, mu and o, from that of the response.
template <class T>
SURFEL_FN void respond_backward(bool anisotropic, const T* lobe, T lambda, T mu, const T* o, T g, T& g_lambda,
                                T& g_mu, T* g_o) {
  const T along = inner(lobe, o);
  if (!anisotropic) {
    const T r = g * exponential_exact(lambda * (along - T(1)));
    g_lambda += r * (along - T(1));
    for (int i = 0; i < 3; ++i) g_o[i] += r * lambda * lobe[i];
    return;
  }
  if (along < T(0)) return;
  const T x = inner(lobe + 3, o), y = inner(lobe + 6, o);
  const T falloff = g * exponential_exact(-lambda * x * x - mu * y * y), r = falloff * along;
  g_lambda -= r * x * x;
  g_mu -= r * y * y;
  const T by_x = T(-2) * lambda * x * r, by_y = T(-2) * mu * y * r;
  for (int i = 0; i < 3; ++i) g_o[i] += falloff * lobe[i] + by_x * lobe[3 + i] + by_y * lobe[6 + i];
}

// The inputs after the responses.
template <class T>
SURFEL_FN T beside(int which, T facing, const T* d) {
  if (which == 0) return facing;
  if (which < 4) return d[which - 1];
  const int wave = which - 4, turned = wave % (3 * kOctaves), axis = turned % 3;
  const T x = T(turned < 3 ? 1 : 2) * (axis == 0 ? d[0] : axis == 1 ? d[1] : d[2]);
  return wave < 3 * kOctaves ? sine(x) : cosine(x);
}

// dL/dd from that of the inputs after the responses (g, kBesides) and of the reflected direction.
template <class T>
SURFEL_FN void beside_backward(const T* g, const T* g_o, const T* d, const T* normal, T* out) {
  const T g_facing = g[0] + T(2) * inner(g_o, normal);
  for (int i = 0; i < 3; ++i) {
    out[i] = g_o[i] - g_facing * normal[i] + g[1 + i];
    for (int k = 0; k < kOctaves; ++k) {
      const T scale = T(k == 0 ? 1 : 2), x = scale * d[i];
      out[i] += scale * (g[4 + 3 * k + i] * cosine(x) - g[4 + 3 * (kOctaves + k) + i] * sine(x));
    }
  }
}

}  // namespace SURFEL_NAMESPACE
