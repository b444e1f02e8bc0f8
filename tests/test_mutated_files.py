"""Damaged files of every kind that is read raise nothing but the declared errors, and nothing hangs.

By default sixty copies of each; ``pytest -m slow tests/test_mutated_files.py`` takes 2000 of each.
"""

from __future__ import annotations

import contextlib
import functools
import json
import pickle
import shutil
import signal
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from PIL import Image

from surfhead.core.api import SurfheadError, create
from surfhead.plugins.formats.point_cloud import write_points
from surfhead.plugins.formats.surfhead_avatar import SurfheadAvatar
from surfhead.plugins.rigs.flame.flame import Flame
from tests.mutation import mutants
from tests.plugins.datasets.test_colmap import write_binary
from tests.plugins.formats.conftest import make_avatar
from tests.plugins.formats.test_surfhead_avatar import flame_params, local_surfels

FEW, MANY = 60, 2000
SECONDS = 10.0  # of the processor; no small damaged file may take longer
Read = Callable[[], object]
Target = tuple[Path, Read]


def data_set(name: str, file: str, folder: Path) -> Target:
    """A file of a data set's example, whose every picture is read."""
    cls: Any = type(create("dataset", name))
    made = cls.example(folder)

    def read() -> None:
        cls.recognises(folder)
        scene = made.open(folder)
        for view in range(len(scene.views)):
            scene.frame(view)

    return folder / file, read


def vhap_of_another_rig(folder: Path) -> Target:
    """A data set whose description names a rig and its options."""
    file, read = data_set("vhap", "transforms_train.json", folder)
    content = json.loads(file.read_text("utf-8"))
    content["surfhead"] = {"rig": "flame", "rig_options": {"path": "flame.pkl", "teeth": False}}
    file.write_text(json.dumps(content), encoding="utf-8")
    return file, read


def blender_points(folder: Path) -> Target:
    """Initial points of a NeRF-synthetic scene."""
    file, read = data_set("blender", "points3d.ply", folder)
    rows = np.zeros(9, [(n, "<f4") for n in "xyz"] + [(n, "u1") for n in ("red", "green", "blue")])
    from surfhead.meshes.ply import write_ply

    write_ply(file, rows)
    return file, read


def colmap(file: str, folder: Path) -> Target:
    """A part of a model in binary or in text."""
    target, read = data_set("colmap", f"sparse/0/{file}", folder)
    if file.endswith(".bin"):
        for name in ("cameras", "images", "points3D"):
            (target.parent / f"{name}.txt").unlink()
        write_binary(target.parent)
        for number in range(10):
            picture = np.random.default_rng(number).integers(0, 256, (12, 20, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / "images" / f"pic {number}.png")
    return target, read


class Ch:
    """Pickles as chumpy's arrays do."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x


@contextlib.contextmanager
def chumpy() -> Iterator[None]:
    """While it lasts, ``Ch`` can be pickled under chumpy's name."""
    module = types.ModuleType("chumpy.ch")
    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch  # type: ignore[attr-defined]
    sys.modules |= {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": module}
    try:
        yield
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]


def flame_model(count: int = 20) -> dict[str, Any]:
    """FLAME's fields for a few vertices."""
    generator = np.random.default_rng(0)
    weights = generator.uniform(size=(count, 5))
    return {
        "v_template": generator.normal(size=(count, 3)),
        "shapedirs": generator.normal(size=(count, 3, 150)).astype(np.float32),
        "posedirs": generator.normal(size=(count, 3, 36)).astype(np.float32),
        "J_regressor": np.full((5, count), 1 / count),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "f": np.stack([np.arange(count - 2), np.arange(1, count - 1), np.arange(2, count)], axis=1),
    }


def flame(part: str, folder: Path) -> Target:
    """The model, its masks, its template or what an import made of it, posed."""
    content = flame_model()
    names = ("face", "boundary", "left_eyeball", "right_eyeball")
    masks = {name: np.arange(5 * at, 5 * at + 5) for at, name in enumerate(names)}
    model, regions, template = (folder / name for name in ("model.pkl", "FLAME_masks.pkl", "template.obj"))
    if part == "old":
        content["J_regressor"] = scipy.sparse.csc_matrix(content["J_regressor"])
        with chumpy():
            content["v_template"] = Ch(content["v_template"])
            raw = pickle.dumps(content, 2).replace(b"scipy.sparse._csc", b"scipy.sparse.csc")
        model.write_bytes(raw.replace(b"numpy._core", b"numpy.core"))
    else:
        model.write_bytes(pickle.dumps(content))
    regions.write_bytes(pickle.dumps(masks))
    lines = [f"v {x} {y} {z}" for x, y, z in flame_model()["v_template"].tolist()]
    lines += [f"vt {at / 20} {at / 30}" for at in range(20)]
    lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in row) for row in flame_model()["f"].tolist()]
    template.write_text("\n".join(lines), encoding="utf-8")
    path = model
    if part == "imported":
        path = Flame(Flame.Options(str(model), template=str(template), teeth=False)).pack(
            folder / "rig.safetensors"
        )
    options = Flame.Options(str(path), template=str(template) if part == "template" else "", teeth=False)
    files = {"model": model, "old": model, "masks": regions, "template": template, "imported": path}

    def read() -> None:
        made = Flame(options)
        made.prepare({"shape": torch.ones(5)})
        made.fingerprint()
        made({"jaw": torch.tensor([[0.2, 0.0, 0.0]]), "expression": torch.ones(1, 100)})

    return files[part], read


