// Backward compositing: equations 10 to 14 of README.md; reference twin: autograd through the rasterizer
// `torch`. The same tiles, patches and lists as forward, walked back to front. Then equation 15, one thread a
// (pose, surfel).
//
// A warp's 32 pixels meet a surfel together, and each has an addend for each of 20 sums. They are summed
// before memory is touched, and not by shuffles, of which one surfel would need a hundred: the pixels leave
// eight numbers each in shared memory, and once four surfels wait there, eight lanes a surfel add up four pixels
// each, in registers. Only the last three of the five halvings are shuffles.
//
// For measuring, until one is chosen: BACKWARD_FORM 0 is that, 1 is moments.h, with BACKWARD_GROUP (8 or 4) waiting
// surfels, BACKWARD_MATRIX 1 products with colours by tensor cores (2: fine parts made once a patch), BACKWARD_RED 1 vector
// reductions, BACKWARD_RESIDENT blocks that the registers must suffice for (0: the compiler's choice).
#ifndef BACKWARD_FORM
#define BACKWARD_FORM 1
#endif
#ifndef BACKWARD_GROUP
#define BACKWARD_GROUP 8
#endif
#ifndef BACKWARD_MATRIX
#define BACKWARD_MATRIX 0
#endif
#ifndef BACKWARD_RED
#define BACKWARD_RED 1
#endif
#ifndef BACKWARD_RESIDENT
#define BACKWARD_RESIDENT 0
#endif
#if BACKWARD_RESIDENT
#define BACKWARD_BOUNDS 32 * kBlockWarps, BACKWARD_RESIDENT
#else
#define BACKWARD_BOUNDS 32 * kBlockWarps
#endif
#if BACKWARD_FORM
#include "backward_patches.h"
#else
#include "patches.h"
#endif

