"""The written pages, and the commands on them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = "bash|console|sh|"  # languages of blocks of commands; none is one, too


def name(page: Path) -> str:
    """A page's path from the root of the tree."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```(?:{language})\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def words_of(line: str) -> list[str]:
    """The words after `surfhead` of a line that runs it, else none."""
    match = re.search(r"(?:^|\s)(?:\S*/)?surfhead ([a-z].*)$", line.partition(" #")[0])
    return shlex.split(match[1], comments=True) if match else []


def commands(page: Path) -> list[list[str]]:
    """The commands in the code blocks of a page, indented ones too, in their order."""
    text = page.read_text(encoding="utf-8")
    shell = re.compile(
        rf"^```(?:{SHELL})\n(?P<block>.*?)^```|^```.*?^```|^    (?P<line>surfhead .*)$",
        flags=re.MULTILINE | re.DOTALL,
    )
    shown = "\n".join(match["block"] or match["line"] or "" for match in shell.finditer(text))
    return [words for line in shown.replace("\\\n", " ").splitlines() if (words := words_of(line))]


def mentioned(page: Path) -> list[list[str]]:
    """The commands in running text."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [words for line in re.findall(r"`(surfhead [a-z][^`]*)`", text) if (words := words_of(line))]


def plugin_of(page: Path) -> tuple[str, str] | None:
    """Name and text of the plugin file that a page has one save, or that its commands are about."""
    names = re.findall(r"^Save this as `(\w+\.py)`", page.read_text(encoding="utf-8"), re.MULTILINE)
    if not names and name(page) != "docs/plugins/index.md":
        return None
    source = page if names else page.with_name("deformer.md")
    (code,) = (text for text in blocks(source, "python") if "@hookimpl" in text)
    return (names or ["rigid.py"])[0], code
