"""Training steps as CUDA graphs: the host launches one graph a step instead of hundreds of kernels."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import Tensor

from surfhead.core.types import Batch, Cameras

log = logging.getLogger("surfhead")
Result = TypeVar("Result")
TRIES = 3  # other work on the GPU may disturb a capture


class CapturedStep:
    """Runs the same work on batch after batch, from a CUDA graph where it can.

    A captured step is right only while everything the host decided in it stays decided that way: the
    caller names all of that in a key. With a new key the first step runs as it is, which also compiles and
    loads what it needs; the second is captured, and from then on replayed. Where capturing has failed
    TRIES times, everything runs as it is.

    Args:
        work: the step, from the batch to the parameters; it must neither wait for the GPU nor copy from the
            host, and change tensors in place only.
    """

    def __init__(self, work: Callable[[Batch], Result]) -> None:
        self._work = work
        self._key: Hashable = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch | None = None
        self._result: object = None
        self._pool: Any = None
        self._keeper: torch.cuda.CUDAGraph | None = None
        self._failures = 0
        self.failure: BaseException | None = None  # the last one

    def __call__(self, key: Hashable, batch: Batch) -> object:
        """The step's result; that of a captured one lives in the graph's memory until the next."""
        if self._failures >= TRIES:
            return self._work(batch)
        if key != self._key:
            self.drop()
            result = self._work(batch)
            self._key = key
            return result
        with torch.cuda.device(batch.image.device):  # a capture takes place on the current device
            if self._graph is None and not self._capture(batch):
                return self._work(batch)
        assert self._graph is not None
        _copy(batch, self._batch)
        self._graph.replay()
        return self._result

    def drop(self) -> None:
        """Forget the graph; the next step runs as it is."""
        self._key = self._graph = self._batch = self._result = None

    def make_room(self) -> None:
        """Capture anew where the rasterizer had too little room lately, which makes it slow."""
        from surfhead.core.kernels import cuda

        if cuda.check_overflow():
            self.drop()

    def _capture(self, batch: Batch) -> bool:
        try:
            pool = self._shared_pool(batch.image.device)
            graph, own = torch.cuda.CUDAGraph(), _clone(batch)
            # other threads decode pictures meanwhile, which must not break the capture
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                result = self._work(own)
        except Exception as failure:  # whatever a component did that a graph cannot hold
            self.failure = failure
            self._failures += 1
            if self._failures == TRIES:
                log.info("Steps run without CUDA graphs: %s", (str(failure).splitlines() or [""])[0])
            return False
        self._graph, self._batch, self._result = graph, own, result
        return True

    def _shared_pool(self, device: torch.device) -> Any:
        """The memory of all graphs. It would die with its last graph, so an empty one keeps it."""
        if self._pool is None:
            pool = torch.cuda.graph_pool_handle()
            keeper = torch.cuda.CUDAGraph()
            with torch.cuda.graph(keeper, pool=pool, capture_error_mode="thread_local"):
                torch.zeros(1, device=device)
            self._pool, self._keeper = pool, keeper
        return self._pool


def _tensors(batch: Batch) -> list[Tensor]:
    """The tensors of a batch in a fixed order."""
    cameras = batch.cameras
    found = [cameras.camera_from_world, cameras.intrinsics]
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            found.append(value)
    return found


def _clone(batch: Batch) -> Batch:
    cameras = batch.cameras
    copied = {
        field.name: getattr(batch, field.name).clone()
        for field in dataclasses.fields(batch)
        if isinstance(getattr(batch, field.name), Tensor)
    }
    own = Cameras(
        cameras.camera_from_world.clone(), cameras.intrinsics.clone(), cameras.height, cameras.width
    )
    return dataclasses.replace(batch, cameras=own, **copied)


def _copy(source: Batch, target: Batch | None) -> None:
    assert target is not None
    for own, new in zip(_tensors(target), _tensors(source), strict=True):
        own.copy_(new, non_blocking=True)
