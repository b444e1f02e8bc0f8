// One view's surfels, projected and sorted by depth, and the list of them for every tile, with the halves of
// cells (4 by 2 pixels of 4 by 4) each may touch. Projection in double throughout: it costs per surfel, not per pixel.
#pragma once

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "../projection.h"
#include "buffer.h"
#include "interface.h"
#include "lanes.h"

namespace SURFEL_NAMESPACE {

constexpr int kCell = 4;          // pixels
constexpr int kCellsPerTile = 4;  // a side
constexpr int kTile = kCell * kCellsPerTile;
constexpr int kBand = kCell / 2;  // rows of pixels of half a cell
constexpr int kBandsPerTile = kTile / kBand;

// A surfel in the list of a tile; bits 2 (4 r + c) and 2 (4 r + c) + 1 of `halves` are the upper and the lower half of
// the cell in row r and column c. A register of 8 lanes is a half; finer than lanes can use, so narrower ones too.
struct Entry {
  uint32_t surfel;
  uint32_t halves;
};
struct Emitted {
  uint32_t tile;
  Entry entry;
};
template <class T>
struct SortKey;
template <>
struct SortKey<float> {
  using Bits = uint32_t;
};
template <>
struct SortKey<double> {
  using Bits = uint64_t;
};
template <class Bits>
struct Keyed {
  Bits key;
  uint32_t surfel;
};

constexpr int kAhead = 8;  // surfels between one that is asked for from memory and one that is worked on
SURFEL_FN void prefetch(const void* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(from) + i);
}
SURFEL_FN int thread_number() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}
SURFEL_FN int64_t share(int64_t count, int64_t part, int64_t parts) { return count * part / parts; }

inline Camera<double> view_camera(const SurfheadInputs& in, int64_t view) {
  Camera<double> camera;
  const double* values = in.cameras + 16 * view;
  memcpy(camera.rotation, values, sizeof(camera.rotation));
  memcpy(camera.translation, values + 9, sizeof(camera.translation));
  camera.fx = values[12];
  camera.fy = values[13];
  camera.cx = values[14];
  camera.cy = values[15];
  camera.near = in.near;
  camera.width = double(in.width);
  camera.height = double(in.height);
  return camera;
}

template <class T>
struct View {
  int64_t columns = 0, rows = 0;      // tiles
  int64_t seen = 0;                   // visible surfels
  int64_t intersections = 0;
  Buffer<Surfel<T>> surfel;           // (N)
  Buffer<Footprint<T>> footprint;     // (N)
  Buffer<uint8_t> visible;            // (N)
  Buffer<Keyed<typename SortKey<T>::Bits>> order, spare;  // nearest first
  Buffer<Entry> entry;                // by tile, nearest first within each
  Buffer<int64_t> tile_start;         // (tiles + 1)
  Buffer<int64_t> first_emitted;      // (seen + 1) the range of a surfel's entries in emission order
  Buffer<uint32_t> place;             // emission order -> position in `entry`
  Buffer<int64_t> cursor;             // (threads, tiles)
  Buffer<int64_t> thread_total;       // (threads + 1)
};

// Bands that are looked at together: a register, and whole tiles.
template <class T>
constexpr int kSpans = Lanes<T>::count > kBandsPerTile ? Lanes<T>::count : kBandsPerTile;

