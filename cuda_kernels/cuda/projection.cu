// Projection and culling: equations 1 to 5 of README.md; reference twin: the projection of the rasterizer
// `torch`. A block projects up to kProjectThreads surfels of one view, a thread each; then its threads share out the
// tile rows that the footprints cover, each finding the tiles of one row, and then the entries so found.
//
// An entry needs a rank among those of its tile. A block counts its entries by tile in shared memory and reserves their
// ranks with one atomic a tile that has any, which neighbouring threads send for neighbouring tiles. Where neighbours in
// number are neighbours on the head that is one for some thirty entries; where they are not, words side by side.
#include "blocks.h"
#include "footprints.h"
#include "sorting.h"

namespace {

constexpr int kProjectThreads = 256;         // PROJECT_THREADS of cuda_rasterizer.py
constexpr int kProjectResident = 4;          // blocks of a multiprocessor that the registers must suffice for
constexpr int kWindow = 2048;                // tiles of the picture that a block counts in shared memory
constexpr int kQueue = 8 * kProjectThreads;  // entries that wait in shared memory
constexpr int kProjectWarps = kProjectThreads / 32;
constexpr uint32 kOutside = 0x80000000u;     // marks a tile outside the window

// Entries of the block. `what`: surfel of the block << 8 | patches. `where`: rank in the block << 16 | tile of the
// window, or kOutside | tile of the view.
struct Queue {
  uint32 what[kQueue], where[kQueue];
};
static_assert(kWindow <= 1 << 15 && kQueue <= 1 << 15, "they share a word with its mark");

struct Block {
  union {  // the first are written out before the second are filled
    float4 records[kProjectThreads][kSurfelParts];
    Queue queue;
  };
  float4 footprints[kProjectThreads][2];
  alignas(16) int counts[kWindow];      // entries of the window's tiles, then the first of their ranks
  uint64 depths[kProjectThreads];       // bits as doubles
  Camera<double> cameras[kProjectWarps];
  int row_starts[kProjectThreads];      // tile rows of the surfels before
  int first_rows[kProjectThreads];
  bool seen[kProjectThreads];
  int sums[2][kProjectWarps];
  uint32 bounds[4][kProjectWarps];
  uint64 reserved;
};

// What projection reads of a surfel.
struct Inputs {
  float mean[3], tangents[6], normal[3], rgb[3], opacity;
};

// All at once, so that memory's answer is waited for once.
__device__ __forceinline__ Inputs surfel_inputs(const Launch& p, int view, int n) {
  Inputs in;
  const float* colour = p.colour + 3 * (size_t(view) * p.surfels + n);
  in.opacity = p.opacity[n];
  for (int c = 0; c < 3; ++c) in.rgb[c] = colour[c];
  const size_t posed = size_t(p.pose_of_view[view]) * p.surfels + n;
  for (int c = 0; c < 3; ++c) in.mean[c] = p.mean[3 * posed + c];
  for (int c = 0; c < 6; ++c) in.tangents[c] = p.tangents[6 * posed + c];
  for (int c = 0; c < 3; ++c) in.normal[c] = p.normal[3 * posed + c];
  return in;
}

// Project a surfel; fills this thread's places of `block` where it can be seen. Returns its depth, 0 where it cannot.
__device__ __forceinline__ float project_surfel(const Launch& p, const Inputs& in, Block& block, float& radius) {
  Record record;
  for (int c = 0; c < 3; ++c) record.rgb[c] = in.rgb[c];
  Footprint<float> footprint;
  if (!project(block.cameras[threadIdx.x >> 5], in.mean, in.tangents, in.normal, in.opacity, record.surfel, footprint))
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
  pack(stored, block.footprints[threadIdx.x]);
  block.depths[threadIdx.x] = depth_bits(record.surfel.z, record.surfel.z_low);
  return record.surfel.z;
}

// Tiles of a view that a block counts in shared memory: `count` from tile `start` on.
struct Window {
  int start, count;
};

// The view's least and greatest depth, a block at a time: all blocks meet at the same two words. And the window: whole
// tile rows from the block's first to its last, or as many tiles of them as fit.
__device__ __forceinline__ Window find_bounds(const Launch& p, int view, bool seen, float depth, int first_row,
                                              int last_row, Block& block) {
  const uint32 bits = seen ? __float_as_uint(depth) : 0u;
  const bool any = last_row >= first_row;
  uint32 found[4] = {seen ? ~bits : 0u, bits, any ? ~uint32(first_row) : 0u, any ? uint32(last_row) + 1u : 0u};
#pragma unroll
  for (int step = 16; step > 0; step >>= 1)
#pragma unroll
    for (int i = 0; i < 4; ++i) found[i] = max(found[i], __shfl_xor_sync(kAllLanes, found[i], step));
  if ((threadIdx.x & 31) == 0)
    for (int i = 0; i < 4; ++i) block.bounds[i][threadIdx.x >> 5] = found[i];
  __syncthreads();
  if (threadIdx.x < 2) {
    uint32 greatest = 0;
    for (int w = 0; w < kProjectWarps; ++w) greatest = max(greatest, block.bounds[threadIdx.x][w]);
    if (greatest) atomicMax(p.found_bounds + 2 * view + threadIdx.x, greatest);
  }
  uint32 first = 0, after = 0;
  for (int w = 0; w < kProjectWarps; ++w) {
    first = max(first, block.bounds[2][w]);
    after = max(after, block.bounds[3][w]);
  }
  if (after == 0) return {0, 0};  // no surfel touches a row
  const int top = int(~first);
  return {top * p.tiles_x, min((int(after) - top) * p.tiles_x, kWindow)};
}

// The surfel that item-th tile row of the block belongs to: the last that starts at or before it.
__device__ __forceinline__ int owner_of_row(const Block& block, int item) {
  int owner = 0;
#pragma unroll
  for (int step = kProjectThreads / 2; step > 0; step >>= 1)
    if (block.row_starts[owner + step] <= item) owner += step;
  return owner;
}

// Reserve ranks and room for the entries that wait, and note them. For all threads.
__device__ __forceinline__ void note_entries(const Launch& p, int view, int first, const Window& window, int waiting,
                                             Block& block) {
  constexpr int kAtOnce = 4;  // answers of atomics to wait for together
  __syncthreads();
  const bool last = threadIdx.x == kProjectThreads - 1;
  const uint64 reserved = last ? atomicAdd(p.reserved, uint64(waiting)) : 0;
  const int first_tile = view * p.tiles_x * p.tiles_y;
  int* const counts = p.counts + first_tile;
  for (int base = threadIdx.x; base < window.count; base += kAtOnce * kProjectThreads) {
    int ranks[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int slot = base + i * kProjectThreads, count = slot < window.count ? block.counts[slot] : 0;
      ranks[i] = count ? atomicAdd(counts + window.start + slot, count) : 0;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int slot = base + i * kProjectThreads;
      if (slot < window.count) block.counts[slot] = ranks[i];
    }
  }
  if (last) block.reserved = reserved;
  __syncthreads();
#pragma unroll 1
  for (int i = threadIdx.x; i < waiting; i += kProjectThreads) {
    const uint32 what = block.queue.what[i], where = block.queue.where[i];
    const int owner = int(what >> 8);
    int tile, rank;
    if (where & kOutside) {
      tile = int(where & ~kOutside);
      rank = atomicAdd(counts + tile, 1);
    } else {
      const int slot = int(where & 0xffffu);
      tile = window.start + slot;
      rank = block.counts[slot] + int(where >> 16);
    }
    const uint64 place = block.reserved + uint64(i), depth = block.depths[owner];
    if (place >= uint64(p.capacity)) continue;
    p.entries[place] = uint32(first + owner) << 8 | (what & 0xffu);
    p.places[place] = make_int4(int(uint32(depth)), int(depth >> 32), first_tile + tile, rank);
  }
}

__device__ __forceinline__ void clear_counts(Block& block) {
  for (int i = threadIdx.x; i < kWindow / 4; i += kProjectThreads)
    reinterpret_cast<int4*>(block.counts)[i] = make_int4(0, 0, 0, 0);
}

}  // namespace

