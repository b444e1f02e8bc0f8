"""Write a deformer and a loss term, see that they keep their contracts, and compare them with built-in ones.

Run as a script it trains twice: once with the parts below, once with those that they replace.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import surfhead
from surfhead.core.api import AffineField, Binding, Deformer, Mesh, Regularizer, Step, hookimpl, option


class Stretched(Deformer):
    """Affine like `jacobian`, but the stretch is only followed in part."""

    name = "stretched"
    summary = "The triangle's affine map, its stretch followed in part."

    @dataclass(frozen=True)
    class Options:
        """How much of the stretch."""

        share: float = option(0.5, "0 is a rotation alone, 1 the whole affine map.")

    options: Options

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        """Blend the triangle's affine map with its rotation."""
        assert mesh is not None  # rig_bound is True
        rest, posed, host = mesh.rest.frames, mesh.frames, binding.triangle
        turned = posed.rotation @ rest.rotation.mT
        growth = (posed.scale / rest.scale)[..., None, None]
        affine = turned * (1 + self.options.share * (growth - 1))
        linear = affine @ rest.rotation * rest.scale[:, None, None]
        return AffineField(linear[:, host], posed.centroid[:, host], turned[:, host], rest.scale[None, host])


class Charbonnier(Regularizer):
    """A picture loss that is smooth at zero."""

    name = "charbonnier"
    summary = "Mean of sqrt(error² + limit²) - limit over the picture."
    weight = 1.0

    @dataclass(frozen=True)
    class Options:
        """Where it turns from squared to absolute."""

        limit: float = option(0.01, "Colour error.")

    options: Options

    def __call__(self, step: Step) -> torch.Tensor:
        """The mean over all pixels and colours."""
        error, limit = step.output.rgb - step.batch.target, self.options.limit
        return ((error.square() + limit**2).sqrt() - limit).mean().clamp_min(0.0)


@hookimpl
def register_deformers(register: Any) -> None:
    """Found when this file is given as a plugin."""
    register(Stretched)


@hookimpl
def register_regularizers(register: Any) -> None:
    """Found when this file is given as a plugin."""
    register(Charbonnier)


def main(folder: Path, **settings: Any) -> dict[str, float]:
    """Train both ways; gives the PSNR of each on the held-out camera."""
    mine = {
        "plugins": [str(Path(__file__).resolve())],
        "deformer": {"name": "stretched", "share": 0.8},
        "regularizers": {"charbonnier": {"weight": 0.8}, "l1": {"weight": 0.0}},
    }
    built_in = {"deformer": {"name": "similarity"}}
    found = {}
    for name, parts in (("mine", mine), ("built-in", built_in)):
        run = surfhead.train(preset="tiny", settings={**settings, **parts}, out=folder / name)
        result = surfhead.evaluate(run, splits=("val",), limit=8)["val"]
        found[name] = result.means["psnr"]
        print(f"{name}: {found[name]:.2f} dB on the held-out camera")
    return found


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("folder", type=Path)
    words.add_argument("--iterations", type=int, default=600, help="training images of each run")
    given = words.parse_args()
    main(given.folder, iterations=given.iterations)
