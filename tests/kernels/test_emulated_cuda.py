"""The fused CUDA kernels, compiled for the CPU and run thread by thread, against their twins in PyTorch."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from surfhead.avatars.surfels import apply_field
from surfhead.core.neighbour_blend import neighbourhood, weights
from surfhead.core.types import AffineField, Binding, Mesh
from surfhead.kernels import cuda_pictures, cuda_skinning, ops
from surfhead.maths import metrics
from surfhead.plugins.deformers.blending import deformation
from surfhead.plugins.deformers.jbs import Jbs
from tests.kernels.emulation import close, emulated_kernels
from tests.plugins.deformers.conftest import make_patch

KERNELS = {
    "skinning": {
        "apply_field": "Field", "apply_field_backward": "Field",
        "blend_triangles": "Blend", "blend_triangles_backward": "Blend",
        "neighbour_weights": "Shares", "neighbour_weights_backward": "Shares",
    },
    "picture_losses": {"picture_losses": "Pictures", "picture_losses_backward": "Pictures"},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def libraries() -> Iterator[dict[str, ctypes.CDLL]]:
    """Launches go to the emulator."""
    with emulated_kernels(KERNELS) as found:
        yield found


@pytest.mark.parametrize("size", [(1, 3, 5), (2, 19, 45), (1, 37, 80)])
@pytest.mark.parametrize("bytes_", [True, False])
def test_picture_losses(size: tuple[int, int, int], bytes_: bool) -> None:
    """Sums, and the gradient of both, on pictures that are no multiple of a tile."""
    g = torch.Generator().manual_seed(0)
    image = torch.rand(*size, 3, generator=g)
    truth = torch.randint(0, 256, (*size, 3), generator=g, dtype=torch.uint8)
    exact_truth = truth.double() / 255.0
    if not bytes_:
        truth = exact_truth.float()
    sums, derivative = cuda_pictures._forward(image, truth)
    exact = image.double().requires_grad_()
    count = image[0].numel()
    error = (exact - exact_truth).abs().sum(dim=(1, 2, 3))
    similarity = metrics.ssim(exact, exact_truth) * count
    close(sums, torch.stack([error, similarity], dim=1).detach(), "sums")
    upstream = torch.rand(size[0], 2, generator=g)
    found = cuda_pictures._backward(upstream, image, truth, derivative)
    total = (upstream[:, 0] * error + upstream[:, 1] * similarity).sum()
    close(found, torch.autograd.grad(total, exact)[0], "gradient")


@pytest.mark.parametrize("count", [1, 150])
def test_apply_field(count: int) -> None:
    """World surfels of three poses and the gradients of everything they are made of."""
    g = torch.Generator().manual_seed(0)
    shapes = {
        "linear": (3, count, 3, 3), "origin": (3, count, 3), "offset": (count, 3),
        "log_scale": (count, 2), "quaternion": (count, 4),
    }  # fmt: skip
    start = {k: torch.randn(*s, generator=g, dtype=torch.float64) for k, s in shapes.items()}
    leaves = {k: v.requires_grad_() for k, v in start.items()}
    own = {k: leaves[k] for k in ("offset", "log_scale", "quaternion")}
    binding = Binding(
        torch.zeros(count, dtype=torch.int64), {**own, "opacity": torch.zeros(count, dtype=torch.float64)}
    )
    field = AffineField(leaves["linear"], leaves["origin"], leaves["linear"], torch.ones(1, count))
    world = apply_field(field, binding)
    exact = (world.mean, world.tangents, world.normal)
    upstream = [torch.randn(v.shape, generator=g, dtype=torch.float64) for v in exact]
    wanted = dict(zip(leaves, torch.autograd.grad(exact, list(leaves.values()), upstream), strict=True))

    single = {k: v.detach().float() for k, v in leaves.items()}
    for value, reference in zip(cuda_skinning._field(*single.values()), exact, strict=True):
        close(value, reference.detach(), "world")
    del single["origin"]
    found = cuda_skinning._field_backward(*(v.float() for v in upstream), *single.values())
    for (name, _), value in zip(single.items(), found, strict=True):
        close(value, wanted[name], name)
    beside = torch.randn(3, count, 3, 3, generator=g, dtype=torch.float64)
    together = cuda_skinning._field_backward(*(v.float() for v in upstream), *single.values(), beside.float())
    close(together[0], wanted["linear"] + beside, "linear, with what reaches it otherwise")
    # without a gradient of tangents and normal only the mean's part is left
    only_mean = cuda_skinning._field_backward(upstream[0].float(), None, None, *single.values())
    assert not bool(only_mean[2].any())
    assert not bool(only_mean[3].any())


@pytest.mark.parametrize("rig", [True, False])
def test_blend_with_poses_shared_out(rig: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same by two rows of blocks, as on a GPU; not for a CPU's library, whose rows do not wait."""
    monkeypatch.setattr(cuda_skinning, "_shares", lambda *_: 2)
    test_blend(rig)


