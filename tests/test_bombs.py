"""Files that promise more than they hold: refused with a declared error, and without the memory."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="measures with resource")
MOST = 500e6  # bytes over what the process has when idle
READ = """
import json, resource, sys
from pathlib import Path
from surfhead.core.api import SurfheadError
from surfhead.plugins.datasets.picture_headers import header_size
from surfhead.plugins.datasets.vhap.tracking import read_fields
from surfhead.plugins.formats.tracked import read_motion
from surfhead.plugins.rigs.flame.pickle import read_pickle
from surfhead.meshes.ply import read_ply
from surfhead.runs.layers import read_file
from surfhead.drawing.key_frames import KeyFrames
from surfhead.training.checkpoint import read as read_checkpoint
from surfhead.data.file_check import damage
from surfhead.data.mask_check import fault_in_file
from surfhead.drawing.light_file import MovingLight
from surfhead.plugins.datasets.images import _load
from surfhead.plugins.formats.arkit import Arkit
from surfhead.plugins.formats.published_run import read_network
from surfhead.plugins.formats.surfhead_avatar import SurfheadAvatar
from surfhead.plugins.rigs.flame.model import read_imported as read_flame
from surfhead.plugins.rigs.ict.model import _landmarks, read_imported as read_ict
from surfhead.results.curves import read_history
from surfhead.runs.trust import load_foreign
from surfhead.training.monitoring import summary
import plyfile, torch, tifffile, PIL.Image, PIL.PngImagePlugin
from surfhead.core.errors import DataError
def tested(path):
    if damage(path):
        raise DataError("", "", "")
def mask(path):
    fault_in_file(path, path)
    raise DataError("", "", "")
def pixels(path):
    _load(path, (25000, 25000))
def light(path):
    MovingLight.read(str(path))
def network(path):
    read_network(path, "lobe", "axis", [])
def landmarks(path):
    _landmarks(path, 10)
def history(path):
    read_history(path.parent), summary(path.parents[1])
    raise DataError("", "", "")
def plugin(path):
    load_foreign(path, Path("/config.toml"))
READERS = {
    ".npz": [read_motion, read_fields], ".pkl": [read_pickle], ".ply": [read_ply], ".toml": [read_file],
    ".png": [header_size, tested, mask, pixels], ".tif": [header_size, pixels], ".csv": [Arkit().read],
    ".json": [KeyFrames.read, light, landmarks], ".safetensors": [read_flame, read_ict], ".pth": [network],
    ".exr": [light], ".jsonl": [history], ".py": [plugin], "": [read_checkpoint],
}
said = {}
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
for path in map(Path, sys.argv[1:]):
    for reader in READERS[path.suffix]:
        before, error = peak(), "nothing"
        try:
            reader(path)
        except SurfheadError as refused:
            error = "refused"
        except BaseException as other:
            error = repr(other)
        said[f"{path.name} {reader.__module__}.{reader.__name__}"] = [error, peak() - before]
