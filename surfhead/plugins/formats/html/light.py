"""What a web page needs to light an avatar anew: its numbers, the learnt light, and the named ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from surfhead.maths import harmonics
from surfhead.maths.lamps import LAMPS, lamp_from
from surfhead.maths.light import BANDS
from surfhead.maths.lit_colours import DARKEST, NORMAL_INCIDENCE, LitColours
from surfhead.plugins.formats.html.numbers import Numbers

FULL_SHADING = 2.0  # times the mean light shown in white, as in pictures of the channel


def add_light(numbers: Numbers, lit: LitColours, kept: Tensor) -> dict[str, Any]:
    """Gloss and occlusion of the ``kept`` surfels, and the lights; gives their description (web/light.js)."""
    gloss, occlusion = (
        torch.full((len(kept), 1), empty) if value is None else value.cpu()[kept]
        for value, empty in ((lit.gloss, 0.0), (lit.occlusion, 1.0))
    )
    nothing = torch.zeros(len(kept), 2)
    numbers.add(
        "surfel/surface", (255.0 * torch.cat((gloss, occlusion, nothing), dim=1)).round().numpy(), "u1"
    )
    return {
        "learnt": _rows(lit.light.coefficients),
        "named": {name: _rows(lamps.light().normalised().coefficients) for name, lamps in LAMPS.items()},
        "lamp": _lobe(),
        "bands": BANDS,
        "lobe": [float(torch.tensor(-0.5 * band**2 / lit.exponent).exp()) for band in range(4)],
        "incidence": NORMAL_INCIDENCE,
        "darkest": DARKEST,
        "full": FULL_SHADING,
    }


def _rows(coefficients: Tensor) -> list[float]:
    """48 numbers: RGB of the 16 harmonics to degree 3, those beyond the light's own zero."""
    made = torch.zeros(harmonics.size(harmonics.MAX_DEGREE), 3)
    made[: len(coefficients)] = coefficients.cpu()
    return [round(float(value), 6) for value in made.reshape(-1)]


def _lobe() -> list[float]:
    """Four factors, band by band: a white lamp of strength 1 in direction d has coefficients f_l Y_lm(d)."""
    up = (0.0, 0.0, 1.0)
    lamp = lamp_from(up, (1.0, 1.0, 1.0)).coefficients[:, 0]
    values = harmonics.basis(torch.tensor(up), 2)
    return [float(lamp[band * (band + 1)] / values[band * (band + 1)]) for band in range(3)] + [0.0]
