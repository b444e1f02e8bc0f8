// Directions from the camera in rest space, and real spherical harmonics to degree 3 with their gradient:
// docs/method.md, section 6. Reference twins: avatars/avatar.py (rest_directions) and maths/harmonics.py (basis).
#pragma once

#include "skinning.h"

namespace SURFEL_NAMESPACE {

constexpr double kY00 = 0.28209479177387814;     // 1/2 sqrt(1/pi)
constexpr double kY1 = 0.4886025119029199;       // sqrt(3/(4 pi))
constexpr double kY2Pair = 1.0925484305920792;   // 1/2 sqrt(15/pi): xy, yz, xz
constexpr double kY2Zz = 0.31539156525252005;    // 1/4 sqrt(5/pi)
constexpr double kY2Xx = 0.5462742152960396;     // 1/4 sqrt(15/pi)
constexpr double kY33 = 0.5900435899266435;      // 1/4 sqrt(35/(2 pi))
constexpr double kY3Xyz = 2.890611442640554;     // 1/2 sqrt(105/pi)
constexpr double kY31 = 0.4570457994644658;      // 1/4 sqrt(21/(2 pi))
constexpr double kY30 = 0.3731763325901154;      // 1/4 sqrt(7/pi)
constexpr double kY32 = 1.445305721320277;       // 1/4 sqrt(105/pi)

// All harmonics above the constant one, of the degrees up to kDegree, at a unit vector.
template <int kDegree, class T>
SURFEL_FN void harmonics(const T* d, T* out) {
  const T x = d[0], y = d[1], z = d[2];
  if (kDegree >= 1) {
    out[0] = -T(kY1) * y;
    out[1] = T(kY1) * z;
    out[2] = -T(kY1) * x;
  }
  const T xx = x * x, yy = y * y, zz = z * z;
  if (kDegree >= 2) {
    out[3] = T(kY2Pair) * (x * y);
    out[4] = -T(kY2Pair) * (y * z);
    out[5] = T(kY2Zz) * (T(2) * zz - xx - yy);
    out[6] = -T(kY2Pair) * (x * z);
    out[7] = T(kY2Xx) * (xx - yy);
  }
  if (kDegree >= 3) {
    const T inside = T(4) * zz - xx - yy;
    out[8] = -T(kY33) * y * (T(3) * xx - yy);
    out[9] = T(kY3Xyz) * (x * y) * z;
    out[10] = -T(kY31) * y * inside;
    out[11] = T(kY30) * z * (T(2) * zz - T(3) * xx - T(3) * yy);
    out[12] = -T(kY31) * x * inside;
    out[13] = T(kY32) * z * (xx - yy);
    out[14] = -T(kY33) * x * (xx - T(3) * yy);
  }
}

// dL/dd from that of each harmonic.
template <int kDegree, class T>
SURFEL_FN void harmonics_backward(const T* d, const T* g, T* out) {
  const T x = d[0], y = d[1], z = d[2];
  T gx = T(0), gy = T(0), gz = T(0);
  if (kDegree >= 1) {
    gx -= T(kY1) * g[2];
    gy -= T(kY1) * g[0];
    gz += T(kY1) * g[1];
  }
  if (kDegree >= 2) {
    const T two = T(2);
    gx += T(kY2Pair) * (y * g[3] - z * g[6]) + two * x * (T(kY2Xx) * g[7] - T(kY2Zz) * g[5]);
    gy += T(kY2Pair) * (x * g[3] - z * g[4]) - two * y * (T(kY2Xx) * g[7] + T(kY2Zz) * g[5]);
    gz += T(4) * T(kY2Zz) * z * g[5] - T(kY2Pair) * (y * g[4] + x * g[6]);
  }
  if (kDegree >= 3) {
    const T xx = x * x, yy = y * y, zz = z * z, two = T(2), three = T(3), six = T(6);
    const T a = T(kY33) * g[8], b = T(kY3Xyz) * g[9], c = T(kY31) * g[10], e = T(kY30) * g[11];
    const T f = T(kY31) * g[12], h = T(kY32) * g[13], k = T(kY33) * g[14];
    gx += -six * x * y * a + y * z * b + two * x * y * c - six * x * z * e -
          (T(4) * zz - three * xx - yy) * f + two * x * z * h - three * (xx - yy) * k;
    gy += -three * (xx - yy) * a + x * z * b - (T(4) * zz - xx - three * yy) * c - six * y * z * e +
          two * x * y * f - two * y * z * h + six * x * y * k;
    gz += x * y * b - T(8) * y * z * c + (six * zz - three * xx - three * yy) * e - T(8) * x * z * f +
          (xx - yy) * h;
  }
  out[0] = gx, out[1] = gy, out[2] = gz;
}

// R^T v: the rows of R dotted with a world vector's transpose, that is the vector in rest space.
template <class T>
SURFEL_FN void to_rest(const T* rotation, const T* v, T* out) {
  for (int c = 0; c < 3; ++c) out[c] = rotation[c] * v[0] + rotation[3 + c] * v[1] + rotation[6 + c] * v[2];
}

}  // namespace SURFEL_NAMESPACE
