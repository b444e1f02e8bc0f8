"""A rig as plain numbers: blendshapes and linear blend skinning, for programs that pose it without Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.maths.geometry import axis_angle_to_matrix


@dataclass(frozen=True)
class LinearRig:
    """What poses a mesh, for one identity: V vertices, K blendshapes, J joints.

        vertices(t) = skinning(vertices + Σ_k c_k shapes_k + Σ_m (R - 1)_m correctives_m) + translation

    with the joints at ``joints + Σ_k c_k joint_shapes_k``. A parameter of the rig that is not named here is
    left at zero.

    Attributes:
        vertices: (V, 3) the mesh at rest, metres.
        shapes: (K, V, 3) metres at coefficient 1.
        names: what the K coefficients are called.
        coefficients: name of the rig parameter that holds them.
        limits: the usual range of a coefficient.
        joints: (J, 3) metres, root first.
        joint_names: J names.
        joint_shapes: (K, J, 3) how the joints follow the blendshapes, metres; None: not at all.
        parents: index of each joint's parent, smaller than its own; -1 for a root.
        rotations: for each joint the rig parameter and the first column of its rotation vector, radians.
        weights: (V, J) skin weights, rows summing to one.
        translation: name of the rig parameter that moves the whole, metres; empty: none does.
        correctives: (9 (J - 1), V, 3) metres for each entry of R - 1, row by row, of the joints but the
            root; None: there are none.
    """

    vertices: Tensor
    shapes: Tensor
    names: tuple[str, ...]
    coefficients: str
    limits: tuple[float, float]
    joints: Tensor
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    rotations: tuple[tuple[str, int], ...]
    weights: Tensor
    translation: str = ""
    joint_shapes: Tensor | None = None
    correctives: Tensor | None = None

    def __post_init__(self) -> None:
        count, joints = len(self.names), len(self.parents)
        sizes = {"shapes": len(self.shapes), "joints": len(self.joints), "weights": self.weights.shape[1]}
        expected = {"shapes": count, "joints": joints, "weights": joints}
        if sizes != expected or len(self.rotations) != joints or len(self.joint_names) != joints:
            raise ShapeError(
                f"The linear rig has {sizes} for {count} names and {joints} parents.",
                "Expected one entry for each.",
                "Check how it was built.",
            )

    def parameters(self) -> tuple[str, ...]:
        """Names of the rig parameters it follows."""
        named = dict.fromkeys([self.coefficients, *(name for name, _ in self.rotations), self.translation])
        return tuple(name for name in named if name)

    def pose(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """(P, V, 3) vertices of P poses, metres; parameters (P, size), those not given are zero."""
        poses = max((len(value) for value in parameters.values()), default=1)
        shaped, places = self.vertices.expand(poses, -1, -1), self.joints.expand(poses, -1, -1)
        if self.coefficients in parameters:
            given = parameters[self.coefficients].to(self.vertices)
            shaped = shaped + torch.einsum("pk,kvi->pvi", given, self.shapes)
            if self.joint_shapes is not None:
                places = places + torch.einsum("pk,kji->pji", given, self.joint_shapes)
        zero = self.vertices.new_zeros(poses, 3)
        vectors = [
            parameters[name].to(self.vertices)[:, at : at + 3] if name in parameters else zero
            for name, at in self.rotations
        ]
        turns = axis_angle_to_matrix(torch.stack(vectors, dim=1))  # (P, J, 3, 3)
        if self.correctives is not None:
            bent = (turns[:, 1:] - torch.eye(3).to(turns)).flatten(1)
            shaped = shaped + torch.einsum("pm,mvi->pvi", bent, self.correctives)
        posed = torch.zeros_like(shaped)
        frames: list[tuple[Tensor, Tensor]] = []  # each joint's rotation and where it is
        for joint, parent in enumerate(self.parents):
            turn, place = turns[:, joint], places[:, joint]
            if parent >= 0:
                above, origin = frames[parent]
                arm = place - places[:, parent]
                turn, place = above @ turn, origin + torch.einsum("pij,pj->pi", above, arm)
            frames.append((turn, place))
            moved = torch.einsum("pij,pvj->pvi", turn, shaped - places[:, joint, None]) + place[:, None]
            posed = posed + self.weights[:, joint, None] * moved
        if self.translation in parameters:
            posed = posed + parameters[self.translation].to(self.vertices)[:, None]
        return posed
