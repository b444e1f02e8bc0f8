"""Every reader of data sets has a page in the documentation, and what the page shows is really read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from surfhead.core.api import DataError, Scene, create
from surfhead.core.registry import registry
from surfhead.data.opening import data_choice
from surfhead.results.drivers import read_driver

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "data"
BUILT_IN = [row.name for row in registry().registrations("dataset") if row.source.origin == "built-in"]
ON_DISK = [name for name in BUILT_IN if name != "synthetic"]
SECTIONS = ["Layout", "Example", "What is checked", "Not supported"]
INDEX = (PAGES / "index.md").read_text(encoding="utf-8")


def page(name: str) -> str:
    """A reader's page."""
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def section(name: str, title: str) -> str:
    """The text below one heading of a page."""
    return page(name).split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", [*BUILT_IN, "motion"])
def test_every_reader_has_a_page_that_is_linked(name: str) -> None:
    assert re.findall(r"^## (.*)$", page(name), flags=re.MULTILINE) == SECTIONS
    assert f"(`{name}`)" in page(name).splitlines()[0]
    assert f"({name}.md)" in INDEX


def test_no_page_is_of_a_reader_that_is_not_there() -> None:
    assert {file.stem for file in PAGES.glob("*.md")} == {*BUILT_IN, "motion", "normals", "index"}


def test_links_between_pages_lead_somewhere() -> None:
    for file in PAGES.glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+\.md)\)", file.read_text(encoding="utf-8")):
            assert (file.parent / link).is_file(), f"{file.name}: {link}"


@pytest.mark.parametrize("name", ON_DISK)
def test_the_options_a_page_names_exist(name: str) -> None:
    cls: Any = registry().get("dataset", name)
    named = set(re.findall(r"[Oo]ptions? `?([a-z_]+)", page(name)))
    named |= set(re.findall(r"--set data\.(\w+)=", page(name)))
    assert named <= set(cls.Options.__dataclass_fields__)


@pytest.mark.parametrize("name", ON_DISK)
def test_the_layout_is_that_of_the_readers_example(name: str, tmp_path: Path) -> None:
    cls: Any = registry().get("dataset", name)
    cls.example(tmp_path)
    lines = section(name, "Layout").split("```text\n")[1].split("```")[0].splitlines()
    assert len(lines) >= 3
    for line in lines:
        file, _, what = line.partition(" ")
        assert (tmp_path / file).is_file() or "optional" in what, line


def described(name: str, folder: Path) -> dict[str, tuple[int, int]]:
    """Write a page's example over the reader's own; gives width and height of each picture it names."""
    cls: Any = registry().get("dataset", name)
    cls.example(folder)
    blocks = re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```", page(name), flags=re.MULTILINE | re.DOTALL)
    assert blocks, "the page shows no file"
    pictures = {}
    for file, text in blocks:
        (folder / file).write_text(text, encoding="utf-8")
        if file.endswith(".json"):
            content = json.loads(text)
            for frame in content["frames"]:
                size = [frame.get(side, content.get(side, pixels)) for side, pixels in (("w", 12), ("h", 10))]
                for field in ("file_path", "mask_path", "fg_mask_path"):
                    if field in frame:
                        path = (folder / file).parent / frame[field]
                        path = path if path.suffix else path.with_suffix(".png")
                        pictures[str(path)] = (size[0], size[1])
        else:
            names = re.findall(r"\S+\.png$", text, flags=re.MULTILINE)
            pictures |= {str(folder / "images" / picture): (12, 10) for picture in names}
    for path, (width, height) in pictures.items():
        Path(path).parent.mkdir(exist_ok=True)
        kind = "L" if "mask" in path else "RGB"
        Image.new(kind, (width, height), 200).save(path)
    return pictures


@pytest.mark.parametrize("name", ON_DISK)
def test_the_example_of_a_page_is_read(name: str, tmp_path: Path) -> None:
    pictures = described(name, tmp_path)
    assert data_choice(str(tmp_path)).name == name
    scene: Scene = create("dataset", name).open(tmp_path)
    shown = [view for view in range(len(scene.views)) if str(scene.files(view)[0]) in pictures]
    assert len(shown) == sum("mask" not in path for path in pictures)
    for view in shown:
        width, height = pictures[str(scene.files(view)[0])]
        assert scene.frame(view).image.shape == (height, width, 3)
        focal = scene.views.intrinsics[view][0, 0]
        assert focal == pytest.approx(24.0 if name != "blender" else 12 / 2 / np.tan(0.6911112070083618 / 2))
    text = page(name).replace("page", "elsewhere")
    assert text != page(name)  # the pictures' names are the page's own


def test_an_example_without_its_pictures_is_not_read(tmp_path: Path) -> None:
    pictures = described("transforms", tmp_path)
    for path in pictures:
        Path(path).unlink()
    with pytest.raises(DataError, match="page_0"):
        create("dataset", "transforms").open(tmp_path)


def test_the_motion_of_its_page_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", page("motion"), flags=re.MULTILINE | re.DOTALL)
    exec(compile(code, "motion.md", "exec"), {})
    found = read_driver(tmp_path / "talk.npz").parameters
    assert {name: tuple(rows.shape) for name, rows in found.items()} == {
        "expression": (100, 100),
        "jaw": (100, 3),
    }
    assert float(found["jaw"].max()) == pytest.approx(0.3, abs=1e-2)


def test_the_face_capture_of_its_page_drives(tmp_path: Path) -> None:
    (text,) = re.findall(r"^`take.csv`:\n\n```csv\n(.*?)^```", page("motion"), flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "take.csv").write_text(text)
    found = read_driver(tmp_path / "take.csv")
    assert found.rate == pytest.approx(25.0)
    assert found.labels["expression"] == ("JawOpen", "MouthSmileLeft", "EyeBlinkLeft")
    assert found.parameters["expression"][-1].tolist() == pytest.approx([0.6, 0.2, 1.0])
    assert found.parameters["neck"][:, 1].tolist() == pytest.approx([0.0, 0.05, 0.1])
