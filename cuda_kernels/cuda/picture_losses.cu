// Mean absolute error and structural similarity of pictures in one pass, and their gradient in another.
// Reference twins: surfhead/maths/metrics.py (ssim: 11x11 Gaussian window of sigma 1.5, zero padding) and the
// regularizer `l1`. Pictures are (views, height, width, 3); a row is handled as 3 width interleaved columns, in
// which horizontal neighbours lie 3 apart.
//
// What bounds both kernels is the number of instructions, of which 22 multiply-adds a plane and number are the two
// filters. So the vertical one comes first, a thread a column, from the pictures into registers: its border costs loads
// alone. The horizontal one takes twelve columns of a row a thread from shared memory, four numbers a load. What it
// finds goes through shared memory once more, so that a warp writes neighbouring numbers.

namespace {

using uint8 = unsigned char;

constexpr int kReach = 5;  // of the window
constexpr int kTaps = 2 * kReach + 1;
constexpr int kBorder = 3 * kReach;
constexpr int kThreads = 256;  // one a column, with the border
constexpr int kResident = 3;   // blocks of a multiprocessor that the registers must suffice for
constexpr int kRun = 12;       // columns that a thread filters horizontally
constexpr int kColumns = 216, kGroups = kColumns / kRun;  // of a block: 72 pixels
constexpr int kWide = kColumns + 2 * kBorder;
constexpr int kPitch = kColumns + 32;  // of a row in shared memory: its next row's banks go on where it ends
constexpr int kParts = (kRun + 2 * kBorder + 3) / 4;  // float4s that a run looks at
constexpr int kBeyond = kBorder + kRun;  // columns beyond the picture, of zeros, that its last run looks at
static_assert(kWide <= kThreads && kColumns % kRun == 0, "a thread a column");
static_assert(kColumns - kRun + 4 * kParts <= kPitch, "the last run's float4s are of its row");
constexpr int kRows = 12;  // of a block, forward
constexpr int kBatch = 8;  // rows that backward holds at a time
constexpr int kAhead = 6;  // rows that forward loads before they are needed

constexpr float kC1 = 1e-4f, kC2 = 9e-4f;

struct Pictures {
  int views, height, width;
  int bytes;    // whether the truth is uint8 rather than float
  int batches;  // of kBatch rows that a block of backward takes
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

__device__ __forceinline__ float unit(uint8 truth) { return float(truth) * (1.0f / 255.0f); }
__device__ __forceinline__ float unit(float truth) { return truth; }

// Filter the kRun columns from the kBorder-th of `row` on, which begins at a multiple of 16 bytes.
__device__ __forceinline__ void filter_run(const float* row, float (&out)[kRun]) {
#pragma unroll
  for (int j = 0; j < kRun; ++j) out[j] = 0.0f;
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    const float4 four = reinterpret_cast<const float4*>(row)[part];
    const float values[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < kRun; ++j) {
        const int way = 4 * part + i - j;  // in columns, from the window's first tap
        if (way >= 0 && way % 3 == 0 && way < 3 * kTaps) out[j] = fmaf(kWindow[way / 3], values[i], out[j]);
      }
  }
}

__device__ __forceinline__ void store_run(const float (&run)[kRun], float* row) {
#pragma unroll
  for (int part = 0; part < kRun / 4; ++part)
    reinterpret_cast<float4*>(row)[part] =
        make_float4(run[4 * part], run[4 * part + 1], run[4 * part + 2], run[4 * part + 3]);
}

// Filter this thread's column vertically, kRows rows from `first` on, into rows[plane][row][thread]: the planes are x,
// y, x^2 + y^2 and x y. Returns the sum of |x - y| over these rows.
template <class Truth>
__device__ __forceinline__ float filter_column(const Pictures& p, int first, int column,
                                               float (*rows)[kRows][kPitch]) {
  constexpr int kTall = kRows + 2 * kReach;
  const bool inside = column >= 0 && column < 3 * p.width;
  const int from = kReach - first, to = inside ? p.height + from : from;  // of the kTall rows, those in the picture
  const long long stride = 3LL * p.width, start = (blockIdx.z * (long long)p.height - from) * stride + column;
  const float* image = p.image + start;
  const auto* truth = static_cast<const Truth*>(p.truth) + start;
  float x[kTall], y[kTall], sum[kRows][4] = {}, error = 0.0f;
#pragma unroll
  for (int i = -kAhead; i < kTall; ++i) {
    if (i + kAhead < kTall) {
      const bool there = i + kAhead >= from && i + kAhead < to;
      x[i + kAhead] = there ? *image : 0.0f;
      y[i + kAhead] = there ? unit(*truth) : 0.0f;
      image += stride;
      truth += stride;
    }
    if (i < 0) continue;
    const float value[4] = {x[i], y[i], fmaf(x[i], x[i], y[i] * y[i]), x[i] * y[i]};
    if (i >= kReach && i < kReach + kRows) error += fabsf(x[i] - y[i]);
#pragma unroll
    for (int j = 0; j < kRows; ++j)
      if (i >= j && i - j < kTaps)
#pragma unroll
        for (int q = 0; q < 4; ++q) sum[j][q] = fmaf(kWindow[i - j], value[q], sum[j][q]);
    if (i >= 2 * kReach)
#pragma unroll
      for (int q = 0; q < 4; ++q) rows[q][i - 2 * kReach][threadIdx.x] = sum[i - 2 * kReach][q];
  }
  return error;
}

// The similarity from the four filtered planes, of which the first three become its derivatives.
__device__ __forceinline__ float similarity_of(float& x, float& y, float& squared, float cross) {
  const float product = x * y, squares = fmaf(x, x, y * y);
  const float luminance = fmaf(2.0f, product, kC1), structure = fmaf(2.0f, cross - product, kC2);
  const float brightness = squares + kC1, contrast = squared - squares + kC2;
  const float scale = 1.0f / (brightness * contrast), value = luminance * structure * scale;
  const float of_power = -value * (scale * brightness), of_cross = 2.0f * luminance * scale;
  const float mixed = fmaf(2.0f * structure, scale, -of_cross);
  const float own = -2.0f * fmaf(value, scale * contrast, of_power);
  x = fmaf(mixed, y, own * x);
  y = of_power;
  squared = of_cross;
  return value;
}

// What backward's filter of a column holds.
struct Column {
  const float* next[3];  // the derivatives in the next row
  int row, end;          // of the next row; the end of the rows that there are
  float state[3][kTaps - 1];  // what outputs that are not complete have so far, the nearest to completion first
};

// Let a column take in kCount rows; take(i, out) gets what each completes.
template <int kCount, class Take>
__device__ __forceinline__ void take_in_rows(Column& column, long long stride, Take take) {
  float value[kCount][3];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const bool there = unsigned(column.row + i) < unsigned(column.end);
#pragma unroll
    for (int q = 0; q < 3; ++q) {
      value[i][q] = there ? *column.next[q] : 0.0f;
      column.next[q] += stride;
    }
  }
  column.row += kCount;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    float out[3];
#pragma unroll
    for (int q = 0; q < 3; ++q) {
      float(&state)[kTaps - 1] = column.state[q];
      out[q] = fmaf(kWindow[kTaps - 1], value[i][q], state[0]);
#pragma unroll
      for (int k = 0; k < kTaps - 2; ++k) state[k] = fmaf(kWindow[kTaps - 2 - k], value[i][q], state[k + 1]);
      state[kTaps - 2] = kWindow[0] * value[i][q];
    }
    take(i, out);
  }
}

