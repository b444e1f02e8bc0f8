"""Face captures as tables: what drives an avatar, and what is wrong with a table."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from surfhead.core.errors import DataError
from surfhead.core.rig_parameter import RigParameter
from surfhead.plugins.formats.arkit import Arkit
from surfhead.results.drivers import read_driver
from surfhead.results.reenactment import fitted

EYES = "EyeBlinkLeft,EyeLookDownLeft,EyeLookOutLeft,EyeLookOutRight"
LIVE_LINK = f"""Timecode,BlendShapeCount,{EYES},JawOpen,HeadYaw,HeadPitch,HeadRoll
00:00:09:29.5,61,0.1,0.0,0.0,0.0,0.2,0.0,0.0,0.0
00:00:10:00.5,61,0.2,0.5,0.5,0.0,0.4,0.3,0.0,0.0
00:00:10:01.5,61,0.3,0.0,0.0,0.5,0.6,0.0,0.2,0.0
00:00:10:02.5,61,0.3,0.0,0.0,0.0,1.2,0.0,0.0,0.1
00:00:11:00.5,61,0.3,0.0,0.0,0.0,0.8,0.0,0.0,0.0
"""
KNOWN = {
    "rotation": RigParameter(3, axis_angle=True, role="root"),
    "neck": RigParameter(3, axis_angle=True, role="neck"),
    "eyes": RigParameter(6, axis_angle=True, role="gaze"),
    "expression": RigParameter(3, labels=("jawOpen", "mouthSmile_L", "eyeBlink_L"), role="expression"),
    "translation": RigParameter(3, role="translation"),
}


def written(folder: Path, text: str) -> Path:
    path = folder / "take.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_live_links_table_drives_blendshapes_eyes_and_neck(tmp_path: Path) -> None:
    driver = read_driver(written(tmp_path, LIVE_LINK))
    assert driver.rate == 3.0  # frames in the one second that is there from end to end
    made = fitted(driver, KNOWN, list(KNOWN))
    expected = [[0.2, 0, 0.1], [0.4, 0, 0.2], [0.6, 0, 0.3], [1.0, 0, 0.3], [0.8, 0, 0.3]]
    np.testing.assert_allclose(made["expression"], expected, atol=1e-6)
    quarter = math.radians(15)
    # left eye down and outward, to the person's left; then the right eye outward, to the right
    np.testing.assert_allclose(made["eyes"][1], [quarter, quarter, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(made["eyes"][2], [0, 0, 0, 0, -quarter, 0], atol=1e-6)
    np.testing.assert_allclose(made["neck"][1:4], [[0, 0.3, 0], [0.2, 0, 0], [0, 0, 0.1]], atol=1e-6)
    assert not made["rotation"].any()
    assert not made["translation"].any()


def test_seconds_and_per_cent_are_understood(tmp_path: Path) -> None:
    text = "time,jawOpen,mouthSmile_L\n0.00,50,0\n0.04,100,10\n\n0.08,0,20\n"
    motion = Arkit().read(written(tmp_path, text))
    assert motion.rate == pytest.approx(25)
    torch.testing.assert_close(motion.parameters["expression"], torch.tensor([[0.5, 0], [1, 0.1], [0, 0.2]]))
    assert motion.labels == {"expression": ("jawOpen", "mouthSmile_L")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,x\n0,1\n", "has no column named after an ARKit blendshape"),
        ("jawOpen\n", "has no rows"),
        ("jawOpen\n0.5\nhalf\n", 'has "half" in column "jawOpen" of row 2'),
        ("time,jawOpen\n0,0.5\n1\n", 'has "" in column "jawOpen" of row 2'),
        ("jawOpen\nnan\n", 'has "nan"'),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        Arkit().read(written(tmp_path, text))
    assert "take.csv" in str(caught.value)


def test_a_rig_whose_expressions_have_no_names_is_not_driven(tmp_path: Path) -> None:
    driver = read_driver(written(tmp_path, LIVE_LINK))
    with pytest.raises(DataError, match="no blendshape in common"):
        fitted(driver, {**KNOWN, "expression": RigParameter(100, role="expression")}, [])
