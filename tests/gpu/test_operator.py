"""The operator's manners: torch.library, torch.compile, CUDA graphs, streams, threads, devices."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from surfhead.kernels import cuda as cuda_kernels
from surfhead.kernels import cuda_room
from surfhead.plugins.rasterizers.cuda import Cuda
from tests.gpu.scenes import IMAGES, Drawing, gradients, loss_weights, random_scene

pytestmark = pytest.mark.gpu


def arguments(drawing: Drawing, *, leaves: bool) -> tuple[object, ...]:
    """The operator's arguments for a drawing."""
    if leaves:
        drawing = drawing.leaves()[0]
    s, c = drawing.surfels, drawing.cameras
    capacity = cuda_room.planned_capacity(0, len(c), len(s), c.height, c.width)
    return (
        s.mean, s.tangents, s.normal, s.opacity, drawing.colour, c.camera_from_world, c.intrinsics,
        drawing.pose_of_view, drawing.background, c.height, c.width, c.near, capacity,
    )  # fmt: skip


@pytest.mark.parametrize("leaves", [False, True])
def test_opcheck(leaves: bool) -> None:
    """Schema, fake kernels, autograd registration and ahead-of-time dispatch hold together."""
    # one surfel a pixel row apart: sums of few terms, so that two runs give the same bits
    drawing = random_scene(count=5, views=2, size=0.01)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(
        torch.ops.surfhead.rasterize_cuda, arguments(drawing, leaves=leaves), test_utils=checks
    )


@pytest.mark.parametrize("through_depth", [False, True])
def test_opcheck_backward(through_depth: bool) -> None:
    """The same for the operator of the backward, with all upstream gradients and with only colour's."""
    drawing = random_scene(count=5, views=2, size=0.01)
    *inputs, height, width, near, capacity = arguments(drawing, leaves=False)
    rgb, alpha, normal, depth, median, distortion, visible, _, state = torch.ops.surfhead.rasterize_cuda(
        *inputs, height, width, near, capacity
    )
    others = (alpha, normal, depth, median, distortion)
    upstream = [torch.rand_like(rgb), *(torch.rand_like(t) if through_depth else None for t in others)]
    torch.library.opcheck(
        torch.ops.surfhead.rasterize_cuda_backward,
        (*upstream, *inputs, visible, depth, state, height, width, near, capacity),
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.filterwarnings("default")
def test_compiles() -> None:
    """torch.compile around the rasterizer gives the same pictures and gradients, without a graph break."""
    drawing = random_scene()
    exact, gradient = gradients(Cuda(), drawing)
    weights = loss_weights(exact)

    @torch.compile(fullgraph=True)
    def step(mean: Tensor, colour: Tensor) -> tuple[Tensor, Tensor]:
        s, c = drawing.surfels, drawing.cameras
        out = cuda_kernels.rasterize(
            mean * 1.0, s.tangents, s.normal, s.opacity, colour * 1.0, c.camera_from_world, c.intrinsics,
            drawing.pose_of_view, drawing.background, c.height, c.width, c.near,
        )  # fmt: skip
        total = sum((value * weights[name]).sum() for name, value in zip(IMAGES, out, strict=False))
        return total, out[0]

    mean = drawing.surfels.mean.clone().requires_grad_()
    colour = drawing.colour.clone().requires_grad_()
    total, rgb = step(mean, colour)
    found = torch.autograd.grad(total, [mean, colour])
    assert torch.equal(rgb, exact.rgb)
    for value, name in zip(found, ("mean", "colour"), strict=True):
        assert float((value - gradient[name]).norm() / gradient[name].norm()) < 1e-5


def test_captured_in_a_graph() -> None:
    """Forward and backward in one CUDA graph; a replay sees new values of its inputs."""
    drawing, other = random_scene(seed=0), random_scene(seed=7)
    leafy, leaves = drawing.leaves()
    weights = loss_weights(leafy.draw(Cuda()))

    def step() -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        output = leafy.draw(Cuda())
        total = sum((getattr(output, k) * w).sum() for k, w in weights.items())
        found = torch.autograd.grad(total, list(leaves.values()))
        return {name: getattr(output, name) for name in IMAGES}, found

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        images, found = step()
    with torch.no_grad():
        for name in ("mean", "tangents", "normal", "opacity"):
            leaves[name].copy_(getattr(other.surfels, name))
        leaves["colour"].copy_(other.colour)
    graph.replay()
    torch.cuda.synchronize()
    moved = Drawing(other.surfels, other.colour, drawing.cameras, drawing.pose_of_view, drawing.background)
    exact, gradient = gradients(Cuda(), moved, weights)
    for name in IMAGES:
        assert torch.equal(images[name], getattr(exact, name)), name
    for value, (name, reference) in zip(found, gradient.items(), strict=True):
        assert float((value - reference).norm() / reference.norm()) < 1e-5, name


def test_graph_replay_that_needs_more_room() -> None:
    """A replay whose surfels have grown beyond the captured room is still complete, and says so."""
    drawing = random_scene(count=200, views=1, size=0.01, height=201, width=203)
    tangents = drawing.surfels.tangents.clone()
    s, c = drawing.surfels, drawing.cameras

    def draw(value: Tensor) -> tuple[Tensor, ...]:
        return cuda_kernels.rasterize(
            s.mean, value, s.normal, s.opacity, drawing.colour, c.camera_from_world, c.intrinsics,
            drawing.pose_of_view, drawing.background, c.height, c.width, c.near,
        )  # fmt: skip

    draw(tangents)
    torch.cuda.synchronize()
    cuda_kernels.check_overflow()  # forget what earlier calls met
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        pictures = draw(tangents)
    tangents.mul_(200.0)
    graph.replay()
    torch.cuda.synchronize()
    assert cuda_kernels.check_overflow()
    copies = [p.clone() for p in pictures]
    exact = draw(tangents)
    torch.cuda.synchronize()
    assert not cuda_kernels.check_overflow()
    for mine, reference in zip(copies, exact, strict=True):
        assert torch.equal(mine, reference)


def test_runs_on_the_current_stream() -> None:
    """On a side stream the kernels wait for what that stream waits for."""
    drawing = random_scene(count=2000)
    exact = drawing.draw(Cuda())
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    colour = torch.zeros_like(drawing.colour)
    late = Drawing(drawing.surfels, colour, drawing.cameras, drawing.pose_of_view, drawing.background)
    with torch.cuda.stream(side):
        torch.cuda._sleep(100_000_000)  # cycles: tens of milliseconds
        colour.copy_(drawing.colour)
        output = late.draw(Cuda())
    side.synchronize()
    assert torch.equal(output.rgb, exact.rgb)


def test_two_streams_at_once() -> None:
    """Calls on two streams do not disturb each other."""
    drawings = [random_scene(count=3000, seed=seed) for seed in (1, 2)]
    exact = [drawing.draw(Cuda()).rgb.clone() for drawing in drawings]
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in drawings]
    found: list[list[Tensor]] = [[], []]
    for _ in range(10):
        for i, stream in enumerate(streams):
            with torch.cuda.stream(stream):
                found[i].append(drawings[i].draw(Cuda()).rgb)
    torch.cuda.synchronize()
    for i in range(2):
        assert all(torch.equal(value, exact[i]) for value in found[i])


