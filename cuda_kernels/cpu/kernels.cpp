// The kernels of one instruction set. Compiled once for each, with SURFEL_NAMESPACE naming it.
#include "backward.h"
#include "forward.h"

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
}  // namespace

extern const SurfheadKernels kernels;
const SurfheadKernels kernels = {forward_f32, forward_f64, backward_f32, backward_f64};

}  // namespace SURFEL_NAMESPACE
