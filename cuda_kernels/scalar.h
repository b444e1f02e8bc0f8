// Constants of the method and the scalar operations the surfel mathematics is written in.
#pragma once

#if !defined(__CUDACC_RTC__)
#include <math.h>
#endif

#if defined(__CUDACC__)
#define SURFEL_FN __host__ __device__ __forceinline__
#else
#define SURFEL_FN inline __attribute__((always_inline))
#endif

// The CPU source is compiled once per instruction set, each in a namespace of its own.
#if !defined(SURFEL_NAMESPACE)
#define SURFEL_NAMESPACE surfel
#endif

namespace SURFEL_NAMESPACE {

constexpr double kAlphaMax = 0.99;            // cap of one surfel's alpha
constexpr double kAlphaMin = 1.0 / 255.0;     // a pair below it is skipped
constexpr double kTransmittanceMin = 1e-4;    // compositing stops before falling below it
constexpr double kMedianTransmittance = 0.5;  // the median depth's switch
constexpr double kDistortionNear = 0.2;       // metres, fixed by the method
constexpr double kDistortionFar = 100.0;      // metres, fixed by the method
// m = f/(f-n) (1 - n/depth), so that m_i - m_j = kDistortionScale (1/depth_j - 1/depth_i).
constexpr double kDistortionScale =
    kDistortionFar * kDistortionNear / (kDistortionFar - kDistortionNear);

// Scalar operations; cpu/lanes.h overloads them for SIMD lanes.
SURFEL_FN float fused(float a, float b, float c) {  // a b + c
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#elif defined(__FMA__) || defined(__aarch64__) || defined(__CUDACC__)
  return fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
SURFEL_FN double fused(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
  return __fma_rn(a, b, c);
#elif defined(__FMA__) || defined(__aarch64__) || defined(__CUDACC__)
  return fma(a, b, c);
#else
  return a * b + c;
#endif
}
SURFEL_FN float square_root(float x) { return sqrtf(x); }
SURFEL_FN double square_root(double x) { return sqrt(x); }
SURFEL_FN float rough_root(float x) {
#if defined(__CUDA_ARCH__)
  float y;  // two instructions, 1 ulp, instead of a correctly rounded root's nine
  asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return sqrtf(x);
#endif
}
SURFEL_FN double rough_root(double x) { return sqrt(x); }
SURFEL_FN float logarithm(float x) { return logf(x); }
SURFEL_FN double logarithm(double x) { return log(x); }
SURFEL_FN float exponential(float x) {
#if defined(__CUDA_ARCH__)
  float y;  // 2^(x log2 e); 2 ulp over the range used, x in [-6, 0]
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.4426950408889634f));
  return y;
#else
  return expf(x);
#endif
}
SURFEL_FN double exponential(double x) { return exp(x); }
SURFEL_FN float gaussian(float rho) {  // exp(-rho/2)
#if defined(__CUDA_ARCH__)
  float y;  // the factors of exponential and of rho as one
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(rho * -0.72134752044448171f));
  return y;
#else
  return expf(-0.5f * rho);
#endif
}
SURFEL_FN double gaussian(double rho) { return exp(-0.5 * rho); }
// To the last digits, over all numbers.
SURFEL_FN float exponential_exact(float x) { return expf(x); }
SURFEL_FN double exponential_exact(double x) { return exp(x); }
SURFEL_FN float logarithm_one_plus(float x) { return log1pf(x); }  // log(1 + x)
SURFEL_FN double logarithm_one_plus(double x) { return log1p(x); }
SURFEL_FN float sine(float x) { return sinf(x); }
SURFEL_FN double sine(double x) { return sin(x); }
SURFEL_FN float cosine(float x) { return cosf(x); }
SURFEL_FN double cosine(double x) { return cos(x); }
SURFEL_FN float arc_tangent(float y, float x) { return atan2f(y, x); }
SURFEL_FN double arc_tangent(double y, double x) { return atan2(y, x); }
SURFEL_FN float reciprocal(float x) {
#if defined(__CUDA_ARCH__)
  float y;  // one instruction, 1 ulp, instead of a division's eight
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return 1.0f / x;
#endif
}
SURFEL_FN double reciprocal(double x) { return 1.0 / x; }
template <class T>
SURFEL_FN T pick(bool condition, T yes, T no) { return condition ? yes : no; }
template <class T>
SURFEL_FN T lesser(T a, T b) { return pick(a < b, a, b); }
template <class T>
SURFEL_FN T greater(T a, T b) { return pick(a < b, b, a); }

}  // namespace SURFEL_NAMESPACE
