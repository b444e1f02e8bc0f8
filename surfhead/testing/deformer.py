"""Checks of deformers (docs/method.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from surfhead.core.components import Deformer
from surfhead.core.field_model import FieldModel
from surfhead.core.types import AffineField, Binding, Mesh
from surfhead.testing import tiny
from surfhead.testing.capture import require_capturable
from surfhead.testing.declared import learning, require_region_alone, require_valid
from surfhead.testing.field_models import field_of
from surfhead.testing.suite import Subject, promise, require
from surfhead.testing.values import (
    require_close,
    require_finite,
    require_repeatable,
    require_shape,
    require_unchanged,
    snapshot,
)

MANY = 40  # surfels: more than the tiny sheet's 18 triangles, so that hosts repeat
ANGLES = (0.3, 1.2, 2.6, 3.1)  # of the rigid motions, radians


def rig_bound(cls: type[Deformer]) -> bool:
    """Whether the class needs a rig."""
    return cls.rig_bound


def _inputs(
    deformer: Deformer, poses: int = 3, count: int = MANY, dtype: torch.dtype = torch.float32
) -> tuple[Mesh | None, Binding]:
    rest = tiny.rest_mesh(dtype=dtype)
    bound = type(deformer).rig_bound
    mesh = tiny.posed_mesh(rest, poses) if bound else None
    topology = rest.topology if bound else None
    return mesh, tiny.binding(deformer.parameters(), count, topology, dtype=dtype)


def _require_field(field: Any, poses: int, count: int) -> None:
    require(isinstance(field, AffineField), f"It gave a {type(field).__name__}.", "Expected an AffineField.")
    require_shape(field.linear, (poses, count, 3, 3), "linear")
    require_shape(field.origin, (poses, count, 3), "origin")
    require_shape(field.rotation, (poses, count, 3, 3), "rotation")
    require_shape(field.scale, (len(field.scale), count), "scale")
    require(
        len(field.scale) in (1, poses), f"scale is for {len(field.scale)} poses.", f"Expected {poses} or 1."
    )
    require_finite(field, "The field's")
    identity = torch.eye(3, dtype=field.rotation.dtype).expand_as(field.rotation)
    require_close(field.rotation @ field.rotation.mT, identity, "rotation times its transpose", 1e-4)
    require(bool((torch.linalg.det(field.rotation) > 0).all()), "A rotation reflects.")
    require(bool((field.scale > 0).all()), "A scale is not positive.")


@promise("deformer")
def declares_parameters(subject: Subject) -> None:
    """The parameters it declares can be allocated, and take no name of the core's."""
    require_valid(subject.make().parameters())


@promise("deformer")
def gives_field(subject: Subject) -> None:
    """For 1 and 3 poses and 0, 1 and many surfels, the field is finite, of its shape, with true rotations."""
    deformer = subject.make()
    for poses in (1, 3) if deformer.rig_bound else (1,):
        for count in (0, 1, MANY):
            mesh, binding = _inputs(deformer, poses, count)
            _require_field(deformer(mesh, binding), poses, count)


@promise("deformer")
def field_model_agrees(subject: Subject) -> None:
    """``field_model``, where there is one, gives the maps of ``__call__``, for small and large turns."""
    deformer = subject.make()
    mesh, binding = _inputs(deformer, dtype=torch.float64)
    model = deformer.field_model(binding)
    if model is None:
        return
    require(isinstance(model, FieldModel), f"It gave a {type(model).__name__}.")
    told, own = field_of(model, mesh, binding), deformer(mesh, binding)
    for name in ("linear", "origin", "rotation"):
        require_close(getattr(told, name), getattr(own, name), f"The field model's {name}", 1e-6)


@promise("deformer")
def deterministic(subject: Subject) -> None:
    """Equal inputs give equal fields, bit for bit, in every instance."""
    require_repeatable(subject.make, lambda deformer: deformer(*_inputs(deformer)))


@promise("deformer")
def inputs_unmodified(subject: Subject) -> None:
    """Mesh and binding are left as they were."""
    deformer = subject.make()
    inputs = _inputs(deformer)
    before = snapshot(inputs)
    deformer(*inputs)
    require_unchanged(inputs, before)


