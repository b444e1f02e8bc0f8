// From canonical parameters to world surfels: the per-surfel mathematics of docs/method.md, section 4, and its
// reverse. Reference twins: avatars/surfels.py (apply_field) and plugins/deformers/jbs.py (rotation_blend
// "relative"). Matrices are row major. Host and device code alike, templated on the number type.
#pragma once

#include "scalar.h"

namespace SURFEL_NAMESPACE {

template <class T>
SURFEL_FN T inner(const T* a, const T* b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
template <class T>
SURFEL_FN void cross_add(const T* a, const T* b, T* out) {  // out += a x b
  out[0] += a[1] * b[2] - a[2] * b[1];
  out[1] += a[2] * b[0] - a[0] * b[2];
  out[2] += a[0] * b[1] - a[1] * b[0];
}
template <class T>
SURFEL_FN void apply(const T* m, const T* v, T* out) {  // out = m v
  for (int r = 0; r < 3; ++r) out[r] = inner(m + 3 * r, v);
}
template <class T>
SURFEL_FN void apply_transposed_add(const T* m, const T* v, T* out) {  // out += m^T v
  for (int c = 0; c < 3; ++c) out[c] += m[c] * v[0] + m[3 + c] * v[1] + m[6 + c] * v[2];
}
template <class T>
SURFEL_FN void outer_add(const T* a, const T* b, T* out) {  // out += a b^T
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) out[3 * r + c] += a[r] * b[c];
}
template <class T>
SURFEL_FN void multiply(const T* a, const T* b, T* out) {  // out = a b
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c)
      out[3 * r + c] = a[3 * r] * b[c] + a[3 * r + 1] * b[3 + c] + a[3 * r + 2] * b[6 + c];
}
template <class T>
SURFEL_FN void multiply_by_transposed(const T* a, const T* b, T* out) {  // out = a b^T
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) out[3 * r + c] = inner(a + 3 * r, b + 3 * c);
}
template <class T>
SURFEL_FN void multiply_transposed(const T* a, const T* b, T* out) {  // out = a^T b
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) out[3 * r + c] = a[r] * b[c] + a[3 + r] * b[3 + c] + a[6 + r] * b[6 + c];
}

// Rotation matrix of a unit quaternion w, x, y, z.
template <class T>
SURFEL_FN void rotation_matrix(const T* q, T* m) {
  const T w = q[0], x = q[1], y = q[2], z = q[3], two = T(2);
  m[0] = T(1) - two * (y * y + z * z), m[1] = two * (x * y - w * z), m[2] = two * (x * z + w * y);
  m[3] = two * (x * y + w * z), m[4] = T(1) - two * (x * x + z * z), m[5] = two * (y * z - w * x);
  m[6] = two * (x * z - w * y), m[7] = two * (y * z + w * x), m[8] = T(1) - two * (x * x + y * y);
}
// dL/dq += of the matrix's gradient.
template <class T>
SURFEL_FN void rotation_matrix_backward(const T* q, const T* g, T* out) {
  const T w = q[0], x = q[1], y = q[2], z = q[3], two = T(2);
  out[0] += two * (x * (g[7] - g[5]) + y * (g[2] - g[6]) + z * (g[3] - g[1]));
  out[1] += two * (y * (g[1] + g[3]) + z * (g[2] + g[6]) + w * (g[7] - g[5]) - two * x * (g[4] + g[8]));
  out[2] += two * (x * (g[1] + g[3]) + z * (g[5] + g[7]) + w * (g[2] - g[6]) - two * y * (g[0] + g[8]));
  out[3] += two * (x * (g[2] + g[6]) + y * (g[5] + g[7]) + w * (g[3] - g[1]) - two * z * (g[0] + g[4]));
}

// Hamilton product a b.
template <class T>
SURFEL_FN void quaternion_product(const T* a, const T* b, T* out) {
  out[0] = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3];
  out[1] = a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2];
  out[2] = a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1];
  out[3] = a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0];
}

// ---- avatars/surfels.py, apply_field ------------------------------------------------------------------------------

// A surfel's own parameters, raw.
template <class T>
struct Canonical {
  T offset[3], log_scale[2], quaternion[4];
};
// What is the same for all poses of a surfel.
template <class T>
struct Axes {
  T quaternion[4], inverse_length;  // normalised; 1/|q|
  T u[3], v[3];                     // the first two columns of its matrix
  T scale[2];
};
// A surfel in the world; t is the row-major 3x2 matrix of both tangents.
template <class T>
struct World {
  T mean[3], t[6], normal[3];
};

