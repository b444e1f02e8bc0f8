"""What the training pictures tell of a head's triangles before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surfhead.core.errors import UnavailableError
from surfhead.core.parameters import BASE_COLOUR, with_role
from surfhead.data.opening import Opened, open_scene
from surfhead.measuring.baseline import TriangleBaseline
from surfhead.meshes import meshcaster
from surfhead.runs.configuration import configure
from surfhead.runs.train import make_trainer
from surfhead.training.composition import look_at_data, make_avatar

SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "iterations": 4,
    "initial_colours": "mean",
    "observers": {},
    "data": {
        **{"name": "synthetic", "width": 64, "height": 64, "timesteps": 2, "test_timesteps": 1},
        **{"supersampling": 1, "detail": 1, "texels": 4},
    },
}


@pytest.fixture(scope="module")
def opened() -> Opened:
    return open_scene(configure(preset="tiny", settings=SETTINGS))


def test_the_back_that_no_picture_shows_is_hidden_and_starts_as_what_is_round_it(opened: Opened) -> None:
    """Skull and neck; the cameras stand before the face. The mean of all pixels would be skin."""
    config = configure(preset="tiny", settings=SETTINGS)
    scene, views = opened.scene, opened.scene.views.of("train")
    avatar = make_avatar(config, scene, torch.device("cpu"))
    look_at_data(avatar, scene, views, colours=True, hidden=True)
    surfels, rest = avatar.surfels, avatar.rig.rest()
    hidden = torch.zeros(len(surfels), dtype=torch.bool)
    hidden[surfels.regions["hidden"]] = True
    centre = rest.vertices[rest.topology.triangles].mean(dim=1)[surfels.triangle]
    centre = centre - rest.vertices.mean(dim=0)
    behind = (centre[:, 2] < -0.06) & (centre[:, 0].abs() < 0.02)
    before = (centre[:, 2] > 0.07) & (centre[:, 0].abs() < 0.02)
    assert int(behind.sum()) > 20
    assert float(hidden[behind].float().mean()) > 0.8
    assert float(hidden[before].float().mean()) < 0.1
    rare = torch.zeros(len(surfels), dtype=torch.bool)
    rare[surfels.regions["rare"]] = True
    assert 0 < int(rare.sum()) < int(hidden.sum())
    assert not bool((rare & hidden).any())
    bare = TriangleBaseline(scene, avatar.rig, views)
    name = with_role(surfels.specs, BASE_COLOUR)
    assert name is not None
    colours = surfels.specs[name].decoded(surfels.parameters[name].detach())
    seen = bare.coloured[surfels.triangle] & ~hidden
    torch.testing.assert_close(colours[seen], bare.colours[surfels.triangle][seen], atol=1e-4, rtol=0)
    hair = behind & hidden & (centre[:, 1] > 0.06)
    assert int(hair.sum()) > 5
    assert float(colours[hair].mean()) < 0.6 * float(bare.colours[bare.shown == 0].mean())


@pytest.mark.parametrize(("most", "each"), [(0, 11), (11 * 9140, 11), (11 * 9140 - 1, 10), (1, 1)])
def test_a_head_of_many_triangles_starts_with_fewer_surfels_on_each(
    opened: Opened, most: int, each: int
) -> None:
    settings = {**SETTINGS, "surfels_per_triangle": 11, "max_initial_surfels": most}
    avatar = make_avatar(configure(preset="tiny", settings=settings), opened.scene, torch.device("cpu"))
    assert avatar.surfels.triangle.bincount().unique().tolist() == [each]


@pytest.mark.parametrize(
    ("most", "fewest", "found"), [(0, 20_000, 24_000), (12_000, 12_000, 12_000), (5, 9140, 9140)]
)
def test_surfels_by_area_are_bounded_too(opened: Opened, most: int, fewest: int, found: int) -> None:
    """Not more than the bound, as far as one a triangle allows, and larger triangles still have more."""
    settings = {**SETTINGS, "initial_surfels": 20_000, "max_initial_surfels": most}
    avatar = make_avatar(configure(preset="tiny", settings=settings), opened.scene, torch.device("cpu"))
    assert fewest <= len(avatar.surfels) <= found
    counts = avatar.surfels.triangle.bincount(minlength=9140)
    assert int(counts.min()) == 1
    assert (int(counts.max()) > 1) == (most != 5)


def test_a_share_is_of_the_pictures_looked_at(opened: Opened) -> None:
    scene = opened.scene
    avatar = make_avatar(configure(preset="tiny", settings=SETTINGS), scene, torch.device("cpu"))
    first = scene.views.of("train")[:1]
    one, both = (TriangleBaseline(scene, avatar.rig, np.repeat(first, n)).shown for n in (1, 2))
    assert set(one.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(one, both)


def test_a_resumed_run_knows_the_hidden_surfels_too(opened: Opened, tmp_path: Path) -> None:
    config = configure(preset="tiny", settings={**SETTINGS, "regularizers": {"unseen": {"weight": 1e-4}}})
    device = torch.device("cpu")
    run = make_trainer(config, opened, tmp_path, device)
    again = make_trainer(config, opened, tmp_path, device)
    run.save()
    resumed = make_trainer(config, opened, tmp_path, device, resume=True)
    for other in (again, resumed):
        assert torch.equal(other.avatar.surfels.regions["hidden"], run.avatar.surfels.regions["hidden"])
    plain = configure(preset="tiny", settings={**SETTINGS, "regularizers": {"unseen": {"weight": 0.0}}})
    assert "hidden" not in make_trainer(plain, opened, tmp_path / "plain", device).avatar.surfels.regions
    for made in (run, again, resumed):
        made.feed.close()


def test_without_rays_only_colours_are_refused(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: Any) -> None:
        raise UnavailableError("No rays.", "", "")

    avatar = make_avatar(configure(preset="tiny", settings=SETTINGS), opened.scene, torch.device("cpu"))
    monkeypatch.setattr(meshcaster.MeshCaster, "__init__", none)
    views = opened.scene.views.of("train")
    with pytest.raises(UnavailableError):
        look_at_data(avatar, opened.scene, views, colours=True, hidden=True)
    look_at_data(avatar, opened.scene, views, colours=False, hidden=True)
    assert "No rays." in caplog.text
    assert "hidden" not in avatar.surfels.regions
