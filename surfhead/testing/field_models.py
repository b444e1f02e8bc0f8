"""A deformer's plain numbers worked out, as a program without Python would (docs/method.md, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.core.field_model import FieldModel
from surfhead.core.types import AffineField, Binding, Mesh
from surfhead.maths import geometry, triangles


def field_of(model: FieldModel, mesh: Mesh | None, binding: Binding) -> AffineField:
    """The field that a model's numbers mean, at every surfel in every pose of ``mesh``."""
    host = binding.triangle
    if model.kind == "still" or mesh is None:
        offset = binding.parameters["offset"]
        poses = 1 if mesh is None else len(mesh.vertices)
        one = torch.eye(3).to(offset).expand(poses, len(host), 3, 3)
        return AffineField(one, torch.zeros_like(one[..., 0]), one, torch.ones_like(one[:1, :, 0, 0]))
    rest, posed = mesh.rest.frames, mesh.frames
    axes = (rest.scale[:, None, None] * rest.rotation)[host]
    origin, scale = posed.centroid[:, host], rest.scale[host][None]
    if model.kind == "similarity":
        valid = (rest.valid & posed.valid)[:, host]
        frame = torch.where(valid[..., None, None], posed.rotation[:, host], rest.rotation[host])
        scale = torch.where(valid, posed.scale[:, host], rest.scale[host])
        return AffineField(scale[..., None, None] * frame, origin, frame @ rest.rotation[host].mT, scale)
    deformed = triangles.jacobians(rest, posed)
    alone = torch.tensor([1.0, 0.0, 0.0, 0.0]).to(axes).expand(len(host), 4)
    weights = alone if model.weights is None else model.weights.to(axes)
    near = torch.cat((host[:, None], mesh.topology.neighbours[host]), dim=1)
    if model.kind == "linear":
        affine = _sum(weights, deformed.jacobian[:, near])
        regular = (geometry.determinant(affine) > 1e-9)[..., None, None]
        safe = torch.where(regular, affine, torch.eye(3).to(affine))
        rotation = torch.where(regular, geometry.polar_rotation(safe), deformed.rotation[:, host])
        return AffineField(affine @ axes, origin, rotation, scale)
    turned = deformed.quaternion[:, near]
    if model.rotations == "relative":
        turned = geometry.quaternion_multiply(geometry.quaternion_conjugate(turned[:, :, :1]), turned)
    vector = _sum(weights, geometry.quaternion_to_axis_angle(turned))
    rotation = geometry.axis_angle_to_matrix(vector)
    if model.rotations == "relative":
        rotation = deformed.rotation[:, host] @ rotation
    stretch = _sum(weights, triangles.symmetric(deformed.stretch_entries)[:, near])
    return AffineField(rotation @ stretch @ axes, origin, rotation, scale)


def _sum(weights: Tensor, values: Tensor) -> Tensor:
    """(P, N, ...) sums over M of weights (N, M) and values (P, N, M, ...)."""
    return torch.einsum("nm,pnm...->pn...", weights, values)
