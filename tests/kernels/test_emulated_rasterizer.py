"""The whole rasterizer `cuda`, compiled for the CPU and run thread by thread, against the reference."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.types import RenderOutput
from surfhead.kernels import cuda_rasterizer, cuda_room
from surfhead.plugins.rasterizers.reference import Torch
from tests.gpu.scenes import (
    IMAGES,
    PARAMETERS,
    Drawing,
    compare_gradients,
    compare_outputs,
    gradients,
    loss_weights,
    random_scene,
)
from tests.kernels.emulation import close, emulated_kernels

KERNELS = {
    "projection": {"project_surfels": "Launch"},
    "tile_lists": {"scan_tiles": "Launch", "scatter_entries": "Launch", "sort_tiles": "Launch"},
    "forward": {"composite_tiles": "Launch", "composite_spilled_tiles": "Launch"},
    "backward": dict.fromkeys(
        ("backward_colour", "backward_normal", "backward_depth", "backward_all", "backward_spilled_tiles",
         "project_backward_surfels"),
        "Launch",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def kernels() -> Iterator[None]:
    """Launches go to the emulator, and nothing asks for a GPU."""
    needed = torch.zeros(1, dtype=torch.int64)
    with (
        emulated_kernels(KERNELS),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(torch.cuda, "current_device", lambda: None)
        patch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(cuda_stream=0))
        patch.setattr(cuda_room, "report_address", lambda *_: needed.data_ptr())
        patch.setattr(cuda_rasterizer, "SCATTER_BLOCKS", 2)
        patch.setattr(cuda_rasterizer, "MAX_SPILL_BLOCKS", 2)
        yield


def draw(
    scene: Drawing, capacity: int, chosen: tuple[str, ...]
) -> tuple[RenderOutput, dict[str, Tensor], Any]:
    """Pictures, the gradients of a weighted sum of the chosen ones, and the weights."""
    s, c = scene.surfels, scene.cameras
    inputs = (
        s.mean, s.tangents, s.normal, s.opacity, scene.colour, c.camera_from_world, c.intrinsics,
        scene.pose_of_view, scene.background,
    )  # fmt: skip
    sizes = (c.height, c.width, c.near, capacity)
    *pictures, state = cuda_rasterizer._forward(*inputs, *sizes)
    output = RenderOutput(*pictures)
    weights = {name: weight for name, weight in loss_weights(output).items() if name in chosen}
    upstream = [weights.get(name) for name in IMAGES]
    found = cuda_rasterizer._backward(*upstream, *inputs, output.visible, output.depth, state, *sizes)
    return output, dict(zip(PARAMETERS, found, strict=True)), weights


def assert_agreement(scene: Drawing, capacity: int = 20_000, chosen: tuple[str, ...] = IMAGES) -> None:
    """Within docs/method.md, section 5, with a few pixels more in these small pictures."""
    output, found, weights = draw(scene, capacity, chosen)
    exact_output, exact = gradients(Torch(), scene.to("cpu", torch.float64), weights)
    rows = compare_outputs(output, exact_output) + compare_gradients(found, exact)
    report = "\n".join(f"{r.name:20s} {r.fraction:.2e} {r.norm:.2e} {r.median:.2e}" for r in rows)
    assert all(r.fraction <= 2e-3 and r.norm <= 2e-3 and r.median <= 5e-5 for r in rows), report


SMALL: dict[str, Any] = {"views": 2, "height": 22, "width": 37, "device": "cpu"}
SCENES: dict[str, dict[str, Any]] = {
    "one": {"count": 1, "size": 0.2},
    "ordinary": {"count": 70},
    "deep": {"count": 90, "size": 0.4, "spread": 0.2, "poses": 1},
    "around the cameras": {"count": 60, "size": 0.15, "spread": 1.5},
    "more views than a warp has lanes": {"count": 40, "views": 35, "poses": 3, "height": 9, "width": 12},
    "several blocks": {"count": 300, "size": 0.03, "views": 3},
}


@pytest.mark.parametrize("name", SCENES)
def test_agrees_with_the_reference(name: str) -> None:
    """Every picture and the gradient of every input."""
    assert_agreement(random_scene(**(SMALL | SCENES[name])))


@pytest.mark.parametrize("chosen", [("rgb",), ("rgb", "alpha", "normal"), ("rgb", "depth", "distortion")])
def test_gradients_of_some_pictures(chosen: tuple[str, ...]) -> None:
    """The kernels that leave out what no gradient comes through."""
    assert_agreement(random_scene(**(SMALL | {"count": 50})), chosen=chosen)


def test_pose_that_no_view_shows() -> None:
    """It has gradients of zero, whatever its memory held; the others have theirs."""
    scene = random_scene(**(SMALL | {"count": 40, "poses": 3}))
    scene.pose_of_view.copy_(torch.tensor([2, 0]))
    assert_agreement(scene)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "empty_like", lambda tensor: torch.full_like(tensor, torch.nan))
        _, found, _ = draw(scene, 20_000, IMAGES)
    for name in ("mean", "tangents", "normal"):
        assert not found[name][1].any(), name
        assert found[name][0].any(), name
        assert found[name][2].any(), name


def test_edge_on_surfel_with_pixels_on_its_axis() -> None:
    """Gradients stay finite where 1/w^2 overflows, and what does not come through the plane is not lost.

    The picture is that of a surfel so slightly turned that nothing overflows.
    """
    found = {}
    for turned in (1e-22, 1e-9):
        scene = random_scene(**(SMALL | {"count": 20, "views": 1, "poses": 1}))
        surfels, cameras = scene.surfels, scene.cameras
        cameras.camera_from_world[0, :3, :3] = torch.eye(3)
        cameras.intrinsics[0, :2, 2] = torch.tensor([18.5, 9.5])  # pixels' centres have d.x = 0
        surfels.mean[0, 0] = 0.0
        surfels.tangents[0, 0] = torch.tensor([[0.0, turned], [0.2, 0.0], [0.0, 0.2]])
        surfels.normal[0, 0] = torch.tensor([1.0, 0.0, 0.0])
        surfels.opacity[0] = 0.7
        w = torch.tensor(turned) / 0.2
        assert bool((1.0 / w).isfinite())
        assert bool((1.0 / w**2).isinf()) == (turned < 1e-20)
        output, gradient, _ = draw(scene, 20_000, IMAGES)
        found[turned] = output, gradient
    (output, gradient), (near_output, near) = found.values()
    close(output.rgb, near_output.rgb, "rgb")
    for name, value in gradient.items():
        assert bool(value.isfinite().all()), name
        if name in ("opacity", "colour"):  # of all: these do not come through the plane
            close(value, near[name], name)
        else:
            close(value[:, 1:], near[name][:, 1:], name)
            assert float(value[:, 0].abs().max()) < 1e3, name  # not what is left of an overflow
    assert float(gradient["opacity"][0]) != 0.0


def test_tiles_that_spill() -> None:
    """With room for half of the entries the same comes out; opaque surfels finish their pixels."""
    scene = random_scene(**(SMALL | {"count": 60, "size": 0.15}))
    scene.surfels.opacity.fill_(0.98)
    whole, gradient, _ = draw(scene, 20_000, IMAGES)
    for capacity in (1, 120):
        found, again, _ = draw(scene, capacity, IMAGES)
        for name in (*IMAGES, "visible", "radius"):
            assert torch.equal(getattr(found, name), getattr(whole, name)), name
        for name, value in again.items():
            assert float((value - gradient[name]).norm() / gradient[name].norm()) < 1e-5, name
    assert_agreement(scene)
    assert float(whole.alpha.max()) > 0.999
