"""Files that promise more than they hold: refused with a declared error, and without the memory."""

from __future__ import annotations

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
import plyfile, torch, PIL.Image, PIL.PngImagePlugin
READERS = {".npz": [read_motion, read_fields], ".pkl": [read_pickle], ".png": [header_size],
           ".ply": [read_ply], ".toml": [read_file], ".json": [KeyFrames.read], "": [read_checkpoint]}
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


def bombs(folder: Path) -> list[Path]:
    """One of each kind; none is larger than a few MB."""
    made = []

    def file(name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)
        made.append(folder / name)

    zeros = io.BytesIO()
    packed = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(zeros, "w", packed) as archive, archive.open("expr.npy", "w") as entry:
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
    for name in ("pipe.npz", "pipe.pkl", "pipe.png", "pipe.ply", "pipe.toml", "pipe.json"):
        os.mkfifo(folder / name)
        made.append(folder / name)
    for suffix in ("npz", "pkl", "png", "ply", "toml", "json"):
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
        timeout=120,
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