// The grid is (blocks of each view, views); the surfels are dealt out evenly, at most one a thread.
extern "C" __global__ void __launch_bounds__(kProjectThreads, kProjectResident) project_surfels(const Launch p) {
  __shared__ Block block;
  const int each = (p.surfels + int(gridDim.x) - 1) / int(gridDim.x), view = blockIdx.y;
  const int first = int(blockIdx.x) * each, n = first + int(threadIdx.x);
  const bool mine = int(threadIdx.x) < each && n < p.surfels;
  const size_t view_start = size_t(view) * p.surfels;
  const float number = camera_number(p, view, threadIdx.x & 31);
  Inputs in{};
  if (mine) in = surfel_inputs(p, view, n);
  clear_counts(block);
  widen_camera(number, block.cameras[threadIdx.x >> 5]);
  float depth = 0.0f, radius = 0.0f;
  if (mine) depth = project_surfel(p, in, block, radius);
  const bool seen = depth > 0.0f;  // beyond the near plane
  block.seen[threadIdx.x] = seen;
  if (mine) {
    p.visible[view_start + n] = seen;
    p.radius[view_start + n] = radius;
  }
  int first_row = 0, last_row = -1;
  if (seen) {
    const float4* f = block.footprints[threadIdx.x];
    tile_rows(unpack_footprint(f[0], f[1]), p, first_row, last_row);
  }
  int rows;
  block.row_starts[threadIdx.x] = block_scan<kProjectWarps>(max(last_row - first_row + 1, 0), block.sums[0], rows);
  block.first_rows[threadIdx.x] = first_row;
  // the barrier in it is the one that what follows needs
  const Window window = find_bounds(p, view, seen, depth, first_row, last_row, block);

  // through shared memory, so that neighbouring threads write neighbouring words
  float4* records = p.records + kRecord * (view_start + first);
  for (int i = threadIdx.x; i < each * kRecord; i += kProjectThreads) {
    const int owner = i / kRecord, part = i % kRecord;
    if (part < kParts && block.seen[owner])
      records[i] = part < kFootprint ? block.records[owner][part] : block.footprints[owner][part - kFootprint];
  }

  int waiting = 0;  // entries in the queue
  for (int base = 0; base < rows; base += kProjectThreads) {
    const int item = base + int(threadIdx.x);
    TileRun run;
    run.first = 0, run.last = -1;
    int owner = 0, tile_y = 0, count = 0;
    if (item < rows) {
      owner = owner_of_row(block, item);
      tile_y = block.first_rows[owner] + item - block.row_starts[owner];
      const StoredFootprint f = unpack_footprint(block.footprints[owner][0], block.footprints[owner][1]);
      run = tile_run(outline(f.shape), f, p, tile_y);
      count = max(run.last - run.first + 1, 0);
    }
    int total;
    const int before = block_scan<kProjectWarps>(count, block.sums[base / kProjectThreads & 1], total);
    const int row = tile_y * p.tiles_x;
    const bool last = base + kProjectThreads >= rows;
    int done = 0;
    do {  // more than once where the queue becomes full
      const int fitting = min(total - done, kQueue - waiting), shift = waiting - done;
#pragma unroll 1
      for (int k = max(before, done), end = min(before + count, done + fitting); k < end; ++k) {
        const int tile_x = run.first + k - before, tile = row + tile_x, slot = tile - window.start;
        uint32 where = kOutside | uint32(tile);
        if (slot < window.count) where = uint32(atomicAdd(block.counts + slot, 1)) << 16 | uint32(slot);
        block.queue.what[shift + k] = uint32(owner) << 8 | patch_mask(run, tile_x);
        block.queue.where[shift + k] = where;
      }
      done += fitting;
      waiting += fitting;
      const bool ended = last && done == total;
      if (waiting < kQueue && !ended) continue;
      note_entries(p, view, first, window, waiting, block);
      if (ended) return;
      waiting = 0;
      __syncthreads();  // ranks are read
      clear_counts(block);
      __syncthreads();
    } while (done < total);
  }
}
