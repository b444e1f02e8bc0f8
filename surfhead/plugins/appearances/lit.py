"""An avatar that can be lit anew: albedo times distant light, gloss, eye highlights, and a small residual.

::

    rgb = max(a S(n) + F(d·n) R(o) + eyes + r(d), 0)

- a = sigmoid(``albedo``), the base colour, 0.5 at the start.
- S is *shading*, the light's irradiance over π at the world normal n: its harmonics, each band times
  A_l/π = 1, 2/3, 1/4, 0 (Ramamoorthi and Hanrahan, "On the relationship between radiance and irradiance",
  JOSA A 2001). The light is one set of coefficients of degree 2 or 3, the same for all surfels and all
  poses, in world space: lamps stay where they are while the head turns. n carries gradient: shading shapes
  the head.
- F R is the mirror image of the same light in skin, hair and teeth: R takes the light at the reflected
  direction o = d - 2(d·n)n through a normalised Phong lobe of exponent s, whose band l is exp(-l²/2s)
  ("Frequency Space Environment Map Rendering", Ramamoorthi and Hanrahan, SIGGRAPH 2002), s learnt and shared;
  F is Schlick's Fresnel term ("An Inexpensive BRDF Model for Physically-based Rendering", 1994) with 0.028 at
  right angles (skin, index of refraction 1.4) times a learnt share a surfel.
- ``eyes``: the white lobes of `lasg` on one region, switched on after ``start`` images. What eyes mirror is
  sharper than harmonics can be. Under another light they are as much brighter as it is where they look.
- r: harmonics of degree >= 1 in rest space, for what is none of these. The regularizer ``residual`` keeps it
  small, so that light goes where light belongs.
- with ``occlusion``, S is multiplied by sigmoid(``occlusion``), a share of the light that reaches the
  surfel. In a picture it cannot be told from a darker albedo; ``albedo_smoothness`` tells them apart.

Brighter light on darker skin gives the same picture. That is settled by fixing the light: its shading has the
mean 1 over the sphere in each channel, L_00 = 1/Y_00, and only its higher bands are learnt. The albedo
therefore is the colour under uniform white light of radiance 1; what lamps of another mean would give
differs from it by one factor a channel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from surfhead.core.api import (
    BASE_COLOUR,
    Appearance,
    Binding,
    Colour,
    ColourModel,
    Directional,
    Encoding,
    OptionError,
    ParameterSpec,
    RestMesh,
    Schedule,
    Surface,
    SurfaceWants,
    harmonics,
    light,
    option,
    planes,
)
from surfhead.kernels import ops
from surfhead.maths.light import Light
from surfhead.maths.lit_colours import DARKEST, NORMAL_INCIDENCE, LitColours
from surfhead.plugins.appearances.diffuse import RATE, Diffuse
from surfhead.plugins.appearances.irradiance import quadric_map, quadric_values
from surfhead.plugins.appearances.lobes import LobeNetwork
from surfhead.plugins.appearances.specular import Lobes, Specular, SpecularOptions

EXPONENT = 8.0  # of the gloss at the start
LIGHT_PACE = 8.0  # times the network's rate: every pixel speaks of these few numbers
MARGIN = 1e-3  # albedo is started this far from 0 and 1


def _logit(rgb: Tensor) -> Tensor:
    return torch.logit(rgb, eps=MARGIN)


class LitNetwork(nn.Module):
    """The light, the gloss's sharpness and the eyes' lobes: what all surfels share.

    Attributes:
        light: (K - 1, 3) learnt coefficients above the constant, over ``LIGHT_PACE``.
        sharpness: () logarithm of the gloss's exponent over its start.
        eyes: the lobes.
        given: (K, 3) another light, while ``relit``.
    """

    given: Tensor
    constant: Tensor
    cosine: Tensor
    quadric: Tensor
    squares: Tensor

    def __init__(self, degree: int, eyes: LobeNetwork) -> None:
        super().__init__()
        count = harmonics.size(degree)
        self.degree = degree
        self.light = nn.Parameter(torch.zeros(count - 1, 3))
        self.sharpness = nn.Parameter(torch.zeros(()))
        self.eyes = eyes
        self.relit = False
        # not saved: they follow from the options
        self.register_buffer("given", torch.zeros(count, 3), persistent=False)
        self.register_buffer("constant", torch.full((1, 3), 1.0 / harmonics.Y00), persistent=False)
        self.register_buffer("cosine", light.band_factors(light.BANDS, degree), persistent=False)
        self.register_buffer("squares", light.band_factors((0.0, 1.0, 4.0, 9.0), degree), persistent=False)
        self.register_buffer("quadric", quadric_map(), persistent=False)

    def learnt(self) -> Tensor:
        """(K, 3) the learnt light."""
        return torch.cat((self.constant, LIGHT_PACE * self.light))

    def coefficients(self) -> Tensor:
        """(K, 3) the light that is drawn under."""
        return self.given if self.relit else self.learnt()

    def shading_numbers(self) -> Tensor:
        """(13, 3) the quadric S; the third band adds nothing to it."""
        return self.quadric @ (self.cosine * self.coefficients())[: harmonics.size(2)]

    def shading(self, normals: Tensor) -> Tensor:
        """(B, N, 3) S at unit world normals (B, N, 3)."""
        return quadric_values(self.shading_numbers(), normals)

    def smooth(self, coefficients: Tensor) -> Tensor:
        """(K, 3) a light through the gloss's lobe."""
        lobe = torch.exp(self.squares * (-0.5 / EXPONENT) * torch.exp(-self.sharpness))
        return lobe * coefficients

    def mirrored(self, directions: Tensor, coefficients: Tensor) -> Tensor:
        """(B, N, 3) R at unit world directions (B, N, 3), not below 0."""
        smooth = self.smooth(coefficients)
        if self.degree == 2:
            values = quadric_values(self.quadric @ smooth, directions)
        else:
            values = harmonics.basis(directions, self.degree) @ smooth
        return values.clamp_min(0.0)


