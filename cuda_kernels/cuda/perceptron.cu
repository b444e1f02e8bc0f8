// What a highlight's perceptron needs beside its large products (surfhead/kernels/cuda_perceptron.py): its last layer,
// which gives one number or three, and what lies between two products backward, with the sums over rows that are the
// gradients of biases. A warp a row of 128 numbers, four a lane; some rows are on their way at a time.
//
// Rows whose output got no gradient (surfels that a view does not show) pass none: they are not read again.
#include "../scalar.h"
#include "rows.h"

using namespace SURFEL_NAMESPACE;

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kHidden = 128;
constexpr int kShown = 3;      // numbers of a row of the output
constexpr int kAtOnce = 4;     // rows of a warp

struct Perceptron {
  int rows, channels, blocks;         // channels: 1, which is given three times, or 3
  const float *weight, *bias;         // of the last layer: (channels, 128), (channels,)
  const float* hidden;                // (rows, 128) after its ReLU
  float* output;                      // (rows, 3)
  const float* g_output;              // (rows, 3)
  float* g_hidden;                    // (rows, 128)
  float *g_weight, *g_bias;           // of the last layer, zeroed
  float* g_hidden_bias;               // (128,) of the layer that `hidden` is of, zeroed
};

struct Four {
  float at[4];
};

__device__ __forceinline__ Four read_four(const float* from, size_t row) {
  const float4 four = reinterpret_cast<const float4*>(from)[32 * row + (threadIdx.x & 31)];
  return {{four.x, four.y, four.z, four.w}};
}
__device__ __forceinline__ void write_four(const Four& four, size_t row, float* to) {
  reinterpret_cast<float4*>(to)[32 * row + (threadIdx.x & 31)] =
      make_float4(four.at[0], four.at[1], four.at[2], four.at[3]);
}

// This lane's four of a channel's weights, which a checkpoint may have left at any address.
__device__ __forceinline__ Four weights_of(const Perceptron& p, int channel) {
  Four found;
  load<4>(p.weight, channel * (kHidden / 4) + (threadIdx.x & 31), found.at);
  return found;
}

// The first of a warp's rows, and how far it goes at a time.
__device__ __forceinline__ int first_row() { return int(blockIdx.x * kWarps + (threadIdx.x >> 5)) * kAtOnce; }
__device__ __forceinline__ int stride_of(const Perceptron& p) { return p.blocks * kWarps * kAtOnce; }

// The gradient of a row's channels; false where there is none.
template <int kChannels>
__device__ __forceinline__ bool gradient_of(const Perceptron& p, int row, float* g) {
  for (int c = 0; c < kChannels; ++c) g[c] = 0.0f;
  if (row >= p.rows) return false;
  const float* from = p.g_output + size_t(row) * kShown;
  bool any = false;
#pragma unroll
  for (int i = 0; i < kShown; ++i) {
    const float one = from[i];
    any = any || one != 0.0f;
    g[kChannels == 1 ? 0 : i % kChannels] += one;
  }
  return any;
}

// The warps' sums of a row of 128, added to global memory by the block.
__device__ __forceinline__ void add_over_block(const Four& own, float* to) {
  __shared__ float parts[kWarps][kHidden];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  __syncthreads();  // what was here has been read
  for (int i = 0; i < 4; ++i) parts[warp][4 * lane + i] = own.at[i];
  __syncthreads();
  if (threadIdx.x >= kHidden) return;
  float sum = 0.0f;
  for (int w = 0; w < kWarps; ++w) sum += parts[w][threadIdx.x];
  atomicAdd(to + threadIdx.x, sum);
}

