"""Rasterizer ``gsplat``: surfels drawn by gsplat's public ``rasterization_2dgs``.

gsplat takes a rotation and two scales, so the tangents must be orthogonal, as the deformers ``static`` and
``similarity`` leave them. Each view's surfels go to gsplat as a batch entry with one camera, so that all
views share its launches. Options: ``packed`` (gsplat's sparse intermediate tensors), ``check`` (look for
sheared surfels at every call; reads one number back from the GPU).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.core.api import Cameras, Rasterizer, RenderOutput, ShapeError, WorldSurfels, option
from surfhead.maths import geometry


class Gsplat(Rasterizer):
    """Source: gsplat, "An Open-Source Library for Gaussian Splatting" (arXiv 2409.06765)."""

    name = "gsplat"
    summary = "gsplat's rasterization_2dgs, for surfels with orthogonal tangents."
    priority = -1

    @dataclass(frozen=True)
    class Options:
        """Options of gsplat."""

        packed: bool = option(False, "gsplat's packed mode: less memory, sometimes faster")
        check: bool = option(True, "refuse sheared surfels; costs a look at the GPU at every call")

    options: Options

    @classmethod
    def available(cls) -> str | None:
        """None, or what is missing."""
        if not torch.cuda.is_available():
            return "PyTorch finds no NVIDIA GPU."
        if importlib.util.find_spec("gsplat") is None:
            return "the package gsplat is not installed: pip install gsplat"
        return None

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
        """Draw B views; see Rasterizer. Raises ShapeError for sheared surfels."""
        scales = surfels.tangents.norm(dim=-2)
        if self.options.check:
            refuse_sheared(surfels.tangents, scales)
        unit = surfels.tangents / scales[..., None, :].clamp_min(1e-12)
        third = torch.linalg.cross(unit[..., 0], unit[..., 1])
        quaternions = geometry.matrix_to_quaternion(torch.cat([unit, third[..., None]], dim=-1))
        scales = torch.cat([scales, scales[..., :1].detach()], dim=-1)
        every = (
            surfels.mean[pose_of_view],
            quaternions[pose_of_view],
            scales[pose_of_view],
            surfels.opacity.expand(len(cameras), -1),
            colour,
            cameras.camera_from_world,
            cameras.intrinsics,
        )
        if self.options.packed:  # gsplat's packed mode takes no batches: a call a view
            views = [
                self._draw(cameras, *(v[b] for v in every[:5]), *(v[b : b + 1] for v in every[5:]))
                for b in range(len(cameras))
            ]
            found = [torch.cat(values) for values in zip(*views, strict=True)]
        else:
            batch = (*every[:4], *(value[:, None] for value in every[4:]))
            found = [value.squeeze(1) for value in self._draw(cameras, *batch)]
        drawn, alpha, normal, distortion, median, radius = found  # the normal in world axes
        return RenderOutput(
            rgb=drawn[..., :-1] + (1.0 - alpha) * background[:, None, None],
            alpha=alpha[..., 0],
            normal=torch.einsum("bij,bhwj->bhwi", cameras.camera_from_world[:, :3, :3], normal),
            depth=drawn[..., -1],
            median_depth=median[..., 0],
            distortion=distortion[..., 0],
            visible=radius > 0,
            radius=radius,
        )

    def _draw(self, cameras: Cameras, *arguments: Tensor) -> tuple[Tensor, ...]:
        """Colour and depth, alpha, normal, distortion, median depth, radius of one call."""
        from gsplat import rasterization_2dgs

        drawn, alpha, normal, _, distortion, median, meta = rasterization_2dgs(
            *arguments,
            width=cameras.width,
            height=cameras.height,
            near_plane=cameras.near,
            render_mode="RGB+ED",
            packed=self.options.packed,
            distloss=True,
        )
        if self.options.packed:
            found = meta["radii"].to(drawn.dtype).reshape(len(meta["gaussian_ids"]), -1).amax(-1)
            radius = drawn.new_zeros(1, arguments[0].shape[0])
            radius[0, meta["gaussian_ids"].long()] = found
        else:
            radius = meta["radii"].to(drawn.dtype)
            if radius.shape[-1] == 2 and radius.ndim == arguments[0].ndim + 1:
                radius = radius.amax(-1)
        return drawn, alpha, normal, distortion, median, radius


def refuse_sheared(tangents: Tensor, scales: Tensor) -> None:
    """Raise ShapeError where two tangents (P, N, 3, 2) of lengths ``scales`` (P, N, 2) are not orthogonal."""
    product = (tangents[..., 0] * tangents[..., 1]).sum(-1).abs()
    sheared = product > 1e-3 * scales[..., 0] * scales[..., 1]
    if bool(sheared.any()):
        raise ShapeError(
            f"gsplat cannot draw sheared surfels: {int(sheared.sum())} have tangents not at right angles.",
            "Expected surfels of a rotation and two scales.",
            "Use the deformer `similarity` or `static`, or the rasterizer `cuda`.",
        )
