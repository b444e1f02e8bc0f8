"""What one picture of the page shows, and the request to draw it."""

from __future__ import annotations

from dataclasses import dataclass, field

from surfhead.viewing.lighting import Lighting
from surfhead.viewing.puppet import Stance
from surfhead.viewing.variants import Look
from surfhead.viewing.viewpoint import Vector, Viewpoint


@dataclass(frozen=True)
class Shot:
    """Everything that decides a picture but its size.

    Attributes:
        viewpoint: where the camera is.
        stance: the pose.
        channel: what is shown, a name of ``surfhead.drawing.channels``.
        look: options, hidden regions, highlight.
        background: RGB in [0, 1]; None: the avatar's own.
        opacity_scale: factor of every opacity.
        colour_map: of channels of numbers, a name of ``surfhead.drawing.colour_maps.MAPS``; None: their own.
        percentile: per cent of the picture's numbers beyond either end of the map; None: the channel's range.
        bar: whether a bar says what the colours of numbers mean.
        beside: how another run is shown, a name of ``surfhead.viewing.beside.WAYS``.
        camera: number of the training camera whose view this is, or None for a free camera.
        split: share of the picture's width, from the left, that shows the truth of that camera.
        lighting: the light, for avatars that can be lit anew.
    """

    viewpoint: Viewpoint
    stance: Stance = field(default_factory=Stance)
    channel: str = "rgb"
    look: Look = field(default_factory=Look)
    background: Vector | None = None
    opacity_scale: float = 1.0
    colour_map: str | None = None
    percentile: float | None = None
    bar: bool = True
    beside: str = "alone"
    camera: int | None = None
    split: float = 0.0
    lighting: Lighting = field(default_factory=Lighting)


@dataclass(frozen=True)
class Request:
    """A picture to draw now.

    Attributes:
        shot: of what.
        aspect: width over height.
        longest: pixels of the longer side.
        full: whether this is the size for a still picture.
        version: the session's when it was asked for.
    """

    shot: Shot
    aspect: float
    longest: int
    full: bool
    version: int
