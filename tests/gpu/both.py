"""Two processes that check something together."""

from __future__ import annotations

import os
import subprocess
import sys


def run_in_both(module: str, *words: str, **environment: str) -> None:
    """Start a module in two processes, each of which is to say that it is content.

    Args:
        module: its name.
        words: arguments for it.
        environment: variables beside this process's.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", module, *words],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    assert [f"process {number} is content" in done.stdout for number in (0, 1)] == [True, True]
