"""The learnt blend of a surfel's host triangle and the three across its edges, which several deformers share.

A deformer that blends declares ``{"blend": BLEND}``, and takes ``weights`` over ``neighbourhood``. What knows
the role NEIGHBOUR_WEIGHTS (files, pages, loss terms) then works with it, whatever the deformer.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surfhead.core.parameters import NEIGHBOUR_WEIGHTS, ParameterSpec, Schedule
from surfhead.core.types import Binding, Mesh

HOST_ONLY = ("eyeballs", "boundary")  # regions whose surfels follow their host alone

BLEND = ParameterSpec(
    shape=(4,),
    initial=(math.log(0.9 / 0.1), *(math.log(0.05 / 0.95),) * 3),
    rate=Schedule(1e-3),
    frozen_regions=HOST_ONLY,
    role=NEIGHBOUR_WEIGHTS,
)
"""Logits of the weights of the host and its three edge neighbours."""


def neighbourhood(mesh: Mesh, binding: Binding) -> Tensor:
    """(N, 4) int64: the host and its three edge neighbours (the host again across an open edge)."""
    host = binding.triangle
    return torch.cat((host[:, None], mesh.topology.neighbours.index_select(0, host)), dim=1)


def weights(binding: Binding) -> Tensor:
    """(N, 4) weights of the neighbourhood: sigmoids divided by their sum; [1, 0, 0, 0] on HOST_ONLY."""
    logits = binding.parameters["blend"]
    activated = torch.sigmoid(logits)
    blended = activated / activated.sum(dim=-1, keepdim=True)
    alone = torch.zeros(len(logits), 1, dtype=torch.bool, device=logits.device)
    for region in HOST_ONLY:
        if region in binding.regions:
            alone.index_fill_(0, binding.regions[region], True)
    first = torch.zeros_like(blended)
    first[:, 0].fill_(1.0)
    return torch.where(alone, first, blended)