@promise("deformer", rig_bound)
def poses_are_independent(subject: Subject) -> None:
    """Three poses at once equal the three one by one."""
    deformer = subject.make()
    rest = tiny.rest_mesh()
    mesh = tiny.posed_mesh(rest, 3)
    binding = tiny.binding(deformer.parameters(), MANY, rest.topology)
    together = deformer(mesh, binding)
    for pose in range(3):
        alone = deformer(Mesh(mesh.vertices[pose : pose + 1], rest), binding)
        for name in ("linear", "origin", "rotation"):
            require_close(
                getattr(together, name)[pose], getattr(alone, name)[0], f"{name}, pose {pose}", 1e-5
            )


@promise("deformer")
def surfels_are_independent(subject: Subject) -> None:
    """Surfels in another order give the same field in that order."""
    deformer = subject.make()
    mesh, binding = _inputs(deformer)
    order = torch.randperm(MANY, generator=tiny.generator(3))
    field = deformer(mesh, binding)
    shuffled = deformer(mesh, tiny.reordered(binding, order, mesh.topology if mesh else None))
    for name in ("linear", "origin", "rotation", "scale"):
        require_close(getattr(shuffled, name), getattr(field, name)[:, order], name, 1e-6)


@promise("deformer")
def host_weight_is_a_share(subject: Subject) -> None:
    """The host's weight is a number in [0, 1] for each of 0, 1 and many surfels."""
    deformer = subject.make()
    for count in (0, 1, MANY):
        _, binding = _inputs(deformer, count=count)
        weight = deformer.host_weight(binding)
        require_shape(weight, (count,), "host_weight")
        require_finite(weight, "The host's weight")
        require(bool(((weight >= 0) & (weight <= 1)).all()), "A host's weight is outside [0, 1].")


@promise("deformer", rig_bound)
def rest_gives_rest(subject: Subject) -> None:
    """At the rest pose the field is the rest triangles' scaled frames, centroids and no rotation."""
    deformer = subject.make()
    rest = tiny.rest_mesh(dtype=torch.float64)
    binding = tiny.binding(deformer.parameters(), MANY, rest.topology, dtype=torch.float64)
    field = deformer(Mesh(rest.vertices[None], rest), binding)
    frames, host = rest.frames, binding.triangle
    scale, frame = frames.scale[host], frames.rotation[host]
    require_close(field.linear[0], scale[:, None, None] * frame, "linear", 1e-9)
    require_close(field.origin[0], frames.centroid[host], "origin", 1e-9)
    require_close(field.rotation[0], torch.eye(3, dtype=torch.float64).expand(MANY, 3, 3), "rotation", 1e-9)
    require_close(field.scale[0], scale, "scale", 1e-9)


@promise("deformer", rig_bound)
def follows_rigid_motion(subject: Subject) -> None:
    """A rigid motion of the mesh by any angle up to ``max_angle`` moves the field with it."""
    deformer = subject.make()
    limit = deformer.max_angle
    require(limit > 0, f"max_angle is {limit}.", "Expected a positive angle.")
    rest = tiny.rest_mesh(dtype=torch.float64)
    binding = tiny.binding(deformer.parameters(), MANY, rest.topology, dtype=torch.float64)
    meshes = {"rest": Mesh(rest.vertices[None], rest)}
    if limit == float("inf"):  # a limited one need not commute with the turns within a deformed mesh
        meshes["posed"] = tiny.posed_mesh(rest, 2)
    for angle in sorted({min(angle, 0.99 * limit) for angle in ANGLES}):
        turn = tiny.rotation(angle, seed=5, dtype=torch.float64)
        shift = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)
        for name, mesh in meshes.items():
            before = deformer(mesh, binding)
            after = deformer(tiny.moved(mesh, turn, shift), binding)
            where = f"of the {name} mesh after a turn by {angle:.2f} rad"
            require_close(after.linear, turn @ before.linear, f"linear {where}", 1e-8)
            require_close(after.origin, before.origin @ turn.mT + shift, f"origin {where}", 1e-8)
            require_close(after.rotation, turn @ before.rotation, f"rotation {where}", 1e-8)


