"""`surfhead render`, and the pictures and camera path behind it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from tests.commands.conftest import Surfhead


def frames_of(video: Path) -> int:
    count: int = imageio_ffmpeg.count_frames_and_secs(str(video))[0]
    return count


def test_an_orbit_gives_pictures_and_videos_of_every_channel(trained: Surfhead) -> None:
    channels = ("rgb", "normal", "depth", "alpha")
    arguments = [text for name in channels for text in ("--channel", name)]
    said = trained("render", "run", "--frames", "5", "--size", "33", "--turn", "360", *arguments)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == (
        "5 pictures and videos of rgb, normal, depth, alpha in run/render/orbit"
    )
    for name in channels:
        folder = Path("run/render/orbit")
        pictures = sorted((folder / name).iterdir())
        assert [p.name for p in pictures] == [f"{i:05d}.png" for i in range(5)]
        pixels = [np.asarray(Image.open(p)) for p in pictures]
        assert all(p.shape == (33, 33, 3) for p in pixels)
        assert any((pixels[0] != other).any() for other in pixels[1:])
        assert frames_of(folder / f"{name}.mp4") == 5
    alpha = np.asarray(Image.open("run/render/orbit/alpha/00000.png"))
    assert alpha.max() > 25
    assert alpha[0, 0].max() < 0.05 * alpha.max()  # the scene is in the middle


def test_a_split_is_seen_from_its_cameras(trained: Surfhead) -> None:
    said = trained("render", "run", "--split", "train", "--no-video", "--out", "pictures")
    assert said.code == 0, said.err
    assert [p.name for p in sorted(Path("pictures/rgb").iterdir())] == [f"{i:05d}.png" for i in range(3)]
    assert not list(Path("pictures").glob("*.mp4"))

    from surfhead.data.feed import cameras_of
    from surfhead.data.opening import open_scene
    from surfhead.runs.run import load_avatar, read_config

    scene = open_scene(read_config(Path("run"))).scene
    expected = load_avatar("run", device="cpu").render(cameras_of(scene, [1], "cpu"), 0).output.rgb[0]
    found = torch.from_numpy(np.array(Image.open("pictures/rgb/00001.png"))) / 255.0
    assert float((found - expected.clamp(0, 1)).abs().max()) <= 0.5 / 255 + 1e-6


def test_every_channel_and_the_arrays_of_a_split_at_another_size(trained: Surfhead) -> None:
    from surfhead.drawing.channels import CHANNELS

    arguments = [text for name in CHANNELS for text in ("--channel", name)]
    said = trained(
        "render", "run", "--split", "train", "--size", "36", "--arrays", "--out", "all", *arguments
    )
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == f"3 pictures and videos of {', '.join(CHANNELS)} and arrays in all"
    assert {path.name for path in Path("all").iterdir()} == {
        *CHANNELS,
        *(f"{name}.mp4" for name in CHANNELS),
        "arrays",
    }
    for name in CHANNELS:
        assert np.asarray(Image.open(f"all/{name}/00002.png")).shape == (36, 36, 3)
    arrays = np.load("all/arrays/00001.npz")
    assert arrays["normal"].shape == (36, 36, 3)
    assert arrays["depth"].shape == (36, 36)
    assert 1.0 < float(arrays["depth"].max()) < 3.0  # metres: the scene is two away
    # three images leave mid-grey surfels far from the truth
    assert int(np.asarray(Image.open("all/error/00001.png")).max()) == 255


def test_a_lit_avatar_is_drawn_under_other_lights(train_tiny: Surfhead, surfhead: Surfhead) -> None:
    lit = ("--appearance", "lit", "--set", "appearance.region=all")
    assert train_tiny("--quiet", *lit).code == 0
    turn = [{"time": 0, "light": "window"}, {"time": 0.2, "turn": 180}]
    Path("turn.json").write_text(json.dumps({"fps": 10, "frames": turn}))

    def drawn(*arguments: str) -> np.ndarray:
        said = surfhead(
            "render", "run", "--size", "24", "--turn", "0", "--no-video", "--out", "p", *arguments
        )
        assert said.code == 0, said.err
        return np.stack([np.asarray(Image.open(path)) for path in sorted(Path("p/rgb").iterdir())]).astype(
            int
        )

    own = drawn("--frames", "1")
    assert np.abs(drawn("--frames", "1", "--light", "stage") - own).max() > 10
    bright = drawn("--frames", "1", "--light", "even", "--light-strength", "2")
    assert bright.min(initial=255) >= 0
    assert np.abs(bright - drawn("--frames", "1", "--light", "even")).max() > 10
    moving = drawn("--light", "turn.json")
    assert len(moving) == 3
    assert np.abs(moving[0] - moving[2]).max() > 10


def test_other_avatars_and_other_lights_are_refused(trained: Surfhead) -> None:
    for arguments, says in (
        (("--light", "noon"), 'Appearance "sh" has no light'),
        (("--light", "non"), 'Did you mean "noon"'),
        (("--light-turn", "3"), "no light is given"),
        (("--light", "noon", "--light-strength", "-1"), '"light-strength" is -1'),
    ):
        said = trained("render", "run", "--frames", "1", *arguments)
        assert said.code == 2
        assert says in said.err


def test_key_frames_lead_the_camera(trained: Surfhead) -> None:
    near, far = np.eye(4), np.eye(4)
    near[2, 3], far[2, 3] = 1.5, 3.0
    frames = [
        {"time": time, "camera": {"camera_from_world": pose.tolist(), "fov": 40}}
        for time, pose in ((0, near), (0.4, far))
    ]
    Path("zoom.json").write_text(json.dumps({"fps": 10, "frames": frames}))
    said = trained(
        *("render", "run", "--path", "zoom.json", "--width", "40", "--height", "30", "--channel", "alpha"),
        *("--no-png", "--arrays", "--background", "#000"),
    )
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "5 videos of alpha and arrays in run/render/zoom"
    assert frames_of(Path("run/render/zoom/alpha.mp4")) == 5
    assert not Path("run/render/zoom/alpha").exists()
    covered = [np.load(f"run/render/zoom/arrays/{i:05d}.npz")["alpha"] for i in range(5)]
    assert covered[0].shape == (30, 40)
    areas = [float(alpha.sum()) for alpha in covered]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > 2 * areas[4]


def test_a_spiral_over_a_background(trained: Surfhead) -> None:
    said = trained(
        *("render", "run", "--path", "spiral", "--frames", "2", "--size", "20", "--no-video"),
        *("--background", "rgb(10,20,30)"),
    )
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "2 pictures of rgb in run/render/spiral"
    corner = np.asarray(Image.open("run/render/spiral/rgb/00000.png"))[0, 0].astype(int)
    assert np.abs(corner - [10, 20, 30]).max() <= 3  # the faint edge of a mid-grey surfel reaches it


def test_numbers_are_coloured_as_asked_for_and_the_range_is_said(trained: Surfhead) -> None:
    shared = ("render", "run", "--frames", "1", "--size", "96", "--no-video", "--channel", "depth")
    said = trained(*shared, "--range", "0.5,1.5", "--map", "viridis", "--out", "plain")
    assert said.code == 0, said.err
    assert "Colours: depth 0.5 to 1.5 m, viridis" in said.out.splitlines()
    assert trained(*shared, "--range", "0.5,1.5", "--map", "viridis", "--bar", "--out", "bar").code == 0
    plain, barred = (
        np.asarray(Image.open(f"{folder}/depth/00000.png")).astype(int) for folder in ("plain", "bar")
    )
    rows, columns = (plain != barred).any(axis=-1).nonzero()
    assert rows.min() > 48
    assert np.ptp(columns) > 40


def test_help_names_every_channel(surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch) -> None:
    from surfhead.drawing.channels import CHANNELS

    monkeypatch.setenv("COLUMNS", "200")
    told = surfhead("render", "--help").out
    assert [name for name in CHANNELS if name not in told] == []


ERRORS = {
    "channel": (("--channel", "colour"), 'Unknown channel "colour".'),
    "split": (("--split", "tset"), 'Unknown split "tset". Did you mean "test"?'),
    "empty split": (("--split", "test"), 'The data of "run" has no views in split "test".'),
    "map": (("--map", "xyz"), 'Unknown colour map "xyz".'),
    "range": (("--range", "1"), "\"range\" is '1'."),
    "percentile": (("--percentile", "70"), '"percentile" is 70.'),
    "up": (("--up", "0,1"), "\"up\" is '0,1'."),
    "front": (("--up", "0,0,1"), '"up" (0.0, 0.0, 1.0) is where the face looks.'),
    "pole": (("--elevation", "90"), "A camera of the path looks straight along the up direction."),
    "size": (("--size", "0"), '"height" is 0.'),
    "fov": (("--fov", "180"), '"field of view" is 180.0.'),
    "fps": (("--fps", "0"), '"fps" is 0.0.'),
    "error": (("--channel", "error"), 'Channel "error" needs the true picture.'),
    "path": (("--path", "spirla"), 'Unknown path "spirla". Did you mean "spiral"?'),
    "no file": (("--path", "keys.json"), 'Key frames "keys.json" do not exist.'),
    "both": (("--split", "val"), '"frames" is 1, but a split has views of its own.'),
    "background": (("--background", "whiet"), "\"background\" is 'whiet'."),
    "nothing": (("--no-png", "--no-video"), "Neither pictures nor videos nor arrays are asked for."),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_options(trained: Surfhead, case: str) -> None:
    arguments, message = ERRORS[case]
    frames = () if case.endswith("split") else ("--frames", "1")
    said = trained("render", "run", *frames, *arguments)
    assert said.code == 2
    assert said.err.splitlines()[0] == message


def test_a_folder_that_is_no_run(surfhead: Surfhead) -> None:
    said = surfhead("render", "nowhere")
    assert said.code == 2
    assert said.err.splitlines()[0] == '"nowhere" is not a run: it does not exist.'


@pytest.fixture(scope="module")
def one_camera(tmp_path_factory: pytest.TempPathFactory, small_settings: dict[str, Any]) -> Path:
    """A run on pictures of a single camera, stopped half way and resumed; read only."""
    from surfhead.runs.train import train

    run = tmp_path_factory.mktemp("alone") / "run"
    data = {**small_settings["data"], "cameras": 2, "timesteps": 6}  # of which one is held out
    settings = {**small_settings, "data": data, "iterations": 10, "checkpoint": {"every": 5}}
    train(preset="tiny", settings=settings, out=run)
    newest = run / "checkpoints" / "00000010"
    uninterrupted = (newest / "state.json").read_text()
    shutil.rmtree(newest)
    train(out=run, resume=True)
    assert json.loads((newest / "state.json").read_text()) == json.loads(uninterrupted)
    return run


def test_of_one_camera_the_first_film_shows_what_that_saw(
    surfhead: Surfhead, one_camera: Path, trained_run: Path
) -> None:
    from surfhead.drawing.camera_path import orbit
    from surfhead.runs.run import Run

    sight = Run(one_camera).sight
    assert sight is not None
    pictures = ("--no-video", "--size", "24", "--frames", "3", "--device", "cpu")
    said = surfhead("render", str(one_camera), *pictures, "--out", "seen")
    assert said.code == 0, said.err
    low, high = sight.side
    assert f"{low:.0f} to {high:.0f} degrees" in said.out
    seen = [np.asarray(Image.open(file)).astype(int) for file in sorted(Path("seen/rgb").iterdir())]
    for asked in (("--path", "orbit"), ("--turn", "360"), ("--elevation", "5"), ("--up", "0,1,0")):
        said = surfhead("render", str(one_camera), *pictures, *asked, "--out", "asked")
        assert said.code == 0, said.err
        assert "The camera stays" not in said.out
        other = [np.asarray(Image.open(file)).astype(int) for file in sorted(Path("asked/rgb").iterdir())]
        assert any(np.abs(a - b).max() > 20 for a, b in zip(seen, other, strict=True))
    # an avatar of several cameras is shown as ever
    assert Run(trained_run).sight is None
    said = surfhead("render", str(trained_run), *pictures, "--out", "several")
    assert "The camera stays" not in said.out
    avatar = Run(trained_run).avatar("cpu")
    expected = avatar.render(orbit(avatar, 3, height=24, width=24)[1], 1).output.rgb[0]
    found = torch.from_numpy(np.array(Image.open("several/rgb/00001.png"))) / 255.0
    assert float((found - expected.clamp(0, 1)).abs().max()) <= 0.5 / 255 + 1e-6
