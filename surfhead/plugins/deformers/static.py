"""No rig: the surfels' offsets are world positions, in metres, and nothing moves.

Plain 2D Gaussian splatting of a static scene. The linear part is the identity, the origin and the
rotation are trivial, and the length unit of offsets and scales is one metre.
"""

from __future__ import annotations

from typing import ClassVar, final

import torch

from surfhead.core.api import AffineField, Binding, Deformer, FieldModel, Mesh


@final
class Static(Deformer):
    """The identity field (2DGS, SIGGRAPH 2024)."""

    name = "static"
    summary = "No rig: surfels stay where they are."
    capturable = True
    rig_bound: ClassVar[bool] = False

    def field_model(self, binding: Binding) -> FieldModel:
        """Surfels stay."""
        return FieldModel("still")

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        """The identity for every pose of ``mesh`` (one pose without a mesh)."""
        offset = binding.parameters["offset"]
        poses, count = (1 if mesh is None else len(mesh.vertices)), len(binding)
        identity = torch.eye(3, dtype=offset.dtype, device=offset.device).expand(poses, count, 3, 3)
        return AffineField(
            linear=identity,
            origin=offset.new_zeros(()).expand(poses, count, 3),
            rotation=identity,
            scale=offset.new_ones(()).expand(1, count),
        )
