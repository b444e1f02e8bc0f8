// Backward compositing: equations 10 to 14 of README.md; reference twin: autograd through the rasterizer
// `torch`. The same tiles, patches and lists as forward, walked back to front. Then equation 15, one thread a
// (pose, surfel).
//
// A pixel's addends to dL/d ux ... vy are products of the surfel's own ux ... vy, of d and of one number p = g q^2: so
// what is summed are moments of p, and what of them becomes a surfel's gradient is left to project_backward_surfels.
// Likewise the sums of e q on the plane and of e on the floor stand for those of z and w0.
#include "backward_patches.h"

namespace {

template <bool kNormal, bool kDepth>
__device__ __forceinline__ void backward_listed(const Launch& p) {
  __shared__ Bench benches[kBlockWarps];
  const Work work = patch_work(p);
  const int begin = p.offsets[work.tile], end = p.offsets[work.tile + 1];
  if (end > p.capacity) return;
  backward_patch<kNormal, kDepth>(p, work.tile, work.patch, p.entries + begin, 1, end - begin, benches);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(32 * kBlockWarps) backward_colour(const Launch p) {
  backward_listed<false, false>(p);
}
extern "C" __global__ void __launch_bounds__(32 * kBlockWarps) backward_normal(const Launch p) {
  backward_listed<true, false>(p);
}
extern "C" __global__ void __launch_bounds__(32 * kBlockWarps) backward_depth(const Launch p) {
  backward_listed<false, true>(p);
}
extern "C" __global__ void __launch_bounds__(32 * kBlockWarps) backward_all(const Launch p) {
  backward_listed<true, true>(p);
}

// In blocks of four warps, two patches each in turn: for no more is there shared memory.
extern "C" __global__ void __launch_bounds__(128) backward_spilled_tiles(const Launch p) {
  constexpr int kWarps = 4;
  __shared__ Bench benches[kWarps];
  __shared__ uint64 chunk[kSortChunk];
  __shared__ int counter;
  static_assert(sizeof(benches) + sizeof(chunk) + sizeof(counter) <= 48 << 10, "what a block may have");
  uint64* keys = p.keys + size_t(blockIdx.x) * p.surfels;
  const int tiles = p.views * p.tiles_x * p.tiles_y;
  for (int tile = first_spilled_tile(p) + blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int count = build_list(p, tile, keys, &counter, chunk);
#pragma unroll 1
    for (int patch = threadIdx.x >> 5; patch < kPatches; patch += kWarps)
      backward_patch<true, true>(p, tile, patch, reinterpret_cast<const uint32*>(keys), 2, count, benches);
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
  float shares = 0.0f;  // opacity times its gradient
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
      const float4 plane = record[1], rest = record[2];
      float mean[3], tangents[6], normal[3];
      for (int i = 0; i < 3; ++i) mean[i] = p.mean[3 * posed + i];
      for (int i = 0; i < 6; ++i) tangents[i] = p.tangents[6 * posed + i];
      for (int i = 0; i < 3; ++i) normal[i] = p.normal[3 * posed + i];
      widen_camera(number, warp.camera);  // of the last view's nobody reads any more since its colours
      SurfelGradient<float> g{};
      if (visible) {
        const Surfel<float> surfel = unpack(make_float4(0.0f, 0.0f, 0.0f, 0.0f), plane, rest,
                                            make_float4(0.0f, 0.0f, 0.0f, 0.0f)).surfel;
        g = surfel_gradient(surfel, sums);
        project_backward(warp.camera, mean, tangents, normal, g, world, world + 3, world + 9);
      }
      for (int c = 0; c < 3; ++c) warp.colour[3 * lane + c] = g.rgb[c];
      shares += sums.share;  // 0 where the surfel is not seen
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
  const float g_opacity = shares == 0.0f ? 0.0f : shares / p.opacity[n];
  if (p.poses == 1) p.g_opacity[n] = g_opacity;
  else if (g_opacity != 0.0f) atomicAdd(p.g_opacity + n, g_opacity);
}