def test_from_another_thread() -> None:
    """A thread that has not used the GPU yet can draw and differentiate."""
    drawing = random_scene()
    exact = gradients(Cuda(), drawing)[0].rgb
    found: list[Tensor] = []
    thread = threading.Thread(target=lambda: found.append(gradients(Cuda(), drawing)[0].rgb))
    thread.start()
    thread.join()
    assert torch.equal(found[0], exact)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_no_synchronisation() -> None:
    """Forward and backward never wait for the GPU."""
    drawing = random_scene()
    leafy, leaves = drawing.leaves()
    weights = loss_weights(leafy.draw(Cuda()))
    try:
        torch.cuda.set_sync_debug_mode("error")
        output = leafy.draw(Cuda())
        total = sum((getattr(output, k) * w).sum() for k, w in weights.items())
        torch.autograd.grad(total, list(leaves.values()))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_second_device() -> None:
    """Tensors on another than the current device are drawn there."""
    drawing = random_scene()
    exact, gradient = gradients(Cuda(), drawing)
    moved, found = gradients(
        Cuda(), drawing.to("cuda:1"), {k: w.to("cuda:1") for k, w in loss_weights(exact).items()}
    )
    assert moved.rgb.device.index == 1
    assert torch.equal(moved.rgb.to("cuda:0"), exact.rgb)
    torch.testing.assert_close(found["mean"].to("cuda:0"), gradient["mean"], rtol=1e-3, atol=1e-6)


def test_report() -> None:
    """What `surfhead doctor` prints names the device and the architecture."""
    report = cuda_kernels.report()
    assert report["architecture"].startswith(("sm_", "compute_"))
    assert report["cuda kernels"].startswith("ready")
