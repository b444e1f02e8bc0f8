"""What is drawn, and what comes out of drawing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.core.types import AffineField, Cameras, Colour, Mesh, RenderOutput, WorldSurfels


@dataclass(frozen=True)
class Sight:
    """B views of P poses to draw; the arguments of ``Avatar.draw``.

    Attributes:
        cameras: B cameras.
        parameters: rig parameters name -> (P, d).
        pose_of_view: (B,) int64.
        background: (B, 3) RGB.
        opacity_scale: (N,) factor of each surfel's opacity, or None.
        paired: every view has a pose of its own, in order.
        parts: also draw the colour's parts.
    """

    cameras: Cameras
    parameters: Mapping[str, Tensor]
    pose_of_view: Tensor
    background: Tensor
    opacity_scale: Tensor | None = None
    paired: bool = False
    parts: bool = False


@dataclass(frozen=True)
class Rendering:
    """What came out of drawing B views of P poses, with everything in between.

    Attributes:
        output: the pictures.
        surfels: the world surfels that were drawn: of P poses, or, where they were tracked, of B views.
        field: the deformer's field.
        mesh: the posed mesh, or None.
        colour: the surfels' colours per view.
        rig_parameters: the poses' parameters.
        parts: named pictures of the colour's parts (B, H, W, 3), on request.
    """

    output: RenderOutput
    surfels: WorldSurfels
    field: AffineField
    mesh: Mesh | None
    colour: Colour
    rig_parameters: Mapping[str, Tensor]
    parts: Mapping[str, Tensor]


def bytes_of(colours: Tensor) -> Tensor:
    """Colours in [0, 1], clipped and rounded to uint8, on their device."""
    return colours.detach().clamp(0.0, 1.0).mul_(255.0).round_().to(torch.uint8)
