// What forward and backward share about a tile's pixels: a cell's 4 by 4 pixels as one or more runs of lanes.
#pragma once

#include "../compositing.h"
#include "lanes.h"
#include "kept.h"

namespace SURFEL_NAMESPACE {

constexpr int kCellPixels = kCell * kCell;
constexpr int kTileCells = kCellsPerTile * kCellsPerTile;

template <class T>
struct TileLanes {
  using L = Lanes<T>;
  using Mask = LaneInt<T>;
  static constexpr int lanes = L::count;
  static constexpr int runs = kCellPixels / lanes;  // vectors a cell
  static constexpr int count = kTileCells * runs;   // vectors a tile
  // What is visited at once: half a cell, or the whole where a register holds it.
  static constexpr int halves = lanes > kCellPixels / 2 ? 2 : 1;
  static constexpr int vectors = halves * kCellPixels / 2 / lanes;
};
constexpr int kTileHalves = 2 * kTileCells;

// The lowest visit in a mask of halves, which it is taken from; gives its first half.
template <class T>
SURFEL_FN int next_visit(uint32_t& halves) {
  constexpr int many = TileLanes<T>::halves;
  const int half = __builtin_ctz(halves) & ~(many - 1);
  halves &= ~(((1u << many) - 1u) << half);
  return half;
}

// Offsets of a run's pixels from the cell's first pixel.
template <class T>
struct CellOffsets {
  Lanes<T> x[TileLanes<T>::runs], y[TileLanes<T>::runs];
  CellOffsets() {
    for (int run = 0; run < TileLanes<T>::runs; ++run)
      for (int lane = 0; lane < TileLanes<T>::lanes; ++lane) {
        const int pixel = run * TileLanes<T>::lanes + lane;
        x[run].v[lane] = T(pixel % kCell);
        y[run].v[lane] = T(pixel / kCell);
      }
  }
};

// What a tile keeps of one surfel of its list: d of the tile's first pixel centre, and its depth relative
// to the middle surfel of the list; both rounded only after the large parts were subtracted. The middle one,
// because a few surfels right before the camera would make a bad reference for all others.
template <class T>
struct InTile {
  T dx, dy, z_offset;
};
template <class T>
SURFEL_FN InTile<T> in_tile(const Surfel<T>& g, T x, T y, const Surfel<T>& middle) {
  return {(x - g.x) - g.x_low, (y - g.y) - g.y_low, (g.z - middle.z) + (g.z_low - middle.z_low)};
}

// Calls f(vector, lane, flat pixel index) for each pixel of the tile inside the picture.
template <class T, class F>
SURFEL_FN void for_each_pixel(int64_t tile, int64_t columns, int64_t width, int64_t height, F f) {
  constexpr int lanes = TileLanes<T>::lanes;
  const int64_t x0 = (tile % columns) * kTile, y0 = (tile / columns) * kTile;
  for (int64_t y = y0; y < y0 + kTile && y < height; ++y)
    for (int64_t x = x0; x < x0 + kTile && x < width; ++x) {
      const int64_t in_x = x - x0, in_y = y - y0;
      const int64_t cell = (in_y / kCell) * kCellsPerTile + in_x / kCell;
      const int64_t pixel = cell * kCellPixels + (in_y % kCell) * kCell + in_x % kCell;
      f(pixel / lanes, pixel % lanes, y * width + x);
    }
}

}  // namespace SURFEL_NAMESPACE
