"""The GPU's skinning mathematics, compiled for the CPU in double precision, against PyTorch."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from surfhead.avatars.surfels import apply_field
from surfhead.core.types import AffineField, Binding
from surfhead.kernels.sources import kernel_sources
from surfhead.maths import geometry, planes, triangles

COMPILER = shutil.which("c++")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

SOURCE = r"""
#include "skinning.h"
using namespace surfel;
extern "C" void field(int n, const double* offset, const double* log_scale, const double* quaternion,
                      const double* linear, const double* origin, const double* g_world, double* world,
                      double* g_own, double* g_linear) {
  for (int i = 0; i < n; ++i) {
    Canonical<double> own;
    for (int k = 0; k < 3; ++k) own.offset[k] = offset[3 * i + k];
    for (int k = 0; k < 2; ++k) own.log_scale[k] = log_scale[2 * i + k];
    for (int k = 0; k < 4; ++k) own.quaternion[k] = quaternion[4 * i + k];
    const Axes<double> axes = canonical_axes(own);
    const World<double> w = to_world(linear + 9 * i, origin + 3 * i, own, axes);
    World<double> g;
    for (int k = 0; k < 12; ++k) {
      world[12 * i + k] = (&w.mean[0])[k];
      (&g.mean[0])[k] = g_world[12 * i + k];
    }
    double gu[3] = {}, gv[3] = {}, *out = g_own + 9 * i;
    to_world_backward(linear + 9 * i, own, axes, g, g_linear + 9 * i, out, gu, gv, out + 3);
    axes_backward(axes, gu, gv, out + 5);
  }
}
extern "C" void blended(int n, const double* near, const double* weights, const double* g_affine,
                        const double* g_rotation, double* affine, double* rotation, double* g_weights,
                        double* g_near) {
  static_assert(sizeof(Neighbourhood<double>) == 37 * sizeof(double), "packed");
  for (int i = 0; i < n; ++i) {
    const auto& h = *reinterpret_cast<const Neighbourhood<double>*>(near + 37 * i);
    auto& g = *reinterpret_cast<Neighbourhood<double>*>(g_near + 37 * i);
    const Blended<double> b = blend(h, weights + 4 * i);
    for (int k = 0; k < 9; ++k) {
      affine[9 * i + k] = b.affine[k];
      rotation[9 * i + k] = b.rotation[k];
    }
    blend_backward(h, weights + 4 * i, b, g_affine + 9 * i, g_rotation + 9 * i, g_weights + 4 * i, g);
  }
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The header, compiled."""
    folder: Path = tmp_path_factory.mktemp("skinning")
    (folder / "skinning.cpp").write_text(SOURCE)
    target = folder / "skinning.so"
    command = [str(COMPILER), "-O1", "-std=c++17", "-shared", "-fPIC", f"-I{kernel_sources()}"]
    subprocess.run([*command, "-o", str(target), str(folder / "skinning.cpp")], check=True)
    return ctypes.CDLL(str(target))


def call(function: object, count: int, *tensors: Tensor) -> None:
    """Call with the addresses of contiguous doubles."""
    assert all(t.is_contiguous() and t.dtype == torch.float64 for t in tensors)
    function(count, *(ctypes.c_void_p(t.data_ptr()) for t in tensors))  # type: ignore[operator]


def test_field(library: ctypes.CDLL) -> None:
    """apply_field and its gradients."""
    g = torch.Generator().manual_seed(0)
    count = 50
    shapes = {"offset": (3,), "log_scale": (2,), "quaternion": (4,), "linear": (3, 3), "origin": (3,)}
    leaves = {
        name: torch.randn(count, *shape, generator=g, dtype=torch.float64).requires_grad_()
        for name, shape in shapes.items()
    }
    parameters = {name: leaves[name] for name in ("offset", "log_scale", "quaternion")}
    parameters["opacity"] = torch.zeros(count, dtype=torch.float64)
    binding = Binding(torch.zeros(count, dtype=torch.int64), parameters)
    linear, origin = leaves["linear"][None], leaves["origin"][None]
    world = apply_field(AffineField(linear, origin, linear, torch.ones(1, count)), binding)
    wanted = torch.cat([world.mean[0], world.tangents[0].reshape(-1, 6), world.normal[0]], dim=1)
    weights = torch.randn(count, 12, generator=g, dtype=torch.float64)
    exact = dict(
        zip(leaves, torch.autograd.grad((wanted * weights).sum(), list(leaves.values())), strict=True)
    )
    found = torch.zeros(count, 12, dtype=torch.float64)
    own = torch.zeros(count, 9, dtype=torch.float64)
    g_linear = torch.zeros(count, 9, dtype=torch.float64)
    call(library.field, count, *(value.detach() for value in leaves.values()), weights, found, own, g_linear)
    torch.testing.assert_close(found, wanted.detach())
    for name, value in zip(shapes, own.split([3, 2, 4], dim=1), strict=False):
        torch.testing.assert_close(value, exact[name])
    torch.testing.assert_close(g_linear.view(-1, 3, 3), exact["linear"])


@pytest.mark.parametrize("angle", [0.0, 1e-5, 0.3, 2.0])
def test_blend(library: ctypes.CDLL, angle: float) -> None:
    """The blended rotation and affine map and their gradients, also at rest, where the Taylor branch is."""
    g = torch.Generator().manual_seed(1)
    count = 40

    def random(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=g, dtype=torch.float64)

    quaternion = torch.nn.functional.normalize(random(4), dim=-1).requires_grad_()
    logarithm = (angle * random(3, 3)).requires_grad_()
    stretch = random(4, 6).requires_grad_()
    weights = torch.rand(count, 4, generator=g, dtype=torch.float64).requires_grad_()
    turn = geometry.axis_angle_to_quaternion((weights[:, 1:, None] * logarithm).sum(1))
    rotation = geometry.unit_quaternion_to_matrix(geometry.quaternion_multiply(quaternion, turn))
    mixed = triangles.symmetric((weights[..., None] * stretch).sum(1))
    affine = planes.matrix_product(rotation, mixed)
    of_affine, of_rotation = random(3, 3), random(3, 3)
    exact = torch.autograd.grad(
        (affine * of_affine).sum() + (rotation * of_rotation).sum(),
        [quaternion, logarithm, stretch, weights],
    )
    near = torch.cat([quaternion, logarithm.flatten(1), stretch.flatten(1)], dim=1).detach().contiguous()
    found = [torch.zeros(count, size, dtype=torch.float64) for size in (9, 9, 4, 37)]
    call(library.blended, count, near, weights.detach(), of_affine, of_rotation, *found)
    torch.testing.assert_close(found[0].view(-1, 3, 3), affine.detach().contiguous())
    torch.testing.assert_close(found[1].view(-1, 3, 3), rotation.detach().contiguous())
    torch.testing.assert_close(found[2], exact[3])
    for value, wanted in zip(found[3].split([4, 9, 24], dim=1), exact, strict=False):
        torch.testing.assert_close(value, wanted.flatten(1))
