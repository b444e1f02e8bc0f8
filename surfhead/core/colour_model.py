"""An appearance model as plain numbers: harmonics and a highlight, for programs that draw without Python."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.maths.lit_colours import LitColours


@dataclass(frozen=True)
class Highlight:
    """A specular term of M of the surfels: L lobes and a small perceptron (method: section 6).

    Lobes respond to o = d - 2(d·n)n with a exp(λ (o·axis - 1)), or with two sharpnesses with
    a max(o·axis, 0) exp(-λ (o·x)² - μ (o·y)²). The perceptron takes these, n·(-d), d, sin and cos of 2^k d.

    Attributes:
        surfels: (M,) int64 indices.
        axes: (L, 3, 3) axis, x and y of each lobe in the rows.
        amplitude, sharpness: (M, L, 2) a, and (M, L, 1) λ or (M, L, 2) λ and μ.
        layers: weights (out, in) and biases (out,) of the linear layers, with ReLU between them.
        octaves: number of k, from 0.
        world: whether directions and normals are taken in the world instead of the rest pose.
    """

    surfels: Tensor
    axes: Tensor
    amplitude: Tensor
    sharpness: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]
    octaves: int
    world: bool

    def __call__(self, directions: Tensor, normals: Tensor) -> Tensor:
        """(B, M, 1 or 3) light at unit directions and normals (B, M, 3), in the frame ``world`` names."""
        facing = -(directions * normals).sum(dim=-1, keepdim=True)
        along, x, y = torch.einsum("bmi,lri->rbml", directions + 2 * facing * normals, self.axes)
        if self.sharpness.shape[-1] == 1:
            response = torch.exp(self.sharpness[..., 0] * (along - 1))
        else:
            falloff = -self.sharpness[..., 0] * x * x - self.sharpness[..., 1] * y * y
            response = along.clamp_min(0.0) * torch.exp(falloff)
        octaves = torch.cat([directions * 2.0**k for k in range(self.octaves)], dim=-1)
        lobes = (self.amplitude * response[..., None]).flatten(-2)
        values = torch.cat((lobes, facing, directions, octaves.sin(), octaves.cos()), dim=-1)
        for number, (weight, bias) in enumerate(self.layers):
            values = (values.relu() if number else values) @ weight.mT + bias
        return values


@dataclass(frozen=True)
class ColourModel:
    """rgb = max(base + r(d) + highlight, 0) of N surfels; under light, ``lit`` gives base + r(d).

    Attributes:
        base: (N, 3) what a surfel shows from everywhere; under light, its albedo.
        rest: (N, K, 3) coefficients of the harmonics r above the constant, K = 0, 3, 8 or 15; d points
            from the camera in the rest pose.
        highlight: the specular term, or None.
        lit: the light, and what of it the surfels give back; None where there is none.
    """

    base: Tensor
    rest: Tensor
    highlight: Highlight | None = None
    lit: LitColours | None = None

    @property
    def degree(self) -> int:
        """Of the harmonics."""
        return math.isqrt(self.rest.shape[1] + 1) - 1