def ict(file: str, folder: Path) -> Target:
    """A file of the official folder or what an import made of it, posed."""
    cls: Any = type(create("rig", "ict"))
    path = Path(cls.example(folder).options.path)
    target = path / "FaceXModel" / file
    if file.endswith(".safetensors"):
        path = target = cls(cls.Options(path=str(path))).pack(folder / file)

    def read() -> None:
        made = cls(cls.Options(path=str(path)))
        made.prepare({"shape": torch.ones(1)})
        made.fingerprint()
        made({"neck": torch.tensor([[0.2, 0.0, 0.0]])})

    return target, read


def own_avatar(file: str, folder: Path) -> Target:
    """This project's avatar files."""
    avatar = make_avatar("flame", "jbs", "lasg", flame_folder(), count=40)
    SurfheadAvatar().write(avatar, folder)
    return folder / file, lambda: SurfheadAvatar().read(folder)


@functools.cache
def flame_folder() -> Path:
    """FLAME's example, made once."""
    import atexit
    import tempfile

    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def foreign_avatar(file: str, scales: int, folder: Path) -> Target:
    """SurFhead's files (two scales) or GaussianAvatars' (three)."""
    arrays = local_surfels(**({"blend": (4,), "specular": (24,)} if scales == 2 else {}))
    if scales == 3:
        arrays["log_scale"] = np.pad(arrays["log_scale"], ((0, 0), (0, 1)), constant_values=-9.0)
    cloud = folder / "point_cloud" / "iteration_30000"
    cloud.mkdir(parents=True)
    write_points(cloud / "point_cloud.ply", arrays)
    small = flame_params(expressions=50)
    del small["dynamic_offset"]
    small["static_offset"] = small["static_offset"][:, :30]
    np.savez(cloud / "flame_param.npz", **small)
    if scales == 2:
        (folder / "specular" / "iteration_30000").mkdir(parents=True)
        state = {"linear.weight": torch.randn(6, 4)}
        torch.save(state, folder / "specular" / "iteration_30000" / "specular.pth")
        if file == "specular.pth":
            return folder / "specular" / "iteration_30000" / file, lambda: SurfheadAvatar().read(folder)
    return cloud / file, lambda: SurfheadAvatar().read(folder)


def scene_cloud(layout: str, folder: Path) -> Target:
    """A scene without a rig, as 2DGS and 3DGS keep it."""
    avatar = make_avatar("none", "static", "sh", None)
    path = folder / "point_cloud.ply"
    create("format", layout).write(avatar, path)
    return path, lambda: SurfheadAvatar().read(path)


