"""The CUDA kernels of a training step around the rasterizer, run on the CPU, against their twins."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.types import (
    AffineField,
    Batch,
    Binding,
    Cameras,
    Mesh,
    RenderOutput,
    Step,
    WorldSurfels,
)
from surfhead.kernels import cuda_colours, cuda_optimiser, cuda_surface, cuda_triangles, ops
from surfhead.maths import depth_normals, geometry
from surfhead.plugins.appearances.diffuse import Diffuse
from surfhead.plugins.deformers.blending import deformation
from surfhead.plugins.regularizers.normal_length import NormalLength
from surfhead.training.statistics import Statistics
from tests.kernels.emulation import close, emulated_kernels
from tests.plugins.deformers.conftest import make_patch

KERNELS = {
    "triangles": {
        "pose_triangles": "Triangles", "pose_triangles_backward": "Triangles",
        "relative_logarithms": "Triangles", "relative_logarithms_backward": "Triangles",
    },
    "colours": {
        "rest_directions": "Directions", "rest_directions_backward": "Directions", "facing_normals": "Facing",
        "harmonic_colours": "Harmonics", "harmonic_colours_backward": "Harmonics",
    },
    "surface_terms": {
        "normal_term": "NormalTerm", "normal_term_backward": "NormalTerm",
        "length_term": "LengthTerm", "length_term_backward": "LengthTerm", "excess": "Excess",
    },
    "optimiser": {"screen_gradients": "Screen", "adam_step": "Adam"},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def libraries() -> Iterator[dict[str, ctypes.CDLL]]:
    """Launches go to the emulator."""
    with emulated_kernels(KERNELS) as found:
        yield found


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Normal float64 numbers that float32 holds exactly, so that both precisions see the same input."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g).double()


def test_pose_triangles_and_logarithms() -> None:
    """Rotations, stretches, centroids and logarithms of a bent patch, and the gradient of its vertices."""
    patch = make_patch()
    vertices = patch.vertices(3).float().double().requires_grad_()
    rest = patch.rest
    mesh = Mesh(vertices, rest)
    deformed = deformation(mesh, True)
    assert bool(deformed.valid.all())
    neighbours = mesh.topology.neighbours
    exact = (
        deformed.quaternion,
        deformed.stretch_entries,
        mesh.frames.centroid,
        ops.relative_logarithms(deformed.quaternion, neighbours),
    )
    upstream = [draw(*value.shape, seed=i) for i, value in enumerate(exact)]
    wanted = torch.autograd.grad(exact, vertices, upstream)[0]

    rows = rest.frames.rows.float()
    single = (vertices.detach().float(), mesh.topology.triangles, rows)
    quaternion, stretch, centroid = cuda_triangles._pose(*single)
    logarithm = cuda_triangles._logarithms(quaternion, neighbours)
    for name, found, value in zip(
        ("quaternion", "stretch", "centroid", "logarithm"),
        (quaternion, stretch, centroid, logarithm),
        exact,
        strict=True,
    ):
        close(found, value.detach(), name)
    g = [value.float() for value in upstream]
    through = cuda_triangles._logarithms_backward(g[3], quaternion, neighbours)
    found = cuda_triangles._pose_backward(g[0] + through, g[1], g[2], *single, quaternion)
    close(found, wanted, "vertices", 1e-4)
    only_centroid = cuda_triangles._pose_backward(None, None, g[2], *single, quaternion)
    alone = torch.autograd.grad(Mesh(vertices, rest).frames.centroid, vertices, upstream[2])[0]
    close(only_centroid, alone, "centroid alone")


def test_degenerate_triangle() -> None:
    """A triangle without area has the identity and passes a gradient to its centroid only."""
    patch = make_patch()
    vertices = patch.vertices(1).float()
    corners = patch.rest.topology.triangles
    vertices[:, corners[0]] = vertices[:, corners[0, :1]]
    rows = patch.rest.frames.rows.float()
    quaternion, stretch, centroid = cuda_triangles._pose(vertices, corners, rows)
    assert quaternion[0, 0].tolist() == [1, 0, 0, 0]
    assert stretch[0, 0].tolist() == [1, 0, 0, 1, 0, 1]
    g = torch.zeros_like(quaternion), torch.zeros_like(stretch), torch.zeros_like(centroid)
    g[0][0, 0] = g[1][0, 0, 0] = 1.0
    assert not bool(cuda_triangles._pose_backward(*g, vertices, corners, rows, quaternion).any())


def test_rest_directions() -> None:
    """Directions and normals in rest space, and the gradients of centres and rotations."""
    views, count = 3, 150
    mean = draw(views, count, 3).requires_grad_()
    normal = torch.nn.functional.normalize(draw(views, count, 3, seed=1), dim=-1)
    rotation = geometry.axis_angle_to_matrix(draw(views, count, 3, seed=2)).detach().requires_grad_()
    centre = 4.0 + draw(views, 3, seed=3)
    exact = ops.rest_directions(mean, normal, rotation, centre)
    assert not exact[1].requires_grad
    upstream = draw(views, count, 3, seed=4)
    wanted = torch.autograd.grad(exact[0], (mean, rotation), upstream)
    single = [value.detach().float().contiguous() for value in (mean, normal, rotation, centre)]
    found = cuda_colours._directions(*single)
    for name, value, reference in zip(("directions", "normals"), found, exact, strict=True):
        close(value, reference.detach(), name)
    del single[1]
    gradients = cuda_colours._directions_backward(upstream.float(), *single)
    for name, value, reference in zip(("mean", "rotation"), gradients, wanted, strict=True):
        close(value, reference, name)
    beside = draw(views, count, 3, seed=5)
    together, _ = cuda_colours._directions_backward(upstream.float(), *single, beside.float())
    close(together, wanted[0] + beside, "mean, with what reaches it otherwise")


@pytest.mark.parametrize("mesh", [True, False])
def test_facing_normals(mesh: bool) -> None:
    """Normals on the cameras' side, and their gradient, of surfels on either side of their triangles."""
    views, count = 3, 150
    mean, centre = draw(views, count, 3), 0.5 * draw(views, 3, seed=3)
    normal = torch.nn.functional.normalize(draw(views, count, 3, seed=1), dim=-1).requires_grad_()
    quaternion = draw(count, 4, seed=2) if mesh else None
    exact = ops.facing_normals(mean, normal, quaternion, centre)
    upstream = draw(views, count, 3, seed=4)
    (wanted,) = torch.autograd.grad(exact, normal, upstream)
    still = None if quaternion is None else quaternion.float()
    given = mean.float(), normal.detach().float(), still, centre.float()
    close(cuda_colours._facing(*given, given[1]), exact.detach(), "normals")
    close(cuda_colours._facing(*given, upstream.float()), wanted, "their gradient")


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonic_colours(degree: int) -> None:
    """Colours of every degree with room for degree 3, and all gradients."""
    views, count = 2, 130
    features = {"sh_dc": draw(count, 3).requires_grad_(), "sh_rest": draw(count, 15, 3).requires_grad_()}
    directions = torch.nn.functional.normalize(draw(views, count, 3, seed=1), dim=-1).requires_grad_()
    model = Diffuse(3, 1)
    model.advance(degree)
    assert model.active == degree
    exact = model(features, directions)
    upstream = draw(views, count, 3, seed=2)
    leaves = (*features.values(), directions)
    wanted = torch.autograd.grad(exact, leaves, upstream, allow_unused=True)
    single = [value.detach().float() for value in leaves]
    close(cuda_colours._colours(*single, degree), exact.detach(), "colour")
    found = cuda_colours._colours_backward(upstream.float(), *single, degree, True)
    for name, value, reference in zip(("sh_dc", "sh_rest", "directions"), found, wanted, strict=True):
        close(value, torch.zeros_like(value) if reference is None else reference, name)


