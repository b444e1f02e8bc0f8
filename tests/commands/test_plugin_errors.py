"""Golden messages for plugins that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from surfhead import plugins
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
