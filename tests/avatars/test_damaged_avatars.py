"""Numbers without sense in an avatar: whatever would write it refuses, before a file is opened."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from surfhead.core.api import Format, ShapeError, create
from surfhead.core.registry import registry
from surfhead.results.mesh_extraction import canonical_pose, extract_mesh
from surfhead.testing import run

WRITERS = sorted(name for name in registry().names("format") if registry().get("format", name).writes)
DAMAGE: dict[str, tuple[str, Any, str]] = {  # tensor, what its first row becomes, how many values are named
    "nan": ("surfels/offset", math.nan, "3 of 120"),
    "infinite": ("surfels/sh_dc", -math.inf, "3 of 120"),
    "huge": ("surfels/opacity", 1e7, "1 of 40"),
    "a scale that overflows": ("surfels/log_scale", 60.0, "2 of 80"),
    "no rotation": ("surfels/quaternion", 0.0, "4 of 160"),
    "motion": ("motion/jaw", math.nan, "of"),
    "background": ("background", math.nan, "1 of 3"),
    "host": ("triangle", 10**9, "1 of 40"),
}


def damaged(kind: str) -> Any:
    avatar = run.avatar()
    name, value, _ = DAMAGE[kind]
    with torch.no_grad():
        avatar.state().tensors()[name][0] = value
    return avatar


@pytest.mark.parametrize("kind", DAMAGE)
def test_each_damage_is_named_and_counted(kind):
    with pytest.raises(ShapeError) as caught:
        damaged(kind).check()
    name, _, count = DAMAGE[kind]
    said = str(caught.value)
    assert f'"{name}"' in said
    assert count in said
    assert len(said.splitlines()) == 3
    run.avatar().check()  # sound


@pytest.mark.parametrize("layout", WRITERS)
def test_no_format_writes_a_damaged_avatar(layout: str, tmp_path: Path):
    suffix = (*registry().get("format", layout).suffixes, "")[0]
    with pytest.raises(ShapeError, match='"surfels/offset" holds NaN'):
        create("format", layout).write(damaged("nan"), tmp_path / f"a{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_no_plugins_format_writes_a_damaged_avatar(tmp_path):
    class Mine(Format):
        name, summary, writes = "mine", "A plugin's.", True

        def write(self, avatar: Any, path: Path, **settings: Any) -> list[Path]:
            """Writes."""
            path.write_text("begun")
            return [path]

    with pytest.raises(ShapeError):
        Mine().write(damaged("infinite"), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert Mine.write.__doc__ == "Writes."
    assert Mine().write(run.avatar(), path=tmp_path / "a") == [tmp_path / "a"]


def test_no_mesh_is_made_of_a_damaged_avatar():
    avatar = damaged("huge")
    with pytest.raises(ShapeError, match='"surfels/opacity"'):
        extract_mesh(avatar, canonical_pose(avatar))
