"""The refined motion of a clip is used, kept, made again where it is damaged, and never in the way."""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation
from surfhead_video import dataset as dataset_module
from surfhead_video import kept_refinement, overlay
from surfhead_video.command import SETTING, main
from surfhead_video.dataset import NOT_REFINED, PLAN, Video
from surfhead_video.fitted_head import TURNED, Fit
from surfhead_video.kept_refinement import refined_file
from surfhead_video.landmark_places import LandmarkPlaces
from surfhead_video.overlay import Overlay
from surfhead_video.refinement import Plan, Refined, refine_motion
from surfhead_video.rig_motion import RigMotion, fit_with, rig_motion
from surfhead_video.tracking import KEPT, Tracked, read_tracking, write_tracking

from surfhead.core.api import DataError, SurfheadError, create
from surfhead.data.opening import Opened

FRAMES, WIDTH, HEIGHT = 6, 40, 48
NEARER = 0.02  # metres, by which the refined motions of these tests come nearer
LEANING = 1.25  # an expression beyond its bounds


@pytest.fixture(scope="module")
def fit(places: LandmarkPlaces) -> Fit:
    """A head that turns, opens its mouth and looks aside."""
    count = np.arange(FRAMES)
    turns = Rotation.from_euler("YX", np.stack([0.1 * count - 0.2, 0.03 * count], axis=1))
    expression = np.zeros((FRAMES, len(places.names)))
    expression[:, places.names.index("jawOpen")] = 0.1 * count
    shape = np.zeros(places.identities.shape[-1])
    shape[0] = 0.5
    return Fit(
        focal=60.0,
        shape=shape,
        rotation=TURNED @ turns.as_matrix(),
        translation=np.stack([0.002 * count, 0 * count, 0.5 + 0.001 * count], axis=1),
        expression=expression,
        gaze=np.stack([0.01 * count, -0.02 * count], axis=1),
    )


class Clip:
    """A clip whose tracking, and refining, do nothing but count how often they are done."""

    def __init__(self, folder: Path, fit: Fit, head: Path) -> None:
        self.folder, self.fit, self.head = folder, fit, head
        self.path, self.model = folder / "me", folder / "model.task"
        self.tracked = self.refined = 0
        self.error: BaseException | None = None
        self.path.mkdir()
        for row in range(FRAMES):
            Image.fromarray(np.full((HEIGHT, WIDTH, 3), 20 * row, np.uint8)).save(self.path / f"{row}.png")
        with zipfile.ZipFile(self.model, "w") as archive:
            for name in ("face_landmarks_detector.tflite", "face_blendshapes.tflite"):
                archive.writestr(name, b"")

    def track(self, path: Path, folder: Path, *given: object) -> Tracked:
        self.tracked += 1
        empty = np.zeros((FRAMES, 478, 2), np.float32)
        made = Tracked(
            *(folder, self.fit, np.arange(FRAMES), np.arange(FRAMES) / 25, empty, np.zeros(FRAMES)),
            *((0, 0, WIDTH, HEIGHT), (WIDTH, HEIGHT), (WIDTH, HEIGHT), ("odd",), {"fit": [1.0, 1.0]}),
        )
        for kind in KEPT:
            for row in range(FRAMES):
                file = made.file(kind, row)
                file.parent.mkdir(parents=True, exist_ok=True)
                size = (HEIGHT, WIDTH, 3) if kind == "frames" else (HEIGHT, WIDTH)
                Image.fromarray(np.full(size, 99, np.uint8)).save(file)
        write_tracking(folder / "tracking.npz", made)
        return made

    def refine(self, opened: Opened, plan: Plan, device: str, report: Any) -> Refined:
        if self.error is not None:
            raise self.error
        self.refined += 1
        motion = {name: rows.clone() for name, rows in opened.scene.rig_parameters.items()}
        motion["translation"][:, 2] += NEARER
        motion["expression"][:, 3] = LEANING
        return Refined(motion, np.array([[0.2, 0.1]]), {"motion by pixels": [1.0, 2.0]})

    def open(self, refine: str = "on", setting: str = Video.setting) -> Any:
        reader = Video(Video.Options(**self.given(), refine=refine))  # type: ignore[arg-type]
        reader.setting = setting
        return reader.open(self.path, lambda *said: None)

    def given(self) -> dict[str, Any]:
        return {
            "landmarker": str(self.model),
            "head": str(self.head),
            "cache": str(self.folder / "cache"),
            "mask": "outline",
        }

    def kept(self) -> list[Path]:
        return sorted((self.folder / "cache").glob("*/refined*"))


