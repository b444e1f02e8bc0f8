"""The view-dependent base colour that every built-in appearance model shares: spherical harmonics."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from surfhead.core.api import BASE_COLOUR, Directional, Encoding, ParameterSpec, Schedule
from surfhead.kernels import ops
from surfhead.maths import harmonics

RATE = 2.5e-3  # of the constant term; the others learn at a twentieth (3DGS)

CONSTANT_TERM = Encoding(lambda rgb: (rgb - 0.5) / harmonics.Y00, lambda raw: harmonics.Y00 * raw + 0.5)


def grey(count: int, generator: torch.Generator) -> Tensor:
    """(count, 3) constant terms of mid-grey surfels: coefficients in [0, 1/255), colours just above 0.5."""
    return torch.rand(count, 3, generator=generator) / 255


class Diffuse:
    """Harmonic colour SH(d) + 0.5, whose degree rises by one every ``interval`` images.

    Attributes:
        degree: the highest degree.
        interval: images per degree; 0 starts with the highest.
        active: the degree in use.
    """

    def __init__(self, degree: int, interval: int) -> None:
        self.degree = degree
        self.interval = interval
        self.active = 0
        self.advance(0)

    def parameters(self) -> dict[str, ParameterSpec]:
        """``sh_dc`` (3,) and, above degree 0, ``sh_rest`` ((degree + 1)² - 1, 3)."""
        specs = {
            "sh_dc": ParameterSpec(
                (3,),
                grey,
                Schedule(RATE),
                group="sh",
                role=BASE_COLOUR,
                encoding=CONSTANT_TERM,
                unseen="neighbours",
            )
        }
        if self.degree > 0:
            rest = (harmonics.size(self.degree) - 1, 3)
            specs["sh_rest"] = ParameterSpec(
                rest, 0.0, Schedule(RATE / 20), group="sh", group_share=1 / 20, unseen="initial"
            )
        return specs

    def advance(self, images: int) -> None:
        """Raise the active degree for ``images`` images seen."""
        self.active = self.degree if self.interval == 0 else min(self.degree, images // self.interval)

    def directional(self) -> Directional:
        """The harmonics of every degree; the higher, the stiffer."""
        degree = self.degree
        stiffness = [float(order**2) for order in range(degree + 1) for _ in range(2 * order + 1)]
        names = ("sh_dc", "sh_rest")[: 1 if degree == 0 else 2]
        return Directional(names, lambda directions: harmonics.basis(directions, degree), tuple(stiffness))

    def __call__(self, features: Mapping[str, Tensor], directions: Tensor) -> Tensor:
        """(B, N, 3) SH(d) + 0.5, not clamped, at unit directions (B, N, 3)."""
        return ops.harmonic_colours(features["sh_dc"], features.get("sh_rest"), directions, self.active)

    def numbers(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(N, 3) the constant part of it, and (N, K, 3) the coefficients in use above; without gradient."""
        base = CONSTANT_TERM.decode(features["sh_dc"].detach())
        count = harmonics.size(self.active) - 1
        return base, features["sh_rest"].detach()[:, :count] if count else base.new_zeros(len(base), 0, 3)
