"""What `surfhead data check` says of masks and of single views, and what training says of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from surfhead.core.api import Frame, Rig, Scene, create
from surfhead.data.data_check import check_scene
from surfhead.data.mask_check import EMPTY, FULL, INVERTED, ONES, collected, fault_in, warn_of_masks
from surfhead.data.overlays import outline
from tests.commands.conftest import Surfhead
from tests.commands.test_data import SMALL, opengl, vhap


@pytest.fixture
def scene() -> Scene:
    """Seven views of the built-in head."""
    opened: Scene = create("dataset", "synthetic", SMALL).open(None)
    return opened


@pytest.fixture
def rig(scene: Scene) -> Rig:
    """The built-in head."""
    made: Rig = create("rig", scene.rig)
    made.prepare(scene.identity)
    return made


def spoil(scene: Scene, change: Callable[[int, Frame], Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every frame of a scene be another."""
    whole = scene.frame
    for name in ("frame", "picture"):
        monkeypatch.setattr(scene, name, lambda view: change(view, whole(view)))


def head(size: int = 20) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 :, size // 4 : -(size // 4)] = 255
    return mask


@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        (head(), ""),
        (head() * 0, EMPTY),
        (head() // 255, ONES),
        (head() * 0 + 1, ONES),
        (head() * 0 + 255, FULL),
        (255 - head(), INVERTED),
    ],
)
def test_each_mistake_in_a_mask_has_a_name(mask: np.ndarray, kind: str) -> None:
    assert fault_in(mask) == kind
    assert fault_in(mask, head() > 0) == kind


@pytest.mark.parametrize("turns", range(4))
def test_where_the_middle_begins_and_ends(turns: int) -> None:
    """Of twelve rows and columns the middle is the fifth to the eighth: a hole fills three quarters of it."""
    mask = np.full((12, 12), 255, np.uint8)
    mask[4:7, 4:8] = 0
    assert fault_in(np.rot90(mask, turns)) == INVERTED
    mask[6] = 255  # half of it only
    assert fault_in(np.rot90(mask, turns)) == ""


def test_a_rig_that_lies_elsewhere_does_not_make_a_mask_inverted() -> None:
    elsewhere = np.zeros((20, 20), bool)
    elsewhere[:3, :3] = True
    assert fault_in(head(), elsewhere) == ""


