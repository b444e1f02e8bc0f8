// From posed triangles to the rotations and stretches of their Jacobians, and from two rotations to the vector
// between them: docs/method.md, section 3 and `jbs` of section 4, and their reverse. Reference twins:
// maths/triangles.py (TriangleJacobians) and plugins/deformers/jbs.py (relative_logarithms).
#pragma once

#include "skinning.h"

namespace SURFEL_NAMESPACE {

constexpr double kDegenerateArea = 1e-12;   // |c| at or below it, square metres
constexpr double kDegenerateRatio = 1e-4;   // |c| at or below this times the longest edge's square

// What is the same for all poses of a triangle: |e1|, h, p, |c| of the rest pose and its frame, columns a, b, n.
template <class T>
struct RestTriangle {
  T length, height, along, area, frame[9];
  bool valid;
};

// A posed triangle: its edges, its frame and the in-plane factors between the two poses.
template <class T>
struct PosedTriangle {
  T a[3], b[3], n[3];
  T length, height, along, area;
  T alpha, beta, delta, cosine, sine, squared;  // squared: (alpha + delta)^2 + beta^2
  T stretch_normal;                             // sqrt(|c'|/|c|)
  bool valid;
};

template <class T>
SURFEL_FN PosedTriangle<T> pose_triangle(const RestTriangle<T>& rest, const T* e1, const T* e2) {
  PosedTriangle<T> t;
  T c[3] = {}, e3[3];
  cross_add(e1, e2, c);
  for (int i = 0; i < 3; ++i) e3[i] = e2[i] - e1[i];
  const T l1 = inner(e1, e1), longest = greater(greater(l1, inner(e2, e2)), inner(e3, e3));
  t.area = square_root(inner(c, c));
  t.valid = rest.valid && t.area > greater(T(kDegenerateRatio) * longest, T(kDegenerateArea));
  if (!t.valid) return t;
  t.length = square_root(l1);
  t.height = t.area / t.length;
  t.along = inner(e1, e2) / t.length;
  for (int i = 0; i < 3; ++i) {
    t.a[i] = e1[i] / t.length;
    t.n[i] = c[i] / t.area;
    t.b[i] = T(0);
  }
  cross_add(t.n, t.a, t.b);
  t.alpha = t.length / rest.length;
  t.beta = (t.along - t.alpha * rest.along) / rest.height;
  t.delta = t.height / rest.height;
  const T trace = t.alpha + t.delta;
  t.squared = trace * trace + t.beta * t.beta;
  const T inverse = T(1) / square_root(t.squared);
  t.cosine = trace * inverse;
  t.sine = -t.beta * inverse;
  t.stretch_normal = square_root(t.area / rest.area);
  return t;
}

// Unit quaternion with w >= 0 of a rotation: the row of 4 q q^T with the largest diagonal entry, by its length.
template <class T>
SURFEL_FN void matrix_quaternion(const T* m, T* q) {
  const T wx = m[7] - m[5], wy = m[2] - m[6], wz = m[3] - m[1];
  const T xy = m[3] + m[1], xz = m[2] + m[6], yz = m[7] + m[5];
  const T diagonal[4] = {T(1) + m[0] + m[4] + m[8], T(1) + m[0] - m[4] - m[8], T(1) - m[0] + m[4] - m[8],
                         T(1) - m[0] - m[4] + m[8]};
  const T rows[4][4] = {{diagonal[0], wx, wy, wz},
                        {wx, diagonal[1], xy, xz},
                        {wy, xy, diagonal[2], yz},
                        {wz, xz, yz, diagonal[3]}};
  const int first = diagonal[0] >= diagonal[1] ? 0 : 1, second = diagonal[2] >= diagonal[3] ? 2 : 3;
  const int best = diagonal[first] >= diagonal[second] ? first : second;
  T squared = T(0);
  for (int i = 0; i < 4; ++i) {
    // selected without indexing by `best`, which would put the rows into slow memory
    q[i] = best == 0 ? rows[0][i] : best == 1 ? rows[1][i] : best == 2 ? rows[2][i] : rows[3][i];
    squared += q[i] * q[i];
  }
  const T scale = (q[0] < T(0) ? T(-1) : T(1)) / square_root(squared);
  for (int i = 0; i < 4; ++i) q[i] *= scale;
}

// The rotation R = R' R_z(theta) R^T as a quaternion, and U = R^T J by entries xx, xy, xz, yy, yz, zz.
template <class T>
SURFEL_FN void rotation_and_stretch(const RestTriangle<T>& rest, const PosedTriangle<T>& t, T* quaternion,
                                    T* stretch) {
  if (!t.valid) {
    for (int i = 0; i < 4; ++i) quaternion[i] = T(i == 0);
    for (int i = 0; i < 6; ++i) stretch[i] = T(i == 0 || i == 3 || i == 5);
    return;
  }
  T turned[9], rotation[9];
  for (int r = 0; r < 3; ++r) {
    turned[3 * r] = t.cosine * t.a[r] + t.sine * t.b[r];
    turned[3 * r + 1] = t.cosine * t.b[r] - t.sine * t.a[r];
    turned[3 * r + 2] = t.n[r];
  }
  multiply_by_transposed(turned, rest.frame, rotation);
  matrix_quaternion(rotation, quaternion);
  const T aa = t.cosine * t.alpha, ab = -t.sine * t.alpha, bb = t.cosine * t.delta - t.sine * t.beta;
  int at = 0;
  for (int i = 0; i < 3; ++i)
    for (int j = i; j < 3; ++j) {
      const T* x = rest.frame + 3 * i;
      const T* y = rest.frame + 3 * j;
      stretch[at++] = aa * (x[0] * y[0]) + ab * (x[0] * y[1] + x[1] * y[0]) + bb * (x[1] * y[1]) +
                      t.stretch_normal * (x[2] * y[2]);
    }
}

// Fill the gradients of e1 and e2. A turn of R is a turn of the frame (a, b, n) plus one about n by theta.
template <class T>
SURFEL_FN void triangle_backward(const RestTriangle<T>& rest, const PosedTriangle<T>& t, const T* quaternion,
                                 const T* g_quaternion, const T* g_stretch, T* g_e1, T* g_e2) {
  for (int i = 0; i < 3; ++i) g_e1[i] = g_e2[i] = T(0);
  if (!t.valid) return;
  // the gradient along turns about world axes: half the vector part of g q*
  const T conjugate[4] = {quaternion[0], -quaternion[1], -quaternion[2], -quaternion[3]};
  T product[4];
  quaternion_product(g_quaternion, conjugate, product);
  const T torque[3] = {T(0.5) * product[1], T(0.5) * product[2], T(0.5) * product[3]};
  const T about_a = inner(torque, t.a), about_b = inner(torque, t.b), about_n = inner(torque, t.n);

  T g_aa = T(0), g_ab = T(0), g_bb = T(0), g_nn = T(0);
  int at = 0;
  for (int i = 0; i < 3; ++i)
    for (int j = i; j < 3; ++j) {
      const T* x = rest.frame + 3 * i;
      const T* y = rest.frame + 3 * j;
      const T g = g_stretch[at++];
      g_aa += g * (x[0] * y[0]);
      g_ab += g * (x[0] * y[1] + x[1] * y[0]);
      g_bb += g * (x[1] * y[1]);
      g_nn += g * (x[2] * y[2]);
    }
  const T g_cosine = g_aa * t.alpha + g_bb * t.delta, g_sine = -g_ab * t.alpha - g_bb * t.beta;
  const T g_angle = (about_n + t.cosine * g_sine - t.sine * g_cosine) / t.squared;
  const T g_beta = -g_bb * t.sine - (t.alpha + t.delta) * g_angle;
  const T g_alpha = g_aa * t.cosine - g_ab * t.sine + t.beta * g_angle - g_beta * rest.along / rest.height;
  const T g_delta = g_bb * t.cosine + t.beta * g_angle;
  const T g_along = g_beta / rest.height;
  const T g_area = T(0.5) * g_nn * t.stretch_normal / t.area;  // |c| = |e1| h
  const T g_length = g_alpha / rest.length + g_area * t.height;
  const T g_height = g_delta / rest.height + g_area * t.length;

  const T inverse = T(1) / t.length, slant = t.along * inverse;
  const T along_b = inverse * (about_n + g_along * t.height) - g_height * slant;
  const T along_n = -inverse * (about_b + about_a * t.along / t.height);
  for (int i = 0; i < 3; ++i) {
    g_e1[i] = g_length * t.a[i] + along_b * t.b[i] + along_n * t.n[i];
    g_e2[i] = g_along * t.a[i] + g_height * t.b[i] + (about_a / t.height) * t.n[i];
  }
}

// The rotation vector log(R_i^T R_j) from unit quaternions, and what its reverse needs.
template <class T>
struct Logarithm {
  T real, vector[3];        // of conj(q_i) q_j
  T factor, by_real, by_vector;  // vector = 2 sign factor v; derivatives of factor by w and by |v|, over |v|
  T sign;
};

template <class T>
SURFEL_FN Logarithm<T> relative_logarithm(const T* own, const T* other) {
  Logarithm<T> l;
  const T conjugate[4] = {own[0], -own[1], -own[2], -own[3]};
  T d[4];
  quaternion_product(conjugate, other, d);
  l.sign = d[0] < T(0) ? T(-1) : T(1);
  l.real = d[0] * l.sign;
  for (int i = 0; i < 3; ++i) l.vector[i] = d[1 + i];
  const T squared = inner(l.vector, l.vector);
  if (squared < T(1e-8)) {
    const T inverse = T(1) / l.real, square = inverse * inverse;
    l.factor = (T(1) - squared * square / T(3)) * inverse;
    l.by_real = square * (squared * square - T(1));
    l.by_vector = T(-2.0 / 3.0) * square * inverse;
  } else {
    const T length = square_root(squared), whole = T(1) / (squared + l.real * l.real);
    l.factor = arc_tangent(length, l.real) / length;
    l.by_real = -whole;
    l.by_vector = (l.real * whole - l.factor) / squared;
  }
  return l;
}

// Add to the quaternions' gradients.
template <class T>
SURFEL_FN void logarithm_backward(const Logarithm<T>& l, const T* own, const T* other, const T* g, T* g_own,
                                  T* g_other) {
  const T along = T(2) * inner(g, l.vector);
  T gd[4] = {l.by_real * along};
  for (int i = 0; i < 3; ++i)
    gd[1 + i] = l.sign * (T(2) * l.factor * g[i] + l.by_vector * along * l.vector[i]);
  const T conjugate[4] = {other[0], -other[1], -other[2], -other[3]};
  T of_other[4], of_own[4];
  quaternion_product(own, gd, of_other);
  quaternion_product(gd, conjugate, of_own);
  for (int i = 0; i < 4; ++i) {
    g_other[i] += of_other[i];
    g_own[i] += i == 0 ? of_own[i] : -of_own[i];
  }
}

}  // namespace SURFEL_NAMESPACE
