"""The checks of file formats each reject what they should."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.api import DataError, Format, Motion, Pose, StoredAvatar
from surfhead.testing import check, run
from tests.conformance.planted import checks_of_kind_alone, error_of


class Tensors(Format):
    """Sound: the surfels' parameters in one safetensors file; gives back the avatar as it was stored."""

    name = "tensors"
    summary = "The surfels' parameters."
    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)
    reads = True
    writes = True

    def stored(self, avatar: Avatar) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in avatar.surfels.parameters.items()}

    def write(
        self, avatar: Avatar, path: Path, *, timestep: int | None = None, parameters: Pose | None = None
    ) -> list[Path]:
        safetensors.torch.save_file(self.stored(avatar), path)
        return [path]

    def parsed(self, path: Path) -> dict[str, Tensor]:
        try:
            return safetensors.torch.load_file(path)
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            raise DataError(f'"{path}" is no avatar: {error}') from error

    def read(self, path: Path) -> StoredAvatar | Motion:
        values = self.parsed(path)
        triangle = run.avatar().surfels.triangle.numpy()
        return StoredAvatar({name: value.numpy() for name, value in values.items()}, triangle, "none")


class OnlyMotion(Tensors):
    """Sound: gives back a motion; written before poses were arguments, as third parties' are."""

    def write(self, avatar: Avatar, path: Path, **settings: Any) -> list[Path]:
        return super().write(avatar, path)

    def read(self, path: Path) -> StoredAvatar | Motion:
        return Motion(self.parsed(path))


class Bare(Tensors):
    def read(self, path: Path) -> Any:
        return self.parsed(path)


class Idle(Tensors):
    reads = False
    writes = False


class NoDot(Tensors):
    suffixes: ClassVar[tuple[str, ...]] = ("SAFETENSORS",)


class ClaimsOther(Tensors):
    def write(self, avatar: Avatar, path: Path, **settings: Any) -> list[Path]:
        super().write(avatar, path)
        return [path.with_suffix(".json")]


class RoundsAvatar(Tensors):
    def write(self, avatar: Avatar, path: Path, **settings: Any) -> list[Path]:
        with torch.no_grad():
            avatar.surfels.parameters["offset"].mul_(1.5)
        return super().write(avatar, path)


class StampsTime(Tensors):
    def write(self, avatar: Avatar, path: Path, **settings: Any) -> list[Path]:
        safetensors.torch.save_file(self.stored(avatar), path, {"time": str(time.perf_counter_ns())})
        return [path]


class HalfPrecision(Tensors):
    def stored(self, avatar: Avatar) -> dict[str, Tensor]:
        return {name: value.half() for name, value in super().stored(avatar).items()}


class GivesNothing(Tensors):
    def read(self, path: Path) -> StoredAvatar | Motion:
        self.parsed(path)
        return Motion({})


class GivesNoise(Tensors):
    def read(self, path: Path) -> StoredAvatar | Motion:
        return Motion({name: value + torch.rand(()) for name, value in self.parsed(path).items()})


class LosesOne(Tensors):
    def stored(self, avatar: Avatar) -> dict[str, Tensor]:
        values = super().stored(avatar)
        del values["opacity"]
        return values


class RaisesBare(Tensors):
    def parsed(self, path: Path) -> dict[str, Tensor]:
        return safetensors.torch.load_file(path)


class NamesNothing(Tensors):
    def parsed(self, path: Path) -> dict[str, Tensor]:
        try:
            return super().parsed(path)
        except DataError as error:
            raise DataError("This is no avatar.") from error


class Trusting(OnlyMotion):
    def parsed(self, path: Path) -> dict[str, Tensor]:
        try:
            return super().parsed(path)
        except DataError:
            return {"offset": torch.zeros(1, 3)}


BUGS = [
    ("does_something", Idle, "neither reads nor writes"),
    ("does_something", NoDot, "SAFETENSORS"),
    ("writes_files", ClaimsOther, "is missing or empty"),
    ("writes_files", RoundsAvatar, '"offset" was modified'),
    ("writes_the_same", StampsTime, "bytes differ"),
    ("reads_what_it_wrote", HalfPrecision, "differs by"),
    ("reads_what_it_wrote", LosesOne, '"opacity" got lost'),
    ("reads_what_it_wrote", Bare, "gave a dict"),
    ("reads_what_it_wrote", GivesNothing, "holds no numbers"),
    ("reads_what_it_wrote", GivesNoise, "Read again"),
    ("refuses_bad_files", RaisesBare, ""),
    ("refuses_bad_files", NamesNothing, "does not name"),
    ("refuses_bad_files", Trusting, "without complaint"),
]


@pytest.mark.parametrize("sound", [Tensors, OnlyMotion])
def test_the_sound_ones_pass(sound: Any, tmp_path: Path) -> None:
    assert [result for result in check(sound, tmp_path) if not result.passed] == []


@pytest.mark.parametrize(("name", "bug", "says"), BUGS)
def test_a_planted_bug_is_rejected(name: str, bug: Any, says: str, tmp_path: Path) -> None:
    error = error_of(bug, name, tmp_path)
    assert error is not None, f"{bug} passes {name}"
    assert says in str(error)


def test_every_check_has_a_planted_bug() -> None:
    assert checks_of_kind_alone(Tensors) == {name for name, _, _ in BUGS}
