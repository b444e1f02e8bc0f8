"""The checks of rasterizers each reject what they should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.api import Cameras, Rasterizer, RenderOutput, WorldSurfels, create
from surfhead.testing import check
from tests.conformance.planted import checks_of_kind_alone, error_of


class Wraps(Rasterizer):
    """Sound: the reference under another name; bugs change what goes in or comes out."""

    name = "wraps"
    summary = "The reference, wrapped."

    def before(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return arguments

    def after(self, output: RenderOutput, arguments: dict[str, Any]) -> RenderOutput:
        return output

    def __call__(
        self,
        surfels: WorldSurfels,
        colour: Tensor,
        cameras: Cameras,
        pose_of_view: Tensor,
        background: Tensor,
    ) -> RenderOutput:
        arguments = self.before(
            {
                "surfels": surfels,
                "colour": colour,
                "cameras": cameras,
                "pose_of_view": pose_of_view,
                "background": background,
            }
        )
        return self.after(create("rasterizer", "torch")(**arguments), arguments)


class KeepsAxis(Wraps):
    def after(self, output: RenderOutput, arguments: dict[str, Any]) -> RenderOutput:
        return replace(output, alpha=output.alpha[..., None])


class FloatVisible(Wraps):
    def after(self, output: RenderOutput, arguments: dict[str, Any]) -> RenderOutput:
        return replace(output, visible=output.visible.float())


class NeedsSurfels(Wraps):
    def before(self, arguments: dict[str, Any]) -> dict[str, Any]:
        assert arguments["surfels"].mean[..., 2].amax() < 100
        return arguments


class Trembles(Wraps):
    def after(self, output: RenderOutput, arguments: dict[str, Any]) -> RenderOutput:
        return replace(output, rgb=output.rgb + 1e-6 * torch.randn_like(output.rgb))


class CallsItselfCapturable(Wraps):
    capturable = True


class ClampsInput(Wraps):
    def before(self, arguments: dict[str, Any]) -> dict[str, Any]:
        arguments["colour"].clamp_(0.3, 0.6)
        return arguments


class BlackBackground(Wraps):
    def before(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {**arguments, "background": torch.zeros_like(arguments["background"])}


class LooksBackwards(Wraps):
    """Surfels behind the camera are drawn."""

    def before(self, arguments: dict[str, Any]) -> dict[str, Any]:
        surfels, cameras = arguments["surfels"], arguments["cameras"]
        matrix = cameras.camera_from_world[0]
        camera = surfels.mean @ matrix[:3, :3].mT + matrix[:3, 3]
        camera = torch.cat((camera[..., :2], camera[..., 2:].abs()), dim=-1)
        mean = (camera - matrix[:3, 3]) @ matrix[:3, :3]
        return {**arguments, "surfels": replace(surfels, mean=mean)}


class NumbersSurfels(Wraps):
    def before(self, arguments: dict[str, Any]) -> dict[str, Any]:
        colour = arguments["colour"]
        fade = torch.linspace(1.0, 0.9, colour.shape[1]).to(colour)
        return {**arguments, "colour": colour * fade[:, None]}


class OnePose(Wraps):
    def before(self, arguments: dict[str, Any]) -> dict[str, Any]:
        first = arguments["pose_of_view"][:1].expand_as(arguments["pose_of_view"])
        return {**arguments, "pose_of_view": first}


class NormalsUnturned(Wraps):
    def after(self, output: RenderOutput, arguments: dict[str, Any]) -> RenderOutput:
        return replace(output, normal=-output.normal)


class CentredPrincipalPoint(Wraps):
    """The published code: intrinsics reduced to a field of view."""

    def before(self, arguments: dict[str, Any]) -> dict[str, Any]:
        cameras = arguments["cameras"]
        intrinsics = cameras.intrinsics.clone()
        intrinsics[:, 0, 2], intrinsics[:, 1, 2] = cameras.width / 2, cameras.height / 2
        return {**arguments, "cameras": replace(cameras, intrinsics=intrinsics)}


class NoDistortion(Wraps):
    def after(self, output: RenderOutput, arguments: dict[str, Any]) -> RenderOutput:
        return replace(output, distortion=output.distortion * 0)


class DetachesOpacity(Wraps):
    def before(self, arguments: dict[str, Any]) -> dict[str, Any]:
        surfels = arguments["surfels"]
        return {**arguments, "surfels": replace(surfels, opacity=surfels.opacity.detach())}


class _Inexact(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * 1.01


class InexactGradient(Wraps):
    """Forward and backward disagree by one per cent, in the distortion alone."""

    def after(self, output: RenderOutput, arguments: dict[str, Any]) -> RenderOutput:
        apply: Any = _Inexact.apply
        return replace(output, distortion=apply(output.distortion))


BUGS = [
    ("gives_pictures", KeepsAxis, "alpha has shape"),
    ("gives_pictures", FloatVisible, "visible is torch.float32"),
    ("gives_pictures", NeedsSurfels, ""),
    ("deterministic", Trembles, "rgb"),
    ("capturable", CallsItselfCapturable, "It says capturable, but its step"),
    ("inputs_unmodified", ClampsInput, "was modified"),
    ("empty_is_background", BlackBackground, "rgb: differs"),
    ("empty_is_background", LooksBackwards, "differs"),
    ("order_does_not_matter", NumbersSurfels, "rgb"),
    ("views_are_independent", OnePose, "of view 1"),
    ("large_surfel_fills_centre", NormalsUnturned, "normal"),
    ("agrees_with_reference", CentredPrincipalPoint, "rgb differs at"),
    ("agrees_with_reference", NoDistortion, "distortion differs at"),
    ("gradients_agree_with_reference", DetachesOpacity, "d rgb / d opacity"),
    ("gradients_agree_with_reference", InexactGradient, "d distortion / d mean differs by 0.01"),
]


def test_the_sound_one_passes(tmp_path: Path) -> None:
    assert [result for result in check(Wraps, tmp_path) if not result.passed] == []


@pytest.mark.parametrize(("name", "bug", "says"), BUGS)
def test_a_planted_bug_is_rejected(name: str, bug: Any, says: str, tmp_path: Path) -> None:
    error = error_of(bug, name, tmp_path)
    assert error is not None, f"{bug} passes {name}"
    assert says in str(error)


def test_every_check_has_a_planted_bug() -> None:
    assert checks_of_kind_alone(Wraps) == {name for name, _, _ in BUGS}
