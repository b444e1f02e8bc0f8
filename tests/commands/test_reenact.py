"""`surfhead reenact`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from surfhead.drawing.camera_path import orbit
from surfhead.drawing.contact_sheet import GAP, LABEL, contact_sheet
from surfhead.runs.run import load_avatar
from tests.commands.conftest import Surfhead

ORBIT = ("--size", "40", "--device", "cpu")


@pytest.fixture
def posed(surfhead: Surfhead, trained_run: Path, tmp_path: Path) -> Surfhead:
    """The command line, where ``head`` holds a run of the built-in head."""
    shutil.copytree(trained_run, tmp_path / "head")
    return surfhead


def motion(count: int) -> dict[str, Any]:
    """A mouth that opens over ``count`` timesteps, for the built-in head."""
    avatar = load_avatar("head", device="cpu")
    rows = {name: np.zeros((count, value.shape[1]), np.float32) for name, value in avatar.motion.items()}
    rows["jaw"][:, 0] = np.linspace(0.0, 0.4, count)
    return rows


def write(name: str, **fields: Any) -> None:
    with Path(name).open("wb") as file:
        np.savez(file, **fields)


def frames_of(video: str) -> int:
    count: int = imageio_ffmpeg.count_frames_and_secs(video)[0]
    return count


def test_a_motion_file_of_another_length(posed: Surfhead) -> None:
    rows = motion(7)
    write("yawn.npz", **rows)
    said = posed("reenact", "head", "--driver", "yawn.npz", "--png", "--sheet", "3", *ORBIT)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "7 frames in head/reenact/yawn/video.mp4"
    assert frames_of("head/reenact/yawn/video.mp4") == 7
    files = sorted(Path("head/reenact/yawn/pictures").iterdir())
    assert [file.name for file in files] == [f"{index:05d}.png" for index in range(7)]
    first, last = (np.asarray(Image.open(files[index])).astype(int) for index in (0, -1))
    changed = (np.abs(first - last).max(axis=-1) > 20).nonzero()[0]
    assert len(changed) > 5
    assert np.median(changed) > 20  # the mouth is in the lower half of the picture
    assert np.asarray(Image.open("head/reenact/yawn/sheet.png")).shape[1] == GAP + 3 * (40 + GAP)


def test_pictures_without_a_video_need_no_ffmpeg(posed: Surfhead, monkeypatch: pytest.MonkeyPatch) -> None:
    write("yawn.npz", **motion(3))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    said = posed("reenact", "head", "--driver", "yawn.npz", "--no-video", "--png", "--sheet", "2", *ORBIT)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "3 frames in head/reenact/yawn"
    assert sorted(path.name for path in Path("head/reenact/yawn").iterdir()) == ["pictures", "sheet.png"]
    assert len(list(Path("head/reenact/yawn/pictures").iterdir())) == 3


def test_the_subject_keeps_its_identity_and_is_seen_by_a_training_camera(posed: Surfhead) -> None:
    from surfhead.data.feed import cameras_of
    from surfhead.data.opening import open_scene
    from surfhead.runs.run import read_config

    rows = motion(2)
    write("theirs.npz", **rows, shape=np.full((1, 4), 3.0))  # the driver's own identity
    said = posed("reenact", "head", "--driver", "theirs.npz", "--camera", "1", "--png", "--device", "cpu")
    assert said.code == 0, said.err
    scene = open_scene(read_config(Path("head"))).scene
    view = int(np.flatnonzero(scene.views.camera == 1)[0])
    drawn = load_avatar("head", device="cpu").render(
        cameras_of(scene, [view], "cpu"), {name: torch.from_numpy(value[1:]) for name, value in rows.items()}
    )
    found = np.asarray(Image.open("head/reenact/theirs/pictures/00001.png")) / 255.0
    assert np.abs(found - drawn.output.rgb[0].clamp(0, 1).numpy()).max() <= 0.5 / 255 + 1e-6


def test_a_data_set_and_a_run_drive_and_are_seen_in_the_sheet(posed: Surfhead) -> None:
    small = {"width": 40, "height": 40, "timesteps": 3, "test_timesteps": 2, "cameras": 2, "supersampling": 1}
    options = [f"--set=data.{name}={value}" for name, value in small.items()]
    options.append("--set=data.identity={shape = [2, -1, 1, 0, 0, 0, 0, 0, 0, 0]}")
    assert posed("synth", "other", "--format", "vhap", *options).code == 0
    rules = ("--transfer", "relative", "--pose", "relative", "--smooth", "1.5", "--sheet", "2")
    said = posed("reenact", "head", "--driver", "other", "--out", "a", *rules, *ORBIT)
    assert said.code == 0, said.err
    assert frames_of("a/video.mp4") == 5
    said = posed("reenact", "head", "--driver", "head", "--out", "b", *rules, *ORBIT)
    assert said.code == 0, said.err
    assert frames_of("b/video.mp4") == load_avatar("head", device="cpu").timesteps
    for folder in "ab":
        sheet = np.asarray(Image.open(f"{folder}/sheet.png"))
        rows = 2 * (40 + LABEL + GAP)
        assert sheet.shape == (LABEL + GAP + rows, GAP + 2 * (40 + GAP), 3)
    driver = sheet[LABEL + GAP + LABEL :][:40, GAP : GAP + 40]
    assert len(np.unique(driver.reshape(-1, 3), axis=0)) > 50  # a head, not paper


def test_its_own_motion_needs_no_driver_and_the_sheet_has_one_camera(posed: Surfhead) -> None:
    said = posed("reenact", "head", "--no-video", "--sheet", "2", "--out", "own", *ORBIT)
    assert said.code == 0, said.err
    sheet = np.asarray(Image.open("own/sheet.png")).astype(int)
    side = (sheet.shape[0] - LABEL - GAP) // 2 - LABEL - GAP
    top = LABEL + GAP + LABEL
    driver, avatar = (
        sheet[first : first + side, GAP : GAP + side] for first in (top, top + side + LABEL + GAP)
    )
    # where the truth shows a head, the avatar of the same camera and pose does
    heads = [np.abs(picture - picture[0, 0]).sum(axis=2) > 60 for picture in (driver, avatar)]
    assert (heads[0] & heads[1]).sum() > 0.8 * (heads[0] | heads[1]).sum()


def test_a_driver_elsewhere_is_framed_alike(posed: Surfhead) -> None:
    from surfhead.results.reenactment_sheet import centre_of, moved

    avatar = load_avatar("head", device="cpu")
    shifted = dict(avatar.motion)
    shifted["translation"] = shifted["translation"] + torch.tensor([0.5, -0.2, 0.1])
    away = centre_of(avatar, shifted) - centre_of(avatar, avatar.motion)
    assert away.tolist() == pytest.approx([0.5, -0.2, 0.1], abs=1e-5)
    camera = orbit(avatar, 1, height=8, width=8)
    point = torch.tensor([0.1, 0.2, 0.3])
    before = camera.camera_from_world[0, :3, :3] @ point + camera.camera_from_world[0, :3, 3]
    pose = moved(camera, away).camera_from_world[0]
    assert (pose[:3, :3] @ (point + away) + pose[:3, 3]).tolist() == pytest.approx(before.tolist(), abs=1e-5)


def test_an_orbit_looks_where_the_motion_takes_the_head(posed: Surfhead) -> None:
    rows = motion(1)
    write("near.npz", **rows)
    write("far.npz", **{**rows, "translation": rows["translation"] + np.array([2, -1, 3], np.float32)})
    for name in ("near", "far"):
        said = posed("reenact", "head", "--driver", f"{name}.npz", "--png", "--out", name, *ORBIT)
        assert said.code == 0, said.err
    near, far = (np.asarray(Image.open(f"{n}/pictures/00000.png")).astype(int) for n in ("near", "far"))
    assert np.abs(near - far).mean() < 1.0
    assert near.std() > 10


def test_a_contact_sheet_has_a_row_a_video_and_a_column_a_moment() -> None:
    grey = [np.full((20, 30, 3), level, np.uint8) for level in (50, 100)]
    tall = [np.full((40, 20, 3), level, np.uint8) for level in (150, 200)]
    sheet = contact_sheet(["one", "two"], {"grey": grey, "tall": tall})
    assert sheet.shape == (LABEL + GAP + 2 * (40 + LABEL + GAP), GAP + 2 * (60 + GAP), 3)
    top, below = LABEL + GAP + LABEL + 20, LABEL + GAP + (40 + LABEL + GAP) + LABEL + 20
    left, right = GAP + 10, GAP + (60 + GAP) + 10
    assert [sheet[top, left, 0], sheet[top, right, 0]] == [50, 100]
    assert [sheet[below, left, 0], sheet[below, right, 0]] == [150, 200]
    assert sheet[below, GAP + 25, 0] == 255  # the second row's pictures are 20 wide


ERRORS = {
    "driver": (("--driver", "nowhere"), 'Driver "nowhere" does not exist.'),
    "transfer": (("--driver", "head", "--transfer", "relativ"), 'Unknown transfer "relativ". Did you mean'),
    "pose": (("--driver", "head", "--pose", "fix"), 'Unknown pose rule "fix". Did you mean "fixed"?'),
    "neutral": (("--driver", "head", "--neutral", "99"), "\"neutral\" is '99'."),
    "smooth": (("--driver", "head", "--smooth", "-1"), '"smooth" is -1.0.'),
    "camera": (("--driver", "head", "--camera", "77"), 'Unknown camera "77".'),
    "fps": (("--driver", "head", "--fps", "0"), '"fps" is 0.0.'),
    "sheet": (("--driver", "head", "--sheet", "-2"), '"sheet" is -2.'),
    "nothing": (("--driver", "head", "--no-video"), "There is nothing to write: --no-video."),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_options(posed: Surfhead, case: str) -> None:
    arguments, message = ERRORS[case]
    said = posed("reenact", "head", *arguments, *ORBIT)
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[0].startswith(message)
