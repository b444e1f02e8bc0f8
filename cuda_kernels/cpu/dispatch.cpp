// Chooses the best instruction set this processor has, and exports the C interface.
// Compiled for the baseline processor.
#include "interface.h"

#if defined(_WIN32)
#define SURFHEAD_EXPORT extern "C" __declspec(dllexport)
#else
#define SURFHEAD_EXPORT extern "C" __attribute__((visibility("default")))
#endif

#if defined(SURFHEAD_AVX2)
namespace surfel_avx2 {
extern const SurfheadKernels kernels;
}
#endif
#if defined(SURFHEAD_AVX512)
namespace surfel_avx512 {
extern const SurfheadKernels kernels;
}
#endif
namespace surfel_baseline {
extern const SurfheadKernels kernels;
}

namespace {

struct Set {
  const char* name;
  const SurfheadKernels* kernels;
};

int supported(Set* sets) {  // best first
  int count = 0;
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();
#endif
#if defined(SURFHEAD_AVX512)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    sets[count++] = {"avx512", &surfel_avx512::kernels};
#endif
#if defined(SURFHEAD_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets[count++] = {"avx2", &surfel_avx2::kernels};
#endif
  sets[count++] = {"baseline", &surfel_baseline::kernels};
  return count;
}

const SurfheadKernels& chosen(int set) {
  Set sets[3];
  const int count = supported(sets);
  return *sets[set < count ? set : count - 1].kernels;
}

}  // namespace

// Raised with every change of the structs of interface.h; the loader refuses another number.
SURFHEAD_EXPORT int surfhead_interface(void) { return 2; }

// Raised with every new thing a caller may ask for that an older library of the same structs does not know: 1: no
// gradient of the distortion beside one of the depth.
SURFHEAD_EXPORT int surfhead_revision(void) { return 1; }

// Name of the instruction set number `set`, best first; null past the last this processor can run.
SURFHEAD_EXPORT const char* surfhead_instruction_set(int set) {
  Set sets[3];
  return set >= 0 && set < supported(sets) ? sets[set].name : nullptr;
}

SURFHEAD_EXPORT int surfhead_forward_f32(int set, const SurfheadInputs* in, const SurfheadOutputs* out) {
  return chosen(set).forward_f32(in, out);
}
SURFHEAD_EXPORT int surfhead_forward_f64(int set, const SurfheadInputs* in, const SurfheadOutputs* out) {
  return chosen(set).forward_f64(in, out);
}
SURFHEAD_EXPORT int surfhead_backward_f32(int set, const SurfheadInputs* in, const SurfheadOutputs* out,
                                          const SurfheadGradients* given) {
  return chosen(set).backward_f32(in, out, given);
}
SURFHEAD_EXPORT int surfhead_backward_f64(int set, const SurfheadInputs* in, const SurfheadOutputs* out,
                                          const SurfheadGradients* given) {
  return chosen(set).backward_f64(in, out, given);
}
SURFHEAD_EXPORT int surfhead_rows(int set, const char* module, const char* name, const SurfheadRows* given) {
  return chosen(set).rows(module, name, given);
}
