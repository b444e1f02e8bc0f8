"""A data set as the core sees it: the description of every view, and lazily decoded frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surfhead.core.errors import DataError, unknown_name

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Frame:
    """One decoded view.

    Attributes:
        image: (H, W, 3) uint8 RGB, composited on the scene's background.
        mask: (H, W) uint8, 255 = foreground, or None.
        normal: (H, W, 3) float32 true unit normals in camera space (OpenCV axes), 0 in the background.
        depth: (H, W) float32 true camera z in metres, 0 in the background.
        normal_prior: (H, W, 3) uint8, 128 + 127 n of normals in camera space (OpenCV axes) that a predictor
            saw in the picture, 0 where it says nothing; or None. It is no truth.
    """

    image: np.ndarray
    mask: np.ndarray | None = None
    normal: np.ndarray | None = None
    depth: np.ndarray | None = None
    normal_prior: np.ndarray | None = None


@dataclass(frozen=True)
class Views:
    """M views.

    Attributes:
        camera_from_world: (M, 4, 4) float64, OpenCV axes, metres.
        intrinsics: (M, 3, 3) float64, pixels.
        timestep: (M,) int64 index into the scene's timesteps.
        camera: (M,) int64 camera number.
        split: (M,) names: ``train``, ``val`` (held-out camera) or ``test`` (held-out motion).
        names: (M,) unique readable names.
        height, width: pixels; of the largest view where they differ.
        sizes: (M, 2) height and width of each view, pixels; None: all are height by width.
    """

    camera_from_world: np.ndarray
    intrinsics: np.ndarray
    timestep: np.ndarray
    camera: np.ndarray
    split: np.ndarray
    names: tuple[str, ...]
    height: int
    width: int
    sizes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def size(self, view: int) -> tuple[int, int]:
        """Height and width of one view, pixels."""
        if self.sizes is None:
            return self.height, self.width
        height, width = self.sizes[view].tolist()
        return height, width

    def pixels(self) -> int:
        """The number of pixels of all views together."""
        if self.sizes is None:
            return self.height * self.width * len(self)
        return int(self.sizes.astype(np.int64).prod(axis=1).sum())

    def by_size(self, views: np.ndarray) -> list[np.ndarray]:
        """These views in groups of one size each, the order within each kept."""
        if self.sizes is None:
            return [views]
        _, group = np.unique(self.sizes[views], axis=0, return_inverse=True)
        return [views[group.reshape(-1) == number] for number in range(int(group.max(initial=0)) + 1)]

    def of(self, split: str) -> np.ndarray:
        """Indices of the views of ``split`` (``all`` for every view), in order."""
        if split == "all":
            return np.arange(len(self))
        if split not in SPLITS:
            raise unknown_name("split", split, (*SPLITS, "all"), "Choose one of these with --split.")
        return np.flatnonzero(self.split == split)


class Scene(ABC):
    """An opened data set.

    Attributes:
        views: every view of every split.
        rig: registered name of the rig the parameters are for (``none`` for a static scene).
        rig_options: options of that rig the data set knows (such as its path).
        identity: name -> tensor, what makes the rig this person.
        rig_parameters: name -> (T, d) float32, a row a timestep.
        timestep_names: T readable names.
        background: (3,) RGB in [0, 1].
        points: (M, 3) initial points with ``point_colours`` (M, 3) uint8, for static scenes.
        rate: timesteps a second.
        notes: what was odd about the data, in sentences.
    """

    def __init__(
        self,
        views: Views,
        *,
        rig: str,
        rig_parameters: Mapping[str, Tensor],
        identity: Mapping[str, Tensor] | None = None,
        rig_options: Mapping[str, object] | None = None,
        timestep_names: tuple[str, ...] = (),
        background: tuple[float, float, float] = (1.0, 1.0, 1.0),
        points: np.ndarray | None = None,
        point_colours: np.ndarray | None = None,
        notes: tuple[str, ...] = (),
        rate: float = 25.0,
    ) -> None:
        self.views = views
        self.rig = rig
        self.rig_parameters = dict(rig_parameters)
        self.identity = dict(identity or {})
        self.rig_options = dict(rig_options or {})
        self.timestep_names = timestep_names
        self.background = background
        self.points = points
        self.point_colours = point_colours
        self.notes = notes
        self.rate = rate
        if len(views) == 0:
            raise DataError("The data set has no views.", "Expected at least one.", "Check its path.")
        for name, values in self.rig_parameters.items():
            if not bool(torch.isfinite(values).all()):
                row = int((~torch.isfinite(values)).flatten(1).any(dim=1).nonzero()[0])
                raise DataError(
                    f'Rig parameter "{name}" holds NaN or infinity at timestep {row}.',
                    "Expected finite numbers.",
                    "Mend or remove this timestep.",
                )
        bad = ~np.isfinite(views.camera_from_world).all(axis=(1, 2))
        bad |= ~np.isfinite(views.intrinsics).all(axis=(1, 2))
        if bad.any():
            raise DataError(
                f'The camera of view "{views.names[int(np.flatnonzero(bad)[0])]}" holds NaN or infinity.',
                "Expected finite poses and intrinsics.",
                "Mend or remove this view.",
            )

    @property
    def timesteps(self) -> int:
        """T, the number of timesteps."""
        return next((len(v) for v in self.rig_parameters.values()), 0)

    @abstractmethod
    def frame(self, view: int) -> Frame:
        """Decode one view; thread-safe. Raises DataError naming the file and what is wrong."""

    def picture(self, view: int) -> Frame:
        """``frame`` for training, perhaps without true normals and depth, where that is read sooner."""
        return self.frame(view)

    def files(self, view: int) -> tuple[Path, ...]:
        """The files one view is decoded from; none where it is made or read otherwise."""
        return ()

    def mask_file(self, view: int) -> Path | None:
        """The file of a view's mask; None where it has none of its own, such as an alpha channel."""
        return None

    def true_mesh(self, timestep: int) -> tuple[Tensor, Tensor] | None:
        """The surface the pictures of a timestep show, where the data know it: else None.

        (V, 3) float32 vertices, metres, and (F, 3) int64 triangles, wound so that normals point outward.
        """
        return None

    def extent(self, centre: np.ndarray | None = None) -> float:
        """The scene's extent in metres (method: section 8).

        1.1 times a training camera's largest distance from their mean, at least their mean one to ``centre``.
        """
        split = self.views.split
        poses = self.views.camera_from_world[(split == "train") | ("train" not in split)]
        centres = -np.einsum("mji,mj->mi", poses[:, :3, :3], poses[:, :3, 3])
        away = centres if centre is None else centres - centre
        spread = 1.1 * float(np.linalg.norm(centres - centres.mean(axis=0), axis=1).max())
        return max(spread, float(np.linalg.norm(away, axis=1).mean()))


@dataclass
class Motion:
    """Rig parameters over time, for driving an avatar.

    Attributes:
        parameters: name -> (T, d) float32.
        rate: frames per second.
        labels: names of a parameter's columns, where they go by name and not by place.
    """

    parameters: dict[str, Tensor]
    rate: float = 25.0
    names: tuple[str, ...] = field(default=())
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
