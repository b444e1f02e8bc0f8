"""Draws clips of ICT heads that talk and turn before one camera, with everything about them known.

    OMP_NUM_THREADS=1 python synthetic_clips.py ict.safetensors OUT --people 101 102 103

A clip lasts 10 s, 512 pixels a side: the head turns by ±30° and nods, speaks in syllables, blinks, frowns and
smiles. Pictures have a wall behind, motion blur (along the head's motion, half a frame's time), a soft lens
and noise, and are coded as H.264. With ``--motion wander`` the head looks here and there instead of to and
fro. None of these identities, textures or motions is in the drawings the landmarks' table is made from.
OUT gets PERSON.mp4 and PERSON.npz: the focal length in pixels, the skull's rotation and translation (OpenCV
axes), the identity and the rig's parameters.
"""

from __future__ import annotations

import argparse
import multiprocessing
from pathlib import Path

import numpy as np
from drawn_heads import TURNED, Person, camera, random_shape
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.spatial.transform import Rotation

FOCALS = [0.85, 1.15, 1.5]  # of the picture's side, one a person in turn


def smooth_noise(generator: np.random.Generator, time: np.ndarray, seconds: float) -> np.ndarray:
    """Noise of unit deviation at these times (T,), that changes in about ``seconds``."""
    fine = np.arange(-4 * seconds, time[-1] + 4 * seconds, seconds / 8)
    values = gaussian_filter1d(generator.normal(size=len(fine)), 8.0) * np.sqrt(2 * np.sqrt(np.pi) * 8.0)
    return np.interp(time, fine, values)


def pulses(
    generator: np.random.Generator, time: np.ndarray, every: float, wide: float, high: tuple[float, float]
) -> np.ndarray:
    """Bumps of this width at random moments, on average one in ``every`` seconds, at these times (T,)."""
    made = np.zeros(len(time))
    for at in np.cumsum(generator.exponential(every, int(3 * time[-1] / every) + 3)):
        made = np.maximum(made, generator.uniform(*high) * np.exp(-0.5 * ((time - at) / wide) ** 2))
    return made


def speech(generator: np.random.Generator, names: tuple[str, ...], time: np.ndarray) -> np.ndarray:
    """(T, K) expressions of somebody who talks."""
    made = np.zeros((len(time), len(names)))

    def put(values: np.ndarray, *to: str) -> None:
        for name in to:
            made[:, names.index(name)] = np.maximum(made[:, names.index(name)], values)

    def both(name: str) -> tuple[str, str]:
        return f"{name}_L", f"{name}_R"

    put(pulses(generator, time, 0.28, 0.06, (0.1, 0.55)), "jawOpen")
    put(pulses(generator, time, 0.9, 0.09, (0.2, 0.7)), "mouthFunnel")
    put(pulses(generator, time, 1.0, 0.09, (0.2, 0.8)), "mouthPucker")
    put(pulses(generator, time, 0.8, 0.07, (0.1, 0.5)), *both("mouthLowerDown"))
    put(pulses(generator, time, 0.9, 0.07, (0.1, 0.4)), *both("mouthUpperUp"))
    put(pulses(generator, time, 1.2, 0.08, (0.1, 0.5)), *both("mouthStretch"))
    put(pulses(generator, time, 1.4, 0.06, (0.1, 0.5)), *both("mouthPress"))
    put(pulses(generator, time, 3.5, 0.6, (0.3, 0.9)), *both("mouthSmile"))
    put(pulses(generator, time, 2.2, 0.07, (0.9, 1.0)), *both("eyeBlink"))
    brows = pulses(generator, time, 3.0, 0.3, (0.3, 0.9))
    put(brows, *both("browInnerUp"), *both("browOuterUp"))
    put(pulses(generator, time, 4.0, 0.3, (0.3, 0.8)), *both("browDown"))
    put(pulses(generator, time, 4.0, 0.3, (0.2, 0.6)), *both("eyeSquint"))
    return made


def motion(
    generator: np.random.Generator, names: tuple[str, ...], time: np.ndarray, kind: str = "swing"
) -> dict[str, np.ndarray]:
    """The rig's parameters, name -> (T, size)."""
    phase = generator.uniform(0, 2 * np.pi)
    if kind == "swing":
        yaw = np.radians(30) * np.sin(2 * np.pi * time / 5.0 + phase)
    else:
        yaw = np.radians(30) * np.tanh(smooth_noise(generator, time, 0.8))
    pitch = np.radians(6) * smooth_noise(generator, time, 0.5)
    roll = np.radians(3) * smooth_noise(generator, time, 0.6)
    whole = Rotation.from_euler("YXZ", np.stack([yaw, pitch, roll], axis=1))
    root = Rotation.from_rotvec(0.12 * whole.as_rotvec())
    gaze = np.stack(
        [
            0.06 * smooth_noise(generator, time, 0.3),
            -0.25 * yaw + 0.1 * smooth_noise(generator, time, 0.3),
            np.zeros(len(time)),
        ],
        axis=1,
    )
    sway = np.stack([smooth_noise(generator, time, 0.8) for _ in range(3)], axis=1)
    return {
        "expression": speech(generator, names, time),
        "rotation": root.as_rotvec(),
        "neck": (root.inv() * whole).as_rotvec(),
        "eyes": np.concatenate([gaze, gaze], axis=1),
        "translation": 0.006 * sway,
    }


