"""Words of strangers in the pages that are made of a run: they are shown as words and do nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from surfhead.core.api import create
from surfhead.results.curves import read_history, svg
from surfhead.results.report import write_report
from surfhead.results.variant_tables import write_tables
from surfhead.results.variants import Row
from surfhead.viewing.picture_panel import plain
from tests.plugins.formats.conftest import make_avatar

WEB = Path(__file__).resolve().parents[2] / "surfhead" / "plugins" / "formats" / "html" / "web"
WORDS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><svg onload=alert(1)>",
    "'><b onmouseover=alert(1)>{{ 7*7 }}{% raw %}",
    "</title></pre></details><iframe srcdoc=x>",
    "]]>--><!--<style>*{display:none}</style>",
)
ALL = " ".join(WORDS)
NAME = ALL.replace("/", "∕")  # what can be the name of a folder


class Skeleton(HTMLParser):
    """The elements of a page with the names of their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: Counter[tuple[str, ...]] = Counter()
        self.scripts: list[str] = []
        self.text = ""
        self._script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[(tag, *(name for name, _ in attrs))] += 1
        self._script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._script = self._script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts.append(data)
        else:
            self.text += data


def poison(value: Any) -> Any:
    """The same record with hostile words after every text and name in it."""
    if isinstance(value, dict):
        return {f"{key}": poison(row) for key, row in value.items()}
    if isinstance(value, list):
        return [poison(row) for row in value]
    return value + ALL if isinstance(value, str) else value


@pytest.fixture(scope="module")
def clean(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("clean") / "run"
    shutil.copytree(trained_run, run)
    return run


def report(run: Path) -> Skeleton:
    path = write_report(run, views=1, worst=1, frames=0, size=24, device="cpu")
    return Skeleton(path.read_text(encoding="utf-8"))


def test_a_report_shows_the_words_of_a_stranger_and_runs_none(clean: Path, tmp_path: Path) -> None:
    run = tmp_path / NAME
    shutil.copytree(clean, run)
    for path in sorted((run / "eval").rglob("val.json")):
        document = json.loads(path.read_text("utf-8"))
        document["notes"] = [ALL]
        document["conventions"] = {ALL: ALL, **document["conventions"]}
        document["rows"][0]["view"] += ALL
        document["speed"] = {"images_per_second": 1.0, "width": 1, "height": 1, "device": ALL}
        path.write_text(json.dumps(document), "utf-8")
    environment = json.loads((run / "environment.json").read_text("utf-8"))
    (run / "environment.json").write_text(json.dumps(poison(environment)), "utf-8")
    (run / "command.txt").write_text(ALL, "utf-8")
    with (run / "config.toml").open("a", encoding="utf-8") as file:
        file.write(f"# {ALL}\n")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    for row in rows:
        if "losses" in row:
            row["losses"][ALL] = 1.0
        if "metrics" in row:
            row["metrics"][ALL] = 2.0
            row["split"] += ALL
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    found, usual = report(run), report(clean)
    assert set(found.elements) <= set(usual.elements) | {("p", "class"), ("i", "style"), ("span",)}
    assert found.scripts == usual.scripts
    assert found.elements["script",] == 1
    # title, note, convention, view, device, three files, machine, term, metric, split
    assert found.text.count(WORDS[0]) >= 10
    for words in WORDS:
        assert words in found.text
    assert NAME in found.text


def test_a_planted_word_is_found() -> None:
    found = Skeleton(f"<p>{ALL}</p>")
    assert found.elements["img", "src", "onerror"] == 1
    assert found.scripts == ["alert(1)"]


def test_a_drawing_of_curves_has_words_only(tmp_path: Path) -> None:
    row = {"images": 1, "losses": {ALL: 1.0, "l1": 2.0}, "surfels": 3}
    (tmp_path / "metrics.jsonl").write_text(
        json.dumps(row) + "\n" + json.dumps({**row, "images": 2}), "utf-8"
    )
    drawn = Skeleton(svg(read_history(tmp_path).losses, label=ALL))
    assert {element[0] for element in drawn.elements} <= {
        *("svg", "line", "text", "polyline", "title", "circle", "p", "span", "i")
    }
    assert not [name for element in drawn.elements for name in element[1:] if name.startswith("on")]
    assert WORDS[0] in drawn.text


def test_tables_of_strange_runs_have_words_only(tmp_path: Path) -> None:
    commands = r"\input{/etc/passwd}^~|$x$"
    rows = [Row("val", name, 1, {"psnr": (30.0, 0.0)}) for name in (ALL, commands, "a | b\n| c")]
    _, markdown, latex = (path.read_text("utf-8") for path in write_tables(rows, tmp_path))
    lines = markdown.splitlines()
    assert len(lines) == 2 + len(rows)
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {5}
    assert "<" not in markdown
    assert "&lt;script>alert(1)" in markdown
    own = {"toprule", "midrule", "bottomrule", "multicolumn", "textit", "textbf", "footnotesize"}
    own |= {
        "setlength",
        "tabcolsep",
        "begin",
        "end",
        "uparrow",
        "usepackage",
        "scriptsize",
        "pm",
        "rlap",
        "approx",
    }
    used = {*re.findall(r"\\([a-z]+)", latex)}
    assert used <= own | {"textbackslash", "textasciitilde", "textasciicircum"}
    assert r"\textbackslash{}input\{/etc/passwd\}\textasciicircum{}\textasciitilde{}|\$x\$" in latex


def test_the_players_scripts_make_elements_of_nothing_they_read() -> None:
    """The one place that does makes icons of its own."""
    found = [
        (path.name, line.strip())
        for path in sorted(WEB.glob("*.js"))
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function|srcdoc", line)
    ]
    assert [name for name, _ in found] == ["bar.js"]
    assert "ICONS[name]" in found[0][1]


def test_an_exported_page_holds_the_words_of_a_rig_and_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    avatar = make_avatar("ict", "jbs", "sh", tmp_path / "ict")
    model = avatar.rig.linear_model()
    hostile = tuple(f"{WORDS[place % len(WORDS)]} {place}" for place in range(len(model.names)))
    monkeypatch.setattr(type(avatar.rig), "linear_model", lambda _: replace(model, names=hostile))
    out = tmp_path / f"{NAME[:60]}.html"
    create("format", "html").write(avatar, out)
    page = out.read_text("utf-8")
    found = Skeleton(page)
    assert {element[0] for element in found.elements} == {
        *("html", "head", "meta", "title", "link", "style", "body", "main", "canvas", "img", "p", "div"),
        *("aside", "script"),
    }
    assert not [name for element in found.elements for name in element[1:] if name.startswith("on")]
    assert found.elements["script",] == 1
    told = json.loads(re.search(r"^const head = (.*);$", page, re.MULTILINE)[1])  # type: ignore[index]
    assert tuple(told["rig"]["names"]) == hostile
    assert NAME[:60] in found.text


def test_the_viewer_shows_a_runs_name_as_letters() -> None:
    for words in WORDS:
        shown = plain(f"{words} [a](http://b) `c` **d**")
        assert not re.search(r"(?<!\\)[<>\[\](){}`*!&]", shown)
        assert re.sub(r"\\(.)", r"\1", shown) == f"{words} [a](http://b) `c` **d**"
