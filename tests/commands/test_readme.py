"""What the README, the CI script and the other pages at the root say is true."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL_DATA = {
    **{"width": 32, "height": 32, "cameras": 3, "timesteps": 3, "test_timesteps": 1, "test_cameras": 1},
    **{"views_per_timestep": 2, "supersampling": 1, "detail": 1, "texels": 2},
}


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def block(language: str, contains: str) -> str:
    """The README's one code block in a language that contains a text."""
    found = [text for text in blocks(language) if contains in text]
    assert len(found) == 1, f"{len(found)} blocks contain {contains!r}"
    return found[0]


def set_up_commands() -> list[str]:
    """The one-line commands that set everything up."""
    return [text.strip() for text in blocks("bash") if "venv" in text]


def test_set_up_is_two_commands_of_one_line_on_the_first_screen() -> None:
    train, test = set_up_commands()
    assert "\n" not in train + test
    assert train.endswith("pip install torch==2.13.0 . && .venv/bin/surfhead train")
    assert test.endswith('pip install torch==2.13.0 -e ".[test]" && .venv/bin/pytest -n 2')
    assert README.index(test) < README.index("\n## ")
    assert README[: README.index(train)].count("\n") < 20


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    script = ROOT / ".ci" / "run"
    lines = [line.strip() for line in script.read_text().splitlines()]
    assert set_up_commands()[1] in lines
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert os.access(script, os.X_OK)
    body = "\n".join(lines)
    for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports"):
        assert tool in body
    assert not re.search(r"\|\|\s*true|set \+e|--exitfirst|-k ", body)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        if "://" not in target:
            assert (ROOT / target).exists(), f"{page} links to {target}"


def test_contributing_is_one_page() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 60


def test_the_plugin_has_20_lines() -> None:
    text = block("python", "register_deformers")
    assert len([line for line in text.splitlines() if line.strip()]) <= 20
