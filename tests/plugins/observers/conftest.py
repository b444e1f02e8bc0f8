"""A run as observers see it, without a trainer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """200 images, 7 surfels, on the CPU, in ``tmp_path``."""
    named = SimpleNamespace
    return SimpleNamespace(
        folder=tmp_path,
        images=0,
        length=200,
        rate=2.0,
        psnr=21.5,
        config=SimpleNamespace(batch_size=1, tie_unseen=False),
        scene=SimpleNamespace(views=SimpleNamespace(width=64, height=48), notes=("Frame 3 is missing.",)),
        avatar=SimpleNamespace(
            deformer=named(name="jbs", rig_bound=True),
            appearance=named(name="sh"),
            rasterizer=named(name="torch"),
            surfels=range(7),
            device=torch.device("cpu"),
        ),
    )
