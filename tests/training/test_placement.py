"""Where the first surfels sit."""

from __future__ import annotations

import torch

from surfhead.avatars.surfels import apply_field
from surfhead.core.registry import create
from surfhead.core.types import Binding, Mesh
from surfhead.testing import tiny
from surfhead.training.placement import scatter, shares


def test_larger_triangles_get_more_and_none_gets_nothing() -> None:
    """By area, to within a rounding."""
    rest = tiny.rest_mesh()
    counts = shares(rest, 1000)
    corners = rest.vertices.double()[rest.topology.triangles]
    area = torch.linalg.vector_norm(
        torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), dim=-1
    )
    assert float((counts / 1000 - area / area.sum()).abs().max()) < 0.51 / 1000
    assert bool((shares(rest, 0) == 1).all())


def test_surfels_lie_inside_their_triangles_and_cover_them_together() -> None:
    """In the world at rest: within the corners' reach, and with the area of one alone."""
    rest = tiny.rest_mesh()
    counts = torch.full((len(rest.topology.triangles),), 50)
    counts[3] = 1
    host, offset, log_scale = scatter(rest, counts, tiny.generator())
    assert torch.equal(torch.bincount(host), counts)
    parameters = {
        "offset": offset,
        "log_scale": log_scale,
        "quaternion": torch.tensor([1.0, 0, 0, 0]).expand(len(host), 4),
        "opacity": torch.zeros(len(host)),
    }
    field = create("deformer", "similarity")(Mesh(rest.vertices[None], rest), Binding(host, parameters))
    mean = apply_field(field, Binding(host, parameters)).mean[0]
    corners = rest.vertices[rest.topology.triangles][host]
    # barycentric coordinates of the means
    edges = torch.stack((corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), dim=-1)
    coordinates = torch.linalg.lstsq(edges, (mean - corners[:, 0])[..., None]).solution[..., 0]
    assert float(coordinates.min()) > -1e-4
    assert float(coordinates.sum(dim=-1).max()) < 1 + 1e-4
    assert float(coordinates.std(dim=0).min()) > 0.2  # all over, as uniform draws have 0.236
    areas = (2 * log_scale[:, 0]).exp()
    torch.testing.assert_close(torch.zeros(len(counts)).index_add(0, host, areas), torch.ones(len(counts)))
    alone = host == 3
    assert float(offset[alone].abs().max()) == 0.0
    assert float(log_scale[alone].abs().max()) == 0.0