// `footprint_span` of many bands at once, a lane a row, without branches. Columns of pixels relative to the
// centre; high < low in rows that the surfel does not touch.
template <class T>
SURFEL_FN void spans(const Outline<T>& o, double y, int64_t row, T* low, T* high) {
  using L = Lanes<T>;
  using Mask = LaneInt<T>;
  const L zero(T(0)), far(T(1e30)), disc(o.disc), squared(o.disc * o.disc), hx(o.hx), hy(o.hy), tip(o.tip);
  for (int k = 0; k < kSpans<T>; k += L::count) {
    L top;
    for (int i = 0; i < L::count; ++i) top.v[i] = T(double((row + k + i) * kBand) + 0.5 - y);
    const L y0 = top - L(o.slack), y1 = top + L(T(kBand - 1)) + L(o.slack);
    const L t = pick(y0 > zero, y0, pick(y1 < zero, y1, zero));
    const Mask in_disc = (y0 <= disc) & (y1 >= -disc);
    const L half = pick(in_disc, square_root(greater(squared - t * t, zero)), -far);
    const L e0 = y0 - L(o.ey), e1 = y1 - L(o.ey);
    const Mask in_ellipse = (e0 <= hy) & (e1 >= -hy);
    const L t0 = greater(e0, -hy), t1 = lesser(e1, hy), one(T(1));
    const L w0 = L(o.rest) * square_root(greater(one - t0 * t0 * L(o.inverse), zero));
    const L w1 = L(o.rest) * square_root(greater(one - t1 * t1 * L(o.inverse), zero));
    const L m0 = L(o.slope) * t0, m1 = L(o.slope) * t1;
    const L right = pick((tip >= t0) & (tip <= t1), hx, greater(m0 + w0, m1 + w1));
    const L left = pick((-tip >= t0) & (-tip <= t1), -hx, lesser(m0 - w0, m1 - w1));
    const L x0 = lesser(-half, pick(in_ellipse, L(o.ex) + left, far)) - L(o.widen);
    const L x1 = greater(half, pick(in_ellipse, L(o.ex) + right, -far)) + L(o.widen);
    memcpy(low + k, &x0.v, sizeof(x0.v));
    memcpy(high + k, &x1.v, sizeof(x1.v));
  }
}

// The bits of the columns `from` to `to` of a row of cells, for the upper halves of the uppermost cells.
SURFEL_FN uint32_t upper_halves(int64_t from, int64_t to) {
  uint32_t columns = (2u << to) - (1u << from);
  columns = (columns | columns << 2) & 0x33u;
  return (columns | columns << 1) & 0x55u;
}

// The halves of cells of one surfel, tile by tile: emit(tile, halves).
template <class T, class Emit>
SURFEL_FN void emit_halves(const View<T>& view, int64_t width, int64_t height, const Surfel<T>& g,
                          const Footprint<T>& f, Emit emit) {
  const int64_t bands = (height + kBand - 1) / kBand, cell_columns = (width + kCell - 1) / kCell;
  const double x = double(g.x) + double(g.x_low), y = double(g.y) + double(g.y_low);
  double low = 0, high = double(height);
  if (!f.whole) {
    const double half = double(square_root(greater(f.syy, T(0)))), slack = 0.1 + 1e-3 * half;
    low = y + double(lesser(f.ey - T(half), -f.disc)) - slack;
    high = y + double(greater(f.ey + T(half), f.disc)) + slack;
  }
  const Outline<T> edge = outline(f);
  const int64_t first = low > 0 ? int64_t(low / kBand) : 0;
  const int64_t end = high < double(height) ? (high > 0 ? int64_t(high / kBand) + 1 : 0) : bands;
  const int64_t last = (end < bands ? end : bands) - 1;
  T x0[kSpans<T>], x1[kSpans<T>];
  if (edge.whole)
    for (int r = 0; r < kSpans<T>; ++r) x0[r] = T(-1e30), x1[r] = T(1e30);
  for (int64_t tile_row = first / kBandsPerTile; tile_row <= last / kBandsPerTile && last >= first; ++tile_row) {
    const int ahead = int(tile_row - first / kBandsPerTile) * kBandsPerTile % kSpans<T>;
    if (ahead == 0 && !edge.whole) spans(edge, y, tile_row * kBandsPerTile, x0, x1);
    int64_t c0[kBandsPerTile], c1[kBandsPerTile];
    const int64_t top = tile_row * kBandsPerTile;
    const int begin_band = int(first > top ? first - top : 0);
    const int end_band = int(last - top < kBandsPerTile ? last - top + 1 : kBandsPerTile);
    int64_t from = cell_columns, to = -1;
    // Pixel centres of cell c lie at 4 c + 0.5 ... 4 c + 3.5.
    for (int r = begin_band; r < end_band; ++r) {
      c0[r] = cell_columns;
      c1[r] = -1;
      const double left = (x + double(x0[ahead + r]) - (kCell - 0.5)) / kCell;
      const double right = (x + double(x1[ahead + r]) - 0.5) / kCell;
      if (!(right >= 0 && left <= double(cell_columns - 1))) continue;
      const int64_t floor_left = int64_t(left > 0 ? left : 0);
      const int64_t begin = left > double(floor_left) ? floor_left + 1 : floor_left;
      const int64_t end = right < double(cell_columns - 1) ? int64_t(right) : cell_columns - 1;
      if (begin > end) continue;
      c0[r] = begin;
      c1[r] = end;
      from = begin < from ? begin : from;
      to = end > to ? end : to;
    }
    for (int64_t tile = from / kCellsPerTile; to >= from && tile <= to / kCellsPerTile; ++tile) {
      const int64_t origin = tile * kCellsPerTile;
      uint32_t halves = 0;
      for (int r = begin_band; r < end_band; ++r) {
        const int64_t a = c0[r] > origin ? c0[r] - origin : 0;
        const int64_t b = c1[r] - origin < kCellsPerTile - 1 ? c1[r] - origin : kCellsPerTile - 1;
        if (a <= b) halves |= upper_halves(a, b) << (2 * kCellsPerTile * (r / 2) + r % 2);
      }
      if (halves != 0) emit(uint32_t(tile_row * view.columns + tile), halves);
    }
  }
}