@pytest.fixture
def clip(
    tmp_path: Path, fit: Fit, head: Path, rig: Any, places: LandmarkPlaces, monkeypatch: pytest.MonkeyPatch
) -> Clip:
    made = Clip(tmp_path, fit, head)
    monkeypatch.setattr(dataset_module, "track", made.track)
    monkeypatch.setattr(dataset_module, "reason_absent", lambda: None)
    monkeypatch.setattr(dataset_module, "make_rig", lambda head: rig)  # both take a second to make
    for module in (kept_refinement, overlay):
        monkeypatch.setattr(module, "landmark_places", lambda rig: places)
    monkeypatch.setattr(kept_refinement, "refine_motion", made.refine)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return made


def test_a_fit_and_its_motion_tell_of_the_same_head(fit: Fit, rig: Any) -> None:
    rest = rig.prepare({"shape": torch.from_numpy(fit.shape).float()})
    motion = rig_motion(fit, rig, np.arange(FRAMES) / 25)
    generator = torch.Generator().manual_seed(0)
    changed = {
        name: rows + 0.02 * torch.randn(rows.shape, generator=generator)
        for name, rows in motion.parameters.items()
    }
    for parameters in (motion.parameters, changed):
        found = fit_with(fit, RigMotion(parameters, motion.camera), rig)
        # the crown, posed by the rig without a face's motion, lies where the fit has it
        still = {**parameters, "expression": torch.zeros_like(parameters["expression"])}
        upper = rest.vertices[:, 1] > rest.vertices[:, 1].max() - 0.03  # metres; above the eyes
        world = rig(still).vertices[:, upper].double().numpy()
        seen = world @ motion.camera[:3, :3].T + motion.camera[:3, 3]
        given = rest.vertices[upper].double().numpy()
        wanted = np.einsum("tij,vj->tvi", found.rotation, given) + found.translation[:, None]
        np.testing.assert_allclose(seen, wanted, atol=2e-6)
        assert (found.expression >= 0).all()
        assert (found.expression <= 1).all()
    same = fit_with(fit, motion, rig)
    for name in ("rotation", "translation", "expression", "gaze"):
        np.testing.assert_allclose(getattr(same, name), getattr(fit, name), atol=1e-6)
    assert same.focal == fit.focal
    assert same.shape is fit.shape


def test_the_scene_has_the_refined_motion_and_the_rest_agrees_with_it(clip: Clip, rig: Any) -> None:
    tracked, scene = clip.open("off"), clip.open("on")
    before, after = tracked.rig_parameters, scene.rig_parameters
    torch.testing.assert_close(
        after["translation"][:, 2] - before["translation"][:, 2], torch.full((6,), NEARER)
    )
    assert after["expression"][:, 3].tolist() == [LEANING] * FRAMES  # as pixels gave it
    np.testing.assert_array_equal(scene.views.camera_from_world, tracked.views.camera_from_world)
    np.testing.assert_array_equal(scene.views.intrinsics, tracked.views.intrinsics)
    np.testing.assert_array_equal(scene.frame(2).image, tracked.frame(2).image)
    # the camera looks along -z of the world
    moved = scene.tracked.fit.translation - tracked.tracked.fit.translation
    np.testing.assert_allclose(moved, np.tile([0, 0, -NEARER], (FRAMES, 1)), atol=1e-6)
    assert scene.tracked.fit.expression[:, 3].tolist() == [1.0] * FRAMES
    assert scene.tracked.seconds == {"fit": [1.0, 1.0], "motion by pixels": [1.0, 2.0]}
    assert scene.tracked.notes == ("odd",)
    # the landmarks of this clip are all at the corner; of a nearer head they are further away, in pixels
    overlays = [Overlay(each, rig) for each in (tracked, scene)]
    spread = [np.ptp(overlay._fitted[0], axis=0) for overlay in overlays]
    vertices = [np.ptp(overlay._vertices(0), axis=0) for overlay in overlays]
    assert (spread[1] > 1.02 * spread[0]).all()
    assert (vertices[1] > 1.02 * vertices[0]).all()
    assert (scene.tracked.error > 0).all()


def test_turning_it_on_and_off_tracks_and_refines_once(clip: Clip) -> None:
    moved = [clip.open(how).rig_parameters["expression"][0, 3].item() for how in ("off", "on", "off", "on")]
    assert moved == [0.0, LEANING, 0.0, LEANING]
    assert (clip.tracked, clip.refined) == (1, 1)
    assert len(clip.kept()) == 1
    kept = read_tracking(clip.kept()[0].parent)  # is as tracked
    assert kept is not None
    np.testing.assert_array_equal(kept.fit.expression, clip.fit.expression)


