"""Small training steps for checks of loss terms: at random, perfect, and with nothing to see."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from surfhead.avatars.surfels import apply_field
from surfhead.core.parameters import BASE_COLOUR, Encoding, ParameterSpec, Schedule
from surfhead.core.types import AffineField, Batch, Binding, Mesh, RenderOutput, RestMesh, Step
from surfhead.maths.triangles import jacobians
from surfhead.testing import tiny

HEIGHT, WIDTH = 20, 28
VIEWS = 2
COLOUR = ParameterSpec(
    (3,),
    0.0,
    Schedule(1e-3),
    role=BASE_COLOUR,
    encoding=Encoding(torch.logit, torch.sigmoid),
    unseen="neighbours",
)
RESIDUAL = ParameterSpec((3, 3), 0.0, Schedule(1e-3), unseen="initial")
SPECS = {"albedo": COLOUR, "residual": RESIDUAL}
"""Base colours and a view-dependent rest, as `lit` declares them."""
BLEND = ParameterSpec((4,), (2.0, -3.0, -3.0, -3.0), Schedule(1e-3))
"""Blend logits, as deformers that blend neighbours declare them."""


def host_field(mesh: Mesh, binding: Binding) -> AffineField:
    """Each surfel follows the affine map of its host triangle."""
    rest, host = mesh.rest.frames, binding.triangle
    deformed = jacobians(rest, mesh.frames)
    scale = rest.scale[host]
    axes = scale[:, None, None] * rest.rotation[host]
    return AffineField(
        deformed.jacobian[:, host] @ axes,
        mesh.frames.centroid[:, host],
        deformed.rotation[:, host],
        scale[None],
    )


def random_step(count: int = 30, seed: int = 0, mask: bool = True) -> Step:
    """Surfels astray on a deformed mesh, and pictures that have nothing in common with the truth.

    Every tensor that a loss term may pull on requires a gradient.
    """
    random = tiny.generator(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random)

    rest = tiny.rest_mesh()
    mesh = tiny.posed_mesh(rest, VIEWS, seed, strength=2.0)
    mesh.vertices.requires_grad_()
    raw = tiny.binding({"blend": BLEND, **SPECS}, count, rest.topology, seed, spread=1.5)
    parameters = {name: value.requires_grad_() for name, value in raw.parameters.items()}
    binding = Binding(raw.triangle, parameters, raw.regions, SPECS)
    field = host_field(mesh, binding)
    picture = (VIEWS, HEIGHT, WIDTH)
    normal = 0.9 * torch.nn.functional.normalize(torch.randn(*picture, 3, generator=random), dim=-1)
    output = RenderOutput(
        rgb=uniform(*picture, 3),
        alpha=0.1 + 0.8 * uniform(*picture),
        normal=normal,
        depth=0.5 + 0.3 * uniform(*picture),
        median_depth=0.5 + 0.3 * uniform(*picture),
        distortion=0.01 * uniform(*picture),
        visible=uniform(VIEWS, count) > 0.2,
        radius=20 * uniform(VIEWS, count),
    )
    for name in ("rgb", "alpha", "normal", "depth", "median_depth", "distortion"):
        getattr(output, name).requires_grad_()
    truth = (255 * uniform(*picture, 3)).to(torch.uint8)
    foreground = 255 * (uniform(*picture) > 0.5)
    offsets = 0.01 * torch.randn(VIEWS, len(rest.vertices) * 3, generator=random)
    predicted = (1 + 254 * uniform(*picture, 3)).to(torch.uint8)
    return Step(
        images=1000,
        batch=replace(_batch(truth, foreground if mask else None), normal_prior=predicted),
        output=output,
        surfels=apply_field(field, binding),
        binding=binding,
        field=field,
        mesh=mesh,
        extent=1.0,
        rig_parameters={"dynamic_offset": offsets.requires_grad_()},
    )


def paired_step(count: int = 30, seed: int = 0) -> Step:
    """``random_step``, which says that every view shows a pose of its own."""
    step = random_step(count, seed)
    return replace(step, batch=replace(step.batch, paired=True))


def shared_step(count: int = 30, seed: int = 0) -> Step:
    """Like ``random_step``, but both views show the same pose, of which there is one."""
    step = random_step(count, seed)
    mesh = Mesh(step.mesh.vertices[:1].detach().requires_grad_(), step.mesh.rest) if step.mesh else None
    assert mesh is not None
    field = host_field(mesh, step.binding)
    batch = replace(step.batch, pose_of_view=torch.zeros(VIEWS, dtype=torch.int64), timesteps=torch.arange(1))
    rig = {name: value[:1].detach().requires_grad_() for name, value in step.rig_parameters.items()}
    surfels = apply_field(field, step.binding)
    return replace(step, batch=batch, surfels=surfels, field=field, mesh=mesh, rig_parameters=rig)


def perfect_step(count: int = 30, seed: int = 0) -> Step:
    """Nothing is left to improve.

    Small, opaque surfels lie at the middle of their triangles, which are one plane at rest and follow their
    hosts alone; the picture shows one opaque plane facing each camera, equals the truth, and fills the mask.
    """
    step = random_step(count, seed)
    bent = tiny.rest_mesh()
    rest = RestMesh(bent.vertices * torch.tensor([1.0, 1.0, 0.0]), bent.topology)
    mesh = Mesh(rest.vertices.expand(VIEWS, -1, -1), rest)
    parameters = {
        "offset": torch.zeros(count, 3),
        "log_scale": torch.full((count, 2), -3.0),
        "quaternion": torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(count, 4).clone(),
        "opacity": torch.full((count,), 40.0),  # its sigmoid is 1 in float32
        "blend": torch.tensor([10.0, -10.0, -10.0, -10.0]).expand(count, 4).clone(),
    }
    binding = Binding(
        step.binding.triangle,
        {name: value.requires_grad_() for name, value in parameters.items()},
        step.binding.regions,
    )
    field = host_field(mesh, binding)
    picture = (VIEWS, HEIGHT, WIDTH)
    truth = step.batch.image
    output = RenderOutput(
        rgb=truth.float() / 255.0,
        alpha=torch.ones(picture),
        normal=torch.tensor([0.0, 0.0, -1.0]).expand(*picture, 3).clone(),
        depth=torch.full(picture, 0.6),
        median_depth=torch.full(picture, 0.6),
        distortion=torch.zeros(picture),
        visible=torch.ones(VIEWS, count, dtype=torch.bool),
        radius=torch.full((VIEWS, count), 3.0),
    )
    for name in ("rgb", "alpha", "normal", "depth", "median_depth", "distortion"):
        getattr(output, name).requires_grad_()
    offsets = torch.zeros_like(step.rig_parameters["dynamic_offset"]).requires_grad_()
    return replace(
        step,
        batch=replace(
            _batch(truth, torch.full(picture, 255)),
            normal_prior=torch.tensor([128, 128, 1], dtype=torch.uint8).expand(*picture, 3).clone(),
        ),
        output=output,
        surfels=apply_field(field, binding),
        binding=binding,
        field=field,
        mesh=mesh,
        rig_parameters={"dynamic_offset": offsets},
    )


def empty_step(count: int = 30, seed: int = 0, rig: bool = True) -> Step:
    """Nothing is visible: an empty picture on an empty mask.

    Args:
        rig: False leaves out the mesh, as in a static scene.
    """
    step = random_step(count, seed)
    picture = (VIEWS, HEIGHT, WIDTH)
    zero = torch.zeros(picture)
    output = RenderOutput(
        rgb=torch.ones(*picture, 3),
        alpha=zero.clone(),
        normal=torch.zeros(*picture, 3),
        depth=zero.clone(),
        median_depth=zero.clone(),
        distortion=zero.clone(),
        visible=torch.zeros(VIEWS, count, dtype=torch.bool),
        radius=torch.zeros(VIEWS, count),
    )
    for name in ("rgb", "alpha", "normal", "depth", "median_depth", "distortion"):
        getattr(output, name).requires_grad_()
    batch = _batch(step.batch.image, zero)
    if rig:
        return replace(step, batch=batch, output=output)
    binding = Binding(torch.full((count,), -1), step.binding.parameters)
    identity = torch.eye(3).expand(1, count, 3, 3)
    batch = replace(batch, pose_of_view=torch.zeros_like(batch.pose_of_view))  # the field has one pose
    field = AffineField(identity, torch.zeros(1, count, 3), identity, torch.ones(1, count))
    return replace(
        step,
        batch=batch,
        output=output,
        surfels=apply_field(field, binding),
        binding=binding,
        field=field,
        mesh=None,
        rig_parameters={},
    )


def leaves(step: Step) -> dict[str, Tensor]:
    """What a loss term may pull on: pictures, raw parameters, rig parameters and vertices."""
    pictures = ("rgb", "alpha", "normal", "depth", "median_depth", "distortion")
    found = {name: getattr(step.output, name) for name in pictures}
    found |= {f"parameter {name}": value for name, value in step.binding.parameters.items()}
    found |= {f"rig {name}": value for name, value in step.rig_parameters.items()}
    if step.mesh is not None and step.mesh.vertices.requires_grad:
        found["vertices"] = step.mesh.vertices
    return found


def _batch(image: Tensor, mask: Tensor | None) -> Batch:
    cameras = tiny.cameras(VIEWS, HEIGHT, WIDTH)
    return Batch(
        cameras=cameras,
        pose_of_view=torch.arange(VIEWS),
        timesteps=torch.arange(VIEWS),
        image=image,
        background=torch.ones(VIEWS, 3),
        mask=None if mask is None else mask.to(torch.uint8),
        names=tuple(f"view {i}" for i in range(VIEWS)),
    )
