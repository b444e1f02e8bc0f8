// What follows the backward pass: the densification statistic of docs/method.md, section 5, and one step of Adam
// (Kingma and Ba 2015) over all parameters in one launch. Reference twins: training/statistics.py and
// torch.optim.Adam.
#include "rows.h"

namespace {

constexpr int kThreads = 256;
constexpr int kTensors = 40;   // parameters of one launch; mirrored in cuda_optimiser.py
constexpr int kEach = 4;       // elements of a thread

struct Screen {
  int views, surfels;
  float half_width, half_height;
  const float *g_mean, *mean, *camera_from_world, *intrinsics, *radius;  // (B, N, 3), ..., (B, N)
  const bool* visible;                                                   // (B, N)
  float *gradient, *seen, *largest;                                      // (N,), updated
};

struct Adam {
  int tensors;
  float beta1, beta2, log_beta1, log_beta2, epsilon;
  int first[kTensors + 1];   // block with which each tensor begins
  int size[kTensors];        // elements
  float *value[kTensors], *mean[kTensors], *square[kTensors];
  const float* gradient[kTensors];
  const float* step[kTensors];  // steps taken with this one
  const float* rate;            // (tensors,)
  int* broken;                  // (tensors,) set where a gradient is not finite
};

}  // namespace

SURFEL_KERNEL(kThreads, screen_gradients)(const Screen p) {
  const int n = blockIdx.x * kThreads + threadIdx.x;
  if (n >= p.surfels) return;
  float sum = 0.0f, seen = 0.0f, largest = p.largest[n];
  for (int view = 0; view < p.views; ++view) {
    const size_t at = size_t(view) * p.surfels + n;
    largest = fmaxf(largest, p.radius[at]);
    if (!p.visible[at]) continue;
    float g[3], m[3];
    load<3>(p.g_mean, at, g);
    load<3>(p.mean, at, m);
    const float* e = p.camera_from_world + 16 * view;
    const float* k = p.intrinsics + 9 * view;
    const float z = e[8] * m[0] + e[9] * m[1] + e[10] * m[2] + e[11];
    const float x = (e[0] * g[0] + e[1] * g[1] + e[2] * g[2]) * z * (p.half_width / k[0]);
    const float y = (e[4] * g[0] + e[5] * g[1] + e[6] * g[2]) * z * (p.half_height / k[4]);
    sum += sqrtf(x * x + y * y);
    seen += 1.0f;
  }
  p.gradient[n] += float(p.views) * sum;
  p.seen[n] += seen;
  p.largest[n] = largest;
}

SURFEL_KERNEL(kThreads, adam_step)(const Adam p) {
  int tensor = 0;
  while (tensor + 1 < p.tensors && int(blockIdx.x) >= p.first[tensor + 1]) ++tensor;
  const int begin = (int(blockIdx.x) - p.first[tensor]) * kThreads * kEach + threadIdx.x;
  const float step = *p.step[tensor];
  const float first = -expm1f(step * p.log_beta1), second = sqrtf(-expm1f(step * p.log_beta2));
  const float size = p.rate[tensor] / first;
  const int count = p.size[tensor];
  float* value = p.value[tensor];
  float* mean = p.mean[tensor];
  float* square = p.square[tensor];
  const float* gradient = p.gradient[tensor];
  bool broken = false;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int at = begin + i * kThreads;
    if (at >= count) break;
    const float g = gradient[at];
    if (!(fabsf(g) <= 3.402823466e38f)) {  // the run will stop; what it has learnt stays readable
      broken = true;
      continue;
    }
    const float before = mean[at], spread = square[at], held = value[at];
    const float m = before + (1.0f - p.beta1) * (g - before);
    const float v = p.beta2 * spread + (1.0f - p.beta2) * g * g;
    // at rest, as what only some surfels use: no bit would change, and three writes are saved of seven accesses
    if (g == 0.0f && before == 0.0f && spread == 0.0f) continue;
    mean[at] = m;
    square[at] = v;
    value[at] = held - size * m / (sqrtf(v) / second + p.epsilon);
  }
  if (broken) p.broken[tensor] = 1;
}
