// The last view that was drawn, kept for its backward, which then need not project, sort and list its surfels anew. It
// is known by its inputs, bit for bit: whoever comes with others has his own made.
#pragma once

#include <new>

#include "tiles.h"

namespace SURFEL_NAMESPACE {

constexpr int64_t kKeptBytes = int64_t(64) << 20;  // views beyond it are made anew

template <class T>
struct KeptView {
  View<T> view;
  Buffer<T> rows;            // of the backward, so that its memory need not be asked for each time
  Buffer<unsigned char> key;  // the inputs that the view follows from
  int64_t key_bytes = 0;

  int64_t bytes() const {
    return view.surfel.capacity() * int64_t(sizeof(Surfel<T>) + sizeof(Footprint<T>) + 32) +
           view.entry.capacity() * 12 + rows.capacity() * int64_t(sizeof(T)) + key.capacity();
  }
};

// Calls f(pointer, bytes) for each part of what a view follows from, until it gives false.
template <class T, class F>
inline bool for_each_input(const SurfheadInputs& in, int64_t b, F f) {
  const int64_t n = in.surfels, pose = in.pose_of_view[b];
  const int64_t sizes[3] = {n, in.height, in.width};
  const size_t surfel = size_t(n) * sizeof(T);
  return f(sizes, sizeof(sizes)) && f(&in.near, sizeof(in.near)) && f(in.cameras + 16 * b, 16 * sizeof(double)) &&
         f(static_cast<const T*>(in.mean) + 3 * n * pose, 3 * surfel) &&
         f(static_cast<const T*>(in.tangents) + 6 * n * pose, 6 * surfel) &&
         f(static_cast<const T*>(in.normal) + 3 * n * pose, 3 * surfel) && f(in.opacity, surfel);
}

template <class T>
inline bool is_of(const KeptView<T>& kept, const SurfheadInputs& in, int64_t b) {
  int64_t at = 0;
  const bool same = for_each_input<T>(in, b, [&](const void* from, size_t bytes) {
    const bool alike = at + int64_t(bytes) <= kept.key_bytes && memcmp(kept.key.data() + at, from, bytes) == 0;
    at += int64_t(bytes);
    return alike;
  });
  return same && at == kept.key_bytes;
}

template <class T>
inline void mark(KeptView<T>& kept, const SurfheadInputs& in, int64_t b) {
  int64_t at = 0;
  const bool whole = for_each_input<T>(in, b, [&](const void* from, size_t bytes) {
    if (!kept.key.reserve(at + int64_t(bytes))) return false;
    memcpy(kept.key.data() + at, from, bytes);
    at += int64_t(bytes);
    return true;
  });
  kept.key_bytes = whole ? at : 0;
}

// The one place where a view is kept; a thread that takes it leaves the place empty.
template <class T>
inline KeptView<T>** kept_place() {
  static KeptView<T>* place = nullptr;
  return &place;
}
template <class T>
inline KeptView<T>* take_kept() {  // null when memory is exhausted
  KeptView<T>* found = __atomic_exchange_n(kept_place<T>(), static_cast<KeptView<T>*>(nullptr), __ATOMIC_ACQ_REL);
  return found != nullptr ? found : new (std::nothrow) KeptView<T>;
}
template <class T>
inline void put_kept(KeptView<T>* kept) {
  if (kept->bytes() <= kKeptBytes) kept = __atomic_exchange_n(kept_place<T>(), kept, __ATOMIC_ACQ_REL);
  delete kept;
}

}  // namespace SURFEL_NAMESPACE
