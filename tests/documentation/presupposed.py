"""What the commands on the pages take as given, in tiny form: runs, data sets, head models, motions, lights.

Each is made once for all workers, when a command first names it, and copied to where the page has it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from surfhead import cli
from surfhead.plugins.rigs.flame.example import write_example as write_flame
from surfhead.plugins.rigs.ict.example import write_example as write_ict
from tests.commands import published_drawing as published
from tests.commands.test_readme import SMALL_DATA
from tests.documentation.pages import ROOT, blocks, plugin_of

Arguments = tuple[str, ...]
SMALL: Arguments = tuple(f"--set=data.{key}={value}" for key, value in SMALL_DATA.items())
SHORT: Arguments = (
    *("--iterations", "2", "--device", "cpu", "--set", "evaluate.limit=1", "--set", "evaluate.final=1"),
    *("--set", "evaluate.at=[]", "--set", "baseline=false"),
)


class Presupposed:
    """Makes what pages presuppose.

    Args:
        folder: where the originals are kept, which other processes may fill as well.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._makers: dict[str, Callable[[Path], object]] = {
            "data": lambda to: run("synth", to, "--format", "vhap", *SMALL),
            "flame data": lambda to: run(
                *("synth", to, "--format", "vhap", "--rig", "flame"),
                *(f"--set=rig.path={self.original('flame') / 'model.pkl'}", *SMALL),
            ),
            "run": lambda to: self._train(to, self.original("data"), "--eval"),
            "other run": lambda to: self._train(to, self.original("data"), "--eval", "--seed", "1"),
            "own run": lambda to: self._train(to, *SMALL),
            "flame run": lambda to: self._train(to, self.original("flame data"), "--eval"),
            "ict data": lambda to: run(
                *("synth", to, "--format", "vhap", "--rig", "ict"),
                *(f"--set=rig.path={self.original('ict')}", *SMALL),
            ),
            "ict run": lambda to: self._train(to, self.original("ict data"), "--eval"),
            "exported": self._export,
            "flame": write_flame,
            "ict": write_ict,
            "flame model": lambda to: self._import("flame", self.original("flame") / "model.pkl", to),
            "ict model": lambda to: self._import("ict", self.original("ict"), to),
            "published": self._publish,
            "motion": self._move,
            "capture": lambda to: to.write_text("Timecode,JawOpen,HeadYaw\n1,0.1,0\n2,0.3,0.1\n3,0.5,0.2\n"),
            "sky": lambda to: to.write_bytes(
                b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 4\n" + bytes((128, 128, 128, 129)) * 8
            ),
            "turning light": lambda to: to.write_text(blocks(ROOT / "docs" / "relighting.md", "json")[0]),
            "data with normals": self._predict,
            "arrays": self._arrays,
            "configuration": lambda to: shutil.copy(self.original("run") / "config.toml", to),
        }

    def original(self, what: str) -> Path:
        """The one that all commands share; read only."""
        path = self.folder / what.replace(" ", "-")
        with FileLock(f"{path}.lock"):
            if not (made := Path(f"{path}.made")).exists():
                self._makers[what](path)
                made.touch()
        return path

    def put(self, what: str, place: Path) -> None:
        """Copy it to a place, unless something is there."""
        if place.exists():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        original = self.original(what)
        if place.suffix == ".pkl":
            shutil.copy(original / "model.pkl", place)
            shutil.copy(original / "FLAME_masks.pkl", place.parent)
        elif original.is_dir():
            shutil.copytree(original, place)
        else:
            shutil.copy(original, place)

    def _train(self, to: Path, *words: Any) -> None:
        run("train", *words, "--preset", "tiny", "--appearance", "lit", "--quiet", "--out", to, *SHORT)

    def _import(self, rig: str, source: Path, to: Path) -> None:
        run("rig", "import", rig, source, to.with_suffix(".safetensors"))
        to.with_suffix(".safetensors").rename(to)

    def _export(self, to: Path) -> None:
        shutil.copytree(self.original("run"), to.with_name("to-export"))
        run("export", to.with_name("to-export"))
        shutil.move(to.with_name("to-export") / "export" / "surfhead", to)

    def _publish(self, to: Path) -> None:
        published.write(published.make(self.original("flame") / "model.pkl"), to)

    def _move(self, to: Path) -> None:
        with to.open("wb") as file:
            np.savez(file, expr=np.zeros((3, 4)), jaw_pose=np.full((3, 3), 0.1))

    def _predict(self, to: Path) -> None:
        shutil.copytree(self.original("data"), to)
        (to / "normals").mkdir()
        towards = np.zeros((SMALL_DATA["height"], SMALL_DATA["width"], 3), np.float32)
        towards[..., 2] = 1.0
        for picture in (to / "images").iterdir():
            np.save(to / "normals" / f"{picture.stem}.npy", towards)

    def _arrays(self, to: Path) -> None:
        found = plugin_of(ROOT / "docs" / "plugins" / "dataset.md")
        assert found is not None
        made: dict[str, Any] = {}
        exec(compile(found[1], found[0], "exec"), made)
        to.mkdir()
        made["ArrayFile"].example(to)


def run(*words: object) -> None:
    """Run a command that has to go well."""
    code = cli.main([*map(str, words)])
    assert code == 0, words