template <class T>
SURFEL_FN Axes<T> canonical_axes(const Canonical<T>& in) {
  Axes<T> a;
  T squared = T(0);
  for (int i = 0; i < 4; ++i) squared += in.quaternion[i] * in.quaternion[i];
  // torch.nn.functional.normalize divides by at least 1e-12
  a.inverse_length = T(1) / greater(square_root(squared), T(1e-12));
  for (int i = 0; i < 4; ++i) a.quaternion[i] = in.quaternion[i] * a.inverse_length;
  T m[9];
  rotation_matrix(a.quaternion, m);
  for (int r = 0; r < 3; ++r) {
    a.u[r] = m[3 * r];
    a.v[r] = m[3 * r + 1];
  }
  for (int i = 0; i < 2; ++i) a.scale[i] = exponential_exact(in.log_scale[i]);
  return a;
}

template <class T>
SURFEL_FN World<T> to_world(const T* linear, const T* origin, const Canonical<T>& in, const Axes<T>& axes) {
  World<T> w;
  T u[3], v[3], c[3] = {};
  apply(linear, in.offset, w.mean);
  apply(linear, axes.u, u);
  apply(linear, axes.v, v);
  cross_add(u, v, c);
  const T scale = T(1) / square_root(greater(inner(c, c), T(1e-24)));
  for (int r = 0; r < 3; ++r) {
    w.mean[r] += origin[r];
    w.t[2 * r] = u[r] * axes.scale[0];
    w.t[2 * r + 1] = v[r] * axes.scale[1];
    w.normal[r] = c[r] * scale;
  }
  return w;
}

// Add one pose's part to the gradients of the parameters (g_axes: of u, v and the logarithms of the scales) and
// fill g_linear; the origin's gradient is the mean's.
template <class T>
SURFEL_FN void to_world_backward(const T* linear, const Canonical<T>& in, const Axes<T>& axes,
                                 const World<T>& g, T* g_linear, T* g_offset, T* g_u, T* g_v,
                                 T* g_log_scale) {
  T u[3], v[3], c[3] = {}, gu[3], gv[3], gc[3];
  apply(linear, axes.u, u);
  apply(linear, axes.v, v);
  cross_add(u, v, c);
  const T squared = inner(c, c);
  const bool clamped = !(squared > T(1e-24));
  const T scale = T(1) / square_root(greater(squared, T(1e-24)));
  const T along = clamped ? T(0) : inner(g.normal, c) * scale * scale;
  for (int r = 0; r < 3; ++r) {
    gc[r] = scale * (g.normal[r] - along * c[r]);
    gu[r] = g.t[2 * r] * axes.scale[0];
    gv[r] = g.t[2 * r + 1] * axes.scale[1];
  }
  g_log_scale[0] += inner(gu, u);
  g_log_scale[1] += inner(gv, v);
  cross_add(v, gc, gu);
  cross_add(gc, u, gv);
  for (int i = 0; i < 9; ++i) g_linear[i] = T(0);
  outer_add(g.mean, in.offset, g_linear);
  outer_add(gu, axes.u, g_linear);
  outer_add(gv, axes.v, g_linear);
  apply_transposed_add(linear, g.mean, g_offset);
  apply_transposed_add(linear, gu, g_u);
  apply_transposed_add(linear, gv, g_v);
}

// dL/d(raw quaternion) from that of the two columns.
template <class T>
SURFEL_FN void axes_backward(const Axes<T>& axes, const T* g_u, const T* g_v, T* g_quaternion) {
  const T m[9] = {g_u[0], g_v[0], T(0), g_u[1], g_v[1], T(0), g_u[2], g_v[2], T(0)};
  T g[4] = {};
  rotation_matrix_backward(axes.quaternion, m, g);
  T along = T(0);
  for (int i = 0; i < 4; ++i) along += g[i] * axes.quaternion[i];
  for (int i = 0; i < 4; ++i) g_quaternion[i] = axes.inverse_length * (g[i] - along * axes.quaternion[i]);
}

// ---- plugins/deformers/jbs.py ----------------------------------------------------------------------------------

// A host triangle's neighbourhood in one pose: its rotation, the rotation vectors to its three neighbours, and
// the stretches (xx, xy, xz, yy, yz, zz) of itself and them.
template <class T>
struct Neighbourhood {
  T quaternion[4], logarithm[3][3], stretch[4][6];
};

