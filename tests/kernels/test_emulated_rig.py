"""The CUDA kernels of rig and highlight, run on the CPU, against their twins."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.kernels import cuda_highlight, cuda_rig, ops
from surfhead.plugins.appearances.lobes import FEATURES, LobeNetwork, lobe_axes
from tests.kernels.emulation import close, emulated_kernels

KERNELS = {
    "rig": {
        "pose_joints_of": "Joints", "pose_joints_of_backward": "Joints",
        "skin_vertices": "Skin", "skin_vertices_backward": "Skin",
        "pose_rows": "Rows", "pose_rows_backward": "Rows",
    },
    "highlight": {"lobe_inputs": "Lobes", "lobe_inputs_backward": "Lobes"},
}  # fmt: skip
PARENTS = (-1, 0, 1, 1, 0)


@pytest.fixture(scope="module", autouse=True)
def libraries() -> Iterator[dict[str, ctypes.CDLL]]:
    """Launches go to the emulator."""
    with emulated_kernels(KERNELS) as found:
        yield found


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Normal float64 numbers that float32 holds exactly."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("own_joints", [False, True])
def test_pose_joints(own_joints: bool) -> None:
    """Rotations and transforms of a tree of joints, one at rest, and the gradients of vectors and places."""
    poses, joints = 3, len(PARENTS)
    vectors = (0.7 * draw(poses, joints, 3)).float().double()
    vectors[1, 2] = 0.0  # the series near no rotation
    vectors.requires_grad_()
    rest = draw(poses if own_joints else 1, joints, 3, seed=1).requires_grad_()
    exact = ops.pose_joints(vectors, rest, PARENTS)
    upstream = [draw(*value.shape, seed=2 + i) for i, value in enumerate(exact)]
    wanted = torch.autograd.grad(exact, (vectors, rest), upstream)
    single = vectors.detach().float(), rest.detach().float()
    found = cuda_rig._joints(*single, PARENTS)
    for name, value, reference in zip(("rotations", "transforms"), found, exact, strict=True):
        close(value, reference.detach(), name)
    g = [value.float() for value in upstream]
    g_vectors, g_rest = cuda_rig._joints_backward(*g, *single, *found, PARENTS)
    close(g_vectors, wanted[0], "vectors")
    close(g_rest if own_joints else g_rest.sum(0, keepdim=True), wanted[1], "rest")
    assert torch.equal(g[1], upstream[1].float())  # what autograd handed in is left alone
    alone = torch.autograd.grad(ops.pose_joints(vectors, rest, PARENTS)[1], vectors, upstream[1])[0]
    close(cuda_rig._joints_backward(None, g[1], *single, *found, PARENTS)[0], alone, "transforms alone")


def test_skin_vertices() -> None:
    """Vertices of more than one block, some hanging on one joint, and the gradients."""
    poses, vertices, joints = 2, 150, len(PARENTS)
    shaped = draw(poses, vertices, 3).requires_grad_()
    transforms = draw(poses, joints, 12, seed=1).requires_grad_()
    weights = torch.rand(vertices, joints, generator=torch.Generator().manual_seed(2)).double()
    weights[:40] = torch.eye(joints, dtype=torch.float64)[2]
    translation = draw(poses, 3, seed=3).requires_grad_()
    exact = ops.skin_vertices(shaped, transforms, weights, translation)
    upstream = draw(*exact.shape, seed=4)
    wanted = torch.autograd.grad(exact, (shaped, transforms, translation), upstream)
    single = [value.detach().float() for value in (shaped, transforms, weights, translation)]
    close(cuda_rig._skin(*single), exact.detach(), "posed")
    g_shaped, of_pose = cuda_rig._skin_backward(upstream.float(), *single[:3])
    found = g_shaped, *cuda_rig._of_pose(of_pose, single[1])
    for name, value, reference in zip(("shaped", "transforms", "translation"), found, wanted, strict=True):
        close(value, reference, name)


def test_pose_rows() -> None:
    """Rows of tables, one asked for twice, one not used, one a constant, and the gradients bit for bit."""
    index = torch.tensor([3, 0, 3])
    tables = [draw(5, width, seed=width).float() for width in (3, 150, 1, 4)]
    learning = (True, True, True, False)
    results = []
    for form in (cuda_rig.pose_rows, lambda t, i: tuple(table.index_select(0, i) for table in t)):
        leaves = [table.clone().requires_grad_(on) for table, on in zip(tables, learning, strict=True)]
        found = form(leaves, index)
        # a column of a wider gradient: its rows do not lie side by side
        joint = torch.cat([found[0], found[1]], dim=1)
        (joint * draw(3, 153).float() + found[3].sum()).sum().backward()
        results.append((found, [leaf.grad for leaf in leaves]))
    for one, other in zip(*(values for values, _ in results), strict=True):
        assert torch.equal(one, other)
    ours, plain = (gradients for _, gradients in results)
    for number in (0, 1):
        assert torch.equal(torch.as_tensor(ours[number]), torch.as_tensor(plain[number]))
        assert bool(torch.as_tensor(ours[number]).any())
    assert ours[2:] == [None, None]


def test_rows_that_do_not_fit_are_refused() -> None:
    for table, index in (
        (torch.zeros(5), [0]),
        (torch.zeros(5, 2).double(), [0]),
        (torch.zeros(5, 2), [[0]]),
    ):
        with pytest.raises(ShapeError, match="pose_rows"):
            cuda_rig.pose_rows([table], torch.tensor(index))


@pytest.mark.parametrize("parents", [(-1, 1), (-1,), (-1, -2)])
def test_parents_are_checked(parents: tuple[int, ...]) -> None:
    """A joint not after its parent, a missing one, and one that does not exist would read elsewhere."""
    with pytest.raises(ShapeError, match="parents"):
        cuda_rig._joints(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), parents)


@pytest.mark.parametrize(("rows", "anisotropic"), [(2, True), (4, True), (4, False)])
def test_lobe_inputs(rows: int, anisotropic: bool) -> None:
    """What 16 and 32 lobes of both kinds answer, and the gradients of features and directions."""
    views, count = 3, 21
    network = LobeNetwork(lobe_axes(rows, 8), anisotropic, 1).double()
    network.lobes.float().double()  # weights that float32 holds exactly
    features = draw(count, FEATURES).requires_grad_()
    directions = torch.nn.functional.normalize(draw(views, count, 3, seed=1), dim=-1).requires_grad_()
    normals = torch.nn.functional.normalize(draw(views, count, 3, seed=2), dim=-1)
    raw = network.lobes(features)
    exact = ops.lobe_inputs(raw, network.axes, directions, normals, anisotropic)
    upstream = draw(*exact.shape, seed=3)
    through = torch.autograd.grad(exact, (features, directions), upstream, retain_graph=True)
    axes = network.axes.float()
    single = raw.detach().float(), axes, directions.detach().float(), normals.float()
    close(cuda_highlight._inputs(*single, anisotropic), exact.detach(), "inputs")
    g_raw, g_directions = cuda_highlight._inputs_backward(upstream.float(), *single, anisotropic)
    close(g_directions, through[1], "directions")
    g_features = torch.autograd.grad(raw, features, g_raw.double())[0]
    close(g_features, through[0], "features")


def test_numbers_of_lobes_are_checked() -> None:
    """Twelve lobes do not share a warp; numbers for other lobes would be read past their end."""
    directions = torch.zeros(1, 2, 3)
    for count, numbers in ((12, 48), (16, 48)):
        with pytest.raises(ShapeError, match="raw"):
            cuda_highlight._inputs(
                torch.zeros(2, numbers), torch.zeros(count, 3, 3), directions, directions, True
            )
