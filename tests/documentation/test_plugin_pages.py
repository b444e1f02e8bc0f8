"""The complete example of each plugin page keeps its kind's contract, as the page's own command says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

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


def commands(page: str) -> list[list[str]]:
    """The words of each command of a page."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (PAGES / page).read_text(encoding="utf-8"), re.M | re.DOTALL)
    return [shlex.split(line, comments=True)[1:] for block in blocks for line in block.splitlines()]


def test_there_is_a_page_for_every_kind() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {*BASES, "index"}
    assert PROJECT in (PAGES / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", sorted(BASES))
def test_the_example_keeps_its_contract(kind: str, surfhead: Surfhead, tmp_path: Path) -> None:
    file = saved(f"{kind}.md", tmp_path)
    check = next(words for words in commands(f"{kind}.md") if words[0] == "check")
    assert check[1] == kind
    assert check[3:] == ["--plugin", file.name]
    said = surfhead(*check)
    assert said.code == 0, said.out + said.err
    assert said.out.splitlines()[-1].endswith(f"promises kept by {kind} {check[2]}.")


def test_the_examples_train_together(surfhead: Surfhead, cache: Path, tmp_path: Path) -> None:
    """Those that take part in a run, in one."""
    kinds = ("deformer", "appearance", "regularizer", "rasterizer", "densifier", "observer")
    plugins = [f"--plugin={saved(f'{kind}.md', tmp_path)}" for kind in kinds]
    chosen = ["--deformer", "rigid", "--appearance", "rim", "--regularizer", "huber=0.5"]
    chosen += ["--set", "densifier.name=thinning", "--set", "densifier.every=2", "--set", "observers.best={}"]
    size = {"width": 32, "height": 32, "cameras": 3, "timesteps": 1, "test_timesteps": 1, "detail": 1}
    size |= {"views_per_timestep": 2, "supersampling": 1, "texels": 2, "test_cameras": 1}
    small = [f"--set=data.{key}={value}" for key, value in size.items()]
    small += ["--set", "evaluate.limit=1", "--set", "evaluate.final=1", "--set", "baseline=false"]
    small += ["--preset", "tiny", "--iterations", "4", "--quiet", "--out", "run", "--rasterizer", "guarded"]
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


def test_the_data_set_of_the_page_trains(surfhead: Surfhead, tmp_path: Path) -> None:
    file = saved("dataset.md", tmp_path)
    made: dict[str, object] = {}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), made)
    data = tmp_path / "data"
    data.mkdir()
    made["ArrayFile"].example(data)  # type: ignore[attr-defined]
    said = surfhead("data", "check", "data", "--plugin", str(file))
    assert said.code == 0, said.out + said.err
    said = surfhead(
        *("train", "data", "--plugin", str(file), "--preset", "static", "--iterations", "2"),
        *("--out", "run", "--quiet", "--device", "cpu"),
    )
    assert said.code == 0, said.err
    assert Path("run/checkpoints/00000002").is_dir()


def test_the_rig_of_the_page_trains(surfhead: Surfhead, cache: Path, tmp_path: Path) -> None:
    """On pictures of its own."""
    file = saved("rig.md", tmp_path)
    size = {"width": 24, "height": 24, "cameras": 2, "timesteps": 1, "test_timesteps": 1, "test_cameras": 1}
    size |= {"views_per_timestep": 1, "supersampling": 1, "texels": 2, "detail": 1}
    small = [f"--set=data.{key}={value}" for key, value in size.items()]
    small += ["--set", "evaluate.limit=1", "--set", "evaluate.final=1", "--set", "baseline=false"]
    said = surfhead(
        *("train", "--plugin", str(file), "--rig", "box", "--set", "data.rig=box", *small),
        *("--preset", "tiny", "--iterations", "2", "--quiet", "--out", "run", "--device", "cpu"),
    )
    assert said.code == 0, said.err
    assert 'rig = "box"' in Path("run/config.toml").read_text()
    assert Path("run/checkpoints/00000002").is_dir()
