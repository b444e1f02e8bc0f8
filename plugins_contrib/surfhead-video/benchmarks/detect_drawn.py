"""Has MediaPipe find the landmarks in the pictures of `draw_for_table.py`, for `make_table.py`
and `measure_scores.py`.

    OMP_NUM_THREADS=1 python detect_drawn.py face_landmarker.task DRAWN drawn.npz

Pictures are made a little soft and noisy first, as films are. Those without a face found are counted, not
kept.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from surfhead_video.landmarker import Landmarker

KNOWN = ("rotation", "translation", "focal", "shape", "expression", "eyes", "person")
SOFTEST, NOISIEST = 0.8, 5.0  # pixels, grey values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("model", "drawn", "out"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    generator = np.random.default_rng(29)
    rows: list[dict[str, np.ndarray]] = []
    count, size = 0, 0
    names: tuple[str, ...] = ()
    with Landmarker(options.model) as landmarker:
        for file in sorted(options.drawn.glob("*.npz")):
            drawn = dict(np.load(file))
            ends = np.cumsum(drawn["lengths"])
            for m, end in enumerate(ends):
                coded = drawn["pictures"][end - drawn["lengths"][m] : end].tobytes()
                with Image.open(io.BytesIO(coded)) as image:
                    picture = np.asarray(image.convert("RGB"), np.float64)
                size = len(picture)
                soft = gaussian_filter(picture, (*[generator.uniform(0, SOFTEST)] * 2, 0))
                noisy = soft + generator.normal(size=soft.shape) * generator.uniform(0, NOISIEST)
                faces = landmarker.detect(noisy.round().clip(0, 255).astype(np.uint8))
                count += 1
                if faces:
                    names = faces[0].names
                    found = {
                        "landmarks": faces[0].landmarks,
                        "scores": faces[0].scores,
                        "pose": faces[0].pose,
                    }
                    rows.append({**{name: drawn[name][m] for name in KNOWN}, **found})
    print(f"{len(rows)} of {count} pictures have a face.")
    found = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    np.savez(options.out, size=size, score_names=np.array(names), **found)


if __name__ == "__main__":
    main()