@pytest.mark.parametrize("masked", [True, False])
def test_normal_term(masked: bool) -> None:
    """The mean disagreement of a bumpy picture with a hole, and the gradients of depth and normals."""
    views, height, width = 2, 19, 45
    depth = (1.0 + 0.02 * draw(views, height, width)).float().double().requires_grad_()
    normal = draw(views, height, width, 3, seed=1).requires_grad_()
    alpha = torch.rand(views, height, width, generator=torch.Generator().manual_seed(2)).double()
    alpha[:, 4:9, 5:20] = 0.0
    intrinsics = torch.tensor([[60.0, 0, 20.0], [0, 70.0, 11.0], [0, 0, 1]]).double().repeat(views, 1, 1)
    g = torch.Generator().manual_seed(3)
    mask = torch.randint(0, 256, (views, height, width), generator=g, dtype=torch.uint8) if masked else None
    drawn, defined = depth_normals.depth_normals(depth, alpha, intrinsics)
    weight = torch.ones_like(alpha) if mask is None else mask.double() / 255.0
    disagreement = (1.0 - (normal * drawn).sum(-1)) * defined * weight
    exact = torch.stack([disagreement.sum(), weight.sum()])
    wanted = torch.autograd.grad(exact[0], (depth, normal))
    single = [value.detach().float() for value in (depth, alpha, normal, intrinsics)]
    close(cuda_surface._normal(*single, mask), exact.detach(), "sums")
    found = cuda_surface._normal_backward(torch.tensor(1.0), *single, mask)
    close(found[0], wanted[0], "depth", 1e-4)
    close(found[1], wanted[1], "normal")


