"""The surfels' slant against the smooth mesh: values by hand, and what it pulls on."""

from __future__ import annotations

from dataclasses import replace
from math import cos, radians, sin

import pytest
import torch

from surfhead.core.types import Binding, Mesh, RestMesh, Topology
from surfhead.maths.geometry import quaternion_to_matrix
from surfhead.maths.triangles import vertex_normals
from surfhead.plugins.regularizers.mesh_normal import BentTriangles, MeshNormal
from surfhead.plugins.rigs.skinning import edge_neighbours
from surfhead.testing import steps


def roof(degrees: float) -> RestMesh:
    """Two slopes of a roof that meet in a ridge along y, in centimetres."""
    x, z = 0.01 * cos(radians(degrees)), -0.01 * sin(radians(degrees))
    vertices = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.01, 0.0], [x, 0.005, z], [-x, 0.005, z]])
    triangles = torch.tensor([[0, 2, 1], [0, 1, 3]])
    return RestMesh(vertices, Topology(triangles, edge_neighbours(triangles), {}))


def test_on_the_ridge_the_normal_is_halfway_between_the_slopes() -> None:
    rest = roof(20.0)
    frames = rest.frames
    for host in (0, 1):
        ridge = (rest.vertices[:2].mean(dim=0) - frames.centroid[host]) @ frames.rotation[host]
        outer = (rest.vertices[2 + host] - frames.centroid[host]) @ frames.rotation[host]
        places = torch.stack((ridge, outer, 3 * outer)) / frames.scale[host]
        found = BentTriangles(rest).normals(torch.full((3,), host), places) @ frames.rotation[host].T
        assert torch.allclose(found[0], torch.tensor([0.0, 0.0, 1.0]), atol=1e-5)
        slope = torch.tensor([sin(radians(20.0)) * (1 - 2 * host), 0.0, cos(radians(20.0))])
        assert torch.allclose(found[1], slope, atol=1e-5)
        assert torch.allclose(found[2], slope, atol=1e-5)  # beyond the corner nothing is made up


def test_it_is_the_mean_of_one_minus_the_cosine() -> None:
    step = steps.random_step(25)
    assert step.mesh is not None
    rest, frames = step.mesh.rest, step.mesh.rest.frames
    normals = vertex_normals(rest.vertices, rest.topology.triangles).double()
    total = 0.0
    for surfel in range(25):
        host = int(step.binding.triangle[surfel])
        corners = rest.vertices[rest.topology.triangles[host]].double()
        turn = frames.rotation[host].double()
        offset = step.binding.parameters["offset"][surfel].detach().double()
        place = (
            turn @ torch.cat((offset[:2], offset.new_zeros(1))) * frames.scale[host] + frames.centroid[host]
        )
        weights = torch.linalg.lstsq(
            torch.cat((corners.T, torch.ones(1, 3, dtype=torch.float64))),
            torch.cat((place, torch.ones(1, dtype=torch.float64)))[:, None],
        ).solution[:, 0]
        smooth = weights.clamp_min(0) @ normals[rest.topology.triangles[host]]
        own = turn @ quaternion_to_matrix(step.binding.parameters["quaternion"][surfel].double())[:, 2]
        total += 1 - abs(float(own.detach() @ smooth / smooth.norm()))
    assert MeshNormal()(step).item() == pytest.approx(total / 25, rel=1e-3)


def test_it_turns_surfels_onto_the_smooth_mesh_and_nothing_else() -> None:
    step = steps.random_step(12)
    quaternion = step.binding.parameters["quaternion"].detach().clone().requires_grad_()
    parameters = dict(step.binding.parameters) | {"quaternion": quaternion}
    pulled = replace(step, binding=replace(step.binding, parameters=parameters))
    optimizer = torch.optim.Adam([quaternion], 0.05)
    first = MeshNormal()(pulled).item()
    for _ in range(200):
        optimizer.zero_grad()
        MeshNormal()(pulled).backward()
        optimizer.step()
    assert first > 0.05
    assert MeshNormal()(pulled).item() < 1e-3
    assert all(value.grad is None for name, value in parameters.items() if name != "quaternion")


