"""The poses' parameters, joints and skin of a rig on the GPU, one kernel each and one each way back.

Twin: ``surfhead.kernels.ops.skinning`` (docs/method.md, section 2).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from surfhead.core.errors import ShapeError
from surfhead.kernels import cuda_driver
from surfhead.kernels.cuda_operators import differentiate, register
from surfhead.kernels.cuda_structures import Sizes, run_over, structure_fields
from surfhead.kernels.doors import measure

THREADS = 128  # of rig.cu
MAX_JOINTS = 16  # of rig.h
MAX_TABLES = 24  # of rig.cu


class Joints(Sizes):
    """struct Joints of rig.cu."""

    _fields_ = (
        *structure_fields("poses joints rest_poses", ""),
        ("parents", ctypes.c_int * MAX_JOINTS),
        *structure_fields("", "vectors rest rotations transforms g_rotations g_transforms g_vectors g_rest"),
    )
    rules: ClassVar[dict[str, str]] = {
        "vectors": "poses joints 3", "rest": "rest_poses joints 3", "rotations": "poses joints 3 3",
        "transforms": "poses joints 12", "g_rotations": "poses joints 3 3", "g_transforms": "poses joints 12",
    }  # fmt: skip

    @classmethod
    def under(cls, operation: str, tensors: dict[str, Tensor | None], parents: Sequence[int]) -> Joints:
        """The sizes and the parents; raises ShapeError where a parent is none of the joints before."""
        found = cls.of(operation, tensors)
        fits = len(parents) == found.joints <= MAX_JOINTS and found.rest_poses in (1, found.poses)
        if not fits or any(not -1 <= parent < joint for joint, parent in enumerate(parents)):
            raise ShapeError(
                f'"parents" of kernel "{operation}" is {list(parents)} for {found.joints} joints, and "rest" '
                f"has {found.rest_poses} poses for {found.poses}.",
                f"Expected an earlier joint or -1 for each of at most {MAX_JOINTS}, and 1 or all poses.",
                "Check how they were built.",
            )
        found.parents[: len(parents)] = list(parents)
        return found


class Skin(Sizes):
    """struct Skin of rig.cu."""

    _fields_ = structure_fields(
        "poses vertices joints",
        "shaped transforms weights translation posed g_posed g_shaped g_transforms g_translation",
    )
    rules: ClassVar[dict[str, str]] = {
        "shaped": "poses vertices 3", "transforms": "poses joints 12", "weights": "vertices joints",
        "translation": "poses 3", "g_posed": "poses vertices 3",
    }  # fmt: skip


class Rows(ctypes.Structure):
    """struct Rows of rig.cu."""

    _fields_ = [
        ("tables", ctypes.c_int),
        ("poses", ctypes.c_int),
        ("first", ctypes.c_int * (MAX_TABLES + 1)),
        *((name, ctypes.c_int * MAX_TABLES) for name in ("width", "rows", "stride")),
        ("index", ctypes.c_void_p),
        *((name, ctypes.c_void_p * MAX_TABLES) for name in ("from", "to")),
    ]


def serves(joints: int) -> bool:
    """Whether a rig of so many joints has room in the kernels."""
    return 0 < joints <= MAX_JOINTS


# ---- pose_rows -------------------------------------------------------------------------------------------


def _move_rows(name: str, index: Tensor, source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    """One launch over tables, or over the gradients of their rows."""
    index = index.contiguous()
    forward = name == "pose_rows"
    of_tables, of_rows = (source, target) if forward else (target, source)
    rules = {"index": "int64: poses"}
    tensors = {"index": index}
    for i, (table, rows) in enumerate(zip(of_tables, of_rows, strict=True)):
        rules |= {f"table {i}": f"rows{i} width{i}", f"rows {i}": f"poses width{i}"}
        tensors |= {f"table {i}": table, f"rows {i}": rows}
    sizes = measure(name, rules, tensors)
    moved = Rows()
    moved.tables, moved.poses, moved.index = len(source), sizes["poses"], index.data_ptr()
    kept = [value if value.stride(-1) == 1 else value.contiguous() for value in source]
    sources, blocks = getattr(moved, "from"), 0
    for i, (given, made) in enumerate(zip(kept, target, strict=True)):
        moved.first[i], moved.width[i], moved.rows[i] = blocks, sizes[f"width{i}"], sizes[f"rows{i}"]
        moved.stride[i] = given.stride(0)
        sources[i], moved.to[i] = given.data_ptr(), made.data_ptr()
        blocks += -(-made.numel() // THREADS)
    moved.first[len(source)] = blocks
    cuda_driver.run("rig", name, moved, (blocks, 1), THREADS, index.device)


class _PoseRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, index: Tensor, *tables: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(index)
        ctx.set_materialize_grads(False)
        ctx.shapes = [table.shape for table in tables]
        found = [table.new_empty(len(index), table.shape[-1]) for table in tables]
        _move_rows("pose_rows", index, tables, found)
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        (index,) = ctx.saved_tensors
        found: list[Tensor | None] = [
            gradient.new_empty(shape) if gradient is not None and needed else None
            for gradient, shape, needed in zip(gradients, ctx.shapes, ctx.needs_input_grad[1:], strict=True)
        ]
        pairs = [(g, f) for g, f in zip(gradients, found, strict=True) if g is not None and f is not None]
        _move_rows("pose_rows_backward", index, [g for g, _ in pairs], [f for _, f in pairs])
        return None, *found


# ---- pose_joints -----------------------------------------------------------------------------------------


def _joints(vectors: Tensor, rest: Tensor, parents: Sequence[int]) -> tuple[Tensor, Tensor]:
    given: dict[str, Tensor | None] = {"vectors": vectors, "rest": rest}
    sizes = Joints.under("pose_joints", given, parents)
    rotations = vectors.new_empty(sizes.poses, sizes.joints, 3, 3)
    transforms = vectors.new_empty(sizes.poses, sizes.joints, 12)
    tensors = given | {"rotations": rotations, "transforms": transforms}
    grid = (-(-sizes.poses // THREADS), 1)
    run_over("rig", "pose_joints_of", sizes, grid, THREADS, vectors.device, tensors)
    return rotations, transforms


def _joints_backward(
    g_rotations: Tensor | None, g_transforms: Tensor, vectors: Tensor, rest: Tensor, rotations: Tensor,
    transforms: Tensor, parents: Sequence[int],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    given: dict[str, Tensor | None] = {
        "vectors": vectors, "rest": rest, "rotations": rotations, "transforms": transforms,
        "g_rotations": g_rotations, "g_transforms": g_transforms.clone(),  # the kernel works in it
    }  # fmt: skip
    sizes = Joints.under("pose_joints_backward", given, parents)
    g_vectors, g_rest = vectors.new_empty(vectors.shape), vectors.new_empty(vectors.shape)
    tensors = given | {"g_vectors": g_vectors, "g_rest": g_rest}
    grid = (-(-sizes.poses // THREADS), 1)
    run_over("rig", "pose_joints_of_backward", sizes, grid, THREADS, vectors.device, tensors)
    return g_vectors, g_rest


def _fake_joints(vectors: Tensor, rest: Tensor, parents: Sequence[int]) -> tuple[Tensor, Tensor]:
    poses, joints = vectors.shape[:2]
    return vectors.new_empty(poses, joints, 3, 3), vectors.new_empty(poses, joints, 12)


def _fake_joints_backward(*arguments: Any) -> tuple[Tensor, Tensor]:
    vectors: Tensor = arguments[2]
    return vectors.new_empty(vectors.shape), vectors.new_empty(vectors.shape)


def _keep_joints(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    vectors, rest, ctx.parents = inputs
    ctx.save_for_backward(vectors, rest, *output)
    ctx.set_materialize_grads(False)


def _joints_autograd(
    ctx: Any, g_rotations: Tensor | None, g_transforms: Tensor | None
) -> tuple[Tensor | None, Tensor | None, None]:
    vectors, rest, rotations, transforms = ctx.saved_tensors
    if g_rotations is None and g_transforms is None:
        return None, None, None
    if g_transforms is None:
        g_transforms = torch.zeros_like(transforms)
    g_vectors, g_rest = torch.ops.surfhead.pose_joints_cuda_backward(
        g_rotations, g_transforms, vectors, rest, rotations, transforms, ctx.parents
    )
    if not ctx.needs_input_grad[1]:
        return g_vectors, None, None
    return g_vectors, g_rest if len(rest) == len(vectors) else g_rest.sum(0, keepdim=True), None


# ---- skin_vertices ---------------------------------------------------------------------------------------


def _skin(shaped: Tensor, transforms: Tensor, weights: Tensor, translation: Tensor) -> Tensor:
    given = {"shaped": shaped, "transforms": transforms, "weights": weights, "translation": translation}
    sizes = Skin.of("skin_vertices", given)
    _check_room("skin_vertices", sizes.joints)
    posed = shaped.new_empty(shaped.shape)
    grid = (-(-sizes.vertices // THREADS), sizes.poses)
    run_over("rig", "skin_vertices", sizes, grid, THREADS, shaped.device, given | {"posed": posed})
    return posed


def _skin_backward(
    g_posed: Tensor, shaped: Tensor, transforms: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    given = {"shaped": shaped, "transforms": transforms, "weights": weights, "g_posed": g_posed}
    sizes = Skin.of("skin_vertices_backward", given)
    _check_room("skin_vertices_backward", sizes.joints)
    g_shaped, of_pose = (
        shaped.new_empty(shaped.shape),
        shaped.new_zeros(sizes.poses * (12 * sizes.joints + 3)),
    )
    g_transforms, g_translation = _of_pose(of_pose, transforms)
    made = {"g_shaped": g_shaped, "g_transforms": g_transforms, "g_translation": g_translation}
    grid = (-(-sizes.vertices // THREADS), sizes.poses)
    run_over("rig", "skin_vertices_backward", sizes, grid, THREADS, shaped.device, given | made)
    return g_shaped, of_pose


def _of_pose(joint: Tensor, transforms: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of transforms (P, J, 12) and of translations (P, 3), zeroed in one launch."""
    return joint[: transforms.numel()].view(transforms.shape), joint[transforms.numel() :].view(-1, 3)


