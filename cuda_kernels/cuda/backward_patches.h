// Backward of a patch: its pixels walk the list together, back to front, and leave what moments.h sums; and a surfel's
// gradient from those sums.
#pragma once

#include "moments.h"

constexpr float kLargestMoments = 1e30f;  // larger ones are nothing that single precision knows

// What the backward of a pixel's pairs needs, made once a pixel: h = dL/d omega of equations 10 and 11 as a polynomial
// in t = (depth - reference)/depth, of which m is a multiple.
struct PixelUpstream {
  float rgb[3], normal[3];
  float weight;  // what all pairs share, with D2's part
  float depth, median;
  float h1, h2;  // of t and t^2
  float g1, g2;  // dh/d depth = depth + (g1 + g2 t)/depth^2
};

template <bool kDepth>
__device__ __forceinline__ PixelUpstream pixel_upstream(const Upstream<float>& up, float reference) {
  PixelUpstream r;
  for (int c = 0; c < 3; ++c) r.rgb[c] = up.rgb[c], r.normal[c] = up.normal[c];
  r.weight = up.weight, r.depth = up.depth, r.median = up.median;
  r.h1 = r.h2 = r.g1 = r.g2 = 0.0f;
  if (kDepth) {
    const float k = float(kDistortionScale) * reciprocal(reference);  // m = k t
    r.weight = fused(up.distortion, up.d2, r.weight);
    r.h1 = -2.0f * up.distortion * up.d1 * k;
    r.h2 = up.distortion * up.a * (k * k);
    // dt/d depth = reference/depth^2
    r.g1 = r.h1 * reference;
    r.g2 = 2.0f * r.h2 * reference;
  }
  return r;
}

// The first n lanes, as bits; n of any sign.
__device__ __forceinline__ uint32 first_lanes(int n) { return n >= 32 ? kAllLanes : lanes_before(max(n, 0)); }

template <bool kNormal, bool kDepth>
__device__ __forceinline__ void backward_patch(const Launch& p, int tile, int patch, const uint32* list,
                                               int stride, int count, Bench* block) {
  if (count == 0) return;
  const PatchPixel pixel = patch_pixel(p, tile, patch);
  Bench& bench = block[threadIdx.x >> 5];
  const int lane = threadIdx.x & 31;
  int after = 0, median_place = -1;
  float transmittance = 1.0f, reference = 1.0f;
  PixelUpstream up{};
  if (pixel.inside) {
    const size_t at = pixel.at;
    const int2 places = p.pixel_places[at];
    const float4 sums = p.pixel_sums[at];
    after = places.x;
    median_place = places.y;
    transmittance = sums.x;
    reference = sums.w;
    float g_normal[3] = {}, g_rgb[3] = {};
    for (int c = 0; c < 3; ++c) {
      if (p.g_rgb) g_rgb[c] = p.g_rgb[3 * at + c];
      if (kNormal) g_normal[c] = p.g_normal_map ? p.g_normal_map[3 * at + c] : 0.0f;
    }
    const Upstream<float> all =
        upstream(g_rgb, p.g_alpha ? p.g_alpha[at] : 0.0f, g_normal, kDepth && p.g_depth ? p.g_depth[at] : 0.0f,
                 kDepth && p.g_median_depth ? p.g_median_depth[at] : 0.0f,
                 kDepth && p.g_distortion ? p.g_distortion[at] : 0.0f, p.background + 3 * pixel.view,
                 1.0f - transmittance, p.depth[at], sums.y, sums.z);
    up = pixel_upstream<kDepth>(all, reference);
  }
  bench.colours[lane] = make_float4(up.rgb[0], up.rgb[1], up.rgb[2], up.normal[0]);
  float* normal = &bench.colours[0].x + normal_place(lane >> 3, lane & 7) / int(sizeof(float));
  normal[0] = up.normal[1], normal[1] = up.normal[2];
  int last = after;  // the warp's largest
  for (int step = 16; step > 0; step >>= 1) last = max(last, __shfl_xor_sync(kAllLanes, last, step));
  float behind = 0.0f;  // B of equation 12
  const Place records = Place::of(&bench.records[0][0]), own = Place::of(&bench.waiting[0], lane * 16);
  const Place own_depths = Place::of(&bench.waiting[0], lane * 8 + kDepths);
  const Place full = Place::of(&bench.waiting[kGroup], lane * 16);
  Place waiting = own, depths = own_depths;
  float* rows = p.surfel_gradients + size_t(kGradients) * size_t(pixel.view) * size_t(p.surfels);

  const int start = (last - 1) & ~31;  // -32 where there is nothing
  uint32 upcoming = list_entry(list, stride, start + lane, last);  // a stage ahead, so that nobody waits for it
  for (int base = start; base >= 0; base -= 32) {
    const uint32 entry = upcoming;
    upcoming = list_entry(list, stride, base - 32 + lane, last);
    const bool touches = (entry >> pixel.patch) & 1u;
    const uint32 touching = __ballot_sync(kAllLanes, touches);
    if (touches) {
      const int slot = __popc(touching & lanes_before(lane));
      const uint32 index = entry >> 8;
      const float4* record = p.records + kRecord * (size_t(pixel.view) * p.surfels + index);
      const float4 centre = record[0];
      const float4 depth = record[2];
      bench.records[slot][0] = make_float4(pixel.first_x - centre.x - centre.z, pixel.first_y - centre.y - centre.w,
                                           __uint_as_float(index), depth.x * depth.w);
      bench.records[slot][2] = depth;
#pragma unroll
      for (int i = 1; i < kSurfelParts; ++i)
        if (i != 2) bench.records[slot][i] = record[i];
    }
    __syncwarp();
    // slots that this pixel composited, and of its median pair: that one is among those that touch
    const Place limit = records.plus(kRecordBytes * __popc(touching & first_lanes(after - base)));
    const int from_base = median_place - base;
    const Place median = records.plus(
        uint32(from_base) < 32u ? kRecordBytes * __popc(touching & lanes_before(from_base)) : -kRecordBytes);
    Place record = records.plus(kRecordBytes * __popc(touching));
    while (records < record) {
      record.advance(-kRecordBytes);
      const float4 head = record.load4<0>();
      Record r = unpack(head, record.load4<16>(), record.load4<32>(), record.load4<48>());
      const Surfel<float>& surfel = r.surfel;
      const Hit<float, bool> hit = intersect<bool>(surfel, pixel.x + head.x, pixel.y + head.y);
      const float offset = pair_offset(surfel, hit);
      const float depth = surfel.z + offset;
      const Weight<float, bool> weight = weigh(surfel, hit, depth, p.near);
      const bool counts = weight.counts && record < limit;
      if (!__any_sync(kAllLanes, counts)) continue;
      // With alpha 0 nothing changes and all sums get 0.
      const float alpha = counts ? weight.alpha : 0.0f, safe = counts ? depth : reference;
      unpack_rest(record.load4<64>(), r);
      transmittance = transmittance * reciprocal(1.0f - alpha);
      const float inverse = kDepth ? reciprocal(safe) : 0.0f;
      const float t = kDepth ? ((surfel.z - reference) + offset) * inverse : 0.0f;
      float h = up.weight;
      for (int c = 0; c < 3; ++c) h = fused(up.rgb[c], r.rgb[c], h);
      if (kNormal)
        for (int c = 0; c < 3; ++c) h = fused(up.normal[c], surfel.normal[c], h);
      if (kDepth) h = fused(t, fused(t, up.h2, up.h1), fused(up.depth, safe, h));
      const float omega = alpha * transmittance;
      const float ahead = h - behind;  // of dL/d alpha = T ahead
      behind = fused(alpha, ahead, behind);
      const float share = weight.capped ? 0.0f : omega * ahead;
      float s = share * hit.rho;
      if (kDepth) {
        // a pixel's median pair counts
        const float own = record == median ? up.median : 0.0f;
        const float e = fused(omega, fused(inverse * inverse, fused(up.g2, t, up.g1), up.depth), own);
        const float plane = e * hit.q;
        depths.store2<0>(make_float2(plane, hit.on_plane ? 0.0f : e));
        s = fused(-head.w, plane, s);
      }
      waiting.store4<0>(make_float4(share * hit.q * hit.q, s * hit.q, share, omega));
      if (lane == 0) waiting.store4<kHead>(head);
      waiting.advance(kWaiting);
      depths.advance(kWaiting);
      if (waiting == full) {
        flush<kNormal, kDepth>(rows, bench, kGroup);
        waiting = own;
        depths = own_depths;
      }
    }
    __syncwarp();
  }
  if (!(waiting == own)) flush<kNormal, kDepth>(rows, bench, int(waiting.at - own.at) / kWaiting);
}

