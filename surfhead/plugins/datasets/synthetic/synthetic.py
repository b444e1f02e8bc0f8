"""The built-in data: ray-cast pictures of a rig in motion, with true masks, normals and depth.

Sixteen cameras stand on an arc in front of the head. The training motion is seen by fifteen of them (at each
timestep by some, in turn); the sixteenth, inside the arc, is the ``val`` split. The ``test`` split is another
motion, whose expressions are all stronger than any in training. Pictures are made by casting rays at a mesh
far finer than the rig's, with texture and relief finer than its triangles, never by the surfel renderer.

Everything follows from the options and the seed. Frames are made when the data set is first opened and kept
outside the project, in ``synthetic`` below surfhead's cache folder; a damaged one is made anew.

    surfhead train                                     # this data set, rig "procedural"
    surfhead train --set data.width=512 --set data.height=512
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surfhead.core.api import (
    Cameras,
    DataError,
    Dataset,
    Frame,
    OptionError,
    Rig,
    Scene,
    ShapeError,
    UnavailableError,
    Views,
    cache_folder,
    create,
    lamps,
    named_light,
    option,
)
from surfhead.plugins.datasets.synthetic.cameras import (
    ARC,
    camera_ring,
    held_out_camera,
    test_cameras,
    train_cameras,
)
from surfhead.plugins.datasets.synthetic.face import face_frame
from surfhead.plugins.datasets.synthetic.motion import motion
from surfhead.plugins.datasets.synthetic.relief import Relief
from surfhead.plugins.datasets.synthetic.renderer import VERSION, Renderer
from surfhead.plugins.datasets.synthetic.store import FrameStore, cache_key
from surfhead.terminal import bars
from surfhead.terminal.console import is_quiet
from surfhead.terminal.remedies import parted

Report = Callable[[int, int], None]
MOST_WORKERS = 16  # each holds one posed fine mesh, some tens of megabytes


class Synthetic(Dataset):
    """Ray-cast pictures of a rig. See the module's text."""

    name = "synthetic"
    summary = "Ray-cast pictures of a rig, with true normals and depth."
    held_out = True

    @dataclass(frozen=True)
    class Options:
        """What is drawn, and how."""

        rig: str = option("procedural", "Registered name of the rig to draw.")
        rig_options: dict[str, Any] = option({}, "Options of that rig, such as the path of its files.")
        identity: dict[str, list[float]] = option({}, "The rig's identity, as lists of coefficients.")
        seed: int = option(0, "Seed of motion, texture and relief.", low=0, high=2**63 - 1)
        height: int = option(256, "Height of the pictures, pixels.", low=1, high=4096)
        width: int = option(256, "Width of the pictures, pixels.", low=1, high=4096)
        cameras: int = option(16, "Cameras on the arc; one of them is held out.", low=2, high=1024)
        arc: float = option(
            ARC,
            "Largest azimuth of a camera to either side of the face, degrees; 180 is all round the head.",
            above=0,
            high=180,
        )
        timesteps: int = option(40, "Timesteps of the training motion.", low=1, high=100_000)
        views_per_timestep: int = option(10, "Training cameras that see each timestep.", low=1, high=1024)
        test_timesteps: int = option(12, "Timesteps of the held-out motion.", low=1, high=100_000)
        test_cameras: int = option(4, "Cameras that see the held-out motion.", low=1, high=1024)
        strength: float = option(
            1.0, "Factor of all expressions and of the jaw's rotation; 2 stretches a face.", low=0, high=10
        )
        supersampling: int = option(2, "Rays along each side of a pixel.", low=1, high=8)
        detail: int = option(
            4, "Parts into which each triangle's edges are split for relief.", low=1, high=16
        )
        texels: int = option(
            10, "Parts into which each triangle's edges are split for colour.", low=1, high=64
        )
        light: str = option("studio", "Named light the head is drawn under; see `surfhead render --help`.")
        background: tuple[float, float, float] = option(
            (1.0, 1.0, 1.0), "RGB behind the head, in [0, 1].", low=0, high=1
        )
        cache: str = option("", "Folder for the frames; empty: below the user's cache folder.")

        def __post_init__(self) -> None:
            named_light(self.light)

    options: Options

    @classmethod
    def available(cls) -> str | None:
        """It needs embreex to cast rays."""
        try:
            import embreex  # noqa: F401 - only whether it loads
        except ImportError as error:
            return f"the package embreex does not load ({error}): pip install embreex"
        return None

    @classmethod
    def example(cls, folder: Path) -> Synthetic:
        """A few tiny frames, kept below ``folder``."""
        return cls(
            cls.Options(
                height=24,
                width=24,
                cameras=4,
                timesteps=2,
                views_per_timestep=2,
                test_timesteps=1,
                test_cameras=1,
                detail=1,
                texels=2,
                cache=str(folder),
            )
        )

    def open(self, path: Path | None = None, progress: Report | None = None) -> SyntheticScene:
        """Make the frames that are not kept yet, and describe the views.

        Args:
            path: none; this data set is made, not read.
            progress: called with (frames made, frames to make); by default a bar on a terminal.

        Raises:
            UnavailableError: without embreex.
            DataError: there is a path, or the frames cannot be kept.
        """
        if path is not None:
            raise DataError(
                f'"{path}" was given as data, but the data set "synthetic" is made, not read.',
                "Expected no path.",
                "Leave it out, or name the reader of this folder: `surfhead list dataset`.",
            )
        reason = self.available()
        if reason is not None:
            what, remedy = parted(reason)
            raise UnavailableError(
                f'Data set "synthetic" cannot be made: {what}', "Expected a working embreex.", remedy
            )
        scene = SyntheticScene(self.options)
        scene.make(progress)
        return scene


