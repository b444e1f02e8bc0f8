"""Catalogue of the built-in rasterizers: names and summaries; imports none of them."""

from __future__ import annotations

from typing import Any

from surfhead.core.api import hookimpl


@hookimpl
def register_rasterizers(register: Any) -> None:
    """Register the built-in rasterizers."""
    register(
        "torch",
        "surfhead.plugins.rasterizers.reference:Torch",
        "The exact differentiable reference in PyTorch, any device and precision.",
    )
    register("cpu", "surfhead.plugins.rasterizers.cpu:Cpu", "Native C++ kernels with OpenMP and SIMD.")
    register("cuda", "surfhead.plugins.rasterizers.cuda:Cuda", "CUDA kernels compiled at first use.")