// The gradient by a surfel's parameters from its sums (equations 12 to 14); its `opacity` is left 0: that of all views
// is the sum of their shares by the opacity.
__device__ __forceinline__ SurfelGradient<float> surfel_gradient(const Surfel<float>& surfel, Sums sums) {
  // q^2 overflows where a pixel's centre lies to the last digit on an edge-on surfel's axis: then nothing comes through
  // the surfel's plane.
  const float size = fabsf(sums.px) + fabsf(sums.py) + fabsf(sums.pxx) + fabsf(sums.pxy) + fabsf(sums.pyy);
  if (!(size < kLargestMoments))
    sums.px = sums.py = sums.pxx = sums.pxy = sums.pyy = sums.s = sums.wx = sums.wy = sums.plane = 0.0f;
  const float u = -fused(surfel.ux, sums.px, surfel.uy * sums.py), v = -fused(surfel.vx, sums.px, surfel.vy * sums.py);
  SurfelGradient<float> g;
  g.ux = -fused(surfel.ux, sums.pxx, surfel.uy * sums.pxy);
  g.uy = -fused(surfel.ux, sums.pxy, surfel.uy * sums.pyy);
  g.vx = -fused(surfel.vx, sums.pxx, surfel.vy * sums.pxy);
  g.vy = -fused(surfel.vx, sums.pxy, surfel.vy * sums.pyy);
  g.w0 = fused(surfel.z, sums.plane, sums.s), g.wx = sums.wx, g.wy = sums.wy;
  g.z = fused(surfel.w0, sums.plane, sums.floor);
  g.opacity = 0.0f;
  // the centre moves d = pixel - centre of every pair
  g.x = fused(2.0f, sums.floor_x, -fused(surfel.ux, u, fused(surfel.vx, v, surfel.wx * sums.s)));
  g.y = fused(2.0f, sums.floor_y, -fused(surfel.uy, u, fused(surfel.vy, v, surfel.wy * sums.s)));
  for (int c = 0; c < 3; ++c) g.normal[c] = sums.normal[c], g.rgb[c] = sums.rgb[c];
  return g;
}
