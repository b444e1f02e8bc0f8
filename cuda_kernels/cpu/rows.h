// Kernels of cuda/ whose threads do not wait for each other, on a CPU: a thread is a call, blocks are shared out over
// the cores. Compiled once for each instruction set, in its namespace.
//
// What several threads of a block add up they add in the order of their calls, in double. Kernels that scatter by
// atomics run the blocks of one row of the grid (one pose) in their order, in one thread. So nothing depends on the
// number of threads.
#pragma once

#define SURFEL_ON_CPU
#include <math.h>
#include <stddef.h>

#include "../harmonics.h"
#include "../surface.h"
#include "../triangles.h"
#include "interface.h"

#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define SURFEL_KERNEL(threads, name) static inline void name
#define SURFEL_KERNEL_BLOCKS(threads, blocks, name) static inline void name

namespace SURFEL_NAMESPACE {

struct RowIndex {
  unsigned x, y, z;
};
struct RowPlace {
  RowIndex thread, block, grid;
  double first, second;  // sums over the block
};
static thread_local RowPlace row_place;
#define threadIdx row_place.thread
#define blockIdx row_place.block
#define gridDim row_place.grid

__forceinline__ float atomicAdd(float* to, float value) {
  const float before = *to;
  *to = before + value;
  return before;
}
__forceinline__ float __shfl_down_sync(unsigned, float value, int) { return value; }

// A block's threads are called from the last to the first, which therefore has the sums.
template <int kBlock>
__forceinline__ void block_sums(float& first, float& second) {
  RowPlace& place = row_place;
  if (place.thread.x == kBlock - 1) place.first = place.second = 0.0;
  first = float(place.first += double(first));
  second = float(place.second += double(second));
}

#include "../cuda/rows.h"

namespace colours {
#include "../cuda/colours.cu"
}
namespace optimiser {
#include "../cuda/optimiser.cu"
}
namespace skinning {
#include "../cuda/skinning.cu"
}
namespace surface_terms {
#include "../cuda/surface_terms.cu"
}
namespace triangles {
#include "../cuda/triangles.cu"
}

template <class Arguments, void (*kKernel)(const Arguments)>
static void run_rows(const SurfheadRows& rows) {
  const Arguments& arguments = *static_cast<const Arguments*>(rows.arguments);
  const RowIndex grid = {unsigned(rows.grid[0]), unsigned(rows.grid[1]), unsigned(rows.grid[2])};
  const unsigned along = rows.scatters ? grid.x : 1;  // blocks that must keep their order
  const int64_t jobs = int64_t(grid.x / along) * grid.y * grid.z;
#pragma omp parallel for schedule(static) num_threads(int(rows.threads)) if (jobs > 1)
  for (int64_t job = 0; job < jobs; ++job) {
    RowPlace& place = row_place;
    place.grid = grid;
    const unsigned width = grid.x / along, first = unsigned(job % width);
    place.block = {first, unsigned(job / width % grid.y), unsigned(job / width / grid.y)};
    for (unsigned i = 0; i < along; ++i) {
      place.block.x = first + i;
      for (int64_t thread = rows.block; thread-- > 0;) {
        place.thread = {unsigned(thread), 0, 0};
        kKernel(arguments);
      }
    }
  }
}

struct RowKernel {
  const char *module, *name;
  void (*run)(const SurfheadRows&);
};

#define SURFEL_ROWS(module, name, Arguments) {#module, #name, run_rows<module::Arguments, module::name>}
static const RowKernel row_kernels[] = {
    SURFEL_ROWS(colours, rest_directions, Directions),
    SURFEL_ROWS(colours, rest_directions_backward, Directions),
    SURFEL_ROWS(colours, facing_normals, Facing),
    SURFEL_ROWS(colours, harmonic_colours, Harmonics),
    SURFEL_ROWS(colours, harmonic_colours_backward, Harmonics),
    SURFEL_ROWS(optimiser, screen_gradients, Screen),
    SURFEL_ROWS(skinning, apply_field, Field),
    SURFEL_ROWS(skinning, apply_field_backward, Field),
    SURFEL_ROWS(skinning, blend_triangles, Blend),
    SURFEL_ROWS(skinning, blend_triangles_backward, Blend),
    SURFEL_ROWS(surface_terms, length_term, LengthTerm),
    SURFEL_ROWS(surface_terms, length_term_backward, LengthTerm),
    SURFEL_ROWS(triangles, pose_triangles, Triangles),
    SURFEL_ROWS(triangles, pose_triangles_backward, Triangles),
    SURFEL_ROWS(triangles, relative_logarithms, Triangles),
    SURFEL_ROWS(triangles, relative_logarithms_backward, Triangles),
};
#undef SURFEL_ROWS
#undef threadIdx
#undef blockIdx
#undef gridDim

}  // namespace SURFEL_NAMESPACE
