"""Brings batches of decoded views to the device, in an order that a checkpoint can continue."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surfhead.core.errors import DataError
from surfhead.core.scene import Frame, Scene
from surfhead.core.types import Batch, Cameras

RAM_BUDGET = 4 << 30  # bytes of decoded images kept in memory; beyond it they are decoded anew


def background_of(scene: Scene) -> Tensor:
    """(3,) the scene's background colour."""
    return torch.tensor(scene.background, dtype=torch.float32)


def cameras_of(scene: Scene, views: Sequence[int] | np.ndarray, device: torch.device | str) -> Cameras:
    """The cameras of some views of one size, float32 on ``device``."""
    rows = np.asarray(views, dtype=np.int64)
    height, width = _one_size(scene, rows)
    return Cameras(
        torch.from_numpy(scene.views.camera_from_world[rows]).to(device, torch.float32),
        torch.from_numpy(scene.views.intrinsics[rows]).to(device, torch.float32),
        height,
        width,
    )


def _one_size(scene: Scene, views: np.ndarray) -> tuple[int, int]:
    """Height and width that some views share. Raises DataError where they differ."""
    groups = scene.views.by_size(views)
    if len(groups) > 1:
        sizes = [scene.views.size(int(group[0])) for group in groups]
        raise DataError(
            f"Pictures of {len(groups)} sizes cannot be drawn at once.",
            f"These have {', '.join(f'{width}x{height}' for height, width in sizes)} pixels.",
            "Draw them one by one, or resize the data set's pictures to one size.",
        )
    return scene.views.size(int(views[0])) if len(views) else (scene.views.height, scene.views.width)


@dataclass(frozen=True)
class _Loaded:
    """What training needs of a view: picture, mask and predicted normals, uint8."""

    image: Tensor
    mask: Tensor | None
    prior: Tensor | None

    @property
    def nbytes(self) -> int:
        parts = (self.image, self.mask, self.prior)
        return sum(part.nbytes for part in parts if part is not None)

    def to(self, device: torch.device) -> _Loaded:
        return _Loaded(
            self.image.to(device),
            None if self.mask is None else self.mask.to(device),
            None if self.prior is None else self.prior.to(device),
        )


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


class Order:
    """An endless shuffled sequence of views: every epoch is a permutation drawn from the seed.

    Its state is two numbers, the epoch and the position in it, so a resumed run sees the same views.

    Args:
        views: at least one.
        seed: of the permutations.
        groups: views that may share a batch, such as those of one size; by default all. Of several, every
            batch holds views of one; where the last of a group falls short, views of this group come twice.
        batch: views a batch; read with several groups only.
    """

    def __init__(
        self, views: np.ndarray, seed: int, groups: Sequence[np.ndarray] = (), batch: int = 1
    ) -> None:
        if len(views) == 0:
            raise DataError("The split has no views.", "Expected at least one.", "Check the data set.")
        self.views = views
        self.seed = seed
        self.groups = tuple(groups)
        self.batch = batch
        self.epoch = 0
        self.position = 0
        self._permutation = self._draw(0)

    def _draw(self, epoch: int) -> np.ndarray:
        generator = np.random.default_rng([self.seed, epoch])
        if len(self.groups) < 2:
            return generator.permutation(self.views)
        batches = []
        for group in self.groups:
            drawn = generator.permutation(group)
            short = -len(drawn) % self.batch
            batches.append(np.concatenate([drawn, np.resize(drawn, short)]).reshape(-1, self.batch))
        return np.asarray(generator.permutation(np.concatenate(batches)).reshape(-1))

    def take(self, count: int) -> np.ndarray:
        """The next ``count`` views."""
        taken = []
        for _ in range(count):
            if self.position == len(self._permutation):
                self.restore(self.epoch + 1, 0)
            taken.append(int(self._permutation[self.position]))
            self.position += 1
        return np.asarray(taken)

    def peek(self, count: int) -> np.ndarray:
        """The next views of this epoch, without taking them."""
        return self._permutation[self.position : self.position + count]

    def restore(self, epoch: int, position: int) -> None:
        """Continue from a saved state."""
        drawn = self._draw(epoch)
        if not 0 <= position <= len(drawn):
            raise ValueError(f"position {position} is outside an epoch of {len(drawn)} views")
        self.epoch, self.position = epoch, position
        self._permutation = drawn


