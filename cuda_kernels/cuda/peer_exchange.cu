// Gradients of two GPUs to their means: each GPU copies its own into the other's memory, then both halve the sums.
// No thread waits for the other GPU; what lies between the two kernels does.
#include "rows.h"

namespace {

constexpr int kThreads = 256;
constexpr int kParts = 64;                  // tensors of one launch; mirrored in cuda_peer_exchange.py
constexpr int kQuads = 4;                   // of four elements each, that a thread has under way at once
constexpr int kChunk = kThreads * kQuads * 4;  // elements

struct Parts {
  int parts;
  int first[kParts + 1];  // chunk with which each tensor begins
  int size[kParts];       // elements
  float* to[kParts];
  const float* from[kParts];
};

struct Copied {
  static constexpr bool kReads = false;  // what is written over
  __device__ static float of(float, float from) { return from; }
};

struct Averaged {
  static constexpr bool kReads = true;
  // the same bits on both GPUs, whichever number is whose, and NCCL's
  __device__ static float of(float to, float from) { return 0.5f * to + 0.5f * from; }
};

template <class Result>
__device__ __forceinline__ void whole_chunk(float4* to, const float4* from) {
  float4 given[kQuads], held[kQuads];
#pragma unroll
  for (int i = 0; i < kQuads; ++i) {
    given[i] = from[threadIdx.x + i * kThreads];
    held[i] = Result::kReads ? to[threadIdx.x + i * kThreads] : given[i];
  }
#pragma unroll
  for (int i = 0; i < kQuads; ++i) {
    const float4 a = held[i], b = given[i];
    const float4 result = {Result::of(a.x, b.x), Result::of(a.y, b.y), Result::of(a.z, b.z), Result::of(a.w, b.w)};
    to[threadIdx.x + i * kThreads] = result;
  }
}

template <class Result>
__device__ __forceinline__ void all_chunks(const Parts& p) {
  int part = 0;
  for (int chunk = blockIdx.x; chunk < p.first[p.parts]; chunk += gridDim.x) {
    while (chunk >= p.first[part + 1]) ++part;
    const int begin = (chunk - p.first[part]) * kChunk, left = p.size[part] - begin;
    float* to = p.to[part] + begin;
    const float* from = p.from[part] + begin;
    if (left >= kChunk && ((size_t(to) | size_t(from)) & 15) == 0) {
      whole_chunk<Result>(reinterpret_cast<float4*>(to), reinterpret_cast<const float4*>(from));
      continue;
    }
    const int count = left < kChunk ? left : kChunk;
    for (int at = threadIdx.x; at < count; at += kThreads) to[at] = Result::of(to[at], from[at]);
  }
}

}  // namespace

SURFEL_KERNEL(kThreads, copy_to_peer)(const Parts p) { all_chunks<Copied>(p); }

SURFEL_KERNEL(kThreads, average_with_peer)(const Parts p) { all_chunks<Averaged>(p); }
