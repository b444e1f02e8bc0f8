"""The site's pages: the generated ones follow the code, all are in the navigation, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from documentation import generated_pages
from surfhead.cli import COMMANDS
from surfhead.commands.flag_table import TABLE
from surfhead.core.components import BASES
from surfhead.core.registry import registry
from surfhead.runs.layers import preset_names
from tests.commands.test_readme import SMALL_DATA

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
WRITTEN = sorted(DOCS.rglob("*.md"))
GENERATED = generated_pages.pages()
CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
NAVIGATION = set(re.findall(r"([\w/]+\.md)\b", CONFIGURATION.partition("\nnav:")[2]))


def test_the_navigation_names_pages_that_are_there_and_all_generated_ones() -> None:
    pages = {str(path.relative_to(DOCS)) for path in WRITTEN} | GENERATED.keys()
    assert pages >= NAVIGATION >= GENERATED.keys()


def test_a_page_that_is_not_listed_goes_to_the_guides() -> None:
    assert "viewer.md" not in generated_pages.unlisted(CONFIGURATION)
    assert "viewer.md" in generated_pages.unlisted(CONFIGURATION.replace("viewer.md", "other.md"))
    without = CONFIGURATION.replace("      - The viewer: viewer.md\n", "")
    config = {"nav": [{"Start": "index.md"}, {"Guides": ["monocular.md"]}]}
    assert generated_pages.on_config(config)["nav"][1]["Guides"][0] == "monocular.md"
    assert "viewer.md" in generated_pages.unlisted(without)


def prose(page: Path) -> str:
    """A page without its code blocks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """What of a page a link may name behind #: its headings, as Markdown words them, and their own names."""
    headings = re.findall(r"^#+ (.+?)(?: \{ ?#([\w-]+) ?\})?$", text, re.MULTILINE)
    words = {re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", title)).strip().lower() for title, _ in headings}
    return {re.sub(r"[\s-]+", "-", title) for title in words} | {name for _, name in headings if name}


def test_links_lead_somewhere() -> None:
    made = {(DOCS / page).resolve(): write for page, write in GENERATED.items()}
    others = [path for folder in ("", "examples", "benchmarks") for path in (ROOT / folder).glob("*.md")]
    others += (ROOT / "plugins_contrib").rglob("*.md")
    lost = []
    for page in (*WRITTEN, *others):
        for link, anchor in re.findall(r"\]\(([^)\s#]*)(?:#([^)]*))?\)", prose(page)):
            if "://" in link or link.startswith("mailto:"):
                continue
            target = (page.parent / link).resolve() if link else page
            there = target.exists() or target in made
            if page in WRITTEN:  # of the site nothing outside of it is seen
                there = target.is_relative_to(DOCS) and (target.is_file() or target in made)
            if there and anchor and target.suffix == ".md":
                there = anchor in anchors(made[target]() if target in made else prose(target))
            if not there:
                lost.append(f"{page.relative_to(ROOT)}: {link}#{anchor}")
    assert lost == []


def test_a_lost_anchor_is_found() -> None:
    assert anchors("# A `b`: c\n## Own { #mine }\n") == {"a-b-c", "own", "mine"}


@pytest.mark.parametrize("kind", sorted(BASES))
def test_every_component_has_its_manual_and_options(kind: str) -> None:
    text = GENERATED[f"reference/components/{kind}.md"]()
    rows = [row for row in registry().registrations(kind) if row.source.origin == "built-in"]
    assert re.findall(r"^## (\S+) \{", text, re.MULTILINE) == [row.name for row in rows]
    for row in rows:
        cls: Any = registry().get(kind, row.name)
        section = text.partition(f"\n## {row.name} {{")[2].partition("\n## ")[0]
        assert row.summary in text
        for name in cls.Options.__dataclass_fields__:
            assert f"| `{name}` |" in section, f"{row.name}: {name}"


def test_every_command_setting_preset_and_flag_is_on_its_page() -> None:
    commands = GENERATED["reference/cli.md"]()
    assert set(re.findall(r"^## `surfhead ([\w-]+)`", commands, re.MULTILINE)) == {*COMMANDS, "data", "rig"}
    presets = GENERATED["reference/presets.md"]()
    assert set(re.findall(r"^## (\S+)$", presets, re.MULTILINE)) == set(preset_names()) - {"base"}
    flags = GENERATED["reference/flags.md"]()
    assert all(f"`{' '.join(row.names)}`" in flags for row in TABLE)
    settings = GENERATED["reference/settings.md"]()
    for name in ("iterations", "batch_size", "seed", "weight", "every", "eyeballs"):
        assert f"| `{name}` |" in settings


def test_docstrings_become_markdown() -> None:
    text = "Rates k_1 < 2 of ``sh_dc``.\n\n::\n\n    a_b = [c]\n\n- one (docs/method.md, section 5)"
    assert generated_pages.as_markdown(text) == (
        "Rates k\\_1 \\< 2 of `sh_dc`.\n\n\n\n    a_b = [c]\n\n\n- one ([method](../../method.md), section 5)"
    )


def test_attributes_of_a_docstring_are_found() -> None:
    text = "It.\n\nAttributes:\n    a, b: the two,\n        on two lines.\n    c: ``x``: y."
    assert generated_pages.attributes(text) == {
        "a": "the two, on two lines.",
        "b": "the two, on two lines.",
        "c": "`x`: y.",
    }


def test_names_that_share_a_line_get_a_row_each() -> None:
    pytest.importorskip("griffe", reason="the extra docs is not installed")
    from documentation.split_names import with_a_row_each

    text = "It.\n\nArgs:\n    low, high: bounds,\n        in metres.\n    c: more, too.\n\nText, too: it.\n"
    bounds = "low: bounds,\n        in metres.\n    high: bounds,\n        in metres.\n"
    assert with_a_row_each(text) == f"It.\n\nArgs:\n    {bounds}    c: more, too.\n\nText, too: it.\n"


def test_the_python_page_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    asked = 'surfhead.train(preset="tiny")'
    assert asked in code
    small = {"iterations": 2, "data": SMALL_DATA, "evaluate": {"limit": 1, "final": 1}}
    scope: dict[str, Any] = {}
    code = code.replace(asked, f'surfhead.train(preset="tiny", settings={small!r}, quiet=True)').replace(
        "256", "32"
    )
    exec(compile(code.replace("pose(3,", "pose(1,"), "python.md", "exec"), scope)
    assert scope["pictures"].shape == (8, 32, 32, 3)
    assert not scope["yawn"].equal(scope["smile"])
    assert scope["held_out"].means["psnr"] > 0


def test_the_ci_script_builds_the_site() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    tests = next(i for i, line in enumerate(script) if "pytest" in line)
    assert script.index(".venv/bin/mkdocs build --strict --quiet") > tests