def motion(own: bool, folder: Path) -> Target:
    """A motion of FLAME or of a rig with names of its own, and its use as a driver."""
    from surfhead.results.drivers import read_driver
    from surfhead.results.reenactment import fitted, smoothed

    path = folder / "motion.npz"
    if own:
        rows: dict[str, Any] = {"jaw": np.zeros((4, 3)), "expression": np.ones((4, 7), np.float32)}
        known = create("rig", "procedural").parameters()
    else:
        rows = flame_params(expressions=50)
        del rows["dynamic_offset"], rows["static_offset"]
        known = create("rig", "flame").parameters()
    np.savez(path, **rows)
    return path, lambda: smoothed(fitted(read_driver(path), known, []), 1.5, known)


def other_motion(folder: Path) -> Target:
    """A motion in SMIRK's names, with 6D rotations."""
    from surfhead.results.drivers import read_driver

    path = folder / "motion.npz"
    turns = np.tile([1.0, 0, 0, 0, 1, 0], (4, 1))
    np.savez(path, expression_params=np.ones((4, 50)), pose_params=np.zeros((4, 3)), jaw_params=turns)
    return path, lambda: read_driver(path)


def configuration(folder: Path) -> Target:
    """A run's configuration."""
    from surfhead.core.config import dump
    from surfhead.runs.configuration import configure

    path = folder / "config.toml"
    path.write_text(dump(configure(preset="paper")), encoding="utf-8")
    return path, lambda: configure(preset=None, file=path)


def run(file: str, use: str, trained: Path, folder: Path) -> Target:
    """A run's checkpoint or configuration: loaded and drawn, resumed, or used as a driver."""
    from surfhead.data.opening import open_scene
    from surfhead.results.drivers import read_driver
    from surfhead.runs.run import load_avatar, read_config
    from surfhead.runs.train import make_trainer

    shutil.copytree(trained / "checkpoints" / "00000030", folder / "checkpoints" / "00000030")
    shutil.copy(trained / "config.toml", folder)
    opened = open_scene(read_config(folder))

    def load() -> None:
        avatar = load_avatar(folder, device="cpu")
        with torch.no_grad():
            avatar.deformer(avatar.rig(avatar.poses(torch.tensor([0]))), avatar.surfels.binding())

    def resume() -> None:
        config = read_config(folder)
        trainer = make_trainer(config, opened, folder, torch.device("cpu"), resume=True, quiet=True)
        trainer.feed.close()

    reads = {"load": load, "resume": resume, "drive": lambda: read_driver(folder)}
    return folder / file, reads[use]