class SyntheticScene(Scene):
    """The views of the built-in data."""

    def __init__(self, options: Synthetic.Options) -> None:
        self.options = options
        self._lock = threading.Lock()
        self._renderer: Renderer | None = None
        self._relief: Relief | None = None
        rig = self._rig()
        self._identity = {name: torch.tensor(v, dtype=torch.float32) for name, v in options.identity.items()}
        try:
            self._rest = rig.prepare(self._identity)
            if not len(self._rest.topology.triangles):
                raise OptionError(
                    f'The rig "{self.options.rig}" has no mesh to draw.',
                    "Expected a rig with triangles, such as procedural.",
                    "Mend --set data.rig, or --rig.",
                )
        except ShapeError as error:
            raise OptionError(
                f'The identity given to rig "{rig.name}" does not fit: {error.what}',
                error.exists,
                "Mend --set data.identity.NAME=[...], or leave it out for the average head.",
            ) from error
        self._posable = rig
        parameters = motion(
            rig.parameters(), options.timesteps, options.test_timesteps, options.seed, options.strength
        )
        ring = camera_ring(self._rest, options.cameras, options.height, options.width, options.arc)
        rows = _rows(options)
        numbers = np.asarray([camera for _, _, camera in rows])
        super().__init__(
            Views(
                camera_from_world=ring.camera_from_world[numbers],
                intrinsics=np.broadcast_to(ring.intrinsics, (len(rows), 3, 3)).copy(),
                timestep=np.asarray([timestep for _, timestep, _ in rows], dtype=np.int64),
                camera=numbers.astype(np.int64),
                split=np.asarray([split for split, _, _ in rows]),
                names=tuple(f"{timestep:05d}_{camera:02d}" for _, timestep, camera in rows),
                height=options.height,
                width=options.width,
            ),
            rig=options.rig,
            rig_parameters=parameters,
            identity=self._identity,
            rig_options=options.rig_options,
            timestep_names=tuple(f"{t:05d}" for t in range(options.timesteps + options.test_timesteps)),
            background=options.background,
        )
        description = dataclasses.asdict(options) | {"version": VERSION, "fingerprint": rig.fingerprint()}
        description.pop("cache")
        if options.light == lamps.STUDIO.name:  # frames made before there was a choice are still right
            description.pop("light")
        if options.strength == 1:
            description.pop("strength")
        root = Path(options.cache).expanduser() if options.cache else cache_folder() / "synthetic"
        self.folder = root / cache_key(description)
        self._store = FrameStore(self.folder, options.height, options.width)

    def frame(self, view: int) -> Frame:
        """One frame, read from the cache, or made anew where the file is missing or damaged."""
        return self._read(view, geometry=True)

    def picture(self, view: int) -> Frame:
        """Picture and mask alone, in a third of the time."""
        return self._read(view, geometry=False)

    def _read(self, view: int, geometry: bool) -> Frame:
        name = self.views.names[view]
        frame = self._store.read(name, geometry)
        if frame is None:
            self._make_timestep(int(self.views.timestep[view]), [view])
            frame = self._store.read(name, geometry)
        if frame is None:
            raise UnavailableError(
                f'The frame "{name}" could not be read back after it was made.',
                f"It is kept in {self.folder}.",
                "Remove this folder and try again.",
            )
        return frame

    def true_mesh(self, timestep: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The fine mesh the rays hit at a timestep: the posed rig's, rounded, with relief and hair."""
        with self._lock:
            if self._relief is None:
                template = self._rig().prepare({})
                options = self.options
                frame = face_frame(template)
                self._relief = Relief(self._rest, template, frame, options.detail, options.seed)
        row = {name: values[timestep : timestep + 1] for name, values in self.rig_parameters.items()}
        with torch.no_grad():
            fine = self._relief(self._posable(row).vertices[0])
        return fine.vertices, fine.triangles

    def make(self, progress: Report | None = None) -> None:
        """Draw every frame that is not in the cache yet, a timestep for each processor at a time."""
        missing = self._store.missing(list(self.views.names))
        if not missing:
            return
        by_timestep: dict[int, list[int]] = {}
        for view in missing:
            by_timestep.setdefault(int(self.views.timestep[view]), []).append(view)
        self._make_renderer()
        bar = contextlib.nullcontext(progress) if progress else _terminal_progress(len(missing))
        workers = min(MOST_WORKERS, os.cpu_count() or 1)
        with bar as report, ThreadPoolExecutor(max_workers=workers, thread_name_prefix="cast") as pool:
            done = 0
            report(done, len(missing))
            for made in pool.map(lambda item: self._make_timestep(*item), by_timestep.items()):
                done += made
                report(done, len(missing))

    def _make_timestep(self, timestep: int, views: list[int]) -> int:
        renderer = self._make_renderer()
        row = {name: values[timestep : timestep + 1] for name, values in self.rig_parameters.items()}
        with torch.no_grad():
            pose = renderer.pose(self._posable(row).vertices[0])
            cameras = Cameras(
                torch.from_numpy(self.views.camera_from_world[views]),
                torch.from_numpy(self.views.intrinsics[views]),
                self.views.height,
                self.views.width,
            )
            for view, frame in zip(views, renderer.draw(pose, cameras), strict=True):
                self._store.write(self.views.names[view], frame)
        return len(views)

    def _make_renderer(self) -> Renderer:
        with self._lock:
            if self._renderer is None:
                options = self.options
                self._renderer = Renderer(
                    self._rest,
                    self._rig().prepare({}),
                    options.seed,
                    options.detail,
                    options.texels,
                    options.supersampling,
                    options.background,
                    named_light(options.light),
                )
            return self._renderer

    def _rig(self) -> Rig:
        rig: Rig = create("rig", self.options.rig, self.options.rig_options)
        return rig


def _rows(options: Synthetic.Options) -> list[tuple[str, int, int]]:
    """Split, timestep and camera of every view."""
    rows = []
    for t in range(options.timesteps):
        for camera in train_cameras(t, options.cameras, options.views_per_timestep):
            rows.append(("train", t, int(camera)))
    rows += [("val", t, held_out_camera(options.cameras)) for t in range(options.timesteps)]
    for t in range(options.timesteps, options.timesteps + options.test_timesteps):
        rows += [("test", t, int(camera)) for camera in test_cameras(options.cameras, options.test_cameras)]
    return rows


@contextlib.contextmanager
def _terminal_progress(total: int) -> Iterator[Report]:
    """A bar on a terminal; elsewhere one line at the start."""
    if not bars.visible() and not is_quiet():
        print(f"Drawing {total} frames of the built-in data, once.", file=sys.stderr)
    with bars.progress("Drawing the built-in data", total) as advance:
        yield lambda done, count: advance(done)


__all__ = ["Synthetic", "SyntheticScene"]
