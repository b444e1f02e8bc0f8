// SIMD lanes by the vector extensions of GCC and Clang, with the operations the surfel mathematics asks for.
#pragma once

#include <stdint.h>
#include <string.h>

#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "../scalar.h"

namespace SURFEL_NAMESPACE {

// Bytes of a register of the instruction set this file is compiled for.
#if defined(__AVX512F__)
constexpr int kRegister = 64;
#elif defined(__AVX2__)
constexpr int kRegister = 32;
#else
constexpr int kRegister = 16;
#endif

// Spelled out for each type: GCC ignores vector_size on a type that depends on a template's parameter.
template <class S>
struct LaneTraits;
template <>
struct LaneTraits<float> {
  using Int = int32_t;
  typedef float Values __attribute__((vector_size(kRegister)));
  typedef int32_t Ints __attribute__((vector_size(kRegister)));
  static constexpr int mantissa = 23;
};
template <>
struct LaneTraits<double> {
  using Int = int64_t;
  typedef double Values __attribute__((vector_size(kRegister)));
  typedef int64_t Ints __attribute__((vector_size(kRegister)));
  static constexpr int mantissa = 52;
};

// A whole number a lane; as the result of a comparison, all bits set or none.
template <class S>
struct LaneInt {
  static constexpr int count = kRegister / int(sizeof(S));
  using Int = typename LaneTraits<S>::Int;
  using V = typename LaneTraits<S>::Ints;
  V v;
  LaneInt() = default;
  SURFEL_FN explicit LaneInt(V value) : v(value) {}
  SURFEL_FN explicit LaneInt(Int value) : v(V{} + value) {}
};
template <class S>
SURFEL_FN LaneInt<S> operator&(LaneInt<S> a, LaneInt<S> b) { return LaneInt<S>(a.v & b.v); }
template <class S>
SURFEL_FN LaneInt<S> operator|(LaneInt<S> a, LaneInt<S> b) { return LaneInt<S>(a.v | b.v); }
template <class S>
SURFEL_FN LaneInt<S> operator!(LaneInt<S> a) { return LaneInt<S>(~a.v); }
template <class S>
SURFEL_FN LaneInt<S> operator<=(LaneInt<S> a, LaneInt<S> b) {
  using V = typename LaneInt<S>::V;
  return LaneInt<S>(V(a.v <= b.v));
}
template <class S>
SURFEL_FN LaneInt<S> operator==(LaneInt<S> a, LaneInt<S> b) {
  using V = typename LaneInt<S>::V;
  return LaneInt<S>(V(a.v == b.v));
}

template <class S>
struct Lanes {
  static constexpr int count = kRegister / int(sizeof(S));
  using V = typename LaneTraits<S>::Values;
  V v;
  Lanes() = default;
  SURFEL_FN explicit Lanes(V value) : v(value) {}
  // `value - 0` is `value` for a compiler, which can leave it out; `0 + value` it must add, for -0 would become 0.
  SURFEL_FN explicit Lanes(S value) : v(value - V{}) {}
  SURFEL_FN Lanes operator-() const { return Lanes(-v); }
};

#define SURFEL_LANE_OPERATOR(op) \
  template <class S>             \
  SURFEL_FN Lanes<S> operator op(Lanes<S> a, Lanes<S> b) { return Lanes<S>(a.v op b.v); }
SURFEL_LANE_OPERATOR(+)
SURFEL_LANE_OPERATOR(-)
SURFEL_LANE_OPERATOR(*)
SURFEL_LANE_OPERATOR(/)
#undef SURFEL_LANE_OPERATOR
template <class S>
SURFEL_FN Lanes<S>& operator+=(Lanes<S>& a, Lanes<S> b) { return a = a + b; }
template <class S>
SURFEL_FN Lanes<S>& operator-=(Lanes<S>& a, Lanes<S> b) { return a = a - b; }
#define SURFEL_LANE_COMPARISON(op)                              \
  template <class S>                                            \
  SURFEL_FN LaneInt<S> operator op(Lanes<S> a, Lanes<S> b) {    \
    return LaneInt<S>(typename LaneInt<S>::V(a.v op b.v));      \
  }
SURFEL_LANE_COMPARISON(<)
SURFEL_LANE_COMPARISON(<=)
SURFEL_LANE_COMPARISON(>)
SURFEL_LANE_COMPARISON(>=)
SURFEL_LANE_COMPARISON(!=)
#undef SURFEL_LANE_COMPARISON

template <class S>
SURFEL_FN Lanes<S> pick(LaneInt<S> mask, Lanes<S> yes, Lanes<S> no) {
  return Lanes<S>(mask.v ? yes.v : no.v);
}
template <class S>
SURFEL_FN LaneInt<S> pick(LaneInt<S> mask, LaneInt<S> yes, LaneInt<S> no) {
  return LaneInt<S>(mask.v ? yes.v : no.v);
}

template <class S>
SURFEL_FN bool any(LaneInt<S> mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)mask.v, (__m512i)mask.v) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_epi8((__m256i)mask.v) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_epi8((__m128i)mask.v) != 0;
#else
  int64_t words[kRegister / 8], all = 0;
  memcpy(words, &mask.v, kRegister);
  for (int i = 0; i < kRegister / 8; ++i) all |= words[i];
  return all != 0;
