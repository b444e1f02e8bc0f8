// The mathematics of two terms of the loss that shape the surface, and its reverse: docs/method.md, sections 5
// (depth normals) and 7. Reference twins: maths/depth_normals.py with plugins/regularizers/normal.py, and
// plugins/regularizers/normal_length.py.
#pragma once

#include "skinning.h"

namespace SURFEL_NAMESPACE {

constexpr double kSmallestArea = 1e-12;         // square metres, of a pixel's step across and down
constexpr double kSmallestDeterminant = 1e-3;   // of a deformation

// ---- normals of a depth picture --------------------------------------------------------------------------------

// The four depths around a pixel and the rays they lie on: x of the rays left, at and right of it, y above, at
// and below.
template <class T>
struct Stencil {
  T left, right, above, below;
  T x[3], y[3];
};

template <class T>
struct DepthNormal {
  T across[3], down[3];  // steps of the surface from left to right and from above to below
  T unit[3], inverse;    // normal; 1/length of the product of both steps, at most 1/kSmallestArea
  bool clamped;
};

template <class T>
SURFEL_FN DepthNormal<T> depth_normal(const Stencil<T>& s) {
  DepthNormal<T> n;
  n.across[2] = s.right - s.left;
  n.across[0] = s.x[2] * s.right - s.x[0] * s.left;
  n.across[1] = s.y[1] * n.across[2];
  n.down[2] = s.below - s.above;
  n.down[0] = s.x[1] * n.down[2];
  n.down[1] = s.y[2] * s.below - s.y[0] * s.above;
  for (int i = 0; i < 3; ++i) n.unit[i] = T(0);
  cross_add(n.down, n.across, n.unit);
  const T length = square_root(inner(n.unit, n.unit));
  n.clamped = !(length > T(kSmallestArea));
  n.inverse = T(1) / greater(length, T(kSmallestArea));
  for (int i = 0; i < 3; ++i) n.unit[i] *= n.inverse;
  return n;
}

// dL/d(left, right, above, below) from that of the unit normal.
template <class T>
SURFEL_FN void depth_normal_backward(const Stencil<T>& s, const DepthNormal<T>& n, const T* g_unit, T* g) {
  const T along = n.clamped ? T(0) : inner(g_unit, n.unit);
  T g_normal[3], g_across[3] = {}, g_down[3] = {};
  for (int i = 0; i < 3; ++i) g_normal[i] = (g_unit[i] - along * n.unit[i]) * n.inverse;
  cross_add(n.across, g_normal, g_down);
  cross_add(g_normal, n.down, g_across);
  const T across = s.y[1] * g_across[1] + g_across[2], down = s.x[1] * g_down[0] + g_down[2];
  g[0] = -(s.x[0] * g_across[0] + across);
  g[1] = s.x[2] * g_across[0] + across;
  g[2] = -(s.y[0] * g_down[1] + down);
  g[3] = s.y[2] * g_down[1] + down;
}

// ---- length of normals carried by the inverse transpose --------------------------------------------------------

template <class T>
struct CarriedNormal {
  T cofactor[3][3];  // columns: L1 x L2, L2 x L0, L0 x L1 of the columns of L
  T area[3], length, determinant, clamped, change;  // determinant: signed, over k^3; clamped: at least its floor
};

// |A^-T R r e3| - 1 for the linear part L = A k R (row major), the surfel's normal and the length k.
template <class T>
SURFEL_FN CarriedNormal<T> carried_normal(const T* linear, const T* normal, T scale) {
  CarriedNormal<T> c{};
  T column[3][3];
  for (int j = 0; j < 3; ++j)
    for (int r = 0; r < 3; ++r) column[j][r] = linear[3 * r + j];
  cross_add(column[1], column[2], c.cofactor[0]);
  cross_add(column[2], column[0], c.cofactor[1]);
  cross_add(column[0], column[1], c.cofactor[2]);
  for (int r = 0; r < 3; ++r)
    c.area[r] = normal[0] * c.cofactor[0][r] + normal[1] * c.cofactor[1][r] + normal[2] * c.cofactor[2][r];
  const T square = T(1) / (scale * scale);
  c.length = square_root(inner(c.area, c.area)) * square;
  c.determinant = inner(column[0], c.cofactor[0]) * square / scale;
  const T size = c.determinant < T(0) ? -c.determinant : c.determinant;
  c.clamped = greater(size, T(kSmallestDeterminant));
  c.change = c.length / c.clamped - T(1);
  return c;
}

// Fill g_linear and add to g_normal, for the gradient g of |change|.
template <class T>
SURFEL_FN void carried_normal_backward(const T* linear, const T* normal, T scale, const CarriedNormal<T>& c, T g,
                                       T* g_linear, T* g_normal) {
  const T sign = c.change > T(0) ? T(1) : c.change < T(0) ? T(-1) : T(0);
  const T inverse = T(1) / c.clamped, square = T(1) / (scale * scale);
  const T g_length = g * sign * inverse;
  const bool floored = !(c.determinant * c.determinant > T(kSmallestDeterminant * kSmallestDeterminant));
  const T towards = c.determinant < T(0) ? T(-1) : T(1);
  const T g_determinant = floored ? T(0) : -g_length * c.length * inverse * towards * square / scale;
  const T of_area = c.length > T(0) ? g_length * square * square / c.length : T(0);
  T column[3][3], g_cofactor[3][3], g_column[3][3] = {};
  for (int j = 0; j < 3; ++j)
    for (int r = 0; r < 3; ++r) column[j][r] = linear[3 * r + j];
  for (int j = 0; j < 3; ++j) {
    g_normal[j] += of_area * inner(c.area, c.cofactor[j]);
    for (int r = 0; r < 3; ++r) g_cofactor[j][r] = of_area * normal[j] * c.area[r];
  }
  for (int r = 0; r < 3; ++r) {
    g_column[0][r] += g_determinant * c.cofactor[0][r];
    g_cofactor[0][r] += g_determinant * column[0][r];
  }
  // the gradient of a x b is b x g for a and g x a for b
  for (int j = 0; j < 3; ++j) {
    const int a = (j + 1) % 3, b = (j + 2) % 3;
    cross_add(column[b], g_cofactor[j], g_column[a]);
    cross_add(g_cofactor[j], column[a], g_column[b]);
  }
  for (int j = 0; j < 3; ++j)
    for (int r = 0; r < 3; ++r) g_linear[3 * r + j] = g_column[j][r];
}

}  // namespace SURFEL_NAMESPACE
