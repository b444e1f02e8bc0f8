// The C interface of the CPU kernels: raw pointers, no PyTorch header. Every array is contiguous; `real` is
// float or double by the entry point's suffix. B views, P poses, N surfels, H by W pixels.
#pragma once

#include <stdint.h>

struct SurfheadInputs {
  int64_t views, poses, surfels, height, width;
  int64_t threads;
  double near;                 // metres
  const double* cameras;       // (B, 16) rotation row major, translation, fx, fy, cx, cy
  const int64_t* pose_of_view; // (B,)
  const void* mean;            // real (P, N, 3)
  const void* tangents;        // real (P, N, 3, 2)
  const void* normal;          // real (P, N, 3)
  const void* opacity;         // real (N,)
  const void* colour;          // real (B, N, 3)
  const void* background;      // real (B, 3)
};

struct SurfheadOutputs {
  void* rgb;                   // real (B, H, W, 3)
  void* alpha;                 // real (B, H, W), and so on
  void* normal;                // real (B, H, W, 3)
  void* depth;
  void* median_depth;
  void* distortion;
  uint8_t* visible;            // (B, N)
  void* radius;                // real (B, N)
  // What the backward reads again, (B, H, W):
  void* transmittance;         // real, at the end
  void* d0;                    // real, expected depth minus that of the middle surfel of the tile's list
  void* d1;                    // real, the distortion's running sums
  void* d2;
  int32_t* last;               // place in the tile's list of the last composited surfel, or -1
  int32_t* median_at;          // place of the median surfel, or -1
};

struct SurfheadGradients {
  // Given; normal may be null, and so may distortion, or depth, median_depth and distortion together: they then cost
  // nothing.
  const void* rgb;
  const void* alpha;
  const void* normal;
  const void* depth;
  const void* median_depth;
  const void* distortion;
  // Made, added to what is there: as the inputs of the same name.
  void* g_mean;
  void* g_tangents;
  void* g_normal;
  void* g_opacity;
  void* g_colour;
};

enum SurfheadStatus { kSurfheadOk = 0, kSurfheadOutOfMemory = 1, kSurfheadTooManyIntersections = 2, kSurfheadUnknown = 3 };

// A launch of a kernel of ../cuda/ on a CPU: its one argument, blocks of the grid, and calls a block.
struct SurfheadRows {
  const void* arguments;
  int64_t grid[3];
  int64_t block;
  int64_t threads;
  int64_t scatters;  // whether blocks of one row of the grid add to the same places
};

// One instruction set's kernels.
struct SurfheadKernels {
  int (*forward_f32)(const SurfheadInputs*, const SurfheadOutputs*);
  int (*forward_f64)(const SurfheadInputs*, const SurfheadOutputs*);
  int (*backward_f32)(const SurfheadInputs*, const SurfheadOutputs*, const SurfheadGradients*);
  int (*backward_f64)(const SurfheadInputs*, const SurfheadOutputs*, const SurfheadGradients*);
  int (*rows)(const char* module, const char* name, const SurfheadRows*);
};
