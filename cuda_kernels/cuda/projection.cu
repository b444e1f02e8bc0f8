// Projection and culling: equations 1 to 5 of README.md; reference twin: the projection of the rasterizer
// `torch`. One thread a (view, surfel).
#include "footprints.h"

extern "C" __global__ void __launch_bounds__(kThreads, 4) project_surfels(const Launch p) {
  const int n = blockIdx.x * kThreads + threadIdx.x, view = blockIdx.y;
  const bool inside = n < p.surfels;
  const size_t at = size_t(view) * p.surfels + (inside ? n : 0);
  StoredFootprint stored{};
  bool seen = false;
  float depth = 0.0f;
  if (inside) {
    const Camera<double> camera = view_camera(p, view);
    const size_t posed = size_t(p.pose_of_view[view]) * p.surfels + n;
    Record record;
    Footprint<double> footprint;
    float radius = 0.0f;
    if (project(camera, p.mean + 3 * posed, p.tangents + 6 * posed, p.normal + 3 * posed, p.opacity[n],
                record.surfel, footprint)) {
      const Box<double> box = bounding_box(record.surfel, footprint, camera.width, camera.height);
      seen = meets_picture(box, camera.width, camera.height);
      if (seen) {
        radius = float(box_radius(box));
        for (int c = 0; c < 3; ++c) record.rgb[c] = p.colour[3 * at + c];
        pack(record, p.records + kRecord * at);
        depth = record.surfel.z;
        stored.x = record.surfel.x;
        stored.y = record.surfel.y;
        // an ellipse of more than a million pixels is the whole screen: its numbers would not fit a float
        const bool whole = footprint.whole || !(footprint.sxx + footprint.syy < 1e12);
        // the very numbers that scatter_entries will read: a negative sxx means `whole` there
        const float sxx = whole ? -1.0f : greater(float(footprint.sxx), 0.0f);
        stored.shape = {float(footprint.ex),  float(footprint.ey),  sxx,  float(footprint.sxy),
                        float(footprint.syy), float(footprint.disc), whole};
        pack(stored, p.footprints + 2 * at);
      }
    }
    p.visible[at] = seen;
    p.radius[at] = radius;
  }
  // the view's least and greatest depth, a block at a time: all blocks meet at the same two words
  __shared__ uint32 bounds[2][kThreads / 32];
  uint32 bits = seen ? __float_as_uint(depth) : 0u, complement = seen ? ~bits : 0u;
  for (int step = 16; step > 0; step >>= 1) {
    bits = max(bits, __shfl_xor_sync(kAllLanes, bits, step));
    complement = max(complement, __shfl_xor_sync(kAllLanes, complement, step));
  }
  const int warp = threadIdx.x >> 5;
  if ((threadIdx.x & 31) == 0) {
    bounds[0][warp] = complement;
    bounds[1][warp] = bits;
  }
  __syncthreads();
  if (threadIdx.x < 2) {
    uint32 greatest = 0;
    for (int w = 0; w < kThreads / 32; ++w) greatest = max(greatest, bounds[threadIdx.x][w]);
    if (greatest) atomicMax(p.found_bounds + 2 * view + threadIdx.x, greatest);
  }

  int* counts = p.cursors + size_t(view) * p.tiles_x * p.tiles_y;
  visit_warp_rows(seen, stored, p,
                  [&](int, const Outline<float>&, const StoredFootprint&, int tile_y, int tile_x, int end) {
                    for (int* count = counts + tile_y * p.tiles_x; tile_x <= end; ++tile_x)
                      atomicAdd(count + tile_x, 1);
                  });
}