#endif
}

template <class S>
SURFEL_FN Lanes<S> fused(Lanes<S> a, Lanes<S> b, Lanes<S> c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(S) == 4)
    return Lanes<S>((typename Lanes<S>::V)_mm512_fmadd_ps((__m512)a.v, (__m512)b.v, (__m512)c.v));
  else
    return Lanes<S>((typename Lanes<S>::V)_mm512_fmadd_pd((__m512d)a.v, (__m512d)b.v, (__m512d)c.v));
#elif defined(__FMA__) && defined(__AVX2__)
  if constexpr (sizeof(S) == 4)
    return Lanes<S>((typename Lanes<S>::V)_mm256_fmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v));
  else
    return Lanes<S>((typename Lanes<S>::V)_mm256_fmadd_pd((__m256d)a.v, (__m256d)b.v, (__m256d)c.v));
#else
  return Lanes<S>(a.v * b.v + c.v);
#endif
}
template <class S>
SURFEL_FN Lanes<S> square_root(Lanes<S> x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(S) == 4)
    return Lanes<S>((typename Lanes<S>::V)_mm512_sqrt_ps((__m512)x.v));
  else
    return Lanes<S>((typename Lanes<S>::V)_mm512_sqrt_pd((__m512d)x.v));
#elif defined(__AVX2__)
  if constexpr (sizeof(S) == 4)
    return Lanes<S>((typename Lanes<S>::V)_mm256_sqrt_ps((__m256)x.v));
  else
    return Lanes<S>((typename Lanes<S>::V)_mm256_sqrt_pd((__m256d)x.v));
#else
  for (int i = 0; i < Lanes<S>::count; ++i) x.v[i] = square_root(S(x.v[i]));
  return x;
#endif
}
template <class S>
SURFEL_FN Lanes<S> reciprocal(Lanes<S> x) { return Lanes<S>(S(1)) / x; }

