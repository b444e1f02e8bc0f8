"""Draws ICT heads in many poses, has MediaPipe find the landmarks, and keeps both, for `make_table.py`.

    OMP_NUM_THREADS=1 python draw_for_table.py ict.safetensors face_landmarker.task drawn.npz --people 14

Each person has an identity, a texture and a sparse set of expressions drawn from the seed; each pose is seen
from two cameras, yaw within ±50°, pitch within ±30°. Pictures without a face found are counted, not kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
from pathlib import Path

import numpy as np
from drawn_heads import TURNED, Person, camera, random_expression, random_shape
from scipy.spatial.transform import Rotation
from surfhead_video.landmarker import Landmarker

SIZE = 512


def draw_person(job: tuple[Path, Path, int, int]) -> tuple[list[dict[str, np.ndarray]], int]:
    """Everything found of one person, and how many pictures were drawn."""
    head, model, seed, poses = job
    generator = np.random.default_rng([17, seed])
    grey = tuple(generator.uniform(0.15, 0.9, 3))
    count = 20
    shape = random_shape(generator, count) if seed else np.zeros(count)
    person = Person(head, shape, seed, background=grey)
    rows, drawn = [], 0
    with Landmarker(model) as landmarker:
        for _ in range(poses):
            expression = random_expression(generator, person.rig.expressions())
            gaze = np.concatenate([generator.normal(size=2) * [0.1, 0.2], [0.0]])
            for _ in range(2):
                angles = generator.uniform([-50, -30, -15], [50, 30, 15])
                turn = Rotation.from_euler("YXZ", angles, degrees=True).as_matrix()
                rotation = TURNED @ turn
                distance = generator.uniform(0.4, 1.2)
                focal = SIZE * distance / generator.uniform(0.3, 0.5)
                place = generator.normal(size=3) * 0.02 + [0, 0, distance]
                # the middle of the face, not the rig's origin, is what the camera looks at
                translation = place - rotation @ [0.0, 0.0, 0.06]
                parameters = {"expression": expression, "eyes": np.concatenate([gaze, gaze])}
                frame = person.draw(parameters, camera(rotation, translation, focal, SIZE))[0]
                drawn += 1
                faces = landmarker.detect(frame.image)
                if faces:
                    rows.append(
                        {
                            "rotation": rotation,
                            "translation": translation,
                            "focal": np.array(focal),
                            "shape": shape,
                            "expression": expression,
                            "eyes": parameters["eyes"],
                            "angles": angles,
                            "person": np.array(seed),
                            "landmarks": faces[0].landmarks,
                            "scores": faces[0].scores,
                            "pose": faces[0].pose,
                        }
                    )
    return rows, drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("head", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--people", type=int, default=14)
    parser.add_argument("--poses", type=int, default=14)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    jobs = [(options.head, options.model, seed, options.poses) for seed in range(options.people)]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        done = pool.map(draw_person, jobs, chunksize=1)
    rows = [row for found, _ in done for row in found]
    print(f"{len(rows)} of {sum(drawn for _, drawn in done)} pictures have a face.")
    np.savez(options.out, **{name: np.stack([row[name] for row in rows]) for name in rows[0]})


if __name__ == "__main__":
    main()
