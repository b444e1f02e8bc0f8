// Terms of the loss over a rig's triangles on a CPU: what surfels' surroundings suggest, how rough a colour is over the
// mesh, how far surfels lie at a slant to it, and how far they go beyond a limit. A term's gradient is made in the same
// pass as the term. Reference twins: kernels/ops/mesh_terms.py.
#pragma once

#include <math.h>

#include "buffer.h"
#include "interface.h"

namespace SURFEL_NAMESPACE {

constexpr int kMeshRun = 1024;            // surfels or triangles of a job: sums do not depend on the number of threads
constexpr float kLeastWeight = 1e-6f;     // of the surfels of a triangle

// Sums by triangle of `width` numbers a surfel times its weight, and of the weights, in the surfels' order.
static bool triangle_sums(int surfels, int width, int triangles, const float* values, const float* weight,
                          const int64_t* host, Buffer<float>& sums) {
  if (!sums.reserve(int64_t(triangles) * (width + 1) + 1)) return false;
  memset(sums.data(), 0, sizeof(float) * size_t(triangles) * (width + 1));
  for (int i = 0; i < surfels; ++i) {
    if (host[i] < 0 || host[i] >= triangles) continue;
    float* __restrict to = sums.data() + host[i] * (width + 1);
    const float* __restrict from = values + size_t(i) * width;
    const float share = weight[i];
    for (int k = 0; k < width; ++k) to[k] += share * from[k];
    to[width] += share;
  }
  return true;
}

// goal = the weighted mean over the surfels of a surfel's triangle and of its three neighbours; without one its values.
struct Surroundings {
  int surfels, width, triangles;
  const float *values, *weight;            // (surfels, width), (surfels,)
  const int64_t *host, *neighbours;        // (surfels,), (triangles, 3)
  float* goal;                             // (surfels, width)
};

static int surroundings(const SurfheadRows& given) {
  const Surroundings& p = *static_cast<const Surroundings*>(given.arguments);
  const int width = p.width, all = width + 1;
  Buffer<float> sums;
  if (!triangle_sums(p.surfels, width, p.triangles, p.values, p.weight, p.host, sums)) return kSurfheadOutOfMemory;
  const float* each = sums.data();
#pragma omp parallel for schedule(static, kMeshRun) num_threads(int(given.threads)) if (p.surfels > kMeshRun)
  for (int i = 0; i < p.surfels; ++i) {
    float* __restrict to = p.goal + size_t(i) * width;
    const int64_t host = p.host[i];
    if (host < 0 || host >= p.triangles) {
      memcpy(to, p.values + size_t(i) * width, sizeof(float) * width);
      continue;
    }
    const int64_t* near = p.neighbours + 3 * host;
    const float *own = each + host * all, *first = each + near[0] * all, *second = each + near[1] * all;
    const float* third = each + near[2] * all;
    const float total = own[width] + (first[width] + second[width] + third[width]);
    const float least = total > kLeastWeight ? total : kLeastWeight;
    for (int k = 0; k < width; ++k) to[k] = (own[k] + (first[k] + second[k] + third[k])) / least;
  }
  return kSurfheadOk;
}

// The mean over pairs of neighbours that both have surfels of sqrt(|difference of mean colours|² + edge²) - edge.
struct Roughness {
  int surfels, triangles;
  float edge;
  const float *colour, *weight;            // (surfels, 3), (surfels,)
  const int64_t *host, *neighbours;        // (surfels,), (triangles, 3)
  float *sum, *g_colour;                   // (), (surfels, 3): the gradient of the term
};

static int roughness(const SurfheadRows& given) {
  const Roughness& p = *static_cast<const Roughness*>(given.arguments);
  Buffer<float> sums, pulls;
  if (!triangle_sums(p.surfels, 3, p.triangles, p.colour, p.weight, p.host, sums) ||
      !pulls.reserve(int64_t(p.triangles) * 3 + 1))
    return kSurfheadOutOfMemory;
  float *each = sums.data(), *pull = pulls.data();
  memset(pull, 0, sizeof(float) * size_t(p.triangles) * 3);
  for (int t = 0; t < p.triangles; ++t) {
    const float inverse = 1.0f / (each[4 * t + 3] > kLeastWeight ? each[4 * t + 3] : kLeastWeight);
    for (int k = 0; k < 3; ++k) each[4 * t + k] *= inverse;
  }
  double total = 0.0;
  int64_t pairs = 0;
  for (int t = 0; t < p.triangles; ++t) {
    const float* own = each + 4 * t;
    if (!(own[3] > kLeastWeight)) continue;
    for (int side = 0; side < 3; ++side) {
      const int64_t across = p.neighbours[3 * t + side];  // the triangle itself at an open edge
      const float* other = each + 4 * across;
      if (across == t || !(other[3] > kLeastWeight)) continue;
      const float x = own[0] - other[0], y = own[1] - other[1], z = own[2] - other[2];
      const float length = square_root(x * x + y * y + z * z + p.edge * p.edge);
      total += double(length - p.edge);
      ++pairs;
      const float inverse = 1.0f / length, pull_x = x * inverse, pull_y = y * inverse, pull_z = z * inverse;
      pull[3 * t] += pull_x, pull[3 * t + 1] += pull_y, pull[3 * t + 2] += pull_z;
      pull[3 * across] -= pull_x, pull[3 * across + 1] -= pull_y, pull[3 * across + 2] -= pull_z;
    }
  }
  const double count = pairs > 0 ? double(pairs) : 1.0;
  *p.sum = float(total / count);
  for (int i = 0; i < p.surfels; ++i) {
    const int64_t host = p.host[i];
    const bool bound = host >= 0 && host < p.triangles;
    const float weight = bound ? each[4 * host + 3] : 1.0f;
    const float factor = p.weight[i] / (float(count) * (weight > kLeastWeight ? weight : kLeastWeight));
    for (int k = 0; k < 3; ++k) p.g_colour[3 * size_t(i) + k] = bound ? factor * pull[3 * host + k] : 0.0f;
  }
  return kSurfheadOk;
}

// The mean over surfels of 1 - |n . s| with n a rotation's third axis and s the smooth normal of the host triangle at
// the surfel's place, by the table of plugins/regularizers/mesh_normal.py.
struct Slant {
  int surfels, triangles;
  const float *quaternion, *offset, *table;  // (surfels, 4), (surfels, 3), (18, triangles)
  const int64_t* host;                       // (surfels,)
  const float* trust;                        // (2, triangles): a triangle's weight, and units of height a scale
  float *sum, *g_quaternion;                 // (), (surfels, 4): the gradient of the term
};

static int slant(const SurfheadRows& given) {
  const Slant& p = *static_cast<const Slant*>(given.arguments);
  const int jobs = (p.surfels + kMeshRun - 1) / kMeshRun;
  Buffer<double> sums;
  if (!sums.reserve(jobs + 1)) return kSurfheadOutOfMemory;
  const float share = 1.0f / float(p.surfels > 0 ? p.surfels : 1);
  const size_t stride = size_t(p.triangles);
#pragma omp parallel for schedule(static) num_threads(int(given.threads)) if (jobs > 1)
  for (int job = 0; job < jobs; ++job) {
    double total = 0.0;
    const int end = (job + 1) * kMeshRun < p.surfels ? (job + 1) * kMeshRun : p.surfels;
    for (int i = job * kMeshRun; i < end; ++i) {
      float* g = p.g_quaternion + 4 * size_t(i);
      const int64_t host = p.host[i];
      if (host < 0 || host >= p.triangles || !(p.trust[host] > 0.0f)) {
        g[0] = g[1] = g[2] = g[3] = 0.0f;
        continue;
      }
      const float* row = p.table + host;
      const float px = p.offset[3 * size_t(i)], py = p.offset[3 * size_t(i) + 1];
      float s[3] = {0.0f, 0.0f, 0.0f};
      for (int corner = 0; corner < 3; ++corner) {
        const float* weights = row + 3 * corner * stride;
        float weight = weights[0] * px + weights[stride] * py + weights[2 * stride];
        weight = weight > 0.0f ? weight : 0.0f;
        const float* normal = row + (9 + 3 * corner) * stride;
        for (int k = 0; k < 3; ++k) s[k] += weight * normal[k * stride];
      }
      const float size = square_root(s[0] * s[0] + s[1] * s[1] + s[2] * s[2]);
      const float inverse = 1.0f / (size > 1e-12f ? size : 1e-12f);
      const float sx = s[0] * inverse, sy = s[1] * inverse, sz = s[2] * inverse;
      const float* q = p.quaternion + 4 * size_t(i);
      const float w = q[0], x = q[1], y = q[2], z = q[3];
      const float factor = 1.0f / (w * w + z * z + (x * x + y * y)), twice = factor + factor;
      const float nx = (x * z + w * y) * twice, ny = (y * z - w * x) * twice;
      const float nz = (w * w + z * z - (x * x + y * y)) * factor;
      const float cosine = nx * sx + ny * sy + nz * sz;
      const float height = p.offset[3 * size_t(i) + 2] * p.trust[stride + size_t(host)], square = height * height;
      const float trust = p.trust[host] / (1.0f + square * square);
      total += double(trust * (1.0f - fabsf(cosine)));
      const float sign = trust * (cosine > 0.0f ? -share : cosine < 0.0f ? share : 0.0f);
      // d(n . s) / dq: the products' own, less what the length of q takes away
      const float scale = sign * twice;
      g[0] = scale * (y * sx - x * sy + w * sz - w * cosine);
      g[1] = scale * (z * sx - w * sy - x * sz - x * cosine);
      g[2] = scale * (w * sx + z * sy - y * sz - y * cosine);
      g[3] = scale * (x * sx + y * sy + z * sz - z * cosine);
    }
    sums[job] = total;
  }
  double total = 0.0;
  for (int job = 0; job < jobs; ++job) total += sums[job];
  *p.sum = float(total) * share;
  return kSurfheadOk;
}

// The mean over the seen surfels on triangles of max(|x| - limit, 0), or, where `each`, of |max(exp(x) - limit, 0)|.
struct Excess {
  int surfels, width, each;
  float limit;
  const float* value;         // (surfels, width)
  const unsigned char* seen;  // (surfels,)
  const int64_t* host;        // (surfels,)
  float *sum, *g_value;       // (), (surfels, width): the gradient of the term
};

static int excess(const SurfheadRows& given) {
  const Excess& p = *static_cast<const Excess*>(given.arguments);
  int64_t count = 0;
  for (int i = 0; i < p.surfels; ++i) count += int(p.seen[i] != 0) & int(p.host[i] >= 0);
  const float share = 1.0f / float(count > 0 ? count : 1);
  // an exponential is worked out where it may go beyond the limit, with room for its last digits
  const float least = p.limit > 0.0f ? logarithm(p.limit) - 1e-3f : -INFINITY;
  double total = 0.0;
  for (int i = 0; i < p.surfels; ++i) {
    const float* x = p.value + size_t(i) * p.width;
    float* g = p.g_value + size_t(i) * p.width;
    for (int k = 0; k < p.width; ++k) g[k] = 0.0f;
    if (p.seen[i] == 0 || p.host[i] < 0) continue;
    float squared = 0.0f;
    for (int k = 0; k < p.width; ++k) {
      if (!p.each) {
        squared += x[k] * x[k];
      } else if (!(x[k] < least)) {  // what is not a number stays so
        const float size = exponential_exact(x[k]), over = size - p.limit;
        if (over <= 0.0f) continue;
        squared += over * over;
        g[k] = over * size;
      }
    }
    const float length = square_root(squared), beyond = p.each ? length : length - p.limit;
    if (beyond <= 0.0f) {
      for (int k = 0; k < p.width; ++k) g[k] = 0.0f;
      continue;
    }
    total += double(beyond);
    const float factor = share / length;
    for (int k = 0; k < p.width; ++k) g[k] = factor * (p.each ? g[k] : x[k]);
  }
  *p.sum = float(total) * share;
  return kSurfheadOk;
}

// Status of interface.h.
static int mesh_terms(const SurfheadRows& given, const char* name) {
  const bool asked = given.grid[0] <= 0;  // only asked for whether it is there
  if (strcmp(name, "surroundings") == 0) return asked ? kSurfheadOk : surroundings(given);
  if (strcmp(name, "roughness") == 0) return asked ? kSurfheadOk : roughness(given);
  if (strcmp(name, "slant") == 0) return asked ? kSurfheadOk : slant(given);
  if (strcmp(name, "excess") == 0) return asked ? kSurfheadOk : excess(given);
  return kSurfheadUnknown;
}

}  // namespace SURFEL_NAMESPACE
