// The mathematics of 2D Gaussian surfels, shared by the CPU and the CUDA kernels.
//
// Source: "2D Gaussian Splatting for Geometrically Accurate Radiance Fields" (SIGGRAPH 2024), in the form
// that docs/method.md, section 5, states; README.md beside this file derives the equations named below.
// Everything is templated on the number type: float, double, or the SIMD lanes of cpu/lanes.h. No standard
// header is needed under NVRTC.
//
// Bit-equal decisions in forward and backward: every fused multiply-add is written as `fused`, so compile
// with contraction off (-ffp-contract=off, nvrtc --fmad=false); then `intersect` and `weigh` give the same
// bits wherever they are inlined.
#pragma once

#include "scalar.h"       // constants, operations
#include "projection.h"   // per view and surfel, forward and backward; footprints
#include "compositing.h"  // per (pixel, surfel) pair, forward and backward
