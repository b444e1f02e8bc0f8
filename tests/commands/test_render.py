"""`surfhead render`, and the pictures and camera path behind it."""

from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from tests.commands.conftest import Surfhead


@pytest.fixture
def trained(train_tiny: Surfhead, surfhead: Surfhead) -> Surfhead:
    """The command line, where ``run`` holds a run."""
    assert train_tiny("--quiet").code == 0
    return surfhead


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

    from surfhead.core.build import open_scene
    from surfhead.core.feed import cameras_of
    from surfhead.core.runs import load_avatar, read_config

    scene = open_scene(read_config(Path("run"))).scene
    expected = load_avatar("run", device="cpu").render(cameras_of(scene, [1], "cpu"), 0).output.rgb[0]
    found = torch.from_numpy(np.array(Image.open("pictures/rgb/00001.png"))) / 255.0
    assert float((found - expected.clamp(0, 1)).abs().max()) <= 0.5 / 255 + 1e-6


ERRORS = {
    "channel": (("--channel", "colour"), 'Unknown channel "colour".'),
    "split": (("--split", "tset"), 'Unknown split "tset". Did you mean "test"?'),
    "empty split": (("--split", "test"), 'The data of "run" has no views in split "test".'),
    "up": (("--up", "0,1"), "\"up\" is '0,1'."),
    "front": (("--up", "0,0,1"), '"up" (0.0, 0.0, 1.0) is where the face looks.'),
    "pole": (("--elevation", "90"), "A camera of the path looks straight along the up direction."),
    "size": (("--size", "0"), '"height" is 0.'),
    "fov": (("--fov", "180"), '"field of view" is 180.0.'),
    "fps": (("--fps", "0"), '"fps" is 0.0.'),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_options(trained: Surfhead, case: str) -> None:
    arguments, message = ERRORS[case]
    said = trained("render", "run", "--frames", "1", *arguments)
    assert said.code == 2
    assert said.err.splitlines()[0] == message


def test_a_folder_that_is_no_run(surfhead: Surfhead) -> None:
    said = surfhead("render", "nowhere")
    assert said.code == 2
    assert said.err.splitlines()[0] == '"nowhere" is not a run: it has no config.toml.'
