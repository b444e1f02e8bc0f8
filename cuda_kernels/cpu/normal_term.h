// The term of normals against those of the depth picture, and its gradient, on a CPU: the arithmetic of
// cuda/surface_terms.cu, rows at a time, so that the compiler makes vectors of it and no pixel is worked out for each
// of its neighbours anew. Reference twin: kernels/ops/terms.py, normal_term.
#pragma once

#include "../surface.h"
#include "buffer.h"
#include "interface.h"

namespace SURFEL_NAMESPACE {

constexpr int kNormalRows = 8;  // a job's rows: those of a block of the CUDA kernel, whose sums they fill

// struct NormalTerm of cuda/surface_terms.cu.
struct NormalPictures {
  int views, height, width;
  const float *depth, *alpha, *normal, *intrinsics;
  const unsigned char* mask;
  float* partial;
  const float* g_sum;
  float *g_depth, *g_normal;
};

// What a row of pixels gives: per pixel 0 where no normal of the depth is defined.
struct NormalRow {
  float *value;         // 1 - alpha N . N_depth
  float *g_normal[3];   // -alpha N_depth
  float *share[4];      // what goes to the depths left, right, above and below
};

template <bool kBackward>
static inline void normal_row(const NormalPictures& p, int view, int row, const NormalRow& out) {
  const int width = p.width;
  for (int k = 0; k < 4; ++k)
    if (kBackward) memset(out.share[k], 0, size_t(width) * sizeof(float));
  for (int k = 0; k < 3; ++k)
    if (kBackward) memset(out.g_normal[k], 0, size_t(width) * sizeof(float));
  if (!kBackward) memset(out.value, 0, size_t(width) * sizeof(float));
  if (row < 1 || row >= p.height - 1) return;
  const float* k = p.intrinsics + 9 * view;
  const float fx = 1.0f / k[0], fy = 1.0f / k[4], cx = k[2];
  const float y0 = (float(row - 1) + 0.5f - k[5]) * fy, y1 = (float(row) + 0.5f - k[5]) * fy;
  const float y2 = (float(row + 1) + 0.5f - k[5]) * fy;
  const size_t at = (size_t(view) * p.height + row) * width;
  const float *__restrict depth = p.depth + at, *__restrict above = depth - width, *__restrict below = depth + width;
  const float *__restrict alpha = p.alpha + at, *__restrict over = alpha - width, *__restrict under = alpha + width;
  const float* __restrict drawn = p.normal + 3 * at;
  float *__restrict value = out.value, *__restrict n0 = out.g_normal[0], *__restrict n1 = out.g_normal[1];
  float *__restrict n2 = out.g_normal[2], *__restrict left = out.share[0], *__restrict right = out.share[1];
  float *__restrict up = out.share[2], *__restrict down = out.share[3];
#pragma omp simd
  for (int i = 1; i < width - 1; ++i) {
    const bool defined = alpha[i] > 0.0f && alpha[i - 1] > 0.0f && alpha[i + 1] > 0.0f && over[i] > 0.0f && under[i] > 0.0f;
    const float x0 = (float(i - 1) + 0.5f - cx) * fx, x1 = (float(i) + 0.5f - cx) * fx;
    const float x2 = (float(i + 1) + 0.5f - cx) * fx;
    const float across2 = depth[i + 1] - depth[i - 1], down2 = below[i] - above[i];
    const float across0 = x2 * depth[i + 1] - x0 * depth[i - 1], across1 = y1 * across2;
    const float down0 = x1 * down2, down1 = y2 * below[i] - y0 * above[i];
    // down x across
    float u0 = down1 * across2 - down2 * across1, u1 = down2 * across0 - down0 * across2;
    float u2 = down0 * across1 - down1 * across0;
    const float length = square_root(u0 * u0 + u1 * u1 + u2 * u2);
    const bool clamped = !(length > float(kSmallestArea));
    const float inverse = defined ? 1.0f / (clamped ? float(kSmallestArea) : length) : 0.0f;
    u0 *= inverse, u1 *= inverse, u2 *= inverse;
    const float weight = defined ? alpha[i] : 0.0f;
    const float agreement = drawn[3 * i] * u0 + drawn[3 * i + 1] * u1 + drawn[3 * i + 2] * u2;
    if (!kBackward) {
      value[i] = defined ? 1.0f - weight * agreement : 0.0f;
    } else {
      n0[i] = -weight * u0, n1[i] = -weight * u1, n2[i] = -weight * u2;
      // surface.h, depth_normal_backward, with the gradient -alpha N of the unit normal
      const float along = clamped ? 0.0f : agreement, scale = -weight * inverse;
      const float g0 = (drawn[3 * i] - along * u0) * scale, g1 = (drawn[3 * i + 1] - along * u1) * scale;
      const float g2 = (drawn[3 * i + 2] - along * u2) * scale;
      const float g_down0 = across1 * g2 - across2 * g1, g_down1 = across2 * g0 - across0 * g2;
      const float g_down2 = across0 * g1 - across1 * g0;
      const float g_across0 = g1 * down2 - g2 * down1, g_across1 = g2 * down0 - g0 * down2;
      const float g_across2 = g0 * down1 - g1 * down0;
      const float along_x = y1 * g_across1 + g_across2, along_y = x1 * g_down0 + g_down2;
      left[i] = -(x0 * g_across0 + along_x), right[i] = x2 * g_across0 + along_x;
      up[i] = -(y0 * g_down1 + along_y), down[i] = y2 * g_down1 + along_y;
    }
  }
}

SURFEL_FN float mask_at(const NormalPictures& p, size_t at) {
  return p.mask ? float(p.mask[at]) * (1.0f / 255.0f) : 1.0f;
}

static void normal_sums(const NormalPictures& p, int view, int first, float* room, int across, int down) {
  const int width = p.width, end = first + kNormalRows < p.height ? first + kNormalRows : p.height;
  NormalRow row{};
  row.value = room;
  double sum = 0.0, weights = 0.0;
  for (int r = first; r < end; ++r) {
    normal_row<false>(p, view, r, row);
    const size_t at = (size_t(view) * p.height + r) * width;
    float row_sum = 0.0f, row_weights = 0.0f;
#pragma omp simd reduction(+ : row_sum, row_weights)
    for (int i = 0; i < width; ++i) {
      const float weight = mask_at(p, at + i);
      row_sum += weight * room[i];
      row_weights += weight;
    }
    sum += double(row_sum);
    weights += double(row_weights);
  }
  float* sums = p.partial + 2 * (size_t(view) * down + first / kNormalRows) * across;
  for (int i = 0; i < 2 * across; ++i) sums[i] = 0.0f;
  sums[0] = float(sum), sums[1] = float(weights);
}

// Three rows of shares are kept: those above, at and below the row whose gradient is written.
static void normal_backward_of(const NormalPictures& p, int view, int first, float* room) {
  const int width = p.width, end = first + kNormalRows < p.height ? first + kNormalRows : p.height;
  NormalRow kept[3]{};
  for (int k = 0; k < 3; ++k) {
    for (int j = 0; j < 3; ++j) kept[k].g_normal[j] = room + size_t(7 * k + j) * width;
    for (int j = 0; j < 4; ++j) kept[k].share[j] = room + size_t(7 * k + 3 + j) * width;
  }
  const auto make = [&](int row) {
    const NormalRow& to = kept[(row + 3) % 3];
    normal_row<true>(p, view, row, to);
    if (row < 1 || row >= p.height - 1) return;
    const size_t at = (size_t(view) * p.height + row) * width;
    for (int i = 0; i < width; ++i) {
      const float weight = *p.g_sum * mask_at(p, at + i);
      for (int j = 0; j < 3; ++j) to.g_normal[j][i] *= weight;
      for (int j = 0; j < 4; ++j) to.share[j][i] *= weight;
    }
  };
  make(first - 1);
  make(first);
  for (int r = first; r < end; ++r) {
    make(r + 1);
    const NormalRow &own = kept[r % 3], &before = kept[(r + 2) % 3], &after = kept[(r + 1) % 3];
    const size_t at = (size_t(view) * p.height + r) * width;
    for (int i = 0; i < width; ++i) {
      for (int j = 0; j < 3; ++j) p.g_normal[3 * (at + i) + j] = own.g_normal[j][i];
      const float from_right = i + 1 < width ? own.share[0][i + 1] : 0.0f;
      const float from_left = i > 0 ? own.share[1][i - 1] : 0.0f;
      p.g_depth[at + i] = from_right + from_left + after.share[2][i] + before.share[3][i];
    }
  }
}

// Status of interface.h. The sums do not depend on the number of threads.
static int normal_term(const SurfheadRows& given, bool backward) {
  const NormalPictures& p = *static_cast<const NormalPictures*>(given.arguments);
  const int jobs = (p.height + kNormalRows - 1) / kNormalRows;
  int failed = 0;
#pragma omp parallel num_threads(int(given.threads)) reduction(| : failed)
  {
    Buffer<float> room;
    failed = !room.reserve(21 * int64_t(p.width));
#pragma omp for schedule(static)
    for (int64_t job = 0; job < int64_t(jobs) * p.views; ++job) {
      if (failed) continue;
      const int view = int(job / jobs), first = int(job % jobs) * kNormalRows;
      if (backward)
        normal_backward_of(p, view, first, room.data());
      else
        normal_sums(p, view, first, room.data(), int(given.grid[0]), int(given.grid[1]));
    }
  }
  return failed ? kSurfheadOutOfMemory : kSurfheadOk;
}

}  // namespace SURFEL_NAMESPACE