def test_either_side_of_a_surfel_will_do() -> None:
    step = steps.random_step(12)
    w, x, y, z = step.binding.parameters["quaternion"].detach().unbind(dim=1)
    over = torch.stack((-x, w, z, -y), dim=1)  # half a turn about its own first axis
    parameters = dict(step.binding.parameters) | {"quaternion": over}
    turned = replace(step, binding=replace(step.binding, parameters=parameters))
    assert MeshNormal()(turned).item() == pytest.approx(MeshNormal()(step).item(), rel=1e-5)


def test_without_a_rig_it_is_zero_and_a_degenerate_triangle_pulls_on_nothing() -> None:
    step = steps.random_step(12)
    assert MeshNormal()(replace(step, mesh=None)).item() == 0.0
    assert step.mesh is not None
    flat = step.mesh.rest.vertices.detach().clone()
    flat[step.mesh.topology.triangles.unique()] = 0.0
    collapsed = replace(step.mesh, rest=RestMesh(flat, step.mesh.topology))
    assert MeshNormal()(replace(step, mesh=collapsed)).item() == 0.0


def test_another_rest_mesh_is_not_taken_for_the_last() -> None:
    step, term = steps.random_step(12), MeshNormal()
    assert step.mesh is not None
    before = term(step).item()
    bent = step.mesh.rest.vertices.detach() * torch.tensor([1.0, 1.0, 3.0])
    other = replace(step, mesh=replace(step.mesh, rest=RestMesh(bent, step.mesh.topology)))
    assert term(other).item() == MeshNormal()(other).item() != before
    assert term(step).item() == before


def slanted(rest: RestMesh, heights: list[float], **options: float) -> float:
    """The term of surfels 60 degrees aslant over the first slope's middle, at heights in millimetres."""
    half = radians(60.0) / 2
    count = len(heights)
    up = torch.tensor(heights)[:, None] * 1e-3 / rest.frames.scale[0]
    parameters = {
        "quaternion": torch.tensor([[cos(half), 0.0, sin(half), 0.0]]).repeat(count, 1),
        "offset": torch.cat((torch.zeros(count, 2), up), dim=1),
    }
    binding = Binding(torch.zeros(count, dtype=torch.int64), parameters)
    step = replace(steps.random_step(count), binding=binding, mesh=Mesh(rest.vertices[None], rest))
    return MeshNormal(MeshNormal.Options(**options))(step).item()


def test_where_triangles_bend_the_mesh_is_believed_less() -> None:
    """Half at the bend itself, a seventeenth at twice it; on the flat nothing changes."""
    assert slanted(roof(0.0), [0.0], bend=5.0) == pytest.approx(0.5, rel=1e-5)
    whole = slanted(roof(20.0), [0.0])
    assert whole > 0.2
    assert slanted(roof(20.0), [0.0], bend=20.0) == pytest.approx(whole / 2, rel=1e-3)
    assert slanted(roof(20.0), [0.0], bend=10.0) == pytest.approx(whole / 17, rel=1e-3)


def test_what_stands_off_the_mesh_is_pulled_less() -> None:
    """On either side; in millimetres, whatever the triangle's scale."""
    found = [slanted(roof(0.0), [height], height=1.5) for height in (0.0, 1.5, -1.5, 3.0)]
    assert found == pytest.approx([0.5, 0.25, 0.25, 0.5 / 17], rel=1e-4)
    assert slanted(roof(0.0), [0.0, 1.5, 3.0]) == pytest.approx(0.5, rel=1e-5)


def test_a_degenerate_triangle_has_no_bend() -> None:
    rest = roof(0.0)
    flat = RestMesh(torch.zeros_like(rest.vertices), rest.topology)
    assert slanted(flat, [0.0], bend=5.0) == 0.0
