"""From a film to a scene, with the real models: a drawn head that turns is found, kept and written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from surfhead_video import dataset as dataset_module
from surfhead_video.command import main
from surfhead_video.dataset import Video, find_head
from surfhead_video.fitted_head import TURNED

from surfhead.core.api import Cameras, DataError, OptionError, create

FRAMES, SIZE, FOCAL, DISTANCE = 16, 256, 290.0, 0.45


def yaw() -> np.ndarray:
    return np.asarray(0.4 * np.sin(np.arange(FRAMES) * 2 * np.pi / FRAMES))


@pytest.fixture(scope="session")
def pictures(head: Path, model: Path) -> list[np.ndarray]:
    """A drawn head that turns its neck from side to side and opens its mouth."""
    pytest.importorskip("embreex", reason="embreex does not load")
    from surfhead.plugins.datasets.synthetic.renderer import Renderer

    rig: Any = create("rig", "ict", {"path": str(head)})
    rest = rig.prepare({})
    renderer = Renderer(rest, rest, 3, 1, 3, 1, (0.45, 0.5, 0.6))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = TURNED, [0, 0, DISTANCE]
    intrinsics = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1.0]])
    camera = Cameras(torch.from_numpy(pose)[None], torch.from_numpy(intrinsics)[None], SIZE, SIZE)
    openness = renderer.pose(rest.vertices).openness
    renderer._openness = lambda caster, vertices: openness  # the same light in all poses: quicker
    made = []
    for t, angle in enumerate(yaw()):
        expression = torch.zeros(1, len(rig.expressions()))
        expression[0, rig.expressions().index("jawOpen")] = 0.4 * (t % 4 == 2)
        row = {"neck": torch.tensor([[0.0, angle, 0.0]], dtype=torch.float32), "expression": expression}
        made.append(renderer.draw(renderer.pose(rig(row).vertices[0]), camera)[0].image)
    return made


@pytest.fixture(scope="session")
def clip(pictures: list[np.ndarray], film: Any) -> Path:
    path: Path = film("me.mp4", pictures)
    return path


@pytest.fixture(scope="session")
def reader(head: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Video:
    cache = tmp_path_factory.mktemp("cache")
    return Video(Video.Options(landmarker=str(model), head=str(head), cache=str(cache), refine="off"))


@pytest.fixture(scope="session")
def scene(reader: Video, clip: Path) -> Any:
    return reader.open(clip, lambda stage, done, total: None)


def test_the_head_is_tracked(scene: Any) -> None:
    tracked = scene.tracked
    assert tracked.number.tolist() == list(range(FRAMES))
    assert float(np.median(tracked.error)) < 0.015
    turns = Rotation.from_matrix(TURNED.T @ tracked.fit.rotation).as_rotvec()[:, 1]
    # up to a constant, which the face's shape may explain
    off = (turns - turns.mean()) - (yaw() - yaw().mean())
    assert np.degrees(np.abs(off)).mean() < 3
    jaw = tracked.fit.expression[:, create("rig", "ict", scene.rig_options).expressions().index("jawOpen")]
    opened = np.arange(FRAMES) % 4 == 2
    assert jaw[opened].mean() > jaw[~opened].mean() + 0.1
    assert scene.rate == pytest.approx(25, rel=0.01)


def test_the_scene_is_an_ordinary_one(scene: Any) -> None:
    assert (scene.rig, scene.views.split.tolist()) == ("ict", ["train"] * 13 + ["test"] * 3)
    frame = scene.frame(4)
    assert frame.image.shape == (scene.views.height, scene.views.width, 3)
    assert frame.mask.shape == frame.image.shape[:2]
    assert frame.image[frame.mask == 0].min() == 255
    # the posed rig covers the mask
    rig: Any = create("rig", "ict", scene.rig_options)
    rig.prepare(scene.identity)
    row = {name: values[4:5] for name, values in scene.rig_parameters.items()}
    pose, intrinsics = scene.views.camera_from_world[4], scene.views.intrinsics[4]
    seen = (rig(row).vertices[0].double().numpy() @ pose[:3, :3].T + pose[:3, 3]) @ intrinsics.T
    pixels = np.floor(seen[:, :2] / seen[:, 2:]).astype(int)
    inside = ((pixels >= 0) & (pixels < [scene.views.width, scene.views.height])).all(axis=1)
    assert frame.mask[pixels[inside, 1], pixels[inside, 0]].mean() > 0.85 * 255
    assert any(note.startswith("Only 16 frames are used") for note in scene.notes)


def test_a_tracked_clip_is_not_tracked_again(
    reader: Video, clip: Path, scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_module, "track", lambda *given: pytest.fail("tracked again"))
    again = reader.open(clip)
    for name, values in scene.rig_parameters.items():
        assert torch.equal(again.rig_parameters[name], values)
    np.testing.assert_array_equal(again.frame(3).image, scene.frame(3).image)


def test_the_command_writes_a_folder_that_vhap_reads(
    reader: Video, clip: Path, scene: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = reader.options
    given = ["--landmarker", options.landmarker, "--head", options.head, "--cache", options.cache]
    given += ["--refine", "off"]
    assert main(["track", str(clip), str(tmp_path / "out"), *given]) == 0
    assert "16 views" in capsys.readouterr().out
    read = create("dataset", "vhap").open(tmp_path / "out")
    assert (read.rig, len(read.views)) == ("ict", FRAMES)
    for name, values in scene.rig_parameters.items():
        torch.testing.assert_close(read.rig_parameters[name], values)
    assert main(["track", str(clip), str(tmp_path / "out"), *given]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["overlay", str(clip), str(tmp_path / "over.mp4"), *given]) == 0
    assert (tmp_path / "over.mp4").stat().st_size > 1000


def test_what_cannot_be_tracked_is_said(
    reader: Video, pictures: list[np.ndarray], film: Any, tmp_path: Path
) -> None:
    empty = film("empty.mp4", [np.full((96, 96, 3), 90, np.uint8)] * 6)
    with pytest.raises(DataError, match=r"has no face in 6 frames\.\n"):
        reader.open(empty)
    single = film("single.mp4", pictures[:1])
    with pytest.raises(DataError, match=r"has 1 usable frame in 1 frame\."):
        reader.open(single)
    with pytest.raises(DataError, match="is no clip"):
        reader.open(tmp_path)
    with pytest.raises(OptionError, match='Option "mask"'):
        Video(
            Video.Options(landmarker=reader.options.landmarker, head=reader.options.head, mask="nowhere")
        ).open(empty)


def test_a_lying_clip_is_refused_and_turned_it_is_tracked_as_upright(
    reader: Video, scene: Any, pictures: list[np.ndarray], film: Any
) -> None:
    lying = film("lying.mp4", [np.rot90(picture) for picture in pictures])
    with pytest.raises(DataError, match="lies on its side") as caught:
        reader.open(lying)
    assert "--set data.turn=90," in caught.value.remedy
    turned = Video(replace(reader.options, turn=90)).open(lying).tracked
    assert turned.number.tolist() == list(range(FRAMES))
    assert float(np.median(turned.error)) < 0.015
    away = Rotation.from_matrix(turned.fit.rotation @ scene.tracked.fit.rotation.transpose(0, 2, 1))
    assert np.degrees(np.median(away.magnitude())) < 2


def test_the_head_is_asked_for_by_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURFHEAD_CACHE", str(tmp_path))
    monkeypatch.delenv("SURFHEAD_ICT_HEAD", raising=False)
    with pytest.raises(DataError, match=r"The ICT head .* does not exist") as caught:
        find_head()
    assert "https://github.com/ICT-VGL/ICT-FaceKit" in str(caught.value)
