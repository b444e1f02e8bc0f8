"""The code of strangers: a plugin file that only a run or a configuration names does not run."""

from __future__ import annotations

import io
import json
import os
import py_compile
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import surfhead
from surfhead.core import registry
from surfhead.core.errors import DataError, PluginLoadError
from surfhead.core.registry import registry as current
from surfhead.results.drivers import read_driver
from surfhead.runs import trust
from surfhead.runs.configuration import configure
from surfhead.runs.run import read_config
from surfhead.runs.train import train
from surfhead.training import checkpoint

PLUGIN = '''
import pathlib
from surfhead.core.api import Regularizer, hookimpl
pathlib.Path({marker!r}).touch()

class Mild(Regularizer):
    """Nothing."""
    name = "mild"
    summary = "Nothing."
    def __call__(self, step):
        return step.output.rgb.mean() * 0.0

@hookimpl
def register_regularizers(register):
    register(Mild)
'''


@pytest.fixture(autouse=True)
def _new_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A registry and a configuration folder of its own."""
    monkeypatch.setattr(registry, "_current", None)
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "configuration"))


def written(folder: Path, marker: Path, name: str = "evil.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(PLUGIN.format(marker=str(marker)), encoding="utf-8")
    return file


@pytest.fixture
def sent(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of a run, as somebody might send it."""
    return Path(shutil.copytree(trained_run, tmp_path / "sent"))


def ways_in(run: Path) -> dict[str, Any]:
    """All that opens a run or a configuration."""
    return {
        "read_config": lambda: read_config(run),
        "load_avatar": lambda: surfhead.load_avatar(run, device="cpu"),
        "driver": lambda: read_driver(run),
        "resume": lambda: train(out=run, resume=True),
        "train --config": lambda: train(file=run / "config.toml", out=run.parent / "another"),
    }


@pytest.mark.parametrize("way", ways_in(Path()))
@pytest.mark.parametrize("spelt", ["absolute", "relative"])
def test_a_plugin_that_a_configuration_names_does_not_run(
    sent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, spelt: str
) -> None:
    marker = tmp_path / "executed"
    file = written(sent, marker)
    name = "evil.py" if spelt == "relative" else str(file)
    config = sent / "config.toml"
    text = "".join(
        line for line in config.read_text("utf-8").splitlines(True) if not line.startswith("plugins")
    )
    config.write_text(f'plugins = ["{name}"]\n{text}', encoding="utf-8")
    with pytest.raises(PluginLoadError) as caught:
        ways_in(sent)[way]()
    assert not marker.exists()
    what, exists, remedy = str(caught.value).splitlines()
    assert str(file) in what
    assert "not by you" in what
    assert "named it" in exists
    assert f"--plugin {file}" in remedy


@pytest.mark.parametrize("name", ["x" * 300 + ".py", "~nobody_of_this_name/x.py", "folder/"])
def test_a_name_that_no_plugin_can_have_is_said(sent: Path, name: str) -> None:
    config = sent / "config.toml"
    text = "".join(
        line for line in config.read_text("utf-8").splitlines(True) if not line.startswith("plugins")
    )
    config.write_text(f'plugins = ["{name}"]\n{text}', encoding="utf-8")
    with pytest.raises(DataError, match=r"(?s)Plugin file .* cannot be read.*\n.*\n.*--plugin FILE"):
        read_config(sent)


