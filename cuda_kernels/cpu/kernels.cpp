// The kernels of one instruction set. Compiled once for each, with SURFEL_NAMESPACE naming it.
#include <string.h>

#include "backward.h"
#include "forward.h"
#include "lit_colours.h"
#include "lobe_inputs.h"
#include "mesh_terms.h"
#include "normal_term.h"
#include "parameters.h"
#include "picture_losses.h"
#include "rows.h"

#if defined(__x86_64__) && defined(__GLIBC__)
// Newer headers ask for the logarithm of glibc 2.29, which differs in how it reports errors only. With the older one
// a wheel serves what PyTorch's serves (manylinux_2_28), whatever system it was built on.
__asm__(".symver log,log@GLIBC_2.2.5");
#endif

namespace SURFEL_NAMESPACE {

namespace {
int forward_f32(const SurfheadInputs* in, const SurfheadOutputs* out) { return forward<float>(*in, *out); }
int forward_f64(const SurfheadInputs* in, const SurfheadOutputs* out) { return forward<double>(*in, *out); }
int backward_f32(const SurfheadInputs* in, const SurfheadOutputs* out, const SurfheadGradients* given) {
  return backward<float>(*in, *out, *given);
}
int backward_f64(const SurfheadInputs* in, const SurfheadOutputs* out, const SurfheadGradients* given) {
  return backward<double>(*in, *out, *given);
}
int rows(const char* module, const char* name, const SurfheadRows* given) {
  if (strcmp(module, "picture_losses") == 0)
    return picture_losses(*given, strcmp(name, "picture_losses_backward") == 0);
  if (strcmp(module, "surface_terms") == 0 && strncmp(name, "normal_term", 11) == 0)
    return normal_term(*given, strcmp(name, "normal_term_backward") == 0);
  if (strcmp(module, "squares") == 0) return squares(*given, strcmp(name, "squares_backward") == 0);
  if (strcmp(module, "parameters") == 0) return parameters(*given, strcmp(name, "adam") == 0);
  if (strcmp(module, "highlight") == 0 && strncmp(name, "lobe_inputs", 11) == 0)
    return lobe_inputs(*given, strcmp(name, "lobe_inputs_backward") == 0);
  if (strcmp(module, "mesh_terms") == 0) return mesh_terms(*given, name);
  if (strcmp(module, "lit_colours") == 0) return lit_colours(*given, strcmp(name, "lit_colours_backward") == 0);
  for (const RowKernel& kernel : row_kernels)
    if (strcmp(kernel.module, module) == 0 && strcmp(kernel.name, name) == 0) {
      kernel.run(*given);
      return kSurfheadOk;
    }
  return kSurfheadUnknown;
}
}  // namespace

extern const SurfheadKernels kernels;
const SurfheadKernels kernels = {forward_f32, forward_f64, backward_f32, backward_f64, rows};

}  // namespace SURFEL_NAMESPACE