def test_length_term() -> None:
    """The mean change of length over visible surfels, some reflected, and the gradients."""
    views, count = 2, 300
    quaternion = draw(count, 4).requires_grad_()
    linear = (0.02 * (torch.eye(3) + 0.3 * draw(views, count, 3, 3, seed=1))).float().double()
    linear[:, :9, 0] *= -1
    linear.requires_grad_()
    scale = torch.full((1, count), 0.02, dtype=torch.float64).float().double()
    visible = torch.rand(views, count, generator=torch.Generator().manual_seed(2)) > 0.4
    exact = NormalLength()(_step(quaternion, linear, scale, visible))
    wanted = torch.autograd.grad(exact, (quaternion, linear))
    single = [value.detach().float() for value in (quaternion, linear, scale[0])]
    sums = cuda_surface._length(*single, visible)
    close(sums[0] / sums[1], exact.detach(), "mean")
    found = cuda_surface._length_backward(1.0 / sums[1], *single, visible)
    close(found[0], wanted[0], "quaternion", 1e-4)
    close(found[1], wanted[1], "linear", 1e-4)


@pytest.mark.parametrize(("width", "limit", "each"), [(3, 1.2, False), (2, 0.7, True), (1, 0.0, False)])
def test_excess(width: int, limit: float, each: bool) -> None:
    """The mean beyond a limit, of surfels seen on triangles, and its gradient; 0 where nobody is."""
    count, g = 600, torch.Generator().manual_seed(1)
    value = draw(count, width)
    value[7] = 0.0
    seen = torch.rand(count, generator=g) > 0.4
    host = torch.randint(-1, 3, (count,), generator=g)
    leaf = value.clone().requires_grad_()
    exact = ops.excess(leaf, limit, seen, host, each)
    single = value.float().requires_grad_()
    found = cuda_surface.excess(single, seen, host, limit, each)
    close(found.detach(), exact.detach(), "mean")
    (3.0 * exact).backward()
    (3.0 * found).backward()
    assert leaf.grad is not None
    assert single.grad is not None
    close(single.grad, leaf.grad, "value")
    assert bool((single.grad[~seen | (host < 0)] == 0).all())
    none = cuda_surface.excess(single, torch.zeros_like(seen), host, limit, each)
    assert none.item() == 0.0
    broken = value.float()
    broken[3] = torch.nan
    assert cuda_surface.excess(broken, seen | True, host.clamp_min(0), limit, each).isnan()