// Stable radix sort by depth, nearest first. Bits of positive floating-point numbers sort as integers.
template <class T>
inline void sort_by_depth(View<T>& view) {
  using Bits = typename SortKey<T>::Bits;
  constexpr int digit = 11, passes = (8 * int(sizeof(Bits)) + digit - 1) / digit;
  auto *from = view.order.data(), *to = view.spare.data();
  for (int pass = 0; pass < passes; ++pass) {
    int64_t start[(1 << digit) + 1] = {0};
    const int shift = pass * digit;
    for (int64_t i = 0; i < view.seen; ++i) ++start[((from[i].key >> shift) & ((1 << digit) - 1)) + 1];
    for (int i = 0; i < (1 << digit); ++i) start[i + 1] += start[i];
    for (int64_t i = 0; i < view.seen; ++i) to[start[(from[i].key >> shift) & ((1 << digit) - 1)]++] = from[i];
    auto* other = from;
    from = to;
    to = other;
  }
  if (from != view.order.data()) memcpy(view.order.data(), from, size_t(view.seen) * sizeof(*from));
}

// Fill `view`; `out` (or null) receives visibility and radius. Gives a SurfheadStatus.
template <class T>
inline int make_view(const SurfheadInputs& in, int64_t b, View<T>& view, const SurfheadOutputs* out) {
  const int64_t n = in.surfels, threads = in.threads;
  view.columns = (in.width + kTile - 1) / kTile;
  view.rows = (in.height + kTile - 1) / kTile;
  const int64_t tiles = view.columns * view.rows;
  if (!view.surfel.reserve(n) || !view.footprint.reserve(n) || !view.visible.reserve(n) || !view.order.reserve(n) ||
      !view.spare.reserve(n) || !view.tile_start.reserve(tiles + 1) || !view.first_emitted.reserve(n + 1) ||
      !view.cursor.reserve(threads * tiles) || !view.thread_total.reserve(threads + 1))
    return kSurfheadOutOfMemory;
  const Camera<double> camera = view_camera(in, b);
  const int64_t pose = in.pose_of_view[b];
  const T* mean = static_cast<const T*>(in.mean) + 3 * n * pose;
  const T* tangents = static_cast<const T*>(in.tangents) + 6 * n * pose;
  const T* normal = static_cast<const T*>(in.normal) + 3 * n * pose;
  const T* opacity = static_cast<const T*>(in.opacity);

#pragma omp parallel for schedule(static) num_threads(int(threads))
  for (int64_t i = 0; i < n; ++i) {
    Footprint<double> f;
    bool visible = project(camera, mean + 3 * i, tangents + 6 * i, normal + 3 * i, opacity[i], view.surfel[i], f);
    double radius = 0;
    if (visible) {
      const Box<double> box = bounding_box(view.surfel[i], f, camera.width, camera.height);
      visible = meets_picture(box, camera.width, camera.height);
      radius = visible ? box_radius(box) : 0;
      view.footprint[i] = {T(f.ex), T(f.ey), T(f.sxx), T(f.sxy), T(f.syy), T(f.disc), f.whole};
    }
    view.visible[i] = visible;
    if (out != nullptr) {
      out->visible[b * n + i] = visible;
      static_cast<T*>(out->radius)[b * n + i] = T(radius);
    }
  }
  view.seen = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!view.visible[i]) continue;
    auto& keyed = view.order[view.seen++];
    memcpy(&keyed.key, &view.surfel[i].z, sizeof(keyed.key));
    keyed.surfel = uint32_t(i);
  }
  sort_by_depth(view);

  // Each thread emits the entries of a run of surfels; a counting sort by tile keeps the order of depth.
  int status = kSurfheadOk;
  memset(view.cursor.data(), 0, size_t(threads * tiles) * sizeof(int64_t));
  memset(view.thread_total.data(), 0, size_t(threads + 1) * sizeof(int64_t));