def _check_room(operation: str, joints: int) -> None:
    if joints > MAX_JOINTS:
        raise ShapeError(
            f'"transforms" of kernel "{operation}" has {joints} joints.',
            f"Expected at most {MAX_JOINTS}.",
            "Pose this rig by its plain form.",
        )


def _fake_skin(shaped: Tensor, *_: Tensor) -> Tensor:
    return shaped.new_empty(shaped.shape)


def _fake_skin_backward(
    g_posed: Tensor, shaped: Tensor, transforms: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    count = transforms.numel() + 3 * shaped.shape[0]
    return shaped.new_empty(shaped.shape), shaped.new_empty(count)


def _keep_skin(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])


def _skin_autograd(ctx: Any, g_posed: Tensor) -> tuple[Tensor | None, ...]:
    g_shaped, of_pose = torch.ops.surfhead.skin_vertices_cuda_backward(g_posed, *ctx.saved_tensors)
    g_transforms, g_translation = _of_pose(of_pose, ctx.saved_tensors[1])
    return g_shaped, g_transforms, None, g_translation


register(
    "pose_joints_cuda",
    "(Tensor vectors, Tensor rest, int[] parents) -> (Tensor, Tensor)",
    _joints,
    _fake_joints,
)
register(
    "pose_joints_cuda_backward",
    "(Tensor? g_rotations, Tensor g_transforms, Tensor vectors, Tensor rest, Tensor rotations, "
    "Tensor transforms, int[] parents) -> (Tensor, Tensor)",
    _joints_backward,
    _fake_joints_backward,
)
differentiate("pose_joints_cuda", _joints_autograd, _keep_joints)
register(
    "skin_vertices_cuda",
    "(Tensor shaped, Tensor transforms, Tensor weights, Tensor translation) -> Tensor",
    _skin,
    _fake_skin,
)
register(
    "skin_vertices_cuda_backward",
    "(Tensor g_posed, Tensor shaped, Tensor transforms, Tensor weights) -> (Tensor, Tensor)",
    _skin_backward,
    _fake_skin_backward,
)
differentiate("skin_vertices_cuda", _skin_autograd, _keep_skin)