def rim(rows: int, columns: int, inside: int = 0, size: int = 40) -> np.ndarray:
    """A mask whose upper rows and outer columns, down to the shoulders, are full."""
    mask = np.full((size, size), inside, np.uint8)
    mask[:rows] = mask[: size // 2, :columns] = mask[: size // 2, size - columns :] = 255
    return mask


def test_inverted_is_what_is_full_all_along_the_rim_but_below() -> None:
    # a twentieth of 40 pixels is 2
    assert [fault_in(rim(*sides)) for sides in ((2, 2), (2, 1), (1, 2))] == [INVERTED, "", ""]
    assert fault_in(np.minimum(rim(2, 2, inside=127), 128)) == INVERTED  # 128 is foreground, 127 is not
    assert fault_in(rim(2, 2, inside=128)) == ""


def test_full_masks_are_told_where_most_are_and_a_head_is_meant(scene: Scene) -> None:
    full = {0: (FULL, ""), 1: (FULL, "")}
    assert [len(collected(scene, full, looked)) for looked in (2, 3, 4)] == [1, 1, 0]
    scene.rig = "none"
    assert collected(scene, full, 2) == []
    (fault,) = collected(scene, {**full, 2: (EMPTY, "why")}, 3)
    assert (fault.kind, fault.views, fault.detail) == (EMPTY, (scene.views.names[2],), "why")


MASKS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "empty": (lambda mask: mask * 0, "7 of 7 masks are empty (all 0); the first is of view"),
    "ones": (lambda mask: mask // 255, "7 of 7 masks hold 0 and 1 instead of 0 and 255; the first"),
    "full": (lambda mask: mask * 0 + 255, "7 of 7 masks are full (all 255)"),
    "inverted": (lambda mask: 255 - mask, "7 of 7 masks are inverted: 0 where the head is"),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_are_named_first_and_cameras_left_alone(
    scene: Scene, rig: Rig, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, said = MASKS[name]
    spoil(scene, lambda view, frame: replace(frame, mask=change(np.asarray(frame.mask))), monkeypatch)
    (problem,) = check_scene(scene, rig, 0).problems
    assert problem.startswith(said)


def test_empty_masks_explain_no_camera(scene: Scene, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.views = replace(scene.views, camera_from_world=opengl(scene.views.camera_from_world))
    spoil(scene, lambda view, frame: replace(frame, mask=np.asarray(frame.mask) * 0), monkeypatch)
    problems = check_scene(scene, rig, 0).problems
    assert problems[0].startswith("7 of 7 masks are empty")
    assert not any("OpenGL" in problem or "overlap" in problem for problem in problems)


def test_a_correction_that_does_not_convince_is_not_offered(
    scene: Scene, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.views = replace(scene.views, camera_from_world=opengl(scene.views.camera_from_world))

    def half(view: int, frame: Frame) -> Frame:
        mask = np.array(frame.mask)
        mask[:, : mask.shape[1] // 2] = 0
        return replace(frame, mask=mask)

    spoil(scene, half, monkeypatch)
    (problem,) = check_scene(scene, rig, 0).problems
    assert "No usual mistake explains it" in problem


def test_a_single_view_far_below_the_median_is_named(scene: Scene, rig: Rig) -> None:
    poses = scene.views.camera_from_world.copy()
    poses[2, 0, 3] += 0.12  # metres to the side
    scene.views = replace(scene.views, camera_from_world=poses)
    report = check_scene(scene, rig, 0)
    (problem,) = report.problems
    assert problem.startswith("1 of 7 views overlap far less than the median 0.9")
    assert f'"{scene.views.names[2]}" 0.' in problem


def test_a_view_that_looks_away_is_named(scene: Scene, rig: Rig) -> None:
    turn = np.diag([-1.0, 1.0, -1.0, 1.0])
    poses = scene.views.camera_from_world.copy()
    poses[4] = turn @ poses[4]
    scene.views = replace(scene.views, camera_from_world=poses)
    (problem,) = check_scene(scene, rig, 0).problems
    assert problem.startswith(f'1 of 7 views look away from the rig: "{scene.views.names[4]}".')


def test_a_view_that_looks_away_from_the_points_is_named(tmp_path: Path) -> None:
    made: Any = type(create("dataset", "colmap"))
    opened = made.example(tmp_path).open(tmp_path)
    assert check_scene(opened, None, 0).problems == []
    opened.views.camera_from_world[5] = np.diag([-1.0, 1, -1, 1]) @ opened.views.camera_from_world[5]
    (problem,) = check_scene(opened, None, 0).problems
    assert problem.startswith('1 of 9 views look away from the initial points: "005.png".')


def test_blank_pictures_are_named(scene: Scene, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def blank(view: int, frame: Frame) -> Frame:
        return replace(frame, image=np.full_like(frame.image, 7)) if view == 3 else frame

    spoil(scene, blank, monkeypatch)
    (problem,) = check_scene(scene, rig, 0).problems
    assert problem.startswith(f'1 of 7 pictures are blank, of one colour: "{scene.views.names[3]}".')


def test_masks_of_another_size_and_with_alpha_are_named(tmp_path: Path) -> None:
    folder = vhap(tmp_path / "data")
    masks = sorted((folder / "fg_masks").iterdir())
    small = Image.open(masks[0])
    small.resize((small.width // 2, small.height)).save(masks[0])
    coloured = Image.new("RGBA", small.size, (255, 255, 255, 0))
    coloured.putpixel((2, 3), (255, 255, 255, 255))
    coloured.save(masks[4])
    problems = check_scene(create("dataset", "vhap").open(folder), None, 0).problems
    assert problems[0].startswith("1 of 9 masks have another size than their pictures; the first is of view")
    assert "(6x10, the picture 12x10)" in problems[0]
    assert problems[1].startswith("1 of 9 masks are pictures with an alpha channel")
    assert len(problems) == 2
    scene = create("dataset", "vhap").open(folder)
    view = next(v for v in range(9) if scene.mask_file(v) == masks[4])
    mask = scene.frame(view).mask
    assert mask is not None
    assert (int(mask.sum()), int(mask[3, 2])) == (255, 255)  # the alpha, where the colours say nothing


def test_a_file_that_is_cut_short_is_found_whatever_is_sampled(tmp_path: Path) -> None:
    folder = vhap(tmp_path / "data")
    file = folder / "images" / "00001_02.png"
    file.write_bytes(file.read_bytes()[:-20])
    (problem,) = check_scene(create("dataset", "vhap").open(folder), None, 1).problems
    assert problem.startswith('1 of 9 views have a damaged file; "')
    assert '00001_02.png" of view "00001_02" is cut short' in problem


def test_without_the_rigs_files_all_else_is_looked_at(surfhead: Surfhead, tmp_path: Path) -> None:
    folder = vhap(tmp_path / "data")
    (folder / "images" / "00001_02.png").unlink()
    said = surfhead("data", "check", str(folder), "--out", "seen")
    assert (said.code, said.err) == (1, "")
    problems = [line for line in said.out.splitlines() if line.startswith("Problem: ")]
    assert problems[0].startswith('Problem: Rig "flame" has no model file.')
    assert problems[0].endswith("Without the rig, nothing is said of cameras and tracking.")
    assert problems[1].startswith("Problem: 1 of 9 views lack a file")
    assert len(list((tmp_path / "seen").glob("0*.png"))) == 8


def test_the_sheet_begins_with_the_worst_overlap(scene: Scene, rig: Rig, tmp_path: Path) -> None:
    poses = scene.views.camera_from_world.copy()
    poses[6, 0, 3] += 0.12
    scene.views = replace(scene.views, camera_from_world=poses)
    report = check_scene(scene, rig, 0, tmp_path)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    first = np.asarray(report.samples[6].overlay)
    assert np.array_equal(sheet[6 : 6 + first.shape[0], 6 : 6 + first.shape[1]], first)


def test_outlines_follow_a_mask_inside_and_leave_the_rim_alone() -> None:
    mask = np.zeros((6, 6), bool)
    mask[2:, 1:4] = True
    expected = mask.copy()
    expected[3:, 2] = False
    assert np.array_equal(outline(mask), expected)


def test_training_warns_of_masks_of_no_use(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    views = scene.views.of("train")
    with caplog.at_level(logging.WARNING, "surfhead"):
        assert warn_of_masks(scene, views) == []
        assert caplog.text == ""
        spoil(scene, lambda view, frame: replace(frame, mask=np.asarray(frame.mask) // 255), monkeypatch)
        warn_of_masks(scene, views)
    assert "4 of 4 masks hold 0 and 1 instead of 0 and 255" in caplog.text


@pytest.mark.parametrize(("count", "looked"), [(0, []), (3, [0, 1, 2]), (24, [0, 3, 6, 9, 12, 15, 18, 21])])
def test_before_training_a_few_masks_from_all_over_are_looked_at(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, count: int, looked: list[int]
) -> None:
    seen: list[int] = []
    picture = scene.picture(0)
    monkeypatch.setattr(scene, "picture", lambda view: (seen.append(view), picture)[1])
    monkeypatch.setattr(scene, "mask_file", lambda view: None)
    assert warn_of_masks(scene, np.arange(count)) == []
    assert seen == looked
