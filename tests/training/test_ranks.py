"""Several processes that train together: one result, one writer, one end."""

from __future__ import annotations

import dataclasses
import os
import runpy
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.launcher.api import LaunchConfig

from surfhead.cli import main
from surfhead.core.errors import SurfheadError
from surfhead.runs import launch
from surfhead.testing.capture import watched
from surfhead.training import checkpoint, gradient_exchange, ranks
from surfhead.training.gradient_exchange import GradientExchange
from surfhead.training.interruption import SAME
from surfhead.training.ranks import ALONE, Ranks
from tests import warm
from tests.training import dying, signalled
from tests.training.test_resume import SETTINGS, count, finish, start

WORDS = (
    *(*SETTINGS, "--iterations", "40", "--set", "densifier.threshold=1e-4", "--set", "seed=1"),
    *("--set", "densifier.max_surfels=100000"),
    # means over the surfels that a batch shows are taken by each process over its own part
    *("--regularizer", "scale=0", "--regularizer", "offset=0", "--regularizer", "normal_length=0"),
)
SLOW = ("--set", "checkpoint.every=0", "--set", "densifier.start=100000")  # nothing but steps

TRANSLATED = any(field.name == "signals_to_handle" for field in dataclasses.fields(LaunchConfig))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_each(
    processes: int, *arguments: str, program: str = "surfhead.cli", **variables: str
) -> list[warm.Process]:
    """As torchrun starts them, but without it."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    shared = {**os.environ, **variables, **place, "WORLD_SIZE": str(processes)}
    return [
        warm.Process(
            arguments,
            {**shared, "RANK": str(i), "LOCAL_RANK": str(i)},
            program,
        )
        for i in range(processes)
    ]


def test_exchanges() -> None:
    """Every exchange between three processes."""
    for number, process in enumerate(start_each(3, program="tests.training.rank_checks")):
        said, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors.decode()
        assert f"process {number} is content" in said.decode()


def test_a_training_that_exchanges_rows_is_one_that_exchanges_everything(tmp_path: Path) -> None:
    """Two processes, bit for bit, densified in between."""
    for number, process in enumerate(start_each(2, str(tmp_path), program="tests.training.row_checks")):
        said, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors.decode()
        assert f"process {number} is content" in said.decode()


class Alike(Ranks):
    """Two processes whose gradients are the same."""

    def begin_average(self, tensors: Sequence[Tensor]) -> Callable[[], None]:
        return lambda: None


def test_an_exchange_of_rows_waits_for_nothing() -> None:
    """A CUDA graph can hold it: no look at values, no copy from the host."""
    leaf, rows = torch.ones(9, 2, requires_grad=True), torch.tensor([2, 3])
    # in a bucket of its own it would begin within the pass, of which functions are not watched
    exchange = GradientExchange(Alike(0, 2), bucket=1 << 20, small=1, saving=0)
    loss = leaf.index_select(0, rows).square().sum()
    with watched(), exchange.during([leaf], lambda _: None, [rows]):
        loss.backward()
    assert leaf.grad is not None
    assert leaf.grad[:, 0].tolist() == [0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_a_pytorch_that_does_not_tell_who_shares_memory_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As builds of PyTorch 2.6 without CUDA, which lack the function."""
    monkeypatch.delattr(torch._C, "_storage_Use_Count", raising=False)
    module = runpy.run_path(gradient_exchange.__file__)
    assert module["_shared"](torch.zeros(3))  # to be on the safe side


def test_alone_exchanges_nothing() -> None:
    value = torch.arange(3.0)
    ALONE.begin_average([value])()
    assert ALONE.sum(value) is value
    assert ALONE.largest(value) is value
    assert ALONE.tell("x") == "x"
    assert ALONE.first
    assert ALONE.any(True)
    assert not ALONE.any(False)
    ALONE.check_batch(7)
    ALONE.agree({"x": value}, "now")


