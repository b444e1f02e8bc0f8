// Projection and culling: equations 1 to 5 of README.md; reference twin: the projection of the rasterizer
// `torch`. A block projects kThreads surfels of one view, a thread each, then its threads share out the tile rows that
// the footprints cover, each finding the tiles of one row.
#include "blocks.h"
#include "footprints.h"
#include "sorting.h"

namespace {

struct Block {
  float4 records[kThreads][kParts];
  int row_starts[kThreads];  // tile rows of the surfels before
  int first_rows[kThreads];
  bool seen[kThreads];
  int sums[2][kThreads / 32];
  uint32 bounds[2][kThreads / 32];
  uint64 reserved;
};

// Project surfel n; fills its places of `block` where it can be seen. Returns its depth, 0 where it cannot.
__device__ __forceinline__ float project_surfel(const Launch& p, int view, int n, Block& block, float& radius) {
  const Camera<double> camera = view_camera(p, view);
  const size_t posed = size_t(p.pose_of_view[view]) * p.surfels + n;
  const float* colour = p.colour + 3 * (size_t(view) * p.surfels + n);
  Record record;
  for (int c = 0; c < 3; ++c) record.rgb[c] = colour[c];
  Footprint<float> footprint;
  if (!project(camera, p.mean + 3 * posed, p.tangents + 6 * posed, p.normal + 3 * posed, p.opacity[n],
               record.surfel, footprint))
    return 0.0f;
  Box<float> box = bounding_box(record.surfel, footprint, float(p.width), float(p.height));
  radius = box_radius(box);
  if (radius < 1e30f) {
    const float slack = 2e-6f * radius;  // of the footprint's rounding
    box = {box.x0 - slack, box.y0 - slack, box.x1 + slack, box.y1 + slack};
    if (!meets_picture(box, float(p.width), float(p.height))) {
      radius = 0.0f;
      return 0.0f;
    }
  } else {
    radius = 1e30f;  // beyond what floats tell: perhaps it meets the picture
  }
  pack(record, block.records[threadIdx.x]);
  StoredFootprint stored;
  stored.x = record.surfel.x;
  stored.y = record.surfel.y;
  // an ellipse of more than a million pixels is the whole screen: its numbers say little as floats
  const bool whole = footprint.whole || !(footprint.sxx + footprint.syy < 1e12f);
  // the very numbers that all who enumerate tiles will read: a negative sxx means `whole` there
  stored.shape = footprint;
  stored.shape.sxx = whole ? -1.0f : greater(footprint.sxx, 0.0f);
  stored.shape.whole = whole;
  pack(stored, block.records[threadIdx.x]);
  return record.surfel.z;
}

// The view's least and greatest depth, a block at a time: all blocks meet at the same two words.
__device__ __forceinline__ void find_bounds(const Launch& p, int view, bool seen, float depth, Block& block) {
  uint32 bits = seen ? __float_as_uint(depth) : 0u, complement = seen ? ~bits : 0u;
  for (int step = 16; step > 0; step >>= 1) {
    bits = max(bits, __shfl_xor_sync(kAllLanes, bits, step));
    complement = max(complement, __shfl_xor_sync(kAllLanes, complement, step));
  }
  if ((threadIdx.x & 31) == 0) {
    block.bounds[0][threadIdx.x >> 5] = complement;
    block.bounds[1][threadIdx.x >> 5] = bits;
  }
  __syncthreads();
  if (threadIdx.x < 2) {
    uint32 greatest = 0;
    for (int w = 0; w < kThreads / 32; ++w) greatest = max(greatest, block.bounds[threadIdx.x][w]);
    if (greatest) atomicMax(p.found_bounds + 2 * view + threadIdx.x, greatest);
  }
}

// The surfel that item-th tile row of the block belongs to: the last that starts at or before it.
__device__ __forceinline__ int owner_of_row(const Block& block, int item) {
  int owner = 0;
#pragma unroll
  for (int step = kThreads / 2; step > 0; step >>= 1)
    if (block.row_starts[owner + step] <= item) owner += step;
  return owner;
}

// Count the tiles of one tile row at the tiles' counters, and note each entry at `place` and after it.
__device__ __forceinline__ void note_entries(const Launch& p, const TileRun& run, int* counts, int first_tile,
                                             int index, uint64 depth, uint64 place) {
  constexpr int kAtOnce = 4;  // answers of atomics to wait for together
  for (int tile_x = run.first; tile_x <= run.last; tile_x += kAtOnce, place += kAtOnce) {
    int ranks[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) ranks[i] = tile_x + i <= run.last ? atomicAdd(counts + tile_x + i, 1) : 0;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (tile_x + i > run.last || place + i >= uint64(p.capacity)) continue;
      p.entries[place + i] = uint32(index) << 8 | patch_mask(run, tile_x + i);
      p.places[place + i] = make_int4(int(uint32(depth)), int(depth >> 32), first_tile + tile_x + i, ranks[i]);
    }
  }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kThreads, 4) project_surfels(const Launch p) {
  __shared__ Block block;
  const int first = blockIdx.x * kThreads, n = first + int(threadIdx.x), view = blockIdx.y;
  const size_t view_start = size_t(view) * p.surfels;
  float depth = 0.0f, radius = 0.0f;
  if (n < p.surfels) depth = project_surfel(p, view, n, block, radius);
  const bool seen = depth > 0.0f;  // beyond the near plane
  block.seen[threadIdx.x] = seen;
  if (n < p.surfels) {
    p.visible[view_start + n] = seen;
    p.radius[view_start + n] = radius;
  }
  int first_row = 0, last_row = -1;
  if (seen) tile_rows(unpack_footprint(block.records[threadIdx.x]), p, first_row, last_row);
  int rows;
  block.row_starts[threadIdx.x] = block_scan<kThreads / 32>(max(last_row - first_row + 1, 0), block.sums[0], rows);
  block.first_rows[threadIdx.x] = first_row;
  find_bounds(p, view, seen, depth, block);  // the barrier in it is the one that what follows needs

  // through shared memory, so that neighbouring threads write neighbouring words
  float4* records = p.records + kRecord * (view_start + first);
  for (int i = threadIdx.x; i < kThreads * kRecord; i += kThreads) {
    const int owner = i / kRecord, part = i % kRecord;
    if (part < kParts && block.seen[owner]) records[i] = block.records[owner][part];
  }

  const int tiles = p.tiles_x * p.tiles_y;
  for (int base = 0; base < rows; base += kThreads) {
    const int item = base + int(threadIdx.x);
    TileRun run;
    run.first = 0, run.last = -1;
    int owner = 0, tile_y = 0, count = 0;
    if (item < rows) {
      owner = owner_of_row(block, item);
      tile_y = block.first_rows[owner] + item - block.row_starts[owner];
      const StoredFootprint f = unpack_footprint(block.records[owner]);
      run = tile_run(outline(f.shape), f, p, tile_y);
      count = max(run.last - run.first + 1, 0);
    }
    int total;
    const int before = block_scan<kThreads / 32>(count, block.sums[base / kThreads & 1], total);
    if (threadIdx.x == 0) block.reserved = atomicAdd(p.reserved, uint64(total));
    __syncthreads();
    if (count) {
      const float4* record = block.records[owner];
      const int row = view * tiles + tile_y * p.tiles_x;
      note_entries(p, run, p.counts + row, row, first + owner, depth_bits(record[2].w, record[3].x),
                   block.reserved + uint64(before));
    }
  }
}
