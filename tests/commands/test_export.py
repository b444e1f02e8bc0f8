"""`surfhead export`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData

from tests.commands.conftest import TINY, Surfhead


@pytest.fixture
def posed(surfhead: Surfhead, trained_run: Path, tmp_path: Path) -> Surfhead:
    """The command line, where ``head`` holds a run of the built-in head."""
    shutil.copytree(trained_run, tmp_path / "head")
    return surfhead


def places(file: str) -> np.ndarray:
    vertex = PlyData.read(file)["vertex"]
    return np.stack([vertex[axis] for axis in "xyz"], axis=1)


def test_one_pose_by_timestep_and_by_parameters(posed: Surfhead) -> None:
    said = posed("export", "head", "--format", "2dgs", "--timestep", "1")
    assert said.code == 0, said.err
    assert re.fullmatch(r"Wrote head/export/2dgs/point_cloud.ply \(\d+\.\d MB\)\n", said.out)
    still = posed("export", "head", "--format", "2dgs", "--pose", "jaw=0", "--out", "still.ply")
    yawn = posed("export", "head", "--format", "2dgs", "--pose", "jaw=0.3", "--out", "yawn.ply")
    assert (still.code, yawn.code) == (0, 0)
    at_rest, opened = places("still.ply"), places("yawn.ply")
    moved = np.linalg.norm(opened - at_rest, axis=1)
    assert moved.max() > 0.01  # metres: the chin
    assert np.median(moved) < 0.005  # the skull stays
    assert places("head/export/2dgs/point_cloud.ply").shape == at_rest.shape


def test_the_whole_avatar(posed: Surfhead) -> None:
    said = posed("export", "head", "--out", "kept/head.ply")
    assert said.code == 0, said.err
    files = [re.fullmatch(r"Wrote (.*) \([\d.]+ k?M?B\)", line)[1] for line in said.out.splitlines()]
    assert files[0] == "kept/head.ply"
    assert all(Path(file).is_file() for file in files)


def test_a_web_page_with_options_of_its_format(posed: Surfhead) -> None:
    said = posed("export", "head", "--format", "html", "--set", "motion=baked", "--set", "title=Jane")
    assert said.code == 0, said.err
    assert said.out.startswith("Wrote head/export/html/head.html (")
    text = Path("head/export/html/head.html").read_text(encoding="utf-8")
    assert "<title>Jane</title>" in text
    assert '"kind": "baked"' in text
    shared = posed("export", "head", "--format", "html", "--i-may-share-the-rig", "--out", "rig.html")
    assert shared.code == 0, shared.err
    assert '"kind": "linear"' in Path("rig.html").read_text(encoding="utf-8")


ERRORS = {
    "format": (("--format", "2dgz"), 'Unknown format "2dgz". Did you mean "2dgs"?'),
    "parameter": (("--pose", "jow=1"), 'Unknown rig parameter "jow". Did you mean "jaw"?'),
    "numbers": (("--pose", "jaw=wide"), '"jaw=wide" is not a pose.'),
    "too many numbers": (("--pose", "jaw=1,2,3,4"), '"jaw=1,2,3,4" is not a pose.'),
    "timestep": (("--timestep", "999"), "Timestep 999 is outside the avatar's motion."),
    "option": (
        ("--format", "html", "--set", "motoin=baked"),
        'Unknown option of format "html" "motoin". Did you mean "motion"?',
    ),
    "an option of another format": (
        ("--format", "2dgs", "--i-may-share-the-rig"),
        'Unknown option of format "2dgs" "i_may_share_the_rig".',
    ),
    "a timestep of all": (
        ("--format", "html", "--timestep", "1"),
        'Format "html" has no setting "timestep": it holds the whole avatar.',
    ),
    "both": (("--timestep", "1", "--pose", "jaw=1"), "Both a timestep and rig parameters are given."),
}


@pytest.mark.parametrize("case", ERRORS)
def test_bad_options(posed: Surfhead, case: str) -> None:
    arguments, message = ERRORS[case]
    layout = () if "--format" in arguments else ("--format", "2dgs")
    said = posed("export", "head", *layout, *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[0] == message


def test_a_format_that_only_reads(posed: Surfhead) -> None:
    said = posed("export", "head", "--format", "scroll", "--plugin", str(TINY))
    assert said.code == 2
    assert said.err == ('Format "scroll" cannot be written.\nSee `surfhead list format` for the others.\n')
