// Addresses in shared memory, with offsets that are known when compiling.
#pragma once

#include "launch.h"

// An address in a warp's shared memory. With plain pointers the compiler makes it anew for every surfel.
struct Place {
#if defined(__CUDA_ARCH__)
  uint32 at;

  // through an instruction that may not be repeated
  static __device__ __forceinline__ Place of(const void* pointer, uint32 offset = 0) {
    Place place;
    asm volatile("add.u32 %0, %1, %2;"
                 : "=r"(place.at)
                 : "r"(uint32(__cvta_generic_to_shared(pointer))), "r"(offset));
    return place;
  }
  template <int kOffset>
  __device__ __forceinline__ float4 load4() const {
    float4 v;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4+%5];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "r"(at), "n"(kOffset));
    return v;
  }
  template <int kOffset>
  __device__ __forceinline__ float2 load2() const {
    float2 v;
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2+%3];" : "=f"(v.x), "=f"(v.y) : "r"(at), "n"(kOffset));
    return v;
  }
  template <int kOffset>
  __device__ __forceinline__ void store4(float4 v) const {
    asm volatile("st.shared.v4.f32 [%0+%1], {%2, %3, %4, %5};" ::"r"(at), "n"(kOffset), "f"(v.x), "f"(v.y),
                 "f"(v.z), "f"(v.w)
                 : "memory");
  }
  template <int kOffset>
  __device__ __forceinline__ void store2(float2 v) const {
    asm volatile("st.shared.v2.f32 [%0+%1], {%2, %3};" ::"r"(at), "n"(kOffset), "f"(v.x), "f"(v.y) : "memory");
  }
#else
  const char* at;

  static Place of(const void* pointer, uint32 offset = 0) { return {static_cast<const char*>(pointer) + offset}; }
  template <int kOffset>
  float4 load4() const { return *reinterpret_cast<const float4*>(at + kOffset); }
  template <int kOffset>
  float2 load2() const { return *reinterpret_cast<const float2*>(at + kOffset); }
  template <int kOffset>
  void store4(float4 v) const { *reinterpret_cast<float4*>(const_cast<char*>(at) + kOffset) = v; }
  template <int kOffset>
  void store2(float2 v) const { *reinterpret_cast<float2*>(const_cast<char*>(at) + kOffset) = v; }
#endif
  __device__ __forceinline__ void advance(int bytes) { at += bytes; }
  __device__ __forceinline__ Place plus(int bytes) const { return {at + bytes}; }
  __device__ __forceinline__ bool operator==(const Place& other) const { return at == other.at; }
  __device__ __forceinline__ bool operator<(const Place& other) const { return at < other.at; }
};
