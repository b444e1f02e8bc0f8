"""The GaussianAvatars rig: what it follows and what it cannot."""

from __future__ import annotations

import torch

from surfhead.plugins.deformers.jacobian import Jacobian
from surfhead.plugins.deformers.similarity import Similarity

from .conftest import Patch


def test_posed_frame_and_scale(patch: Patch) -> None:
    mesh = patch.mesh(patch.vertices())
    field = Similarity()(mesh, patch.binding)
    host = patch.binding.triangle
    expected = mesh.frames.scale[:, host, None, None] * mesh.frames.rotation[:, host]
    torch.testing.assert_close(field.linear, expected)
    turned = mesh.frames.rotation[:, host] @ patch.rest.frames.rotation[host].mT
    torch.testing.assert_close(field.rotation, turned)


def test_uniform_growth_is_exact_and_stretch_is_not(patch: Patch) -> None:
    grown = patch.mesh(1.3 * patch.rest.vertices[None])
    torch.testing.assert_close(
        Similarity()(grown, patch.binding).linear, Jacobian()(grown, patch.binding).linear
    )
    stretched = patch.mesh((patch.rest.vertices * torch.tensor([1.3, 1.0, 1.0]).double())[None])
    gap = Similarity()(stretched, patch.binding).linear - Jacobian()(stretched, patch.binding).linear
    assert float(gap.abs().max()) > 0.05 * float(patch.rest.frames.scale.max())
