"""An identity that learns on the GPU: in a CUDA graph as without."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from surfhead.kernels import choices
from surfhead.plugins.rigs.ict.example import write_example
from tests.gpu.small_training import small_training

pytestmark = pytest.mark.gpu


def test_a_learning_identity_is_captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And learns what it learns without a graph, where products are as exact as everything else.

    No surfel is split meanwhile: two runs alike split others of them, and differ by some 0.01 then.
    """
    monkeypatch.setenv(choices.ENVIRONMENT, "tf32")
    head = write_example(tmp_path / "head")
    data = {"rig": "ict", "rig_options": {"path": str(head)}, "identity": {"shape": [1.5, 0.0]}}
    found = []
    for graphs in (True, False):
        run = small_training(
            tmp_path / str(graphs),
            graphs,
            data=data | {"name": "synthetic", "width": 96, "height": 96, "timesteps": 4, "test_timesteps": 1},
            rig={"train_identity": True},
            rate={"rig.shape": 1e-2},
            densifier={"name": "adaptive", "every": 0, "reset_every": 0},
        )
        captured = 0
        while run.images < run.length:
            run.step()
            captured += run._captured is not None and run._captured.captured
        if graphs:
            assert run._captured is not None
            assert run._captured.failure is None
        assert (captured > 40) == graphs
        found.append(run.avatar.identity["shape"].detach().cpu())
        run.feed.close()
    mine, reference = found
    assert float((reference - torch.tensor([1.5, 0.0])).abs().max()) > 0.01
    torch.testing.assert_close(mine, reference, atol=5e-3, rtol=0.0)
