"""COLMAP reconstructions (Schönberger and Frahm, CVPR 2016), for `--deformer static`.

    ROOT/sparse/0/{cameras,images,points3D}.{bin,txt}, ROOT/images/

Cameras must be pinholes: PINHOLE, SIMPLE_PINHOLE, or a model with distortion whose coefficients are all zero;
run `colmap image_undistorter` first for others. Pictures may be smaller than the cameras say (``--set
data.images=images_2``): intrinsics are scaled to the files. Of several models in ``sparse`` the one with the
most pictures is read, unless ``--set data.model=1`` names another. Every ``test_every``-th picture by name is
the test split, as in Mip-NeRF 360 and 3DGS. Surfels start from the points, from ``points3D.ply`` where there
are none, else from random points where the cameras look.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surfhead.core.api import DataError, Dataset, Scene, Views, option, unknown_name
from surfhead.files.places import is_dir, place
from surfhead.plugins.datasets.colmap_model import (
    Intrinsics,
    Photograph,
    model_folders,
    read_model,
    wrong,
)
from surfhead.plugins.datasets.images import Picture, Pictures, PictureScene
from surfhead.plugins.datasets.intrinsics import PINHOLES, fit, not_pinhole, pinhole
from surfhead.plugins.datasets.starting_points import PointOptions, Start, starting_points


class Colmap(Dataset):
    """Reads undistorted COLMAP reconstructions."""

    name = "colmap"
    summary = "Undistorted COLMAP reconstructions, binary or text."
    on_disk = True

    @dataclass(frozen=True)
    class Options(PointOptions):
        """How to read the pictures, and which are held out."""

        images: str = option("images", "Folder of the pictures: images, images_2, images_4, ...")
        model: str = option("", "Which model of sparse/, such as 0; empty: the one with the most pictures.")
        test_every: int = option(8, "Every so many-th picture by name is a test picture; 0: none.", low=0)

    options: Options

    @classmethod
    def example(cls, folder: Path) -> Colmap:
        """Nine pictures of noise and fifty points, written to the folder."""
        from surfhead.plugins.datasets.example_files import write_colmap

        write_colmap(folder)
        return cls()

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a sparse model is there."""
        return bool(model_folders(path))

    @classmethod
    def declines(cls, path: Path) -> str:
        """Why a folder with a folder ``sparse`` is not read."""
        if not is_dir(path / "sparse") or model_folders(path):
            return ""
        return (
            f'"{path / "sparse"}" holds no model: cameras and images, both .bin or both .txt, are neither '
            "in it nor in a folder of it."
        )

    def open(self, path: Path | None) -> Scene:
        """Read cameras and points. Raises DataError naming the file."""
        root = place(path or Path())
        folder, ending, notes = self._model(root)
        file = folder / f"images{ending}"
        model = read_model(folder, ending)
        images = sorted(
            (image for image in model.images if any(image.quaternion)), key=lambda image: image.name
        )
        if len(images) < len(model.images):
            notes.append(f"{len(model.images) - len(images)} images have a zero quaternion and are left out.")
        if not images:
            raise wrong(file, "has no images", "at least one")
        pictures = root / self.options.images
        for image in images:
            if image.camera not in model.cameras:
                raise wrong(file, f"names camera {image.camera}, which is not there", "a known camera")
            if Path(image.name).is_absolute() or ".." in Path(image.name).parts or "\0" in image.name:
                raise wrong(file, f"names the picture {image.name!r}", f'a file below "{pictures}"')
        cameras = [model.cameras[image.camera] for image in images]
        for camera in cameras:
            if min(camera.width, camera.height) < 1:
                raise wrong(
                    folder / f"cameras{ending}",
                    f"has a camera of {camera.width}x{camera.height} pixels",
                    "a size of at least 1x1",
                )
        fitted = fit(
            [pictures / image.name for image in images],
            [(camera.width, camera.height) for camera in cameras],
            lambda view, size: _matrix(folder / f"cameras{ending}", cameras[view]),
        )
        every = self.options.test_every
        views = Views(
            camera_from_world=np.stack([_pose(file, image) for image in images]),
            intrinsics=fitted.intrinsics,
            timestep=np.zeros(len(images), np.int64),
            camera=np.arange(len(images)),
            split=np.array(["test" if every and i % every == 0 else "train" for i in range(len(images))]),
            names=tuple(image.name for image in images),
            height=fitted.sizes[0][1],
            width=fitted.sizes[0][0],
        )
        files = [Picture(pictures / image.name) for image in images]
        start = Start(model.points, model.colours)
        if not len(model.points):
            places = [folder / "points3D.ply", root / "points3D.ply", root / "points3d.ply"]
            start = starting_points(self.options, views.camera_from_world, places, "point in the model")
        return PictureScene(
            Pictures(files, fitted.sizes, self.options),
            views,
            rig="none",
            rig_parameters={},
            points=start.points,
            point_colours=start.colours,
            notes=(*notes, *fitted.notes, *start.notes),
        )

    def _model(self, root: Path) -> tuple[Path, str, list[str]]:
        """Folder and ending of the model to read, and what is to be said of the others."""
        found = model_folders(root)
        if not found:
            raise DataError(
                f'COLMAP data set "{root}" has no sparse model.',
                "Expected sparse/0/cameras.bin and images.bin, or the .txt files.",
                "Check the path, or run `colmap mapper` and `colmap image_undistorter`.",
            )
        names = {place.folder.name: place for place in found}
        if self.options.model:
            if self.options.model not in names:
                raise unknown_name(
                    "COLMAP model", self.options.model, names, "Mend --set data.model.", DataError
                )
            chosen = names[self.options.model]
            return chosen.folder, chosen.ending, []
        largest = max(found, key=lambda place: place.images)
        others = [f"{name} ({place.images})" for name, place in names.items() if place is not largest]
        notes = []
        if others:
            notes.append(
                f"Of {len(found)} models, {largest.folder.name} with {largest.images} pictures is read, not "
                f"{', '.join(others)}; --set data.model=NAME chooses another."
            )
        return largest.folder, largest.ending, notes


def _matrix(path: Path, camera: Intrinsics) -> np.ndarray:
    values = pinhole(camera.model, camera.parameters)
    if values is None:
        raise not_pinhole(path, camera.model)
    if len(values) != PINHOLES[camera.model] or not np.isfinite(values).all() or min(values[:-2]) <= 0:
        raise wrong(
            path, f"has a {camera.model} camera with parameters {values}", "focal lengths > 0 and a centre"
        )
    *focal, cx, cy = values
    return np.array([[focal[0], 0, cx], [0, focal[-1], cy], [0, 0, 1.0]])


def _pose(path: Path, image: Photograph) -> np.ndarray:
    """(4, 4) world-to-camera matrix of a quaternion (w, x, y, z) and a translation."""
    quaternion = np.asarray(image.quaternion)
    numbers = np.concatenate([quaternion, image.translation])
    with np.errstate(all="ignore"):  # what does not fit a float becomes infinite
        length = float(np.linalg.norm(quaternion))
        numbers = numbers.astype(np.float32)
    if len(numbers) != 7 or not np.isfinite(numbers).all() or abs(length - 1) > 1e-2:
        raise wrong(
            path, f'has no rigid pose for image "{image.name}"', "a unit quaternion and a translation"
        )
    w, *vector = quaternion / length
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += 2 * (w * cross + cross @ cross)
    matrix[:3, 3] = image.translation
    return matrix