def wall(generator: np.random.Generator, size: int) -> np.ndarray:
    """(size, size, 3) a plain wall with soft stains and light from one side, 0 to 255."""
    base = generator.uniform(90, 200, 3)
    stains = gaussian_filter(generator.normal(size=(size, size)), size / 12)
    light = np.linspace(-1, 1, size)[None, :] * generator.uniform(-25, 25)
    return np.asarray(base + (20 * stains / stains.std() + light)[..., None]).clip(0, 255)


def blurred(picture: np.ndarray, move: np.ndarray) -> np.ndarray:
    """A picture smeared along a motion (2,) in pixels."""
    length = float(np.linalg.norm(move))
    if length < 0.5:
        return picture
    from scipy.ndimage import shift

    count = min(int(np.ceil(length)) + 1, 9)
    steps = np.linspace(-0.5, 0.5, count)[:, None] * move
    return np.mean([shift(picture, (y, x, 0), order=1, mode="nearest") for x, y in steps], axis=0)


def draw(job: tuple[Path, Path, int, float, int, int, float, str]) -> None:
    """One clip."""
    import imageio_ffmpeg

    head, out, seed, ratio, frames, size, rate, kind = job
    generator = np.random.default_rng([4711, seed])
    shape = random_shape(generator, 20, 0.9)
    person = Person(head, shape, seed, detail=1, steady_light=True)
    names = person.rig.expressions()
    rows = motion(generator, names, np.arange(frames) / rate, kind)
    focal = ratio * size
    distance = 0.36 * ratio + 0.06  # metres: the head fills the picture's height by two thirds
    rotation, translation = TURNED, np.array([0.0, -0.02, distance + 0.08])
    one = camera(rotation, translation, focal, size)
    behind = wall(generator, size)
    writer = imageio_ffmpeg.write_frames(
        str(out / f"{seed}.mp4"), (size, size), fps=rate, quality=None, output_params=["-crf", "17"]
    )
    writer.send(None)
    model = person.rig.linear_model()
    root, neck = (model.joints[model.joint_names.index(n)].double().numpy() for n in ("root", "neck"))
    turns, places = [], []
    for t in range(frames):
        base, bend = (Rotation.from_rotvec(rows[name][t]).as_matrix() for name in ("rotation", "neck"))
        place = base @ (neck - bend @ neck - root) + root + rows["translation"][t]
        turns.append(rotation @ base @ bend)
        places.append(rotation @ place + translation)
    nose = np.array([turn @ [0, 0, 0.12] + place for turn, place in zip(turns, places, strict=True)])
    spots = focal * nose[:, :2] / nose[:, 2:]
    speed = np.gradient(spots, axis=0)
    for t in range(frames):
        frame = person.draw({name: values[t] for name, values in rows.items()}, one)[0]
        cover = frame.mask[..., None] / 255.0
        # the renderer put the person on grey
        picture = frame.image + (behind - 127.5) * (1 - cover)
        picture = gaussian_filter(blurred(picture, 0.5 * speed[t]), (0.6, 0.6, 0))
        picture = picture + generator.normal(0, 3.0, picture.shape)
        writer.send(np.ascontiguousarray(picture.round().clip(0, 255).astype(np.uint8)))
    writer.close()
    np.savez_compressed(
        out / f"{seed}.npz",
        focal=focal,
        shape=shape,
        skull_rotation=np.stack(turns),
        skull_translation=np.stack(places),
        rate=rate,
        camera_from_world=one.camera_from_world[0].numpy(),
        **rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("head", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--people", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=25)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--focals", type=float, nargs="+", default=FOCALS, help="of the side, in turn")
    parser.add_argument("--motion", choices=("swing", "wander"), default="swing")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    jobs = [
        (
            options.head,
            options.out,
            seed,
            options.focals[order % len(options.focals)],
            round(options.seconds * options.rate),
            options.size,
            options.rate,
            options.motion,
        )
        for order, seed in enumerate(options.people)
    ]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        pool.map(draw, jobs, chunksize=1)


if __name__ == "__main__":
    main()