// The gradient at this thread's column, `rows` rows from the place `at` on, from the three filtered planes.
template <class Truth>
__device__ __forceinline__ void write_gradient(const Pictures& p, size_t at, int rows,
                                               const float (*means)[kBatch][kColumns]) {
  const float g_error = p.g_sums[2 * blockIdx.z], g_similarity = p.g_sums[2 * blockIdx.z + 1];
  const size_t stride = size_t(3) * p.width;
  const float* image = p.image + at;
  const auto* truth = static_cast<const Truth*>(p.truth) + at;
  float* to = p.g_image + at;
  float x[kBatch], y[kBatch];
#pragma unroll
  for (int i = 0; i < kBatch; ++i) {
    x[i] = i < rows ? *image : 0.0f;
    y[i] = i < rows ? unit(*truth) : 0.0f;
    image += stride;
    truth += stride;
  }
#pragma unroll
  for (int i = 0; i < kBatch; ++i) {
    const float sign = x[i] > y[i] ? 1.0f : x[i] < y[i] ? -1.0f : 0.0f;
    const float by_power = means[1][i][threadIdx.x], by_cross = means[2][i][threadIdx.x];
    const float by_x = fmaf(2.0f * x[i], by_power, fmaf(y[i], by_cross, means[0][i][threadIdx.x]));
    if (i < rows) *to = fmaf(g_similarity, by_x, g_error * sign);
    to += stride;
  }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kThreads, kResident) picture_losses(const Pictures p) {
  alignas(16) __shared__ float rows[4][kRows][kPitch];
  const int first = blockIdx.y * kRows, left = blockIdx.x * kColumns;
  float error = 0.0f, similarity = 0.0f;
  const int column = left - kBorder + int(threadIdx.x);
  if (threadIdx.x < kWide && column < 3 * p.width + kBeyond) {
    error = p.bytes ? filter_column<uint8>(p, first, column, rows) : filter_column<float>(p, first, column, rows);
    if (threadIdx.x < kBorder || threadIdx.x >= kBorder + kColumns) error = 0.0f;
  }
  __syncthreads();

  // there are fewer runs than threads: other warps have none in the next block
  const size_t block = (size_t(blockIdx.z) * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const int item = (threadIdx.x + 32 * unsigned(block)) % kThreads;
  const int row = item / kGroups, start = item % kGroups * kRun;
  float found[4][kRun];
  const bool has_run = row < kRows && first + row < p.height && left + start < 3 * p.width;
  if (has_run) {
#pragma unroll
    for (int q = 0; q < 4; ++q) filter_run(&rows[q][row][start], found[q]);
#pragma unroll
    for (int j = 0; j < kRun; ++j) {
      const float value = similarity_of(found[0][j], found[1][j], found[2][j], found[3][j]);
      if (left + start + j < 3 * p.width) similarity += value;
    }
  }
  __syncthreads();
  if (has_run)
#pragma unroll
    for (int q = 0; q < 3; ++q) store_run(found[q], &rows[q][row][start]);
  __syncthreads();
  const int own = left + int(threadIdx.x);
  if (threadIdx.x < kColumns && own < 3 * p.width) {
    const size_t stride = size_t(3) * p.width, plane = stride * p.height * p.views;
    float* to = p.derivative + (size_t(blockIdx.z) * p.height + first) * stride + own;
#pragma unroll
    for (int i = 0; i < kRows; ++i, to += stride) {
      if (first + i >= p.height) break;
      for (int q = 0; q < 3; ++q) to[q * plane] = rows[q][i][threadIdx.x];
    }
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
    p.partial[2 * block + threadIdx.x] = total;
  }
}

// The window is symmetric, so its adjoint is itself: dS/dx = E(of E x) + 2 x E(of E(x^2 + y^2)) + y E(of E(x y)).
extern "C" __global__ void __launch_bounds__(kThreads, kResident)
    picture_losses_backward(const Pictures p) {
  alignas(16) __shared__ float rows[3][kBatch][kPitch + 32], means[3][kBatch][kColumns];
  static_assert(kThreads <= kPitch + 32, "every thread has a column");
  const int first = blockIdx.y * kBatch * p.batches, left = blockIdx.x * kColumns;
  const int end = min(first + kBatch * p.batches, p.height), own = left + int(threadIdx.x);
  const bool writes = threadIdx.x < kColumns && own < 3 * p.width;
  const long long stride = 3LL * p.width, picture = blockIdx.z * stride * p.height;
  const unsigned turn = 32 * (blockIdx.x + blockIdx.y);  // in other blocks, other warps have fewer runs
  Column column{};
  for (int q = 0; q < 3; ++q)
    column.next[q] = p.derivative + (q * p.views * p.height + first - kReach) * stride + picture + own - kBorder;
  column.row = first - kReach;
  column.end = own >= kBorder && own - kBorder < 3 * p.width ? p.height : 0;
  const bool looked_at = own - kBorder < 3 * p.width + kBeyond;
  if (looked_at) take_in_rows<2 * kReach>(column, stride, [](int, const float*) {});
  for (int start = first; start < end; start += kBatch) {
    if (looked_at)
      take_in_rows<kBatch>(column, stride, [&](int i, const float* out) {
        for (int q = 0; q < 3; ++q) rows[q][i][threadIdx.x] = out[q];
      });
    __syncthreads();
    for (int item = (threadIdx.x + turn) % kThreads; item < 3 * kBatch * kGroups; item += kThreads) {
      const int row = item / kGroups, at = item % kGroups * kRun;  // a row of the three planes', one after another
      if (left + at >= 3 * p.width) continue;
      float found[kRun];
      filter_run(&rows[0][0][0] + row * (kPitch + 32) + at, found);
      store_run(found, &means[0][0][0] + row * kColumns + at);
    }
    __syncthreads();
    if (writes) {
      const size_t at = size_t(picture + start * stride + own);
      const int count = end - start;
      if (p.bytes)
        write_gradient<uint8>(p, at, count, means);
      else
        write_gradient<float>(p, at, count, means);
    }
  }
}
