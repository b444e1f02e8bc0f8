"""The contract of deformers, and what dual-quaternion blending promises beyond it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from surfhead_dualquat.deformer import DualQuaternion

from surfhead.core.api import Binding, Mesh, OptionError, create
from surfhead.maths import geometry
from surfhead.testing import conformance, tiny

Options = DualQuaternion.Options

test_contract = conformance(DualQuaternion)
test_contract_isotropic = conformance(DualQuaternion(Options(stretch="isotropic")))
test_contract_rigid = conformance(DualQuaternion(Options(stretch="none")))


def twist(blend: list[float], angle: float) -> tuple[DualQuaternion, Mesh, Binding]:
    """Two triangles that share an edge along x; the second turns about it by ``angle``."""
    rest = tiny.rest_mesh(1, 1, torch.float64)
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [1, 0, 3]])
    topology = type(rest.topology)(faces, tiny.neighbours_of(faces), {})
    flat = type(rest)(points, topology)
    turn = geometry.axis_angle_to_matrix(torch.tensor([angle, 0.0, 0.0], dtype=torch.float64))
    posed = points.clone()
    posed[3] = turn @ points[3]
    deformer = DualQuaternion()
    parameters = tiny.binding({}, 1, topology, dtype=torch.float64, spread=0.0).parameters
    parameters["blend"] = torch.tensor([blend], dtype=torch.float64)
    return deformer, Mesh(posed[None], flat), Binding(torch.tensor([0]), parameters)


def test_rotations_blend_as_normalised_sums_of_quaternions() -> None:
    # open edges count as the host again: three parts host, one part neighbour
    deformer, mesh, binding = twist([0.0, 0.0, 0.0, 0.0], 0.8)
    rotation = deformer(mesh, binding).rotation[0, 0]
    quaternion = 0.75 * torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    quaternion += 0.25 * geometry.axis_angle_to_quaternion(torch.tensor([0.8, 0, 0], dtype=torch.float64))
    expected = geometry.quaternion_to_matrix(quaternion)
    torch.testing.assert_close(rotation, expected, atol=1e-12, rtol=0)


def test_points_on_the_common_axis_stay_where_they_are() -> None:
    deformer, mesh, binding = twist([0.0, 0.0, 0.0, 0.0], 1.1)
    field = deformer(mesh, binding)
    frames = mesh.rest.frames
    axis_point = torch.tensor([0.3, 0.0, 0.0], dtype=torch.float64)
    local = frames.rotation[0].mT @ (axis_point - frames.centroid[0]) / frames.scale[0]
    found = field.linear[0, 0] @ local + field.origin[0, 0]
    torch.testing.assert_close(found, axis_point, atol=1e-12, rtol=0)


def test_the_host_alone_is_the_jacobian_deformer() -> None:
    rest = tiny.rest_mesh(dtype=torch.float64)
    mesh = tiny.posed_mesh(rest, 3)
    deformer = DualQuaternion()
    binding = tiny.binding(deformer.parameters(), 30, rest.topology, dtype=torch.float64)
    alone = torch.tensor([60.0, -60, -60, -60], dtype=torch.float64)
    binding = Binding(binding.triangle, {**binding.parameters, "blend": alone.expand(30, 4)})
    ours, theirs = deformer(mesh, binding), create("deformer", "jacobian")(mesh, binding)
    for name in ("linear", "origin", "rotation"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DualQuaternion(Options(stretch="hots")),
        lambda: create("deformer", "dualquat", {"stretch": "hots"}),
    ],
)
def test_a_wrong_option_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(OptionError, match=r"hots(.|\n)*host.*isotropic.*none"):
        make()


def test_it_is_registered_by_its_entry_point() -> None:
    made = create("deformer", "dualquat", {"stretch": "isotropic"})
    assert isinstance(made, DualQuaternion)
    assert made.options.stretch == "isotropic"
