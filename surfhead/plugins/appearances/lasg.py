"""Spherical harmonics with a white highlight from anisotropic spherical Gaussians before the face.

rgb = max(SH(d) + 0.5 + specular, 0). As `asg`, but with 16 lobes (2 x 8) on the half sphere about the rig's
front, where the light that eyes reflect comes from, and with one output for all three colours: the light
is white, so that the eyes' own colour stays in the harmonics (SurFhead, ICLR 2025). The highlight lives on
one region (``eyeballs`` by default) and is switched on after ``start`` images; the network's last layer
starts at zero, so nothing jumps. See ``surfhead.plugins.appearances.lobes`` for the formulas.
"""

from __future__ import annotations

from typing import final

from surfhead.plugins.appearances.lobe_appearance import LobeAppearance
from surfhead.plugins.appearances.specular import Lobes


@final
class Lasg(LobeAppearance):
    """Harmonics and latent anisotropic spherical Gaussians (method: section 6)."""

    name = "lasg"
    summary = "Spherical harmonics and latent anisotropic spherical Gaussians, white light."
    lobes = Lobes(rows=2, columns=8, hemisphere=True, anisotropic=True, channels=1)
