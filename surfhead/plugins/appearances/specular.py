"""What `sg`, `asg` and `lasg` share: their options, and harmonic colour with a highlight on a region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from surfhead.core.api import (
    Binding,
    Colour,
    ColourModel,
    Highlight,
    OptionError,
    ParameterSpec,
    RestMesh,
    Schedule,
    option,
    unknown_name,
)
from surfhead.kernels import ops
from surfhead.kernels.ops.lobes import OCTAVES
from surfhead.maths import launches
from surfhead.plugins.appearances.diffuse import Diffuse
from surfhead.plugins.appearances.lobes import FEATURES, LobeNetwork, lobe_axes

EVERYWHERE = "all"


@dataclass(frozen=True)
class SpecularOptions:
    """Where and when the highlight is, and the harmonics below it."""

    region: str = option(
        "eyeballs",
        "Region of the rig that shines, or all.",
    )
    start: int = option(2500, "Images after which the highlight is switched on.", low=0, of=300_000)
    frame: Literal["canonical", "world"] = option(
        "canonical",
        "Whether light turns with the head (canonical, as published) or stays put (world).",
        live=True,
    )
    lobe_grid: Literal["spread", "published"] = option(
        "spread",
        "Lobe axes on bands of equal area (spread), or on the grid with end points of SurFhead (published).",
    )
    degree: int = option(3, "Highest degree of the harmonics, 0 to 3.", low=0, high=3, live=True)
    interval: int = option(
        1000,
        "Images after which the degree in use rises by one; 0: all at once.",
        low=0,
        of=300_000,
        times="degree",
    )


@dataclass(frozen=True)
class Lobes:
    """The lobes of one model: a grid on the sphere or the front half of it, their kind, and the light.

    Attributes:
        rows, columns: the grid.
        hemisphere: only about the rig's front.
        anisotropic: the kind of lobe.
        channels: 3 for coloured, 1 for white light.
    """

    rows: int
    columns: int
    hemisphere: bool
    anisotropic: bool
    channels: int


class Specular:
    """max(SH(d) + 0.5 + highlight, 0), the highlight on one region and after ``start`` images.

    Args:
        name: the model's registered name, for messages.
        options: see ``SpecularOptions``.
        lobes: the model's lobes.
    """

    def __init__(self, name: str, options: SpecularOptions, lobes: Lobes) -> None:
        self.name = name
        self.options = options
        self.lobes = lobes
        self.diffuse = Diffuse(options.degree, options.interval)
        self.on = options.start == 0
        self._front = (0.0, 0.0, 1.0)
        self._network: LobeNetwork | None = None

    def parameters(self) -> Mapping[str, ParameterSpec]:
        """The harmonics' parameters and ``specular`` (24,)."""
        specs = self.diffuse.parameters()
        specs["specular"] = self.features()
        return specs

    def features(self) -> ParameterSpec:
        """``specular`` (24,), what the lobes of a surfel are made of."""
        region = "" if self.options.region == EVERYWHERE else self.options.region
        return ParameterSpec((FEATURES,), 0.0, Schedule(2.5e-3), region=region)

    def _axes(self) -> Tensor:
        lobes = self.lobes
        front = self._front if lobes.hemisphere else (0.0, 0.0, 1.0)
        return lobe_axes(lobes.rows, lobes.columns, lobes.hemisphere, front, self.options.lobe_grid)

    def network(self) -> LobeNetwork:
        """The network, built at the first call from torch's global random state."""
        if self._network is None:
            self._network = LobeNetwork(self._axes(), self.lobes.anisotropic, self.lobes.channels)
        return self._network

    def prepare(self, rest: RestMesh | None) -> None:
        """Take the rig's front. Raises OptionError when the region does not exist."""
        region = self.options.region
        if rest is None:
            if region != EVERYWHERE:
                raise OptionError(
                    f'Appearance "{self.name}" should shine on the region "{region}", but there is no rig.',
                    f'Without a rig the only region is "{EVERYWHERE}".',
                    "Add --set appearance.region=all, or choose --appearance sh.",
                )
            return
        known = rest.topology.regions
        if region != EVERYWHERE and region not in known:
            raise unknown_name(
                "region",
                region,
                [*known, EVERYWHERE],
                "Choose one of these with --set appearance.region=NAME.",
                OptionError,
            )
        self._front = rest.topology.front
        if self._network is not None:
            self._network.axes.copy_(self._axes())

    def advance(self, images: int) -> None:
        """Raise the degree and switch the highlight on."""
        self.diffuse.advance(images)
        self.on = images >= self.options.start

    def stage(self) -> tuple[Any, ...]:
        """The degree in use and whether the highlight is on."""
        return (self.diffuse.active, self.on)

    def colour_model(self, binding: Binding) -> ColourModel:
        """Harmonics and the highlight."""
        return ColourModel(*self.diffuse.numbers(binding.parameters), self.highlight_model(binding))

    def highlight_model(self, binding: Binding) -> Highlight | None:
        """The highlight of the region's surfels, its lobes' responses worked out; None while it is off."""
        if not self.on:
            return None
        everywhere = self.options.region == EVERYWHERE
        features = binding.parameters["specular"].detach()
        surfels = torch.arange(len(features), device=features.device) if everywhere else self.surfels(binding)
        network = self.network()
        with torch.no_grad():
            amplitude, sharpness = network.lobe_shapes(features[surfels])
        return Highlight(
            surfels=surfels,
            axes=network.axes,
            amplitude=amplitude,
            sharpness=sharpness,
            layers=network.layers(),
            octaves=OCTAVES,
            world=self.options.frame == "world",
        )

    def highlight_of(
        self, index: Tensor, features: Tensor, directions: Tensor, normals: Tensor, rotation: Tensor
    ) -> Tensor:
        """(B, M, 3) the specular term of M of N surfels, the inputs being those of all N."""
        return self._at(index, features, launches.index_select(directions, 1, index), normals, rotation)

    def _at(self, index: Tensor, features: Tensor, near: Tensor, normals: Tensor, rotation: Tensor) -> Tensor:
        """``highlight_of``, the directions ``near`` being those of the M surfels alone."""
        turned = rotation.index_select(1, index) if self.options.frame == "world" else None
        some = launches.index_select(features, 0, index)
        return self.highlight(some, near, normals.index_select(1, index), turned)

    def highlight(
        self, features: Tensor, directions: Tensor, normals: Tensor, rotation: Tensor | None
    ) -> Tensor:
        """(B, M, 3) the specular term of M surfels with features (M, 24), not clamped.

        ``rotation`` (B, M, 3, 3) is needed in the frame ``world``.
        """
        if self.options.frame == "world" and rotation is not None:
            directions = (rotation * directions[..., None, :]).sum(dim=-1)
            normals = (rotation.detach() * normals[..., None, :]).sum(dim=-1)
        return self.network().shine(features, directions, normals)

    def __call__(
        self, binding: Binding, directions: Tensor, normals: Tensor, rotation: Tensor, parts: bool
    ) -> Colour:
        """The colours; the parts ``diffuse`` and ``specular`` add up to ``rgb``."""
        everywhere = self.options.region == EVERYWHERE
        index = self.surfels(binding) if self.on and not everywhere else None
        near = directions
        if index is not None:
            directions, near = ops.selected_beside(directions, 1, index)
        plain = self.diffuse(binding.parameters, directions)
        total = plain
        if self.on:
            features = binding.parameters["specular"]
            if index is None:
                total = plain + self.highlight(features, directions, normals, rotation)
            else:
                shine = self._at(index, features, near, normals, rotation)
                # in place where nobody needs the matte part: it is as large as all colours
                own = not parts and plain.is_contiguous()
                total = (plain.index_add_ if own else plain.index_add)(1, index, shine)
        rgb = launches.above_zero(total)
        if not parts:
            return Colour(rgb)
        matte = plain.clamp_min(0.0)
        return Colour(rgb, {"diffuse": matte, "specular": rgb - matte})

    def surfels(self, binding: Binding) -> Tensor:
        """(M,) indices of the surfels that shine."""
        region = self.options.region
        if region == EVERYWHERE:
            return torch.arange(len(binding), device=binding.triangle.device)
        if region not in binding.regions:
            raise unknown_name(
                "region",
                region,
                [*binding.regions, EVERYWHERE],
                "Choose one of these with --set appearance.region=NAME.",
                OptionError,
            )
        return binding.regions[region]
