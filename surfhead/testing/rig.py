"""Checks of rigs (docs/method.md, section 1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from surfhead.core.linear_rig import LinearRig
from surfhead.core.rig_parameter import RigParameter
from surfhead.core.types import Mesh, RestMesh
from surfhead.testing import tiny
from surfhead.testing.capture import require_capturable
from surfhead.testing.suite import Subject, promise, require
from surfhead.testing.values import (
    require_close,
    require_equal,
    require_finite,
    require_shape,
    require_unchanged,
    snapshot,
)

HEAD_REGIONS = ("eyeballs", "teeth", "boundary", "face")
CLOSE = 2e-6  # metres: rounding of a head's vertices in float32, a few steps long


def _prepared(subject: Subject) -> Any:
    rig = subject.make()
    rig.prepare({})
    return rig


def _parameters(rig: Any, poses: int, size: float = 0.1, seed: int = 0) -> dict[str, Tensor]:
    """Small random values of every parameter."""
    random = tiny.generator(seed)
    return {
        name: size * torch.randn(poses, info.size, generator=random)
        for name, info in rig.parameters().items()
    }


def _centred(vertices: Tensor) -> Tensor:
    return vertices - vertices.mean(dim=-2, keepdim=True) if vertices.shape[-2] else vertices


@promise("rig")
def declares_parameters(subject: Subject) -> None:
    """Every parameter has a positive size, a description, and a rate >= 0 or None."""
    for name, info in subject.make().parameters().items():
        require(
            isinstance(info, RigParameter),
            f'"{name}" is a {type(info).__name__}.',
            "Expected a RigParameter.",
        )
        require(info.size > 0, f'"{name}" has size {info.size}.')
        require(bool(info.description.strip()), f'"{name}" has no description.')
        require(info.rate is None or info.rate >= 0, f'The rate of "{name}" is {info.rate}.')


@promise("rig")
def rest_mesh_is_sound(subject: Subject) -> None:
    """The rest mesh is finite, its triangles name existing vertices, ``rest`` gives it again."""
    rig = subject.make()
    rest = rig.prepare({})
    require(isinstance(rest, RestMesh), f"prepare gave a {type(rest).__name__}.", "Expected a RestMesh.")
    require_equal(rig.rest(), rest, "rest() is not what prepare() gave")
    topology = rest.topology
    require_shape(rest.vertices, (len(rest.vertices), 3), "vertices")
    require(rest.vertices.dtype == torch.float32, f"vertices are {rest.vertices.dtype}.", "Expected float32.")
    require_finite(rest.vertices, "The rest mesh")
    triangles = topology.triangles
    require_shape(triangles, (len(triangles), 3), "triangles")
    require(triangles.dtype == torch.int64, f"triangles are {triangles.dtype}.", "Expected int64.")
    fits = bool(((triangles >= 0) & (triangles < len(rest.vertices))).all())
    require(fits, "A triangle names a vertex that does not exist.")
    front = torch.tensor(topology.front)
    require_close(front.norm(), torch.tensor(1.0), "The length of front", 1e-5)
    if topology.uv is not None:
        require_shape(topology.uv, (len(triangles), 3, 2), "uv")


@promise("rig")
def neighbours_share_edges(subject: Subject) -> None:
    """The neighbour across each edge has that edge too; only an open edge names the triangle itself."""
    topology = _prepared(subject).rest().topology
    neighbours = topology.neighbours
    require_shape(neighbours, (len(topology.triangles), 3), "neighbours")
    require(neighbours.dtype == torch.int64, f"neighbours are {neighbours.dtype}.", "Expected int64.")
    rows = topology.triangles.tolist()
    edges = [[frozenset((row[i], row[(i + 1) % 3])) for i in range(3)] for row in rows]
    users = Counter(edge for row in edges for edge in row)
    for face, row in enumerate(neighbours.tolist()):
        for edge, other in zip(edges[face], row, strict=True):
            where = f"Triangle {face}, edge {sorted(edge)}: the neighbour is {other}"
            require(0 <= other < len(rows), f"{where}, which does not exist.")
            if other == face:
                require(users[edge] == 1, f"{where} itself, but the edge is not open.")
            else:
                require(edge in edges[other], f"{where}, which lacks the edge.")


@promise("rig")
def regions_are_masks(subject: Subject) -> None:
    """Regions are boolean, one flag a triangle, none empty; a rig with triangles has those of a head."""
    topology = _prepared(subject).rest().topology
    count = len(topology.triangles)
    for name, inside in topology.regions.items():
        require_shape(inside, (count,), f'Region "{name}"')
        require(inside.dtype == torch.bool, f'Region "{name}" is {inside.dtype}.', "Expected bool.")
        require(bool(inside.any()) or count == 0, f'Region "{name}" is empty.')
    missing = [name for name in HEAD_REGIONS if name not in topology.regions] if count else []
    require(not missing, f"Regions are missing: {', '.join(missing)}.")


@promise("rig")
def zero_is_rest(subject: Subject) -> None:
    """With every parameter zero, given or left out, the mesh is the rest mesh up to a translation."""
    rig = _prepared(subject)
    rest = rig.rest().vertices
    zeros = {name: torch.zeros(1, info.size) for name, info in rig.parameters().items()}
    for given in (zeros, dict(list(zeros.items())[:1])):
        mesh = rig(given)
        require(isinstance(mesh, Mesh), f"It gave a {type(mesh).__name__}.", "Expected a Mesh.")
        require_shape(mesh.vertices, (1, *rest.shape), "vertices")
        require_close(_centred(mesh.vertices[0]), _centred(rest), "The mesh at zero", CLOSE)


@promise("rig")
def poses_are_independent(subject: Subject) -> None:
    """Three poses at once equal the three one by one, and the poses differ."""
    rig = _prepared(subject)
    parameters = _parameters(rig, 3)
    together = rig(parameters).vertices
    require_finite(together, "The posed mesh")
    if not parameters:
        return
    require_shape(together, (3, *rig.rest().vertices.shape), "vertices")
    for pose in range(3):
        alone = rig({name: value[pose : pose + 1] for name, value in parameters.items()}).vertices
        require_close(alone[0], together[pose], f"Pose {pose}", CLOSE)
    require(not torch.equal(together[0], together[1]), "Different parameters give the same mesh.")


@promise("rig")
def parameters_move_it(subject: Subject) -> None:
    """Every parameter gets a finite gradient at zero, and moves the mesh."""
    rig = _prepared(subject)
    infos = rig.parameters()
    if not infos:
        return
    zeros = {name: torch.zeros(2, info.size, requires_grad=True) for name, info in infos.items()}
    _require_moving(rig(zeros).vertices, zeros)


def _require_moving(vertices: Tensor, given: Mapping[str, Tensor]) -> None:
    """Every tensor the vertices were made from has a finite gradient that is not zero."""
    weight = torch.randn(vertices.shape, generator=tiny.generator(1))
    found = torch.autograd.grad((vertices * weight).sum(), list(given.values()), allow_unused=True)
    for name, gradient in zip(given, found, strict=True):
        require(gradient is not None, f'The mesh does not depend on "{name}".')
        require_finite(gradient, f'The gradient of "{name}"')
        require(bool((gradient != 0).any()), f'"{name}" does not move the mesh.')


@promise("rig")
def deterministic(subject: Subject) -> None:
    """Two instances give the same rest mesh, the same poses and the same fingerprint."""
    first, second = _prepared(subject), _prepared(subject)
    require_equal(first.rest(), second.rest(), "The rest mesh of a second instance")
    parameters = _parameters(first, 2)
    require_equal(first(parameters).vertices, second(parameters).vertices, "The poses of a second instance")
    require(isinstance(first.fingerprint(), str), "fingerprint() is no text.")
    require(first.fingerprint() == second.fingerprint(), "The fingerprint of a second instance differs.")


@promise("rig")
def inputs_unmodified(subject: Subject) -> None:
    """Parameters and rest mesh are left as they were."""
    rig = _prepared(subject)
    inputs = (_parameters(rig, 2), rig.rest())
    before = snapshot(inputs)
    rig(inputs[0])
    require_unchanged(inputs, before)


@promise("rig")
def follows_its_identity(subject: Subject) -> None:
    """``follow`` poses as if prepared with the new identity, with gradients; ``rest`` is new and has none."""
    rig = _prepared(subject)
    infos = rig.identity_parameters()
    if not infos:
        return
    random = tiny.generator(2)
    for name, info in infos.items():
        require(isinstance(info, RigParameter), f'"{name}" is a {type(info).__name__}.')
        require(info.size > 0 and bool(info.description.strip()), f'"{name}" has no size or no description.')
    identity = {
        name: (0.5 * torch.randn(info.size, generator=random)).requires_grad_()
        for name, info in infos.items()
    }
    parameters = _parameters(rig, 2)
    topology = rig.rest().topology
    rig.follow(identity)
    moved = rig(parameters).vertices
    other = subject.make()
    rest = other.prepare({name: value.detach() for name, value in identity.items()})
    require_equal(moved.detach(), other(parameters).vertices.detach(), "The mesh after follow")
    require_equal(rig.rest().vertices, rest.vertices, "The mesh at rest after follow")
    require(not rig.rest().vertices.requires_grad, "The mesh at rest has a gradient.")
    require(rig.rest().topology is topology, "follow changed the topology.")
    _require_moving(moved, identity)


@promise("rig")
def linear_model_agrees(subject: Subject) -> None:
    """``linear_model``, where there is one, gives the rig's own meshes for the parameters that it names."""
    rig = _prepared(subject)
    model = rig.linear_model()
    if model is None:
        return
    require(isinstance(model, LinearRig), f"It gave a {type(model).__name__}.", "Expected a LinearRig.")
    named = model.parameters()
    given = {name: value for name, value in _parameters(rig, 3, 0.3).items() if name in named}
    require(len(given) == len(named), f"It names parameters the rig has not: {', '.join(named)}.")
    require_close(model.pose(given), rig(given).vertices, "The linear model's mesh", 2 * CLOSE)


@promise("rig")
def capturable(subject: Subject) -> None:
    """Where it says so, a CUDA graph can hold it: it looks at no values and copies nothing from the host."""
    rig = _prepared(subject)
    if not rig.capturable:
        return
    parameters = {name: value.requires_grad_() for name, value in _parameters(rig, 2).items()}
    require_capturable(rig, parameters, parameters)
