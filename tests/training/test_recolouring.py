"""New colours stay where training pictures hardly get worse by them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import DataError
from surfhead.core.parameters import BASE_COLOUR, with_role
from surfhead.core.scene import Scene
from surfhead.data.opening import open_scene
from surfhead.runs.run import load_avatar, read_config
from surfhead.training import palette as mending
from surfhead.training.covering import _errors
from surfhead.training.observation import observe
from surfhead.training.palette import mend
from surfhead.training.recolouring import RISE, _rises, spare_pictures


@pytest.fixture
def trained(trained_run: Path) -> tuple[Avatar, Scene, str]:
    """An avatar, its scene and the name of its base colour."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    name = with_role(avatar.surfels.specs, BASE_COLOUR)
    assert name is not None
    return avatar, scene, name


def test_rises_add_up_to_that_of_the_pictures(trained: tuple[Avatar, Scene, str]) -> None:
    avatar, scene, name = trained
    raw, views = avatar.surfels.parameters, scene.views.of("train").tolist()
    before = sum(float(error.sum()) for error in _errors(avatar, scene, views))
    former = {name: raw[name].detach().clone()}
    changed = torch.arange(0, len(avatar.surfels), 3)
    with torch.no_grad():
        raw[name][changed] += 0.5
        after = sum(float(error.sum()) for error in _errors(avatar, scene, views))
        new = raw[name].clone()
        rises, total = _rises(avatar, scene, views, former, changed)
    assert total == pytest.approx(before, rel=1e-4)
    assert abs(after - before) > 0.01 * before
    assert float(rises.sum()) == pytest.approx(after - before, rel=1e-3)
    assert torch.equal(raw[name], new)


def test_the_worst_are_put_back_until_pictures_hardly_suffer(trained: tuple[Avatar, Scene, str]) -> None:
    avatar, scene, name = trained
    raw, views = avatar.surfels.parameters, scene.views.of("train")
    weight = observe(avatar, scene, views, directions=False).weight
    unseen = torch.nonzero(weight < 1e-6)[:, 0]
    seen = torch.nonzero(weight > weight.quantile(0.98))[:, 0]
    changed = torch.cat((unseen, seen))
    former = {name: raw[name].detach().clone()}
    before = sum(float(error.sum()) for error in _errors(avatar, scene, views.tolist()))
    with torch.no_grad():
        raw[name][changed] += 3.0
    new = raw[name].detach().clone()
    stays = spare_pictures(avatar, scene, views.tolist(), former, changed)
    assert torch.isin(unseen, stays).all()
    assert float(torch.isin(seen, stays).float().mean()) < 0.3
    kept = torch.zeros(len(weight), dtype=torch.bool).index_fill_(0, stays, True)
    assert torch.equal(raw[name][kept], new[kept])
    assert torch.equal(raw[name][~kept], former[name][~kept])
    after = sum(float(error.sum()) for error in _errors(avatar, scene, views.tolist()))
    assert after < (1.0 + 2 * RISE) * before


def test_a_colour_that_nothing_round_it_has_is_mended(trained: tuple[Avatar, Scene, str]) -> None:
    """Of surfels that pictures show aslant at best; nothing else of the avatar is changed."""
    avatar, scene, name = trained
    surfels, views = avatar.surfels, scene.views.of("train")
    raw, spec = surfels.parameters, surfels.specs[name]
    seen = observe(avatar, scene, views, directions=False)
    assert seen.straight is not None
    assert bool((seen.straight <= seen.weight).all())
    inner = torch.zeros(len(surfels), dtype=torch.bool)
    for region in mending.INNER:
        inner[surfels.regions.get(region, torch.zeros(0, dtype=torch.int64))] = True
    aslant = torch.nonzero((seen.straight < 0.01 * seen.half) & ~inner)[:, 0]
    strange = aslant[:: max(len(aslant) // 40, 1)]
    with torch.no_grad():
        raw[name][strange] = spec.encoded(torch.tensor([0.1, 0.9, 0.9]).expand(len(strange), 3))
    before = {key: value.detach().clone() for key, value in raw.items()}
    changed = mend(avatar, scene, views, seen)
    assert float(torch.isin(strange, changed).float().mean()) > 0.8
    assert not inner[changed].any()
    mended = strange[torch.isin(strange, changed)]
    assert float(spec.decoded(raw[name].detach())[mended, 1].mean()) < 0.75
    stays = torch.ones(len(surfels), dtype=torch.bool).index_fill_(0, changed, False)
    assert torch.equal(raw[name][stays], before[name][stays])
    assert bool(stays[seen.straight > seen.half].all())
    assert all(torch.equal(value, before[key]) for key, value in raw.items() if key != name)


def test_a_run_is_not_lost_where_a_picture_is_gone(
    trained: tuple[Avatar, Scene, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    avatar, scene, name = trained
    before = avatar.surfels.parameters[name].detach().clone()
    views = scene.views.of("train")
    seen = observe(avatar, scene, views, directions=False)

    def gone(view: int) -> None:
        raise DataError(f"Picture {view} is gone.", "", "Put it back.")

    monkeypatch.setattr(scene, "picture", gone)
    monkeypatch.setattr(mending, "OWN", 0.0)  # that anything is mended
    assert len(mend(avatar, scene, views, seen)) == 0
    assert "is gone" in caplog.text
    assert torch.equal(avatar.surfels.parameters[name], before)