def test_auto_is_off_without_a_gpu_says_so_and_takes_what_is_kept(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Video.Options().refine == "auto"
    scene = clip.open("auto")
    assert scene.notes == ("odd", NOT_REFINED + "--set data.refine=on")
    assert scene.rig_parameters["expression"][0, 3] == 0
    assert clip.open("auto").notes == ("odd", NOT_REFINED + "--set data.refine=on")
    assert clip.open("auto", SETTING).notes == ("odd", NOT_REFINED + "--refine on")
    assert clip.open("off").notes == ("odd",)
    assert clip.refined == 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert clip.open("auto").rig_parameters["expression"][0, 3] == LEANING
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    scene = clip.open("auto")
    assert scene.rig_parameters["expression"][0, 3] == LEANING
    assert scene.notes == ("odd",)
    assert (clip.tracked, clip.refined) == (1, 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("kind", ["cut", "pipe", "folder", "nan", "short", "other", "empty"])
def test_what_is_damaged_is_made_again(clip: Clip, kind: str) -> None:
    clip.open()
    (file,) = clip.kept()
    with np.load(file) as content:
        arrays = dict(content)
    whole = file.read_bytes()
    file.unlink()
    if kind == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "empty":
        file.touch()
    else:
        if kind == "nan":
            arrays["motion/neck"][2, 1] = np.nan
        elif kind == "short":
            arrays["motion/neck"] = arrays["motion/neck"][:-1]
        else:
            arrays["begun"] = np.array("of another tracking")
        np.savez(file, **arrays)
    scene = clip.open()
    assert scene.rig_parameters["expression"][0, 3] == LEANING
    assert (clip.tracked, clip.refined) == (1, 2)
    assert all(bool(rows.isfinite().all()) for rows in scene.rig_parameters.values())
    if kind not in ("pipe", "folder"):  # in whose place no file is put
        clip.open()
        assert clip.refined == 2


def test_another_plan_or_version_has_another_file(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked = clip.open("off").tracked
    names = {
        refined_file(tracked, plan).name for plan in (PLAN, replace(PLAN, rounds=1), replace(PLAN, steps=9))
    }
    monkeypatch.setattr(kept_refinement, "VERSION", kept_refinement.VERSION + 1)
    assert len(names | {refined_file(tracked, PLAN).name}) == 4


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "memory is short. Free some"),
        (MemoryError(), "memory is short. Free some"),
        (SurfheadError("NaN gradients at image 7.", "", "Lower the rates."), "at image 7. Lower the rates."),
        (ValueError("odd\nsecond line"), "is as tracked: odd. Look at"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_failure_leaves_the_tracked_motion_and_a_note(clip: Clip, error: Exception, said: str) -> None:
    clip.error = error
    scene = clip.open()
    assert scene.rig_parameters["expression"][0, 3] == 0
    assert len(scene.notes) == 2
    assert said in scene.notes[1]
    assert "--set data.refine=off" in scene.notes[1]
    clip.error = None
    assert clip.open().rig_parameters["expression"][0, 3] == LEANING  # tried again
    assert clip.tracked == 1


def test_an_interruption_loses_the_stage_alone(clip: Clip) -> None:
    clip.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        clip.open()
    assert clip.kept() == []
    clip.error = None
    clip.open()
    assert (clip.tracked, clip.refined) == (1, 1)


def test_what_cannot_be_kept_is_used_all_the_same(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path) -> None:
        raise DataError("No room.", "", "Free some.")

    monkeypatch.setattr(kept_refinement, "beside", full)
    assert clip.open().rig_parameters["expression"][0, 3] == LEANING
    assert "is not kept: No room." in caplog.records[0].message


def test_the_written_folder_has_the_refined_motion(
    clip: Clip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word for name, value in clip.given().items() for word in (f"--{name}", value)]
    for how, value in (("off", 0.0), ("on", LEANING)):
        out = tmp_path / how
        assert main(["track", str(clip.path), str(out), *given, "--refine", how]) == 0
        read = create("dataset", "vhap").open(out)
        assert read.rig_parameters["expression"][:, 3].tolist() == [value] * FRAMES
    assert "motion by pixels: 1.0 s" in capsys.readouterr().out
    assert clip.tracked == 1


def test_a_clip_is_refined_without_a_gpu_where_that_is_asked_for(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("embreex", reason="embreex does not load")
    tracked = clip.open("off").rig_parameters
    monkeypatch.setattr(kept_refinement, "refine_motion", refine_motion)
    monkeypatch.setattr(dataset_module, "PLAN", Plan(rounds=1, images=2, steps=1, batch=6, longest=32))
    scene = clip.open()
    assert scene.notes == ("odd",)
    assert sorted(path.name for path in (clip.folder / "cache").iterdir()) == [scene.tracked.folder.name]
    for name in ("rotation", "neck", "translation", "expression"):
        assert not torch.equal(scene.rig_parameters[name], tracked[name])
        # a step or two of either stage leads nowhere far
        assert float((scene.rig_parameters[name] - tracked[name]).abs().max()) < 0.1
    again = clip.open()
    assert len(clip.kept()) == 1
    for name, rows in scene.rig_parameters.items():
        assert torch.equal(again.rig_parameters[name], rows)
    np.testing.assert_array_equal(again.tracked.error, scene.tracked.error)
    assert capfd.readouterr() == ("", "")
