"""Tests of the reader of FLAME's pickles: old, odd, damaged and hostile files."""

from __future__ import annotations

import os
import pickle
import random
import sys
import types

import numpy as np
import pytest
import scipy.sparse
import torch

from surfhead.core.api import DataError
from surfhead.plugins.rigs.flame.example import write_example
from surfhead.plugins.rigs.flame.flame import Flame
from surfhead.plugins.rigs.flame.model import read_imported
from surfhead.plugins.rigs.flame.pickle import read_pickle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_example(tmp_path_factory.mktemp("flame")).parent


@pytest.fixture(scope="module")
def content(folder):
    return pickle.loads((folder / "model.pkl").read_bytes())


@pytest.fixture
def chumpy(monkeypatch):
    """A class that pickles as chumpy's arrays do, under chumpy's name."""

    class Ch:
        def __init__(self, x):
            self.x = x
            self._cache_info = {}

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    package, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    module.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", package)
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    return Ch


def write(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_gives_the_arrays(tmp_path, protocol):
    value = {
        "a": np.arange(12.0).reshape(3, 4),
        "b": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "c": np.arange(3, dtype=">u2"),
        "s": np.float64(1.5),
        "text": "SMPL",
        "empty": np.zeros((0, 3), np.float32),
    }
    read = read_pickle(write(tmp_path / "x.pkl", value, protocol))
    for name in ("a", "b", "c", "empty"):
        assert np.array_equal(read[name], value[name])
        assert read[name].shape == value[name].shape
    assert read["s"] == 1.5
    assert read["text"] == "SMPL"


@pytest.mark.parametrize("layout", ["csc_matrix", "csr_matrix", "coo_matrix", "csc_array", "coo_array"])
def test_sparse_matrices_become_dense(tmp_path, layout):
    dense = np.array([[0, 2.0, 0], [1, 0, 0], [0, 0, 0], [5, 0, 7]])
    value = {"J_regressor": getattr(scipy.sparse, layout)(dense)}
    assert np.array_equal(read_pickle(write(tmp_path / "x.pkl", value))["J_regressor"], dense)


def test_a_model_of_chumpy_arrays_and_sparse_regressor_written_by_python_2(tmp_path, folder, content, chumpy):
    old = dict(content)
    for name in ("v_template", "shapedirs", "posedirs", "weights"):
        old[name] = chumpy(content[name])
    old["J_regressor"] = scipy.sparse.csc_matrix(content["J_regressor"])
    for protocol, module in ((0, b"chumpy.ch"), (2, b"scipy.sparse")):
        raw = pickle.dumps(old if protocol else {"a": chumpy(np.ones(3))}, protocol)
        raw = raw.replace(b"scipy.sparse._csc", b"scipy.sparse.csc").replace(b"numpy._core", b"numpy.core")
        assert module in raw
        path = tmp_path / f"old{protocol}.pkl"
        path.write_bytes(raw)
    assert np.array_equal(read_pickle(tmp_path / "old0.pkl")["a"], np.ones(3))
    masks = str(folder / "FLAME_masks.pkl")
    new = Flame(Flame.Options(path=str(folder / "model.pkl")))
    rig = Flame(Flame.Options(path=str(tmp_path / "old2.pkl"), masks=masks))
    assert torch.equal(rig.prepare({}).vertices, new.prepare({}).vertices)
    jaw = {"jaw": torch.tensor([[0.3, 0, 0]])}
    assert torch.allclose(rig(jaw).vertices, new(jaw).vertices, atol=1e-7)


def refusal(read, path):
    """The text of the declared error that reading raises, or None."""
    try:
        read(path)
    except DataError as error:
        return str(error)
    return None


class Evil:
    """Runs a command when pickle loads it."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_pickle_that_runs_a_command_is_refused_by_name_and_runs_nothing(tmp_path):
    marker = tmp_path / "marker"
    path = write(tmp_path / "evil.pkl", {"v_template": Evil(f"touch {marker}")})
    with pytest.raises(DataError, match=r"evil\.pkl.*(posix|nt)\.system"):
        read_pickle(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"cbuiltins\neval\n(V1+1\ntR.", "builtins.eval"),
        (b"cnumpy\nload\n(Vx\ntR.", "numpy.load"),
        (b"cchumpy.ch\nCh.__init__\n.", "chumpy.ch.Ch.__init__"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.", "numpy.ndarray.dumps"),
    ],
)
def test_other_names_are_refused_by_name(tmp_path, raw, name):
    path = tmp_path / "x.pkl"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=name):
        read_pickle(path)


def test_a_pickle_cannot_change_the_readers_classes(tmp_path):
    path = tmp_path / "x.pkl"
    # BUILD with a slot state sets attributes of whatever lies on the stack, here a class
    path.write_bytes(b"cnumpy\nndarray\n(N(dVharm\nI1\nstb.")
    with pytest.raises(DataError, match=r"x\.pkl"):
        read_pickle(path)
    from surfhead.plugins.rigs.flame.pickle import ALLOWED

    assert not hasattr(ALLOWED["numpy", "ndarray"], "harm")


def test_what_is_no_model_is_refused_with_its_name(tmp_path, folder, content):
    with pytest.raises(DataError, match="absent.pkl"):
        read_pickle(tmp_path / "absent.pkl")
    with pytest.raises(DataError, match="list"):
        read_pickle(write(tmp_path / "x.pkl", [1, 2]))
    (tmp_path / "half.pkl").write_bytes((folder / "model.pkl").read_bytes()[:5_000_000])
    with pytest.raises(DataError, match="half.pkl"):
        read_pickle(tmp_path / "half.pkl")
    without = Flame(Flame.Options(path=str(write(tmp_path / "m.pkl", content))))
    with pytest.raises(DataError, match="FLAME_masks.pkl"):
        without.prepare({})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("v_template", np.zeros((5023, 2))),
        ("shapedirs", np.zeros((5023, 3, 7))),
        ("posedirs", np.zeros((5023, 3, 9))),
        ("weights", np.full((5023, 5), np.nan)),
        ("f", np.full((9, 3), 5023)),
        ("kintree_table", np.array([[2**32 - 1, 4, 0, 0, 0], [0, 1, 2, 3, 4]])),
        ("J_regressor", "text"),
    ],
)
def test_wrong_fields_are_named(tmp_path, folder, content, field, value):
    path = write(tmp_path / "wrong.pkl", {**content, field: value})
    rig = Flame(Flame.Options(path=str(path), masks=str(folder / "FLAME_masks.pkl")))
    with pytest.raises(DataError, match=rf"wrong\.pkl.*{field}"):
        rig.prepare({})
    missing = {k: v for k, v in content.items() if k != field}
    write(path, missing)
    with pytest.raises(DataError, match=rf"wrong\.pkl.*{field}"):
        Flame(rig.options).prepare({})


def test_mutated_pickles_raise_nothing_but_the_declared_error(tmp_path, chumpy):
    value = {"a": np.arange(20.0), "b": scipy.sparse.csc_matrix(np.eye(3)), "c": chumpy(np.ones(3)), "d": "x"}
    generator = random.Random(0)
    path = tmp_path / "mutant.pkl"
    refused = 0
    for turn in range(600):
        raw = bytearray(pickle.dumps(value, turn % 6))
        for _ in range(generator.randint(1, 4)):
            raw[generator.randrange(len(raw))] = generator.randrange(256)
        path.write_bytes(raw[: generator.randint(1, len(raw))] if turn % 3 == 0 else raw)
        complaint = refusal(read_pickle, path)
        assert complaint is None or "mutant.pkl" in complaint
        refused += complaint is not None
    assert refused > 300


def test_damaged_imports_are_refused_with_their_name(tmp_path, folder):
    good = (
        Flame(Flame.Options(path=str(folder / "model.pkl"))).pack(tmp_path / "rig.safetensors").read_bytes()
    )
    path = tmp_path / "bad.safetensors"
    header = int.from_bytes(good[:8], "little")
    generator = random.Random(1)
    for cut in (b"", good[:4], good[: header // 2], good[:-1], b"\xff" * 100):
        path.write_bytes(cut)
        with pytest.raises(DataError, match=r"bad\.safetensors"):
            read_imported(path)
    for _ in range(30):
        raw = bytearray(good)
        raw[generator.randrange(8 + header)] = generator.randrange(256)
        path.write_bytes(raw)
        complaint = refusal(read_imported, path)
        assert complaint is None or "bad.safetensors" in complaint


MISTAKEN = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 53\n": "a pointer of Git LFS",
    b"\n<!DOCTYPE html><html><body>Sign in</body></html>": "a web page",
    b"\xef\xbb\xbf<html>": "a web page",
    b"PK\x03\x04rest of FLAME2023.zip": "a zip archive",
    b"\x1f\x8b\x08packed": "a packed archive",
    b"": "empty",
}


@pytest.mark.parametrize("content", MISTAKEN)
def test_what_is_no_pickle_is_named_with_what_to_do(tmp_path, content):
    path = tmp_path / "flame2023.pkl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf'flame2023\.pkl" is {MISTAKEN[content]}') as caught:
        Flame(Flame.Options(str(path))).prepare({})
    assert len(str(caught.value).splitlines()) == 3


def test_line_ends_that_a_copy_as_text_changed_are_named(folder, tmp_path):
    raw = (folder / "model.pkl").read_bytes()
    for damaged in (raw.replace(b"\n", b"\r\n"), raw.replace(b"\r\n", b"\n")):
        (tmp_path / "model.pkl").write_bytes(damaged)
        with pytest.raises(DataError, match="is damaged: (every|no) line feed has a return") as caught:
            Flame(Flame.Options(str(tmp_path / "model.pkl"))).prepare({})
        assert "as a binary file" in caught.value.remedy
    (tmp_path / "model.pkl").write_bytes(raw[:-1000])
    with pytest.raises(DataError, match="was refused"):
        Flame(Flame.Options(str(tmp_path / "model.pkl"))).prepare({})


def test_missing_masks_and_masks_in_the_models_place_are_named(folder, tmp_path):
    (tmp_path / "model.pkl").write_bytes((folder / "model.pkl").read_bytes())
    with pytest.raises(
        DataError, match=r'FLAME masks ".*FLAME_masks\.pkl" are missing[\s\S]*rig\.masks=FILE'
    ):
        Flame(Flame.Options(str(tmp_path / "model.pkl"))).prepare({})
    with pytest.raises(DataError, match="holds vertex masks, not a model"):
        Flame(Flame.Options(str(folder / "FLAME_masks.pkl"))).prepare({})
