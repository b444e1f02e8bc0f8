"""The rig's sliders, and the parameters a stance stands for."""

from __future__ import annotations

from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.runs.run import load_avatar
from surfhead.viewing.puppet import MOST, Puppet, Stance, Track, controls_of, random_expression, spelt
from tests.runs.tiny_run import tiny_avatar


@pytest.fixture(scope="module")
def avatar(trained_run: Path) -> Avatar:
    return load_avatar(trained_run, device="cpu")


def test_every_value_of_the_built_in_head_has_a_slider_with_its_name(avatar: Avatar) -> None:
    controls = controls_of(avatar.rig, avatar.motion)
    assert set(controls) == set(avatar.rig.parameters())
    assert [c.label for c in controls["expression"]][:2] == ["mouth open", "smile left"]
    assert [c.label for c in controls["jaw"]] == ["jaw x", "jaw y", "jaw z"]
    assert controls["eyes"][3].label == "right eye x"
    for rows in controls.values():
        for control in rows:
            seen = avatar.motion[control.name][:, control.index] if control.name in avatar.motion else None
            assert control.low < 0.0 < control.high
            assert seen is None or control.low <= float(seen.min()) <= float(seen.max()) <= control.high


def test_a_mesh_of_offsets_gets_no_sliders() -> None:
    avatar = tiny_avatar()
    parameters = avatar.rig.parameters()
    big = {**parameters, "dynamic_offset": type(parameters["translation"])(3 * MOST)}
    avatar.rig.parameters = lambda: big  # type: ignore[method-assign]
    assert set(controls_of(avatar.rig, {})) == {"translation"}


def test_a_stance_is_the_motion_and_what_is_held() -> None:
    avatar = tiny_avatar(timesteps=3)
    avatar.motion["translation"] = torch.arange(9.0).reshape(3, 3)
    puppet = Puppet(avatar)
    assert puppet.pose(Stance(timestep=1))["translation"].tolist() == [[3.0, 4.0, 5.0]]
    held = Stance(timestep=2, held={("translation", 1): -1.0})
    assert puppet.pose(held)["translation"].tolist() == [[6.0, -1.0, 8.0]]
    assert avatar.motion["translation"][2].tolist() == [6.0, 7.0, 8.0]  # the motion itself is left alone
    assert puppet.pose(Stance(timestep=99))["translation"].tolist() == [[6.0, 7.0, 8.0]]


class Far(torch.Tensor):
    """Says that it lies on a GPU."""

    is_cuda = True  # type: ignore[assignment]


@pytest.mark.parametrize("inference", [False, True])
def test_a_motion_on_a_gpu_is_shown_as_it_is_now(inference: bool) -> None:
    avatar = tiny_avatar(timesteps=3)
    with torch.inference_mode(inference):
        rows = avatar.motion["translation"] = torch.arange(9.0).reshape(3, 3).as_subclass(Far)
        puppet = Puppet(avatar)
    for number in (4.0, -4.0):
        with torch.inference_mode(inference):
            rows[1, 1] = number
        assert puppet.pose(Stance(timestep=1))["translation"].tolist() == [[3.0, number, 5.0]]


def test_what_a_rig_does_not_have_is_not_held() -> None:
    pose = Puppet(tiny_avatar()).pose(Stance(held={("tail", 0): 1.0, ("translation", 7): 1.0}))
    assert {name: value.tolist() for name, value in pose.items()} == {"translation": [[0.0, 0.0, 0.0]]}


def test_another_motion_has_its_own_length_and_rate() -> None:
    puppet = Puppet(tiny_avatar(timesteps=3), rate=25.0)
    track = Track("other", {"translation": torch.ones(7, 3)}, rate=30.0)
    assert (puppet.length(Stance()), puppet.rate_of(Stance())) == (3, 25.0)
    assert (puppet.length(Stance(track)), puppet.rate_of(Stance(track))) == (7, 30.0)
    assert puppet.pose(Stance(track, 6))["translation"].tolist() == [[1.0, 1.0, 1.0]]


def test_an_avatar_without_motion_rests() -> None:
    avatar = tiny_avatar()
    avatar.motion = {}
    pose = Puppet(avatar).pose(Stance(timestep=4))
    assert pose["translation"].tolist() == [[0.0, 0.0, 0.0]]
    assert Puppet(avatar).length(Stance()) == 1


def test_eyes_look_at_the_camera_only_when_asked(avatar: Avatar) -> None:
    puppet, eye = Puppet(avatar), (0.3, 0.1, 0.8)
    plain = puppet.pose(Stance(), eye)["eyes"]
    assert torch.equal(plain, avatar.motion["eyes"][:1])
    looking = puppet.pose(Stance(gaze="camera"), eye)["eyes"]
    assert torch.equal(looking, puppet.pose(Stance(gaze=eye))["eyes"])
    assert float((looking - plain).abs().max()) > 0.1


def test_blendshapes_of_arkit_are_spelt_as_arkit_spells_them() -> None:
    spellings = {
        "eyeBlink_L": "eyeBlinkLeft",
        "browDown_R": "browDownRight",
        "jawOpen": "jawOpen",
        "smile_left": "smile left",
        "mouth_open": "mouth open",
    }
    assert {name: spelt(name) for name in spellings} == spellings


def test_a_random_expression_is_mild(avatar: Avatar) -> None:
    def drawn(limit: float, seen: float) -> list[float]:
        model = SimpleNamespace(coefficients="expression", limits=(0.0, limit))
        size = avatar.rig.parameters()["expression"].size
        rig: Any = SimpleNamespace(parameters=avatar.rig.parameters, linear_model=lambda: model)
        controls = controls_of(rig, {"expression": torch.full((1, size), seen)})["expression"]
        faces = [random_expression(controls, Random(seed)) for seed in range(50)]
        assert all(len(face) == len(controls) for face in faces), "the others are at rest"
        assert all(sum(value != 0.0 for value in face.values()) == min(3, size) for face in faces)
        return [value for face in faces for value in face.values() if value]

    for limit, seen, most in ((1.0, 2.0, 1.0), (3.0, 5.0, 3.0), (3.0, 1.0, 1.2)):  # none leaves its slider
        values = drawn(limit, seen)
        assert 0.2 * most <= min(values) < 0.3 * most
        assert 0.5 * most < max(values) <= 0.6 * most
