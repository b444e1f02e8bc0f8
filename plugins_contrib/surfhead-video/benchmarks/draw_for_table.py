"""Draws ICT heads in many poses, for `detect_drawn.py` and `make_table.py`.

    OMP_NUM_THREADS=1 python draw_for_table.py ict.safetensors DRAWN
    OMP_NUM_THREADS=1 python draw_for_table.py ict.safetensors SAME --first 1000 --same-person

Every picture shows an identity, a sparse set of expressions and a pose of its own, drawn from the seed: yaw
within ±50°, pitch within ±30°, roll within ±15°, the camera 0.3 to 1.3 m away, the face somewhere near the
middle. DRAWN gets a file for each texture, with the pictures as JPEGs and everything known of them. With
--same-person all pictures of a texture are of one identity from one distance, as a clip's are: for
`measure_scores.py`, which tells what the detector errs by in all pictures of somebody from the rest.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
from pathlib import Path

import numpy as np
import torch
from drawn_heads import TURNED, Person, camera, random_expression, random_shape
from PIL import Image
from scipy.spatial.transform import Rotation

SIZE = 320


def draw_texture(job: tuple[Path, Path, int, int, bool]) -> int:
    """Every picture of one texture; gives the texture's seed."""
    head, out, seed, pictures, same = job
    generator = np.random.default_rng([23, seed])
    grey = tuple(generator.uniform(0.15, 0.9, 3))
    person = Person(head, random_shape(generator, 20), seed, background=grey, detail=1, steady_light=True)
    person.draw({}, camera(TURNED, np.array([0, 0, 0.8]), 20.0, 32))  # the light, from the first identity
    rows, coded = [], []
    usual = 1 / generator.uniform(1 / 1.3, 1 / 0.3) if same else 0.0
    shape = person.shape
    for _ in range(pictures):
        shape = shape if same else random_shape(generator, 20, 0.9)
        person.rig.prepare({"shape": torch.from_numpy(shape).float()})
        expression = random_expression(generator, person.rig.expressions())
        gaze = np.concatenate([generator.normal(size=2) * [0.1, 0.2], [0.0]])
        angles = generator.uniform([-50, -30, -15], [50, 30, 15])
        rotation = TURNED @ Rotation.from_euler("YXZ", angles, degrees=True).as_matrix()
        distance = usual * generator.uniform(0.95, 1.05) if same else 1 / generator.uniform(1 / 1.3, 1 / 0.3)
        focal = SIZE * distance / generator.uniform(0.27, 0.42)
        place = np.r_[generator.normal(size=2) * 0.025, distance]
        # the middle of the face, not the rig's origin, is what the camera looks at
        translation = place - rotation @ [0.0, 0.0, 0.06]
        parameters = {"expression": expression, "eyes": np.concatenate([gaze, gaze])}
        image = person.draw(parameters, camera(rotation, translation, focal, SIZE))[0].image
        with io.BytesIO() as stream:
            Image.fromarray(image).save(stream, "JPEG", quality=92, subsampling=0)
            coded.append(np.frombuffer(stream.getvalue(), np.uint8))
        rows.append(
            {
                "rotation": rotation,
                "translation": translation,
                "focal": np.array(focal),
                "shape": shape,
                "expression": expression,
                "eyes": parameters["eyes"],
                "person": np.array(seed),
            }
        )
    lengths = np.array([len(one) for one in coded])
    known = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    np.savez(out / f"{seed:03d}.npz", pictures=np.concatenate(coded), lengths=lengths, **known)
    return seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("head", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--textures", type=int, default=32)
    parser.add_argument("--pictures", type=int, default=60, help="of each texture")
    parser.add_argument("--first", type=int, default=0, help="seed of the first texture")
    parser.add_argument("--same-person", action="store_true")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    seeds = range(options.first, options.first + options.textures)
    jobs = [(options.head, options.out, seed, options.pictures, options.same_person) for seed in seeds]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for done in pool.imap_unordered(draw_texture, jobs, chunksize=1):
            print(f"texture {done} is drawn", flush=True)


if __name__ == "__main__":
    main()
