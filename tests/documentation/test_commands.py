"""Every `surfhead` command on every written page is run, in tiny form.

Lines of code blocks go through the program's own parser as they stand: command, arguments, options, their
types. Components must be there, and what a training line sets must
make a run. Then each is run, in the page's order and in a folder of the page's own: numbers shrunk, and with
what the page takes as given put there (``presupposed``). Of commands in running text, maybe fragments, the
command and its options must exist.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer

from surfhead import cli
from surfhead.commands.parameters import hush
from surfhead.commands.train import NAMED, setting
from surfhead.core import registry as registry_module
from surfhead.core.options import parse_setting
from surfhead.results import geometry_evaluation
from surfhead.runs import attached
from surfhead.runs.configuration import configure
from surfhead.runs.layers import merge, nested, preset
from surfhead.training import covering, finishing, holes
from surfhead.training.observation import observe
from surfhead.viewing import page as viewer_page
from tests.commands.conftest import Surfhead
from tests.conftest import of_all_workers
from tests.documentation.pages import PAGES, SHELL, blocks, commands, mentioned, name, plugin_of
from tests.documentation.presupposed import SHORT, SMALL, Presupposed

COMMAND: Any = typer.main.get_command(cli.app)
FLAGS_OF_OTHERS = {"-s", "--source_path"}  # translated before they are parsed

CLUSTER = "a cluster: tests/runs/test_ray_cluster.py starts one of Ray"
CLIP = "MediaPipe, and half a minute of tracking: tests of plugins_contrib/surfhead-video"
NOT_RUN = {  # a part of the line: what it would take
    "--cluster ray": CLUSTER,
    "--processes 2": "two processes that train together: tests/training/test_ranks.py",
    "train me.mp4": CLIP,
    "--driver somebody.mp4": CLIP,
}
NEEDS = {"view ": "viser", "--viewer": "viser", ".hdr": "OpenImageIO"}  # a part of the line: module

# What the words of a line stand for, where they are not made by the page itself; the first that fits.
# (a part of the page's name, a part of the line, the word): what is presupposed
GIVEN = {
    ("import.md", "", "FOLDER"): "published",
    ("", "", "FOLDER"): "exported",
    ("meshes.md", "--geometry", "RUN"): "own run",
    ("", "import FOLDER", "RUN"): "",
    ("reenactment.md", "take.csv", "RUN"): "ict run",
    ("", "", "RUN"): "run",
    ("", "--data OTHER", "OTHER"): "data",
    ("", "", "OTHER"): "other run",
    ("", "--rig flame", "DATA"): "flame data",
    ("import.md", "", "DATA"): "flame data",
    ("normals.md", "", "DATA"): "data with normals",
    ("plugins/dataset.md", "", "DATA"): "arrays",
    ("", "", "DATA"): "data",
    ("", "", "FIRST"): "data",
    ("", "", "SECOND"): "data",
    ("", "rig import flame", "flame2023.safetensors"): "",
    ("", "", "flame2023.pkl"): "flame",
    ("", "", "flame2023.safetensors"): "flame model",
    ("", "", "ICT-FaceKit"): "ict",
    ("", "rig import ict", "ict.safetensors"): "",
    ("", "", "ict.safetensors"): "ict model",
    ("", "", "config.toml"): "configuration",
    ("", "", "talk.npz"): "motion",
    ("", "", "take.csv"): "capture",
    ("", "", "room.hdr"): "sky",
    ("", "", "turning.json"): "turning light",
    ("", "--out runs/mine", "runs/mine"): "",
    ("", "", "runs/mine"): "run",
    ("", "", "runs/his"): "other run",
    ("", "", "runs/other"): "other run",
    ("monocular.md", "take.csv", "runs/me"): "ict run",
    ("monocular.md", "--format html", "runs/me"): "ict run",
    ("monocular.md", "--out runs/me", "runs/me"): "",
    ("", "", "runs/me"): "flame run",
    ("", "", "export/monocular/me"): "flame data",
    ("", "", "export/monocular/somebody"): "flame data",
}
# Numbers that a line gives, made small
SHRUNK = {
    **{"--iterations": "2", "--batch-size": "2", "--timestep": "1", "--seeds": "1", "--geometry": "1"},
    **{"--texture": "32", "--sheet": "2"},
}
# What is added to a line
ADDED = {
    "train": SHORT,
    "ablate": ("--iterations", "2", "--jobs", "1", "--views", "1", "--set", "device=cpu"),
    "train-all": ("--iterations", "2", "--jobs", "1", "--device", "cpu"),
    "eval": ("--limit", "1", "--device", "cpu"),
    "render": ("--size", "24", "--device", "cpu"),
    "mesh": ("--voxel-mm", "8", "--size", "48", "--views", "6", "--cameras", "around", "--device", "cpu"),
    "reenact": ("--device", "cpu"),
    "report": ("--frames", "2", "--size", "24", "--views", "1", "--worst", "1", "--device", "cpu"),
    "compare": ("--views", "1", "--device", "cpu"),
    "view": ("--device", "cpu", "--port", "0", "--size", "64"),
}


@pytest.fixture(autouse=True)
def _a_registry_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(registry_module, "_current", None)
    monkeypatch.delenv("SURFHEAD_PLUGINS", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    hush(False)


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Presupposed:
    return Presupposed(of_all_workers(tmp_path_factory) / "presupposed")


@pytest.fixture
def in_tiny_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no option makes small: members run in this process, servers end at once, surfaces are coarse.

    What was seen of an avatar is looked up in one picture, and its holes are looked for from one side.
    """
    coarse = partial(geometry_evaluation.MeshSettings, voxel=0.008, views=6, size=48)
    few = partial(geometry_evaluation.compare_surfaces, samples=2000)
    monkeypatch.setattr(geometry_evaluation, "MeshSettings", coarse)
    monkeypatch.setattr(geometry_evaluation, "compare_surfaces", few)
    for part in (covering, finishing, holes):
        monkeypatch.setattr(part, "observe", partial(observe, limit=1))
    monkeypatch.setattr(holes, "AROUND", 1)
    monkeypatch.setattr(holes, "ELEVATIONS", (10.0,))
    monkeypatch.setattr(attached, "run", lambda words, _environment, _stop=None: (cli.main(words), ""))
    monkeypatch.setattr(viewer_page, "wait_for_interrupt", lambda: None)


