// What lets every pixel of a patch walk its own surfels: those of the tile's list that touch the patch, 32 at a time in
// shared memory, and of those the ones that touch the pixel, as bits.
#pragma once

#include "patches.h"

// Surfels in a warp's shared memory. At one time the lanes read the records of different surfels: by parts of 16 bytes, of
// which neighbouring slots lie in different banks.
struct Window {
  // Of part 0 the first two numbers lead from the surfel's centre to the patch's first pixel, and the last two are the
  // bits of its index and of its place in the tile's list. One slot is empty, for the banks.
  float4 parts[kParts][33];
  int2 queue[64];  // index and place of surfels that touch the patch and wait to be staged

  __device__ __forceinline__ Record record(int slot) const {
    return unpack(parts[0][slot], parts[1][slot], parts[2][slot], parts[3][slot]);
  }
  // What only pairs that count need.
  __device__ __forceinline__ void complete(int slot, Record& record) const { unpack_rest(parts[4][slot], record); }
  __device__ __forceinline__ int place(int slot) const { return int(__float_as_uint(parts[0][slot].w)); }
};

// Walks a tile's list and picks out what touches the patch.
struct Reader {
  const uint32* list;
  int stride, count, patch;
  int base = 0;              // places seen
  int head = 0, queued = 0;  // of the queue
  uint32 upcoming;           // a step ahead, so that nobody waits for it

  __device__ __forceinline__ Reader(const uint32* list, int stride, int count, int patch)
      : list(list), stride(stride), count(count), patch(patch) {
    upcoming = list_entry(list, stride, int(threadIdx.x & 31), count);
  }

  // Take up to 32 surfels, a lane each (index and place), the first by the last lane; returns how many.
  __device__ __forceinline__ int take(int2* queue, int2& item) {
    const int lane = threadIdx.x & 31;
    item = make_int2(0, 0);
    while (queued < 32 && base < count) {
      const uint32 entry = upcoming;
      const int place = base + lane;
      base += 32;
      upcoming = list_entry(list, stride, base + lane, count);
      const bool touches = (entry >> patch) & 1u;
      const uint32 touching = __ballot_sync(kAllLanes, touches);
      if (touches)
        queue[(head + queued + __popc(touching & lanes_before(lane))) & 63] = make_int2(int(entry >> 8), place);
      queued += __popc(touching);
    }
    __syncwarp();
    const int taken = min(queued, 32);
    if (31 - lane < taken) item = queue[(head + 31 - lane) & 63];
    head += taken;
    queued -= taken;
    __syncwarp();
    return taken;
  }
};

// Copies 16 bytes at a time from global memory to slots of a part; await_copies ends all that this thread has begun.
struct Copy {
  const float4* from;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint32 to;

  __device__ __forceinline__ Copy(const float4* from, float4* to)
      : from(from), to(uint32(__cvta_generic_to_shared(to))) {}
  __device__ __forceinline__ void begin(uint32 source, int slot) const {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + uint32(slot) * 16u), "l"(from + source)
                 : "memory");
  }
#else
  float4* to;

  __device__ __forceinline__ Copy(const float4* from, float4* to) : from(from), to(to) {}
  __device__ __forceinline__ void begin(uint32 source, int slot) const { to[slot] = from[source]; }
#endif
};
__device__ __forceinline__ void await_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// Put the surfels that Reader::take gave into their lanes' slots; returns the pixels that the lane's surfel may touch.
// Eight lanes copy a record, so that it is one access.
__device__ __forceinline__ uint32 stage(const Launch& p, const PatchPixel& pixel, int2 item, int taken,
                                        Window& window) {
  const int lane = threadIdx.x & 31;
  const int part = lane % kRecord, owner = lane / kRecord;
  const Copy copy(p.records + kRecord * (size_t(pixel.view) * p.surfels) + part,
                  &window.parts[min(part, kParts - 1)][owner]);
  // Neither the empty part nor empty slots: all warps would read the same line for them.
  const int first = part < kParts ? 32 - taken : 64;
#pragma unroll
  for (int slot = 0; slot < 32; slot += 32 / kRecord) {
    const uint32 source = uint32(__shfl_sync(kAllLanes, item.x, slot + owner)) * kRecord;
    if (slot + owner >= first) copy.begin(source, slot);
  }
  await_copies();
  __syncwarp();
  if (31 - lane >= taken) return 0u;
  const float4 centre = window.parts[0][lane];
  const StoredFootprint f = unpack_footprint(window.parts[kFootprint][lane], window.parts[kFootprint + 1][lane]);
  const float x = pixel.first_x - centre.x - centre.z, y = pixel.first_y - centre.y - centre.w;
  window.parts[0][lane] =
      make_float4(x, y, __uint_as_float(uint32(item.x)), __uint_as_float(uint32(item.y)));
  return pixel_mask(f.shape, x, y);
}

// Bit j of lane i to bit i of lane j.
__device__ __forceinline__ uint32 transposed(uint32 bits) {
  const uint32 lane = threadIdx.x & 31u;
  uint32 low = 0x0000ffffu;
#pragma unroll
  for (int step = 16; step > 0; step >>= 1, low ^= low << step) {
    const uint32 other = __shfl_xor_sync(kAllLanes, bits, step);
    bits = lane & uint32(step) ? (bits & ~low) | ((other >> step) & low) : (bits & low) | ((other & low) << step);
  }
  return bits;
}
