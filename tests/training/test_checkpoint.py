"""Checkpoints are complete or absent, and damage is named."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from surfhead.core.errors import DataError
from surfhead.training import checkpoint


def tensors() -> dict[str, torch.Tensor]:
    whole = torch.arange(12.0).reshape(3, 4)
    return {
        "plain": torch.randn(5, 2, generator=torch.Generator().manual_seed(0)),
        "double": torch.tensor([1.0 / 3], dtype=torch.float64),
        "bool": torch.tensor([True, False]),
        "integer": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "turned": whole.T,
        "shared": whole,
        "part": whole[1:],
        "leaf": torch.ones(2, requires_grad=True),
    }


def test_what_is_written_is_read_bit_for_bit(tmp_path: Path) -> None:
    meta = {"images": 12, "order": [1, 2], "nested": {"name": "jbs", "on": True, "none": None}}
    folder = checkpoint.write(tmp_path / "checkpoints" / "00000012", tensors(), meta)
    values, read = checkpoint.read(folder)
    assert read == {"version": checkpoint.VERSION, **meta}
    assert values.keys() == tensors().keys()
    for name, value in tensors().items():
        assert torch.equal(values[name], value), name
        assert values[name].dtype == value.dtype


def test_it_appears_only_when_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "checkpoints" / "00000012"
    checkpoint.write(folder, {"x": torch.ones(1)}, {"images": 12})

    def fails(*arguments: Any, **settings: Any) -> None:
        raise OSError("no space left")

    for broken in ("safetensors.torch.save_file", "surfhead.training.checkpoint._sync"):
        with monkeypatch.context() as patched:
            patched.setattr(broken, fails)
            with pytest.raises(DataError, match="no space left"):
                checkpoint.write(folder, {"x": torch.zeros(1)}, {"images": 13})
            with pytest.raises(DataError, match="no space left"):
                checkpoint.write(folder.with_name("00000020"), {"x": torch.zeros(1)}, {"images": 20})
        assert checkpoint.latest(tmp_path) == folder
        assert checkpoint.read(folder)[0]["x"].item() == 1.0
    checkpoint.write(folder, {"x": torch.zeros(1)}, {"images": 13})  # over what the failures left
    assert checkpoint.read(folder)[1]["images"] == 13
    assert [path.name for path in folder.parent.iterdir() if path.name == ".00000012.partial"] == []


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """While no file may grow beyond so many bytes: a disk that says no in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 10_000, 39_000])
def test_a_file_that_may_not_grow_costs_nothing(tmp_path: Path, size: int) -> None:
    folder = tmp_path / "checkpoints" / "00000012"
    checkpoint.write(folder, {"x": torch.ones(10_000)}, {"images": 12})
    for name in ("00000012", "00000020"):
        with largest_file(size), pytest.raises(DataError, match="File too large") as caught:
            checkpoint.write(folder.with_name(name), {"x": torch.zeros(10_000)}, {"images": 13})
        assert name in caught.value.what
        assert len(str(caught.value).splitlines()) == 3
    assert [path.name for path in folder.parent.iterdir()] == ["00000012"]  # the room is given back
    assert bool((checkpoint.read(folder)[0]["x"] == 1.0).all())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_what_stands_complete_between_two_renames_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    folder = tmp_path / "checkpoints" / "00000012"
    checkpoint.write(folder, {"x": torch.ones(1)}, {"images": 12})
    rename = Path.rename

    def second_fails(self: Path, target: Path) -> Path:
        if target == folder:
            raise OSError(number, os.strerror(number))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(DataError, match=os.strerror(number)):
        checkpoint.write(folder, {"x": torch.zeros(1)}, {"images": 12})
    newest = checkpoint.latest(tmp_path)
    assert newest is not None
    assert checkpoint.read(newest)[0]["x"].item() == 0.0


def test_the_newest_is_found_by_number(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) is None
    for name in ("00000900", "00001000", "100000000"):
        checkpoint.write(tmp_path / "checkpoints" / name, {}, {})
    for stray in ("00002000.old", ".00003000.partial", "notes"):
        (tmp_path / "checkpoints" / stray).mkdir()
    (tmp_path / "checkpoints" / "999999999").write_text("a file")
    newest = checkpoint.latest(tmp_path)
    assert newest is not None
    assert newest.name == "100000000"


def damage_cut(folder: Path) -> None:
    file = folder / checkpoint.TENSORS
    file.write_bytes(file.read_bytes()[:-3])


def damage_empty(folder: Path) -> None:
    (folder / checkpoint.TENSORS).write_bytes(b"")


def damage_noise(folder: Path) -> None:
    (folder / checkpoint.TENSORS).write_bytes(b"\xff" * 64)


def damage_missing(folder: Path) -> None:
    (folder / checkpoint.META).unlink()


def damage_json(folder: Path) -> None:
    (folder / checkpoint.META).write_text('{"version": 1, "images"')


def damage_bytes(folder: Path) -> None:
    (folder / checkpoint.META).write_bytes(b"\xff\xfe{}")


@pytest.mark.parametrize(
    "damage", [damage_cut, damage_empty, damage_noise, damage_missing, damage_json, damage_bytes]
)
def test_damage_is_a_data_error_that_names_the_folder(tmp_path: Path, damage: Any) -> None:
    folder = checkpoint.write(tmp_path / "00000012", tensors(), {"images": 12})
    damage(folder)
    with pytest.raises(DataError) as caught:
        checkpoint.read(folder)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f'Checkpoint "{folder}" is damaged or incomplete: ')
    assert lines[-1] == "Remove this folder; --resume then continues from the checkpoint before it."


@pytest.mark.parametrize("meta", [{"version": 99}, {}, [1]])
def test_another_version_is_refused(tmp_path: Path, meta: Any) -> None:
    folder = checkpoint.write(tmp_path / "00000012", {}, {})
    (folder / checkpoint.META).write_text(json.dumps(meta))
    with pytest.raises(DataError, match="format version"):
        checkpoint.read(folder)


def test_the_tensors_can_be_read_by_safetensors_alone(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path / "00000012", {"x": torch.ones(2)}, {})
    assert torch.equal(safetensors.torch.load_file(folder / checkpoint.TENSORS)["x"], torch.ones(2))
