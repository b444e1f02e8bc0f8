"""The fused skinning kernels against PyTorch's own operations, which double precision still takes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surfhead.avatars.surfels import apply_field
from surfhead.core.types import AffineField, Binding, Mesh, RestMesh
from surfhead.plugins.deformers.jbs import Jbs
from tests.plugins.deformers.conftest import make_patch

pytestmark = pytest.mark.gpu


def close(found: Tensor | None, wanted: Tensor | None, name: str, tolerance: float = 2e-5) -> None:
    """Relative to the norm of the whole."""
    assert found is not None, name
    assert wanted is not None, name
    error = float((found.double() - wanted.double()).norm() / wanted.double().norm().clamp_min(1e-30))
    assert error < tolerance, f"{name}: {error:.1e}"


@pytest.mark.parametrize("poses", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_apply_field(poses: int, count: int) -> None:
    """World surfels and the gradients of everything they are made of."""
    g = torch.Generator().manual_seed(0)
    shapes = {
        "linear": (poses, count, 3, 3), "origin": (poses, count, 3), "offset": (count, 3),
        "log_scale": (count, 2), "quaternion": (count, 4),
    }  # fmt: skip
    start = {k: torch.randn(*s, generator=g, dtype=torch.float64).cuda() for k, s in shapes.items()}
    # near the identity: a nearly singular map amplifies float32's rounding in the normal without bound
    start["linear"] = torch.eye(3, dtype=torch.float64, device="cuda") + 0.2 * start["linear"]
    weights = {
        k: torch.randn(poses, count, *s, generator=g, dtype=torch.float64).cuda()
        for k, s in {"mean": (3,), "tangents": (3, 2), "normal": (3,)}.items()
    }
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = {k: v.to(dtype).requires_grad_() for k, v in start.items()}
        own = {k: leaves[k] for k in ("offset", "log_scale", "quaternion")}
        binding = Binding(
            torch.zeros(count, dtype=torch.int64, device="cuda"),
            {**own, "opacity": torch.zeros(count, dtype=dtype, device="cuda")},
        )
        scale = torch.ones(1, count, dtype=dtype, device="cuda")
        field = AffineField(leaves["linear"], leaves["origin"], leaves["linear"], scale)
        world = apply_field(field, binding)
        total = sum((getattr(world, k) * w.to(dtype)).sum() for k, w in weights.items())
        results.append((world, torch.autograd.grad(total, list(leaves.values()))))
    (world, found), (exact, wanted) = results
    for name in weights:
        close(getattr(world, name).detach(), getattr(exact, name).detach(), name)
    for name, value, reference in zip(shapes, found, wanted, strict=True):
        close(value, reference, name)


@pytest.mark.parametrize("rig_gradients", [True, False])
def test_jacobian_blend_skinning(rig_gradients: bool) -> None:
    """The field of ``jbs`` and the gradients of its weights and, where wanted, of the posed mesh."""
    results = []
    for dtype in (torch.float32, torch.float64):
        patch = make_patch()
        rest = RestMesh(patch.rest.vertices.to("cuda", dtype), patch.rest.topology.to("cuda"))
        logits = patch.binding.parameters["blend"].to("cuda", dtype).requires_grad_()
        binding = Binding(
            patch.binding.triangle.cuda(),
            {"blend": logits},
            {name: rows.cuda() for name, rows in patch.binding.regions.items()},
        )
        vertices = patch.vertices(3).to("cuda", dtype).requires_grad_()
        deformer = Jbs(Jbs.Options(rig_gradients=rig_gradients))
        field = deformer(Mesh(vertices, rest), binding)
        g = torch.Generator().manual_seed(3)
        parts = {"linear": field.linear, "origin": field.origin, "rotation": field.rotation}
        total = torch.zeros((), dtype=dtype, device="cuda")
        for value in parts.values():
            weight = torch.randn(value.shape, generator=g, dtype=torch.float64)
            total = total + (value * weight.to("cuda", dtype)).sum()
        results.append((parts, torch.autograd.grad(total, [logits, vertices])))
    (parts, found), (exact, wanted) = results
    for name, value in parts.items():
        close(value.detach(), exact[name].detach(), name)
    close(found[0], wanted[0], "weights", 1e-4)
    close(found[1], wanted[1], "vertices", 1e-4)
