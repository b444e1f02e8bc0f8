"""The native CPU rasterizer: C++ with OpenMP, tiles across threads and pixels across SIMD lanes.

The same pictures and gradients as ``torch`` (docs/method.md, section 5), about a hundred times faster. The
kernels are built when surfhead is installed and choose SSE2, AVX2 or AVX-512 at run time; where no compiler
was found they are missing, ``auto`` picks ``torch``, and ``surfhead doctor`` tells why. They run in float32
and float64 on ``torch.get_num_threads()`` threads; results are the same, bit for bit, for any number of them.
Surfels and depths are projected in double, so that float32 pictures stay close to the exact ones.

Source: "2D Gaussian Splatting for Geometrically Accurate Radiance Fields" (SIGGRAPH 2024); the equations are
in cuda_kernels/README.md.

Example: ``surfhead train --rasterizer cpu``
"""

from __future__ import annotations

import torch
from torch import Tensor

from surfhead import kernels
from surfhead.core.api import Cameras, Rasterizer, RenderOutput, WorldSurfels

CHANNELS = 3  # the kernels' colour channels


class Cpu(Rasterizer):
    """Draws with the native CPU kernels."""

    name = "cpu"
    summary = "Native C++ kernels with OpenMP and SIMD."
    priority = 10

    @classmethod
    def available(cls) -> str | None:
        """None, or why the native library is not there."""
        reason: str | None = kernels.unavailable("cpu")
        return reason

    @classmethod
    def supports(cls, device_type: str) -> bool:
        """CPU tensors only."""
        return device_type == "cpu"

    def __call__(
        self,
        surfels: WorldSurfels,
        colour: Tensor,
        cameras: Cameras,
        pose_of_view: Tensor,
        background: Tensor,
    ) -> RenderOutput:
        """Draw B views; see ``Rasterizer``. Colours beyond three channels are drawn three at a time."""
        view = cameras.camera_from_world.detach().double()
        intrinsics = cameras.intrinsics.detach().double()
        packed = torch.cat(
            [
                view[:, :3, :3].flatten(1),
                view[:, :3, 3],
                intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]],
            ],
            dim=1,
        )
        channels = colour.shape[-1]
        missing = -channels % CHANNELS if channels else CHANNELS
        if missing:
            colour = torch.nn.functional.pad(colour, (0, missing))
            background = torch.nn.functional.pad(background, (0, missing))
        passes = [
            kernels.cpu.rasterize(
                surfels.mean,
                surfels.tangents,
                surfels.normal,
                surfels.opacity,
                colours,
                behind,
                packed,
                pose_of_view,
                cameras.height,
                cameras.width,
                cameras.near,
            )
            for colours, behind in zip(
                torch.split(colour, CHANNELS, dim=-1), torch.split(background, CHANNELS, dim=-1), strict=True
            )
        ]
        rgb = passes[0][0] if len(passes) == 1 else torch.cat([drawn[0] for drawn in passes], dim=-1)
        return RenderOutput(rgb[..., :channels] if missing else rgb, *passes[0][1:8])
