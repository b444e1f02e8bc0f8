// Mean absolute error and structural similarity of pictures in one pass, and their gradient in another.
// Reference twins: surfhead/maths/metrics.py (ssim: 11x11 Gaussian window of sigma 1.5, zero padding) and the
// regularizer `l1`. Pictures are (views, height, width, 3); a row is handled as 3 width interleaved columns, in
// which horizontal neighbours lie 3 apart.

namespace {

using uint8 = unsigned char;

constexpr int kPixels = 32, kRows = 8;  // of a block's tile
constexpr int kColumns = 3 * kPixels;
constexpr int kReach = 5;  // of the window
constexpr int kTaps = 2 * kReach + 1;
constexpr int kWide = kColumns + 6 * kReach, kTall = kRows + 2 * kReach;
constexpr int kRun = 4;  // outputs that share a thread's loads
constexpr int kThreads = 2 * kColumns;
static_assert(kThreads * kRun == kRows * kColumns, "the vertical pass covers the tile once");

constexpr float kC1 = 1e-4f, kC2 = 9e-4f;

struct Pictures {
  int views, height, width;
  int bytes;  // whether the truth is uint8 rather than float
  const float* image;
  const void* truth;
  float* partial;     // (views, blocks, 2) sums over a tile of |image - truth| and of the similarity
  float* derivative;  // (3, views, height, 3 width) of the similarity at a pixel by E x, by E(x^2 + y^2), by E(x y)
  const float* g_sums;  // (views, 2) dL/d of both sums
  float* g_image;
};

__device__ constexpr float kWindow[kTaps] = {
    0.00102838008f, 0.00759875814f, 0.0360007721f, 0.109360689f, 0.213005537f, 0.266011725f,
    0.213005537f,   0.109360689f,   0.0360007721f, 0.00759875814f, 0.00102838008f};

__device__ __forceinline__ float truth_at(const Pictures& p, size_t at) {
  return p.bytes ? float(static_cast<const uint8*>(p.truth)[at]) * (1.0f / 255.0f)
                 : static_cast<const float*>(p.truth)[at];
}

struct Tile {
  int row, column;  // the first of the tile
  size_t picture;   // where the view begins
};

__device__ __forceinline__ Tile tile_of_block(const Pictures& p) {
  return {int(blockIdx.y) * kRows, int(blockIdx.x) * kColumns,
          size_t(blockIdx.z) * p.height * p.width * 3};
}

// Call fill(place in the tile with its border, place in the picture or -1 outside).
template <class Fill>
__device__ __forceinline__ void fill_tile(const Pictures& p, const Tile& tile, Fill fill) {
  for (int i = threadIdx.x; i < kTall * kWide; i += kThreads) {
    const int row = tile.row - kReach + i / kWide, column = tile.column - 3 * kReach + i % kWide;
    const bool inside = row >= 0 && row < p.height && column >= 0 && column < 3 * p.width;
    fill(i, inside ? (long long)(tile.picture + size_t(row) * 3 * p.width + column) : -1LL);
  }
}

// Filter Q planes horizontally: make(place, out) gives the planes' values at a place of the tile with its border;
// `rows` takes the tile's columns of all rows.
template <int Q, class Make>
__device__ __forceinline__ void filter_rows(float (*rows)[kTall][kColumns], Make make) {
  constexpr int kRuns = kPixels / kRun;
  for (int item = threadIdx.x; item < kTall * 3 * kRuns; item += kThreads) {
    const int row = item / (3 * kRuns), channel = item % 3, first = (item % (3 * kRuns)) / 3 * kRun;
    float sum[kRun][Q] = {};
#pragma unroll
    for (int tap = 0; tap < kTaps + kRun - 1; ++tap) {
      float value[Q];
      make(row * kWide + channel + 3 * (first + tap), value);
#pragma unroll
      for (int j = 0; j < kRun; ++j)
        if (tap - j >= 0 && tap - j < kTaps)
#pragma unroll
          for (int q = 0; q < Q; ++q) sum[j][q] = fmaf(kWindow[tap - j], value[q], sum[j][q]);
    }
#pragma unroll
    for (int j = 0; j < kRun; ++j)
#pragma unroll
      for (int q = 0; q < Q; ++q) rows[q][row][channel + 3 * (first + j)] = sum[j][q];
  }
}

// Filter vertically: this thread's column, its kRun rows from `first`.
template <int Q>
__device__ __forceinline__ void filter_columns(const float (*rows)[kTall][kColumns], int column, int first,
                                               float (&out)[kRun][Q]) {
#pragma unroll
  for (int tap = 0; tap < kTaps + kRun - 1; ++tap)
#pragma unroll
    for (int q = 0; q < Q; ++q) {
      const float value = rows[q][first + tap][column];
#pragma unroll
      for (int j = 0; j < kRun; ++j)
        if (tap - j >= 0 && tap - j < kTaps) out[j][q] = fmaf(kWindow[tap - j], value, out[j][q]);
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kThreads) picture_losses(const Pictures p) {
  __shared__ float x[kTall * kWide], y[kTall * kWide], rows[4][kTall][kColumns];
  const Tile tile = tile_of_block(p);
  fill_tile(p, tile, [&](int i, long long at) {
    x[i] = at < 0 ? 0.0f : p.image[at];
    y[i] = at < 0 ? 0.0f : truth_at(p, size_t(at));
  });
  __syncthreads();
  filter_rows<4>(rows, [&](int i, float* value) {
    value[0] = x[i];
    value[1] = y[i];
    value[2] = x[i] * x[i] + y[i] * y[i];
    value[3] = x[i] * y[i];
  });
  __syncthreads();
  const int column = threadIdx.x % kColumns, first = threadIdx.x / kColumns * kRun;
  float mean[kRun][4] = {};
  filter_columns<4>(rows, column, first, mean);

  const size_t plane = size_t(p.views) * p.height * p.width * 3;
  float error = 0.0f, similarity = 0.0f;
#pragma unroll
  for (int j = 0; j < kRun; ++j) {
    const int row = tile.row + first + j;
    if (row >= p.height || tile.column + column >= 3 * p.width) continue;
    const int here = (first + j + kReach) * kWide + column + 3 * kReach;
    error += fabsf(x[here] - y[here]);
    const float mu = mean[j][0], nu = mean[j][1];
    const float product = mu * nu, squares = mu * mu + nu * nu;
    const float luminance = 2.0f * product + kC1, structure = 2.0f * (mean[j][3] - product) + kC2;
    const float brightness = squares + kC1, contrast = mean[j][2] - squares + kC2;
    const float scale = 1.0f / (brightness * contrast), value = luminance * structure * scale;
    similarity += value;
    const float of_power = -value / contrast, of_cross = 2.0f * luminance * scale;
    const float mixed = 2.0f * structure * scale - of_cross;
    const float own = -2.0f * (value / brightness + of_power);
    const size_t at = tile.picture + size_t(row) * 3 * p.width + tile.column + column;
    p.derivative[at] = mixed * nu + own * mu;
    p.derivative[plane + at] = of_power;
    p.derivative[2 * plane + at] = of_cross;
  }

  // the block's sums, always in the same order
  for (int step = 16; step > 0; step >>= 1) {
    error += __shfl_xor_sync(0xffffffffu, error, step);
    similarity += __shfl_xor_sync(0xffffffffu, similarity, step);
  }
  __shared__ float sums[2][kThreads / 32];
  if (threadIdx.x % 32 == 0) {
    sums[0][threadIdx.x / 32] = error;
    sums[1][threadIdx.x / 32] = similarity;
  }
  __syncthreads();
  if (threadIdx.x < 2) {
    float total = 0.0f;
    for (int w = 0; w < kThreads / 32; ++w) total += sums[threadIdx.x][w];
    const size_t block = (size_t(blockIdx.z) * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    p.partial[2 * block + threadIdx.x] = total;
  }
}

// The window is symmetric, so its adjoint is itself: dS/dx = E(of E x) + 2 x E(of E(x^2 + y^2)) + y E(of E(x y)).
extern "C" __global__ void __launch_bounds__(kThreads) picture_losses_backward(const Pictures p) {
  __shared__ float in[3][kTall * kWide], rows[3][kTall][kColumns];
  const Tile tile = tile_of_block(p);
  const size_t plane = size_t(p.views) * p.height * p.width * 3;
  fill_tile(p, tile, [&](int i, long long at) {
    for (int q = 0; q < 3; ++q) in[q][i] = at < 0 ? 0.0f : p.derivative[q * plane + size_t(at)];
  });
  __syncthreads();
  filter_rows<3>(rows, [&](int i, float* value) {
    for (int q = 0; q < 3; ++q) value[q] = in[q][i];
  });
  __syncthreads();
  const int column = threadIdx.x % kColumns, first = threadIdx.x / kColumns * kRun;
  float mean[kRun][3] = {};
  filter_columns<3>(rows, column, first, mean);
  const float g_error = p.g_sums[2 * blockIdx.z], g_similarity = p.g_sums[2 * blockIdx.z + 1];
#pragma unroll
  for (int j = 0; j < kRun; ++j) {
    const int row = tile.row + first + j;
    if (row >= p.height || tile.column + column >= 3 * p.width) continue;
    const size_t at = tile.picture + size_t(row) * 3 * p.width + tile.column + column;
    const float x = p.image[at], y = truth_at(p, at);
    const float sign = x > y ? 1.0f : x < y ? -1.0f : 0.0f;
    p.g_image[at] =
        g_error * sign + g_similarity * (mean[j][0] + 2.0f * x * mean[j][1] + y * mean[j][2]);
  }
}