// exp(x) for x <= 0, to about 1 unit in the last place; 0 stands for what is below the smallest normal
// number. x = n ln 2 + r with |r| <= ln(2)/2; exp(r) by its Taylor polynomial; 2^n by adding n to the
// exponent's bits, which the rounding constant left in t's lowest bits.
template <class S>
SURFEL_FN Lanes<S> exponential(Lanes<S> x) {
  using L = Lanes<S>;
  using Int = typename LaneInt<S>::V;
  constexpr bool single = sizeof(S) == 4;
  constexpr int mantissa = LaneTraits<S>::mantissa;
  const L lowest(single ? S(-87.0) : S(-708.0));
  const LaneInt<S> vanishes = x < lowest;
  x = pick(vanishes, lowest, x);
  const L magic(single ? S(12582912.0) : S(6755399441055744.0));  // 1.5 * 2^mantissa
  const L t = fused(x, L(S(1.4426950408889634)), magic);
  const L n = t - magic;
  L r = fused(n, L(single ? S(-0.693145751953125) : S(-0.69314718036912381649)), x);
  r = fused(n, L(single ? S(-1.42860682030941723e-6) : S(-1.90821492927058770002e-10)), r);
  L p(S(1));
  if constexpr (single) {
    constexpr S c[] = {S(1.0 / 720), S(1.0 / 120), S(1.0 / 24), S(1.0 / 6), S(0.5), S(1)};
    p = L(c[0]);
    for (int i = 1; i < 6; ++i) p = fused(p, r, L(c[i]));
  } else {
    constexpr S c[] = {S(1.0 / 6227020800.0), S(1.0 / 479001600), S(1.0 / 39916800), S(1.0 / 3628800),
                       S(1.0 / 362880),       S(1.0 / 40320),     S(1.0 / 5040),     S(1.0 / 720),
                       S(1.0 / 120),          S(1.0 / 24),        S(1.0 / 6),        S(0.5),
                       S(1)};
    p = L(c[0]);
    for (int i = 1; i < 13; ++i) p = fused(p, r, L(c[i]));
  }
  p = fused(p, r, L(S(1)));
  const Int power = (Int)t.v << mantissa;
  const L result((typename L::V)((Int)p.v + power));
  return pick(vanishes, L(S(0)), result);
}
template <class S>
SURFEL_FN Lanes<S> gaussian(Lanes<S> rho) { return exponential(Lanes<S>(S(-0.5)) * rho); }

// One step of the transposed sum: lane j is a[j] + a[j^s] where bit s of j is clear, else b[j] + b[j^s].
template <int s, class S, int... j>
SURFEL_FN Lanes<S> fold(Lanes<S> a, Lanes<S> b, std::integer_sequence<int, j...>) {
  using V = typename Lanes<S>::V;
  constexpr int n = Lanes<S>::count;
#if defined(__clang__)
  const V stay = __builtin_shufflevector(a.v, b.v, ((j & s) ? n + j : j)...);
  const V cross = __builtin_shufflevector(a.v, b.v, ((j & s) ? n + (j ^ s) : (j ^ s))...);
#else
  using I = typename LaneInt<S>::V;
  const V stay = __builtin_shuffle(a.v, b.v, I{((j & s) ? n + j : j)...});
  const V cross = __builtin_shuffle(a.v, b.v, I{((j & s) ? n + (j ^ s) : (j ^ s))...});
#endif
  return Lanes<S>(stay + cross);
}
template <int s, class S>
SURFEL_FN Lanes<S> transposed_sum(const Lanes<S>* v) {
  constexpr int n = Lanes<S>::count;
  if constexpr (s == 0) {
    return v[0];
  } else {
    // v[0 .. 2s): the lower half of the indices differs in bit s from the upper
    return fold<s>(transposed_sum<s / 2>(v), transposed_sum<s / 2>(v + s), std::make_integer_sequence<int, n>());
  }
}

template <int s, class S>
SURFEL_FN Lanes<S> sum_everywhere(Lanes<S> v) {
  v = fold<s>(v, v, std::make_integer_sequence<int, Lanes<S>::count>());
  if constexpr (s > 1) v = sum_everywhere<s / 2>(v);
  return v;
}

// out[i] = sum of the lanes of v[i], i < k, always in the same order.
template <int k, class S>
SURFEL_FN void sum_lanes(const Lanes<S>* v, S* out) {
  constexpr int n = Lanes<S>::count;
  if constexpr (k == 1) {
    out[0] = sum_everywhere<n / 2>(v[0]).v[0];
  } else if constexpr (k < n) {
    Lanes<S> padded[n];
    for (int i = 0; i < n; ++i) padded[i] = i < k ? v[i] : Lanes<S>(S(0));
    const Lanes<S> sums = transposed_sum<n / 2>(padded);
    memcpy(out, &sums.v, k * sizeof(S));
  } else {
    const Lanes<S> sums = transposed_sum<n / 2>(v);
    memcpy(out, &sums.v, sizeof(sums.v));
    if constexpr (k > n) sum_lanes<k - n>(v + n, out + n);
  }
}

}  // namespace SURFEL_NAMESPACE
