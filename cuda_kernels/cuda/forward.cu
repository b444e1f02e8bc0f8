// Forward compositing: equations 3 and 6 to 9 of README.md; reference twin: the compositing loop of the
// rasterizer `torch`. One block a tile; each warp draws its own patch of 8x4 pixels and walks only the
// entries whose footprint touches that patch, without waiting for the other warps.
#include "patches.h"

namespace {

__device__ __forceinline__ void composite_patch(const Launch& p, int tile, int patch, const uint32* list,
                                                int stride, int count, Staged* block) {
  constexpr int kRun = 8;  // surfels between two looks whether every pixel is done
  const PatchPixel pixel = patch_pixel(p, tile, patch);
  const Stage staged(block);
  Pixel<float> state{};
  state.transmittance = 1.0f;
  // A pixel that takes no more has no number for a place: no pair counts there, without a question in the loop.
  const float nowhere = __uint_as_float(0x7fffffffu);
  float x = pixel.inside ? pixel.x : nowhere;
  int after = count, median_place = -1;
  // the distortion is counted from the depth of the pixel's first pair; m = scale (depth - reference)/depth
  float reference = 1.0f, scale = 0.0f;

  const int lane = threadIdx.x & 31;
  uint32 upcoming = list_entry(list, stride, lane, count);  // a stage ahead, so that nobody waits for it
  for (int base = 0; base < count; base += 32) {
    if (!__any_sync(kAllLanes, x == x)) break;
    const uint32 entry = upcoming;
    upcoming = list_entry(list, stride, base + 32 + lane, count);
    const int staged_count = stage(p, pixel, entry, base + lane, block);
    int median = -1;  // of this stage's pairs
    for (int first = 0; first < staged_count; first += kRun) {
      const int end = min(first + kRun, staged_count);
      for (int i = first; i < end; ++i) {
        Record record = staged.record(i);
        const Surfel<float>& surfel = record.surfel;
        const Hit<float, bool> hit = intersect<bool>(surfel, x + surfel.x, pixel.y + surfel.y);
        const float offset = surfel.z_low + depth_offset(surfel, hit);
        const float depth = surfel.z + offset;
        const Weight<float, bool> weight = weigh(surfel, hit, depth, p.near);
        if (!weight.counts) continue;
        if (state.transmittance - weight.alpha * state.transmittance < float(kTransmittanceMin)) {
          x = nowhere;
          after = staged.name(i).y;
          continue;
        }
        if (scale == 0.0f) {  // the first
          reference = depth;
          scale = float(kDistortionScale) * reciprocal(depth);
        }
        const float m = relative_m((surfel.z - reference) + offset, depth, 1.0f, scale);
        if (state.transmittance > float(kMedianTransmittance)) median = i;
        staged.complete(i, record);
        composite(state, surfel, record.rgb, weight.alpha, depth, m, true);
      }
      if (!__any_sync(kAllLanes, x == x)) break;
    }
    if (median >= 0) median_place = staged.name(median).y;
    __syncwarp();
  }
  if (!pixel.inside) return;

  const float* background = p.background + 3 * pixel.view;
  const float alpha = 1.0f - state.transmittance;
  const size_t at = pixel.at;
  for (int c = 0; c < 3; ++c) {
    p.rgb[3 * at + c] = fused(state.transmittance, background[c], state.rgb[c]);
    p.normal_map[3 * at + c] = state.normal[c];
  }
  p.alpha[at] = alpha;
  p.depth[at] = alpha > 0.0f ? state.depth / alpha : 0.0f;
  p.median_depth[at] = state.median;
  p.distortion[at] = state.distortion;
  p.pixel_sums[at] = make_float4(state.transmittance, state.d1, state.d2, reference);
  p.pixel_places[at] = make_int2(after, median_place);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(32 * kBlockWarps) composite_tiles(const Launch p) {
  __shared__ Staged staged[kBlockWarps];
  const int work = blockIdx.x * kBlockWarps + (threadIdx.x >> 5), tile = work / kPatches;
  const int begin = p.offsets[tile], end = p.offsets[tile + 1];
  if (end > p.capacity) return;
  composite_patch(p, tile, work % kPatches, p.entries + begin, 1, end - begin, staged);
}

extern "C" __global__ void __launch_bounds__(kThreads) composite_spilled_tiles(const Launch p) {
  __shared__ Staged staged[kPatches];
  __shared__ uint64 chunk[kSortChunk];
  __shared__ int counter;
  uint64* keys = p.keys + size_t(blockIdx.x) * p.surfels;
  const int tiles = p.views * p.tiles_x * p.tiles_y;
  for (int tile = first_spilled_tile(p) + blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int count = build_list(p, tile, keys, &counter, chunk);
    composite_patch(p, tile, threadIdx.x >> 5, reinterpret_cast<const uint32*>(keys), 2, count, staged);
    __syncthreads();  // before the next tile's list overwrites this one
  }
}