namespace {

#if !BACKWARD_FORM

// What is summed for a surfel of a view over its pixels. The centre's gradient is put together from the last
// five in project_backward_surfels.
struct alignas(16) Sums {
  float ux, uy, vx, vy, w0, wx, wy, z, opacity, normal[3], rgb[3];
  float u, v, s;           // sums of PairGradient's
  float floor_x, floor_y;  // sums of floor dx, floor dy
};
constexpr int kSums = sizeof(Sums) / sizeof(float);
static_assert(kSums == kGradients, "rows of surfel_gradients");

constexpr int kGroup = 4;            // surfels that wait
constexpr int kLanes = 32 / kGroup;  // lanes that sum one of them: a row of the patch
static_assert(kLanes == kPatchWidth, "a lane sums one column of the patch");

// A warp's waiting surfels.
struct Waiting {
  float4 planes[kGroup][32];  // per pixel: u, v, w, s of PairGradient
  float4 rest[kGroup][32];    // floor, omega, opacity, z
  float4 colour[32];          // of the pixel's Upstream: rgb, normal[0]
  float2 normal[32];          // normal[1], normal[2]
  float2 first[kGroup];       // from the surfel's centre to the patch's first pixel
  int index[kGroup];
};

// Sum K values over 2 kStep lanes by recursive halving: at each step a lane hands half of its values to its
// partner and takes the other half of the partner's. Leaves `left` values, the first one number `first`.
template <int K, int kStep>
struct Halving {
  static constexpr int kLow = (K + 1) / 2;
  static constexpr int kLeft = Halving<kLow, kStep / 2>::kLeft;
  static __device__ __forceinline__ void sum(float* values, int& first, int& left) {
    const bool upper = threadIdx.x & kStep;
#pragma unroll
    for (int i = 0; i < kLow; ++i) {
      const float low = values[i], high = i + kLow < K ? values[i + kLow] : 0.0f;
      values[i] = (upper ? high : low) + __shfl_xor_sync(kAllLanes, upper ? low : high, kStep);
    }
    first += upper ? kLow : 0;
    left = upper ? K - kLow : kLow;
    Halving<kLow, kStep / 2>::sum(values, first, left);
  }
};
template <int K>
struct Halving<K, 0> {
  static constexpr int kLeft = K;
  static __device__ __forceinline__ void sum(float*, int&, int&) {}
};

// Add the waiting surfels' sums to memory.
template <bool kNormal>
__device__ __forceinline__ void flush(const Launch& p, int view, const Waiting& waiting,
                                      int count) {
  __syncwarp();
  const int lane = threadIdx.x & 31, slot = lane / kLanes, column = lane % kLanes;
  Sums sums{};
  const bool full = slot < count;
  if (full) {
    const float2 start = waiting.first[slot];
    const float dx = float(column) + start.x;
    float floor = 0.0f;
#pragma unroll
    for (int row = 0; row < kPatchHeight; ++row) {
      const int at = row * kPatchWidth + column;
      const float dy = float(row) + start.y;
      const float4 a = waiting.planes[slot][at], b = waiting.rest[slot][at], c = waiting.colour[at];
      sums.u += a.x;
      sums.v += a.y;
      sums.w0 += a.z;
      sums.s += a.w;
      sums.uy = fused(a.x, dy, sums.uy);
      sums.vy = fused(a.y, dy, sums.vy);
      sums.wy = fused(a.w, dy, sums.wy);
      floor += b.x;
      sums.floor_y = fused(b.x, dy, sums.floor_y);
      sums.opacity += b.z;
      sums.z += b.w;
      sums.rgb[0] = fused(b.y, c.x, sums.rgb[0]);
      sums.rgb[1] = fused(b.y, c.y, sums.rgb[1]);
      sums.rgb[2] = fused(b.y, c.z, sums.rgb[2]);
      if (kNormal) {
        const float2 n = waiting.normal[at];
        sums.normal[0] = fused(b.y, c.w, sums.normal[0]);
        sums.normal[1] = fused(b.y, n.x, sums.normal[1]);
        sums.normal[2] = fused(b.y, n.y, sums.normal[2]);
      }
    }
    sums.ux = sums.u * dx;
    sums.vx = sums.v * dx;
    sums.wx = sums.s * dx;
    sums.floor_x = floor * dx;
  }
  int first = 0, left = kSums;
  float* values = &sums.ux;
  Halving<kSums, kLanes / 2>::sum(values, first, left);
  if (full) {
    float* out =
        p.surfel_gradients + kGradients * (size_t(view) * p.surfels + waiting.index[slot]) + first;
#pragma unroll
    for (int i = 0; i < Halving<kSums, kLanes / 2>::kLeft; ++i)
      if (i < left) atomicAdd(out + i, values[i]);
  }
  __syncwarp();
}

template <bool kNormal, bool kDepth>
__device__ __forceinline__ void backward_patch(const Launch& p, int tile, int patch, const uint32* list,
                                               int stride, int count, Staged* block, Waiting* waitings) {
  if (count == 0) return;
  const PatchPixel pixel = patch_pixel(p, tile, patch);
  const Stage staged(block);
  Waiting& waiting = waitings[threadIdx.x >> 5];
  const int lane = threadIdx.x & 31;
  int after = 0, median_place = -1;
  float transmittance = 1.0f, reference = 1.0f;
  Upstream<float> up{};
  if (pixel.inside) {
    const size_t at = pixel.at;
    const int2 places = p.pixel_places[at];
    const float4 sums = p.pixel_sums[at];
    after = places.x;
    median_place = places.y;
    transmittance = sums.x;
    reference = sums.w;
    float g_normal[3] = {}, g_rgb[3] = {};
    for (int c = 0; c < 3; ++c) {
      if (p.g_rgb) g_rgb[c] = p.g_rgb[3 * at + c];
      if (kNormal) g_normal[c] = p.g_normal_map ? p.g_normal_map[3 * at + c] : 0.0f;
    }
    up = upstream(g_rgb, p.g_alpha ? p.g_alpha[at] : 0.0f, g_normal,
                  kDepth && p.g_depth ? p.g_depth[at] : 0.0f,
                  kDepth && p.g_median_depth ? p.g_median_depth[at] : 0.0f,
                  kDepth && p.g_distortion ? p.g_distortion[at] : 0.0f, p.background + 3 * pixel.view,
                  1.0f - transmittance, p.depth[at], sums.y, sums.z);
  }
  waiting.colour[lane] = make_float4(up.rgb[0], up.rgb[1], up.rgb[2], up.normal[0]);
  if (kNormal) waiting.normal[lane] = make_float2(up.normal[1], up.normal[2]);
  int last = after;  // the warp's largest
  for (int step = 16; step > 0; step >>= 1) last = max(last, __shfl_xor_sync(kAllLanes, last, step));
  float suffix = 0.0f;
  const float scale = float(kDistortionScale) * reciprocal(reference);
  int waits = 0;

  const int start = (last - 1) & ~31;  // -32 where there is nothing
  uint32 upcoming = list_entry(list, stride, start + lane, last);  // a stage ahead, so that nobody waits for it
  for (int base = start; base >= 0; base -= 32) {
    const uint32 entry = upcoming;
    upcoming = list_entry(list, stride, base - 32 + lane, last);
    const int staged_count = stage(p, pixel, entry, base + lane, block);
    for (int i = staged_count - 1; i >= 0; --i) {
      Record record = staged.record(i);
      const Surfel<float>& surfel = record.surfel;
      const int2 name = staged.name(i);
      const Hit<float, bool> hit = intersect<bool>(surfel, pixel.x + surfel.x, pixel.y + surfel.y);
      const float offset = pair_offset(surfel, hit);
      const float depth = surfel.z + offset;
      const Weight<float, bool> weight = weigh(surfel, hit, depth, p.near);
      const bool counts = weight.counts && name.y < after;
      if (!__any_sync(kAllLanes, counts)) continue;
      PairGradient<float> g{};
      if (counts) {
        staged.complete(i, record);
        transmittance = transmittance * reciprocal(1.0f - weight.alpha);
        const float m = relative_m((surfel.z - reference) + offset, depth, 1.0f, scale);
        const float h = weight_gradient<kNormal, kDepth>(up, surfel, record.rgb, depth, m);
        g = pair_gradient<kDepth>(up, surfel, hit, weight, depth, m, h, transmittance, suffix,
                                  name.y == median_place, float(kDistortionScale));
        suffix = fused(g.omega, h, suffix);
      }
      waiting.planes[waits][lane] = make_float4(g.u, g.v, g.w, g.s);
      waiting.rest[waits][lane] = make_float4(g.floor, g.omega, g.opacity, g.z);
      if (lane == 0) {
        waiting.first[waits] = make_float2(surfel.x, surfel.y);
        waiting.index[waits] = name.x;
      }
      if (++waits == kGroup) {
        flush<kNormal>(p, pixel.view, waiting, waits);
        waits = 0;
      }
    }
    __syncwarp();
  }
  if (waits) flush<kNormal>(p, pixel.view, waiting, waits);
}

#endif

template <bool kNormal, bool kDepth>
__device__ __forceinline__ void backward_listed(const Launch& p) {
#if BACKWARD_FORM
  __shared__ Bench benches[kBlockWarps];
#else
  __shared__ Staged staged[kBlockWarps];
  __shared__ Waiting waiting[kBlockWarps];
#endif
  const Work work = patch_work(p);
  const int begin = p.offsets[work.tile], end = p.offsets[work.tile + 1];
  if (end > p.capacity) return;
#if BACKWARD_FORM
  backward_patch<kNormal, kDepth>(p, work.tile, work.patch, p.entries + begin, 1, end - begin, benches);
#else
  backward_patch<kNormal, kDepth>(p, work.tile, work.patch, p.entries + begin, 1, end - begin, staged,
                                  waiting);
#endif
}

}  // namespace

