// Forward compositing (README, equations 3 and 6 to 9): tiles across threads, pixels across lanes.
// Reference twin: surfhead/plugins/rasterizers/reference.py.
#pragma once

#include "block.h"

namespace SURFEL_NAMESPACE {

template <class T>
inline void composite_tile(const SurfheadInputs& in, const SurfheadOutputs& out, const View<T>& view, int64_t b,
                           int64_t tile, const CellOffsets<T>& offsets) {
  using Tile = TileLanes<T>;
  using L = Lanes<T>;
  using Mask = LaneInt<T>;
  const L zero(T(0)), one(T(1));
  const Mask none(typename Mask::Int(-1));
  Pixel<L> pixels[Tile::count];
  Mask alive[Tile::count], last[Tile::count], median_at[Tile::count];
  for (int v = 0; v < Tile::count; ++v) {
    pixels[v] = {one, {zero, zero, zero}, {zero, zero, zero}, zero, zero, zero, zero, zero};
    alive[v] = Mask(typename Mask::Int(0));
    last[v] = median_at[v] = none;
  }
  uint32_t active = 0;  // halves of cells with a pixel that still composites
  for_each_pixel<T>(tile, view.columns, in.width, in.height, [&](int64_t v, int64_t lane, int64_t) {
    alive[v].v[lane] = -1;
    active |= ((1u << Tile::halves) - 1u) << (v / Tile::vectors * Tile::halves);
  });

  const int64_t begin = view.tile_start[tile], end = view.tile_start[tile + 1];
  const T x = T((tile % view.columns) * kTile) + T(0.5), y = T((tile / view.columns) * kTile) + T(0.5);
  const T* colours = static_cast<const T*>(in.colour) + 3 * in.surfels * b;
  const Surfel<T>* middle = begin < end ? &view.surfel[view.entry[begin + (end - begin) / 2].surfel] : nullptr;
  for (int64_t e = begin; e < end && active != 0; ++e) {
    uint32_t halves = view.entry[e].halves & active;
    if (halves == 0) continue;
    const uint32_t id = view.entry[e].surfel;
    if (e + kAhead < end) {
      const uint32_t next = view.entry[e + kAhead].surfel;
      prefetch(&view.surfel[next], sizeof(Surfel<T>));
      prefetch(colours + 3 * int64_t(next), 1);
    }
    const Surfel<T>& g = view.surfel[id];
    const T* rgb = colours + 3 * int64_t(id);
    const InTile<T> place = in_tile(g, x, y, *middle);
    const Mask position(typename Mask::Int(e - begin));
    do {
      const int visit = next_visit<T>(halves), cell = visit / 2, first = visit / Tile::halves * Tile::vectors;
      const L dx(place.dx + T(kCell * (cell % kCellsPerTile))), dy(place.dy + T(kCell * (cell / kCellsPerTile)));
      bool stopped = false;
      for (int v = first; v < first + Tile::vectors; ++v) {
        const int run = v % Tile::runs;
        const Hit<L, Mask> hit = intersect<Mask>(g, dx + offsets.x[run], dy + offsets.y[run]);
        const Mask near_enough = (hit.rho <= L(g.reach)) & alive[v];
        if (!any(near_enough)) continue;
        const L offset = depth_offset(g, hit);
        L depth = L(g.z) + offset;
        const Weight<L, Mask> w = weigh(g, hit, depth, T(in.near));
        Pixel<L>& p = pixels[v];
        Mask counts = w.counts & alive[v];
        const Mask fits = (p.transmittance - w.alpha * p.transmittance) >= L(T(kTransmittanceMin));
        const Mask stops = counts & !fits;
        if (any(stops)) {
          alive[v] = alive[v] & fits;
          counts = counts & fits;
          stopped = true;
        }
        const L alpha = pick(counts, w.alpha, zero);
        depth = pick(counts, depth, L(middle->z));
        const L relative = pick(counts, L(place.z_offset) + offset, zero);  // depth - middle->z
        const L m = relative_m(relative, depth, middle->z, T(kDistortionScale));
        const Mask upper = counts & (p.transmittance > L(T(kMedianTransmittance)));
        last[v] = pick(counts, position, last[v]);
        median_at[v] = pick(upper, position, median_at[v]);
        composite(p, g, rgb, alpha, relative, m, counts);
      }
      if (stopped) {
        bool running = false;
        for (int v = first; v < first + Tile::vectors; ++v) running = running || any(alive[v]);
        if (!running) active &= ~(((1u << Tile::halves) - 1u) << visit);
      }
    } while (halves != 0);
  }

  const T* background = static_cast<const T*>(in.background) + 3 * b;
  const int64_t first = b * in.height * in.width;
  for_each_pixel<T>(tile, view.columns, in.width, in.height, [&](int64_t v, int64_t lane, int64_t flat) {
    const Pixel<L>& p = pixels[v];
    const int64_t i = first + flat;
    const T transmittance = p.transmittance.v[lane], alpha = T(1) - transmittance;
    for (int c = 0; c < 3; ++c) {
      static_cast<T*>(out.rgb)[3 * i + c] = fused(transmittance, background[c], p.rgb[c].v[lane]);
      static_cast<T*>(out.normal)[3 * i + c] = p.normal[c].v[lane];
    }
    static_cast<T*>(out.alpha)[i] = alpha;
    const bool covered = median_at[v].v[lane] >= 0;  // the first pair composited is always a median
    const T d0 = covered ? p.depth.v[lane] / alpha : T(0), reference = covered ? middle->z : T(0);
    static_cast<T*>(out.depth)[i] = reference + d0;
    static_cast<T*>(out.median_depth)[i] = reference + p.median.v[lane];
    static_cast<T*>(out.d0)[i] = d0;
    static_cast<T*>(out.distortion)[i] = p.distortion.v[lane];
    static_cast<T*>(out.transmittance)[i] = transmittance;
    static_cast<T*>(out.d1)[i] = p.d1.v[lane];
    static_cast<T*>(out.d2)[i] = p.d2.v[lane];
    out.last[i] = int32_t(last[v].v[lane]);
    out.median_at[i] = int32_t(median_at[v].v[lane]);
  });
}

template <class T>
inline int forward(const SurfheadInputs& in, const SurfheadOutputs& out) {
  KeptView<T>* kept = take_kept<T>();
  if (kept == nullptr) return kSurfheadOutOfMemory;
  View<T>& view = kept->view;
  const CellOffsets<T> offsets;
  for (int64_t b = 0; b < in.views; ++b) {
    kept->key_bytes = 0;
    const int status = make_view(in, b, view, &out);
    if (status != kSurfheadOk) {
      delete kept;
      return status;
    }
    const int64_t tiles = view.columns * view.rows;
#pragma omp parallel for schedule(dynamic) num_threads(int(in.threads))
    for (int64_t tile = 0; tile < tiles; ++tile) composite_tile(in, out, view, b, tile, offsets);
  }
  if (in.views > 0) mark(*kept, in, in.views - 1);
  put_kept(kept);
  return kSurfheadOk;
}

}  // namespace SURFEL_NAMESPACE