def parse(words: list[str]) -> Any:
    """The context that these words make; nothing runs. Raises what the parser raises."""
    command, rest = COMMAND, cli.with_debug_value(words)
    context = typer.Context(COMMAND, info_name="surfhead", obj=list(words))
    while hasattr(command, "resolve_command"):
        named, command, rest = command.resolve_command(context, list(rest))
        if hasattr(command, "resolve_command"):
            context = typer.Context(command, info_name=named, parent=context)
    return command.make_context(named, list(rest), parent=context)


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


def not_run(words: list[str]) -> str | None:
    """Why a command is not run here; None for one that is."""
    line = shlex.join(words) + " "
    for part, reason in NOT_RUN.items():
        if part in line:
            return reason
    missing = [
        module for part, module in NEEDS.items() if part in line and not importlib.util.find_spec(module)
    ]
    return f"package {missing[0]}" if missing else None


def key_of(page: Path, line: str, word: str) -> tuple[str, str, str] | None:
    """The row of ``GIVEN`` that says what a word of a line stands for."""
    for key in GIVEN:
        on, part, known = key
        if on in name(page) and part in line and re.search(rf"(?:^|[=/]){re.escape(known)}$", word):
            return key
    return None


def there(page: Path, words: list[str], given: Presupposed, put: dict[str, str]) -> list[str]:
    """The same command once what it names is there; under another name where an earlier line meant another.

    Args:
        put: place -> what was put there for earlier lines of the page; what is put now is added.
    """
    made = words[:1]
    for word in words[1:]:
        key, (head, equals, place) = key_of(page, shlex.join(words), word), word.rpartition("=")
        if key is not None:
            what = GIVEN[key]
            if put.get(place, what) != what or (not what and Path(place).exists()):
                place = f"{Path(place).with_suffix('')}-{len(put)}{Path(place).suffix}"
            if what and (place in put or not Path(place).exists()):
                given.put(what, Path(place))
                put[place] = what
        made.append(f"{head}{equals}{place}")
    return made


