"""The ICT-FaceKit head (Li et al., CVPR 2020): an open, MIT-licensed rig made from scans.

    surfhead synth OUT --rig ict --set rig.path=ICT-FaceKit

``path`` is the official folder (``FaceXModel`` or the one that holds it), or what `surfhead rig import` made
of it. Expressions are the folder's ARKit-like blendshapes, jaw included; coefficients run from 0 to 1.

ICT-FaceKit has no joints. Four are added: ``root`` in the middle of the neck's open rim, ``neck`` half way
from there to the chin, and the two eyeballs' centres. Skin follows root and neck by its height over the rim's
plane, smoothly from the rim to the chin; eyes, teeth, gums and tongue follow the skull rigidly.

Identity: ``shape``, coefficients of ``identity000`` and on; it can learn with the avatar. Joints follow it by
the mean of the vertices that they were found from; skin weights are the mean head's. Lashes, lacrimal fluid,
eye blend and occlusion, thin shells over the eyes meant for special shaders, are left out unless
``accessories`` is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfhead.core.api import (
    DataError,
    LinearRig,
    Mesh,
    RestMesh,
    Rig,
    RigParameter,
    ShapeError,
    Topology,
    check_finite,
    check_shape,
    option,
    unknown_name,
)
from surfhead.files.places import place
from surfhead.kernels import ops
from surfhead.plugins.rigs.ict.model import (
    PARTS,
    IctModel,
    read_folder,
    read_imported,
    write_model,
    wrong_file,
)
from surfhead.plugins.rigs.skinning import blend_shapes, edge_neighbours

JOINTS = ("root", "neck", "left_eye", "right_eye")
PARENTS = (-1, 0, 1, 1)
ACCESSORIES = ("lacrimal_fluid", "eye_blend", "eye_occlusion", "lashes")
SKIN = ("face", "back_head")
EYES: dict[str, tuple[str, ...]] = {
    "left_eyeball": ("left_sclera", "left_iris"),
    "right_eyeball": ("right_sclera", "right_iris"),
}
# heights over the rim, as fractions of the chin's: skin below follows the root, skin above the neck joint
RIGID_BELOW, RIGID_ABOVE, NECK_HEIGHT = 0.15, 0.8, 0.5


class Ict(Rig):
    """ICT-FaceKit with rigid head, neck and turning eyeballs."""

    name = "ict"
    summary = "The ICT-FaceKit head: open blendshapes made from scans."
    capturable = True

    @dataclass(frozen=True)
    class Options:
        """Where the head is, and how much of it to use."""

        path: str = option("", "The official folder, or what `surfhead rig import` made of it.")
        expressions: tuple[str, ...] = option((), "Expressions to use, in order; empty: all there are.")
        accessories: bool = option(False, "Keep lashes, lacrimal fluid, eye blend and occlusion.")

    options: Options

    def __init__(self, options: object = None) -> None:
        super().__init__(options)
        self._model: IctModel | None = None
        self._rest: RestMesh | None = None
        self._assets: dict[str, Tensor] = {}
        self._topology: Topology

    @classmethod
    def example(cls, folder: Path) -> Ict:
        """A small head in the official layout, made by code."""
        from surfhead.plugins.rigs.ict.example import write_example

        return cls(cls.Options(path=str(write_example(folder))))

    def _read(self) -> IctModel:
        if not self.options.path:
            raise DataError(
                'Rig "ict" has no folder.',
                "Expected the official ICT-FaceKit folder or an imported file.",
                "Download https://github.com/ICT-VGL/ICT-FaceKit and give --set rig.path=FOLDER.",
            )
        path = place(self.options.path)
        if path.suffix != ".safetensors":
            if path.is_file():
                raise wrong_file(path)
            return read_folder(path, self.options.expressions)
        model = read_imported(path)
        if not self.options.expressions:
            return model
        for name in self.options.expressions:
            if name not in model.names:
                remedy = "Choose among these with --set rig.expressions=..."
                raise unknown_name("ICT-FaceKit expression", name, model.names, remedy)
        rows = [model.names.index(name) for name in self.options.expressions]
        return _replace(model, expressions=model.expressions[rows], names=self.options.expressions)

    def model(self) -> IctModel:
        """The arrays in use, read once; without the accessories' vertices. Raises DataError."""
        if self._model is None:
            model = self._read()
            keep = ~model.of(*ACCESSORIES) | self.options.accessories
            used, triangles = np.unique(model.triangles[keep], return_inverse=True)
            self._model = _replace(
                model,
                template=model.template[used],
                triangles=triangles.reshape(-1, 3),
                parts=model.parts[keep],
                uv=None if model.uv is None else model.uv[keep],
                expressions=model.expressions[:, used],
                identities=model.identities[:, used],
                chin=int(np.searchsorted(used, model.chin)),
            )
        return self._model

    def pack(self, target: Path) -> Path:
        """Write the folder's head as one safetensors file, accessories included."""
        write_model(self._read(), target)
        return target

    def expressions(self) -> tuple[str, ...]:
        """Names of the expression coefficients, in order."""
        return self.model().names

    def parameters(self) -> Mapping[str, RigParameter]:
        """Axis-angle poses, expression, translation."""
        count = len(self.model().names)
        return {
            "rotation": RigParameter(
                3, 1e-5, "Rotation about the neck's rim, axis-angle, radians.", axis_angle=True, role="root"
            ),
            "neck": RigParameter(
                3, 1e-5, "Head against neck, axis-angle, radians.", axis_angle=True, role="neck"
            ),
            "eyes": RigParameter(
                6, 1e-5, "Left, then right eye rotation, axis-angle, radians.", axis_angle=True, role="gaze"
            ),
            "expression": RigParameter(
                count, 1e-3, "Blendshape coefficients, 0 to 1.", labels=self.model().names, role="expression"
            ),
            "translation": RigParameter(3, 1e-6, "Translation, metres.", role="translation"),
        }

    def joints(self) -> tuple[str, ...]:
        """Root, neck, eyes."""
        return JOINTS

    def linear_model(self) -> LinearRig:
        """The head as blendshapes and skinning."""
        rest = self.rest()
        return LinearRig(
            vertices=rest.vertices,
            shapes=self._assets["expressions"],
            names=self.expressions(),
            coefficients="expression",
            limits=(0.0, 1.0),
            joints=self._assets["joints"].detach(),
            joint_names=JOINTS,
            parents=PARENTS,
            rotations=(("rotation", 0), ("neck", 0), ("eyes", 0), ("eyes", 3)),
            weights=self._assets["weights"],
            translation="translation",
        )

    def fingerprint(self) -> str:
        """Hash of the neutral mesh and the shapes' names, and the number of vertices."""
        model = self.model()
        return f"{model.sha256}:{len(model.template)}:{len(model.names)}"

    def prepare(self, identity: Mapping[str, Tensor], device: Any = "cpu") -> RestMesh:
        """Read the head and apply the identity.

        Args:
            identity: ``shape``, as many coefficients as there are identity files, or fewer.
            device: where the mesh lives.

        Raises:
            DataError: a file is missing or damaged.
            ShapeError: more coefficients than identity files.
            UnknownNameError: an identity tensor of another name.
        """
        for name, value in identity.items():
            if name != "shape":
                raise unknown_name('identity tensor of rig "ict"', name, ("shape",), "Rename or drop it.")
            check_finite(name, value)
        model = self.model()
        joints, weights, shares = _skeleton(model)
        assets = {
            "mean": model.template,
            "identities": model.identities,
            "expressions": model.expressions,
            "mean_joints": joints,
            "joint_identities": np.einsum("jv,ivx->ijx", shares, model.identities),
            "weights": weights,
        }
        self._assets = {
            name: torch.from_numpy(value.astype(np.float32)).to(device) for name, value in assets.items()
        }
        self._topology = _topology(model).to(device)
        self.follow({name: value.detach().to(device) for name, value in identity.items()})
        return self.rest()

    def identity_parameters(self) -> Mapping[str, RigParameter]:
        """The identities' coefficients."""
        count = len(self.model().identities)
        return {"shape": RigParameter(count, 1e-4, "Identity coefficients.")} if count else {}

    def follow(self, identity: Mapping[str, Tensor]) -> None:
        """Apply an identity's coefficients to the mean head."""
        assets = self._assets
        template, joints = assets["mean"], assets["mean_joints"]
        if "shape" in identity:
            shape = identity["shape"].float().reshape(1, -1)
            count, known = shape.shape[1], len(assets["identities"])
            if count > known:
                raise ShapeError(
                    f'"shape" has {count} coefficients.',
                    f"The folder has {known} identities.",
                    "Leave out the others, or choose with --set rig.path=... a folder that has them.",
                )
            template = template + blend_shapes(assets["identities"][:count], shape)[0]
            joints = joints + blend_shapes(assets["joint_identities"][:count], shape)[0]
        assets |= {"template": template, "joints": joints}
        self._rest = RestMesh(template.detach(), self._topology)

    def rest(self) -> RestMesh:
        """The canonical mesh."""
        if self._rest is None:
            self.prepare({})
        assert self._rest is not None
        return self._rest

    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        """Pose the head.

        Args:
            parameters: name -> (P, size).

        Raises:
            ShapeError: a parameter does not fit.
            UnknownNameError: a parameter of another name.
        """
        rest = self.rest()
        known = self.parameters()
        for name, value in parameters.items():
            if name not in known:
                raise unknown_name('parameter of rig "ict"', name, known, "Rename or drop it.")
            check_shape(name, value, None, known[name].size)
        poses = max((len(value) for value in parameters.values()), default=1)
        like = next(iter(parameters.values()), rest.vertices)
        used = ("template", "expressions", "joints", "weights")
        assets = {name: self._assets[name].to(like.dtype) for name in used}

        def given(name: str) -> Tensor:
            value = parameters.get(name)
            size = known[name].size
            return assets["template"].new_zeros(poses, size) if value is None else value.expand(poses, size)

        turns = torch.cat([given(name).reshape(poses, -1, 3) for name in ("rotation", "neck", "eyes")], dim=1)
        shaped = assets["template"] + blend_shapes(assets["expressions"], given("expression"))
        transforms = ops.pose_joints(turns, assets["joints"][None], PARENTS)[1]
        return Mesh(ops.skin_vertices(shaped, transforms, assets["weights"], given("translation")), rest)


