"""Mutated files: a reader raises declared errors only."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from benchmarks.attack.rows import Row


def mutants(count: int, folder: Path, chance: random.Random) -> list[Row]:
    """Changes bytes of small files of several kinds; a reader raises declared errors only."""
    import json

    import numpy as np
    from PIL import Image

    from surfhead.core.errors import SurfheadError
    from surfhead.drawing.key_frames import KeyFrames
    from surfhead.meshes.ply import read_ply, write_ply
    from surfhead.plugins.datasets.picture_headers import header_size
    from surfhead.plugins.formats.tracked import read_motion
    from surfhead.plugins.rigs.flame.pickle import read_pickle
    from surfhead.results.curves import read_history
    from surfhead.runs.layers import read_file
    from surfhead.training.monitoring import summary

    np.savez(folder / "m.npz", jaw=np.zeros((3, 3), np.float32))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "p.png")
    write_ply(folder / "c.ply", np.zeros(4, [(n, "<f4") for n in "xyz"]))
    camera = {"camera_from_world": np.eye(4).tolist(), "fov": 25.0}
    (folder / "k.json").write_text(json.dumps({"fps": 25, "frames": [{"time": 0, "camera": camera}]}))
    (folder / "c.toml").write_text('seed = 1\n[data]\nname = "synthetic"\nwidth = 48\n')
    import pickle

    (folder / "f.pkl").write_bytes(pickle.dumps({"a": np.zeros(5), "b": {"c": 1}}, 2))
    (folder / "metrics.jsonl").write_text(json.dumps({"images": 1, "surfels": 2, "losses": {"l1": 0.1}}))
    (folder / "eval").mkdir()
    summary_file = folder / "eval" / "summary.json"
    summary_file.write_text(json.dumps([{"label": "1", "split": "val", "views": 1, "psnr": 1.0}]))
    readers: dict[Path, Callable[[Path], object]] = {
        folder / "m.npz": lambda path: read_motion(path, flame=False),
        folder / "p.png": header_size,
        folder / "c.ply": read_ply,
        folder / "k.json": KeyFrames.read,
        folder / "c.toml": read_file,
        folder / "f.pkl": read_pickle,
        folder / "metrics.jsonl": lambda path: read_history(path.parent),
        summary_file: lambda path: summary(path.parents[1]),
    }
    rows = []
    for path, read in readers.items():
        whole, bad, first = path.read_bytes(), 0, ""
        each = count // len(readers)
        for _ in range(each):
            content = bytearray(whole)
            for _ in range(chance.randint(1, 6)):
                content[chance.randrange(len(content))] = chance.randrange(256)
            if chance.random() < 0.2:
                del content[chance.randrange(len(content)) :]
            path.write_bytes(content)
            try:
                read(path)
            except SurfheadError:
                pass
            except Exception as error:
                bad += 1
                first = first or f"{type(error).__name__}: {error}"[:60]
        path.write_bytes(whole)
        rows.append(Row(f"mutants: {path.name}", each, bad, first))
    return rows
