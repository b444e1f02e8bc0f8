"""Affine deformation transfer of single triangles."""

from __future__ import annotations

import torch

from surfhead.plugins.deformers.jacobian import Jacobian

from .conftest import Patch, make_patch


def test_points_of_the_triangle_follow_it_exactly(patch: Patch) -> None:
    # a corner in the local frame, carried by the field, is the posed corner
    vertices = patch.vertices(3)
    field = Jacobian()(patch.mesh(vertices), patch.binding)
    frames, host = patch.rest.frames, patch.binding.triangle
    for corner in range(3):
        index = patch.rest.topology.triangles[host, corner]
        local = (patch.rest.vertices[index] - frames.centroid[host])[:, None, :] @ frames.rotation[host]
        local = local.squeeze(1) / frames.scale[host, None]
        landed = (field.linear @ local[..., None]).squeeze(-1) + field.origin
        torch.testing.assert_close(landed, vertices[:, index])


def test_edges_in_single_precision() -> None:
    patch = make_patch(torch.float32)
    vertices = patch.vertices(3)
    field = Jacobian()(patch.mesh(vertices), patch.binding)
    frames, host = patch.rest.frames, patch.binding.triangle
    local = frames.rotation[host].mT @ frames.edges[host] / frames.scale[host, None, None]
    landed = (field.linear @ local)[..., :2]
    corners = vertices[:, patch.rest.topology.triangles[host]]
    edges = torch.stack((corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]), dim=-1)
    assert float((landed - edges).abs().max() / edges.abs().max()) < 1e-5