@promise("deformer", rig_bound)
def degenerate_is_finite(subject: Subject) -> None:
    """Triangles collapsed at rest or when posed give finite fields and gradients."""
    deformer = subject.make()
    rest = tiny.rest_mesh()
    first = rest.topology.triangles[0]
    posed = tiny.posed_mesh(rest, 2).vertices.clone()
    posed[:, first[1]] = posed[:, first[0]]
    collapsed = rest.vertices.clone()
    collapsed[first[1]] = collapsed[first[0]]
    for vertices, shape in ((posed, rest.vertices), (tiny.posed_mesh(rest, 2).vertices, collapsed)):
        mesh = Mesh(vertices.clone().requires_grad_(), type(rest)(shape, rest.topology))
        binding, leaves = learning(tiny.binding(deformer.parameters(), MANY, rest.topology))
        field = deformer(mesh, binding)
        require_finite(field, "The field's")
        _require_finite_gradients(field, {"vertices": mesh.vertices, **leaves})


@promise("deformer")
def gradients_finite_at_rest(subject: Subject) -> None:
    """Gradients to vertices and parameters are finite at the rest pose, where Jacobians are the identity."""
    deformer = subject.make()
    mesh: Mesh | None = None
    leaves: dict[str, Tensor] = {}
    rest = tiny.rest_mesh()
    if deformer.rig_bound:
        leaves["vertices"] = rest.vertices[None].clone().requires_grad_()
        mesh = Mesh(leaves["vertices"], rest)
    binding, learnt = learning(
        tiny.binding(deformer.parameters(), MANY, rest.topology if mesh else None, spread=0.0)
    )
    leaves |= learnt
    field = deformer(mesh, binding)
    if any(value.requires_grad for value in (field.linear, field.origin, field.rotation)):
        _require_finite_gradients(field, leaves)


def _require_finite_gradients(field: AffineField, leaves: dict[str, Tensor]) -> None:
    total = field.linear.square().sum() + field.origin.square().sum() + field.rotation[..., 0].sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    for name, gradient in zip(leaves, found, strict=True):
        if gradient is not None:
            require_finite(gradient, f'The gradient of "{name}"')


@promise("deformer", rig_bound)
def gradients_are_right(subject: Subject) -> None:
    """Gradients to vertices and declared parameters match finite differences in float64."""
    deformer = subject.make()
    dtype = torch.float64
    rest = tiny.rest_mesh(1, 3, dtype)
    binding = tiny.binding(deformer.parameters(), 5, rest.topology, dtype=dtype)
    names = list(deformer.parameters())
    leaves = [binding.parameters[name].clone().requires_grad_() for name in names]
    vertices = tiny.posed_mesh(rest, 2).vertices.requires_grad_()

    def outputs(points: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        parameters = {**binding.parameters, **dict(zip(names, values, strict=True))}
        field = deformer(Mesh(points, rest), Binding(binding.triangle, parameters, binding.regions))
        # what is cut off from the vertices gets a gradient of zero, so that it is compared too
        zero = 0.0 * points.sum()
        return field.linear + zero, field.origin + zero, field.rotation + zero, field.scale + zero

    torch.autograd.gradcheck(outputs, (vertices, *leaves), eps=1e-6, atol=1e-5, rtol=1e-4)


@promise("deformer")
def parameters_learn(subject: Subject) -> None:
    """Every parameter it declares receives a gradient."""
    deformer = subject.make()
    mesh, binding = _inputs(deformer)
    binding, leaves = learning(binding)
    names = list(deformer.parameters())
    if not names:
        return
    field = deformer(mesh, binding)
    values = [value for value in (field.linear, field.origin, field.rotation) if value.requires_grad]
    weights = [torch.linspace(0.5, 1.5, value.numel()).reshape(value.shape) for value in values]
    found: Sequence[Tensor | None] = (
        torch.autograd.grad(values, [leaves[name] for name in names], weights, allow_unused=True)
        if values
        else [None] * len(names)
    )
    for name, gradient in zip(names, found, strict=True):
        reached = gradient is not None and bool((gradient != 0).any())
        require(reached, f'Parameter "{name}" gets no gradient.')
        assert gradient is not None
        require_region_alone(deformer.parameters()[name], name, gradient, binding)


@promise("deformer")
def capturable(subject: Subject) -> None:
    """Where it says so, a CUDA graph can hold it: it looks at no values and copies nothing from the host."""
    deformer = subject.make()
    if not deformer.capturable:
        return
    mesh, binding = _inputs(deformer)
    binding, _ = learning(binding)
    meshes = [None if mesh is None else Mesh(mesh.vertices.requires_grad_(), mesh.rest) for _ in range(2)]
    require_capturable(lambda posed: deformer(posed, binding), *meshes)
