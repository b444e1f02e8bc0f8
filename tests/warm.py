"""Command lines in processes that begin with everything loaded: forked from one that has imported it.

Such a process is as real as any: it has its own memory, can be killed, and reads and writes files of its own.
Only the seconds that PyTorch takes to load are spent once. What is about starting itself starts Python.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path

LOADED = (
    *("kornia", "scipy.sparse.linalg", "scipy.spatial", "trimesh", "embreex.mesh_construction"),
    *("surfhead.cli", "surfhead.commands.train", "surfhead.runs.train", "surfhead.measuring.baseline"),
    # what most runs are made of; importing a component registers nothing
    *("surfhead.kernels.cuda", "surfhead.kernels.cpu_lit", "surfhead.kernels.cpu_mesh_terms"),
    *("surfhead.plugins.datasets.synthetic.synthetic", "surfhead.plugins.rigs.procedural.procedural"),
    *("surfhead.plugins.appearances.lit", "surfhead.plugins.deformers.jbs"),
    *("surfhead.plugins.densifiers.adaptive", "surfhead.plugins.observers.progress"),
    *("surfhead.plugins.rasterizers.cpu", "tests.warm"),
)
STREAMS = ("out", "err")
UNWANTED = "SURFHEAD_TESTS_UNWANTED"  # environment variable: a module that the command must not load
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


class Process:
    """A command line that has been started, with a part of what ``subprocess.Popen`` offers.

    Args:
        arguments: of the command line.
        environment: all of its environment variables; by default those of this process.
        program: the module whose ``main`` takes the arguments and gives an exit code.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        program: str = "surfhead.cli",
    ) -> None:
        self._said = Path(tempfile.mkdtemp(prefix="warm-"))
        self._clean = weakref.finalize(self, shutil.rmtree, self._said, True)
        context = multiprocessing.get_context(METHOD)
        if METHOD == "forkserver":
            multiprocessing.set_forkserver_preload(list(LOADED))
        values = dict(os.environ if environment is None else environment)
        places = str(Path.cwd()), str(self._said)
        self._process = context.Process(target=_main, args=(program, [*arguments], values, *places))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """``returncode``."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end; None where ``timeout`` seconds were too short."""
        wait([self._process.sentinel], timeout)
        return self.returncode

    def kill(self) -> None:
        """End it with what cannot be caught."""
        self._process.kill()

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Wait for its end; gives what it wrote to standard output and to standard error."""
        if self.wait(timeout) is None:
            raise TimeoutError
        self._process.join()
        said = [(self._said / name).read_bytes() if (self._said / name).exists() else b"" for name in STREAMS]
        self._clean()
        return said[0], said[1]


def run(
    arguments: Sequence[str], environment: Mapping[str, str], stop: threading.Event | None = None
) -> tuple[int, str]:
    """In place of ``surfhead.runs.attached.run``, whose own tests start Python."""
    process = Process(arguments, environment)
    while process.wait(0.05) is None:
        if stop is not None and stop.is_set():
            process.send_signal(signal.SIGINT)
            break
    _, said = process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode("utf-8", "replace")


def _main(program: str, arguments: list[str], environment: dict[str, str], folder: str, said: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    import torch

    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", "1")))
    for place, name in enumerate(STREAMS, 1):
        os.dup2(os.open(Path(said) / name, os.O_WRONLY | os.O_CREAT), place)
    code = importlib.import_module(program).main(arguments)
    assert environment.get(UNWANTED, "") not in sys.modules
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