def test_a_mean_over_what_is_visible_passes_nothing_to_the_count() -> None:
    """The gradients of the terms' wrappers, whose second sum is a constant."""
    count = 300
    quaternion = draw(count, 4).float().requires_grad_()
    linear = (0.02 * (torch.eye(3) + 0.3 * draw(2, count, 3, 3, seed=1))).float().requires_grad_()
    scale, visible = torch.full((count,), 0.02), torch.rand(2, count) > 0.4
    cuda_surface.length_term(quaternion, linear, scale, visible).backward()
    sums = cuda_surface._length(quaternion.detach(), linear.detach(), scale, visible)
    wanted = cuda_surface._length_backward(
        1.0 / sums[1], quaternion.detach(), linear.detach(), scale, visible
    )
    assert torch.equal(torch.as_tensor(quaternion.grad), wanted[0])
    assert torch.equal(torch.as_tensor(linear.grad), wanted[1])


def _cameras(views: int) -> Cameras:
    pose = torch.eye(4, dtype=torch.float64).repeat(views, 1, 1)
    pose[:, :3, :3] = geometry.axis_angle_to_matrix(0.2 * draw(views, 3, seed=7))
    pose[:, 2, 3] = 3.0
    intrinsics = torch.tensor([[60.0, 0, 20.0], [0, 70.0, 11.0], [0, 0, 1]]).double().repeat(views, 1, 1)
    return Cameras(pose.float().double(), intrinsics, 22, 40)


def _output(visible: Tensor, radius: Tensor) -> RenderOutput:
    nothing = torch.zeros(len(visible), 22, 40, dtype=torch.float64)
    return RenderOutput(*(nothing,) * 6, visible, radius)


def _step(quaternion: Tensor, linear: Tensor, scale: Tensor, visible: Tensor) -> Step:
    views, count = visible.shape
    surfels = WorldSurfels(
        linear[..., 0], linear[..., :2], linear[..., 2], torch.ones(count, dtype=torch.float64)
    )
    image = torch.zeros(views, 22, 40, 3, dtype=torch.uint8)
    batch = Batch(
        _cameras(views), torch.arange(views), torch.arange(views), image, torch.ones(views, 3), paired=True
    )
    binding = Binding(torch.zeros(count, dtype=torch.int64), {"quaternion": quaternion})
    field = AffineField(linear, linear[..., 0], linear, scale)
    output = _output(visible, visible.double())
    return Step(0, batch, output, surfels, binding, field, None, 1.0)


def test_screen_gradients() -> None:
    """Two steps of the densification statistic."""
    views, count = 3, 270
    cameras = _cameras(views)
    exact = Statistics(count, "cpu")
    found = Statistics(count, "cpu")
    for name in ("gradient", "seen", "radius"):
        setattr(exact, name, getattr(exact, name).double())
    for step in range(2):
        mean = draw(views, count, 3, seed=step).requires_grad_()
        mean.grad = draw(views, count, 3, seed=10 + step)
        g = torch.Generator().manual_seed(step)
        visible = torch.rand(views, count, generator=g) > 0.5
        radius = torch.rand(views, count, generator=g).double()
        exact.update(mean, cameras, _output(visible, radius))
        cuda_optimiser.screen_gradients(
            mean.grad.float(),
            mean.detach().float(),
            cameras.camera_from_world.float(),
            cameras.intrinsics.float(),
            (cameras.height, cameras.width),
            visible,
            radius.float(),
            (found.gradient, found.seen, found.radius),
        )
    for name, value in found.tensors().items():
        close(value, exact.tensors()[name], name)


