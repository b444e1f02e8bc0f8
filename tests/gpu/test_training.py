"""A training step on the GPU: its kernels against PyTorch in double precision, and its CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.types import AffineField, Batch, Binding, Cameras, RenderOutput, Step, WorldSurfels
from surfhead.data.opening import open_scene
from surfhead.kernels import cuda, ops
from surfhead.maths import geometry
from surfhead.plugins.appearances.diffuse import Diffuse
from surfhead.plugins.appearances.lobes import FEATURES, LobeNetwork, lobe_axes
from surfhead.plugins.regularizers.normal import Normal
from surfhead.plugins.regularizers.normal_length import NormalLength
from surfhead.runs.configuration import configure
from surfhead.runs.train import make_trainer
from surfhead.training.statistics import Statistics
from tests.gpu.small_training import small_training

pytestmark = pytest.mark.gpu
VIEWS, COUNT, HEIGHT, WIDTH = 3, 700, 45, 61


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers that single precision holds."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double().cuda()


def agree(work: Callable[..., Tensor], *leaves: Tensor, tolerance: float = 1e-4) -> None:
    """Values and gradients of ``work`` in single precision (kernels) and double (PyTorch)."""
    results = []
    for dtype in (torch.float32, torch.float64):
        own = [leaf.to(dtype).requires_grad_() for leaf in leaves]
        value = work(*own)
        weight = draw(*value.shape, seed=99).to(dtype)
        gradients = torch.autograd.grad((value * weight).sum(), own, allow_unused=True)
        results.append((value.detach(), *gradients))
    for i, (found, wanted) in enumerate(zip(*results, strict=True)):
        if found is None:
            assert wanted is None
            continue
        reference = torch.zeros_like(found).double() if wanted is None else wanted
        error = float((found.double() - reference).norm() / reference.norm().clamp_min(1e-12))
        assert error < tolerance, f"{i}: {error:.1e}"


def cameras(dtype: torch.dtype) -> Cameras:
    """A camera a view, before the origin."""
    pose = torch.eye(4, dtype=torch.float64, device="cuda").repeat(VIEWS, 1, 1)
    pose[:, :3, :3] = geometry.axis_angle_to_matrix(0.2 * draw(VIEWS, 3, seed=7))
    pose[:, 2, 3] = 3.0
    one = torch.tensor([[60.0, 0, 20.0], [0, 70.0, 11.0], [0, 0, 1]], dtype=torch.float64, device="cuda")
    return Cameras(pose.float().to(dtype), one.repeat(VIEWS, 1, 1).to(dtype), HEIGHT, WIDTH)


def step(dtype: torch.dtype, **parts: Any) -> Step:
    """A step with some parts filled in."""
    g = torch.Generator().manual_seed(3)
    mask = torch.randint(0, 256, (VIEWS, HEIGHT, WIDTH), generator=g, dtype=torch.uint8).cuda()
    pose = torch.arange(VIEWS, device="cuda")
    image = mask[..., None].expand(-1, -1, -1, 3).contiguous()
    white = torch.ones(VIEWS, 3, dtype=dtype, device="cuda")
    batch = Batch(cameras(dtype), pose, pose, image, white, mask=mask, paired=True)
    nothing = torch.zeros(VIEWS, HEIGHT, WIDTH, dtype=dtype, device="cuda")
    visible = torch.rand(VIEWS, COUNT, generator=g).cuda() > 0.4
    pictures = {"rgb": nothing[..., None].expand(-1, -1, -1, 3), "alpha": nothing, "normal": nothing}
    pictures |= {"depth": nothing, "median_depth": nothing, "distortion": nothing}
    output = RenderOutput(**(pictures | parts.get("output", {})), visible=visible, radius=visible.to(dtype))
    linear = parts.get("linear", torch.zeros(VIEWS, COUNT, 3, 3, dtype=dtype, device="cuda"))
    scale = torch.full((1, COUNT), 0.02, dtype=torch.float32, device="cuda").to(dtype)
    field = AffineField(linear, linear[..., 0], linear, scale)
    opacity = torch.ones(COUNT, dtype=dtype, device="cuda")
    surfels = WorldSurfels(linear[..., 0], linear[..., :2], linear[..., 2], opacity)
    binding = Binding(torch.zeros(COUNT, dtype=torch.int64, device="cuda"), parts.get("binding", {}))
    return Step(0, batch, output, surfels, binding, field, None, 1.0)


def test_rest_directions() -> None:
    rotation = geometry.axis_angle_to_matrix(draw(VIEWS, COUNT, 3, seed=2)).float()
    normal = torch.nn.functional.normalize(draw(VIEWS, COUNT, 3, seed=1), dim=-1).float()
    centre = (4.0 + draw(VIEWS, 3, seed=3)).float()

    def work(mean: Tensor, turn: Tensor) -> Tensor:
        found = ops.rest_directions(mean, normal.to(mean), turn, centre.to(mean))
        return torch.stack([found[0], found[1].detach()])

    agree(work, draw(VIEWS, COUNT, 3), rotation)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonics(degree: int) -> None:
    model = Diffuse(3, 1)
    model.advance(degree)
    directions = torch.nn.functional.normalize(draw(VIEWS, COUNT, 3, seed=1), dim=-1).float()

    def work(dc: Tensor, rest: Tensor, d: Tensor) -> Tensor:
        return model({"sh_dc": dc, "sh_rest": rest}, d)

    agree(work, draw(COUNT, 3), draw(COUNT, 15, 3), directions)


@pytest.mark.parametrize("ratio", [0.0, 0.3])
def test_normal_consistency(ratio: float) -> None:
    depth, median = 1.0 + 0.02 * draw(2, VIEWS, HEIGHT, WIDTH)
    alpha = torch.rand(VIEWS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2)).cuda()
    alpha[:, 4:9, 5:20] = 0.0

    def work(depth: Tensor, median: Tensor, normal: Tensor) -> Tensor:
        pictures = {"depth": depth, "median_depth": median, "normal": normal, "alpha": alpha.to(depth)}
        return Normal(Normal.Options(depth_ratio=ratio))(step(depth.dtype, output=pictures))

    agree(work, depth.float(), median.float(), draw(VIEWS, HEIGHT, WIDTH, 3, seed=4), tolerance=1e-3)


def test_normal_length() -> None:
    linear = 0.02 * (torch.eye(3, device="cuda") + 0.3 * draw(VIEWS, COUNT, 3, 3, seed=1))

    def work(quaternion: Tensor, linear: Tensor) -> Tensor:
        parts = {"binding": {"quaternion": quaternion}, "linear": linear}
        return NormalLength()(step(linear.dtype, **parts))

    agree(work, draw(COUNT, 4), linear.float(), tolerance=1e-3)


@pytest.mark.parametrize("own_joints", [False, True])
def test_rig(own_joints: bool) -> None:
    """Joints and skin of some thousand vertices: what hangs on two joints, and every gradient."""
    parents, vertices = (-1, 0, 1, 1, 1), 3000
    g = torch.Generator().manual_seed(5)
    weights = torch.rand(vertices, len(parents), generator=g).cuda()
    weights[:, :3] *= (torch.arange(vertices) % 3 == 0).float()[:, None].cuda()

    def work(vectors: Tensor, rest: Tensor, shaped: Tensor, translation: Tensor) -> Tensor:
        rotations, transforms = ops.pose_joints(vectors, rest, parents)
        shaped = shaped + rotations[:, 1, 0].sum(-1)[:, None, None]
        return ops.skin_vertices(shaped, transforms, weights.to(shaped), translation)

    joints = draw(VIEWS if own_joints else 1, len(parents), 3, seed=1)
    agree(
        work, 0.5 * draw(VIEWS, len(parents), 3), joints, draw(VIEWS, vertices, 3, seed=2),
        draw(VIEWS, 3, seed=3),
    )  # fmt: skip


@pytest.mark.parametrize(("rows", "anisotropic"), [(2, True), (4, True), (4, False)])
def test_highlight(rows: int, anisotropic: bool) -> None:
    """What the perceptron looks at, and the gradients of features and directions."""
    networks = {
        dtype: LobeNetwork(lobe_axes(rows, 8), anisotropic, 1).to("cuda", dtype)
        for dtype in (torch.float64, torch.float32)
    }
    networks[torch.float32].load_state_dict(networks[torch.float64].state_dict())
    networks[torch.float64].load_state_dict(networks[torch.float32].state_dict())
    normals = torch.nn.functional.normalize(draw(VIEWS, COUNT, 3, seed=1), dim=-1).float()
    directions = torch.nn.functional.normalize(draw(VIEWS, COUNT, 3, seed=2), dim=-1).float()

    def work(features: Tensor, directions: Tensor) -> Tensor:
        network = networks[features.dtype]
        raw = network.lobes(features)
        return ops.lobe_inputs(raw, network.axes, directions, normals.to(features), anisotropic)

    agree(work, draw(COUNT, FEATURES), directions)


def test_statistics() -> None:
    found = []
    for dtype in (torch.float32, torch.float64):
        sums = Statistics(COUNT, "cuda")
        for name in ("gradient", "seen", "radius"):
            setattr(sums, name, getattr(sums, name).to(dtype))
        for seed in range(2):
            mean = draw(VIEWS, COUNT, 3, seed=seed).to(dtype).requires_grad_()
            mean.grad = draw(VIEWS, COUNT, 3, seed=10 + seed).to(dtype)
            sums.update(mean, cameras(dtype), step(dtype).output)
        found.append(sums.tensors())
    for name, value in found[0].items():
        torch.testing.assert_close(value.double(), found[1][name], rtol=1e-4, atol=1e-6)


def lit() -> list[Tensor]:
    """Nine surfels in two views, and two quadrics."""
    surfels = many((9, 3), (9, 15, 3), (9, 1), (9, 1), (2, 9, 3), (2, 9, 3), (2, 9, 3, 3), (2, 9, 3))
    return [*surfels, *many((13, 3), (13, 3))]


OPERATORS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "rest_directions_cuda": lambda: (*many((2, 9, 3), (2, 9, 3), (2, 9, 3, 3), (2, 3)),),
    "rest_directions_cuda_backward": lambda: (*many((2, 9, 3), (2, 9, 3), (2, 9, 3, 3), (2, 3)),),
    "facing_normals_cuda": lambda: (*many((2, 9, 3), (2, 9, 3), (9, 4), (2, 3), (2, 9, 3)),),
    "perceptron_cuda": lambda: (*many((9, 48), *LAYERS), True),
    "perceptron_cuda_backward": lambda: (
        *many((9, 3), (9, 48), (9, 128), (9, 128), (128, 48), (128, 128), (3, 128)), True, True,
    ),
    "harmonic_colours_cuda": lambda: (*many((9, 3), (9, 15, 3), (2, 9, 3)), 3),
    "harmonic_colours_cuda_backward": lambda: (*many((2, 9, 3), (9, 3), (9, 15, 3), (2, 9, 3)), 2, True),
    "lit_colours_cuda": lambda: (*lit(), 2),
    "lit_colours_cuda_backward": lambda: (*many((2, 9, 3)), *lit(), 2),
    "normal_term_cuda": lambda: (*many((1, 9, 9), (1, 9, 9), (1, 9, 9, 3), (1, 3, 3)), None),
    "normal_term_cuda_backward": lambda: (
        *many((), (1, 9, 9), (1, 9, 9), (1, 9, 9, 3), (1, 3, 3)), None,
    ),
    "length_term_cuda": lambda: (*many((9, 4), (2, 9, 3, 3), (9,)), seen()),
    "length_term_cuda_backward": lambda: (*many((), (9, 4), (2, 9, 3, 3), (9,)), seen()),
    "excess_cuda": lambda: (*many((9, 3)), seen()[0], hosts(), 0.7, False),
    "neighbour_weights_cuda": lambda: (*many((9, 4)), hosts(), seen()[0, :4], None),
    "neighbour_weights_cuda_backward": lambda: (*many((9, 4), (9, 4)), hosts(), seen()[0, :4], None),
    "relative_logarithms_cuda": lambda: (*many((2, 4, 4)), ring()),
    "relative_logarithms_cuda_backward": lambda: (*many((2, 12, 3), (2, 4, 4)), ring()),
    "pose_triangles_cuda": lambda: (*many((2, 4, 3)), ring(), *many((4, 14))),
    "apply_field_cuda": lambda: (*many((2, 9, 3, 3), (2, 9, 3), (9, 3), (9, 2), (9, 4)),),
    "apply_field_cuda_backward": lambda: (
        *many((2, 9, 3), (2, 9, 3, 2), (2, 9, 3), (2, 9, 3, 3), (9, 3), (9, 2), (9, 4)),
    ),
    "blend_triangles_cuda": lambda: (hosts(), ring(), *many(*BLEND), None),
    "blend_triangles_cuda_backward": lambda: (
        *many((2, 9, 3, 3), (2, 9, 3, 3)), hosts(), ring(), *many(*BLEND), torch.argsort(hosts()), True,
    ),
    "pose_joints_cuda": lambda: (*many((2, 3, 3), (1, 3, 3)), [-1, 0, 1]),
    "pose_joints_cuda_backward": lambda: (
        *many((2, 3, 3, 3), (2, 3, 12), (2, 3, 3), (1, 3, 3), (2, 3, 3, 3), (2, 3, 12)), [-1, 0, 1],
    ),
    "skin_vertices_cuda": lambda: (*many((2, 9, 3), (2, 4, 12), (9, 4), (2, 3)),),
    "skin_vertices_cuda_backward": lambda: (*many((2, 9, 3), (2, 9, 3), (2, 4, 12), (9, 4)),),
    "lobe_inputs_cuda": lambda: (*many((9, 64), (16, 3, 3), (2, 9, 3), (2, 9, 3)), True),
    "lobe_inputs_cuda_backward": lambda: (
        *many((2, 9, 48), (9, 64), (16, 3, 3), (2, 9, 3), (2, 9, 3)), True,
    ),
    "picture_losses_cuda_backward": lambda: (
        *many((2, 2), (2, 20, 30, 3), (2, 20, 30, 3), (3, 2, 20, 30, 3)),
    ),
}  # fmt: skip
LAYERS = ((128, 48), (128,), (128, 128), (128,), (3, 128), (3,))
BLEND = ((9, 4), (2, 4, 4), (2, 12, 3), (2, 4, 6), (4, 3, 3))


def hosts() -> Tensor:
    return torch.arange(9, device="cuda") % 4


def many(*shapes: tuple[int, ...]) -> list[Tensor]:
    """Positive numbers of each shape, so that nothing degenerates."""
    return [
        0.5 + torch.rand(shape, generator=torch.Generator().manual_seed(i)).cuda()
        for i, shape in enumerate(shapes)
    ]


def seen() -> Tensor:
    return torch.ones(2, 9, dtype=torch.bool, device="cuda")


def ring() -> Tensor:
    return torch.tensor([[1, 2, 3], [2, 3, 0], [3, 0, 1], [0, 1, 2]], device="cuda")


@pytest.mark.parametrize("name", OPERATORS)
def test_opcheck(name: str) -> None:
    """Schema and fake kernels of forward and backward alike."""
    operator = getattr(torch.ops.surfhead, name)
    torch.library.opcheck(operator, OPERATORS[name](), test_utils=("test_schema", "test_faketensor"))


def test_graphs_change_nothing(tmp_path: Path) -> None:
    """With and without graphs the losses agree, over changes of degree, highlight and surfels."""
    found = []
    for graphs in (True, False):
        run = small_training(tmp_path / str(graphs), graphs)
        captured = 0
        losses = []
        while run.images < run.length:
            run.step()
            losses.append(float(torch.stack(list(run.losses.values())).sum()))
            captured += run._captured is not None and run._captured.captured
        if graphs:
            assert run._captured is not None
            assert run._captured.failure is None
            assert captured > 40
        else:
            assert captured == 0
        found.append((torch.tensor(losses), len(run.avatar.surfels)))
        run.feed.close()
    (mine, count), (reference, other) = found
    assert abs(count - other) <= 0.02 * other
    assert float(((mine - reference) / reference).abs().max()) < 0.02
    assert float(((mine - reference) / reference).abs()[:10].max()) < 1e-3


@pytest.mark.parametrize("preset", ["fast", "quality", "monocular", "paper"])
def test_every_preset_is_captured(preset: str, tmp_path: Path) -> None:
    """At the start and at the end, when degree and highlight are those of a finished run."""
    own = {"iterations": 240, "device": "cuda", "batch_size": 2, "surfels_per_triangle": 1}
    own |= {"data": {"name": "synthetic", "width": 64, "height": 64, "timesteps": 4, "test_timesteps": 1}}
    own |= {"evaluate": {"every": 0, "at": [], "limit": 0}, "checkpoint": {"every": 0}, "baseline": False}
    config = configure(preset=preset, settings=own)
    run = make_trainer(config, open_scene(config), tmp_path, torch.device("cuda"))
    captured = 0
    while run.images < run.length:
        run.step()
        assert run._captured is not None
        assert run._captured.failure is None
        captured += run._captured.captured
    assert captured > 60
    assert run._captured is not None
    assert run._captured.captured
    run.feed.close()


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_a_step_does_not_wait(tmp_path: Path) -> None:
    """Between two looks a replayed step never waits for the GPU."""
    run = small_training(tmp_path, True, images=4000, densifier={"name": "adaptive", "start": 4000})
    run.feed.prefetch(run.order.views)
    for _ in range(41):
        run.step()
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        for _ in range(9):
            run.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
        run.feed.close()


def test_what_a_graph_cannot_hold_runs_without(tmp_path: Path) -> None:
    """A component that waits for the GPU although it says it does not ends graphs, not the run."""
    run = small_training(tmp_path, True, images=40)
    component = run.terms[0].component
    inner = type(component).__call__

    class Waiting(type(component)):  # type: ignore[misc]
        def __call__(self, step: Step) -> Tensor:
            value = inner(self, step)
            return value * (1.0 if float(value.detach()) > -1.0 else 0.0)

    component.__class__ = Waiting
    while run.images < run.length:
        run.step()
    assert run._captured is not None
    assert run._captured.failure is not None
    assert all(bool(torch.isfinite(v).all()) for _, v in run.optimiser.named())
    run.feed.close()


def test_broken_gradients_stop_the_run(tmp_path: Path) -> None:
    """A NaN in a replayed step is found before a checkpoint is written, and named."""
    from surfhead.core.errors import SurfheadError

    run = small_training(tmp_path, True, images=4000)
    for _ in range(6):
        run.step()
    with torch.no_grad():
        run.avatar.surfels.parameters["opacity"][3] = float("nan")
    run.step()
    with pytest.raises(SurfheadError, match="is NaN or infinite"):
        run.save()
    run.feed.close()


def test_adam_follows_pytorch(tmp_path: Path) -> None:
    """One launch for all parameters gives PyTorch's steps."""
    values = [draw(*shape, seed=i).float() for i, shape in enumerate([(5000, 3), (17,), (300, 15, 3)])]
    exact = [value.clone().requires_grad_() for value in values]
    adam = torch.optim.Adam([{"params": [v], "lr": 0.01} for v in exact], eps=1e-15)
    mine = [value.clone().requires_grad_() for value in values]
    moments = [
        cuda.Moments(
            v, torch.zeros_like(v.detach()), torch.zeros_like(v.detach()), torch.zeros((), device="cuda")
        )
        for v in mine
    ]
    broken = torch.zeros(3, dtype=torch.int32, device="cuda")
    for seed in range(5):
        for i, (a, b, m) in enumerate(zip(exact, mine, moments, strict=True)):
            a.grad = draw(*a.shape, seed=100 * seed + i).float()
            b.grad = a.grad.clone()
            m.step.add_(1.0)
        adam.step()
        cuda.adam_step(moments, torch.full((3,), 0.01, device="cuda"), broken, (0.9, 0.999), 1e-15)
    for a, b in zip(exact, mine, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert not bool(broken.any())
