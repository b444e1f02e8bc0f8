"""What the host reads of a GPU without waiting for it, and what training makes of that."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from surfhead.avatars.rendering import Rendering
from surfhead.core.errors import SurfheadError
from surfhead.core.types import Batch
from surfhead.training.read_back import ReadBack
from surfhead.training.trainer import READ_BACK, Trainer
from tests.gpu.small_training import small_training

pytestmark = pytest.mark.gpu


def test_a_gpu_tells_at_the_next_look() -> None:
    """Numbers of the look before, also where the GPU is still busy and the values change at once."""
    found, values = ReadBack(), torch.zeros(2, device="cuda")
    looks = []
    for i in range(4):
        torch.cuda._sleep(5_000_000)
        values.fill_(float(i))
        looks.append(found.look(values))
        values.fill_(-1.0)
    assert looks == [None, [0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]


def steps(run: Trainer, count: int) -> None:
    for _ in range(count):
        run.step()


def test_training_shows_the_look_before(tmp_path: Path) -> None:
    run = small_training(tmp_path, True, images=4000)
    check, seen, shown = run._check, [], []

    def checked(batch: Batch, rendering: Rendering) -> None:
        look = run._steps % READ_BACK == 0
        check(batch, rendering)
        if look:
            error = (rendering.output.rgb.detach() - batch.target).square().mean()
            seen.append(-10.0 * math.log10(float(error)))
            shown.append(run.psnr)

    run._check = checked  # type: ignore[method-assign]
    steps(run, 2 * READ_BACK + 1)
    run.feed.close()
    assert run._captured is not None
    assert run._captured.captured, run._captured.failure
    assert math.isnan(shown[0])
    assert shown[1:] == pytest.approx(seen[:2], abs=1e-3)
    assert seen[1] > seen[0] + 0.5, "or it could not be told which is shown"


def test_broken_gradients_end_the_run_two_looks_later_at_most(tmp_path: Path) -> None:
    run = small_training(tmp_path, True, images=4000)
    steps(run, READ_BACK + 3)
    with torch.no_grad():
        run.avatar.surfels.parameters["opacity"][3] = float("nan")
    with pytest.raises(SurfheadError, match='"opacity" is NaN or infinite'):
        steps(run, 2 * READ_BACK)
    run.feed.close()
    assert run._steps <= 3 * READ_BACK
