// The mathematics of colours under distant light: docs/method.md, section 6. Reference twin:
// plugins/appearances/irradiance.py and lit.py.
#pragma once

#include "scalar.h"

namespace SURFEL_NAMESPACE {

constexpr int kMonomials = 10;                  // 1, x, y, z, their squares, xy, xz, yz
constexpr int kQuadricRows = 13;                // c, b and Q by rows, a column a channel; Q is symmetric
constexpr int kLightSums = 2 * 3 * kMonomials;  // of the shading's quadric and of the mirror's, by channel
constexpr double kNormalIncidence = 0.028;      // Schlick's F0 of skin

// kernels/cpu_lit.py, Lit.
struct Lit {
  int views, surfels, degree, count;  // degree of the residual in use; count: rows of `residual`
  const float *albedo, *residual, *gloss, *occlusion;  // raw: (N, 3), (N, count, 3), (N, 1), (N, 1); the last three or null
  const float *directions, *normals, *rotation;        // (B, N, 3) in rest space, (B, N, 3, 3) world from rest
  const float* world_normals;                          // (B, N, 3)
  const float *shading, *mirror;                       // (13, 3) c, b and Q of both quadrics
  float* colour;                                       // (B, N, 3), not clamped
  const float* g_colour;
  float *g_albedo, *g_residual, *g_gloss, *g_occlusion, *g_directions, *g_world_normals, *g_shading, *g_mirror;
  float* sums;  // (blocks, kLightSums) of a GPU's blocks; null on a CPU
};

template <class T>
SURFEL_FN void monomials(const T* v, T* out) {
  out[0] = T(1.0f);
  for (int i = 0; i < 3; ++i) {
    out[1 + i] = v[i];
    out[4 + i] = v[i] * v[i];
  }
  out[7] = v[0] * v[1];
  out[8] = v[0] * v[2];
  out[9] = v[1] * v[2];
}

// A quadric's factor of a monomial in channel c; what is beside Q's diagonal counts twice.
SURFEL_FN float quadric_factor(const float* numbers, int monomial, int c) {
  const int rows[kMonomials] = {0, 1, 2, 3, 4, 8, 12, 5, 6, 9};
  const float value = numbers[3 * rows[monomial] + c];
  return monomial < 7 ? value : 2.0f * value;
}
// The monomial whose sum is the gradient of a row of the quadric's numbers.
SURFEL_FN int quadric_monomial(int row) {
  const int monomials_of[kQuadricRows] = {0, 1, 2, 3, 4, 7, 8, 7, 5, 9, 8, 9, 6};
  return monomials_of[row];
}

// The quadric of one channel, by its factors.
template <class T>
SURFEL_FN T quadric_value(const float* factors, const T* terms) {
  T sum(factors[0]);
  for (int i = 1; i < kMonomials; ++i) sum = fused(T(factors[i]), terms[i], sum);
  return sum;
}
// Its derivative by the vector.
template <class T>
SURFEL_FN void quadric_slope(const float* f, const T* v, T* out) {
  out[0] = fused(T(f[7]), v[1], T(f[8]) * v[2]);
  out[1] = fused(T(f[7]), v[0], T(f[9]) * v[2]);
  out[2] = fused(T(f[8]), v[0], T(f[9]) * v[1]);
  for (int i = 0; i < 3; ++i) out[i] = fused(T(2.0f * f[4 + i]), v[i], T(f[1 + i])) + out[i];
}

// The direction a surfel mirrors, in the world, from direction and normal in rest space; n·(-d).
template <class T>
SURFEL_FN T mirrored(const T* d, const T* normal, const T* rotation, T* out) {
  const T facing = -fused(d[0], normal[0], fused(d[1], normal[1], d[2] * normal[2])), twice = facing + facing;
  T local[3];
  for (int i = 0; i < 3; ++i) local[i] = fused(twice, normal[i], d[i]);
  for (int r = 0; r < 3; ++r)
    out[r] = fused(rotation[3 * r], local[0], fused(rotation[3 * r + 1], local[1], rotation[3 * r + 2] * local[2]));
  return facing;
}
// Schlick's factor, from 1 - n·(-d) within [0, 1].
template <class T>
SURFEL_FN T fresnel(T away) {
  const T square = away * away;
  return fused(T(float(1.0 - kNormalIncidence)), square * square * away, T(float(kNormalIncidence)));
}

}  // namespace SURFEL_NAMESPACE
