"""The FLAME head (Li et al., SIGGRAPH Asia 2017): the rig of GaussianAvatars, SurFhead and the VHAP tracker.

    surfhead train DATA --rig flame --set rig.path=flame2023.pkl

The model needs a licence: download ``flame2023.pkl``, ``flame2023_Open.pkl`` or ``generic_model.pkl`` (2020)
and ``FLAME_masks.pkl`` from https://flame.is.tue.mpg.de. ``surfhead rig import`` turns them into one
safetensors file that loads faster. Published pickles are read by a restricted reader that runs nothing.

    V = LBS(template + S shape + E expression + static and dynamic offset + pose correctives) + translation

Joints: root, neck, jaw, left eye, right eye; rotations are axis-angle, radians. Their places follow the
shaped vertices, offsets included. The pose correctives multiply the entries of R - 1 of neck, jaw and eyes.

Identity: ``shape`` (up to 300) and ``static_offset`` (V, 3) metres. FLAME has no teeth; by default two rows
are added as in VHAP (5143 vertices). Offsets of 5023 vertices are padded, of 5143 cut, to fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

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
    option,
    unknown_name,
)
from surfhead.files.places import place
from surfhead.kernels import ops
from surfhead.plugins.rigs.flame import teeth as flame_teeth
from surfhead.plugins.rigs.flame.model import (
    EXPRESSIONS,
    JOINTS,
    SHAPES,
    FlameModel,
    read_imported,
    read_published,
    write_model,
)
from surfhead.plugins.rigs.skinning import blend_shapes, edge_neighbours

IDENTITY = ("shape", "static_offset")
POSE_SIZES = {"rotation": 3, "neck": 3, "jaw": 3, "eyes": 6}
MASKS_NAME = "FLAME_masks.pkl"
VERTICES = 5023  # of every published FLAME; needed before the model is read


class Flame(Rig):
    """FLAME 2020, 2023 and 2023 Open."""

    name = "flame"
    summary = "The FLAME head (2020, 2023, 2023 Open), with teeth."
    capturable = True
    shareable: ClassVar[bool] = False  # its licence forbids passing the model on

    @dataclass(frozen=True)
    class Options:
        """Where the model is."""

        path: str = option("", "Model file: a published .pkl, or what `surfhead rig import` made of it.")
        masks: str = option("", "FLAME_masks.pkl; empty: the one beside the model.")
        template: str = option("", "Template .obj of the model, for texture coordinates; empty: none.")
        teeth: bool = option(True, "Add the two rows of teeth of VHAP and GaussianAvatars (120 vertices).")
        static_offset: bool = option(
            True, "Move the rest mesh by the identity's static offsets, where given."
        )
        rest_jaw: float = option(
            0.0,
            "Opening of the jaw at rest, radians; 0.3 is the canonical pose of VHAP's files.",
            low=-1,
            high=1,
        )

    options: Options

    def __init__(self, options: object = None) -> None:
        super().__init__(options)
        self._model: FlameModel | None = None
        self._rest: RestMesh | None = None
        self._assets: dict[str, Tensor] = {}

    @classmethod
    def example(cls, folder: Path) -> Flame:
        """A model of FLAME's size and shape, made by code."""
        from surfhead.plugins.rigs.flame.example import write_example

        return cls(cls.Options(path=str(write_example(folder))))

    def model(self) -> FlameModel:
        """The model's arrays, read once. Raises DataError naming the file."""
        if self._model is None:
            if not self.options.path:
                raise DataError(
                    'Rig "flame" has no model file.',
                    "Expected flame2023.pkl, flame2023_Open.pkl, generic_model.pkl or an imported file.",
                    "Download it from https://flame.is.tue.mpg.de and give --set rig.path=FILE.",
                )
            path = place(self.options.path)
            if path.suffix == ".safetensors":
                model = read_imported(path)
            else:
                masks = Path(self.options.masks or path.parent / MASKS_NAME).expanduser()
                template = Path(self.options.template).expanduser() if self.options.template else None
                model = read_published(path, masks, template)
            self._model = self._with_teeth(path, model) if self.options.teeth else model
        return self._model

    @staticmethod
    def _with_teeth(path: Path, model: FlameModel) -> FlameModel:
        if len(model.template) != VERTICES:
            raise DataError(
                f'FLAME file "{path}" has {len(model.template)} vertices.',
                f"Teeth are placed by the vertices of a model of {VERTICES}.",
                "Give a published model, or --set rig.teeth=false.",
            )
        return flame_teeth.add_teeth(model)

    def pack(self, target: Path) -> Path:
        """Write the published model with its masks as one safetensors file, without the added teeth."""
        source = Path(self.options.path)
        bare = Flame(Flame.Options(self.options.path, self.options.masks, self.options.template, teeth=False))
        write_model(bare.model(), target, source.name)
        return target

    def parameters(self) -> Mapping[str, RigParameter]:
        """Axis-angle poses, expression, translation, and per-timestep vertex offsets."""
        count = VERTICES + flame_teeth.COUNT * self.options.teeth
        if self._model is not None:
            count = len(self._model.template)
        return {
            "rotation": RigParameter(
                3, 1e-5, "Root rotation, axis-angle, radians.", axis_angle=True, role="root"
            ),
            "neck": RigParameter(
                3, 1e-5, "Neck rotation, axis-angle, radians.", axis_angle=True, role="neck"
            ),
            "jaw": RigParameter(
                3, 1e-5, "Jaw rotation, axis-angle, radians; the first opens it.", axis_angle=True, role="jaw"
            ),
            "eyes": RigParameter(
                6, 1e-5, "Left, then right eye rotation, axis-angle, radians.", axis_angle=True, role="gaze"
            ),
            "expression": RigParameter(
                EXPRESSIONS, 1e-3, "Expression coefficients, standard deviations.", role="expression"
            ),
            "translation": RigParameter(3, 1e-6, "Translation, metres.", role="translation"),
            "dynamic_offset": RigParameter(
                3 * count, None, "Offset of every vertex in rest space, metres.", role="personal"
            ),
        }

    def joints(self) -> tuple[str, ...]:
        """Root, neck, jaw, eyes."""
        return JOINTS

    def linear_model(self) -> LinearRig:
        """The head as blendshapes, pose correctives and skinning, without ``dynamic_offset``."""
        self.rest()
        assets = self._assets
        shapes = assets["basis"][:EXPRESSIONS]
        return LinearRig(
            vertices=assets["shaped"].detach(),
            shapes=shapes,
            names=tuple(f"expression {number}" for number in range(EXPRESSIONS)),
            coefficients="expression",
            limits=(-3.0, 3.0),
            joints=assets["regressor"] @ assets["shaped"].detach(),
            joint_names=JOINTS,
            parents=tuple(self.model().parents),
            rotations=(("rotation", 0), ("neck", 0), ("jaw", 0), ("eyes", 0), ("eyes", 3)),
            weights=assets["weights"],
            translation="translation",
            joint_shapes=assets["regressor"] @ shapes,
            correctives=assets["basis"][EXPRESSIONS:],
        )

    def fingerprint(self) -> str:
        """The published file's SHA-256, and the number of vertices."""
        model = self.model()
        return f"{model.sha256}:{len(model.template)}"

    def prepare(self, identity: Mapping[str, Tensor], device: Any = "cpu") -> RestMesh:
        """Read the model and apply the identity.

        Args:
            identity: ``shape`` of up to 300 coefficients, ``static_offset`` (V, 3) metres.
            device: where the mesh lives.

        Raises:
            DataError: the model file is missing or damaged.
            ShapeError: an identity tensor does not fit.
            UnknownNameError: an identity tensor of another name.
        """
        for name, value in identity.items():
            if name not in IDENTITY:
                raise unknown_name('identity tensor of rig "flame"', name, IDENTITY, "Rename or drop it.")
            check_finite(name, value)
        model = self.model()
        shaped = torch.from_numpy(model.template)
        if self.options.static_offset and "static_offset" in identity:
            offset = identity["static_offset"].detach().cpu().float().reshape(1, -1)
            shaped = shaped + self._offsets("static_offset", offset)[0]
        basis = np.concatenate([model.expression, model.pose])
        assets = {
            "mean": shaped,
            "shapes": torch.from_numpy(model.shape),
            "rest_jaw": torch.tensor([[self.options.rest_jaw, 0.0, 0.0]]),
            "basis": torch.from_numpy(basis),
            "regressor": torch.from_numpy(model.regressor),
            "weights": torch.from_numpy(model.weights),
        }
        self._assets = {name: value.to(device) for name, value in assets.items()}
        self._rest = RestMesh(self._assets["mean"], self._topology(model).to(device))
        self.follow({name: value.detach().to(device) for name, value in identity.items()})
        return self._rest

    def identity_parameters(self) -> Mapping[str, RigParameter]:
        """The shape's coefficients."""
        return {"shape": RigParameter(SHAPES, 1e-4, "Shape coefficients, standard deviations.")}

    def follow(self, identity: Mapping[str, Tensor]) -> None:
        """Apply a shape's coefficients; static offsets stay as they were prepared."""
        assets, topology = self._assets, self.rest().topology
        shaped = assets["mean"]
        if "shape" in identity:
            shape = padded("shape", identity["shape"].float().reshape(1, -1), SHAPES)
            shaped = shaped + blend_shapes(assets["shapes"], shape)[0]
        assets["shaped"] = shaped
        self._rest = RestMesh(shaped.detach(), topology)
        if self.options.rest_jaw:
            posed = self({"jaw": assets["rest_jaw"]}).vertices[0].detach()
            self._rest = RestMesh(posed, topology)

    def _topology(self, model: FlameModel) -> Topology:
        triangles = torch.from_numpy(model.triangles)
        masks = dict(model.masks)
        masks["eyeballs"] = np.concatenate([masks["left_eyeball"], masks["right_eyeball"]])
        masks.setdefault("teeth", np.zeros(0, np.int64))
        regions = {
            name: torch.from_numpy(np.isin(model.triangles, ids).all(axis=1)) for name, ids in masks.items()
        }
        uv = None if model.uv is None else torch.from_numpy(model.uv)
        return Topology(triangles, edge_neighbours(triangles), regions, uv=uv)

    def _offsets(self, name: str, values: Tensor) -> Tensor:
        """(P, V, 3) from (P, 3·V') where V' is V with or without the teeth."""
        count = len(self.model().template)
        given, own = values.shape[1] // 3, min(count, VERTICES)
        if 3 * given != values.shape[1] or given not in (count, own, own + flame_teeth.COUNT):
            raise ShapeError(
                f'"{name}" has {values.shape[1]} values a timestep.',
                f"Expected 3 for each of {count} vertices.",
                "Check which FLAME model the offsets were made with.",
            )
        offsets = values.reshape(len(values), given, 3)[:, :count]
        return torch.nn.functional.pad(offsets, (0, 0, 0, count - offsets.shape[1]))

    def rest(self) -> RestMesh:
        """The canonical mesh."""
        if self._rest is None:
            self.prepare({})
        assert self._rest is not None
        return self._rest

    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        """Pose the head.

        Args:
            parameters: name -> (P, size); fewer expression coefficients are padded with zeros.

        Raises:
            ShapeError: a parameter does not fit.
            UnknownNameError: a parameter of another name.
        """
        rest = self.rest()
        known = self.parameters()
        for name in parameters:
            if name not in known:
                raise unknown_name('parameter of rig "flame"', name, known, "Rename or drop it.")
        poses = max((len(value) for value in parameters.values()), default=1)
        like = next(iter(parameters.values()), rest.vertices)
        used = ("shaped", "basis", "regressor", "weights")
        assets = {name: self._assets[name].to(like.dtype) for name in used}

        def given(name: str, size: int) -> Tensor:
            if name not in parameters:
                return assets["shaped"].new_zeros(poses, size)
            return padded(name, parameters[name], size).expand(poses, size)

        turns = [given(name, size).reshape(poses, -1, 3) for name, size in POSE_SIZES.items()]
        # The joints follow the expression but not the pose correctives.
        face, correctives = assets["basis"][:EXPRESSIONS], assets["basis"][EXPRESSIONS:]
        shaped = assets["shaped"] + blend_shapes(face, given("expression", EXPRESSIONS))
        if "dynamic_offset" in parameters:
            shaped = shaped + self._offsets("dynamic_offset", parameters["dynamic_offset"])
        joints = assets["regressor"] @ shaped
        # of five joints
        rotations, transforms = ops.pose_joints(torch.cat(turns, dim=1), joints, self.model().parents)
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        bent = (rotations[:, 1:] - identity).flatten(1)
        shaped = shaped + blend_shapes(correctives, bent)
        return Mesh(ops.skin_vertices(shaped, transforms, assets["weights"], given("translation", 3)), rest)


def padded(name: str, values: Tensor, size: int) -> Tensor:
    """(P, size) from (P, at most size): FLAME trackers differ in how many coefficients they keep."""
    missing = size - values.shape[-1]
    exact = name not in ("shape", "expression")
    if values.ndim != 2 or missing < 0 or (exact and missing):
        raise ShapeError(
            f'"{name}" has shape {tuple(values.shape)}.',
            f"Expected (poses, {size})" + ("." if exact else ", or fewer columns."),
            "Check how it was built.",
        )
    return values if missing == 0 else torch.nn.functional.pad(values, (0, missing))
