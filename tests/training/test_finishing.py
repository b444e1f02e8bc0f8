"""The last look at a trained avatar as a whole."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surfhead.data.opening import open_scene
from surfhead.runs.run import load_avatar, read_config
from surfhead.training import covering, finishing, recolouring
from surfhead.training.composition import look_at_data
from surfhead.training.finishing import finish
from surfhead.training.judging_pictures import front
from surfhead.training.observation import observe
from surfhead.training.ranks import Ranks


@pytest.mark.parametrize(("images", "asked"), [(8, 4), (30, 7), (3500, 24), (0, 24)])
def test_a_short_run_asks_few_pictures(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, images: int, asked: int
) -> None:
    """So that the last look takes no longer than the steps did."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    with torch.no_grad():
        avatar.surfels.parameters["opacity"] += 4.0  # as longer training makes it
    look_at_data(avatar, scene, scene.views.of("train"), colours=False, hidden=True)
    views, counts = np.tile(scene.views.of("train"), 3), []

    def counted(real: Any, *given: Any) -> Any:
        counts.append(len(given[2]))
        return real(*given)

    monkeypatch.setattr(covering, "_errors", partial(counted, covering._errors))
    monkeypatch.setattr(recolouring, "_rises", partial(counted, recolouring._rises))
    monkeypatch.setattr(covering, "_visibly_worse", lambda *_: False)
    monkeypatch.setattr(covering, "compensate", lambda *_: None)
    finish(avatar, scene, views, images=images)
    assert set(counts) == {asked}
    assert len(counts) >= 2


@pytest.mark.parametrize("rank", [0, 1])
def test_the_last_look_is_told_once_before_it_begins(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rank: int
) -> None:
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    caplog.set_level("INFO", logger="surfhead")

    def observed(*given: Any, **how: Any) -> Any:
        told.append(caplog.messages.count(finishing.LAST_LOOK))
        return seen

    told: list[int] = []
    seen = observe(avatar, scene, scene.views.of("train"), directions=False)
    monkeypatch.setattr(finishing, "observe", observed)
    finish(avatar, scene, scene.views.of("train"), images=30, ranks=Ranks(number=rank))
    assert (told[:1], caplog.messages.count(finishing.LAST_LOOK)) == (([1], 1) if rank == 0 else ([], 0))
    caplog.clear()
    monkeypatch.setattr(avatar.deformer, "rig_bound", False, raising=False)
    for name in ("mend", "cover_hidden", "settle"):
        monkeypatch.setattr(finishing, name, lambda *_: False)
    finish(avatar, scene, scene.views.of("train"), images=30, ranks=Ranks(number=rank))
    assert finishing.LAST_LOOK not in caplog.messages, "nothing of it is done without a rig"
    finish(avatar, scene, scene.views.of("train"), True, images=30, ranks=Ranks(number=rank))
    assert caplog.messages.count(finishing.LAST_LOOK) == (rank == 0), "but ties are"


@pytest.mark.parametrize("opaque", [False, True])
def test_an_avatar_that_is_hardly_opaque_is_left_alone(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, opaque: bool
) -> None:
    """What covers and closes would show through it; what nothing faces a camera with does not count."""
    avatar = load_avatar(trained_run, device="cpu", checkpoint_name="00000020")
    scene = open_scene(read_config(trained_run)).scene
    views = scene.views.of("train")[::4]
    called: list[int] = []
    rest = avatar.rig.rest()
    ahead = rest.frames.rotation[avatar.surfels.triangle][:, 2, 2] > 0.0  # as the cameras stand
    with torch.no_grad():
        avatar.surfels.parameters["opacity"][~ahead] = 6.0  # the far side
        avatar.surfels.parameters["opacity"][ahead] = 6.0 if opaque else -4.0
    found = front(avatar, scene, views.tolist())
    assert found > 0.98 if opaque else found < 0.9, found

    def noted(*_: Any) -> bool:
        called.append(1)
        return False

    monkeypatch.setattr(finishing, "cover_hidden", noted)
    caplog.set_level("INFO", logger="surfhead")
    finish(avatar, scene, views)
    assert len(called) == opaque
    assert (finishing.TRANSPARENT in caplog.messages) != opaque
    assert avatar.observed is not None
