"""Learned perceptual distance (LPIPS, Zhang et al. 2018), where its weights already are on this machine.

Nothing is downloaded: without the package ``lpips`` (extra ``lpips``) or its backbone's weights in torch's
cache the metric is left out, which is said once.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surfhead.core.errors import unknown_name

log = logging.getLogger("surfhead")

BACKBONES = {"alex": "alexnet-*.pth", "vgg": "vgg16-*.pth"}  # torchvision's files in torch's cache


@dataclass(frozen=True)
class Lpips:
    """The metric with one backbone.

    Attributes:
        backbone: ``alex`` or ``vgg``.
        network: maps two (B, 3, H, W) pictures in [-1, 1] to distances.
    """

    backbone: str
    network: Any

    @property
    def convention(self) -> str:
        """How it is computed, for tables."""
        return f"{self.backbone} backbone, inputs scaled to [-1, 1] (standard)"

    def __call__(self, image: Tensor, target: Tensor) -> Tensor:
        """(B,) distances of pictures (B, H, W, 3) in [0, 1]."""
        scaled = [2.0 * picture.permute(0, 3, 1, 2).float() - 1.0 for picture in (image, target)]
        with torch.no_grad():
            distance: Tensor = self.network.to(image.device)(*scaled)
        return distance.reshape(-1)


def missing(backbone: str) -> str | None:
    """Why LPIPS cannot be computed here, in one sentence; None when it can."""
    if backbone not in BACKBONES:
        raise unknown_name("LPIPS backbone", backbone, BACKBONES, "Choose one of these.")
    for package in ("lpips", "torchvision"):
        if find_spec(package) is None:
            return f'the package "{package}" is not installed (pip install "surfhead[lpips]")'
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if not any(folder.glob(BACKBONES[backbone])):
        return f'the weights of its backbone "{backbone}" are not in {folder}'
    return None


@lru_cache(maxsize=2)
def load_lpips(backbone: str = "alex") -> Lpips | None:
    """The metric, or None where its weights are missing, which is logged once."""
    reason = missing(backbone)
    if reason is not None:
        log.warning("LPIPS is left out: %s.", reason)
        return None
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks torchvision for weights in a deprecated way
        network = lpips.LPIPS(net=backbone, verbose=False)
    return Lpips(backbone, network.eval().requires_grad_(False))