FRAMES, NEWEST = "transforms_train.json", "checkpoints/00000030/"
PARTS: dict[str, Callable[[Path], Target]] = {
    "vhap frames": functools.partial(data_set, "vhap", FRAMES),
    "vhap frames, another rig": vhap_of_another_rig,
    "vhap canonical": functools.partial(data_set, "vhap", "canonical_flame_param.npz"),
    "vhap tracking": functools.partial(data_set, "vhap", "flame_param/00000.npz"),
    "vhap picture": functools.partial(data_set, "vhap", "images/00000_00.png"),
    "vhap mask": functools.partial(data_set, "vhap", "fg_masks/00000_00.png"),
    "facetalk frames": functools.partial(data_set, "facetalk", "sentence01/transforms.json"),
    "facetalk normals": functools.partial(data_set, "facetalk", "sentence01/normals/0000.npy"),
    "blender frames": functools.partial(data_set, "blender", FRAMES),
    "blender picture": functools.partial(data_set, "blender", "train/r_0.png"),
    "blender points": blender_points,
    "transforms frames": functools.partial(data_set, "transforms", "transforms.json"),
    "transforms points": functools.partial(data_set, "transforms", "points.ply"),
    "transforms picture": functools.partial(data_set, "transforms", "images/000.png"),
    **{
        f"colmap {name}.{kind}": functools.partial(colmap, f"{name}.{kind}")
        for name in ("cameras", "images", "points3D")
        for kind in ("bin", "txt")
    },
    **{f"flame {part}": functools.partial(flame, part) for part in ("model", "old", "masks", "template")},
    "flame imported": functools.partial(flame, "imported"),
    "ict neutral": functools.partial(ict, "generic_neutral_mesh.obj"),
    "ict expression": functools.partial(ict, "jawOpen.obj"),
    "ict landmarks": functools.partial(ict, "vertex_indices.json"),
    "ict imported": functools.partial(ict, "ict.safetensors"),
    **{
        f"own {name}": functools.partial(own_avatar, name)
        for name in ("point_cloud.ply", "point_cloud.json", "point_cloud.safetensors")
    },
    "surfhead point_cloud.ply": functools.partial(foreign_avatar, "point_cloud.ply", 2),
    "surfhead flame_param.npz": functools.partial(foreign_avatar, "flame_param.npz", 2),
    "surfhead specular.pth": functools.partial(foreign_avatar, "specular.pth", 2),
    "gaussian-avatars point_cloud.ply": functools.partial(foreign_avatar, "point_cloud.ply", 3),
    "2dgs": functools.partial(scene_cloud, "2dgs"),
    "3dgs": functools.partial(scene_cloud, "3dgs"),
    "motion of flame": functools.partial(motion, False),
    "motion of a rig": functools.partial(motion, True),
    "motion of another tracker": other_motion,
    "configuration": configuration,
}
RUNS = {
    "run's tensors, loaded": (NEWEST + "state.safetensors", "load"),
    "run's state, loaded": (NEWEST + "state.json", "load"),
    "run's configuration, loaded": ("config.toml", "load"),
    "run's tensors, resumed": (NEWEST + "state.safetensors", "resume"),
    "run's state, resumed": (NEWEST + "state.json", "resume"),
    "run's tensors, as driver": (NEWEST + "state.safetensors", "drive"),
    "run's state, as driver": (NEWEST + "state.json", "drive"),
}
SLOWER = {"run's tensors, loaded", "run's tensors, resumed", "run's state, resumed", "run's state, loaded"}


def refusals(target: Target, count: int) -> int:
    """How many damaged copies were refused; fails at the first that crashes or hangs the reader."""
    file, read = target
    good = file.read_bytes()
    read()
    refused, long = 0, 0

    def late(*_: object) -> None:
        raise TimeoutError(f"no answer after {SECONDS} s")

    before = signal.signal(signal.SIGPROF, late)
    try:
        for turn, damaged in enumerate(mutants(good, file.suffix, count)):
            file.unlink()  # some file systems write out at once what is cut and written anew
            file.write_bytes(damaged)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                read()
            except SurfheadError as error:
                refused += 1
                long = max(long, str(error).count("\n"))
            except Exception as error:
                kept = file.with_name(f"crash-{turn}{file.suffix}")
                kept.write_bytes(damaged)
                raise AssertionError(
                    f"copy {turn}, kept as {kept}: {type(error).__name__}: {error}"
                ) from error
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    finally:
        signal.signal(signal.SIGPROF, before)
        file.write_bytes(good)
    read()
    assert long <= 2  # every message has three lines at most
    return refused


@pytest.mark.parametrize("name", PARTS)
def test_damaged_files_raise_nothing_but_the_declared_error(name: str, tmp_path: Path) -> None:
    assert refusals(PARTS[name](tmp_path), FEW) > FEW // 10


@pytest.mark.parametrize("name", RUNS)
def test_damaged_runs_raise_nothing_but_the_declared_error(
    name: str, trained_run: Path, tmp_path: Path
) -> None:
    count = FEW // 3 if name in SLOWER else FEW
    assert refusals(run(*RUNS[name], trained_run, tmp_path), count) > count // 10


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PARTS, *RUNS])
def test_two_thousand_damaged_files_of_each_kind(
    name: str, trained_run: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    target = PARTS[name](tmp_path) if name in PARTS else run(*RUNS[name], trained_run, tmp_path)
    refused = refusals(target, MANY)
    record_property("refused", refused)
    print(f"{name}: {refused} of {MANY} refused")
    assert refused > MANY // 10
