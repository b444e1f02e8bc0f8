"""The colours of a front take on what else than before shines through it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from surfhead.core.parameters import BASE_COLOUR, with_role
from surfhead.data.opening import open_scene
from surfhead.runs.run import load_avatar, read_config
from surfhead.training import covering
from surfhead.training.compensation import compensate, pictures_of
from surfhead.training.composition import look_at_data
from surfhead.training.covering import cover_hidden


def test_pictures_become_what_they_were_and_nothing_else_changes(trained_run: Path) -> None:
    avatar = load_avatar(trained_run, device="cpu", checkpoint_name="00000020")
    scene = open_scene(read_config(trained_run)).scene
    surfels, raw, chosen = avatar.surfels, avatar.surfels.parameters, scene.views.of("train").tolist()[::3]
    look_at_data(avatar, scene, scene.views.of("train"), colours=False, hidden=True)
    name, hidden = with_role(surfels.specs, BASE_COLOUR), surfels.regions["hidden"]
    assert name is not None
    former = pictures_of(avatar, scene, chosen)
    with torch.no_grad():
        raw[name][hidden] += 3.0
        raw["opacity"][hidden] += 3.0

    def lost() -> float:
        found = pictures_of(avatar, scene, chosen)
        return sum(float((a - b).square().sum()) for a, b in zip(found, former, strict=True))

    before, kept = lost(), {key: value.detach().clone() for key, value in raw.items()}
    compensate(avatar, scene, chosen, former, hidden)
    assert lost() < 0.7 * before
    for key, value in raw.items():
        assert torch.equal(value.detach()[hidden], kept[key][hidden]), key
        assert key == name or torch.equal(value.detach(), kept[key]), key
    assert bool(raw[name].isfinite().all())


def test_without_a_base_colour_nothing_changes(trained_run: Path) -> None:
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    surfels, chosen = avatar.surfels, scene.views.of("train").tolist()[:1]
    name = with_role(surfels.specs, BASE_COLOUR)
    assert name is not None
    before = surfels.parameters[name].detach().clone()
    wrong = [1.0 - picture for picture in pictures_of(avatar, scene, chosen)]
    del surfels.specs[name]
    compensate(avatar, scene, chosen, wrong, surfels.triangle[:0])
    assert torch.equal(surfels.parameters[name], before)


def test_pictures_hardly_change_by_what_is_covered(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes through a front that is not quite opaque is of another colour, which the front takes on."""
    scene = open_scene(read_config(trained_run)).scene
    views = scene.views.of("train")[::3]
    lost: list[float] = []
    monkeypatch.setattr(covering, "_visibly_worse", lambda *_: False)
    monkeypatch.setattr(covering, "close_holes", lambda *given: given[3][:0])
    for compensated in (False, True):
        avatar = load_avatar(trained_run, device="cpu", checkpoint_name="00000020")
        look_at_data(avatar, scene, views, colours=False, hidden=True)
        former = pictures_of(avatar, scene, views.tolist())
        with monkeypatch.context() as patch:
            if not compensated:
                patch.setattr(covering, "compensate", lambda *_: None)
            assert cover_hidden(avatar, scene, views)
        after = pictures_of(avatar, scene, views.tolist())
        lost.append(sum(float((a - b).square().sum()) for a, b in zip(after, former, strict=True)))
    assert lost[1] < 0.95 * lost[0]