template <int kChannels>
__device__ __forceinline__ void last_of(const Perceptron& p) {
  const int lane = threadIdx.x & 31;
  Four weight[kChannels];
  for (int c = 0; c < kChannels; ++c) weight[c] = weights_of(p, c);
  for (int first = first_row(); first < p.rows; first += stride_of(p)) {
    Four hidden[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      hidden[i] = first + i < p.rows ? read_four(p.hidden, first + i) : Four{};
    float sums[kAtOnce][kChannels];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      for (int c = 0; c < kChannels; ++c) {
        float sum = 0.0f;
        for (int k = 0; k < 4; ++k) sum = fused(weight[c].at[k], hidden[i].at[k], sum);
        for (int step = 16; step > 0; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        sums[i][c] = sum + p.bias[c];
      }
    // lane i * shown + j writes number j of row i
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      for (int c = 0; c < kChannels; ++c)
        for (int j = c; j < kShown; j += kChannels)
          if (lane == i * kShown + j && first + i < p.rows)
            p.output[size_t(first + i) * kShown + j] = sums[i][c];
  }
}

template <int kChannels>
__device__ __forceinline__ void last_backward_of(const Perceptron& p) {
  Four weight[kChannels], g_weight[kChannels] = {}, g_hidden_bias = {};
  float g_bias[kChannels] = {};
  for (int c = 0; c < kChannels; ++c) weight[c] = weights_of(p, c);
  for (int first = first_row(); first < p.rows; first += stride_of(p)) {
    float g[kAtOnce][kChannels];
    bool any[kAtOnce];
    Four hidden[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) any[i] = gradient_of<kChannels>(p, first + i, g[i]);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) hidden[i] = any[i] ? read_four(p.hidden, first + i) : Four{};
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      Four g_hidden = {};
      for (int c = 0; c < kChannels; ++c) {
        g_bias[c] += g[i][c];
        for (int k = 0; k < 4; ++k) {
          g_weight[c].at[k] = fused(g[i][c], hidden[i].at[k], g_weight[c].at[k]);
          g_hidden.at[k] = fused(g[i][c], weight[c].at[k], g_hidden.at[k]);
        }
      }
      for (int k = 0; k < 4; ++k) {
        if (!(hidden[i].at[k] > 0.0f)) g_hidden.at[k] = 0.0f;
        g_hidden_bias.at[k] += g_hidden.at[k];
      }
      if (first + i < p.rows) write_four(g_hidden, first + i, p.g_hidden);
    }
  }
  add_over_block(g_hidden_bias, p.g_hidden_bias);
  for (int c = 0; c < kChannels; ++c) add_over_block(g_weight[c], p.g_weight + c * kHidden);
  // every lane of a warp has the same sums
  __shared__ float parts[kWarps][kChannels];
  for (int c = 0; c < kChannels; ++c)
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5][c] = g_bias[c];
  __syncthreads();
  if (threadIdx.x >= kChannels) return;
  float sum = 0.0f;
  for (int w = 0; w < kWarps; ++w) sum += parts[w][threadIdx.x];
  atomicAdd(p.g_bias + threadIdx.x, sum);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kThreads, 4) last_layer(const Perceptron p) {
  if (p.channels == 1) last_of<1>(p);
  if (p.channels == 3) last_of<3>(p);
}

extern "C" __global__ void __launch_bounds__(kThreads, 4) last_layer_backward(const Perceptron p) {
  if (p.channels == 1) last_backward_of<1>(p);
  if (p.channels == 3) last_backward_of<3>(p);
}

// What a product left in `g_hidden` through the ReLU, in place. Rows without a gradient are zero already.
extern "C" __global__ void __launch_bounds__(kThreads, 4) through_relu(const Perceptron p) {
  Four sums = {};
  for (int first = first_row(); first < p.rows; first += stride_of(p)) {
    bool any[kAtOnce];
    Four hidden[kAtOnce], g[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      any[i] = false;
      if (first + i < p.rows)
        for (int j = 0; j < kShown; ++j) any[i] = any[i] || p.g_output[size_t(first + i) * kShown + j] != 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      hidden[i] = any[i] ? read_four(p.hidden, first + i) : Four{};
      g[i] = any[i] ? read_four(p.g_hidden, first + i) : Four{};
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      for (int k = 0; k < 4; ++k) {
        if (!(hidden[i].at[k] > 0.0f)) g[i].at[k] = 0.0f;
        sums.at[k] += g[i].at[k];
      }
      if (any[i]) write_four(g[i], first + i, p.g_hidden);
    }
  }
  add_over_block(sums, p.g_hidden_bias);
}
