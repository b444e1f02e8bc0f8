"""Spherical harmonics: a smooth view-dependent colour for every surfel.

rgb = max(SH(d) + 0.5, 0) with the direction d from the camera to the surfel in rest space (3DGS). The degree
in use starts at 0 and rises by one every ``interval`` images up to ``degree``, so that the constant
colours settle first. Harmonics above the degree in use are not computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from surfhead.core.api import (
    Appearance,
    Binding,
    Colour,
    ColourModel,
    Directional,
    ParameterSpec,
    Surface,
    option,
)
from surfhead.plugins.appearances.diffuse import Diffuse


@final
class Sh(Appearance):
    """Spherical harmonics (method: section 6)."""

    name = "sh"
    summary = "Spherical harmonics up to degree 3."
    capturable = True

    @dataclass(frozen=True)
    class Options:
        """The degree and how it is reached."""

        degree: int = option(3, "Highest degree of the harmonics, 0 to 3.", low=0, high=3, live=True)
        interval: int = option(
            1000,
            "Images after which the degree in use rises by one; 0: all at once.",
            low=0,
            of=300_000,
            times="degree",
        )

    options: Options

    def __init__(self, options: object = None) -> None:
        super().__init__(options)
        self._diffuse = Diffuse(self.options.degree, self.options.interval)

    def parameters(self) -> Mapping[str, ParameterSpec]:
        """``sh_dc`` and ``sh_rest``."""
        return self._diffuse.parameters()

    def advance(self, images: int) -> None:
        """Raise the degree in use."""
        self._diffuse.advance(images)

    def stage(self) -> tuple[Any, ...]:
        """The degree in use."""
        return (self._diffuse.active,)

    def directional(self) -> Directional:
        """The harmonics."""
        return self._diffuse.directional()

    def colour_model(self, binding: Binding) -> ColourModel:
        """The harmonics in use."""
        return ColourModel(*self._diffuse.numbers(binding.parameters))

    def __call__(
        self,
        binding: Binding,
        directions: Tensor,
        normals: Tensor,
        rotation: Tensor,
        parts: bool = False,
        surface: Surface | None = None,
    ) -> Colour:
        """The colours; the only part is ``diffuse``, all of it."""
        rgb = self._diffuse(binding.parameters, directions).clamp_min(0.0)
        return Colour(rgb, {"diffuse": rgb} if parts else {})
