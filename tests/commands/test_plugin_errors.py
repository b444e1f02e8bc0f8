"""Golden messages for plugins that cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from surfhead import plugins
from surfhead.commands import blame
from surfhead.core.errors import UnavailableError
from surfhead.core.registry import Source, create, registry
from surfhead.testing import check as run_checks
from tests.commands.conftest import Surfhead

HOOKS = (
    "register_deformers, register_appearances, register_regularizers, register_rasterizers, register_rigs, "
    "register_datasets, register_densifiers, register_formats, register_observers"
)
RAISES = "raise RuntimeError('out of cheese')\n"
MISSPELT = """
from surfhead.core.api import hookimpl

@hookimpl
def register_deformer(register):
    register("mine", "mine:Mine", "Mine.")
"""
EMPTY = "x = 1\n"
RIVAL = """
from surfhead.core.api import hookimpl

@hookimpl
def register_deformers(register):
    register("jbs", "another.module:Jbs", "Mine.")
"""
ABSENT = """
from surfhead.core.api import hookimpl

@hookimpl
def register_deformers(register):
    register("mine", "no_such_module:Mine", "Mine.")
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            RAISES,
            'Plugin "plugin.py" could not be loaded: RuntimeError: out of cheese\n'
            "It is at {file}.\n"
            "Mend or uninstall it; `surfhead list` shows every plugin that is broken.\n",
        ),
        (
            MISSPELT,
            "Plugin \"plugin.py\" does not fit: unknown hook 'register_deformer' in plugin {module} "
            "(in {file})\n"
            f"Hooks: {HOOKS}.\n"
            "Correct the name or the arguments of the hook.\n",
        ),
        (
            EMPTY,
            'Plugin "plugin.py" registers nothing (in {file}).\n'
            "Expected functions such as `@hookimpl def register_deformers(register): ...`.\n"
            "Decorate them with surfhead.core.api.hookimpl and call register(...) in them.\n",
        ),
    ],
    ids=["raises", "misspelt", "empty"],
)
def test_a_plugin_file_that_does_not_load(
    surfhead: Surfhead, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "plugin.py"
    file.write_text(text)
    said = surfhead("show", "deformer", "jbs", "--plugin", str(file))
    assert (said.code, said.out) == (2, "")
    module = said.err.partition("in plugin ")[2].partition(" (in")[0]
    assert said.err == message.format(file=file, module=module)


def test_a_plugin_file_that_is_not_there(surfhead: Surfhead, tmp_path: Path) -> None:
    said = surfhead("train", "--plugin", "nowhere.py")
    assert said.code == 2
    assert said.err == (
        f'There is no plugin file "{tmp_path / "nowhere.py"}" that can be read.\n'
        "Expected a Python file with `@hookimpl` functions.\n"
        "Check the path given to --plugin or in $SURFHEAD_PLUGINS.\n"
    )


def test_a_name_two_plugins_claim(surfhead: Surfhead, tmp_path: Path) -> None:
    file = tmp_path / "rival.py"
    file.write_text(RIVAL)
    said = surfhead("show", "deformer", "jbs", "--plugin", str(file))
    built_in = Path(plugins.__file__).with_name("deformers") / "__init__.py"
    assert said.code == 2
    assert said.err == (
        f'Two plugins register deformer "jbs": surfhead ({built_in}) and rival.py ({file}).\n'
        "A name belongs to one plugin.\n"
        "Uninstall one of them or rename its component.\n"
    )


def test_a_component_whose_module_is_missing(surfhead: Surfhead, tmp_path: Path) -> None:
    file = tmp_path / "absent.py"
    file.write_text(ABSENT)
    assert surfhead("list", "--plugin", str(file)).code == 0
    said = surfhead("show", "deformer", "mine", "--plugin", str(file))
    assert said.code == 2
    assert said.err == (
        'Plugin "absent.py" could not be loaded: deformer "mine" (no_such_module:Mine): '
        "ModuleNotFoundError: No module named 'no_such_module'\n"
        f"It is at {file}.\n"
        "Mend or uninstall it; `surfhead list` shows every plugin that is broken.\n"
    )


def test_a_name_that_a_broken_plugin_may_hold(
    surfhead: Surfhead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "plugin.py"
    file.write_text(RAISES)
    monkeypatch.setenv("SURFHEAD_PLUGINS", str(file))
    said = surfhead("show", "deformer", "quaternion-blend")
    assert said.code == 2
    assert said.err.splitlines()[0] == 'Unknown deformer "quaternion-blend".'
    assert "RuntimeError: out of cheese" in said.err


FAULTY = """
from dataclasses import dataclass

import torch

from surfhead.core.api import AffineField, Deformer, Regularizer, hookimpl


class Broken(Deformer):
    name, summary, rig_bound = "broken", "Raises.", False

    def __call__(self, mesh, binding):
        raise KeyError("stretch")


class Empty(Deformer):
    name, summary, rig_bound = "empty", "Gives nothing.", False

    def __call__(self, mesh, binding):
        return None


class Thin(Deformer):
    name, summary, rig_bound = "thin", "Gives another shape.", False

    def __call__(self, mesh, binding):
        n = len(binding.triangle)
        turn = torch.eye(3).expand(1, n, 3, 3)
        return AffineField(turn[..., :2], torch.zeros(1, n, 3), turn, torch.ones(1, n))


class Short(Deformer):
    name, summary, rig_bound = "short", "Takes too little.", False

    def __call__(self, mesh):
        return None


class Half(Deformer):
    name, summary = "half", "Has no call."


class Loose(Deformer):
    name, summary, rig_bound = "loose", "Options of no kind.", False

    class Options:
        share = 0.5

    def __call__(self, mesh, binding):
        return None


class Word(Regularizer):
    name, summary, weight = "word", "Gives a word.", 1.0

    def __call__(self, step):
        return "much"


@hookimpl
def register_deformers(register):
    for part in (Broken, Empty, Thin, Short, Half, Loose):
        register(part)


class Nothing(Regularizer):
    name, summary, weight = "nothing", "Is not a number.", 1.0

    def __call__(self, step):
        return step.output.rgb.mean() * float("nan")


@hookimpl
def register_regularizers(register):
    register(Word)
    register(Nothing)
"""


@pytest.mark.parametrize(
    ("words", "said_first"),
    [
        (["--deformer", "broken"], "Plugin \"faulty.py\" failed: KeyError: 'stretch'."),
        (["--deformer", "empty"], 'Deformer "empty" gave a NoneType.'),
        (["--deformer", "thin"], 'What deformer "thin" gave does not fit: "linear" '),
        (["--deformer", "short"], 'Deformer "short" of plugin "faulty.py" failed: Short.__call__() takes 2'),
        (["--deformer", "half"], 'deformer "half" of plugin "faulty.py" lacks __call__.'),
        (["--deformer", "loose"], 'deformer "loose" of plugin "faulty.py" has Options of its own kind.'),
        (["--regularizer", "word=1"], 'Regularizer "word" gave a str.'),
    ],
)
def test_what_is_wrong_in_a_plugin_bears_its_name(
    train_tiny: Surfhead, tmp_path: Path, words: list[str], said_first: str
) -> None:
    """Not a traceback through code that is not its author's; --debug has that."""
    (tmp_path / "faulty.py").write_text(FAULTY)
    said = train_tiny("--plugin", tmp_path / "faulty.py", *words)
    assert said.code == 2
    lines = said.err.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(said_first))
    assert len(lines[first:]) == 3
    assert "Traceback" not in said.err


def test_a_term_that_is_no_number_is_named(train_tiny: Surfhead, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    said = train_tiny("--plugin", tmp_path / "faulty.py", "--regularizer", "nothing=1")
    assert said.code == 2
    assert "So are terms of the loss: nothing." in " ".join(said.err.split())


def test_a_reader_that_fails_over_data_leaves_them_to_others_and_is_named(
    surfhead: Surfhead, tmp_path: Path
) -> None:
    (tmp_path / "reader.py").write_text(
        "from surfhead.core.api import Dataset, hookimpl\n\n\nclass Hasty(Dataset):\n"
        "    name, summary, on_disk = 'hasty', 'Fails.', True\n\n    @classmethod\n"
        "    def recognises(cls, path):\n        raise IndexError('no letters')\n\n"
        "    def open(self, path=None):\n        return None\n\n\n@hookimpl\n"
        "def register_datasets(register):\n    register(Hasty)\n"
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").touch()
    said = surfhead("train", "data", "--plugin", tmp_path / "reader.py")
    assert said.code == 2
    assert 'Reader "hasty" cannot look at it: IndexError: no letters.' in " ".join(said.err.split())
    named = surfhead("train", "data", "--plugin", tmp_path / "reader.py", "--set", "data.name=hasty")
    assert 'Dataset "hasty" gave a NoneType.' in named.err


def test_a_plugin_is_not_blamed_for_words_that_begin_like_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Python's refusal of a call begins with what was called."""

    class Short:
        pass

    source = Source("file", "mine.py", "mine.py")
    row = SimpleNamespace(kind="deformer", name="short", target=Short, source=source)
    monkeypatch.setattr(blame, "registry", lambda: SimpleNamespace(registrations=lambda: [row]))
    words = f"{Short.__qualname__}.__call__() takes 2 positional arguments but 3 were given"
    assert blame.of_plugin(ValueError(words)) is None
    blamed = blame.of_plugin(TypeError(words))
    assert blamed is not None
    assert 'Deformer "short" of plugin "mine.py" failed' in blamed.what


@pytest.mark.parametrize(
    ("kind", "name", "module", "command"),
    [
        ("observer", "viewer", "viser", 'pip install "surfhead[viewer]"'),
        ("observer", "tensorboard", "tensorboard", 'pip install "surfhead[tensorboard]"'),
        ("dataset", "synthetic", "embreex", "pip install embreex"),
    ],
)
def test_where_a_package_is_missing_the_remedy_is_to_install_it(
    surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, module: str, command: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnavailableError) as caught:
        create(kind, name)
    assert caught.value.remedy == f"Run: {command}"
    assert "pip" not in caught.value.what
    said = surfhead("check", kind, name)
    assert (said.code, said.err.splitlines()[-1]) == (2, f"Run: {command}")
    with pytest.raises(UnavailableError) as caught:
        run_checks(registry().get(kind, name))
    assert caught.value.remedy == f"Run: {command}"


def test_a_plugin_file_that_misses_a_package_says_so(surfhead: Surfhead, tmp_path: Path) -> None:
    file = tmp_path / "plugin.py"
    file.write_text("import no_such_module\n")
    said = surfhead("list", "deformer", "--plugin", str(file))
    shown = surfhead("show", "deformer", "jbs", "--plugin", str(file))
    assert "No module named 'no_such_module'" in said.out
    assert "pip install no_such_module; or uninstall the plugin" in shown.err


def test_components_of_the_packages_beside_this_one_say_where_they_are(surfhead: Surfhead) -> None:
    for kind, name, package in (
        ("dataset", "video", "surfhead-video[tracking]"),
        ("rasterizer", "gsplat", "surfhead-gsplat"),
    ):
        if name in registry().names(kind):
            pytest.skip(f"{package} is installed")
        said = surfhead("show", kind, name)
        assert said.err.splitlines()[-1] == f'In the source tree: pip install "./plugins_contrib/{package}"'
