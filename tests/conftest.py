"""Fixtures several folders share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

# Several workers with several threads each wait for one another; also holds for processes tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MKL_NUM_THREADS", "1")

SMALL: dict[str, Any] = {
    "device": "cpu",
    "iterations": 30,
    "batch_size": 2,
    "observers": {"jsonl": {}},
    "data": {
        "name": "synthetic",
        "width": 48,
        "height": 48,
        "timesteps": 4,
        "test_timesteps": 2,
        "cameras": 4,
    },
    "checkpoint": {"every": 10},
    "evaluate": {"at": [0], "every": 0, "limit": 2},
}


@pytest.fixture(scope="session")
def small_settings() -> dict[str, Any]:
    """Settings of a run that takes seconds."""
    return SMALL


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished small run on the built-in head; read only."""
    from surfhead.core.runs import train

    out = tmp_path_factory.mktemp("trained") / "run"
    return train(preset="tiny", settings=SMALL, out=out)
