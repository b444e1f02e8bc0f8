// A growable array of plain values. Not std::vector: its members would be shared, by the linker, between the
// copies of this code that are compiled for different instruction sets.
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#include <malloc.h>
#endif

#include "../scalar.h"

namespace SURFEL_NAMESPACE {

constexpr size_t kAlignment = 64;  // bytes, of the widest vectors

inline void* allocate(size_t bytes) {  // null when memory is exhausted
#if defined(_WIN32)
  return _aligned_malloc(bytes, kAlignment);
#else
  void* fresh = nullptr;
  return posix_memalign(&fresh, kAlignment, bytes) == 0 ? fresh : nullptr;
#endif
}

inline void release(void* data) {
#if defined(_WIN32)
  _aligned_free(data);
#else
  free(data);
#endif
}

template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(data_); }

  // Room for `count` values, keeping what was there; false when memory is exhausted.
  bool reserve(int64_t count) {
    if (count <= capacity_) return true;
    const int64_t room = count > 2 * capacity_ ? count : 2 * capacity_;
    void* fresh = allocate(size_t(room) * sizeof(T));
    if (fresh == nullptr) return false;
    if (data_ != nullptr) memcpy(fresh, data_, size_t(capacity_) * sizeof(T));
    release(data_);
    data_ = static_cast<T*>(fresh);
    capacity_ = room;
    return true;
  }
  int64_t capacity() const { return capacity_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  int64_t capacity_ = 0;
};

}  // namespace SURFEL_NAMESPACE