def test_two_processes_train_what_one_does_killed_or_not(tmp_path: Path) -> None:
    """The same avatar as one up to rounding, densified alike; and bit for bit as if never killed."""
    alone, together, broken = (tmp_path / name for name in ("alone", "together", "broken"))
    for process in start_each(2, "train", *WORDS, "--out", str(together)):
        finish(process)

    finish(start(*WORDS, "--out", str(alone)))
    first, _ = checkpoint.read(alone / "checkpoints" / "00000010")
    second, _ = checkpoint.read(together / "checkpoints" / "00000010")
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.shape == second[name].shape, name
        if value.is_floating_point():
            # Adam turns the rounding of gradients near zero into whole steps of a few values
            error = (value - second[name]).abs().double().mean() / value.abs().max().clamp_min(1e-6)
            assert float(error) < 2e-3, f"{name}: {float(error):.1e}"
    # rounding decides about a few surfels, after which rows are others
    begun = len(first["triangle"])
    counts = [len(checkpoint.read(f / "checkpoints" / "00000040")[0]["triangle"]) for f in (alone, together)]
    assert 1.2 * begun < counts[0] < 3.0 * begun, "none or all were densified: the test proved too little"
    assert abs(counts[1] - counts[0]) < 0.01 * counts[0]

    words = ("train", *WORDS, "--out", str(broken))
    for process in start_each(2, *words, program=dying.PROGRAM, **{dying.VARIABLE: "step 26"}):
        process.communicate(timeout=600)
        assert process.returncode == -signal.SIGKILL
    assert count(broken) == 20
    for process in start_each(2, "train", "--out", str(broken), "--resume", "--quiet"):
        finish(process)
    first, meta = checkpoint.read(together / "checkpoints" / "00000040")
    second, other = checkpoint.read(broken / "checkpoints" / "00000040")
    assert meta["config"] == other["config"]
    for name, value in first.items():
        assert value.view(-1).numpy().tobytes() == second[name].view(-1).numpy().tobytes(), name


def test_interrupted_together(tmp_path: Path) -> None:
    """Ctrl-C ends all after the same step, with a checkpoint; what a scheduler sends does as well."""
    folder = tmp_path / "run"
    words = [*SETTINGS, *SLOW, "--iterations", "100000", "--processes", "2", "--out", str(folder)]
    words += ["--set", "evaluate.at=[2]", "--set", "evaluate.limit=1"]
    process = start(*words)
    # both processes have taken a step when the first one evaluates
    limit = time.monotonic() + 300
    while not (folder / "eval").exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM if TRANSLATED else signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors.decode()
    assert 0 < count(folder) < 100000, errors.decode()[-3000:]
    assert count(folder) % 2 == 0


@pytest.mark.parametrize(
    ("moments", "kept"),
    [
        ("step,never", 8),
        ("exchange,exchange", 10),  # the answer was no: it is asked again after the next step
        ("never,exchange", 10),
        ("step,save", 8),  # one hears of it from the other first: its own is no second one
        ("save,step", 8),
    ],
)
def test_an_interruption_counts_whenever_it_comes(moments: str, kept: int, tmp_path: Path) -> None:
    """And it comes to each process at a moment of its own."""
    words = ("train", *SETTINGS, *SLOW, "--out", str(tmp_path))
    for process in start_each(2, *words, program=signalled.PROGRAM, **{signalled.VARIABLE: moments}):
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 130, errors.decode()
    assert count(tmp_path) == kept


def test_signals_are_passed_on_once_as_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once are one request; a later one is a second, at which the agent ends the processes."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.launcher import api

    now = 100.0
    passed_on: list[int] = []
    monkeypatch.setattr(launch, "monotonic", lambda: now)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def agent(config: Any, *_: Any) -> Any:
        def started(*_: Any) -> None:
            nonlocal now
            if TRANSLATED:
                assert not {"SIGINT", "SIGTERM"} & set(config.signals_to_handle.split(","))
            for number, later in (("SIGTERM", 0.0), ("SIGINT", 0.1), ("SIGTERM", 0.1), ("SIGINT", SAME)):
                now += later
                try:
                    os.kill(os.getpid(), getattr(signal, number))
                except SignalException as heard:
                    passed_on.append(heard.sigval)
                else:
                    passed_on.append(0)
            raise SignalException("", signal.SIGINT)

        return started

    monkeypatch.setattr(api, "elastic_launch", agent)
    assert launch.run_together(["train"], 2) == launch.INTERRUPTED
    assert passed_on == [signal.SIGINT, 0, 0, signal.SIGINT]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


FAILING = """
import os

from surfhead.core.api import Regularizer, hookimpl


class Failing(Regularizer):
    name = "failing"
    summary = "Fails in the second process."

    def __call__(self, step):
        if os.environ.get("RANK") == "1" and step.images >= 6:
            raise RuntimeError("the second process has had enough")
        return step.output.rgb.mean() * 0.0


@hookimpl
def register_regularizers(register):
    register(Failing)
"""