@pytest.mark.parametrize("rig", [True, False])
def test_blend(rig: bool) -> None:
    """The field of ``jbs`` over a mesh in three poses, and the gradients of weights and triangles."""
    patch = make_patch()
    mesh = Mesh(patch.vertices(3), patch.rest)
    deformed = deformation(mesh, True)
    topology, binding = mesh.topology, patch.binding
    logarithm = ops.relative_logarithms(deformed.quaternion, topology.neighbours)
    rest = mesh.rest.frames
    axes = rest.scale[:, None, None] * rest.rotation
    factors = weights(binding)
    exact = Jbs()(mesh, binding)
    floats = (factors, deformed.quaternion, logarithm, deformed.stretch_entries, axes)
    single = [binding.triangle, topology.neighbours, *(v.float().contiguous() for v in floats)]
    linear, rotation = cuda_skinning._blend(*single)
    close(linear, exact.linear, "linear")
    close(rotation, exact.rotation, "rotation")

    inputs = [v.detach().contiguous().requires_grad_() for v in (factors, deformed.quaternion, logarithm)]
    stretch = deformed.stretch_entries.detach().contiguous().requires_grad_()
    again = _field_of(binding, neighbourhood(mesh, binding), *inputs, stretch, axes)
    g = torch.Generator().manual_seed(3)
    upstream = [torch.randn(v.shape, generator=g, dtype=torch.float64) for v in again]
    wanted = torch.autograd.grad(again, [*inputs, stretch], upstream)
    found = cuda_skinning._blend_backward(*(v.float() for v in upstream), *single, None, rig)
    close(found[0], wanted[0], "weights", 1e-4)
    assert rig or found[1].numel() == 0
    parts = cuda_skinning._parts(found[1], *single[3:6]) if rig else []
    for name, value, reference in zip(("quaternion", "logarithm", "stretch"), parts, wanted[1:], strict=rig):
        close(value, reference, name, 1e-4)


@pytest.mark.parametrize("regions", [("eyeballs", "boundary"), ("boundary",), ()])
def test_neighbour_weights(regions: tuple[str, ...]) -> None:
    """As core's, with surfels of none, one and two regions, and the gradient of the logits."""
    g = torch.Generator().manual_seed(5)
    host = torch.randint(0, 20, (300,), generator=g)
    masks = {name: torch.rand(20, generator=g) < 0.3 for name in ("eyeballs", "boundary")}
    logits = 2.0 * torch.randn(300, 4, generator=g).double()
    index = {name: masks[name][host].nonzero().squeeze(1) for name in regions}
    leaf, single = logits.clone().requires_grad_(), logits.float().requires_grad_()
    exact = weights(Binding(host, {"blend": leaf}, index))
    found = cuda_skinning.neighbour_weights(
        single, host, *(masks[name] if name in regions else None for name in ("eyeballs", "boundary"))
    )
    close(found.detach(), exact.detach(), "weights")
    upstream = torch.randn(300, 4, generator=g)
    exact.backward(upstream.double())
    found.backward(upstream)
    assert single.grad is not None
    close(single.grad, torch.as_tensor(leaf.grad), "logits")
    for inside in index.values():
        assert found[inside].tolist() == [[1.0, 0.0, 0.0, 0.0]] * len(inside)
        assert not bool(single.grad[inside].any())


