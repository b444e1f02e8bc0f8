"""`surfhead rig import`."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from torch import ones

from tests.commands.conftest import Surfhead

RIG = """
from dataclasses import dataclass
from surfhead.core.api import Rig, hookimpl, option

class Stone(Rig):
    name = "stone"
    summary = "It does not move."

    @dataclass(frozen=True)
    class Options:
        path: str = option("", "Where it is.")
        size: float = option(1.0, "How large it is, metres.")

    def parameters(self):
        return {}

    def prepare(self, identity, device="cpu"):
        return None

    def rest(self):
        return None

    def __call__(self, parameters):
        return None

    def pack(self, target):
        from safetensors.torch import load_file, save_file
        vertices = load_file(self.options.path)["vertices"]
        save_file({"vertices": vertices * self.options.size}, target)
        return target

@hookimpl
def register_rigs(register):
    register(Stone)
"""


@pytest.fixture
def stone(surfhead: Surfhead, tmp_path: Path) -> Surfhead:
    """``surfhead rig import stone stone.st ...`` with the plugin that knows it."""
    (tmp_path / "stone.py").write_text(RIG)
    save_file({"vertices": ones(3, 3)}, tmp_path / "stone.st")
    return lambda *arguments: surfhead("rig", "import", *arguments, "--plugin", "stone.py")


def test_assets_are_packed_with_the_rigs_options(stone: Surfhead) -> None:
    said = stone("stone", "stone.st", "packed/stone.safetensors", "--set", "size=2.0")
    assert said.code == 0, said.err
    assert load_file("packed/stone.safetensors")["vertices"].equal(2 * ones(3, 3))
    assert said.out == (
        "Wrote packed/stone.safetensors. Use it: --rig stone --set rig.path=packed/stone.safetensors\n"
    )


def test_an_existing_file_is_left_alone(stone: Surfhead) -> None:
    said = stone("stone", "stone.st", "stone.st")
    assert said.code == 2
    assert said.err == '"stone.st" exists already.\nChoose another file, or remove it.\n'


def test_rigs_without_assets_and_missing_files(stone: Surfhead, surfhead: Surfhead) -> None:
    assert surfhead("rig", "import", "flame", "nowhere.pkl", "flame.safetensors").code == 2
    assert not Path("flame.safetensors").exists()
    unknown = stone("pebble", "stone.st", "pebble.safetensors")
    assert unknown.err.startswith('Unknown rig "pebble".')


@pytest.mark.parametrize("out", ["flame.pkl", "flame.npz"])
def test_a_file_that_could_not_be_read_back_is_not_written(stone: Surfhead, out: str) -> None:
    said = stone("stone", "stone.st", out)
    assert said.code == 2
    assert said.err.splitlines() == [
        f'"{out}" could not be read back: rigs are told from published files by their ending.',
        "Expected a file name that ends in .safetensors.",
        "For example: flame.safetensors",
    ]
    assert not Path(out).exists()