print(json.dumps(said))
"""


# {"a": numpy.core.numeric._frombuffer(2**34, dtype("u1"), (2**34,), "C")}: bytes(2**34) would be zeros
BIG = b"\x8a\x06" + (1 << 34).to_bytes(6, "little")
ZEROS = b"\x80\x02}X\x01\x00\x00\x00acnumpy.core.numeric\n_frombuffer\n(" + BIG
ZEROS += b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R" + BIG + b"\x85X\x01\x00\x00\x00CtRs."


def deflated(size: int) -> bytes:
    """A file of tensors whose only storage unpacks to ``size`` bytes."""
    plain, packed = io.BytesIO(), io.BytesIO()
    torch.save({"x": torch.zeros(4)}, plain)
    with (
        zipfile.ZipFile(plain) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target,
    ):
        for name in source.namelist():
            with target.open(name, "w") as entry:
                if name.endswith("data/0"):
                    for _ in range(size >> 20):
                        entry.write(bytes(1 << 20))
                else:
                    entry.write(source.read(name))
    return packed.getvalue()


def one_tile(path: Path) -> Path:
    """An environment whose single tile must be decoded as a whole."""
    import OpenImageIO

    spec = OpenImageIO.ImageSpec(4096, 2048, 3, "half")
    spec.tile_width, spec.tile_height = 4096, 2048
    picture = OpenImageIO.ImageBuf(spec)
    assert picture.write(str(path)), picture.geterror()
    return path


def bombs(folder: Path) -> list[Path]:
    """One of each kind; none is larger than a few MB."""
    made = []

    def file(name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)
        made.append(folder / name)

    zeros = io.BytesIO()
    packed = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(zeros, "w", packed, compresslevel=1) as archive,
        archive.open("expr.npy", "w") as entry,
    ):
        np.lib.format.write_array_header_1_0(
            entry, {"descr": "|u1", "fortran_order": False, "shape": (700 << 20,)}
        )
        block = bytes(1 << 20)
        for _ in range(700):
            entry.write(block)
    file("zeros.npz", zeros.getvalue())
    promise = io.BytesIO()
    with zipfile.ZipFile(promise, "w") as archive, archive.open("expr.npy", "w") as entry:
        np.lib.format.write_array_header_1_0(
            entry, {"descr": "<f8", "fortran_order": False, "shape": (1 << 34,)}
        )
    file("promise.npz", promise.getvalue())
    file("memo.pkl", b"\x80\x02}r" + struct.pack("<I", 2**31 - 1) + b".")
    file("bytes.pkl", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 34) + b"x.")
    nested: dict[str, object] = {"x": 1}
    for _ in range(40):  # 2^40 entries where each is made anew
        nested = {"a": nested, "b": nested}
    file("laughs.pkl", pickle.dumps(nested, 2) + b"")

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 25000, 25000, 8, 2, 0, 0, 0))
    file("wide.png", b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1 << 20))))
    names = "".join(f"property float p{i}\n" for i in range(900)).encode()
    rows = b"ply\nformat ascii 1.0\nelement vertex 900000\n" + names + b"end_header\n"
    file("rows.ply", rows + b"0 " * 500_000)
    file("zeros.pkl", ZEROS)
    tensor = io.BytesIO()
    torch.save({"x": torch.zeros(1).expand(1 << 30)}, tensor)  # one number, repeated
    file("repeated.pth", tensor.getvalue())
    file("zeros.pth", deflated(700 << 20))
    tifffile.imwrite(folder / "wide.tif", np.zeros((8, 8, 3), np.float32), photometric="rgb")
    with tifffile.TiffFile(folder / "wide.tif", mode="r+b") as opened:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            opened.pages[0].tags[tag].overwrite(25000)
    made.append(folder / "wide.tif")
    if importlib.util.find_spec("OpenImageIO"):
        made.append(one_tile(folder / "tile.exr"))
    suffixes = [
        "npz",
        "pkl",
        "png",
        "tif",
        "ply",
        "toml",
        "csv",
        "json",
        "safetensors",
        "pth",
        "jsonl",
        "py",
        "exr",
    ]
    for suffix in suffixes:
        os.mkfifo(folder / f"pipe.{suffix}")
        made.append(folder / f"pipe.{suffix}")
        (folder / f"endless.{suffix}").symlink_to("/dev/zero")
        made.append(folder / f"endless.{suffix}")
    state = folder / "checkpoint"
    state.mkdir()
    (state / "state.json").write_text(json.dumps({"version": 1}), encoding="utf-8")
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 32], "data_offsets": [0, 1 << 34]}}).encode()
    (state / "state.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    made.append(state)
    return made


def measured(folder: Path) -> dict[str, tuple[str, float]]:
    """What each reader said of each bomb, and the memory it took, bytes; in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-c", READ, *map(str, bombs(folder))],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert found.returncode == 0, found.stderr[-2000:]
    said: dict[str, tuple[str, float]] = json.loads(found.stdout)
    return said


def test_no_bomb_takes_memory_or_hangs(tmp_path: Path) -> None:
    said = measured(tmp_path)
    assert len(said) > 20
    for name, (error, memory) in said.items():
        assert error == ("nothing" if name.startswith("laughs") else "refused"), f"{name}: {error}"
        assert memory < MOST, f"{name} took {memory / 1e6:.0f} MB"