// A unit quaternion (real, factor vector) of a rotation vector, as maths/geometry.py makes it.
template <class T>
struct Turn {
  T vector[3], quaternion[4], factor, curvature;  // curvature: d(factor)/d|v| / |v|
};

template <class T>
SURFEL_FN Turn<T> turn_of(const T* vector) {
  Turn<T> t;
  const T squared = inner(vector, vector);
  if (squared < T(1e-8)) {
    t.factor = T(0.5) - squared / T(48);
    t.curvature = T(-1.0 / 24.0);
    t.quaternion[0] = T(1) - squared / T(8);
  } else {
    const T angle = square_root(squared);
    t.quaternion[0] = cosine(T(0.5) * angle);
    t.factor = sine(T(0.5) * angle) / angle;
    t.curvature = (T(0.5) * t.quaternion[0] - t.factor) / squared;
  }
  for (int i = 0; i < 3; ++i) {
    t.vector[i] = vector[i];
    t.quaternion[1 + i] = t.factor * vector[i];
  }
  return t;
}

template <class T>
SURFEL_FN void turn_backward(const Turn<T>& t, const T* g, T* g_vector) {
  const T along = inner(g + 1, t.vector);
  for (int i = 0; i < 3; ++i)
    g_vector[i] = t.factor * (g[1 + i] - T(0.5) * g[0] * t.vector[i]) + t.curvature * along * t.vector[i];
}

template <class T>
struct Blended {
  Turn<T> turn;
  T quaternion[4], rotation[9], stretch[9], affine[9];
};

// R_b = R_i exp(sum w_j log(R_i^T R_j)), U_b = sum w_j U_j, A = R_b U_b.
template <class T>
SURFEL_FN Blended<T> blend(const Neighbourhood<T>& near, const T* weights) {
  Blended<T> b;
  T vector[3] = {}, u[6] = {};
  for (int j = 0; j < 3; ++j)
    for (int i = 0; i < 3; ++i) vector[i] += weights[1 + j] * near.logarithm[j][i];
  for (int j = 0; j < 4; ++j)
    for (int i = 0; i < 6; ++i) u[i] += weights[j] * near.stretch[j][i];
  b.turn = turn_of(vector);
  quaternion_product(near.quaternion, b.turn.quaternion, b.quaternion);
  rotation_matrix(b.quaternion, b.rotation);
  b.stretch[0] = u[0], b.stretch[1] = b.stretch[3] = u[1], b.stretch[2] = b.stretch[6] = u[2];
  b.stretch[4] = u[3], b.stretch[5] = b.stretch[7] = u[4], b.stretch[8] = u[5];
  multiply(b.rotation, b.stretch, b.affine);
  return b;
}

// Add to g_weights (4); fill g_near. g_rotation: what reaches R_b from elsewhere.
template <class T>
SURFEL_FN void blend_backward(const Neighbourhood<T>& near, const T* weights, const Blended<T>& b,
                              const T* g_affine, const T* g_rotation, T* g_weights,
                              Neighbourhood<T>& g_near) {
  T gr[9], gs[9], gq[4] = {}, ge[4], gv[3];
  multiply_by_transposed(g_affine, b.stretch, gr);
  for (int i = 0; i < 9; ++i) gr[i] += g_rotation[i];
  multiply_transposed(b.rotation, g_affine, gs);
  const T gu[6] = {gs[0], gs[1] + gs[3], gs[2] + gs[6], gs[4], gs[5] + gs[7], gs[8]};
  rotation_matrix_backward(b.quaternion, gr, gq);
  const T* e = b.turn.quaternion;
  const T* q = near.quaternion;
  // the transpose of multiplying by a quaternion is multiplying by its conjugate
  const T e_bar[4] = {e[0], -e[1], -e[2], -e[3]}, q_bar[4] = {q[0], -q[1], -q[2], -q[3]};
  quaternion_product(gq, e_bar, g_near.quaternion);
  quaternion_product(q_bar, gq, ge);
  turn_backward(b.turn, ge, gv);
  for (int j = 0; j < 3; ++j) {
    g_weights[1 + j] += inner(gv, near.logarithm[j]);
    for (int i = 0; i < 3; ++i) g_near.logarithm[j][i] = weights[1 + j] * gv[i];
  }
  for (int j = 0; j < 4; ++j)
    for (int i = 0; i < 6; ++i) {
      g_weights[j] += gu[i] * near.stretch[j][i];
      g_near.stretch[j][i] = weights[j] * gu[i];
    }
}

}  // namespace SURFEL_NAMESPACE
