"""What `sg`, `asg` and `lasg` are: harmonics with a highlight, which differ in their lobes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from surfhead.core.api import (
    Appearance,
    Binding,
    Colour,
    ColourModel,
    Directional,
    ParameterSpec,
    RestMesh,
    Surface,
)
from surfhead.plugins.appearances.specular import Lobes, Specular, SpecularOptions


class LobeAppearance(Appearance):
    """The base of these three; abstract, since it has no lobes.

    Attributes:
        lobes: what a model is made of.
    """

    lobes: ClassVar[Lobes]
    capturable = True

    @dataclass(frozen=True)
    class Options(SpecularOptions):
        """Where and when the highlight is, and the harmonics below it."""

    options: Options

    def __init__(self, options: object = None) -> None:
        super().__init__(options)
        self._specular = Specular(self.name, self.options, self.lobes)

    def parameters(self) -> Mapping[str, ParameterSpec]:
        """``sh_dc``, ``sh_rest`` and ``specular``."""
        return self._specular.parameters()

    def network(self) -> nn.Module:
        """The network shared by the region's surfels."""
        return self._specular.network()

    def prepare(self, rest: RestMesh | None) -> None:
        """Check the region and take the rig's front; raises OptionError for a region that is not there."""
        self._specular.prepare(rest)

    def advance(self, images: int) -> None:
        """Raise the degree in use and switch the highlight on."""
        self._specular.advance(images)

    def stage(self) -> tuple[Any, ...]:
        """The degree in use and whether the highlight is on."""
        return self._specular.stage()

    def directional(self) -> Directional:
        """The harmonics below the highlight."""
        return self._specular.diffuse.directional()

    def colour_model(self, binding: Binding) -> ColourModel:
        """Harmonics and the highlight as plain numbers."""
        return self._specular.colour_model(binding)

    def __call__(
        self,
        binding: Binding,
        directions: Tensor,
        normals: Tensor,
        rotation: Tensor,
        parts: bool = False,
        surface: Surface | None = None,
    ) -> Colour:
        """The colours, and on request their parts ``diffuse`` and ``specular``."""
        return self._specular(binding, directions, normals, rotation, parts)