class Feed:
    """Decoded views as batches on a device.

    Args:
        scene: the data set.
        device: where batches go.
        cache: ``gpu`` keeps all training images on the device as uint8, ``ram`` in memory, ``disk``
            decodes anew each time; ``auto`` chooses ``gpu`` or ``ram`` when they fit. ``gpu`` and ``ram``
            keep what fits into a third of the GPU's free memory, or into RAM_BUDGET, and decode the rest
            anew.
        workers: threads that decode; 0: as many as there are processors, from 4 to 16.
    """

    def __init__(self, scene: Scene, device: torch.device, cache: str = "auto", workers: int = 0) -> None:
        self.scene = scene
        self.device = device
        size = scene.views.pixels() * 4
        if cache == "auto":
            cache = "ram" if size <= RAM_BUDGET else "disk"
            if device.type == "cuda" and size <= torch.cuda.mem_get_info(device)[0] // 3:
                cache = "gpu"
        self.cache = "ram" if cache == "gpu" and device.type != "cuda" else cache
        self._room = RAM_BUDGET  # bytes
        if self.cache == "gpu":
            self._room = torch.cuda.mem_get_info(device)[0] // 3
        self._kept: dict[int, _Loaded] = {}
        self._lock = threading.Lock()
        self.workers = workers or min(max(os.cpu_count() or 1, 4), 16)
        self._pool = ThreadPoolExecutor(max_workers=self.workers, thread_name_prefix="decode")
        self._pending: dict[int, Future[_Loaded]] = {}
        self._background = background_of(scene).to(device)
        views = scene.views
        self._cameras = torch.from_numpy(views.camera_from_world).to(device, torch.float32)
        self._intrinsics = torch.from_numpy(views.intrinsics).to(device, torch.float32)
        self._timesteps = torch.from_numpy(np.asarray(views.timestep, dtype=np.int64)).to(device)

    @property
    def kept(self) -> int:
        """Bytes of decoded pictures kept, in memory or on the GPU."""
        with self._lock:
            return sum(loaded.nbytes for loaded in self._kept.values())

    def close(self) -> None:
        """Stop the decoding threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _load(self, view: int) -> _Loaded:
        kept = self._kept.get(view)
        if kept is not None:
            return kept
        frame = self.check(view, self.scene.picture(view))
        loaded = _Loaded(
            _tensor(frame.image),
            None if frame.mask is None else _tensor(frame.mask),
            None if frame.normal_prior is None else _tensor(frame.normal_prior),
        )
        if self.cache == "disk":
            return loaded
        size = loaded.nbytes
        with self._lock:
            fits = size <= self._room and view not in self._kept
            self._room -= size if fits else 0
        if fits:
            if self.cache == "gpu":
                loaded = loaded.to(self.device)
            self._kept[view] = loaded
        return loaded

    def check(self, view: int, frame: Frame) -> Frame:
        """The frame, or a DataError naming the view whose picture has another size or type."""
        views = self.scene.views
        wanted = (*views.size(view), 3)
        if frame.image.shape != wanted or frame.image.dtype != np.uint8:
            raise DataError(
                f'Image of view "{views.names[view]}" is {frame.image.dtype} {frame.image.shape}.',
                f"Expected uint8 {wanted} (height, width, RGB).",
                "Mend or remove this image.",
            )
        if frame.mask is not None and (frame.mask.shape != wanted[:2] or frame.mask.dtype != np.uint8):
            raise DataError(
                f'Mask of view "{views.names[view]}" is {frame.mask.dtype} {frame.mask.shape}.',
                f"Expected uint8 {wanted[:2]} (height, width; 255 = foreground).",
                "Mend or remove this mask.",
            )
        prior = frame.normal_prior
        if prior is not None and (prior.shape != wanted or prior.dtype != np.uint8):
            raise DataError(
                f'Predicted normals of view "{views.names[view]}" are {prior.dtype} {prior.shape}.',
                f"Expected uint8 {wanted} (height, width, 128 + 127 n).",
                "Mend or remove this file.",
            )
        return frame

    def prefetch(self, views: np.ndarray) -> None:
        """Begin to decode views in the background."""
        for view in map(int, views):
            if view not in self._kept and view not in self._pending:
                self._pending[view] = self._pool.submit(self._load, view)

    def _get(self, view: int) -> _Loaded:
        future = self._pending.pop(view, None)
        return self._load(view) if future is None else future.result()

    def batch(self, views: np.ndarray) -> Batch:
        """The batch of these views; each has its own pose, in order."""
        loaded = [self._get(int(v)) for v in views]
        rows = torch.as_tensor(views).to(self.device, non_blocking=True)
        height, width = _one_size(self.scene, views)
        if len({one.image.device for one in loaded}) > 1:  # some were kept on the GPU, some decoded anew
            loaded = [one.to(self.device) for one in loaded]
        masks = [one.mask for one in loaded if one.mask is not None]
        priors = [one.prior for one in loaded if one.prior is not None]
        return Batch(
            cameras=Cameras(
                self._cameras[rows],
                self._intrinsics[rows],
                height,
                width,
            ),
            pose_of_view=torch.arange(len(views), device=self.device),
            timesteps=self._timesteps[rows],
            image=torch.stack([one.image for one in loaded]).to(self.device, non_blocking=True),
            background=self._background.expand(len(views), 3),
            mask=torch.stack(masks).to(self.device) if len(masks) == len(loaded) else None,
            normal_prior=torch.stack(priors).to(self.device) if len(priors) == len(loaded) else None,
            names=tuple(self.scene.views.names[int(v)] for v in views),
            paired=True,
        )
