"""Damaged files of a run, and settings out of any sense: declared errors, or what can be read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from surfhead.avatars.state import ABSURD, AvatarState
from surfhead.commands.numbers import LIMITS, check_numbers
from surfhead.core.api import create
from surfhead.core.config import dump, resolve
from surfhead.core.errors import DataError, OptionError
from surfhead.results.curves import read_history
from surfhead.results.variants import results
from surfhead.runs.configuration import configure
from surfhead.runs.existing import CONFIG
from surfhead.runs.layers import read_file
from surfhead.runs.run import Run, read_config
from surfhead.runs.train import train
from surfhead.training import checkpoint
from surfhead.training.monitoring import summary, summary_table
from surfhead.training.trainer import Trainer

DAMAGE = {
    "empty": b"",
    "NUL": bytes(64),
    "digits": b"9" * 5000,
    "deep": b"[" * 100_000,
    "a list": b"[]",
    "a number": b"5",
    "bytes": bytes(range(256)),
    "a row": b'[{"label": 1}]',
    "long number": b'[{"label": "1", "split": "val", "views": 1, "psnr": ' + b"9" * 5000 + b"}]",
    "word": b'{"means": {"psnr": "x"}, "views": "x", "split": "val"}',
}


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_records_leave_what_can_be_read(run: Path, damage: str) -> None:
    newest = checkpoint.latest(run)
    assert newest is not None
    for name in ("eval/summary.json", "metrics.jsonl", f"eval/{newest.name}/val.json"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(DAMAGE[damage])
    assert summary(run) == []
    summary_table(run)
    history = read_history(run)
    assert (history.surfels, history.metrics) == ([], {})
    assert results(run, "val") is None


def test_a_whole_row_of_a_damaged_summary_is_kept(run: Path) -> None:
    row = {"label": "1", "split": "val", "views": 1, "psnr": 20.0}
    (run / "eval").mkdir(exist_ok=True)
    (run / "eval" / "summary.json").write_text(json.dumps([5, row, {"label": None}]), encoding="utf-8")
    assert summary(run) == [row]


@pytest.mark.parametrize("damage", [*DAMAGE, "folder", "cut"])
def test_a_damaged_configuration_is_a_declared_error(run: Path, damage: str) -> None:
    file = run / CONFIG
    content = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "empty":  # an empty file is all defaults
        file.write_bytes(content[: len(content) // 2] + b'"' if damage == "cut" else DAMAGE[damage])
    with pytest.raises((DataError, OptionError)) as caught:
        read_config(run)
    assert 2 <= len(str(caught.value).splitlines()) <= 3


def test_a_text_with_nul_is_a_declared_error(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[rig]\npath = "a\\u0000b"\n', encoding="utf-8")
    with pytest.raises(DataError, match="NUL"):
        read_file(tmp_path / "c.toml")


def test_a_name_that_is_no_utf8_comes_back(tmp_path: Path) -> None:
    from surfhead.files.writing import write_text

    place = os.fsdecode(b"/data/\xff")
    write_text(tmp_path / "c.toml", dump(resolve({"path": place})))
    assert resolve(read_file(tmp_path / "c.toml")).path == place


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": -1},
        {"seed": 10**30},
        {"iterations": 10**12},
        {"surfels_per_triangle": 10**5},
        {"batch_size": 10**6},
        {"evaluate": {"limit": -1}},
        {"evaluate": {"every": -1}},
        {"checkpoint": {"every": float("nan")}},
        {"regularizers": {"normal": float("inf")}},
        {"regularizers": {"normal": -1.0}},
        {"rate": {"offset": -1.0}},
        {"rate": {"offset": 1e308}},
    ],
    ids=str,
)
def test_a_setting_out_of_any_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        configure(preset="tiny", settings=settings)


@pytest.mark.parametrize("options", [{"cameras": 10**8}, {"timesteps": 10**12}, {"width": 10**6}], ids=str)
def test_a_data_set_out_of_any_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        create("dataset", "synthetic", options)


@pytest.mark.parametrize("name", LIMITS)
def test_numbers_of_the_command_line_are_bounded(name: str) -> None:
    low, high = LIMITS[name]
    check_numbers(**{name: None})
    check_numbers(**{name: high})
    for value in (float("nan"), float("inf"), low - 1, high + 1):
        with pytest.raises(OptionError, match=f'"{name}" is'):
            check_numbers(**{name: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10 * ABSURD])
def test_an_absurd_avatar_is_refused(run: Path, value: float) -> None:
    newest = checkpoint.latest(run)
    assert newest is not None
    tensors, _ = checkpoint.read(newest)
    AvatarState.from_tensors(tensors, "cpu")
    tensors["surfels/offset"] = torch.full_like(tensors["surfels/offset"], value)
    with pytest.raises(ValueError, match="offset"):
        AvatarState.from_tensors(tensors, "cpu")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("images", -5),
        ("images", 10**30),
        ("images", True),
        ("images", 1.5),
        ("extent", float("nan")),
        ("extent", -1),
        ("extent", "wide"),
        ("fingerprint", None),
        ("rig", {"name": [], "options": {}}),
    ],
)
def test_a_checkpoint_that_says_nonsense_of_itself_is_damaged(run: Path, field: str, value: Any) -> None:
    newest = checkpoint.latest(run)
    assert newest is not None
    meta = json.loads((newest / checkpoint.META).read_text("utf-8"))
    (newest / checkpoint.META).write_text(json.dumps({**meta, field: value}), encoding="utf-8")
    with pytest.raises(DataError, match=f'is damaged or incomplete: "{field}'):
        Run(run).avatar("cpu")


@pytest.mark.parametrize("name", ["checkpoints", "log"])
def test_a_resumed_run_sees_before_it_works_that_it_can_save(
    run: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (run / name).exists():
        shutil.rmtree(run / name)
    (run / name).write_text("in the way", encoding="utf-8")
    monkeypatch.setattr(Trainer, "step", lambda _: pytest.fail("it has begun"))
    with pytest.raises(DataError, match="cannot be written"):
        train(out=run, resume=True)


def test_a_missing_rig_file_says_how_to_tell_its_place(run: Path, tmp_path: Path) -> None:
    newest = checkpoint.latest(run)
    assert newest is not None
    meta = json.loads((newest / checkpoint.META).read_text("utf-8"))
    meta["rig"]["options"]["path"] = str(tmp_path / "gone.pkl")
    (newest / checkpoint.META).write_text(json.dumps(meta), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        Run(run).avatar("cpu")
    what, _, remedy = str(caught.value).splitlines()
    assert "gone.pkl" in what
    assert '"path" below [rig]' in remedy
    assert str(run / CONFIG) in remedy
