"""Rasterizer ``cuda``: surfels drawn by CUDA kernels that are compiled at first use.

The same outputs and gradients as the rasterizer ``torch`` (docs/method.md, section 5), in float32, on an
NVIDIA GPU of compute capability 7.5 or later. The kernels are compiled for the GPU at hand by NVRTC, which
pip installs with the extras ``cuda12`` and ``cuda13``, and kept in the user's cache folder: no CUDA toolkit
is needed. B views of P poses go through one set of launches on PyTorch's current stream; nothing waits
for the GPU, so a step can be captured in a CUDA graph after one step outside it.

Colours of other than three channels are drawn three at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from surfhead import kernels
from surfhead.core.api import Cameras, Rasterizer, RenderOutput, WorldSurfels, check_shape


class Cuda(Rasterizer):
    """Source: 2D Gaussian Splatting (SIGGRAPH 2024), with affinely deformed tangents."""

    name = "cuda"
    summary = "CUDA kernels compiled at first use."
    capturable = True
    priority = 20

    @classmethod
    def available(cls) -> str | None:
        """None, or why the kernels cannot run here."""
        reason: str | None = kernels.unavailable("cuda")
        return reason

    @classmethod
    def supports(cls, device_type: str) -> bool:
        """Only GPUs."""
        return device_type == "cuda"

    def __call__(
        self,
        surfels: WorldSurfels,
        colour: Tensor,
        cameras: Cameras,
        pose_of_view: Tensor,
        background: Tensor,
    ) -> RenderOutput:
        """Draw B views; see Rasterizer. Raises ShapeError, UnavailableError."""
        views, channels = len(cameras), colour.shape[-1]
        check_shape("colour", colour, views, len(surfels), None)
        check_shape("pose_of_view", pose_of_view, views)
        check_shape("background", background, views, channels)

        def draw(first: int) -> tuple[Tensor, ...]:
            last = min(first + 3, channels)
            missing = (0, 3 - (last - first))
            drawn: tuple[Tensor, ...] = kernels.cuda.rasterize(
                surfels.mean,
                surfels.tangents,
                surfels.normal,
                surfels.opacity,
                functional.pad(colour[..., first:last], missing) if missing[1] else colour[..., first:last],
                cameras.camera_from_world,
                cameras.intrinsics,
                pose_of_view,
                functional.pad(background[:, first:last], missing)
                if missing[1]
                else background[:, first:last],
                cameras.height,
                cameras.width,
                cameras.near,
            )
            return drawn

        rgb, *others = draw(0)
        if channels != 3:
            pictures = [rgb, *(draw(first)[0] for first in range(3, channels, 3))]
            rgb = torch.cat(pictures, dim=-1)[..., :channels]
        return RenderOutput(rgb, *others)
