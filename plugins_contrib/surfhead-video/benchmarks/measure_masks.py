"""Compares the masks of clips of `synthetic_clips.py` with the outlines of the drawn heads: a table.

    OMP_NUM_THREADS=1 python measure_masks.py ict.safetensors face_landmarker.task CLIPS OUT --people 102 103

Masks are made as for a training, of every frame, from the fitted head's outline (``tracked``) and from the
true one's (``true``), and looked at in each tenth; ``outline`` is the fitted mesh's alone. The true mask is
the drawn head's, whose hair stands 2.6 mm above its mesh, by nine rays a pixel. In % of the true head's area
above or below the chin: error (mean absolute difference), what is missing, what background is taken in.
Deep is the deepest bite above the chin: how far a missing pixel lies within the true edge, % of the head's
height; the median and the worst of the frames. What tracking gives is kept as `train_tracked.py` does.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from drawn_heads import Person
from scipy.ndimage import distance_transform_edt
from surfhead_video.clip import read_picture
from surfhead_video.landmark_places import make_rig
from surfhead_video.surface import Surface
from surfhead_video.tracking import Tracked
from train_tracked import Person as Filmed
from train_tracked import known, pictures

from surfhead.core.api import Cameras
from surfhead.meshes.meshcaster import MeshCaster

HEADER = ("above: error", "missing", "taken in", "below: error", "missing", "taken in", "deep", "worst")
PARAMETERS = ("expression", "rotation", "neck", "eyes", "translation")
SAMPLES = 3  # rays along a pixel's side
CHIN = 152  # of the landmarks
EVERY = 10  # frames


class TrueMasks:
    """The drawn head's share of every pixel."""

    def __init__(self, head: Path, truth: dict[str, np.ndarray], seed: int) -> None:
        self.truth, self.person = truth, Person(head, truth["shape"], seed, detail=1)

    def __call__(self, tracked: Tracked, row: int) -> np.ndarray:
        """(H, W) in [0, 1] of a kept picture."""
        number = int(tracked.number[row])
        one = {name: torch.from_numpy(self.truth[name][number])[None].float() for name in PARAMETERS}
        with torch.no_grad():
            drawn = self.person.renderer.relief(self.person.rig(one).vertices[0])
        width, height = tracked.size
        scale = np.array(tracked.size) / np.subtract(tracked.box[2:], tracked.box[:2])
        middle = (np.array(tracked.whole) / 2 - tracked.box[:2]) * scale
        lens = np.eye(3)
        lens[[0, 1], [0, 1]] = float(self.truth["focal"]) * scale * SAMPLES
        lens[:2, 2] = middle * SAMPLES
        pose = torch.from_numpy(self.truth["camera_from_world"])[None]
        many = Cameras(pose, torch.from_numpy(lens)[None], height * SAMPLES, width * SAMPLES)
        met = MeshCaster(drawn.vertices, drawn.triangles).nearest(many)[0][0].numpy() >= 0
        return np.asarray(met.reshape(height, SAMPLES, width, SAMPLES).mean(axis=(1, 3)))


def compared(mask: np.ndarray, true: np.ndarray, chin: float) -> list[float]:
    """A frame's figures but for the worst, %.

    Args:
        mask, true: (H, W) in [0, 1].
        chin: its row.
    """
    made = []
    above = np.arange(len(mask))[:, None] + 0.5 < chin
    for part in (above, ~above):
        whole = (true * part).sum() / 100
        less, more = ((true - mask).clip(0) * part).sum(), ((mask - true).clip(0) * part).sum()
        made += [(less + more) / whole, less / whole, more / whole]
    rows = np.flatnonzero((true >= 0.5).any(axis=1))
    depth = distance_transform_edt(np.pad(true >= 0.5, 1, mode="edge"))[1:-1, 1:-1]
    return [*made, 100 * float((depth * (mask < 0.5) * above).max()) / (rows[-1] - rows[0] + 1)]


def table_rows(person: Filmed, head: Path, out: Path, size: int, every: int) -> dict[str, list[float]]:
    """Each row's figures, by its name."""
    stem = person.clip.path.stem
    truth = dict(np.load(person.clip.path.with_suffix(".npz")))
    drawn = TrueMasks(head, truth, int(stem))
    found: dict[str, list[list[float]]] = {}
    for by, name, fit in (("own", "tracked", person.tracked), ("true", "true", person.true)):
        tracked = pictures(person, head, out / "cache" / f"{by}-{stem}", fit, size)
        surface = Surface(make_rig(head), fit, person.found)
        corner, sides = np.array(tracked.box[:2]), np.subtract(tracked.box[2:], tracked.box[:2])
        for row in range(0, len(tracked.number), every):
            chin = float(((tracked.landmarks[row, CHIN] - corner) * np.array(tracked.size) / sides)[1])
            true = drawn(tracked, row)
            mask = np.asarray(read_picture(tracked.file("masks", row), "L")) / 255
            found.setdefault(name, []).append(compared(mask, true, chin))
            if by == "own":
                bare = surface.mask(row, tracked) / 255
                found.setdefault("outline", []).append(compared(bare, true, chin))
    made = {}
    for name, rows in found.items():
        values = np.array(rows)
        made[name] = [*values[:, :-1].mean(axis=0), np.median(values[:, -1]), values[:, -1].max()]
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("head", "model", "clips", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--people", type=int, nargs="+", default=[102, 103])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--every", type=int, default=EVERY)
    options = parser.parse_args()
    print("| clip | input | " + " | ".join(HEADER) + " |\n|" + "---|" * (len(HEADER) + 2))
    for number in options.people:
        person = known(options.head, options.model, options.clips, number)
        rows = table_rows(person, options.head, options.out, options.size, options.every)
        for name, values in rows.items():
            print(f"| {number} | {name} | {' | '.join(f'{value:.2f}' for value in values)} |", flush=True)


if __name__ == "__main__":
    main()
