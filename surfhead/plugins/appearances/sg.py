"""Spherical harmonics with a highlight from isotropic spherical Gaussians.

rgb = max(SH(d) + 0.5 + specular, 0). 32 lobes with fixed axes (4 x 8 over the whole sphere) respond to the
reflected direction o with a exp(λ (o·axis - 1)); amplitudes and sharpness come from a learnt 24-vector per
surfel, and one small network shared by all surfels turns the responses into a colour. The highlight lives
on one region (``eyeballs`` by default) and is switched on after ``start`` images; the network's last layer
starts at zero, so nothing jumps. See ``surfhead.plugins.appearances.lobes`` for the formulas.
"""

from __future__ import annotations

from typing import final

from surfhead.plugins.appearances.lobe_appearance import LobeAppearance
from surfhead.plugins.appearances.specular import Lobes


@final
class Sg(LobeAppearance):
    """Harmonics and isotropic spherical Gaussians (method: section 6)."""

    name = "sg"
    summary = "Spherical harmonics and isotropic spherical Gaussians."
    lobes = Lobes(rows=4, columns=8, hemisphere=False, anisotropic=False, channels=3)
