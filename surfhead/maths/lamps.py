"""Named lights: a sky, a ground and some lamps, as the built-in data set draws them and as harmonics.

Directions are in the world: +x to the right of a picture of the face, +y up, +z out of the face. Strengths
are what a white matte surface shows that faces the lamp (or the sky) and is not in shadow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from surfhead.maths import harmonics
from surfhead.maths.light import BANDS, Light, band_factors, directions_of, projected

Colour = tuple[float, float, float]
HEIGHT = 128  # rows of the picture whose harmonics are taken
WRAP = 0.25  # lamps are soft: they light surfaces turned away by up to asin of this


@dataclass(frozen=True)
class Lamp:
    """A soft lamp far away: a surface of normal n shows ``colour`` max((n·direction + wrap)/(1 + wrap), 0).

    Attributes:
        direction: towards the lamp; of any length.
        colour: RGB strength.
    """

    direction: tuple[float, float, float]
    colour: Colour


@dataclass(frozen=True)
class Lamps:
    """A light: a matte surface shows ground + (sky - ground) (1 + n·up)/2 and what each lamp adds.

    Attributes:
        name: registered name.
        summary: one line.
        sky, ground: RGB shading of surfaces that face up and down.
        lamps: the lamps, the strongest first.
        shadowless: nothing hides any of it from anything.
    """

    name: str
    summary: str
    sky: Colour
    ground: Colour
    lamps: tuple[Lamp, ...]
    shadowless: bool = False

    def shading(self, normals: Tensor) -> Tensor:
        """(..., 3) what white matte surfaces of unit ``normals`` (..., 3) show in the open."""
        sky, ground = normals.new_tensor(self.sky), normals.new_tensor(self.ground)
        total = ground + (sky - ground) * (0.5 + 0.5 * normals[..., 1:2])
        for lamp in self.lamps:
            towards = normalize(normals.new_tensor(lamp.direction), dim=0)
            facing = ((normals @ towards + WRAP) / (1.0 + WRAP)).clamp(min=0)
            total = total + facing[..., None] * normals.new_tensor(lamp.colour)
        return total

    def light(self) -> Light:
        """The light whose shading this is, as harmonics to the second degree."""
        return _light(self)


@cache
def _light(lamps: Lamps) -> Light:
    shading = lamps.shading(directions_of(HEIGHT, 2 * HEIGHT))
    harmonic = torch.from_numpy(projected(shading.numpy(), 2)).float()
    return Light(harmonic / band_factors(BANDS, 2), lamps.name)


STUDIO = Lamps(
    "studio",
    "A bright sky and a soft key light from the upper right: what the built-in data is drawn under.",
    (0.86, 0.86, 0.86),
    (0.58, 0.58, 0.58),
    (Lamp((0.42, 0.55, 0.72), (0.34, 0.34, 0.34)),),
)
LAMPS = {
    lamps.name: lamps
    for lamps in (
        STUDIO,
        Lamps(
            "window",
            "Cool light from a window on the left, a dim room.",
            (0.34, 0.36, 0.42),
            (0.22, 0.21, 0.20),
            (Lamp((-0.85, 0.25, 0.45), (0.62, 0.67, 0.76)),),
        ),
        Lamps(
            "noon",
            "High sun before a blue sky, warm light from the ground.",
            (0.36, 0.40, 0.48),
            (0.30, 0.26, 0.21),
            (Lamp((0.10, 0.90, 0.42), (0.64, 0.59, 0.52)),),
        ),
        Lamps(
            "sunset",
            "Low warm sun from the right, a violet sky.",
            (0.34, 0.32, 0.46),
            (0.24, 0.19, 0.18),
            (Lamp((0.92, 0.12, 0.36), (0.76, 0.48, 0.28)),),
        ),
        Lamps(
            "stage",
            "A red lamp on the left and a blue one on the right.",
            (0.20, 0.18, 0.22),
            (0.12, 0.10, 0.14),
            (Lamp((-0.75, 0.30, 0.58), (0.78, 0.25, 0.20)), Lamp((0.75, 0.30, 0.58), (0.22, 0.32, 0.80))),
        ),
        Lamps(
            "even",
            "The same white light from everywhere and no shadows: pictures show the albedo.",
            (1.0, 1.0, 1.0),
            (1.0, 1.0, 1.0),
            (),
            shadowless=True,
        ),
    )
}
"""Every named light."""


def lamp_from(direction: tuple[float, float, float], colour: Colour) -> Light:
    """One lamp far away, as harmonics to the second degree; a direction of no length means from the front.

    Coefficients of a lobe about d are those of the lobe about +z times √(4π/(2l + 1)) Y_lm(d), band by band.
    """
    towards = normalize(torch.tensor(direction, dtype=torch.float32), dim=0)
    if not bool(towards.any()):
        towards = torch.tensor([0.0, 0.0, 1.0])
    upright = _light(Lamps("lamp", "", (0.0,) * 3, (0.0,) * 3, (Lamp((0.0, 0.0, 1.0), (1.0,) * 3),)))
    around = [upright.coefficients[band * (band + 1), 0].item() for band in range(3)]
    factors = [value * (4.0 * math.pi / (2 * band + 1)) ** 0.5 for band, value in enumerate(around)]
    lobe = band_factors(tuple(factors), 2) * harmonics.basis(towards, 2)[:, None]
    return Light(lobe * torch.tensor(colour), "lamp")