def pose_rows(tables: Sequence[Tensor], index: Tensor) -> tuple[Tensor, ...]:
    """The rows ``index`` (P,) int64 of up to ``MAX_TABLES`` tables (T, d), each (P, d)."""
    found: tuple[Tensor, ...] = _PoseRows.apply(index, *tables)  # type: ignore[no-untyped-call]
    return found


def pose_joints(vectors: Tensor, rest: Tensor, parents: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Forward kinematics: rotations (P, J, 3, 3) relative to the parents, and transforms (P, J, 12).

    Args:
        vectors: (P, J, 3) axis-angle rotations relative to the parents, radians.
        rest: (P, J, 3) or (1, J, 3) rest positions, metres.
        parents: J indices of earlier joints, -1 for a root; at most ``MAX_JOINTS``.
    """
    found: tuple[Tensor, Tensor] = torch.ops.surfhead.pose_joints_cuda(vectors, rest, list(parents))
    return found


def skin_vertices(shaped: Tensor, transforms: Tensor, weights: Tensor, translation: Tensor) -> Tensor:
    """(P, V, 3) vertices carried by the weighted mean of transforms (P, J, 12), then moved.

    Args:
        shaped: (P, V, 3) metres. weights: (V, J), constants. translation: (P, 3) metres.
    """
    found: Tensor = torch.ops.surfhead.skin_vertices_cuda(shaped, transforms, weights, translation)
    return found