extern "C" __global__ void __launch_bounds__(BACKWARD_BOUNDS) backward_colour(const Launch p) {
  backward_listed<false, false>(p);
}
extern "C" __global__ void __launch_bounds__(BACKWARD_BOUNDS) backward_normal(const Launch p) {
  backward_listed<true, false>(p);
}
extern "C" __global__ void __launch_bounds__(BACKWARD_BOUNDS) backward_depth(const Launch p) {
  backward_listed<false, true>(p);
}
extern "C" __global__ void __launch_bounds__(BACKWARD_BOUNDS) backward_all(const Launch p) {
  backward_listed<true, true>(p);
}

// In blocks of four warps, two patches each in turn, for the shared memory of smaller GPUs.
extern "C" __global__ void __launch_bounds__(128) backward_spilled_tiles(const Launch p) {
#if BACKWARD_FORM
  constexpr int kWarps = 2;  // that draw, for shared memory
  __shared__ Bench benches[kWarps];
#else
  constexpr int kWarps = 4;
  __shared__ Staged staged[kWarps];
  __shared__ Waiting waiting[kWarps];
#endif
  __shared__ uint64 chunk[kSortChunk];
  __shared__ int counter;
  uint64* keys = p.keys + size_t(blockIdx.x) * p.surfels;
  const int tiles = p.views * p.tiles_x * p.tiles_y;
  for (int tile = first_spilled_tile(p) + blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int count = build_list(p, tile, keys, &counter, chunk);
#if BACKWARD_FORM
    if (threadIdx.x < 32 * kWarps)
      for (int patch = threadIdx.x >> 5; patch < kPatches; patch += kWarps)
        backward_patch<true, true>(p, tile, patch, reinterpret_cast<const uint32*>(keys), 2, count, benches);
#else
    for (int patch = threadIdx.x >> 5; patch < kPatches; patch += kWarps)
      backward_patch<true, true>(p, tile, patch, reinterpret_cast<const uint32*>(keys), 2, count, staged,
                                 waiting);
#endif
    __syncthreads();  // before the next tile's list overwrites this one
  }
}

