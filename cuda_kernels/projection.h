// From world surfels to what a pixel reads, the footprint on the screen, and the way back.
#pragma once

#include "scalar.h"

namespace SURFEL_NAMESPACE {

// ---- per view and surfel -----------------------------------------------------------------------------------

// A pinhole camera, OpenCV axes: camera = rotation world + translation; rotation is row major.
template <class T>
struct Camera {
  T rotation[9], translation[3];
  T fx, fy, cx, cy;  // pixels
  T near;            // metres
  T width, height;   // pixels
};

// What a (pixel, surfel) pair reads. With d = pixel centre - projected centre, in pixels, the ray through
// the pixel meets the surfel's plane at (README, equation 3)
//   u = (ux dx + uy dy) / w,  v = (vx dx + vy dy) / w,  w = w0 + wx dx + wy dy:
// k x l of the paper with pixels counted from the surfel's own centre. Counted so, the large products of
// pixel coordinates cancel on paper instead of in floating point. The scale common to all seven is free
// and makes (wx fx, wy fy, ...) the unit normal of the plane.
template <class T>
struct Surfel {
  T x, y;          // projected centre, pixels
  T x_low, y_low;  // what rounding to T took from it
  T ux, uy, vx, vy, w0, wx, wy;
  T z, z_low;  // camera depth of the centre, metres, and what rounding took from it
  T opacity;
  T reach;      // slightly above 2 ln(255 opacity): beyond it alpha is surely < 1/255
  T normal[3];  // camera space, turned towards the camera
};

// {rho <= reach}: the union of the ellipse {rho3 <= reach} and the disc {rho2 <= reach}, pixels relative to
// the projected centre (README, equations 4 and 5).
template <class T>
struct Footprint {
  T ex, ey;         // the ellipse's centre
  T sxx, sxy, syy;  // the ellipse is {d : d^T S^-1 d <= 1} about (ex, ey)
  T disc;           // the disc's radius
  bool whole;       // the ellipse is unbounded (dual conic ww >= 0): the whole screen
};

// A rectangle on the screen, pixels.
template <class T>
struct Box {
  T x0, y0, x1, y1;
};

// The intermediate values that projection and its backward share, in the wide type.
template <class W>
struct Frame {
  W m[3], a[3], b[3];        // camera-space mean and tangents
  W rx, ry;                  // m.x/m.z, m.y/m.z
  W ax, ay, bx, by;          // a - a.z (rx, ry, 1) and b likewise, x and y
  W cross[3];                // a x b
  W scale;                   // 1/|a x b|, or 0 for a degenerate surfel
};

template <class W, class I>
SURFEL_FN void rotate(const W* rotation, const I* v, W* out) {  // rotation v
  for (int r = 0; r < 3; ++r)
    out[r] = fused(rotation[3 * r], W(v[0]),
                   fused(rotation[3 * r + 1], W(v[1]), rotation[3 * r + 2] * W(v[2])));
}
template <class W>
SURFEL_FN void rotate_back(const W* rotation, const W* v, W* out) {  // rotation^T v
  for (int c = 0; c < 3; ++c)
    out[c] = fused(rotation[c], v[0], fused(rotation[3 + c], v[1], rotation[6 + c] * v[2]));
}

// README, equation 1. `tangents` is the row-major 3x2 matrix of both tangents in its columns. False (only m
// is valid) where the centre is not beyond the near plane or a value is not finite.
template <class W, class I>
SURFEL_FN bool camera_frame(const Camera<W>& camera, const I* mean, const I* tangents, Frame<W>& f) {
  rotate(camera.rotation, mean, f.m);
  for (int r = 0; r < 3; ++r) f.m[r] += camera.translation[r];
  if (!(f.m[2] > camera.near)) return false;
  const I u[3] = {tangents[0], tangents[2], tangents[4]}, v[3] = {tangents[1], tangents[3], tangents[5]};
  rotate(camera.rotation, u, f.a);
  rotate(camera.rotation, v, f.b);
  const W nearness = W(1) / f.m[2];
  f.rx = f.m[0] * nearness;
  f.ry = f.m[1] * nearness;
  f.ax = fused(-f.rx, f.a[2], f.a[0]);
  f.ay = fused(-f.ry, f.a[2], f.a[1]);
  f.bx = fused(-f.rx, f.b[2], f.b[0]);
  f.by = fused(-f.ry, f.b[2], f.b[1]);
  f.cross[0] = f.a[1] * f.b[2] - f.a[2] * f.b[1];
  f.cross[1] = f.a[2] * f.b[0] - f.a[0] * f.b[2];
  f.cross[2] = f.a[0] * f.b[1] - f.a[1] * f.b[0];
  const W length =
      square_root(f.cross[0] * f.cross[0] + f.cross[1] * f.cross[1] + f.cross[2] * f.cross[2]);
  const W scale = W(1) / length;
  f.scale = scale < W(1e30) ? scale : W(0);  // also 0 where length is 0 or NaN
  const W size = f.ax * f.ax + f.ay * f.ay + f.bx * f.bx + f.by * f.by + f.rx * f.rx + f.ry * f.ry;
  return size < W(1e30);  // false for infinity and NaN
}

// Project one surfel (README, equations 1 to 5). Returns whether it is in front of the camera and can reach
// alpha 1/255 at all; only then `surfel` and `footprint` are filled. The footprint is found in its own type F: nothing
// in it cancels.
template <class T, class W, class I, class F>
SURFEL_FN bool project(const Camera<W>& camera, const I* mean, const I* tangents, const I* normal, I opacity,
                       Surfel<T>& surfel, Footprint<F>& footprint) {
  Frame<W> f;
  if (!(W(opacity) >= W(kAlphaMin)) || !camera_frame(camera, mean, tangents, f)) return false;
  const W z = f.m[2], x = fused(camera.fx, f.rx, camera.cx), y = fused(camera.fy, f.ry, camera.cy);
  surfel.x = T(x);
  surfel.y = T(y);
  surfel.x_low = T(x - W(surfel.x));
  surfel.y_low = T(y - W(surfel.y));
  // Equation 3: the cofactors of M, divided by fx fy |a x b|.
  const W kx = f.scale / camera.fx, ky = f.scale / camera.fy;
  surfel.ux = T(z * f.by * kx);
  surfel.uy = T(-z * f.bx * ky);
  surfel.vx = T(-z * f.ay * kx);
  surfel.vy = T(z * f.ax * ky);
  surfel.w0 = T(f.scale * fused(f.cross[0], f.rx, fused(f.cross[1], f.ry, f.cross[2])));
  surfel.wx = T(f.cross[0] * kx);
  surfel.wy = T(f.cross[1] * ky);
  surfel.z = T(z);
  surfel.z_low = T(z - W(surfel.z));
  surfel.opacity = T(opacity);
  W n[3];
  rotate(camera.rotation, normal, n);
  const W sign = n[0] * f.m[0] + n[1] * f.m[1] + n[2] * f.m[2] > W(0) ? W(-1) : W(1);
  for (int r = 0; r < 3; ++r) surfel.normal[r] = T(sign * n[r]);

  const F reach = F(2) * F(logarithm(T(255) * T(opacity)));
  surfel.reach = T(fused(reach, F(1.00001), F(1e-4)));
  // Equation 4: the dual conic M diag(reach, reach, -1) M^T with pixels counted from the centre.
  const F xa = F(camera.fx * f.ax), xb = F(camera.fx * f.bx), ya = F(camera.fy * f.ay), yb = F(camera.fy * f.by);
  const F az = F(f.a[2]), bz = F(f.b[2]);
  const F ww = reach * (az * az + bz * bz) - F(z) * F(z);
  footprint.disc = square_root(reach > F(0) ? F(0.5) * reach : F(0));
  footprint.whole = !(ww < F(0));
  const F by_ww = footprint.whole ? F(0) : F(1) / ww;
  footprint.ex = reach * (xa * az + xb * bz) * by_ww;
  footprint.ey = reach * (ya * az + yb * bz) * by_ww;
  footprint.sxx = footprint.ex * footprint.ex - reach * (xa * xa + xb * xb) * by_ww;
  footprint.sxy = footprint.ex * footprint.ey - reach * (xa * ya + xb * yb) * by_ww;
  footprint.syy = footprint.ey * footprint.ey - reach * (ya * ya + yb * yb) * by_ww;
  return true;
}

// Equation 5: the rectangle around the footprint, in pixels of the screen; the screen itself where `whole`.
template <class T, class W>
SURFEL_FN Box<W> bounding_box(const Surfel<T>& surfel, const Footprint<W>& f, W width, W height) {
  if (f.whole) return {W(0), W(0), width, height};
  const W hx = square_root(greater(f.sxx, W(0))), hy = square_root(greater(f.syy, W(0)));
  const W x = W(surfel.x) + W(surfel.x_low), y = W(surfel.y) + W(surfel.y_low);
  return {x + lesser(f.ex - hx, -f.disc), y + lesser(f.ey - hy, -f.disc),
          x + greater(f.ex + hx, f.disc), y + greater(f.ey + hy, f.disc)};
}

// Whether the rectangle meets the picture.
template <class W>
SURFEL_FN bool meets_picture(const Box<W>& box, W width, W height) {
  return box.x1 > W(0) && box.x0 < width && box.y1 > W(0) && box.y0 < height;
}

// The larger half side, pixels.
template <class W>
SURFEL_FN W box_radius(const Box<W>& box) {
  return W(0.5) * greater(box.x1 - box.x0, box.y1 - box.y0);
}

// What footprint_span needs of a footprint, made once for all its bands. Works from S, not its inverse: S of an
// edge-on surfel is singular.
template <class W>
struct Outline {
  W ex, ey;           // the ellipse's centre
  W hx, hy;           // its half width and half height
  W inverse;          // 1/syy, or 0
  W slope;            // of the line through the middles of its horizontal chords
  W rest;             // half length of the chord through its centre
  W tip;              // height of the rightmost point above the centre
  W disc, slack, widen;
  bool whole;
};

template <class W>
SURFEL_FN Outline<W> outline(const Footprint<W>& f) {
  Outline<W> o;
  o.ex = f.ex;
  o.ey = f.ey;
  o.hx = rough_root(greater(f.sxx, W(0)));
  o.hy = rough_root(greater(f.syy, W(0)));
  o.inverse = f.syy > W(1e-12) ? reciprocal(f.syy) : W(0);
  o.slope = f.sxy * o.inverse;
  o.rest = rough_root(greater(f.sxx - f.sxy * o.slope, W(0)));
  o.tip = o.hx > W(0) ? f.sxy / o.hx : W(0);
  o.disc = f.disc;
  o.slack = W(0.02);
  o.widen = o.slack + W(1e-3) * (o.hx + o.hy);
  o.whole = f.whole;
  return o;
}

// Tight culling: the span [x0, x1] of the footprint within the band y0 <= y <= y1, all relative to the
// projected centre; false when the band misses it. Conservative by a few hundredths of a pixel, so that
// rounding can never lose a pixel centre.
template <class W>
SURFEL_FN bool footprint_span(const Outline<W>& o, W y0, W y1, W& x0, W& x1) {
  if (o.whole) {
    x0 = W(-1e30);
    x1 = W(1e30);
    return true;
  }
  y0 -= o.slack;
  y1 += o.slack;
  bool found = false;
  x0 = W(1e30);
  x1 = W(-1e30);
  if (y0 <= o.disc && y1 >= -o.disc) {
    const W t = y0 > W(0) ? y0 : (y1 < W(0) ? y1 : W(0));
    const W half = rough_root(greater(o.disc * o.disc - t * t, W(0)));
    x0 = -half;
    x1 = half;
    found = true;
  }
  if (y0 - o.ey <= o.hy && y1 - o.ey >= -o.hy) {
    const W t0 = greater(y0 - o.ey, -o.hy), t1 = lesser(y1 - o.ey, o.hy);
    const W c0 = o.rest * rough_root(greater(W(1) - t0 * t0 * o.inverse, W(0)));
    const W c1 = o.rest * rough_root(greater(W(1) - t1 * t1 * o.inverse, W(0)));
    const W m0 = o.slope * t0, m1 = o.slope * t1;
    const W right = o.tip >= t0 && o.tip <= t1 ? o.hx : greater(m0 + c0, m1 + c1);
    const W left = -o.tip >= t0 && -o.tip <= t1 ? -o.hx : lesser(m0 - c0, m1 - c1);
    x0 = lesser(x0, o.ex + left);
    x1 = greater(x1, o.ex + right);
    found = true;
  }
  x0 -= o.widen;
  x1 += o.widen;
  return found;
}

template <class W>
SURFEL_FN bool footprint_span(const Footprint<W>& f, W y0, W y1, W& x0, W& x1) {
  return footprint_span(outline(f), y0, y1, x0, x1);
}

// dL/d of everything a Surfel holds, and its colour.
template <class T>
struct SurfelGradient {
  T x, y, ux, uy, vx, vy, w0, wx, wy, z, opacity, normal[3], rgb[3];
};

// ---- per surfel, backward ----------------------------------------------------------------------------------

// From dL/dSurfel of one view to the world-space inputs, added to g_mean (3), g_tangents (3x2 row major) and
// g_normal (3) (README, equation 15). The common scale of equation 3 has no gradient: u, v, s/w ignore it.
template <class W, class I, class G>
SURFEL_FN void project_backward(const Camera<W>& camera, const I* mean, const I* tangents, const I* normal,
                                const SurfelGradient<G>& g, W* g_mean, W* g_tangents, W* g_normal) {
  Frame<W> f;
  if (!camera_frame(camera, mean, tangents, f)) return;
  const W z = f.m[2], kx = f.scale / camera.fx, ky = f.scale / camera.fy;
  const W g_by = z * kx * W(g.ux), g_bx = -z * ky * W(g.uy);
  const W g_ay = -z * kx * W(g.vx), g_ax = z * ky * W(g.vy);
  const W g_z = W(g.z) + kx * (W(g.ux) * f.by - W(g.vx) * f.ay) + ky * (W(g.vy) * f.ax - W(g.uy) * f.bx);
  const W w0 = f.scale * W(g.w0);
  const W g_cross[3] = {fused(w0, f.rx, kx * W(g.wx)), fused(w0, f.ry, ky * W(g.wy)), w0};
  const W g_rx = w0 * f.cross[0] - g_ax * f.a[2] - g_bx * f.b[2] + camera.fx * W(g.x);
  const W g_ry = w0 * f.cross[1] - g_ay * f.a[2] - g_by * f.b[2] + camera.fy * W(g.y);
  // a x b: dL/da = b x g, dL/db = g x a.
  const W g_a[3] = {g_ax + f.b[1] * g_cross[2] - f.b[2] * g_cross[1],
                    g_ay + f.b[2] * g_cross[0] - f.b[0] * g_cross[2],
                    -f.rx * g_ax - f.ry * g_ay + f.b[0] * g_cross[1] - f.b[1] * g_cross[0]};
  const W g_b[3] = {g_bx + g_cross[1] * f.a[2] - g_cross[2] * f.a[1],
                    g_by + g_cross[2] * f.a[0] - g_cross[0] * f.a[2],
                    -f.rx * g_bx - f.ry * g_by + g_cross[0] * f.a[1] - g_cross[1] * f.a[0]};
  const W g_m[3] = {g_rx / z, g_ry / z, g_z - (f.rx * g_rx + f.ry * g_ry) / z};
  W n[3], world[3];
  rotate(camera.rotation, normal, n);
  const W sign = n[0] * f.m[0] + n[1] * f.m[1] + n[2] * f.m[2] > W(0) ? W(-1) : W(1);
  const W g_n[3] = {sign * W(g.normal[0]), sign * W(g.normal[1]), sign * W(g.normal[2])};
  rotate_back(camera.rotation, g_m, world);
  for (int r = 0; r < 3; ++r) g_mean[r] += world[r];
  rotate_back(camera.rotation, g_a, world);
  for (int r = 0; r < 3; ++r) g_tangents[2 * r] += world[r];
  rotate_back(camera.rotation, g_b, world);
  for (int r = 0; r < 3; ++r) g_tangents[2 * r + 1] += world[r];
  rotate_back(camera.rotation, g_n, world);
  for (int r = 0; r < 3; ++r) g_normal[r] += world[r];
}

}  // namespace SURFEL_NAMESPACE
