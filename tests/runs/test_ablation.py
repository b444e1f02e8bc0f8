"""Grids of runs: their members, devices, interruptions; the runs themselves are stood for."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from surfhead.core.errors import OptionError
from surfhead.runs import ablation, attached
from surfhead.runs.ablation import Member, finished, members, run_members, share_done

Call = tuple[list[str], Mapping[str, str]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The processes that would have run; each makes its folder a run."""
    made: list[Call] = []

    def run(
        arguments: Sequence[str], environment: Mapping[str, str], stop: threading.Event
    ) -> tuple[int, str]:
        made.append((list(arguments), dict(environment)))
        folder = Path(arguments[arguments.index("--out") + 1])
        (folder / "config.toml").write_text("")
        if "bad" in folder.name:
            return 1, "warning: odd\nIt broke.\nBecause.\n"
        return 0, ""

    monkeypatch.setattr(attached, "run", run)
    return made


def test_presets_and_products_make_a_grid(tmp_path: Path) -> None:
    published = ["vanilla", "+jacobian", "+jbs", "-eyeballs", "+lasg"]
    grid = members(tmp_path, presets=published, seeds=2, arguments=["data", "--eval"])
    assert [(m.variant, m.seed) for m in grid] == [(name, seed) for name in published for seed in (0, 1)]
    assert grid[6].arguments == ("data", "--eval", "--preset", "-eyeballs", "--seed", "0")
    assert grid[6].folder == tmp_path / "-eyeballs-seed0"
    grid = members(tmp_path, deformers=["similarity", "jbs"], appearances=["sh", "lasg"], seeds=3)
    assert len({m.folder for m in grid}) == 12
    assert grid[3].variant == "similarity lasg"
    assert grid[3].arguments == ("--deformer", "similarity", "--appearance", "lasg", "--seed", "0")


def test_appearances_alone_leave_the_deformer_as_it_is(tmp_path: Path) -> None:
    (member,) = members(tmp_path, appearances=["sh"], arguments=["data"])
    assert member == Member("sh", 0, ("data", "--appearance", "sh", "--seed", "0"), tmp_path / "sh-seed0")
    assert members(tmp_path) == []


def test_a_preset_named_with_a_dash_is_understood() -> None:
    import typer

    from surfhead import cli

    command = typer.main.get_command(cli.app)
    train = command.commands["train"]  # type: ignore[attr-defined]
    context = train.make_context("train", ["--preset", "-eyeballs", "--seed", "0"])
    assert context.params["preset"] == "-eyeballs"


def test_a_failing_member_does_not_take_the_others_with_it(tmp_path: Path, calls: list[Call]) -> None:
    grid = [Member(name, 0, ("--x", name), tmp_path / name) for name in ("one", "bad", "two")]
    told: list[str] = []
    outcomes = run_members(grid, report=lambda outcome: told.append(outcome.error))
    assert [outcome.error for outcome in outcomes] == ["", "It broke.", ""] == told
    assert (tmp_path / "bad" / "failure.txt").read_text() == "warning: odd\nIt broke.\nBecause.\n"
    assert finished(grid) == {"one": [tmp_path / "one"], "two": [tmp_path / "two"]}
    assert calls[0][0] == ["train", "--x", "one", "--out", str(tmp_path / "one"), "--quiet"]
    calls.clear()
    run_members(grid)
    resumed = ["train", "--resume", "--out", str(tmp_path / "bad"), "--quiet"]
    assert [arguments for arguments, _ in calls] == [resumed]


