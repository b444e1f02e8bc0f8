// Backward (README, equations 10 to 15). Each tile walks its list from the back, recovering the transmittance
// by division, and writes one row of gradients an entry; then each surfel sums its rows in a fixed order.
// So nothing is added by two threads at once, and the result does not depend on their number.
#pragma once

#include "block.h"

namespace SURFEL_NAMESPACE {

constexpr int kGradients = 17;  // values of a SurfelGradient
constexpr int kRow = 20;        // their stride in the rows

template <bool kNormal, bool kDepth, bool kDistortion, class T>
inline void backward_tile(const SurfheadInputs& in, const SurfheadOutputs& out, const SurfheadGradients& given,
                          const View<T>& view, int64_t b, int64_t tile, const CellOffsets<T>& offsets, T* rows) {
  using Tile = TileLanes<T>;
  using L = Lanes<T>;
  using Mask = LaneInt<T>;
  using Int = typename Mask::Int;
  const int64_t begin = view.tile_start[tile], end = view.tile_start[tile + 1];
  if (begin == end) return;
  const L zero(T(0)), one(T(1));
  struct Given {
    L rgb[3], normal[3], alpha, depth, median, distortion, out_rgb[3], out_normal[3], out_alpha, out_distortion, d0, d1, d2;
  };
  Upstream<L> up[Tile::count];
  L transmittance[Tile::count], suffix[Tile::count], centre[Tile::count];
  Mask last[Tile::count], median_at[Tile::count];
  Int visit_last[kTileHalves];  // of the halves that are visited together at the first
  const T* background = static_cast<const T*>(in.background) + 3 * b;
  {
    Given lanes[Tile::count];
    memset(static_cast<void*>(lanes), 0, sizeof(lanes));
    for (int v = 0; v < Tile::count; ++v) {
      transmittance[v] = one;
      suffix[v] = zero;
      last[v] = median_at[v] = Mask(Int(-1));
    }
    for (Int& value : visit_last) value = -1;
    const int64_t first = b * in.height * in.width;
    auto read = [](const void* from, int64_t i) { return static_cast<const T*>(from)[i]; };
    for_each_pixel<T>(tile, view.columns, in.width, in.height, [&](int64_t v, int64_t lane, int64_t flat) {
      const int64_t i = first + flat;
      Given& to = lanes[v];
      for (int c = 0; c < 3; ++c) {
        to.rgb[c].v[lane] = read(given.rgb, 3 * i + c);
        to.out_rgb[c].v[lane] = read(out.rgb, 3 * i + c);
        if (kNormal) to.normal[c].v[lane] = read(given.normal, 3 * i + c);
        if (kNormal) to.out_normal[c].v[lane] = read(out.normal, 3 * i + c);
      }
      to.alpha.v[lane] = read(given.alpha, i);
      if (kDepth) {
        to.depth.v[lane] = read(given.depth, i);
        to.median.v[lane] = read(given.median_depth, i);
        if (kDistortion) {
          to.distortion.v[lane] = read(given.distortion, i);
          to.out_distortion.v[lane] = read(out.distortion, i);
          to.d1.v[lane] = read(out.d1, i);
          to.d2.v[lane] = read(out.d2, i);
        }
        to.d0.v[lane] = read(out.d0, i);
      }
      to.out_alpha.v[lane] = read(out.alpha, i);
      transmittance[v].v[lane] = read(out.transmittance, i);
      last[v].v[lane] = out.last[i];
      median_at[v].v[lane] = out.median_at[i];
      Int& visit = visit_last[v / Tile::vectors * Tile::halves];
      visit = out.last[i] > visit ? Int(out.last[i]) : visit;
    });
    for (int v = 0; v < Tile::count; ++v) {
      const Given& from = lanes[v];
      up[v] = upstream(from.rgb, from.alpha, from.normal, from.depth, from.median, from.distortion, background,
                       from.out_alpha, from.d0, from.d1, from.d2);
      // Where many surfels overlap, T h and its suffix in equation 12 nearly cancel. Subtracting from every h of
      // the pixel their mean K keeps float32's digits; what it takes from dL/dalpha, K T_end / (1 - alpha), is
      // put back by starting the suffix at -K T_end.
      L mean = zero;
      for (int c = 0; c < 3; ++c)
        mean = fused(from.rgb[c], from.out_rgb[c] - transmittance[v] * L(background[c]), mean);
      if (kNormal)
        for (int c = 0; c < 3; ++c) mean = fused(from.normal[c], from.out_normal[c], mean);
      if (kDistortion) mean = fused(L(T(2)) * from.distortion, from.out_distortion, mean);
      const LaneInt<T> covered = from.out_alpha > zero;
      mean = pick(covered, mean * reciprocal(pick(covered, from.out_alpha, one)), zero);
      if (kDepth) mean = fused(up[v].depth, from.d0, mean);
      if (kDistortion) {
        // The distortion's m counted from the pixel's own mean: its pairs may be close together and far from the
        // tile's middle surfel.
        centre[v] = pick(covered, from.d1 * reciprocal(pick(covered, from.out_alpha, one)), zero);
        up[v].d1 = fused(-centre[v], from.out_alpha, from.d1);
        up[v].d2 = fused(-centre[v], from.d1 + up[v].d1, from.d2);
      }
      suffix[v] = -(up[v].weight + mean) * transmittance[v];
      up[v].weight = -mean;
    }
  }
  int64_t stop = -1;
  for (const Int value : visit_last) stop = value > stop ? value : stop;
  memset(rows + (begin + stop + 1) * kRow, 0, size_t(end - begin - stop - 1) * kRow * sizeof(T));

  const T x = T((tile % view.columns) * kTile) + T(0.5), y = T((tile / view.columns) * kTile) + T(0.5);
  const T* colours = static_cast<const T*>(in.colour) + 3 * in.surfels * b;
  const Surfel<T>& middle = view.surfel[view.entry[begin + (end - begin) / 2].surfel];
  for (int64_t position = stop; position >= 0; --position) {
    uint32_t halves = view.entry[begin + position].halves;
    const uint32_t id = view.entry[begin + position].surfel;
    if (position >= kAhead) {
      const uint32_t next = view.entry[begin + position - kAhead].surfel;
      prefetch(&view.surfel[next], sizeof(Surfel<T>));
      prefetch(colours + 3 * int64_t(next), 1);
    }
    const Surfel<T>& g = view.surfel[id];
    const T* rgb = colours + 3 * int64_t(id);
    const InTile<T> place = in_tile(g, x, y, middle);
    const Mask here{Int(position)};
    SurfelGradient<L> sum = {zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero,
                             {zero, zero, zero}, {zero, zero, zero}};
    bool touched = false;
    while (halves != 0) {
      const int visit = next_visit<T>(halves), cell = visit / 2, first = visit / Tile::halves * Tile::vectors;
      if (visit_last[visit] < position) continue;
      const L dx(place.dx + T(kCell * (cell % kCellsPerTile))), dy(place.dy + T(kCell * (cell / kCellsPerTile)));
      for (int v = first; v < first + Tile::vectors; ++v) {
        const int run = v % Tile::runs;
        const Hit<L, Mask> hit = intersect<Mask>(g, dx + offsets.x[run], dy + offsets.y[run]);
        const Mask within = (hit.rho <= L(g.reach)) & (here <= last[v]);
        if (!any(within)) continue;
        const L offset = depth_offset(g, hit);
        L depth = L(g.z) + offset;
        Weight<L, Mask> w = weigh(g, hit, depth, T(in.near));
        w.counts = w.counts & within;  // exactly the pairs the forward composited
        w.alpha = pick(w.counts, w.alpha, zero);
        L relative = zero, m = zero;
        if (kDepth) {
          depth = pick(w.counts, depth, L(middle.z));
          relative = pick(w.counts, L(place.z_offset) + offset, zero);
          if (kDistortion) m = relative_m(relative, depth, middle.z, T(kDistortionScale)) - centre[v];
        }
        const L before = transmittance[v] * reciprocal(one - w.alpha);
        const L h = weight_gradient<kNormal, kDepth, kDistortion>(up[v], g, rgb, relative, m);
        pair_backward<kNormal, kDepth, kDistortion>(up[v], g, hit, w, depth, m, h, before, suffix[v], here == median_at[v],
                                       T(kDistortionScale), sum);
        suffix[v] = fused(w.alpha * before, h, suffix[v]);
        transmittance[v] = before;
        touched = true;
      }
    }
    T* row = rows + (begin + position) * kRow;
    if (touched)
      sum_lanes<kGradients>(&sum.x, row);
    else
      memset(row, 0, kRow * sizeof(T));
  }
}

template <class T>
inline void backward_surfels(const SurfheadInputs& in, const SurfheadGradients& given, const View<T>& view, int64_t b,
                             const T* rows) {
  const Camera<double> camera = view_camera(in, b);
  const int64_t n = in.surfels, pose = in.pose_of_view[b];
  const T* mean = static_cast<const T*>(in.mean) + 3 * n * pose;
  const T* tangents = static_cast<const T*>(in.tangents) + 6 * n * pose;
  const T* normal = static_cast<const T*>(in.normal) + 3 * n * pose;
  T* g_mean = static_cast<T*>(given.g_mean) + 3 * n * pose;
  T* g_tangents = static_cast<T*>(given.g_tangents) + 6 * n * pose;
  T* g_normal = static_cast<T*>(given.g_normal) + 3 * n * pose;
  T* g_opacity = static_cast<T*>(given.g_opacity);
  T* g_colour = static_cast<T*>(given.g_colour) + 3 * n * b;
#pragma omp parallel for schedule(static) num_threads(int(in.threads))
  for (int64_t i = 0; i < view.seen; ++i) {
    if (i + kAhead < view.seen) {  // rows and surfels lie anywhere in memory
      const int64_t next = view.order[i + kAhead].surfel, from = view.first_emitted[i + kAhead];
      for (int64_t e = from; e < view.first_emitted[i + kAhead + 1] && e < from + 4; ++e)
        prefetch(rows + int64_t(view.place[e]) * kRow, kRow * sizeof(T));
      prefetch(mean + 3 * next, 1);
      prefetch(tangents + 6 * next, 1);
      prefetch(normal + 3 * next, 1);
    }
    SurfelGradient<double> total;
    double* sum = &total.x;
    for (int k = 0; k < kGradients; ++k) sum[k] = 0;
    for (int64_t e = view.first_emitted[i]; e < view.first_emitted[i + 1]; ++e) {
      const T* row = rows + int64_t(view.place[e]) * kRow;
      for (int k = 0; k < kGradients; ++k) sum[k] += double(row[k]);
    }
    const int64_t id = view.order[i].surfel;
    double to_mean[3] = {0, 0, 0}, to_tangents[6] = {0, 0, 0, 0, 0, 0}, to_normal[3] = {0, 0, 0};
    project_backward(camera, mean + 3 * id, tangents + 6 * id, normal + 3 * id, total, to_mean, to_tangents, to_normal);
    for (int k = 0; k < 3; ++k) {
      g_mean[3 * id + k] += T(to_mean[k]);
      g_normal[3 * id + k] += T(to_normal[k]);
      g_colour[3 * id + k] += T(total.rgb[k]);
    }
    for (int k = 0; k < 6; ++k) g_tangents[6 * id + k] += T(to_tangents[k]);
    g_opacity[id] += T(total.opacity);
  }
}

template <bool kNormal, bool kDepth, bool kDistortion, class T>
inline void backward_tiles(const SurfheadInputs& in, const SurfheadOutputs& out, const SurfheadGradients& given,
                           const View<T>& view, int64_t b, const CellOffsets<T>& offsets, T* rows) {
#pragma omp parallel for schedule(dynamic) num_threads(int(in.threads))
  for (int64_t tile = 0; tile < view.columns * view.rows; ++tile)
    backward_tile<kNormal, kDepth, kDistortion>(in, out, given, view, b, tile, offsets, rows);
}

template <class T>
inline int backward(const SurfheadInputs& in, const SurfheadOutputs& out, const SurfheadGradients& given) {
  static_assert(sizeof(SurfelGradient<T>) == kGradients * sizeof(T), "rows hold a SurfelGradient");
  KeptView<T>* kept = take_kept<T>();
  if (kept == nullptr) return kSurfheadOutOfMemory;
  View<T>& view = kept->view;
  const CellOffsets<T> offsets;
  const bool normal = given.normal != nullptr, depth = given.depth != nullptr;
  const bool distortion = depth && given.distortion != nullptr;
  int status = kSurfheadOk;
  // from the last view on: it is the one that is kept
  for (int64_t b = in.views; b-- > 0 && status == kSurfheadOk;) {
    if (!is_of(*kept, in, b)) {
      kept->key_bytes = 0;
      status = make_view<T>(in, b, view, nullptr);
      if (status == kSurfheadOk) mark(*kept, in, b);
    }
    if (status == kSurfheadOk && !kept->rows.reserve(view.intersections * kRow)) status = kSurfheadOutOfMemory;
    if (status != kSurfheadOk) break;
    auto tiles = distortion ? (normal ? backward_tiles<true, true, true, T> : backward_tiles<false, true, true, T>)
                 : depth    ? (normal ? backward_tiles<true, true, false, T> : backward_tiles<false, true, false, T>)
                            : (normal ? backward_tiles<true, false, false, T> : backward_tiles<false, false, false, T>);
    tiles(in, out, given, view, b, offsets, kept->rows.data());
    backward_surfels(in, given, view, b, kept->rows.data());
  }
  if (status == kSurfheadOk)
    put_kept(kept);
  else
    delete kept;
  return status;
}

}  // namespace SURFEL_NAMESPACE
