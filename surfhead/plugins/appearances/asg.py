"""Spherical harmonics with a highlight from anisotropic spherical Gaussians (Spec-Gaussian).

rgb = max(SH(d) + 0.5 + specular, 0). 32 lobes with fixed axes (4 x 8 over the whole sphere) respond to the
reflected direction o with a max(o·axis, 0) exp(-λ (o·x)² - μ (o·y)²), x and y being a lobe's tangent and
bitangent: highlights may be longer than wide. Amplitudes and sharpness come from a learnt 24-vector per
surfel, and one small network shared by all surfels turns the responses into a colour. The highlight lives
on one region (``eyeballs`` by default) and is switched on after ``start`` images; the network's last layer
starts at zero, so nothing jumps. See ``surfhead.plugins.appearances.lobes`` for the formulas.
"""

from __future__ import annotations

from typing import final

from surfhead.plugins.appearances.lobe_appearance import LobeAppearance
from surfhead.plugins.appearances.specular import Lobes


@final
class Asg(LobeAppearance):
    """Harmonics and anisotropic spherical Gaussians (method: section 6)."""

    name = "asg"
    summary = "Spherical harmonics and anisotropic spherical Gaussians."
    lobes = Lobes(rows=4, columns=8, hemisphere=False, anisotropic=True, channels=3)
