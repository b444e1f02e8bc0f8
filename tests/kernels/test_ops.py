"""The plain forms of the operations, by hand, and that nobody else chooses between them and the kernels."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from surfhead import kernels
from surfhead.core.api import ShapeError
from surfhead.kernels import choices, ops

ROOT = Path(__file__).resolve().parents[2]
# what draws with one kind of kernel by its own name, and what knows that CUDA graphs hold rasterizers
OWN = (
    "plugins/rasterizers/cpu.py",
    "plugins/rasterizers/cuda.py",
    "avatars/captured_work.py",
    "training/peer_exchange.py",
)


def by_hand(source: str) -> list[str]:
    """What a Python source takes of the kernels besides operations, reports and the folders of sources."""
    allowed = {"ops", "report", "unavailable", "sources", "build"}
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "kernels":
            found.append(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == "surfhead.kernels":
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("surfhead.kernels."):
            found.append(str(node.module).split(".")[2])
    return [name for name in found if name not in allowed]


def test_nobody_chooses_kernels_by_hand() -> None:
    folder = ROOT / "surfhead"
    paths = {str(path.relative_to(folder)): path for path in folder.rglob("*.py")}
    trade = {name: path for name, path in paths.items() if not name.startswith(("kernels/", *OWN))}
    assert len(trade) > 200
    found = {name: by_hand(path.read_text(encoding="utf-8")) for name, path in trade.items()}
    assert {name: names for name, names in found.items() if names} == {}


def test_a_choice_by_hand_is_found() -> None:
    source = "from surfhead import kernels\nif kernels.serves(x):\n    kernels.cuda.f(x)\n"
    source += "def f():\n    from surfhead.kernels import cuda, ops\n"
    source += "    from surfhead.kernels.cuda_rig import g\n"
    assert sorted(by_hand(source)) == ["cuda", "cuda", "cuda_rig", "serves"]
    assert by_hand("from surfhead.kernels import ops\nops.apply_field(a)\n") == []


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def inputs() -> dict[str, tuple[object, ...]]:
    """Small float32 arguments of operations that a CPU's kernels serve."""
    unit = torch.nn.functional.normalize
    turn = torch.linalg.qr(draw(2, 9, 3, 3, seed=1))[0]
    near = torch.tensor([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    host = torch.arange(9) % 4
    return {
        "apply_field": (draw(2, 9, 3, 3), draw(2, 9, 3), draw(9, 3), draw(9, 2), draw(9, 4)),
        "rest_directions": (draw(2, 9, 3), draw(2, 9, 3, seed=2), turn, draw(2, 3, seed=3) + 4),
        "facing_normals": (
            draw(2, 9, 3), unit(draw(2, 9, 3, seed=2), dim=-1), draw(9, 4), draw(2, 3, seed=3),
        ),
        "harmonic_colours": (draw(9, 3), draw(9, 15, 3), unit(draw(2, 9, 3), dim=-1), 2),
        "relative_logarithms": (unit(draw(2, 4, 4), dim=-1), near),
        "blend_triangles": (
            host, near, torch.rand(9, 4), unit(draw(2, 4, 4), dim=-1), 0.1 * draw(2, 12, 3), draw(2, 4, 6),
            draw(4, 3, 3),
        ),
        "length_term": (draw(9, 4), draw(2, 9, 3, 3), torch.ones(1, 9), draw(2, 9) > 0),
        "picture_losses": (draw(2, 19, 23, 3).sigmoid(), draw(2, 19, 23, 3, seed=1).sigmoid()),
        "normal_term": (
            2 + 0.01 * draw(1, 9, 11), torch.ones(1, 9, 11), unit(draw(1, 9, 11, 3), dim=-1),
            torch.tensor([[[60.0, 0, 5], [0, 60, 4], [0, 0, 1]]]), None,
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", inputs())
def test_an_operation_chooses_by_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both forms give the same, and each is really taken."""
    if not kernels.serves(torch.zeros(1)):
        pytest.skip("the native library is not built")
    from surfhead.kernels import cuda

    calls = []
    fused = getattr(cuda, name)
    monkeypatch.setattr(cuda, name, lambda *arguments: calls.append(name) or fused(*arguments))
    arguments = inputs()[name]
    found = getattr(ops, name)(*arguments)
    assert calls == [name]
    monkeypatch.setenv(choices.ENVIRONMENT, choices.ON_CPU)
    plain = getattr(ops, name)(*arguments)
    assert calls == [name]
    pairs = zip(found, plain, strict=True) if isinstance(found, tuple) else [(found, plain)]
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)


def turn(axis: int, angle: float) -> Tensor:
    """(3,) rotation vector about a coordinate axis."""
    return torch.eye(3, dtype=torch.float64)[axis] * angle


def posed(
    points: Tensor, joints: Tensor, parents: tuple[int, ...], vectors: Tensor, weights: Tensor
) -> Tensor:
    """Points under joints and skin."""
    transforms = ops.pose_joints(vectors, joints, parents)[1]
    return ops.skin_vertices(points, transforms, weights, torch.zeros(len(points), 3, dtype=torch.float64))


def test_a_chain_of_joints_turns_about_each_joint() -> None:
    joints = torch.tensor([[[0.0, 0, 0], [0, 1, 0], [0, 2, 0]]], dtype=torch.float64)
    vectors = torch.stack([turn(0, 0.0), turn(2, math.pi / 2), turn(2, math.pi / 2)])[None]
    tip = torch.tensor([[[0.0, 3, 0]]], dtype=torch.float64)
    weights = torch.tensor([[0.0, 0, 1]], dtype=torch.float64)
    # the first quarter turn lays the upper arm along -x, the second points the hand down
    found = posed(tip, joints, (-1, 0, 1), vectors, weights)
    assert torch.allclose(found, torch.tensor([[[-1.0, 0, 0]]], dtype=torch.float64))


def test_equal_weights_give_the_mean_of_two_rigid_motions() -> None:
    joints = torch.zeros(1, 2, 3, dtype=torch.float64)
    vectors = torch.stack([turn(0, 0.0), turn(1, math.pi / 2)])[None]
    point = torch.tensor([[[1.0, 0, 0]]], dtype=torch.float64)
    found = posed(point, joints, (-1, 0), vectors, torch.full((1, 2), 0.5, dtype=torch.float64))
    assert torch.allclose(found, torch.tensor([[[0.5, 0, -0.5]]], dtype=torch.float64))


def test_skinning_passes_gradcheck() -> None:
    points = draw(2, 5, 3).double().requires_grad_()
    joints = draw(1, 2, 3, seed=1).double()
    vectors = draw(2, 2, 3, seed=2).double().requires_grad_()
    weights = torch.softmax(draw(5, 2, seed=3).double(), dim=1)
    assert torch.autograd.gradcheck(lambda p, v: posed(p, joints, (-1, 0), v, weights), (points, vectors))


def test_skin_weights_of_other_vertices_are_declared_errors() -> None:
    with pytest.raises(ShapeError, match="weights"):
        ops.skin_vertices(torch.zeros(1, 5, 3), torch.zeros(1, 1, 12), torch.ones(4, 1), torch.zeros(1, 3))
