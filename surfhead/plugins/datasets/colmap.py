"""COLMAP reconstructions (Schönberger and Frahm, CVPR 2016), for `--deformer static`.

    ROOT/sparse/0/{cameras,images,points3D}.{bin,txt}, ROOT/images/

Cameras must be PINHOLE or SIMPLE_PINHOLE; run `colmap image_undistorter` first for others. Pictures may be
smaller than the cameras say (``--set data.images=images_2``): intrinsics are scaled to the files. Every
``test_every``-th picture by name is the test split, as in Mip-NeRF 360 and 3DGS. Surfels start from the
points.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surfhead.core.api import DataError, Dataset, OptionError, Scene, Views, option
from surfhead.plugins.datasets.colmap_model import (
    Intrinsics,
    Photograph,
    model_folder,
    read_model,
    wrong,
)
from surfhead.plugins.datasets.images import (
    ImageOptions,
    Picture,
    Pictures,
    PictureScene,
    Size,
    header_size,
    scaled_intrinsics,
)


class Colmap(Dataset):
    """Reads undistorted COLMAP reconstructions."""

    name = "colmap"
    summary = "Undistorted COLMAP reconstructions, binary or text."

    @dataclass(frozen=True)
    class Options(ImageOptions):
        """How to read the pictures, and which are held out."""

        images: str = option("images", "Folder of the pictures: images, images_2, images_4, ...")
        test_every: int = option(8, "Every so many-th picture by name is a test picture; 0: none.")

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.test_every < 0:
                raise OptionError(
                    f'"test_every" is {self.test_every}.', "Expected >= 0.", "Mend the setting."
                )

    @classmethod
    def example(cls, folder: Path) -> Colmap:
        """Nine pictures of noise and fifty points, written to the folder."""
        from surfhead.plugins.datasets.example_files import write_colmap

        write_colmap(folder)
        return cls()

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a sparse model is there."""
        return model_folder(path) is not None

    def open(self, path: Path | None) -> Scene:
        """Read cameras and points. Raises DataError naming the file."""
        root = path or Path()
        found = model_folder(root)
        if found is None:
            raise DataError(
                f'COLMAP data set "{root}" has no sparse model.',
                "Expected sparse/0/cameras.bin and images.bin, or the .txt files.",
                "Check the path, or run `colmap mapper` and `colmap image_undistorter`.",
            )
        folder, ending = found
        file = folder / f"images{ending}"
        model = read_model(folder, ending)
        images = sorted(model.images, key=lambda image: image.name)
        if not images:
            raise wrong(file, "has no images", "at least one")
        pictures = root / self.options.images
        for image in images:
            if image.camera not in model.cameras:
                raise wrong(file, f"names camera {image.camera}, which is not there", "a known camera")
            if Path(image.name).is_absolute() or ".." in Path(image.name).parts or "\0" in image.name:
                raise wrong(file, f"names the picture {image.name!r}", f'a file below "{pictures}"')
        cameras = [model.cameras[image.camera] for image in images]
        declared = _one_size(folder / f"cameras{ending}", cameras)
        native = header_size(pictures / images[0].name)
        intrinsics = np.stack([_matrix(folder / f"cameras{ending}", camera) for camera in cameras])
        every = self.options.test_every
        views = Views(
            camera_from_world=np.stack([_pose(file, image) for image in images]),
            intrinsics=scaled_intrinsics(intrinsics, declared, native),
            timestep=np.zeros(len(images), np.int64),
            camera=np.arange(len(images)),
            split=np.array(["test" if every and i % every == 0 else "train" for i in range(len(images))]),
            names=tuple(image.name for image in images),
            height=native[1],
            width=native[0],
        )
        files = [Picture(pictures / image.name) for image in images]
        notes = () if native == declared else (f"Cameras of {declared} are scaled to pictures of {native}.",)
        return PictureScene(
            Pictures(files, native, self.options),
            views,
            rig="none",
            rig_parameters={},
            points=model.points,
            point_colours=model.colours,
            notes=notes,
        )


def _one_size(path: Path, cameras: list[Intrinsics]) -> Size:
    sizes = sorted({(camera.width, camera.height) for camera in cameras})
    if len(sizes) > 1 or min(sizes[0]) < 1:
        listed = ", ".join(f"{width}x{height}" for width, height in sizes)
        raise wrong(path, f"has cameras of {listed} pixels", "one size for all")
    return sizes[0]


def _matrix(path: Path, camera: Intrinsics) -> np.ndarray:
    values = camera.parameters
    expected = {"SIMPLE_PINHOLE": 3, "PINHOLE": 4}
    if camera.model not in expected:
        raise DataError(
            f'COLMAP file "{path}" has a camera of model {camera.model}, with lens distortion.',
            "Expected PINHOLE or SIMPLE_PINHOLE.",
            "Undistort first: colmap image_undistorter --image_path ... --input_path ... --output_path ...",
        )
    if len(values) != expected[camera.model] or not np.isfinite(values).all() or min(values[:-2]) <= 0:
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
