"""Damaged descriptions and tracking files raise nothing but the declared error, in every data set."""

from __future__ import annotations

import random

import pytest

from surfhead.core.api import SurfheadError
from surfhead.plugins.datasets.blender import Blender
from surfhead.plugins.datasets.facetalk import Facetalk
from surfhead.plugins.datasets.vhap import Vhap

LETTERS = b'0123456789-.eE[]{},:"truenlNaI'


def mutant(good, generator):
    """A copy with a few bytes changed, dropped, or put in."""
    raw = bytearray(good)
    for _ in range(generator.randint(1, 3)):
        at = generator.randrange(len(raw))
        match generator.randrange(3):
            case 0:
                raw[at] = generator.randrange(256)
            case 1:
                del raw[at : at + generator.randint(1, 30)]
            case _:
                raw[at:at] = bytes(generator.choice(LETTERS) for _ in range(generator.randint(1, 6)))
    return bytes(raw)


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (Vhap, "transforms_train.json"),
        (Vhap, "canonical_flame_param.npz"),
        (Vhap, "flame_param/00000.npz"),
        (Facetalk, "sentence01/transforms.json"),
        (Blender, "transforms_train.json"),
    ],
)
def test_mutated_files_raise_nothing_but_the_declared_error(tmp_path, cls, name):
    made = cls.example(tmp_path)
    file = tmp_path / name
    good = file.read_bytes()
    generator = random.Random(0)
    refused = 0
    for _ in range(120):
        file.write_bytes(mutant(good, generator))
        cls.recognises(tmp_path)
        try:
            made.open(tmp_path).frame(0)
        except SurfheadError:
            refused += 1
    assert refused > 60
    file.write_bytes(good)
    assert len(made.open(tmp_path).views) > 0
