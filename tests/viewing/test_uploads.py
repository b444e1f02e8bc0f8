"""What pages send is read from memory, and bad files are refused with words."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import DataError
from surfhead.runs.run import load_avatar
from surfhead.viewing import uploads
from surfhead.viewing.pose_file import pose_json, pose_npz
from surfhead.viewing.uploads import motion_track


@pytest.fixture(scope="module")
def avatar(trained_run: Path) -> Avatar:
    return load_avatar(trained_run, device="cpu")


def npz(**fields: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **fields)
    return file.getvalue()


def motion(avatar: Avatar, count: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: 0.1 * rng.standard_normal((count, parameter.size)).astype(np.float32)
        for name, parameter in avatar.rig.parameters().items()
    }


def test_a_motion_arrives_as_it_was_sent(avatar: Avatar) -> None:
    fields = motion(avatar)
    track = motion_track(avatar, "walk.npz", npz(**fields))
    assert (track.name, len(track)) == ("walk.npz", 5)
    for name, rows in fields.items():
        torch.testing.assert_close(track.parameters[name], torch.from_numpy(rows), atol=1e-6, rtol=0)


def test_no_path_is_opened(avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = npz(**motion(avatar))
    lure = tmp_path / "lure.npz"
    lure.write_bytes(b"not a motion")
    opened = []
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: opened.append(self) or real(self, *a, **k))
    for name in (str(lure), "../../etc/passwd", "/etc/passwd"):
        assert len(motion_track(avatar, name, content)) == 5  # what was sent, not what is there
    assert opened == []


def test_pickles_are_refused(avatar: Avatar, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    for content in (pickle.dumps(Trap()), npz(jaw=np.array([[Trap()]], dtype=object))):
        with pytest.raises(DataError, match="cannot be read"):
            motion_track(avatar, "trap.npz", content)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"jaw": np.full((2, 3), np.nan)}, "other things than finite numbers"),
        ({"tail": np.zeros((2, 3))}, '"tail"'),
        ({}, "holds no rig parameters"),
    ],
)
def test_wrong_fields_are_named(avatar: Avatar, fields: dict[str, Any], words: str) -> None:
    whole = {**motion(avatar, 2), **fields} if fields else {}
    with pytest.raises(DataError, match=words):
        motion_track(avatar, "bad.npz", npz(**whole))


def test_too_much_is_refused(avatar: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LARGEST", 10)
    with pytest.raises(DataError, match="has 11 bytes"):
        motion_track(avatar, "long.npz", b"x" * 11)


def test_a_pose_that_was_saved_can_be_loaded(avatar: Avatar) -> None:
    pose = {name: torch.from_numpy(rows[:1]) for name, rows in motion(avatar).items()}
    track = motion_track(avatar, "pose.npz", pose_npz(pose))
    for name, value in pose.items():
        torch.testing.assert_close(track.parameters[name], value, atol=1e-6, rtol=0)


def test_a_pose_as_json_has_every_value() -> None:
    import json

    pose = {"jaw": torch.tensor([[0.25, -1.0, 1e-9]])}
    assert json.loads(pose_json(pose)) == {"jaw": [0.25, -1.0, 1e-9]}
