// Forward compositing: equations 3 and 6 to 9 of README.md; reference twin: the compositing loop of the
// rasterizer `torch`. One block a tile; each warp draws its own patch of 8x4 pixels from the entries whose footprint
// touches that patch, without waiting for the other warps, and each pixel walks only the surfels that touch it: of a
// patch's pixels a surfel touches four in ten.
#include "windows.h"

namespace {

__device__ __forceinline__ void composite_patch(const Launch& p, int tile, int patch, const uint32* list,
                                                int stride, int count, Window* block) {
  const PatchPixel pixel = patch_pixel(p, tile, patch);
  Window& window = block[threadIdx.x >> 5];
  Pixel<float> state{};
  state.transmittance = 1.0f;
  bool open = pixel.inside;  // takes more
  int after = count, median_place = -1;
  // the distortion is counted from the depth of the pixel's first pair; m = scale (depth - reference)/depth
  float reference = 1.0f, scale = 0.0f;

  Reader reader(list, stride, count, pixel.patch);
  while (__any_sync(kAllLanes, open)) {
    int2 item;
    const int taken = reader.take(window.queue, item);
    if (taken == 0) break;
    const uint32 touching = transposed(stage(p, pixel, item, taken, window));
    __syncwarp();
    int median = -1;  // of this window's surfels
    for (uint32 mine = open ? touching : 0u; mine;) {
      const int slot = 31 - __clz(int(mine));
      mine ^= 1u << slot;
      Record record = window.record(slot);
      const Surfel<float>& surfel = record.surfel;
      const Hit<float, bool> hit = intersect<bool>(surfel, pixel.x + surfel.x, pixel.y + surfel.y);
      const float offset = pair_offset(surfel, hit);
      const float depth = surfel.z + offset;
      const Weight<float, bool> weight = weigh(surfel, hit, depth, p.near);
      if (!weight.counts) continue;
      if (state.transmittance - weight.alpha * state.transmittance < float(kTransmittanceMin)) {
        open = false;
        after = window.place(slot);
        break;
      }
      if (scale == 0.0f) {  // the first
        reference = depth;
        scale = float(kDistortionScale) * reciprocal(depth);
      }
      const float m = relative_m((surfel.z - reference) + offset, depth, 1.0f, scale);
      if (state.transmittance > float(kMedianTransmittance)) median = slot;
      window.complete(slot, record);
      composite<false>(state, surfel, record.rgb, weight.alpha, depth, m, true);
    }
    if (median >= 0) median_place = window.place(median);
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
  // equation 9 summed over all pairs: their weighted variance
  p.distortion[at] = greater(fused(alpha, state.d2, -(state.d1 * state.d1)), 0.0f);
  p.pixel_sums[at] = make_float4(state.transmittance, state.d1, state.d2, reference);
  p.pixel_places[at] = make_int2(after, median_place);
}

}  // namespace

// Blocks of a multiprocessor that the registers must suffice for: 64 a thread.
constexpr int kResident = 16;

extern "C" __global__ void __launch_bounds__(32 * kBlockWarps, kResident) composite_tiles(const Launch p) {
  __shared__ Window windows[kBlockWarps];
  const Work work = patch_work(p);
  const int begin = p.offsets[work.tile], end = p.offsets[work.tile + 1];
  if (end > p.capacity) return;
  composite_patch(p, work.tile, work.patch, p.entries + begin, 1, end - begin, windows);
}

extern "C" __global__ void __launch_bounds__(kThreads) composite_spilled_tiles(const Launch p) {
  __shared__ Window windows[kPatches];
  __shared__ uint64 chunk[kSortChunk];
  __shared__ int counter;
  uint64* keys = p.keys + size_t(blockIdx.x) * p.surfels;
  const int tiles = p.views * p.tiles_x * p.tiles_y;
  for (int tile = first_spilled_tile(p) + blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int count = build_list(p, tile, keys, &counter, chunk);
    composite_patch(p, tile, threadIdx.x >> 5, reinterpret_cast<const uint32*>(keys), 2, count, windows);
    __syncthreads();  // before the next tile's list overwrites this one
  }
}