def _replace(model: IctModel, **changes: Any) -> IctModel:
    return IctModel(**{**vars(model), **changes})


def _rim(model: IctModel) -> np.ndarray:
    """Vertices of the lowest open loop of the skin: where the neck ends."""
    skin = model.triangles[model.of(*SKIN)]
    edges = np.sort(np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]), axis=1)
    unique, uses = np.unique(edges, axis=0, return_counts=True)
    label: dict[int, int] = {}
    for a, b in unique[uses == 1].tolist():
        old, new = label.setdefault(a, a), label.setdefault(b, b)
        if old != new:
            label.update((vertex, new) for vertex, mark in label.items() if mark == old)
    if not label:
        what = "The ICT-FaceKit head has no open edge."
        raise DataError(what, "Expected a neck that ends in one.", "Take the official mesh.")
    vertices, marks = np.array(list(label)), np.array(list(label.values()))
    loops = [vertices[marks == mark] for mark in np.unique(marks)]
    return min(loops, key=lambda loop: float(model.template[loop, 1].mean()))


def _sphere_centre(points: np.ndarray) -> np.ndarray:
    """Centre of the sphere that fits best: |p|² = 2 p·c + const is linear in c."""
    system = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    return np.asarray(np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0][:3])


def _skeleton(model: IctModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the mean head: joints (4, 3), skin weights (V, 4), and (4, V) how joints follow each vertex."""
    vertices = model.template.astype(np.float64)
    skin, rim = np.unique(model.triangles[model.of(*SKIN)]), _rim(model)
    root = vertices[rim].mean(axis=0)
    up = np.linalg.svd(vertices[rim] - root)[2][2]  # the rim's plane has the smallest spread along its normal
    up = up if up[1] > 0 else -up
    height = (vertices - root) @ up
    height = height / height[model.chin]
    close = np.exp(-(((height[skin] - NECK_HEIGHT) / 0.1) ** 2))
    shares = np.zeros((len(JOINTS), len(vertices)))
    shares[0, rim], shares[1, skin] = 1, close
    step = np.clip((height - RIGID_BELOW) / (RIGID_ABOVE - RIGID_BELOW), 0, 1)
    turn = step * step * (3 - 2 * step)
    turn[np.setdiff1d(np.arange(len(vertices)), skin)] = 1
    weights = np.stack([1 - turn, turn, 0 * turn, 0 * turn], axis=1)
    centres = []
    for joint, parts in enumerate(EYES.values(), start=2):
        ball = np.unique(model.triangles[model.of(parts[0])])
        centres.append(_sphere_centre(vertices[ball]))
        shares[joint, ball] = 1
        weights[np.unique(model.triangles[model.of(*parts)])] = np.eye(4)[joint]
    shares /= shares.sum(axis=1, keepdims=True)
    return np.stack([*(shares[:2] @ vertices), *centres]), weights, shares


def _topology(model: IctModel) -> Topology:
    groups: dict[str, tuple[str, ...]] = {
        part: (part,) for part in PARTS.values() if part == "teeth" or model.of(part).any()
    }
    groups |= {**EYES, "eyeballs": (*EYES["left_eyeball"], *EYES["right_eyeball"])}
    regions = {name: model.of(*parts) for name, parts in groups.items()}
    regions["boundary"] = np.asarray(np.isin(model.triangles, _rim(model)).any(axis=1))
    triangles = torch.from_numpy(model.triangles)
    return Topology(
        triangles,
        edge_neighbours(triangles),
        {name: torch.from_numpy(inside) for name, inside in regions.items()},
        uv=None if model.uv is None else torch.from_numpy(model.uv),
    )
