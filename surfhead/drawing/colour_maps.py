"""Values as colours: heat, stretch, normals, and a colour of its own for every number."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

SHORTER, NEUTRAL, LONGER = (0.13, 0.40, 0.67), (0.93, 0.93, 0.93), (0.70, 0.09, 0.17)  # blue, grey, red
PLASTIC = 1.22074408460575947536  # root of x⁴ = x + 1: its powers fill the unit cube evenly (Roberts 2018)
DARKEST = 0.15  # of the distinct colours, so that none is lost on black


def heat(values: Tensor) -> Tensor:
    """(..., 3) colours of ``values`` in [0, 1]: black, red, yellow, white."""
    return torch.stack([(3.0 * values - band).clamp(0.0, 1.0) for band in range(3)], dim=-1)


def ratio_colours(ratio: Tensor, full: float) -> Tensor:
    """(..., 3) colours of ratios on a logarithmic scale: 1 is light grey, longer is red, shorter blue.

    Args:
        ratio: (...) positive.
        full: the ratio (above 1) of the fullest red; its inverse has the fullest blue.
    """
    place = (ratio.clamp_min(1e-12).log() / math.log(full)).clamp(-1.0, 1.0)[..., None]
    shorter, neutral, longer = (ratio.new_tensor(colour) for colour in (SHORTER, NEUTRAL, LONGER))
    return neutral + place.abs() * (torch.where(place < 0, shorter, longer) - neutral)


def distinct_colours(numbers: Tensor) -> Tensor:
    """(..., 3) float32, a colour of its own for every number, those of close numbers far apart.

    The points of an additive recurrence that covers the colour cube evenly; -1 is mid grey.

    Args:
        numbers: (...) integers from -1 on.
    """
    steps = torch.tensor([PLASTIC**-1, PLASTIC**-2, PLASTIC**-3], dtype=torch.float64, device=numbers.device)
    colours = DARKEST + (1.0 - DARKEST) * torch.frac(0.5 + numbers[..., None].double() * steps)
    return torch.where(numbers[..., None] < 0, 0.5, colours).float()


def normal_colours(normal: Tensor) -> Tensor:
    """(..., 3) camera-space normals (OpenCV axes, any length) as RGB in [0, 1], y up and z to the viewer."""
    unit = torch.nn.functional.normalize(normal, dim=-1)
    towards_viewer = torch.tensor([1.0, -1.0, -1.0], dtype=unit.dtype, device=unit.device)
    return (unit * towards_viewer + 1.0) / 2.0


MAPS: dict[str, str] = {
    "grey": "Black to white.",
    "heat": "Black, red, yellow, white.",
    "blue-red": "Blue, light grey in the middle, red: for what has a middle.",
    "viridis": "Blue, green, yellow: even to the eye, also of colour-blind people.",
    "cividis": "Blue to yellow: the same to colour-blind eyes as to others.",
    "plasma": "Violet, red, yellow: even to the eye.",
    "turbo": "The rainbow, without its false edges.",
}
STEPS = 256  # of the tables
PLAIN = ("grey", "heat", "blue-red")  # computed; the others are tables of kornia


@cache
def table(name: str) -> Tensor:
    """(256, 3) the colours of a map, a name of ``MAPS``, from its low end to its high one."""
    place = torch.linspace(0.0, 1.0, STEPS)
    if name in PLAIN:
        return mapped(place, name).contiguous()
    from kornia.color import ColorMap

    colours: Tensor = ColorMap(name, num_colors=STEPS).colors
    return colours.mT.contiguous().float()


def mapped(place: Tensor, name: str) -> Tensor:
    """(..., 3) colours of numbers (...) in [0, 1] by a map, a name of ``MAPS``."""
    if name == "grey":
        return place[..., None].expand(*place.shape, 3)
    if name == "heat":
        return heat(place)
    if name == "blue-red":
        return ratio_colours(torch.exp(2.0 * place - 1.0), math.e)
    colours = table(name).to(place)
    at = place * (STEPS - 1)
    low = at.floor().clamp(0, STEPS - 2)
    share = (at - low)[..., None]
    index = low.long()
    return colours[index] * (1.0 - share) + colours[index + 1] * share