def test_every_run_sees_a_gpu_of_its_own(
    tmp_path: Path, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7,9")
    grid = [Member(f"m{i}", 0, (), tmp_path / f"m{i}") for i in range(6)]
    run_members(grid, jobs=3, devices=["cuda:0", "cuda:1", "cuda:2"], threads=2)
    assert {environment["CUDA_VISIBLE_DEVICES"] for _, environment in calls} <= {"4", "GPU-7", "9"}
    assert {environment["OMP_NUM_THREADS"] for _, environment in calls} == {"2"}
    assert all(arguments[1:3] == ["--device", "cuda"] for arguments, _ in calls)
    calls.clear()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    run_members([Member("n", 0, (), tmp_path / "n")], devices=["cuda:1"])
    run_members([Member("o", 0, (), tmp_path / "o")], devices=["cpu"])
    assert calls[0][1]["CUDA_VISIBLE_DEVICES"] == "1"
    assert calls[1][0][1:3] == ["--device", "cpu"]
    assert "CUDA_VISIBLE_DEVICES" not in calls[1][1]


def test_more_jobs_than_devices_share_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(4, timeout=300)
    seen: list[str] = []

    def run(
        arguments: Sequence[str], environment: Mapping[str, str], stop: threading.Event
    ) -> tuple[int, str]:
        seen.append(environment["CUDA_VISIBLE_DEVICES"])
        together.wait()  # only passes when four run at a time
        return 0, ""

    monkeypatch.setattr(attached, "run", run)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    grid = [Member(f"m{i}", 0, (), tmp_path / f"m{i}") for i in range(4)]
    assert not any(o.error for o in run_members(grid, jobs=4, devices=["cuda:0", "cuda:1"]))
    assert sorted(seen) == ["0", "0", "1", "1"]


@pytest.mark.parametrize(("count", "found"), [(0, []), (1, []), (3, ["cuda:0", "cuda:1", "cuda:2"])])
def test_several_gpus_are_found(count: int, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    assert ablation.gpus() == found


def test_other_arguments_are_refused_before_anything_runs(tmp_path: Path, calls: list[Call]) -> None:
    run_members([Member("m", 0, ("--iterations", "5"), tmp_path / "m")])
    calls.clear()
    other = [Member(name, 0, ("--iterations", "9"), tmp_path / name) for name in ("first", "m")]
    with pytest.raises(OptionError, match=r'm" was made with other arguments: --iterations 5'):
        run_members(other)
    assert calls == []
    assert json.loads((tmp_path / "m" / "arguments.json").read_text()) == ["--iterations", "5"]


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1, 2]", '"--iterations 5"'])
def test_arguments_that_somebody_changed_are_others(tmp_path: Path, text: str) -> None:
    (tmp_path / "arguments.json").write_text(text)
    with pytest.raises(OptionError, match=r"was made with other arguments: '\(unreadable\)'"):
        ablation.check_arguments(Member("m", 0, ("--iterations", "5"), tmp_path))


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("warning: odd\n\nIt broke.\nBecause.\n", "It broke."),
        ("It broke.\nTraceback (most recent call last):\n", "It broke."),
        ("Traceback (most recent call last):\n  File x\nValueError: of what\n", "ValueError: of what"),
        ("warning: odd\n", "exit code 137"),
        ("", "exit code 137"),
    ],
)
def test_what_went_wrong_in_one_line(said: str, line: str) -> None:
    assert ablation.first_line(said, 137) == line


def test_an_interruption_stops_the_runs_and_starts_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def run(
        arguments: Sequence[str], environment: Mapping[str, str], stop: threading.Event
    ) -> tuple[int, str]:
        started.append(arguments[arguments.index("--out") + 1])
        if len(started) == 2:  # as Ctrl-C does; the main thread hears it, but where it can raise nothing
            while not stop.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                stop.wait(30)
        assert stop.wait(300)
        return 130, ""

    monkeypatch.setattr(attached, "run", run)
    grid = [Member(f"m{i}", 0, (), tmp_path / f"m{i}") for i in range(5)]
    with pytest.raises(KeyboardInterrupt):
        run_members(list(reversed(grid)), jobs=2)
    assert len(started) == 2
    assert finished(grid) == {}


def test_how_much_of_a_member_is_done(tmp_path: Path) -> None:
    member = Member("jbs", 0, (), tmp_path)
    assert share_done(member) == 0.0
    (tmp_path / "config.toml").write_text("iterations = 200\n")
    (tmp_path / "metrics.jsonl").write_text('{"images": 10, "a": {}}\n{"images": 50, "a": {}}\n{"ima')
    assert share_done(member) == 0.25
    (tmp_path / "finished.json").write_text("{}")
    assert share_done(member) == 1.0
