"""Data sets that are one file: recognised, opened, trained with their own preset, and driving an avatar."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from surfhead.core.components import Dataset
from surfhead.core.errors import DataError
from surfhead.core.scene import Scene
from surfhead.data import films, opening
from surfhead.results import drivers
from surfhead.testing.run import NoiseScene


class OneFile(Dataset):
    """Rig parameters in a text file."""

    name = "one-file"
    summary = "One file."
    preset = "monocular"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.is_file() and path.suffix == ".one"

    def open(self, path: Path | None) -> Scene:
        assert path is not None
        rows = [[float(cell) for cell in line.split()] for line in path.read_text().splitlines()]
        scene = NoiseScene("procedural", {"rotation": torch.tensor(rows)})
        scene.rate = 10.0
        return scene


@pytest.fixture
def one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of that data set, whose reader is registered beside the format of motion files."""
    from surfhead.core.registry import registry

    real = registry()
    kinds: dict[str, dict[str, Any]] = {
        "dataset": {"one-file": OneFile},
        "format": {"motion": real.get("format", "motion")},
    }
    fake = SimpleNamespace(
        names=lambda kind: tuple(kinds[kind]),
        get=lambda kind, name: kinds[kind][name],
        create=lambda kind, name, options=None: kinds[kind][name](),
    )
    for module in (opening, drivers, films):
        monkeypatch.setattr(module, "registry", lambda: fake)
    path = tmp_path / "take.one"
    path.write_text("0 0.1 0\n0 0.2 0\n0 0.3 0\n")
    return path


def test_its_reader_and_preset_are_found(one_file: Path) -> None:
    assert opening.data_choice(str(one_file)).name == "one-file"
    assert opening.usual_preset(str(one_file)) == "monocular"
    assert opening.usual_preset(None, "one-file") == "monocular"


def test_it_drives_with_its_own_rate_and_pictures(one_file: Path) -> None:
    driver = drivers.read_driver(one_file)
    assert (driver.rig, driver.rate) == ("procedural", 10.0)
    assert driver.scene is not None
    torch.testing.assert_close(driver.parameters["rotation"][:, 1], torch.tensor([0.1, 0.2, 0.3]))


def test_a_file_that_nobody_reads_is_no_driver(one_file: Path) -> None:
    other = one_file.with_suffix(".two")
    other.write_text("")
    with pytest.raises(DataError, match="is no motion file"):
        drivers.read_driver(other)


def test_the_built_in_head_has_no_preset_of_its_own() -> None:
    assert opening.usual_preset(None) == ""


def said_of(path: Path) -> list[str]:
    """What is said of a file as a data set, and as a driver."""
    path.write_bytes(b"film")
    with pytest.raises(DataError) as data:
        opening.data_choice(str(path))
    with pytest.raises(DataError) as driver:
        drivers.read_driver(path)
    return [str(data.value), str(driver.value)]


@pytest.mark.parametrize("name", ["me.mp4", "ME.MOV", "a.mkv", "a.avi", "a.webm", "a.m4v"])
def test_of_a_film_it_is_said_which_package_reads_it(
    one_file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = one_file.with_name(name)
    hint = (
        "Films are read by the package surfhead-video, which is not installed.\n"
        'In the source tree: pip install "./plugins_contrib/surfhead-video[tracking]"'
    )
    assert said_of(path) == [
        f'No data set reader recognises "{path}".\n{hint}',
        f'Driver "{path}" is no motion file.\n{hint}',
    ]
    assert not [text for text in said_of(path.with_suffix(".txt")) if "surfhead-video" in text]
    # where that package is installed, its reader says itself what is wrong
    there = SimpleNamespace(names=lambda kind: ("one-file", "video"))
    monkeypatch.setattr(films, "registry", lambda: there)
    assert not [text for text in said_of(path) if "surfhead-video" in text]


def test_of_a_path_that_does_not_exist_it_is_said_what_may_stand_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected a folder or a file, such as a film, or no DATA at all"):
        opening.data_choice(str(tmp_path / "nothere.mp4"))
    with pytest.raises(DataError) as driver:
        drivers.read_driver(tmp_path / "nothere.csv")
    expected = "Expected a data set, a film, a motion file (.npz, .npy, .csv of ARKit) or a run."
    assert expected in str(driver.value)
