"""The built-in head, made by code: no file is read and nothing is downloaded.

A head of about 9000 triangles in metres, +y up and +z out of the face: skin with lid and lip openings, ears,
an open neck, two eyeballs and two arches of teeth. The identity is ``{"shape": (K,)}`` with the coefficients
named by ``IDENTITY_SHAPES`` (1 is about one standard deviation). Per timestep it takes the axis-angle
rotations of root, neck, jaw and both eyes, a translation, and the coefficients of the expression shapes
named by ``EXPRESSIONS`` (1 is a full expression, such as closed lids).

    vertices = skinning(template + identity + expression) + translation

The mesh comes from a grid of rays over a sculpted distance function (``procedural_surface``), poses from
linear blend skinning. Everything is the same at every call and on every machine, up to rounding.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfhead.core.api import (
    ContractError,
    LinearRig,
    Mesh,
    RestMesh,
    Rig,
    RigParameter,
    ShapeError,
    Topology,
    check_finite,
    check_shape,
)
from surfhead.kernels import ops
from surfhead.plugins.rigs.procedural.cache import cached_tensors
from surfhead.plugins.rigs.procedural.expressions import EXPRESSIONS, expression_basis
from surfhead.plugins.rigs.procedural.head import HeadBuilder
from surfhead.plugins.rigs.procedural.joints import JOINT_POSITIONS, JOINTS, PARENTS, skin_weights
from surfhead.plugins.rigs.procedural.regions import head_regions
from surfhead.plugins.rigs.procedural.surface import IDENTITY_SHAPES, HeadShape
from surfhead.plugins.rigs.skinning import blend_shapes, edge_neighbours

METRES = 1e-3
ASIDE = 1 / math.pi
"""Keeps numbers off the fingerprint's steps, where last bits decide: they lie at halves and thirds."""
KNOWN_AS = {"e4dd2a5b68f14952": "9739a5fa7be5cd36"}
"""What runs call a head whose hash was once taken on those steps."""


@dataclass(frozen=True)
class _Assets:
    """What is the same for every identity: metres, float64, on the CPU."""

    template: Tensor
    identity: Tensor
    expression: Tensor
    weights: Tensor
    joints: Tensor
    joint_identity: Tensor
    topology: Topology


def _sculpt() -> dict[str, Tensor]:
    builder = HeadBuilder()
    head = builder.mesh()
    shapes = [replace(HeadShape(), **{name: 1.0}) for name in IDENTITY_SHAPES]
    identity = np.stack([builder.vertices(shape) - head.vertices for shape in shapes])

    def joints(shape: HeadShape) -> np.ndarray:
        return np.stack(
            [*np.asarray(JOINT_POSITIONS), builder.eye_centre(shape, 1.0), builder.eye_centre(shape, -1.0)]
        )

    at_rest = joints(HeadShape())
    triangles = torch.from_numpy(np.ascontiguousarray(head.triangles)).long()
    return {
        "template": torch.from_numpy(head.vertices * METRES),
        "identity": torch.from_numpy(identity * METRES),
        "expression": torch.from_numpy(expression_basis(builder, head) * METRES),
        "weights": torch.from_numpy(skin_weights(head)),
        "joints": torch.from_numpy(at_rest * METRES),
        "joint_identity": torch.from_numpy(np.stack([joints(shape) - at_rest for shape in shapes]) * METRES),
        "triangles": triangles,
        "neighbours": edge_neighbours(triangles),
        "uv": torch.from_numpy(head.uv).float(),
        **{f"region/{name}": torch.from_numpy(mask) for name, mask in head_regions(head).items()},
    }


@lru_cache(maxsize=1)
def _assets() -> _Assets:
    found = cached_tensors(_sculpt)
    regions = {k.removeprefix("region/"): v for k, v in found.items() if k.startswith("region/")}
    topology = Topology(
        triangles=found["triangles"],
        neighbours=found["neighbours"],
        regions=regions,
        front=(0.0, 0.0, 1.0),
        uv=found["uv"],
    )
    named = ("template", "identity", "expression", "weights", "joints", "joint_identity")
    return _Assets(**{name: found[name] for name in named}, topology=topology)


@cache
def _parameters() -> Mapping[str, RigParameter]:
    axis_angle = "axis-angle, radians"
    return {
        "rotation": RigParameter(
            3,
            1e-5,
            f"Rotation of the whole head about the root, {axis_angle}.",
            axis_angle=True,
            role="root",
        ),
        "neck": RigParameter(
            3, 1e-5, f"Rotation of the skull on the neck, {axis_angle}.", axis_angle=True, role="neck"
        ),
        "jaw": RigParameter(
            3, 1e-5, f"Rotation of the jaw; +x opens it, {axis_angle}.", axis_angle=True, role="jaw"
        ),
        "eyes": RigParameter(
            6,
            1e-5,
            f"Rotation of the left, then the right eyeball, {axis_angle}.",
            axis_angle=True,
            role="gaze",
        ),
        "translation": RigParameter(3, 1e-6, "Translation, metres.", role="translation"),
        "expression": RigParameter(
            len(EXPRESSIONS),
            1e-3,
            f"Expression shapes: {', '.join(EXPRESSIONS)}.",
            labels=EXPRESSIONS,
            role="expression",
        ),
    }