def test_a_plugin_that_a_checkpoint_names_does_not_run(sent: Path, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    file = written(tmp_path / "elsewhere", marker)
    import hashlib

    newest = checkpoint.latest(sent)
    assert newest is not None
    meta = json.loads((newest / checkpoint.META).read_text("utf-8"))
    meta["components"][0] |= {
        "file": str(file),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    (newest / checkpoint.META).write_text(json.dumps(meta), encoding="utf-8")
    for way in ("load_avatar", "resume"):
        with pytest.raises(PluginLoadError, match="not by you"):
            ways_in(sent)[way]()
    assert not marker.exists()


def test_a_relative_path_is_meant_from_the_run(
    sent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of that name in the working folder is another one."""
    written(tmp_path / "work", tmp_path / "wrong")
    monkeypatch.chdir(tmp_path / "work")
    (sent / "config.toml").write_text('plugins = ["evil.py"]\n', encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_config(sent)
    assert str(sent / "evil.py") in caught.value.what
    assert not (tmp_path / "wrong").exists()


def test_who_trains_with_a_plugin_need_not_name_it_again(
    small_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "executed"
    plugin = written(tmp_path / "mine", marker, "mine.py")
    settings = {
        **small_settings,
        "iterations": 2,
        "evaluate": {"limit": 1},
        "plugins": [str(plugin)],
        "regularizers": {"mild": 1.0},
    }
    run = train(preset="tiny", settings=settings, out=tmp_path / "run")
    marker.unlink()
    monkeypatch.setattr(registry, "_current", None)  # as in the next process
    assert surfhead.load_avatar(run, device="cpu").images == 2
    assert marker.exists()
    monkeypatch.setattr(registry, "_current", None)
    plugin.write_text(plugin.read_text("utf-8") + "# another line\n", encoding="utf-8")
    with pytest.raises(PluginLoadError, match="not by you"):  # a changed file is another one
        configure(preset="tiny", file=run / "config.toml")


def test_a_moved_plugin_may_be_named_at_its_new_place(
    small_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = written(tmp_path / "mine", tmp_path / "executed", "mine.py")
    settings = {**small_settings, "iterations": 2, "evaluate": {"limit": 1}, "regularizers": {"mild": 1.0}}
    run = train(preset="tiny", settings={**settings, "plugins": [str(plugin)]}, out=tmp_path / "run")
    moved = plugin.rename(tmp_path / "moved.py")
    monkeypatch.setattr(registry, "_current", None)
    current().load_file(moved)
    assert surfhead.load_avatar(run, device="cpu").images == 2


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "agreed"), [("y\n", True), ("yes\n", True), ("\n", False), ("", False)])
def test_at_a_terminal_the_user_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, agreed: bool
) -> None:
    marker, said = tmp_path / "executed", _Terminal()
    file = written(tmp_path / "sent", marker)
    where = file.with_name("config.toml")
    monkeypatch.setattr(sys, "stdin", _Terminal(answer))
    monkeypatch.setattr(sys, "stderr", said)
    if not agreed:
        with pytest.raises(PluginLoadError, match="not by you"):
            trust.load_foreign(Path("evil.py"), where)
        assert not marker.exists()
        assert trust.trusted() == set()
        return
    trust.load_foreign(Path("evil.py"), where)
    assert marker.exists()
    assert str(file) in said.getvalue()
    assert next(iter(trust.trusted())) in said.getvalue()
    monkeypatch.setattr(registry, "_current", None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    trust.load_foreign(Path("evil.py"), where)  # remembered


def test_bytecode_beside_a_trusted_file_does_not_run(tmp_path: Path) -> None:
    """A folder can bring a __pycache__ whose time and size fit a file that the user trusts."""
    marker, evil = tmp_path / "executed", tmp_path / "evil-executed"
    file = written(tmp_path / "sent", marker, "mine.py")
    text = file.read_text("utf-8")
    changed = text.replace(str(marker), str(evil))
    changed = changed.replace(
        '"""Nothing."""', '"""' + "N" * (7 - (len(str(evil)) - len(str(marker)))) + '"""'
    )
    stamp = file.stat()
    file.write_text(changed, encoding="utf-8")
    os.utime(file, (stamp.st_atime, stamp.st_mtime))
    py_compile.compile(str(file), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    file.write_text(text, encoding="utf-8")
    current().load_file(file)
    assert marker.exists()
    assert not evil.exists()


def test_a_configuration_folder_that_cannot_be_written_only_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "configuration").write_text("a file", encoding="utf-8")
    trust.remember("0" * 64, "mine.py")
    assert "could not be written down" in caplog.text
    assert trust.trusted() == set()
