"""Colours under distant light on the GPU against PyTorch in double precision, and training with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from surfhead.data.opening import open_scene
from surfhead.kernels import choices, cuda
from surfhead.maths import geometry, harmonics
from surfhead.maths.lit_colours import NORMAL_INCIDENCE
from surfhead.plugins.appearances.irradiance import quadric_values
from surfhead.runs.configuration import configure
from surfhead.runs.train import make_trainer
from tests.gpu.test_training import COUNT, VIEWS, agree, draw

pytestmark = pytest.mark.gpu


def plain(
    albedo: Tensor,
    residual: Tensor | None,
    gloss: Tensor | None,
    occlusion: Tensor | None,
    directions: Tensor,
    normals: Tensor,
    rotation: Tensor,
    world_normals: Tensor,
    shading: Tensor,
    mirror: Tensor,
    degree: int,
) -> Tensor:
    """The equations of method, section 6, one operation after the other."""
    total = torch.sigmoid(albedo) * quadric_values(shading, world_normals)
    if occlusion is not None:
        total = total * torch.sigmoid(occlusion)
    if residual is not None:
        values = harmonics.basis(directions, degree)[..., 1:, None]
        total = total + (values * residual[:, : values.shape[-2]]).sum(dim=-2)
    if gloss is not None:
        d = directions.detach()
        facing = -(d * normals).sum(dim=-1, keepdim=True)
        away = (rotation @ (d + 2 * facing * normals)[..., None])[..., 0]
        fresnel = NORMAL_INCIDENCE + (1 - NORMAL_INCIDENCE) * (1 - facing).clamp(0.0, 1.0) ** 5
        total = total + fresnel * torch.sigmoid(gloss) * quadric_values(mirror, away).clamp_min(0.0)
    return total


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_colours(degree: int) -> None:
    normals = normalize(draw(VIEWS, COUNT, 3, seed=1), dim=-1).float()
    rotation = geometry.axis_angle_to_matrix(draw(VIEWS, COUNT, 3, seed=2)).float()

    def work(
        albedo: Tensor, residual: Tensor, gloss: Tensor, occlusion: Tensor, d: Tensor, world: Tensor,
        shading: Tensor, mirror: Tensor,
    ) -> Tensor:  # fmt: skip
        kernel = cuda.lit_colours if d.dtype == torch.float32 else plain
        rest = residual if degree else None
        # Q is symmetric, and what is beside its diagonal learns as one
        turned = [q[4:].view(3, 3, 3).transpose(0, 1).reshape(9, 3) for q in (shading, mirror)]
        quadrics = [
            torch.cat((q[:4], 0.5 * (q[4:] + other)))
            for q, other in zip((shading, mirror), turned, strict=True)
        ]
        found: Tensor = kernel(
            albedo, rest, gloss, occlusion, d, normals.to(d), rotation.to(d), world, *quadrics, degree
        )
        return found + 0.0 * residual.sum()

    directions, world = (normalize(draw(VIEWS, COUNT, 3, seed=seed), dim=-1).float() for seed in (3, 4))
    agree(
        work, draw(COUNT, 3), 0.1 * draw(COUNT, 15, 3), draw(COUNT, 1, seed=5), draw(COUNT, 1, seed=6),
        directions, world, draw(13, 3, seed=7), draw(13, 3, seed=8),
    )  # fmt: skip


def test_training_is_captured_and_comes_out_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"iterations": 240, "device": "cuda", "batch_size": 2, "baseline": False}
    own |= {"data": {"name": "synthetic", "width": 64, "height": 64, "timesteps": 4, "test_timesteps": 1}}
    own |= {"evaluate": {"every": 0, "at": [], "limit": 0}, "checkpoint": {"every": 0}}
    config = configure(preset="fast", settings=own)
    opened, found = open_scene(config), []
    for left_out in ("lit", ""):
        monkeypatch.setenv(choices.ENVIRONMENT, left_out)
        assert cuda.serves_lit(torch.zeros(1, device="cuda")) == (not left_out)
        run = make_trainer(config, opened, tmp_path / f"run{left_out}", torch.device("cuda"))
        losses = []
        while run.images < run.length:
            run.step()
            losses.append(float(torch.stack(list(run.losses.values())).sum()))
            assert run._captured is not None
            assert run._captured.failure is None
        assert run._captured is not None
        assert run._captured.captured
        run.feed.close()
        found.append(torch.tensor(losses))
    apart = ((found[0] - found[1]) / found[1]).abs()
    assert float(apart[:10].max()) < 1e-3
    assert float(apart.max()) < 0.05
