"""Every `surfhead` command on every written page is one that the program takes, as it stands.

Lines of code blocks go through the program's own parser: command, arguments, options, their types. Components
must be there, with the page's own plugin file beside them, and what a training line sets must make a run. Of
commands in running text, which may be fragments, the command and its options must exist.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from surfhead import cli
from surfhead.commands.parameters import hush
from surfhead.commands.train import NAMED, setting
from surfhead.core import registry as registry_module
from surfhead.core.options import parse_setting
from surfhead.runs.configuration import configure
from surfhead.runs.layers import merge, nested, preset

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND: Any = typer.main.get_command(cli.app)
FLAGS_OF_OTHERS = {"-s", "--source_path"}  # translated before they are parsed


@pytest.fixture(autouse=True)
def _a_registry_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(registry_module, "_current", None)
    monkeypatch.delenv("SURFHEAD_PLUGINS", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    hush(False)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```(?:{language})\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def words_of(line: str) -> list[str]:
    """The words after `surfhead` of a line that runs it, else none."""
    match = re.match(r"(?:\S*/)?surfhead (.+)$", line.strip().rpartition("&& ")[2])
    return shlex.split(match[1], comments=True) if match else []


def commands(page: Path) -> list[list[str]]:
    """The commands in the code blocks of a page."""
    lines = "".join(blocks(page, "bash|console")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := words_of(line))]


def mentioned(page: Path) -> list[list[str]]:
    """The commands in running text."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [words for line in re.findall(r"`(surfhead [a-z][^`]*)`", text) if (words := words_of(line))]


def parse(words: list[str]) -> Any:
    """The context that these words make; nothing runs. Raises what the parser raises."""
    command, rest = COMMAND, cli.with_debug_value(words)
    context = typer.Context(COMMAND, info_name="surfhead", obj=list(words))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, list(rest))
        if hasattr(command, "resolve_command"):
            context = typer.Context(command, info_name=name, parent=context)
    return command.make_context(name, list(rest), parent=context)


def look_up(command: str, given: dict[str, Any]) -> None:
    """Raise what is raised for names, options and settings that are not there."""
    if command in ("show", "check") and given["kind"] != "KIND":
        found = preset(given["name"]) if given["kind"] == "preset" else get(given["kind"], given["name"])
        assert found
    elif command == "train" and given["config"] is None:
        words = [(name, value) for name in ("assignment", "regularizer") for value in given[name] or ()]
        words += [(name, given[name]) for name in NAMED if given.get(name)]
        settings = merge({}, nested(word for word in (setting(*word) for word in words) if word))
        configure(preset=given["preset"] or "fast", settings=settings)
    else:
        for kind in NAMED:
            for name in str(given.get(kind) or "").split(","):
                if name and name != "auto":
                    get(kind, name)
        for text in given.get("assignment") or ():
            parse_setting(text)


def get(kind: str, name: str) -> Any:
    """A component, or the error of its name."""
    return registry_module.registry().get(kind, name)


def save_plugin(page: Path) -> None:
    """Put the plugin file that a page shows into the current folder."""
    names = re.findall(r"^Save this as `(\w+\.py)`", page.read_text(encoding="utf-8"), re.MULTILINE)
    for name in names or (["rigid.py"] if page.name == "index.md" and page.parent.name == "plugins" else []):
        source = page if names else page.with_name("deformer.md")
        (code,) = (text for text in blocks(source, "python") if "@hookimpl" in text)
        Path(name).write_text(code, encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_is_taken(page: Path) -> None:
    save_plugin(page)
    for words in commands(page):
        try:
            given = parse(words).params
            look_up(words[0], given)
        except Exception as error:
            pytest.fail(f"surfhead {shlex.join(words)}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_running_text_exists(page: Path) -> None:
    for words in mentioned(page):
        command = COMMAND.commands.get(words[0])
        assert command is not None, words
        if words[0] in ("rig", "data"):
            command = command.commands.get(words[1])
            assert command is not None, words
        known = {"--help", "-h"} | {name for parameter in command.params for name in parameter.opts}
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known or used & FLAGS_OF_OTHERS, words


@pytest.mark.parametrize(
    "words",
    [
        ["trian"],
        ["eval"],
        ["render", "RUN", "--chanel", "rgb"],
        ["eval", "RUN", "--limit", "few"],
        ["train", "--deformer", "jsb"],
        ["train", "--preset", "papre"],
        ["train", "--set", "deformer.rotaton_blend=paper"],
        ["ablate", "--deformer", "jbs,jsb"],
        ["show", "deformer", "jsb"],
        ["list", "--plugin", "lost.py", "--jsn"],
    ],
)
def test_a_wrong_word_is_found(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing|valid|unknown"):
        look_up(words[0], parse(words).params)


def test_the_pages_have_commands() -> None:
    counts = {str(page.relative_to(ROOT)): len(commands(page)) for page in PAGES}
    assert sum(counts.values()) > 90
    assert counts["README.md"] > 8
    used = {words[0] for page in PAGES for words in commands(page)}
    assert used == {*cli.COMMANDS, "rig", "data"}
    assert counts["docs/monocular.md"] > 5