def test_constants_at_hosts_follow_both() -> None:
    """Made once; anew for other values, and where values or hosts have changed in place."""
    values, host = torch.arange(5.0), torch.tensor([4, 0, 4])
    found = ops.at_hosts(values, host)
    assert found.tolist() == [[4.0, 0.0, 4.0]]
    assert ops.at_hosts(values, host) is found
    host[1] = 2
    assert ops.at_hosts(values, host).tolist() == [[4.0, 2.0, 4.0]]
    values *= 2
    assert ops.at_hosts(values, host).tolist() == [[8.0, 4.0, 8.0]]
    assert ops.at_hosts(values + 1, host).tolist() == [[9.0, 5.0, 9.0]]
    host = host.clone()
    with torch.inference_mode():
        assert ops.at_hosts(values, host).tolist() == [[8.0, 4.0, 8.0]]
    assert not ops.at_hosts(values, host).is_inference()
    learning = values.clone().requires_grad_()
    ops.at_hosts(learning, host).sum().backward()
    assert torch.as_tensor(learning.grad).tolist() == [0.0, 0.0, 1.0, 0.0, 2.0]


@pytest.mark.parametrize("sorted_hosts", [True, False])
def test_blend_backward_sums_runs(sorted_hosts: bool) -> None:
    """Hosts with one surfel and with more than a warp of them, sorted or not: every surfel counts once.

    Forward finds each its place.
    """
    patch = make_patch()
    topology, rest = patch.rest.topology, patch.rest.frames
    g = torch.Generator().manual_seed(4)
    host = torch.cat((torch.randint(0, 5, (90,), generator=g), torch.full((45,), 9), torch.tensor([11])))
    host = host[torch.randperm(len(host), generator=g)]
    count, triangles = len(host), len(topology.neighbours)
    factors = torch.rand(count, 4, generator=g, dtype=torch.float64)
    quaternion = torch.nn.functional.normalize(
        torch.randn(2, triangles, 4, generator=g, dtype=torch.float64), dim=-1
    )
    logarithm = 0.3 * torch.randn(2, 3 * triangles, 3, generator=g, dtype=torch.float64)
    stretch = torch.rand(2, triangles, 6, generator=g, dtype=torch.float64)
    inputs = [v.requires_grad_() for v in (factors, quaternion, logarithm, stretch)]
    axes = rest.scale[:, None, None] * rest.rotation
    near = torch.cat((host[:, None], topology.neighbours[host]), dim=1)
    exact = _field_of(Binding(host, {}), near, *inputs, axes)
    upstream = [torch.randn(v.shape, generator=g, dtype=torch.float64) for v in exact]
    wanted = torch.autograd.grad(exact, inputs, upstream)
    order = cuda_skinning.host_order(host) if sorted_hosts else None
    single = [host, topology.neighbours, *(v.detach().float().contiguous() for v in (*inputs, axes))]
    for name, value, reference in zip(
        ("linear", "rotation"), cuda_skinning._blend(*single, order), exact, strict=True
    ):
        close(value, reference.detach(), name)
    found = cuda_skinning._blend_backward(*(v.float() for v in upstream), *single, order, True)
    parts = found[0], *cuda_skinning._parts(found[1], *single[3:6])
    for name, value, reference in zip(
        ("weights", "quaternion", "logarithm", "stretch"), parts, wanted, strict=True
    ):
        close(value, reference, name, 1e-4)


def test_order_of_hosts_follows_them() -> None:
    """Made once for a tensor of hosts, and anew when its values have changed."""
    host = torch.tensor([2, 0, 2, 1])
    order = cuda_skinning.host_order(host)
    assert order is not None
    assert order.tolist() == [1, 3, 0, 2]
    assert cuda_skinning.host_order(host) is order
    host[1] = 3
    changed = cuda_skinning.host_order(host)
    assert changed is not None
    assert changed.tolist() == [3, 0, 2, 1]


def _field_of(
    binding: Binding, near: Tensor, factors: Tensor, quaternion: Tensor, logarithm: Tensor, stretch: Tensor,
    axes: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The blend in plain PyTorch from the triangles' quantities."""
    from surfhead.maths import geometry, triangles

    count = quaternion.shape[1]
    pairs = binding.triangle[:, None] + torch.arange(0, 3 * count, count)
    turn = (factors[:, 1:, None] * logarithm[:, pairs]).sum(2)
    blended = geometry.quaternion_multiply(
        quaternion[:, binding.triangle], geometry.axis_angle_to_quaternion(turn)
    )
    rotation = geometry.unit_quaternion_to_matrix(blended)
    mixed = triangles.symmetric((factors[..., None] * stretch[:, near]).sum(2))
    return rotation @ mixed @ axes[binding.triangle], rotation
