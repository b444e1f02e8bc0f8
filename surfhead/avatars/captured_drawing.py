"""Pictures of an avatar as CUDA graphs: one launch for rig, deformer, appearance and rasterizer together."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from surfhead.avatars.captured_work import CapturedWork, copy_all, not_capturable, tensors_in, with_tensors
from surfhead.avatars.rendering import Rendering, Sight, bytes_of
from surfhead.avatars.surfels import Surfels
from surfhead.core.components import Appearance, Deformer, Rasterizer, Rig
from surfhead.core.types import AffineField, Cameras, Colour, RenderOutput, WorldSurfels

KEPT = 4  # shapes of pictures whose graphs are kept
LOOK = 20  # pictures between two looks at whether the rasterizer had room enough


class Drawable(Protocol):
    """The avatar as it is drawn here."""

    surfels: Surfels
    rig: Rig
    deformer: Deformer
    appearance: Appearance
    rasterizer: Rasterizer
    graphs: bool

    @property
    def device(self) -> torch.device:
        """Where the surfels live."""

    def draw(
        self,
        cameras: Cameras,
        parameters: Mapping[str, Tensor],
        pose_of_view: Tensor,
        background: Tensor,
        *,
        paired: bool = False,
        parts: bool = False,
        opacity_scale: Tensor | None = None,
    ) -> Rendering:
        """As in ``Avatar``."""


class CapturedDrawing:
    """Draws an avatar where no gradient is wanted; the second picture of a shape is captured for all later.

    A graph reads the surfels where they lie, so those of a run in training are always the latest.

    Args:
        avatar: what is drawn.
    """

    def __init__(self, avatar: Drawable) -> None:
        self.avatar = avatar
        self._works: OrderedDict[Hashable, CapturedWork[Sight, Any]] = OrderedDict()
        self._pictures = 0
        self._lock = threading.Lock()

    def __call__(self, sight: Sight, borrow: bool = False) -> Rendering:
        """The rendering; its tensors are the caller's own, or, with ``borrow``, perhaps those of a graph."""
        if not self._possible(sight):
            return self._draw(sight)
        with self._lock:
            return self._replayed(sight, borrow)

    def pixels(self, sight: Sight) -> Tensor:
        """(B, H, W, 3) uint8, the pictures alone, perhaps in a graph's memory."""
        if not self._possible(sight):
            return self._draw_pixels(sight)
        with self._lock:
            given = tensors_in(sight)
            work = self._work(sight, given, self._draw_pixels)
            return cast(Tensor, work(self._state(), sight, given))

    def _possible(self, sight: Sight) -> bool:
        """Whether a graph may hold it and nothing else uses the graph's memory meanwhile."""
        avatar = self.avatar
        device = avatar.device
        return (
            avatar.graphs
            and device.type == "cuda"
            and not sight.parts
            and type(sight.cameras) is Cameras  # all of which names a graph
            and not not_capturable((avatar.rig, avatar.deformer, avatar.appearance, avatar.rasterizer))
            # other streams' work would not wait for what was copied out of the graph's memory
            and torch.cuda.current_stream(device) == torch.cuda.default_stream(device)
            and not torch.cuda.is_current_stream_capturing()
        )

    def _replayed(self, sight: Sight, borrow: bool) -> Rendering:
        given = tensors_in(sight)
        work = self._work(sight, given, self._draw)
        found: Rendering = work(self._state(), sight, given)
        if not work.captured:
            return found
        if borrow:  # but a mesh of its own, which has not kept what it computed for the picture before
            mesh = None if found.mesh is None else dataclasses.replace(found.mesh)
            return dataclasses.replace(found, mesh=mesh, rig_parameters=sight.parameters)
        return _copied(found, sight)

    def _work(
        self, sight: Sight, given: Sequence[Tensor], done: Callable[[Sight], Any]
    ) -> CapturedWork[Sight, Any]:
        """What does this, for sights of this shape."""
        key = (done.__name__, self._shape(sight, given))
        work = self._works.pop(key, None) or CapturedWork(done)
        self._works[key] = work  # the latest last
        if len(self._works) > KEPT:
            self._works.popitem(last=False)
        self._pictures += 1
        if self._pictures % LOOK == 0:
            work.make_room()
        return work

    def _draw_pixels(self, sight: Sight) -> Tensor:
        return bytes_of(self._draw(sight).output.rgb)

    def _draw(self, sight: Sight) -> Rendering:
        return self.avatar.draw(
            sight.cameras,
            sight.parameters,
            sight.pose_of_view,
            sight.background,
            paired=sight.paired,
            parts=sight.parts,
            opacity_scale=sight.opacity_scale,
        )

    def _shape(self, sight: Sight, given: Sequence[Tensor]) -> Hashable:
        """What of the arguments, and of the tensors in them, the host decides by."""
        names = tuple(sorted(sight.parameters))
        sizes = tuple((value.shape, value.dtype) for value in given)
        cameras = sight.cameras
        return (
            cameras.height,
            cameras.width,
            cameras.near,
            names,
            sizes,
            sight.opacity_scale is None,
            sight.paired,
        )

    def _state(self) -> Hashable:
        """What of the avatar the host decides by: its surfels' tensors and its components."""
        avatar = self.avatar
        surfels, network = avatar.surfels, avatar.appearance.network()
        held = [*surfels.parameters.values(), *([] if network is None else _parameters(network))]
        rest = avatar.rig.rest() if avatar.deformer.rig_bound else None
        parts = (avatar.rig, avatar.deformer, avatar.appearance, avatar.rasterizer, rest)
        places = tuple(value.data_ptr() for value in held)
        return surfels.generation, places, tuple(map(_Same, parts)), avatar.appearance.stage()


def _parameters(network: nn.Module) -> list[Tensor]:
    """Its parameters, by a shorter way than its own, which thinks of names."""
    found: list[Tensor] = [value for value in network._parameters.values() if value is not None]
    for part in network._modules.values():
        if part is not None:
            found += _parameters(part)
    return found


class _Same:
    """An object that equals only itself, and lives as long as it is compared with."""

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.held is other.held

    def __hash__(self) -> int:
        return id(self.held)


@dataclasses.dataclass(frozen=True)
class _Moving:
    """The parts of a rendering that lie in a graph's memory."""

    output: RenderOutput
    surfels: WorldSurfels
    field: AffineField
    colour: Colour
    vertices: Tensor | None


def _copied(found: Rendering, sight: Sight) -> Rendering:
    """A rendering with memory of its own; the graph's is written anew by its next picture."""
    mesh = found.mesh
    moving = _Moving(
        found.output, found.surfels, found.field, found.colour, None if mesh is None else mesh.vertices
    )
    source = tensors_in(moving)
    copies = [torch.empty_like(value) for value in source]
    copy_all(copies, source)
    rows = iter(copies)
    own = with_tensors(moving, lambda _: next(rows))
    if mesh is not None and own.vertices is not None:
        mesh = dataclasses.replace(mesh, vertices=own.vertices)  # without what it has computed
    return Rendering(own.output, own.surfels, own.field, mesh, own.colour, sight.parameters, {})
