"""Rendered normals against normals that a predictor saw in the pictures.

The mean over pixels of alpha - N · P, with N the weighted sum of the surfels' normals and P the predicted
normal, where a prediction is there and inside the foreground mask: 0 where all surfels face as predicted.
Predictors of normals from one picture (Eftekhar et al., "Omnidata", ICCV 2021, and later ones) are right
about relief and wrong about the large form by some degrees, so the weight is best small; Yu et al.
("MonoSDF", NeurIPS 2022) introduced the term for surfaces.

Data sets bring the pictures in a folder ``normals/`` (docs/data/normals.md). Without one the term is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead.core.api import Regularizer, Step


class NormalPrior(Regularizer):
    """Agreement with predicted normals."""

    name = "normal_prior"
    summary = "Rendered normals against a predictor's, from the data set's folder normals/."
    capturable = True
    weight = 0.02

    def __call__(self, step: Step) -> Tensor:
        """The mean disagreement over all pixels, in [0, 2]."""
        output, given = step.output, step.batch.normal_prior
        if given is None:
            return output.alpha.sum() * 0.0
        values = given.to(output.rgb.dtype)
        there = (given != 0).any(dim=-1)
        predicted = torch.nn.functional.normalize(values - 128.0, dim=-1)  # eight bits shorten it
        weight = there.to(values.dtype)
        if step.batch.foreground is not None:
            weight = weight * step.batch.foreground
        disagreement = output.alpha - (output.normal * predicted).sum(dim=-1)
        return (disagreement * weight).mean()