namespace {

constexpr int kReturnThreads = 128;  // of a block of project_backward_surfels; RETURN_THREADS of cuda_rasterizer.py
constexpr int kReturnResident = 4;   // blocks of a multiprocessor that the registers must suffice for
constexpr int kWorld = 12;           // gradients of a surfel's mean, tangents and normal

// What a warp of project_backward_surfels keeps, a lane a surfel. Sums lie here and not in registers, of which the
// projection takes all that there are; they are read by other lanes, so that neighbours write neighbouring words.
struct Returned {
  double sums[32][kWorld + 1];  // one more, so that lanes meet different banks
  Camera<double> camera;
  float colour[32 * 3];
};

// Write numbers `kFirst` to `kFirst + kEach` of the sums of `lanes` surfels, which lie one after another in `out`.
template <int kFirst, int kEach>
__device__ __forceinline__ void write_sums(const Returned& warp, int lanes, float* out) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int at = 32 * i + lane;
    if (at < kEach * lanes) out[at] = float(warp.sums[at / kEach][kFirst + at % kEach]);
  }
}

}  // namespace

// Equation 15, summed over the views of each pose, in their order. One thread a (pose, surfel).
extern "C" __global__ void __launch_bounds__(kReturnThreads, kReturnResident)
    project_backward_surfels(const Launch p) {
  __shared__ Returned warps[kReturnThreads / 32];
  const int first = blockIdx.x * kReturnThreads + (threadIdx.x & ~31u), pose = blockIdx.y;  // of the warp
  if (first >= p.surfels) return;
  Returned& warp = warps[threadIdx.x >> 5];
  const int lane = threadIdx.x & 31, lanes = min(p.surfels - first, 32);
  const int n = first + min(lane, lanes - 1);  // lanes beyond the surfels repeat the last and write nothing
  const size_t posed = size_t(pose) * p.surfels + n;
  double* const world = warp.sums[lane];
  for (int i = 0; i < kWorld; ++i) world[i] = 0.0;
  float g_opacity = 0.0f;
  for (int base = 0; base < p.views; base += 32) {
    const bool of_pose = base + lane < p.views && p.pose_of_view[base + lane] == pose;
    for (uint32 set = __ballot_sync(kAllLanes, of_pose); set; set &= set - 1) {
      const int view = base + __ffs(int(set)) - 1;
      const size_t at = size_t(view) * p.surfels + n;
      // all that is read, at once and whether it is needed or not, so that memory's answer is waited for once
      const float number = camera_number(p, view, lane);
      const bool visible = p.visible[at];
      Sums sums;
      const float4* in = reinterpret_cast<const float4*>(p.surfel_gradients + kGradients * at);
#pragma unroll
      for (int i = 0; i < kSums / 4; ++i) reinterpret_cast<float4*>(&sums)[i] = in[i];
      const float4* record = p.records + kRecord * at;
      const float4 plane = record[1], rest = record[2], last = record[3];
      float mean[3], tangents[6], normal[3];
      for (int i = 0; i < 3; ++i) mean[i] = p.mean[3 * posed + i];
      for (int i = 0; i < 6; ++i) tangents[i] = p.tangents[6 * posed + i];
      for (int i = 0; i < 3; ++i) normal[i] = p.normal[3 * posed + i];
      widen_camera(number, warp.camera);  // of the last view's nobody reads any more since its colours
      SurfelGradient<float> g{};
      if (visible) {
        const Surfel<float> surfel = unpack(make_float4(0.0f, 0.0f, 0.0f, 0.0f), plane, rest, last).surfel;
#if BACKWARD_FORM
        g = surfel_gradient(surfel, sums);
#else
        // the centre moves d = pixel - centre of every pair
        g = {-fused(surfel.ux, sums.u, fused(surfel.vx, sums.v, fused(surfel.wx, sums.s, sums.floor_x))),
             -fused(surfel.uy, sums.u, fused(surfel.vy, sums.v, fused(surfel.wy, sums.s, sums.floor_y))),
             sums.ux, sums.uy, sums.vx, sums.vy, sums.w0, sums.wx, sums.wy, sums.z, sums.opacity,
             {sums.normal[0], sums.normal[1], sums.normal[2]}, {sums.rgb[0], sums.rgb[1], sums.rgb[2]}};
#endif
        project_backward(warp.camera, mean, tangents, normal, g, world, world + 3, world + 9);
      }
      for (int c = 0; c < 3; ++c) warp.colour[3 * lane + c] = g.rgb[c];
      g_opacity += g.opacity;
      __syncwarp();
      float* colour = p.g_colour + 3 * (size_t(view) * p.surfels + first);
#pragma unroll
      for (int i = lane; i < 3 * 32; i += 32)
        if (i < 3 * lanes) colour[i] = warp.colour[i];
    }
  }
  __syncwarp();
  const size_t row = size_t(pose) * p.surfels + first;
  write_sums<0, 3>(warp, lanes, p.g_mean + 3 * row);
  write_sums<3, 6>(warp, lanes, p.g_tangents + 6 * row);
  write_sums<9, 3>(warp, lanes, p.g_normal + 3 * row);
  if (lane >= lanes) return;
  if (p.poses == 1) p.g_opacity[n] = g_opacity;
  else if (g_opacity != 0.0f) atomicAdd(p.g_opacity + n, g_opacity);
}