@final
class Lit(Appearance):
    """Albedo under distant light (method: section 6)."""

    name = "lit"
    summary = "Albedo under learnt distant light, which can be changed afterwards."
    capturable = True
    relightable = True
    wants = SurfaceWants(world_normals="gradient")

    @dataclass(frozen=True)
    class Options(SpecularOptions):
        """The light, the gloss, the eyes, and the residual's harmonics."""

        light_degree: int = option(2, "Degree of the light's harmonics, 2 or 3.", low=2, high=3)
        gloss: bool = option(True, "Whether skin mirrors the light.", live=True)
        occlusion: bool = option(False, "Whether each surfel learns which share of the light reaches it.")
        frame: Literal["canonical", "world"] = option(
            "world", "Whether the eyes' lobes turn with the head (canonical) or stay put (world).", live=True
        )
        degree: int = option(
            2, "Highest degree of the residual's harmonics, 0 (none) to 3.", low=0, high=3, live=True
        )

    options: Options

    def __init__(self, options: object = None) -> None:
        super().__init__(options)
        lobes = Lobes(rows=2, columns=8, hemisphere=True, anisotropic=True, channels=1)
        self._eyes = Specular(self.name, self.options, lobes)
        self._residual = Diffuse(self.options.degree, self.options.interval)
        self._network: LitNetwork | None = None

    def parameters(self) -> Mapping[str, ParameterSpec]:
        """``albedo``, ``residual``, ``specular``, and by option ``gloss`` and ``occlusion``."""
        encoding = Encoding(_logit, torch.sigmoid)
        # in the colours' group, so that presets hold for it; twice the rate, for the slope of sigmoid is
        # between 0.1 and 0.25 where that of the constant harmonic is 0.28
        specs = {
            "albedo": ParameterSpec(
                *((3,), 0.0, Schedule(2 * RATE)),
                group="sh",
                group_share=2.0,
                role=BASE_COLOUR,
                encoding=encoding,
                unseen="neighbours",
            ),
            "specular": self._eyes.features(),
        }
        if self.options.degree > 0:
            rest = (harmonics.size(self.options.degree) - 1, 3)
            specs["residual"] = ParameterSpec(
                rest, 0.0, Schedule(RATE / 20), group="sh", group_share=1 / 20, unseen="initial"
            )
        if self.options.gloss:
            specs["gloss"] = ParameterSpec((1,), -2.0, Schedule(RATE), group="sh", unseen="neighbours")
        if self.options.occlusion:
            specs["occlusion"] = ParameterSpec((1,), 3.0, Schedule(RATE), group="sh", unseen="neighbours")
        return specs

    def directional(self) -> Directional | None:
        """The residual's harmonics, which have no constant."""
        degree = self.options.degree
        if degree == 0:
            return None
        stiffness = [float(order**2) for order in range(1, degree + 1) for _ in range(2 * order + 1)]
        return Directional(("residual",), lambda d: harmonics.basis(d, degree)[..., 1:], tuple(stiffness))

    def network(self) -> LitNetwork:
        """The light and the eyes' network, built at the first call from torch's global random state."""
        if self._network is None:
            self._network = LitNetwork(self.options.light_degree, self._eyes.network())
        return self._network

    def prepare(self, rest: RestMesh | None) -> None:
        """Take the rig's front; raises OptionError for a region that is not there."""
        self._eyes.prepare(rest)

    def advance(self, images: int) -> None:
        """Raise the residual's degree and switch the eyes' highlight on."""
        self._eyes.advance(images)
        self._residual.advance(images)

    def stage(self) -> tuple[Any, ...]:
        """The residual's degree in use, whether the eyes shine, and whether it is lit anew."""
        return (self._residual.active, self._eyes.on, self.network().relit)

    def light(self) -> Light:
        """The light it is drawn under, its mean shading 1 where it is the learnt one."""
        network = self.network()
        return Light(network.coefficients().detach().clone(), "given" if network.relit else "learnt")

    def relight(self, light: Light | None) -> None:
        """Draw under another light, or the learnt one (None)."""
        network = self.network()
        if light is not None:
            wanted = light.up_to(self.options.light_degree).coefficients
            network.given.copy_(wanted)  # in place: captured pictures read it where it lies
        network.relit = light is not None

    def colour_model(self, binding: Binding) -> ColourModel:
        """Albedo, learnt light, gloss and residual, and the eyes' highlight."""
        network, used = self.network(), self._residual.active
        raw = {name: value.detach() for name, value in binding.parameters.items()}
        albedo = torch.sigmoid(raw["albedo"])
        count = harmonics.size(used) - 1
        residual = raw["residual"][:, :count] if count else albedo.new_zeros(len(albedo), 0, 3)
        lit = LitColours(
            Light(network.learnt().detach(), "learnt"),
            albedo,
            residual,
            torch.sigmoid(raw["occlusion"]) if self.options.occlusion else None,
            torch.sigmoid(raw["gloss"]) if self.options.gloss else None,
            EXPONENT * math.exp(float(network.sharpness.detach())),
        )
        return ColourModel(albedo, residual, self._eyes.highlight_model(binding), lit)

    def __call__(
        self,
        binding: Binding,
        directions: Tensor,
        normals: Tensor,
        rotation: Tensor,
        parts: bool = False,
        surface: Surface | None = None,
    ) -> Colour:
        """The colours; of the parts, ``diffuse`` and ``specular`` add up to ``rgb``."""
        if surface is None:
            raise OptionError(
                f'Appearance "{self.name}" was called without the surface it asks for.',
                "Expected surface= with world normals.",
                "Call it through `surfhead.core.surface.colours_of`.",
            )
        raw, network = binding.parameters, self.network()
        if not parts:
            total = self._at_once(raw, directions, normals, rotation, surface)
            if total is not None:
                if self._eyes.on:
                    index = self._eyes.surfels(binding)
                    shine = self._eyes.highlight_of(index, raw["specular"], directions, normals, rotation)
                    total = total.index_add(1, index, shine)
                return Colour(total.clamp_min(0.0))
        albedo = torch.sigmoid(raw["albedo"])
        shading = network.shading(surface.world_normals)
        if self.options.occlusion:
            shading = shading * torch.sigmoid(raw["occlusion"])
        plain = albedo * shading
        if self._residual.active > 0:
            nothing = torch.full_like(albedo, -0.5 / harmonics.Y00)  # so that SH(d) + 0.5 starts at 0
            harmonic = {"sh_dc": nothing, "sh_rest": raw["residual"]}
            plain = plain + self._residual(harmonic, directions)
        total = plain
        mirror: Tensor | None = None
        if self.options.gloss or network.relit:
            with torch.no_grad():  # soft highlights of skin say little of where surfels are
                facing = -(directions * normals).sum(dim=-1, keepdim=True)
                mirror = _to_world(rotation, directions + 2 * facing * normals)
            if self.options.gloss:
                fresnel = NORMAL_INCIDENCE + (1 - NORMAL_INCIDENCE) * (1 - facing).clamp(0.0, 1.0) ** 5
                share = torch.sigmoid(raw["gloss"])
                total = total + fresnel * share * network.mirrored(mirror, network.coefficients())
        if self._eyes.on:
            index = self._eyes.surfels(binding)
            shine = self._eyes.highlight_of(index, raw["specular"], directions, normals, rotation)
            if network.relit and mirror is not None:
                shine = shine * self._dimming(network, mirror.index_select(1, index))
            total = total.index_add(1, index, shine)
        rgb = total.clamp_min(0.0)
        if not parts:
            return Colour(rgb)
        matte = plain.clamp_min(0.0)
        named = {"diffuse": matte, "specular": rgb - matte}
        return Colour(rgb, {**named, "albedo": albedo.expand_as(rgb), "shading": shading.clamp_min(0.0)})

    def _at_once(
        self,
        raw: Mapping[str, Tensor],
        directions: Tensor,
        normals: Tensor,
        rotation: Tensor,
        surface: Surface,
    ) -> Tensor | None:
        """(B, N, 3) the colours without the eyes, not clamped; None where one operation cannot do it."""
        network = self.network()
        if network.relit or network.degree != 2:  # relit, eyes want to know where they look
            return None
        used, gloss = self._residual.active, self.options.gloss
        shading = network.shading_numbers()
        mirror = shading.detach()  # nobody looks at it
        if gloss:
            mirror = network.quadric @ network.smooth(network.coefficients())
        return ops.lit_colours(
            (
                raw["albedo"],
                raw["residual"] if used > 0 else None,
                raw["gloss"] if gloss else None,
                raw["occlusion"] if self.options.occlusion else None,
            ),
            directions,
            normals,
            rotation,
            surface.world_normals,
            (shading, mirror),
            used,
        )

    def _dimming(self, network: LitNetwork, mirror: Tensor) -> Tensor:
        """(B, M, 3) how much more of the new light than of the learnt one comes from where eyes mirror it."""
        before = network.mirrored(mirror, network.learnt()).mean(dim=-1, keepdim=True)
        return network.mirrored(mirror, network.given) / before.clamp_min(DARKEST)


def _to_world(rotation: Tensor, vectors: Tensor) -> Tensor:
    """(B, N, 3) R v, plane by plane."""
    columns = planes.planes(rotation)
    x, y, z = planes.planes(vectors)
    return columns[0] * x[..., None] + columns[1] * y[..., None] + columns[2] * z[..., None]