def test_adam() -> None:
    """Steps over several parameters, one without a gradient, against PyTorch's Adam in double precision."""
    shapes: list[tuple[int, ...]] = [(2000, 3), (1,), (7, 5), (1500,)]
    values = [draw(*shape, seed=i) for i, shape in enumerate(shapes)]
    values[3] = (1e-3 * values[3]).float().double()  # so that single precision holds its small changes
    rates = [1e-2, 3e-3, 1e-1, 1e-5]
    exact = [value.clone().requires_grad_() for value in values]
    rows: list[Any] = [{"params": [v], "lr": rate} for v, rate in zip(exact, rates, strict=True)]
    adam = torch.optim.Adam(rows, eps=1e-15)
    single = [value.float().requires_grad_() for value in values]
    nothing = torch.zeros_like
    moments = [
        cuda_optimiser.Moments(v, nothing(v.detach()), nothing(v.detach()), torch.zeros(())) for v in single
    ]
    broken = torch.zeros(len(shapes), dtype=torch.int32)
    for step in range(4):
        for i, (a, b) in enumerate(zip(exact, single, strict=True)):
            if i == 2 and step < 2:
                continue
            a.grad = draw(*a.shape, seed=20 * step + i)
            b.grad = a.grad.float()
            moments[i].step.add_(1.0)
        adam.step()
        cuda_optimiser.adam_step(moments, torch.tensor(rates), broken, (0.9, 0.999), 1e-15)
    for value, found, reference in zip(values, single, exact, strict=True):
        close(found.detach() - value, reference.detach() - value, "change", 1e-4)
    assert not bool(broken.any())


def test_adam_leaves_alone_what_takes_no_part() -> None:
    """Its gradient may not be a mean yet; nor is it looked at."""
    single = [torch.ones(3, requires_grad=True), torch.ones(5, requires_grad=True)]
    single[0].grad = torch.tensor([1.0, float("nan"), 1.0])
    single[1].grad = torch.ones(5)
    none = torch.empty(0)
    moments = [
        cuda_optimiser.Moments(single[0], none, none, none, taking_part=False),
        cuda_optimiser.Moments(single[1], torch.zeros(5), torch.zeros(5), torch.ones(())),
    ]
    broken = torch.zeros(2, dtype=torch.int32)
    cuda_optimiser.adam_step(moments, torch.tensor([0.1, 0.2]), broken, (0.9, 0.999), 1e-15)
    assert broken.tolist() == [0, 0]
    assert torch.equal(single[0].detach(), torch.ones(3))
    assert torch.allclose(single[1], torch.full((5,), 0.8))


def test_adam_of_what_rests_changes_no_bit() -> None:
    """No gradient and no moments; what has one of them moves on."""
    start = draw(4, 500).float()
    start[0, :2] = torch.tensor([0.0, -0.0])
    mean, square, gradient = (torch.zeros(4, 500) for _ in range(3))
    gradient[1], mean[2], square[3] = 0.5, 0.25, 4.0
    gradient[0, ::3] = -0.0
    value = start.clone().requires_grad_()
    value.grad = gradient
    moments = [cuda_optimiser.Moments(value, mean, square, torch.ones(()))]
    broken = torch.zeros(1, dtype=torch.int32)
    cuda_optimiser.adam_step(moments, torch.tensor([0.1]), broken, (0.9, 0.999), 1e-15)
    assert value.detach()[0].numpy().tobytes() == start[0].numpy().tobytes()
    assert not bool(mean[0].any() | square[0].any())
    for row, (m, v) in enumerate(((0.05, 2.5e-4), (0.225, 0.0), (0.0, 3.996)), start=1):
        torch.testing.assert_close(mean[row], torch.full((500,), m))
        torch.testing.assert_close(square[row], torch.full((500,), v))
    assert not bool((value.detach()[1:3] == start[1:3]).any())


def test_adam_leaves_what_is_not_finite_alone() -> None:
    """An infinite gradient is reported for its parameter, and changes nothing."""
    single = [torch.ones(5, requires_grad=True), torch.ones(3, requires_grad=True)]
    single[0].grad = torch.ones(5)
    single[1].grad = torch.tensor([1.0, float("inf"), float("nan")])
    moments = [
        cuda_optimiser.Moments(v, torch.zeros(len(v)), torch.zeros(len(v)), torch.ones(())) for v in single
    ]
    broken = torch.zeros(2, dtype=torch.int32)
    cuda_optimiser.adam_step(moments, torch.tensor([0.1, 0.1]), broken, (0.9, 0.999), 1e-15)
    assert broken.tolist() == [0, 1]
    assert torch.allclose(single[0], torch.full((5,), 0.9))
    assert single[1][1:].tolist() == [1.0, 1.0]
    assert not bool(moments[1].mean[1:].any())