def test_a_failing_process_ends_all(tmp_path: Path) -> None:
    plugin = tmp_path / "failing.py"
    plugin.write_text(FAILING)
    words = [*SETTINGS, "--processes", "2", "--out", str(tmp_path / "run")]
    words += ["--plugin", str(plugin), "--regularizer", "failing=1"]
    process = start(*words)  # not forked: of forked ones that fail at once torchrun names one only
    _, errors = process.communicate(timeout=300)
    assert process.returncode not in (0, 130)
    said = errors.decode()
    assert "the second process has had enough" in said
    assert "ChildFailedError" not in said


def test_the_others_hear_soon_of_what_one_met_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they train all meet the same error, which the first words; later it may be one's own."""
    waits: list[float] = []
    monkeypatch.setattr(launch, "started_first", lambda: False)
    monkeypatch.setattr(launch, "leave_with_starter", lambda: None)
    monkeypatch.setattr(launch.time, "sleep", waits.append)
    monkeypatch.setattr(ranks, "_TRAINING", threading.Event())
    for _ in range(2):
        assert launch.take_part(lambda _: launch.BAD_INPUT) == launch.BAD_INPUT
        ALONE.begin([])
    assert launch.take_part(lambda _: 0) == 0
    assert waits == [launch.LATER, launch.SOON]


def test_nobody_goes_on_before_all_are_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that leaves at once, with an error that all meet, would break what others are still connecting."""
    did: list[str] = []
    monkeypatch.setattr(ranks.dist, "init_process_group", lambda *_, **__: did.append("init"))
    monkeypatch.setattr(ranks.dist, "barrier", lambda: did.append("barrier"))
    monkeypatch.setattr(ranks.dist, "destroy_process_group", lambda: did.append("leave"))
    for name, value in zip(ranks.VARIABLES, ("0", "2", "0", "127.0.0.1", "1"), strict=False):
        monkeypatch.setenv(name, value)
    with ranks.joined("cpu"):
        did.append("go")
    assert did == ["init", "barrier", "go", "leave"]


def test_errors_are_said_once(tmp_path: Path) -> None:
    """By the first process; nothing is made."""
    words = [*SETTINGS, "--out", str(tmp_path / "run"), "--processes", "2", "--batch-size", "3"]
    process = start(*words, program="tests.training.forked_ranks")
    _, errors = process.communicate(timeout=300)
    said = errors.decode()
    assert process.returncode == 2, said
    assert said.count("2 processes cannot share batches of 3") == 1, said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("port", ["abc", "", "65536", "-1"])
def test_a_port_that_cannot_be_is_said(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in zip(ranks.VARIABLES, ("0", "2", "0", "127.0.0.1", port), strict=True):
        monkeypatch.setenv(name, value)
    assert main(["train", "--preset", "tiny", "--out", "run"]) == 2
    said = capsys.readouterr().err
    assert "$MASTER_PORT is" in said
    assert "a port below 65536" in said


def test_no_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--processes", "0"]) == 2
    assert "--processes is 0" in capsys.readouterr().err


def test_without_torch_distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_available", lambda: False)
    with pytest.raises(SurfheadError, match="without torch.distributed"):
        launch.run_together(["train"], 2)


@pytest.mark.parametrize(
    ("codes", "repeated"),
    [
        ({0: 1, 1: 1, 2: -15}, True),  # the third was only ended with them
        (
            {0: 2, 1: 1, 2: -15},
            False,
        ),  # the first has worded what is wrong, and by leaving broke the second's
        ({1: 2, 0: -15}, True),
        ({0: 1}, True),  # met before the second, whose error it was, had left
    ],
)
def test_what_a_process_said_is_printed_unless_the_first_has_worded_it(
    codes: dict[int, int],
    repeated: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Torchrun may find several ended at one look, and then names the first of them."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
    from torch.distributed.launcher import api

    said = ("", "Traceback", "a warning")

    def failing(config: Any, *_: Any) -> Any:
        def started(*_: Any) -> None:
            logs = Path(config.logs_specs.root_log_dir) / "attempt_0"
            for number in range(3):
                (logs / str(number)).mkdir(parents=True)
                (logs / str(number) / "stderr.log").write_text(f"{said[number]} words of {number}")
            failures = {n: ProcessFailure(n, 10 + n, code, "") for n, code in codes.items()}
            raise ChildFailedError("surfhead", failures)

        return started

    monkeypatch.setattr(api, "elastic_launch", failing)
    assert launch.run_together(["train"], 3) == max(codes.values())
    printed = capsys.readouterr().err
    assert ("words of 1" in printed) == repeated
    assert "words of 2" not in printed
