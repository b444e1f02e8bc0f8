"""Small seeded meshes, cameras, bindings and surfels, in any precision: what checks and tests work on."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from surfhead.avatars.surfels import CORE_PARAMETERS
from surfhead.core.parameters import ParameterSpec
from surfhead.core.types import Binding, Cameras, Mesh, RestMesh, Topology, WorldSurfels
from surfhead.maths.geometry import axis_angle_to_matrix

SIZE = 0.1  # half the side of the sheet, metres


def generator(seed: int = 0) -> torch.Generator:
    """A seeded generator of random numbers on the CPU."""
    return torch.Generator().manual_seed(seed)


def neighbours_of(triangles: Tensor) -> Tensor:
    """(F, 3) triangle across each edge (v0v1, v1v2, v2v0), the triangle itself where the edge is open."""
    across: dict[tuple[int, int], list[int]] = {}
    rows = triangles.tolist()
    edges = [[(row[i], row[(i + 1) % 3]) for i in range(3)] for row in rows]
    for face, row in enumerate(edges):
        for edge in row:
            across.setdefault((min(edge), max(edge)), []).append(face)
    return torch.tensor(
        [
            [next((g for g in across[(min(edge), max(edge))] if g != face), face) for edge in row]
            for face, row in enumerate(edges)
        ],
        dtype=torch.int64,
    ).reshape(-1, 3)


def rest_mesh(rows: int = 3, columns: int = 3, dtype: torch.dtype = torch.float32) -> RestMesh:
    """A bent sheet of 2·rows·columns triangles, 0.2 m wide, its front along +z, open all round.

    Its regions cut it into four: ``eyeballs``, ``teeth``, ``boundary`` and ``face`` (the rest).
    """
    x = torch.linspace(-SIZE, SIZE, columns + 1, dtype=torch.float64)
    y = torch.linspace(-SIZE, SIZE, rows + 1, dtype=torch.float64)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    # irregular in the plane and bent out of it, so that no two triangles are alike
    wave = torch.sin(37.0 * grid_x + 11.0 * grid_y)
    vertices = torch.stack(
        (
            grid_x + 0.01 * wave,
            grid_y - 0.012 * wave,
            0.05 * torch.cos(9.0 * grid_x) * torch.cos(7.0 * grid_y),
        ),
        dim=-1,
    ).reshape(-1, 3)
    triangles = []
    for i in range(rows):
        for j in range(columns):
            a = i * (columns + 1) + j
            b, c, d = a + 1, a + columns + 1, a + columns + 2
            triangles += [(a, b, d), (a, d, c)] if (i + j) % 2 else [(a, b, c), (b, d, c)]
    faces = torch.tensor(triangles, dtype=torch.int64)
    number = torch.arange(len(faces))
    quarter = number * 4 // max(len(faces), 1)
    regions = {name: quarter == i for i, name in enumerate(("boundary", "face", "teeth", "eyeballs"))}
    return RestMesh(vertices.to(dtype), Topology(faces, neighbours_of(faces), regions))


def posed_mesh(
    rest: RestMesh, poses: int = 3, seed: int = 0, strength: float = 1.0, angle: float = 0.4
) -> Mesh:
    """The sheet stretched, sheared, bent and turned, differently in each pose.

    Args:
        strength: 0 leaves the rest shape, turned and moved.
        angle: of the pose's rotation, radians.
    """
    random = generator(seed)
    made = []
    for _ in range(poses):
        axis = torch.nn.functional.normalize(torch.randn(3, generator=random, dtype=torch.float64), dim=0)
        affine = torch.eye(3, dtype=torch.float64)
        affine += 0.15 * strength * torch.randn(3, 3, generator=random, dtype=torch.float64)
        bend = 0.01 * strength * torch.randn(rest.vertices.shape, generator=random, dtype=torch.float64)
        shift = 0.2 * torch.randn(3, generator=random, dtype=torch.float64)
        turn = axis_angle_to_matrix(angle * axis)
        made.append((rest.vertices.double() @ affine.mT + bend) @ turn.mT + shift)
    stacked = torch.stack(made) if made else torch.zeros(0, *rest.vertices.shape)
    return Mesh(stacked.to(rest.vertices.dtype), rest)


def moved(mesh: Mesh, rotation: Tensor, shift: Tensor) -> Mesh:
    """``mesh`` moved rigidly: v becomes ``rotation @ v + shift``."""
    return Mesh(mesh.vertices @ rotation.mT + shift, mesh.rest)


def binding(
    specs: Mapping[str, ParameterSpec],
    count: int,
    topology: Topology | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    spread: float = 0.3,
) -> Binding:
    """``count`` surfels on random triangles (every one once first), with parameters near their start.

    Args:
        specs: parameters declared besides the core's.
        topology: of the rig; None for surfels without one.
        spread: standard deviation of what is added to the starting values.
    """
    random = generator(seed)
    if topology is None:
        triangle = torch.full((count,), -1, dtype=torch.int64)
    else:
        faces = len(topology.triangles)
        extra = torch.randint(faces, (max(count - faces, 0),), generator=random)
        triangle = torch.cat((torch.randperm(faces, generator=random), extra))[:count]
    parameters = {}
    for name, spec in {**CORE_PARAMETERS, **specs}.items():
        value = spec.start(count, random).to(torch.float64)
        value = value + spread * torch.randn(value.shape, generator=random, dtype=torch.float64)
        parameters[name] = value.to(dtype)
    return Binding(triangle, parameters, regions_of(triangle, topology))


def regions_of(triangle: Tensor, topology: Topology | None) -> dict[str, Tensor]:
    """Region -> indices of the surfels whose host lies in it, ascending."""
    if topology is None:
        return {}
    return {name: inside[triangle].nonzero().squeeze(1) for name, inside in topology.regions.items()}


def reordered(surfels: Binding, order: Tensor, topology: Topology | None) -> Binding:
    """The same surfels in another order, ``order`` (N,) int64 telling which comes where."""
    triangle = surfels.triangle[order]
    parameters = {name: value[order] for name, value in surfels.parameters.items()}
    return Binding(triangle, parameters, regions_of(triangle, topology))


def cameras(
    count: int = 1,
    height: int = 24,
    width: int = 32,
    distance: float = 0.6,
    dtype: torch.dtype = torch.float32,
) -> Cameras:
    """Cameras about ``distance`` metres before the sheet, on its +z side, looking at the origin.

    Their principal points are off the centre of the picture, their focal lengths unequal.
    """
    poses, intrinsics = [], []
    for i in range(count):
        turn = 0.35 * i - 0.1
        eye = torch.tensor([math.sin(turn), 0.1 * i, math.cos(turn)], dtype=torch.float64) * distance
        forward = -eye / eye.norm()
        right = torch.linalg.cross(forward, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
        right = right / right.norm()
        rotation = torch.stack((right, torch.linalg.cross(forward, right), forward))
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, :3] = rotation
        pose[:3, 3] = -rotation @ eye
        poses.append(pose)
        intrinsics.append(
            torch.tensor(
                [[1.9 * width, 0.0, 0.47 * width], [0.0, 2.4 * height, 0.54 * height], [0.0, 0.0, 1.0]],
                dtype=torch.float64,
            )
        )
    return Cameras(
        torch.stack(poses).to(dtype) if poses else torch.zeros(0, 4, 4, dtype=dtype),
        torch.stack(intrinsics).to(dtype) if poses else torch.zeros(0, 3, 3, dtype=dtype),
        height,
        width,
    )


def surfels(
    count: int, poses: int = 1, seed: int = 0, dtype: torch.dtype = torch.float64, size: float = 0.02
) -> WorldSurfels:
    """``count`` surfels in a ball of 0.12 m about the origin, all depths distinct, sheared and stretched."""
    random = generator(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    centre = torch.nn.functional.normalize(normal(count, 3), dim=-1)
    radius = 0.12 * torch.rand(count, 1, generator=random, dtype=torch.float64).pow(1 / 3)
    mean = (centre * radius)[None] + 0.01 * normal(poses, count, 3)
    tangents = size * normal(poses, count, 3, 2)
    unit = torch.nn.functional.normalize(torch.linalg.cross(tangents[..., 0], tangents[..., 1]), dim=-1)
    opacity = 0.05 + 0.94 * torch.rand(count, generator=random, dtype=torch.float64)
    return WorldSurfels(mean.to(dtype), tangents.to(dtype), unit.to(dtype), opacity.to(dtype))


def rotation(angle: float, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """(3, 3) a rotation by ``angle`` radians about a random axis."""
    axis = torch.randn(3, generator=generator(seed), dtype=torch.float64)
    return axis_angle_to_matrix(angle * axis / axis.norm()).to(dtype)