#pragma omp parallel num_threads(int(threads))
  {
    const int64_t t = thread_number(), begin = share(view.seen, t, threads), end = share(view.seen, t + 1, threads);
    Buffer<Emitted> emitted;
    int64_t made = 0, *count = view.cursor.data() + t * tiles;
    bool enough = true;
    for (int64_t i = begin; i < end && enough; ++i) {
      const uint32_t id = view.order[i].surfel;
      if (i + kAhead < end) {  // they lie anywhere in memory
        const uint32_t next = view.order[i + kAhead].surfel;
        prefetch(&view.surfel[next], sizeof(Surfel<T>));
        prefetch(&view.footprint[next], sizeof(Footprint<T>));
      }
      view.first_emitted[i] = made;  // made absolute below
      emit_halves(view, in.width, in.height, view.surfel[id], view.footprint[id], [&](uint32_t tile, uint32_t halves) {
        if (made == emitted.capacity()) enough = enough && emitted.reserve(made + 4 * (end - begin) + 64);
        if (!enough) return;
        emitted[made++] = {tile, {id, halves}};
        ++count[tile];
      });
    }
    view.thread_total[t + 1] = made;
    if (!enough) {
#pragma omp atomic write
      status = kSurfheadOutOfMemory;
    }
#pragma omp barrier
#pragma omp single
    {
      for (int64_t k = 0; k < threads; ++k) view.thread_total[k + 1] += view.thread_total[k];
      view.intersections = view.thread_total[threads];
      if (view.intersections > INT32_MAX) status = kSurfheadTooManyIntersections;
      if (status == kSurfheadOk &&
          (!view.entry.reserve(view.intersections) || !view.place.reserve(view.intersections)))
        status = kSurfheadOutOfMemory;
      int64_t position = 0;
      for (int64_t tile = 0; tile < tiles; ++tile) {
        view.tile_start[tile] = position;
        for (int64_t k = 0; k < threads; ++k) {
          const int64_t entries = view.cursor[k * tiles + tile];
          view.cursor[k * tiles + tile] = position;
          position += entries;
        }
      }
      view.tile_start[tiles] = position;
      view.first_emitted[view.seen] = position;
    }
    if (status == kSurfheadOk) {
      const int64_t offset = view.thread_total[t];
      for (int64_t i = begin; i < end; ++i) view.first_emitted[i] += offset;
      for (int64_t e = 0; e < made; ++e) {
        const int64_t position = count[emitted[e].tile]++;
        view.entry[position] = emitted[e].entry;
        view.place[offset + e] = uint32_t(position);
      }
    }
  }
  return status;
}

}  // namespace SURFEL_NAMESPACE
