"""The command line, where processes that train together are forked: PyTorch need not be loaded by each.

For tests in which the first process ends first. Others start them as they are started elsewhere, as torchrun
sees only one end where several forked processes fail at once.
"""

from __future__ import annotations

import dataclasses
import sys
import traceback
from collections.abc import Callable
from typing import Any
from unittest import mock

from torch.distributed.launcher import api

from surfhead import cli
from surfhead.runs import launch

LAUNCH = api.elastic_launch


def forked(config: api.LaunchConfig, program: str) -> Callable[..., Any]:
    """In place of ``elastic_launch``."""
    assert program == sys.executable
    return LAUNCH(dataclasses.replace(config, start_method="fork"), take_part)


def take_part(*words: str) -> None:
    """What the started Python would do."""
    assert words[:3] == ("-u", "-c", launch.LAUNCH)
    sys.argv = ["-c", *words[3:]]
    try:
        code = launch.take_part(cli.main)
    except Exception:
        traceback.print_exc()
        code = 1
    sys.exit(code)


def main(arguments: list[str]) -> int:
    """Run a command line."""
    with mock.patch.object(api, "elastic_launch", forked):
        return cli.main(arguments)
