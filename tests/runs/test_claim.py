"""A run folder belongs to one process at a time, and a stop loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from surfhead.core.errors import DataError
from surfhead.runs.claim import LOCK, claimed
from surfhead.runs.train import train
from surfhead.training import checkpoint


def test_of_many_that_start_together_each_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    ready, done = threading.Barrier(8), threading.Barrier(8)

    def start(_: int) -> str:
        ready.wait()
        with claimed(tmp_path / "runs" / "head", numbered=True) as folder:
            (folder / "config.toml").touch()
            done.wait()
            return folder.name

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(start, range(8)))
    assert sorted(taken) == [f"head-{number}" for number in range(1, 9)]


def test_a_named_folder_is_taken_once(tmp_path: Path) -> None:
    with claimed(tmp_path / "run") as folder:
        for resume in (False, True):
            with (
                pytest.raises(DataError, match="being written by another process"),
                claimed(folder, resume=resume),
            ):
                pass
    assert not folder.exists()  # nothing had been written


def test_a_run_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "config.toml").touch()
    with pytest.raises(DataError, match="already holds a run"), claimed(tmp_path):
        pass
    with claimed(tmp_path, resume=True) as folder:
        assert folder == tmp_path
    assert (tmp_path / "config.toml").exists()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    text = (
        "import sys, pathlib, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire();"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", text, str(tmp_path / LOCK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline().strip() == b"held"
    with pytest.raises(DataError, match="another process"), claimed(tmp_path):
        pass
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    with claimed(tmp_path) as folder:
        assert (folder / LOCK).exists()


def test_a_run_that_fails_before_it_begins_leaves_no_folder(
    small_settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**small_settings, "rig": {"name": "flame", "path": str(tmp_path / "nowhere.pkl")}}
    with pytest.raises(DataError):
        train(preset="tiny", settings=settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_folders_that_were_made_for_a_run_that_fails_go_with_it(
    small_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {**small_settings, "rig": {"name": "flame", "path": str(tmp_path / "nowhere.pkl")}}
    for out in (None, "a/b/run"):
        with pytest.raises(DataError):
            train(preset="tiny", settings=settings, out=out)
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "runs").mkdir()  # the user's own stays
    with pytest.raises(DataError):
        train(preset="tiny", settings=settings)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    with claimed(Path("all/one")), claimed(Path("all/two")) as other:
        (other / "config.toml").touch()
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["two"]


def test_between_two_renames_both_checkpoints_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any rename or removal, the newest that is found is complete and one of the two."""
    folder = tmp_path / "checkpoints" / "00000012"
    moments = 0
    for stop in range(4):
        checkpoint.write(folder, {"x": torch.ones(1)}, {"images": 12, "state": "old"})
        calls = 0

        def killed(real: Any, stop: int = stop) -> Any:
            def call(*arguments: Any, **settings: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls > stop:
                    raise KeyboardInterrupt
                return real(*arguments, **settings)

            return call

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", killed(Path.rename))
            patch.setattr("shutil.rmtree", killed(checkpoint.shutil.rmtree))
            try:
                checkpoint.write(folder, {"x": torch.zeros(1)}, {"images": 12, "state": "new"})
            except KeyboardInterrupt:
                moments += 1
        newest = checkpoint.latest(tmp_path)
        assert newest is not None
        assert checkpoint.label(newest) == "00000012"
        assert checkpoint.read(newest)[1]["state"] in ("old", "new")
    assert moments == 3


@pytest.mark.parametrize("damage", ["cut", "no meta", "half meta", "empty", "long header"])
def test_an_incomplete_checkpoint_is_passed_over(tmp_path: Path, damage: str) -> None:
    first, second = (
        checkpoint.write(tmp_path / "checkpoints" / name, {"x": torch.ones(3)}, {"images": int(name)})
        for name in ("00000010", "00000020")
    )
    assert checkpoint.latest(tmp_path) == second
    tensors, meta = second / checkpoint.TENSORS, second / checkpoint.META
    if damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-1])
    elif damage == "no meta":
        meta.unlink()
    elif damage == "half meta":
        meta.write_bytes(meta.read_bytes()[:-3])
    elif damage == "empty":
        tensors.write_bytes(b"")
    else:
        tensors.write_bytes(b"\xff" * 8 + tensors.read_bytes()[8:])
    assert checkpoint.latest(tmp_path) == first


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("file", [checkpoint.TENSORS, checkpoint.META])
def test_a_pipe_is_no_checkpoint(tmp_path: Path, file: str) -> None:
    """Opening one would wait for ever."""
    folder = checkpoint.write(tmp_path / "checkpoints" / "00000010", {"x": torch.ones(3)}, {"images": 10})
    (folder / file).unlink()
    os.mkfifo(folder / file)
    assert not checkpoint.complete(folder)
    with pytest.raises(DataError, match="damaged"):
        checkpoint.read(folder)


def test_sigterm_ends_a_run_like_ctrl_c(small_settings: dict[str, Any], tmp_path: Path) -> None:
    from surfhead.training.trainer import Trainer

    step = Trainer.step

    def terminated(self: Trainer) -> None:
        step(self)
        if self.images == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", terminated)
        with pytest.raises(KeyboardInterrupt):
            train(preset="tiny", settings=small_settings, out=tmp_path / "run")
    newest = checkpoint.latest(tmp_path / "run")
    assert newest is not None
    assert newest.name == "00000004"
    assert signal.getsignal(signal.SIGTERM) == before