def tiny(page: Path, words: list[str]) -> list[str]:
    """The same command, made small."""
    made = [SHRUNK.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    if words[0] == "ablate":  # the first of every list
        lists = ("--deformer", "--appearance", "--presets")
        made = [
            word.partition(",")[0] if before in lists else word
            for before, word in zip(["", *made], made, strict=False)
        ]
    made += ADDED.get(words[0], ())
    elsewhere = {"--config", "--resume"} & {*words} or not words[1:2] or not words[1].startswith("--")
    if words == ["train"] or words[0] == "synth" or (words[0] in ("train", "ablate") and not elsewhere):
        made += SMALL
    if "--rasterizer guarded" in shlex.join(words):  # the reference is slow
        made += [
            "--set=data.width=12",
            "--set=data.height=12",
            "--set=data.timesteps=1",
            "--set=data.views_per_timestep=1",
        ]
    if (
        words[0] == "train"
        and "--preset" not in words
        and "--config" not in words
        and "--resume" not in words
    ):
        made += ["--preset", "tiny"]
    if words[0] == "render" and "--split" not in words:
        made += ["--frames", "2"]
    return made


# a command and the page's own plugin file, if it is about one: the page that runs it, if several have it
FIRST: dict[tuple[str, Any], Path] = {}
for page in sorted(PAGES, key=lambda page: name(page) == "docs/plugins/index.md"):
    for words in commands(page):
        FIRST.setdefault((shlex.join(words), "--plugin" in words and plugin_of(page)), page)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_every_command_runs(page: Path, surfhead: Surfhead, given: Presupposed, in_tiny_form: None) -> None:
    plugin = plugin_of(page)
    if plugin:
        Path(plugin[0]).write_text(plugin[1], encoding="utf-8")
    put: dict[str, str] = {}
    for words in commands(page):
        line = shlex.join(words)
        try:
            look_up(words[0], parse(words).params)
        except Exception as error:
            pytest.fail(f"surfhead {line}: {error}")
        if not_run(words) or FIRST[line, "--plugin" in words and plugin] != page:
            continue
        said = surfhead(*tiny(page, there(page, words, given, put)))
        assert said.code == 0, f"surfhead {line}: {said.out}{said.err}"
        if "--out" in words:
            assert Path(words[words.index("--out") + 1]).exists(), line
        if words[0] == "check":
            assert said.out.splitlines()[-1].endswith(f"promises kept by {words[1]} {words[2]}.")


@pytest.mark.parametrize("page", PAGES, ids=name)
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


def test_the_lists_hold_nothing_that_no_page_has() -> None:
    lines = [(name(page), shlex.join(words) + " ") for page in PAGES for words in commands(page)]
    for part in (*NOT_RUN, *NEEDS):
        assert any(part in line for _, line in lines), part
    used = {
        key_of(page, shlex.join(words), word)
        for page in PAGES
        for words in commands(page)
        for word in words[1:]
    }
    assert used >= GIVEN.keys()


def test_the_modules_that_pages_run_are_there() -> None:
    shown = [line for page in PAGES for block in blocks(page, SHELL) for line in block.splitlines()]
    found = [
        match
        for line in shown
        if (match := re.search(r"python -m ((?:benchmarks|surfhead)[\w.]+)(.*)", line))
    ]
    assert len(found) > 2
    for module, rest in (match.groups() for match in found):
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None, module
        text = Path(spec.origin).read_text(encoding="utf-8")
        assert all(f'"{option}"' in text for option in re.findall(r"--[a-z-]+", rest)), (module, rest)


def test_the_pages_have_commands() -> None:
    counts = {name(page): len(commands(page)) for page in PAGES}
    assert sum(counts.values()) > 120
    assert counts["README.md"] > 8
    used = {words[0] for page in PAGES for words in commands(page)}
    assert used == {*cli.COMMANDS, "rig", "data"}
    assert counts["docs/monocular.md"] > 5
