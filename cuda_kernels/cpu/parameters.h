// What goes over all numbers of the parameters on a CPU, each in one pass: a weighted sum of squared distances and its
// gradient, a look for what is not finite, and a step of Adam. Reference twins: kernels/ops/squares.py and
// kernels/ops/adam.py.
#pragma once

#include <math.h>

#include "buffer.h"
#include "interface.h"

namespace SURFEL_NAMESPACE {

constexpr int64_t kParameterRun = 8192;  // numbers of a job: sums do not depend on the number of threads

// sum of w (value - goal)² over the rows.
struct Squares {
  int rows, width, goal_rows;          // goal_rows: `rows`, 1 for the same in every row, or 0 for none, which is 0
  const float *value, *goal, *weight;  // (rows, width), (goal_rows, width), (rows,) or null for 1
  float* sum;                          // ()
  const float* g_sum;
  float* g_value;
};

static int squares(const SurfheadRows& given, bool backward) {
  if (given.grid[0] <= 0) return kSurfheadOk;  // only asked for whether it is there
  const Squares& p = *static_cast<const Squares*>(given.arguments);
  const int64_t width = p.width, each = width < kParameterRun ? kParameterRun / width : 1;
  const int64_t jobs = (p.rows + each - 1) / each;
  Buffer<double> sums;
  if (!backward && !sums.reserve(jobs)) return kSurfheadOutOfMemory;
  const float twice = backward ? 2.0f * *p.g_sum : 0.0f;
#pragma omp parallel for schedule(static) num_threads(int(given.threads)) if (jobs > 1)
  for (int64_t job = 0; job < jobs; ++job) {
    const int64_t end = (job + 1) * each < p.rows ? (job + 1) * each : p.rows;
    double total = 0.0;
    for (int64_t row = job * each; row < end; ++row) {
      const float weight = p.weight ? p.weight[row] : 1.0f;
      const float* __restrict value = p.value + row * width;
      const float* __restrict goal = p.goal_rows == p.rows ? p.goal + row * width : p.goal;
      if (backward) {
        float* __restrict out = p.g_value + row * width;
        const float factor = twice * weight;
        if (p.goal_rows)
          for (int64_t i = 0; i < width; ++i) out[i] = factor * (value[i] - goal[i]);
        else
          for (int64_t i = 0; i < width; ++i) out[i] = factor * value[i];
        continue;
      }
      float sum = 0.0f;
      if (p.goal_rows) {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; ++i) sum += (value[i] - goal[i]) * (value[i] - goal[i]);
      } else {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; ++i) sum += value[i] * value[i];
      }
      total += double(weight * sum);
    }
    if (!backward) sums[job] = total;
  }
  if (!backward) {
    double total = 0.0;
    for (int64_t job = 0; job < jobs; ++job) total += sums[job];
    *p.sum = float(total);
  }
  return kSurfheadOk;
}

// One parameter of a step, or of a look at its gradient.
struct Parameter {
  int64_t count;
  float *value, *mean, *square;
  const float* gradient;
  float size, second;  // the rate over one minus the first decay to the steps; the root of one minus the second's
};
struct Parameters {
  int64_t count;
  float beta1, beta2, epsilon;
  const Parameter* parameter;
  unsigned char* broken;  // (count,), set where a gradient is not finite
};

static inline bool all_finite(const float* __restrict from, int64_t count) {
  float sum = 0.0f;  // what is not finite times 0 is not a number, and stays so
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += from[i] * 0.0f;
  return sum == 0.0f;
}

constexpr int64_t kAdamRun = 256;  // numbers that are left alone together

// Whether all that moves these numbers is 0, as for a parameter that only some surfels use: the step changes no bit then.
static inline bool at_rest(const Parameter& p, int64_t begin, int64_t end) {
  for (int64_t first = begin; first < end; first += 16) {  // where something moves, the first look mostly tells
    const int64_t last = first + 16 < end ? first + 16 : end;
    int moved = 0;
    for (int64_t i = first; i < last; ++i)
      moved |= int(p.gradient[i] != 0.0f) | int(p.mean[i] != 0.0f) | int(p.square[i] != 0.0f);
    if (moved) return false;
  }
  return true;
}

static inline void adam_part(const Parameters& all, const Parameter& p, int64_t begin, int64_t end) {
  float *__restrict value = p.value, *__restrict mean = p.mean, *__restrict square = p.square;
  const float* __restrict gradient = p.gradient;
  const float keep = 1.0f - all.beta1, learn = 1.0f - all.beta2;
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float g = gradient[i];
    const float m = mean[i] + keep * (g - mean[i]), v = all.beta2 * square[i] + learn * g * g;
    mean[i] = m;
    square[i] = v;
    value[i] -= p.size * m / (square_root(v) / p.second + all.epsilon);
  }
}

static inline void adam_run(const Parameters& all, const Parameter& p, int64_t begin, int64_t end) {
  for (int64_t first = begin; first < end; first += kAdamRun) {
    const int64_t last = first + kAdamRun < end ? first + kAdamRun : end;
    if (!at_rest(p, first, last)) adam_part(all, p, first, last);
  }
}

static int parameters(const SurfheadRows& given, bool step) {
  if (given.grid[0] <= 0) return kSurfheadOk;
  const Parameters& all = *static_cast<const Parameters*>(given.arguments);
  Buffer<int64_t> first;  // job with which each parameter begins
  if (!first.reserve(all.count + 1)) return kSurfheadOutOfMemory;
  first[0] = 0;
  for (int64_t k = 0; k < all.count; ++k)
    first[k + 1] = first[k] + (all.parameter[k].count + kParameterRun - 1) / kParameterRun;
#pragma omp parallel for schedule(static) num_threads(int(given.threads)) if (first[all.count] > 1)
  for (int64_t job = 0; job < first[all.count]; ++job) {
    int64_t k = 0;
    while (job >= first[k + 1]) ++k;
    const Parameter& p = all.parameter[k];
    const int64_t begin = (job - first[k]) * kParameterRun;
    const int64_t end = begin + kParameterRun < p.count ? begin + kParameterRun : p.count;
    if (step)
      adam_run(all, p, begin, end);
    else if (!all_finite(p.gradient + begin, end - begin)) {
#pragma omp atomic write
      all.broken[k] = 1;
    }
  }
  return kSurfheadOk;
}

}  // namespace SURFEL_NAMESPACE