class Procedural(Rig):
    """The built-in head. See the module's text for its parameters and shapes."""

    name = "procedural"
    summary = "The built-in head, made by code."
    capturable = True

    def __init__(self, options: object = None) -> None:
        super().__init__(options)
        self._rest: RestMesh | None = None

    def parameters(self) -> Mapping[str, RigParameter]:
        """Pose, translation and expression; the rates are those of docs/method.md, section 8."""
        return dict(_parameters())

    def prepare(self, identity: Mapping[str, Tensor], device: Any = "cpu") -> RestMesh:
        """Apply the identity.

        Args:
            identity: ``shape`` (K,) coefficients, or nothing for the average head.
            device: where the tensors are to live.

        Raises:
            ShapeError: for another entry, another size, NaN or infinity.
        """
        unknown = sorted(set(identity) - {"shape"})
        if unknown:
            raise ShapeError(
                f'The identity of rig "procedural" has an entry "{unknown[0]}".',
                'Known: "shape".',
                "Remove it, or choose the rig it belongs to.",
            )
        assets = _assets()
        shape = identity.get("shape", torch.zeros(len(IDENTITY_SHAPES))).detach().cpu().double()
        check_shape("shape", shape, len(IDENTITY_SHAPES))
        check_finite("shape", shape)
        vertices = assets.template + blend_shapes(assets.identity, shape[None])[0]
        joints = assets.joints + blend_shapes(assets.joint_identity, shape[None])[0]
        self._rest = RestMesh(vertices.float(), assets.topology).to(device)
        self._joints = joints.float().to(device)
        self._expression = assets.expression.float().to(device)
        self._weights = assets.weights.float().to(device)
        return self._rest

    def rest(self) -> RestMesh:
        """The canonical mesh."""
        if self._rest is None:
            raise ContractError(
                'Rig "procedural" was asked for its mesh before it was prepared.',
                "Expected a call of `prepare(identity)` first.",
                "Call it once after making the rig.",
            )
        return self._rest

    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        """Pose the mesh; see ``parameters``. Missing names are zero; with none at all, one rest pose."""
        rest = self.rest()
        declared = self.parameters()
        for name, values in parameters.items():
            if name not in declared:
                raise ShapeError(
                    f'Rig "procedural" has no parameter "{name}".',
                    f"Known: {', '.join(declared)}.",
                    "Remove it, or choose the rig it belongs to.",
                )
            check_shape(name, values, None, declared[name].size)
        given = next(iter(parameters.values()), rest.vertices)
        poses = len(given) if parameters else 1

        def value(name: str) -> Tensor:
            if name in parameters:
                return parameters[name]
            return rest.vertices.new_zeros(poses, declared[name].size, dtype=given.dtype)

        dtype = given.dtype
        vectors = torch.cat([value(name) for name in ("rotation", "neck", "jaw", "eyes")], dim=1)
        joints = self._joints.to(dtype)[None]
        transforms = ops.pose_joints(vectors.reshape(poses, len(JOINTS), 3), joints, PARENTS)[1]
        shaped = rest.vertices.to(dtype) + blend_shapes(self._expression.to(dtype), value("expression"))
        posed = ops.skin_vertices(shaped, transforms, self._weights.to(dtype), value("translation"))
        return Mesh(posed, rest)

    def joints(self) -> tuple[str, ...]:
        """Root, neck, jaw, left_eye, right_eye."""
        return JOINTS

    def linear_model(self) -> LinearRig:
        """The head as blendshapes and skinning."""
        return LinearRig(
            vertices=self.rest().vertices,
            shapes=self._expression,
            names=EXPRESSIONS,
            coefficients="expression",
            limits=(0.0, 1.0),
            joints=self._joints,
            joint_names=JOINTS,
            parents=PARENTS,
            rotations=(("rotation", 0), ("neck", 0), ("jaw", 0), ("eyes", 0), ("eyes", 3)),
            weights=self._weights,
            translation="translation",
        )

    def fingerprint(self) -> str:
        """A hash of the shapes and weights (to a millionth of a metre or of one), triangles and names."""
        assets = _assets()
        digest = hashlib.sha256()
        for values in (assets.template, assets.identity, assets.expression, assets.weights, assets.joints):
            digest.update((values * 1e6 + ASIDE).floor().long().numpy().tobytes())
        digest.update(assets.topology.triangles.numpy().tobytes())
        digest.update(",".join((*IDENTITY_SHAPES, *EXPRESSIONS)).encode())
        found = digest.hexdigest()[:16]
        return KNOWN_AS.get(found, found)
