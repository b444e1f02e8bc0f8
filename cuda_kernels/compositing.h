// The (pixel, surfel) pair: intersection, alpha, compositing, and its backward.
#pragma once

#include "projection.h"

namespace SURFEL_NAMESPACE {

// ---- per (pixel, surfel) pair, forward ---------------------------------------------------------------------

// Where the ray meets the surfel. Lanes on the screen-space floor (rho2 < rho3) hold u = v = q = 0, so that
// the formulas of depth and its gradient need no second case.
template <class T, class Mask>
struct Hit {
  T dx, dy;  // pixel centre - projected centre
  T u, v;    // hit point on the surfel's plane, standard deviations
  T s;       // wx dx + wy dy
  T q;       // 1/w
  T rho;     // min(rho3, rho2)
  Mask on_plane;  // rho3 <= rho2
};

// README, equation 3 and rho = min(rho3, rho2). S is the scalar type of the surfel, T that of the pixels.
template <class Mask, class T, class S>
SURFEL_FN Hit<T, Mask> intersect(const Surfel<S>& g, T dx, T dy) {
  Hit<T, Mask> h;
  h.dx = dx;
  h.dy = dy;
  h.s = fused(T(g.wx), dx, T(g.wy) * dy);
  // Parallel to the plane, w = 0: then q, and with it rho3, is infinite or NaN, and not on_plane.
  const T q = reciprocal(T(g.w0) + h.s);
  const T u = fused(T(g.ux), dx, T(g.uy) * dy) * q;
  const T v = fused(T(g.vx), dx, T(g.vy) * dy) * q;
  const T rho3 = fused(u, u, v * v);
  const T rho2 = T(S(2)) * fused(dx, dx, dy * dy);
  h.on_plane = rho3 <= rho2;  // false where rho3 overflowed
  h.rho = pick(h.on_plane, rho3, rho2);
  const T zero = T(S(0));
  h.u = pick(h.on_plane, u, zero);
  h.v = pick(h.on_plane, v, zero);
  h.q = pick(h.on_plane, q, zero);
  return h;
}

// Camera depth of the pair minus `z`: M_w (u, v, 1) - m.z = -m.z s/w on the plane (README, equation 6), 0 on
// the screen-space floor. Small, so exact to its own last digits.
template <class T, class Mask, class S>
SURFEL_FN T depth_offset(const Surfel<S>& g, const Hit<T, Mask>& h) {
  return -T(g.z) * (h.s * h.q);
}

template <class T, class Mask>
struct Weight {
  T gauss;      // exp(-rho/2)
  T alpha;      // min(0.99, opacity gauss)
  Mask counts;  // alpha >= 1/255 and depth >= near
  Mask capped;  // the cap holds: no gradient to opacity and rho
};

// Alpha of the pair and its gates (README, equation 7).
template <class T, class Mask, class S>
SURFEL_FN Weight<T, Mask> weigh(const Surfel<S>& g, const Hit<T, Mask>& h, T depth, S near) {
  Weight<T, Mask> r;
  r.gauss = gaussian(h.rho);
  const T raw = T(g.opacity) * r.gauss;
  r.capped = raw >= T(S(kAlphaMax));
  r.alpha = pick(r.capped, T(S(kAlphaMax)), raw);
  r.counts = (r.alpha >= T(S(kAlphaMin))) & (depth >= T(near));
  return r;
}

// m(depth) - m(reference), without the cancellation of the two (README, equation 9). `offset` is
// depth - reference. The distortion depends on differences of m only, so one reference a tile serves all
// its pixels, and float32 keeps the digits of thin shells.
template <class T, class S>
SURFEL_FN T relative_m(T offset, T depth, S reference, S scale) {
  return T(scale / reference) * offset * reciprocal(depth);
}

// A pixel's running state, front to back. Depths may be counted from any depth that is the same for the whole
// pixel, in `composite`, `upstream` and `weight_gradient` alike: a thin shell keeps more digits so.
template <class T>
struct Pixel {
  T transmittance;
  T rgb[3], normal[3];
  T depth;           // sum of omega depth
  T d1, d2;          // sums of omega m and omega m^2, m relative to the tile's reference
  T distortion;
  T median;
};

// Composite one pair (README, equation 8); `alpha` is 0 in lanes that skip it, which leaves them unchanged
// except for the median, taken under `counts`; depth and m must be finite in every lane (pass the tile's
// reference and 0 where skipped). The caller has made sure that T (1 - alpha) >= 1e-4.
// kDistortion: whether to add up the distortion pair by pair; without, it is A D2 - D1^2 at the end.
template <bool kDistortion = true, class T, class Mask, class S>
SURFEL_FN void composite(Pixel<T>& p, const Surfel<S>& g, const S* rgb, T alpha, T depth, T m, Mask counts) {
  const T omega = alpha * p.transmittance;
  if (kDistortion) {
    const T covered = T(S(1)) - p.transmittance;  // A of the surfels in front
    // omega (m^2 A + D2 - 2 m D1)
    p.distortion = fused(omega, fused(m, fused(m, covered, T(S(-2)) * p.d1), p.d2), p.distortion);
  }
  const T om = omega * m;
  p.d1 = p.d1 + om;
  p.d2 = fused(om, m, p.d2);
  for (int c = 0; c < 3; ++c) {
    p.rgb[c] = fused(omega, T(rgb[c]), p.rgb[c]);
    p.normal[c] = fused(omega, T(g.normal[c]), p.normal[c]);
  }
  p.depth = fused(omega, depth, p.depth);
  p.median = pick(counts & (p.transmittance > T(S(kMedianTransmittance))), depth, p.median);
  p.transmittance = p.transmittance - omega;  // T (1 - alpha)
}

// ---- per pair, backward ------------------------------------------------------------------------------------

// What the backward of a pixel's pairs needs, made once a pixel.
template <class T>
struct Upstream {
  T rgb[3], normal[3];
  T depth;       // dL/d(sum of omega depth)
  T weight;      // the part of dL/d(omega) that is the same for all pairs of the pixel
  T median;
  T distortion;
  T a, d1, d2;   // the pixel's total A, D1, D2
};

// README, equation 10. `alpha`, `depth`, `d1`, `d2` are the pixel's final alpha, expected depth and sums.
template <class T, class S>
SURFEL_FN Upstream<T> upstream(const T* g_rgb, T g_alpha, const T* g_normal, T g_depth, T g_median,
                               T g_distortion, const S* background, T alpha, T depth, T d1, T d2) {
  Upstream<T> r;
  const T zero = T(S(0));
  const T inverse = pick(alpha > zero, reciprocal(pick(alpha > zero, alpha, T(S(1)))), zero);
  r.depth = g_depth * inverse;
  r.weight = g_alpha - r.depth * depth;
  for (int c = 0; c < 3; ++c) {
    r.rgb[c] = g_rgb[c];
    r.normal[c] = g_normal[c];
    r.weight = r.weight - g_rgb[c] * T(background[c]);  // T_end = 1 - sum of omega
  }
  r.median = g_median;
  r.distortion = g_distortion;
  r.a = alpha;
  r.d1 = d1;
  r.d2 = d2;
  return r;
}

// h = dL/d(omega) of a pair (README, equation 11). kDistortion: whether any gradient comes from the distortion.
template <bool kNormal, bool kDepth, bool kDistortion = kDepth, class T, class S>
SURFEL_FN T weight_gradient(const Upstream<T>& up, const Surfel<S>& g, const S* rgb, T depth, T m) {
  T h = up.weight;
  for (int c = 0; c < 3; ++c) h = fused(up.rgb[c], T(rgb[c]), h);
  if (kNormal)
    for (int c = 0; c < 3; ++c) h = fused(up.normal[c], T(g.normal[c]), h);
  if (kDepth) {
    h = fused(up.depth, depth, h);
    if (kDistortion) h = fused(up.distortion, fused(m, fused(m, up.a, T(S(-2)) * up.d1), up.d2), h);
  }
  return h;
}

// What one pair adds to its surfel's gradients, before the products with d, u and v.
template <class T>
struct PairGradient {
  T omega;
  T opacity;
  T u, v;   // dL/d(u w), dL/d(v w): the numerators of equation 3
  T w, s;   // dL/d(w0), dL/d(wx dx + wy dy)
  T floor;  // dL/d(rho2), times 4
  T z;
};

// README, equations 11 to 14.
//   transmittance: T before this pair; suffix: sum of omega h over the pairs behind it; h: its own.
//   is_median: the pixel's median depth is this pair's. scale: kDistortionScale.
// In lanes that skipped the pair the caller passes w.alpha = 0, w.counts and is_median false, and any finite
// depth > 0 and m: all members are 0 there.
// kDepth: whether any gradient comes from depth, median depth or distortion.
template <bool kDepth, bool kDistortion = kDepth, class T, class Mask, class S>
SURFEL_FN PairGradient<T> pair_gradient(const Upstream<T>& up, const Surfel<S>& g, const Hit<T, Mask>& hit,
                                        const Weight<T, Mask>& w, T depth, T m, T h, T transmittance,
                                        T suffix, Mask is_median, S scale) {
  const T zero = T(S(0));
  PairGradient<T> r;
  r.omega = w.alpha * transmittance;

  // Equation 12: alpha, then opacity and rho.
  const T g_alpha = fused(transmittance, h, -suffix * reciprocal(T(S(1)) - w.alpha));
  const Mask open = w.counts & !w.capped;
  const T free = pick(open, g_alpha, zero);
  r.opacity = free * w.gauss;
  const T g_rho = T(S(-0.5)) * (free * w.alpha);

  // Equation 13: rho3 through (u, v), or rho2 through the centre.
  r.u = T(S(2)) * g_rho * hit.q * hit.u;
  r.v = T(S(2)) * g_rho * hit.q * hit.v;
  r.w = -fused(r.u, hit.u, r.v * hit.v);
  r.s = r.w;
  r.z = zero;
  if (kDepth) {
    // Equation 14: depth = z - z s q, and m' = kDistortionScale / depth^2.
    T g_depth = up.depth * r.omega;
    if (kDistortion) {
      const T inverse = reciprocal(depth);
      const T g_m = T(S(2)) * up.distortion * r.omega * fused(m, up.a, -up.d1);
      g_depth = fused(up.depth, r.omega, g_m * (T(scale) * inverse * inverse));
    }
    g_depth = pick(w.counts, g_depth, zero) + pick(is_median, up.median, zero);
    const T sq = hit.s * hit.q;
    r.z = g_depth * (T(S(1)) - sq);
    const T zq = T(g.z) * hit.q * g_depth;
    r.w = fused(zq, sq, r.w);
    r.s = r.w - zq;
  }
  r.floor = T(S(4)) * pick(hit.on_plane, zero, g_rho);
  return r;
}

// Add one pair's gradients to `out` (arguments as of pair_gradient).
// kNormal: whether any gradient comes from the normal.
template <bool kNormal, bool kDepth, bool kDistortion = kDepth, class T, class Mask, class S>
SURFEL_FN void pair_backward(const Upstream<T>& up, const Surfel<S>& g, const Hit<T, Mask>& hit,
                             const Weight<T, Mask>& w, T depth, T m, T h, T transmittance, T suffix,
                             Mask is_median, S scale, SurfelGradient<T>& out) {
  const PairGradient<T> r =
      pair_gradient<kDepth, kDistortion>(up, g, hit, w, depth, m, h, transmittance, suffix, is_median, scale);
  for (int c = 0; c < 3; ++c) out.rgb[c] = fused(r.omega, up.rgb[c], out.rgb[c]);
  if (kNormal)
    for (int c = 0; c < 3; ++c) out.normal[c] = fused(r.omega, up.normal[c], out.normal[c]);
  out.opacity = out.opacity + r.opacity;
  if (kDepth) out.z = out.z + r.z;
  out.ux = fused(r.u, hit.dx, out.ux);
  out.uy = fused(r.u, hit.dy, out.uy);
  out.vx = fused(r.v, hit.dx, out.vx);
  out.vy = fused(r.v, hit.dy, out.vy);
  out.w0 = out.w0 + r.w;
  out.wx = fused(r.s, hit.dx, out.wx);
  out.wy = fused(r.s, hit.dy, out.wy);
  out.x = out.x - fused(r.floor, hit.dx, fused(T(g.ux), r.u, fused(T(g.vx), r.v, T(g.wx) * r.s)));
  out.y = out.y - fused(r.floor, hit.dy, fused(T(g.uy), r.u, fused(T(g.vy), r.v, T(g.wy) * r.s)));
}

}  // namespace SURFEL_NAMESPACE
