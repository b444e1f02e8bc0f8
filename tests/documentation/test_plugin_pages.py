"""The complete examples of the plugin pages; their own commands are run in ``test_commands``."""

from __future__ import annotations

import re
from pathlib import Path

from surfhead.core.components import BASES
from surfhead.core.hookspecs import PROJECT
from tests.commands.conftest import Surfhead

PAGES = Path(__file__).resolve().parents[2] / "docs" / "plugins"


def saved(page: str, folder: Path) -> Path:
    """The page's example, saved under the name that the page gives."""
    text = (PAGES / page).read_text(encoding="utf-8")
    (name,) = re.findall(r"^Save this as `(\w+\.py)`:$", text, re.MULTILINE)
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (folder / name).write_text(code, encoding="utf-8")
    return folder / name


def test_there_is_a_page_for_every_kind() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {*BASES, "index"}
    assert PROJECT in (PAGES / "index.md").read_text(encoding="utf-8")


def test_the_examples_train_together(surfhead: Surfhead, tmp_path: Path) -> None:
    """Those that take part in a run, in one."""
    kinds = ("deformer", "appearance", "regularizer", "densifier", "observer")
    plugins = [f"--plugin={saved(f'{kind}.md', tmp_path)}" for kind in kinds]
    chosen = ["--deformer", "rigid", "--appearance", "rim", "--regularizer", "huber=0.5"]
    chosen += ["--set", "densifier.name=thinning", "--set", "densifier.every=2", "--set", "observers.best={}"]
    size = {"width": 32, "height": 32, "cameras": 3, "timesteps": 1, "test_timesteps": 1, "detail": 1}
    size |= {"views_per_timestep": 2, "supersampling": 1, "texels": 2, "test_cameras": 1}
    small = [f"--set=data.{key}={value}" for key, value in size.items()]
    small += ["--set", "evaluate.limit=1", "--set", "evaluate.final=1", "--set", "baseline=false"]
    small += ["--preset", "tiny", "--iterations", "4", "--quiet", "--out", "run"]
    said = surfhead("train", *plugins, *chosen, *small)
    assert said.code == 0, said.err
    assert "psnr" not in said.err
    assert re.search(r"^val: \d+\.\d\d dB at image \d", Path("run/best.txt").read_text(), re.MULTILINE)
    file = saved("format.md", tmp_path)
    said = surfhead(*("export", "run", "--plugin", str(file), "--format", "xyz", "--out", "head.xyz"))
    assert said.code == 0, said.err
    lines = Path("head.xyz").read_text().splitlines()
    assert len(lines) > 100
    assert all(len(line.split()) == 3 for line in lines)
