"""The checks of observers each reject what they should."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.api import Observer
from surfhead.testing import check
from tests.conformance.planted import checks_of_kind_alone, error_of


class Counts(Observer):
    """Sound."""

    name = "counts"
    summary = "Counts steps."

    def run_started(self, run: Any) -> None:
        self.steps = 0

    def stepped(self, run: Any, images: int, losses: Mapping[str, Tensor]) -> None:
        self.steps += 1
        (run.folder / "steps.txt").write_text(f"{self.steps} {float(losses['l1'])}")


class WantsDssim(Counts):
    def stepped(self, run: Any, images: int, losses: Mapping[str, Tensor]) -> None:
        losses["dssim"]


class WantsCheckpointFile(Counts):
    def checkpointed(self, run: Any, images: int, path: Path) -> None:
        path.read_bytes()


class NeedsSuccess(Counts):
    def run_finished(self, run: Any, error: BaseException | None) -> None:
        assert error is None


class DrawsNumbers(Counts):
    def stepped(self, run: Any, images: int, losses: Mapping[str, Tensor]) -> None:
        torch.rand(3)


class Meddles(Counts):
    def evaluated(self, run: Any, images: int, split: str, means: Mapping[str, float]) -> None:
        with torch.no_grad():
            run.avatar.surfels.parameters["offset"].add_(0.01)


class NeedsNewFolder(Counts):
    def run_started(self, run: Any) -> None:
        super().run_started(run)
        (run.folder / "log").mkdir()


BUGS = [
    ("accepts_every_event", WantsDssim, 'Observer "counts" raised KeyError'),
    ("accepts_every_event", WantsCheckpointFile, "IsADirectoryError"),
    ("accepts_every_event", NeedsSuccess, ""),
    ("leaves_run_alone", DrawsNumbers, "random state"),
    ("leaves_run_alone", Meddles, "offset"),
    ("survives_resuming", NeedsNewFolder, "FileExistsError"),
]


def test_the_sound_one_passes(tmp_path: Path) -> None:
    assert [result for result in check(Counts, tmp_path) if not result.passed] == []


@pytest.mark.parametrize(("name", "bug", "says"), BUGS)
def test_a_planted_bug_is_rejected(name: str, bug: Any, says: str, tmp_path: Path) -> None:
    error = error_of(bug, name, tmp_path)
    assert error is not None, f"{bug} passes {name}"
    assert says in str(error)


def test_every_check_has_a_planted_bug() -> None:
    assert checks_of_kind_alone(Counts) == {name for name, _, _ in BUGS}
