"""Colours under distant light as plain numbers, for programs that draw without Python.

    rgb = a o S(n) + r(d) + F(d·n) s R(o),    F = F0 + (1 - F0)(1 + d·n)^5

with S the shading of ``light`` at the world normal n, R its radiance at the mirrored direction through a lobe
of exponent e, whose band l is exp(-l²/2e), not below 0, and r harmonics without a constant in rest space. A
highlight of the eyes may come on top; see ``dimming``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.maths import harmonics
from surfhead.maths.light import Light, band_factors

NORMAL_INCIDENCE = 0.028
"""Schlick's F0 of skin, whose index of refraction is 1.4."""
DARKEST = 0.1  # of what the learnt light shows in a mirror, where another is compared with it


@dataclass(frozen=True)
class LitColours:
    """The numbers of N surfels.

    Attributes:
        light: the learnt one.
        albedo: (N, 3) a, in [0, 1].
        residual: (N, K, 3) coefficients of r above the constant; K = 0, 3, 8 or 15.
        occlusion: (N, 1) o in [0, 1], or None for 1.
        gloss: (N, 1) s in [0, 1], or None for no F R.
        exponent: e.
    """

    light: Light
    albedo: Tensor
    residual: Tensor
    occlusion: Tensor | None = None
    gloss: Tensor | None = None
    exponent: float = 1.0

    @property
    def degree(self) -> int:
        """Of the residual's harmonics."""
        return math.isqrt(self.residual.shape[1] + 1) - 1

    def shading(self, normals: Tensor, light: Light | None = None) -> Tensor:
        """(B, N, 3) o S at unit world normals (B, N, 3), under another light where one is given."""
        shading = (light or self.light).shading(normals)
        return shading if self.occlusion is None else shading * self.occlusion

    def mirrored(self, directions: Tensor, light: Light | None = None) -> Tensor:
        """(B, N, 3) R at unit world directions (B, N, 3)."""
        given = light or self.light
        lobe = torch.exp(band_factors((0.0, 1.0, 4.0, 9.0), given.degree) * (-0.5 / self.exponent))
        smooth = Light(lobe.to(given.coefficients) * given.coefficients)
        return smooth.radiance(directions).clamp_min(0.0)

    def dimming(self, directions: Tensor, light: Light) -> Tensor:
        """(B, N, 3) how much more of another light than of the learnt one comes from unit ``directions``."""
        before = self.mirrored(directions).mean(dim=-1, keepdim=True)
        return self.mirrored(directions, light) / before.clamp_min(DARKEST)

    def __call__(
        self, directions: Tensor, normals: Tensor, rotation: Tensor, light: Light | None = None
    ) -> Tensor:
        """(B, N, 3) rgb without eyes, not clamped.

        Args:
            directions, normals: (B, N, 3) unit, in rest space, normals turned towards the camera.
            rotation: (B, N, 3, 3) world from rest.
            light: another one, or None.
        """
        world = torch.einsum("bnij,bnj->bni", rotation, normals)
        rgb = self.albedo * self.shading(world, light)
        if self.degree > 0:
            values = harmonics.basis(directions, self.degree)[..., 1:]
            rgb = rgb + torch.einsum("bnk,nkc->bnc", values, self.residual)
        if self.gloss is not None:
            facing = -(directions * normals).sum(dim=-1, keepdim=True)
            mirror = torch.einsum("bnij,bnj->bni", rotation, directions + 2 * facing * normals)
            fresnel = NORMAL_INCIDENCE + (1 - NORMAL_INCIDENCE) * (1 - facing).clamp(0.0, 1.0) ** 5
            rgb = rgb + fresnel * self.gloss * self.mirrored(mirror, light)
        return rgb
