// Mean absolute error and structural similarity of pictures, and their gradient, on a CPU: the arithmetic of
// cuda/picture_losses.cu, rows at a time, so that the compiler makes vectors of it. Reference twin:
// maths/metrics.py.
#pragma once

#include <math.h>
#include <stdint.h>

#include "buffer.h"
#include "interface.h"

namespace SURFEL_NAMESPACE {

constexpr int kLossReach = 5;     // of the window
constexpr int kLossTileRows = 12; // of a block of the CUDA kernel, which says how many partial sums there are
constexpr int kLossRows = 36;     // a job's rows: a multiple of those
constexpr int kLossBorder = 3 * kLossReach;
constexpr float kLossC1 = 1e-4f, kLossC2 = 9e-4f;

// struct Pictures of cuda/picture_losses.cu.
struct Pictures {
  int views, height, width, bytes, batches;
  const float* image;
  const void* truth;
  float* partial;
  float* derivative;
  const float* g_sums;
  float* g_image;
};

static const float kLossWindow[kLossReach + 1] = {0.266011725f,  0.213005537f,   0.109360689f,
                                                  0.0360007721f, 0.00759875814f, 0.00102838008f};

// One row of 3 W interleaved values filtered; `in` has a border of kLossBorder zeros on each side.
static inline void filter_row(const float* __restrict in, int columns, float* __restrict out) {
  const float *w = kLossWindow;
#pragma omp simd
  for (int i = 0; i < columns; ++i) {
    const float* at = in + i + kLossBorder;
    float sum = w[0] * at[0];
    sum += w[1] * (at[-3] + at[3]);
    sum += w[2] * (at[-6] + at[6]);
    sum += w[3] * (at[-9] + at[9]);
    sum += w[4] * (at[-12] + at[12]);
    sum += w[5] * (at[-15] + at[15]);
    out[i] = sum;
  }
}

// One row of the result from the rows around it, `stride` apart.
static inline void filter_column(const float* __restrict in, int columns, ptrdiff_t stride, float* __restrict out) {
  const float* w = kLossWindow;
#pragma omp simd
  for (int i = 0; i < columns; ++i) {
    const float* at = in + i;
    float sum = w[0] * at[0];
    for (int k = 1; k <= kLossReach; ++k) sum += w[k] * (at[-k * stride] + at[k * stride]);
    out[i] = sum;
  }
}

static inline void truth_row(const Pictures& p, size_t at, int columns, float* __restrict out) {
  if (p.bytes) {
    const uint8_t* from = static_cast<const uint8_t*>(p.truth) + at;
#pragma omp simd
    for (int i = 0; i < columns; ++i) out[i] = float(from[i]) * (1.0f / 255.0f);
  } else {
    const float* from = static_cast<const float*>(p.truth) + at;
    for (int i = 0; i < columns; ++i) out[i] = from[i];
  }
}

// Fill `rows`: kPlanes planes, filtered along the rows, of the job's rows and those within reach; zero outside.
template <int kPlanes, class Make>
static inline void filtered_rows(const Pictures& p, int first, int count, float* padded, float* rows, Make make) {
  const int columns = 3 * p.width, wide = columns + 2 * kLossBorder, tall = count + 2 * kLossReach;
  for (int q = 0; q < kPlanes; ++q)
    for (int i = 0; i < kLossBorder; ++i) padded[q * wide + i] = padded[(q + 1) * wide - 1 - i] = 0.0f;
  for (int r = 0; r < tall; ++r) {
    const int row = first + r - kLossReach;
    const bool inside = row >= 0 && row < p.height;
    if (inside) make(row, padded + kLossBorder, wide);
    for (int q = 0; q < kPlanes; ++q) {
      float* out = rows + (size_t(q) * tall + r) * columns;
      if (inside)
        filter_row(padded + size_t(q) * wide, columns, out);
      else
        for (int i = 0; i < columns; ++i) out[i] = 0.0f;
    }
  }
}

// Room for a job: padded rows, filtered rows, and one row of each filtered plane.
template <int kPlanes>
static inline size_t loss_room(int width) {
  const size_t columns = 3 * size_t(width);
  return kPlanes * (columns + 2 * kLossBorder + columns * (kLossRows + 2 * kLossReach) + columns) + 2 * columns;
}

static void losses_of(const Pictures& p, int view, int first, float* room, int across, int down) {
  const int columns = 3 * p.width, wide = columns + 2 * kLossBorder;
  const int count = p.height - first < kLossRows ? p.height - first : kLossRows, tall = count + 2 * kLossReach;
  const size_t picture = size_t(view) * p.height * columns, plane = size_t(p.views) * p.height * columns;
  float *padded = room, *rows = padded + 4 * wide, *mean = rows + size_t(4) * tall * columns;
  float* truth = mean + 4 * columns;
  filtered_rows<4>(p, first, count, padded, rows, [&](int row, float* to, int step) {
    const float* __restrict image = p.image + picture + size_t(row) * columns;
    truth_row(p, picture + size_t(row) * columns, columns, to + step);
    float* __restrict x = to;
    const float* __restrict y = to + step;
    float *__restrict power = to + 2 * step, *__restrict cross = to + 3 * step;
#pragma omp simd
    for (int i = 0; i < columns; ++i) {
      x[i] = image[i];
      power[i] = image[i] * image[i] + y[i] * y[i];
      cross[i] = image[i] * y[i];
    }
  });
  for (int tile = first / kLossTileRows; tile * kLossTileRows < first + count; ++tile) {
    double error = 0.0, similarity = 0.0;
    for (int row = tile * kLossTileRows; row < first + count && row < (tile + 1) * kLossTileRows; ++row) {
      const int r = row - first + kLossReach;
      for (int q = 0; q < 4; ++q)
        filter_column(rows + (size_t(q) * tall + r) * columns, columns, columns, mean + q * columns);
      const size_t at = picture + size_t(row) * columns;
      truth_row(p, at, columns, truth);
      const float *__restrict mus = mean, *__restrict nus = mean + columns, *__restrict powers = mean + 2 * columns;
      const float *__restrict crosses = mean + 3 * columns, *__restrict x = p.image + at, *__restrict y = truth;
      float *__restrict of_mean = p.derivative + at, *__restrict of_power = of_mean + plane;
      float* __restrict of_cross = of_power + plane;
      float row_error = 0.0f, row_similarity = 0.0f;
#pragma omp simd reduction(+ : row_error, row_similarity)
      for (int i = 0; i < columns; ++i) {
        const float mu = mus[i], nu = nus[i];
        const float product = mu * nu, squares = mu * mu + nu * nu;
        const float luminance = 2.0f * product + kLossC1, structure = 2.0f * (crosses[i] - product) + kLossC2;
        const float brightness = squares + kLossC1, contrast = powers[i] - squares + kLossC2;
        const float scale = 1.0f / (brightness * contrast), value = luminance * structure * scale;
        const float by_power = -value / contrast, by_cross = 2.0f * luminance * scale;
        const float mixed = 2.0f * structure * scale - by_cross, own = -2.0f * (value / brightness + by_power);
        row_error += fabsf(x[i] - y[i]);
        row_similarity += value;
        of_mean[i] = mixed * nu + own * mu;
        of_power[i] = by_power;
        of_cross[i] = by_cross;
      }
      error += double(row_error);
      similarity += double(row_similarity);
    }
    float* sums = p.partial + 2 * (size_t(view) * down + tile) * across;
    for (int i = 0; i < 2 * across; ++i) sums[i] = 0.0f;
    sums[0] = float(error), sums[1] = float(similarity);
  }
}

static void losses_backward_of(const Pictures& p, int view, int first, float* room) {
  const int columns = 3 * p.width, wide = columns + 2 * kLossBorder;
  const int count = p.height - first < kLossRows ? p.height - first : kLossRows, tall = count + 2 * kLossReach;
  const size_t picture = size_t(view) * p.height * columns, plane = size_t(p.views) * p.height * columns;
  float *padded = room, *rows = padded + 3 * wide, *mean = rows + size_t(3) * tall * columns;
  float* truth = mean + 3 * columns;
  filtered_rows<3>(p, first, count, padded, rows, [&](int row, float* to, int step) {
    const float* from = p.derivative + picture + size_t(row) * columns;
    for (int q = 0; q < 3; ++q)
      for (int i = 0; i < columns; ++i) to[q * step + i] = from[q * plane + i];
  });
  const float g_error = p.g_sums[2 * view], g_similarity = p.g_sums[2 * view + 1];
  for (int r = kLossReach; r < count + kLossReach; ++r) {
    for (int q = 0; q < 3; ++q)
      filter_column(rows + (size_t(q) * tall + r) * columns, columns, columns, mean + q * columns);
    const size_t at = picture + size_t(first + r - kLossReach) * columns;
    truth_row(p, at, columns, truth);
    const float *__restrict mu = mean, *__restrict power = mean + columns, *__restrict cross = mean + 2 * columns;
    const float *__restrict x = p.image + at, *__restrict y = truth;
    float* __restrict out = p.g_image + at;
#pragma omp simd
    for (int i = 0; i < columns; ++i) {
      const float sign = x[i] > y[i] ? 1.0f : x[i] < y[i] ? -1.0f : 0.0f;
      out[i] = g_error * sign + g_similarity * (mu[i] + 2.0f * x[i] * power[i] + y[i] * cross[i]);
    }
  }
}

// Status of interface.h. Jobs of kLossRows rows; the sums do not depend on the number of threads.
static int picture_losses(const SurfheadRows& given, bool backward) {
  const Pictures& p = *static_cast<const Pictures*>(given.arguments);
  const int jobs = (p.height + kLossRows - 1) / kLossRows;
  int failed = 0;
#pragma omp parallel num_threads(int(given.threads)) reduction(| : failed)
  {
    Buffer<float> room;
    failed = !room.reserve(int64_t(loss_room<4>(p.width)));
#pragma omp for schedule(static)
    for (int64_t job = 0; job < int64_t(jobs) * p.views; ++job) {
      if (failed) continue;
      const int view = int(job / jobs), first = int(job % jobs) * kLossRows;
      if (backward)
        losses_backward_of(p, view, first, room.data());
      else
        losses_of(p, view, first, room.data(), int(given.grid[0]), int(given.grid[1]));
    }
  }
  return failed ? kSurfheadOutOfMemory : kSurfheadOk;
}

}  // namespace SURFEL_NAMESPACE
