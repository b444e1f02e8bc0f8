"""What a web page needs of an avatar: its surfels, the triangles that carry them, and what poses these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfhead.core.api import AvatarView, DataError, LinearRig
from surfhead.drawing.colour_maps import MAPS, table
from surfhead.maths.geometry import looks_inward, quaternion_multiply
from surfhead.plugins.formats.html.light import add_light
from surfhead.plugins.formats.html.numbers import Numbers
from surfhead.terminal.bars import watched

ALPHA_MIN = 1 / 255  # surfels that never reach it are never seen
HALF_VIEW = 12.5  # degrees: half the first view's field
MOST_POSES = 200  # that are looked at for the first view, evenly spread
COEFFICIENTS = 16  # of a channel's harmonics, the last one zero, in four texels


@dataclass(frozen=True)
class Carrier:
    """The triangles that carry surfels, with the neighbours that pull at them, numbered anew.

    Attributes:
        vertices: (V,) int64 the rig's vertices that are kept.
        triangles: (F, 3) indices into them.
        neighbours: (F, 3) triangles across the edges; a triangle that carries nothing names itself.
        host: (N,) index of each surfel's triangle.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    neighbours: np.ndarray
    host: np.ndarray


def carrier(avatar: AvatarView, triangle: np.ndarray, blended: bool) -> Carrier:
    """The part of the rig's mesh that surfels with these hosts need; where ``blended``, with neighbours."""
    topology = avatar.rig.rest().topology
    triangles, across = topology.triangles.cpu().numpy(), topology.neighbours.cpu().numpy()
    hosts = np.unique(triangle)
    near = across[hosts].reshape(-1) if blended else hosts
    used = np.unique(np.concatenate([hosts, near]))
    vertices, corners = np.unique(triangles[used], return_inverse=True)
    found = np.searchsorted(used, np.minimum(across[used], used[-1] if len(used) else 0))
    own = np.arange(len(used))
    carries = np.isin(used, hosts)[:, None] & np.isin(across[used], used)
    return Carrier(
        vertices,
        corners.reshape(-1, 3),
        np.where(carries, np.minimum(found, max(len(used) - 1, 0)), own[:, None]),
        np.searchsorted(used, triangle),
    )


def add_mesh(numbers: Numbers, part: Carrier, rest: Tensor) -> None:
    """The carrier and its vertices at rest."""
    numbers.indices("mesh/triangles", part.triangles)
    numbers.indices("mesh/neighbours", part.neighbours)
    numbers.indices("surfel/host", part.host)
    numbers.add("mesh/rest", rest.cpu().numpy()[part.vertices], "f4")


def add_surfels(numbers: Numbers, avatar: AvatarView) -> tuple[dict[str, Any], np.ndarray]:
    """The surfels that can be seen; gives their description and their indices.

    Raises:
        DataError: the page cannot evaluate the avatar's deformer or appearance model, or nothing is seen.
    """
    binding = avatar.surfels.binding()
    field = avatar.deformer.field_model(binding)
    if field is None:
        raise _unknown("Deformer", avatar.deformer.name, "those that tell what they compute (`field_model`)")
    model = avatar.appearance.colour_model(binding)
    if model is None:
        raise _unknown(
            "Appearance", avatar.appearance.name, "those that tell what they compute (`colour_model`)"
        )
    raw = {name: value.detach().cpu().float() for name, value in avatar.surfels.parameters.items()}
    opacity = torch.sigmoid(raw["opacity"])
    kept = (opacity >= ALPHA_MIN).nonzero().squeeze(1)
    if not len(kept):
        raise DataError(
            "No surfel of the avatar can be seen.", "Expected opacities >= 1/255.", "Train it first."
        )
    raw = {name: value[kept] for name, value in raw.items()}
    numbers.between("surfel/offset", raw["offset"].numpy())
    numbers.between("surfel/log_scale", raw["log_scale"].numpy())
    quaternion = torch.nn.functional.normalize(raw["quaternion"], dim=1)
    if (
        avatar.deformer.rig_bound
    ):  # a half turn about its first axis leaves a surfel what it is, but for its normal
        outwards = quaternion_multiply(
            quaternion, quaternion.new_tensor([0.0, 1.0, 0.0, 0.0]).expand_as(quaternion)
        )
        quaternion = torch.where(looks_inward(quaternion)[:, None], outwards, quaternion)
    numbers.about_zero("surfel/quaternion", quaternion.numpy())
    base = model.base.detach().cpu().float()[kept]
    numbers.between("surfel/base", torch.cat([base, opacity[kept, None]], dim=1).numpy())
    scale = _add_harmonics(numbers, model.rest.detach().cpu().float()[kept])
    if avatar.observed is not None:
        numbers.between("surfel/observed", avatar.observed.detach().cpu().float()[kept, None].numpy())
    if field.weights is not None:
        numbers.about_zero("surfel/blend", field.weights.detach().cpu().float()[kept].numpy())
    description: dict[str, Any] = {
        "surfels": {
            "count": len(kept),
            "degree": model.degree,
            "scale": scale,
            "outer": avatar.deformer.rig_bound,  # normals have an outer side
        },
        "deformer": {"kind": field.kind, "rotations": field.rotations, "blended": field.weights is not None},
    }
    if model.lit is not None:
        description["light"] = add_light(numbers, model.lit, kept)
    if model.highlight is not None:
        light = model.highlight
        mine = torch.isin(light.surfels.cpu(), kept)
        numbers.indices("light/surfels", torch.searchsorted(kept, light.surfels.cpu()[mine]).numpy())
        numbers.add("light/axes", light.axes.cpu().numpy(), "f4")
        numbers.about_zero("light/amplitude", light.amplitude.cpu()[mine].numpy())
        numbers.about_zero("light/sharpness", light.sharpness.cpu()[mine].numpy())
        for number, (weight, bias) in enumerate(light.layers):
            numbers.add(f"light/weight{number}", weight.cpu().numpy(), "f4")
            numbers.add(f"light/bias{number}", bias.cpu().numpy(), "f4")
        description["highlight"] = {"octaves": light.octaves, "world": light.world}
    return description, kept.numpy()


def add_scales(numbers: Numbers) -> None:
    """The colour maps of channels of numbers, 8 bits."""
    for name in MAPS:
        numbers.add(f"map/{name}", (255 * table(name)).round().numpy(), "u1")


def _unknown(kind: str, name: str, known: str) -> DataError:
    return DataError(
        f'{kind} "{name}" cannot be drawn by a web page.',
        f"The page knows {known}.",
        "Export a posed format instead, such as 2dgs or gltf, or a video by `surfhead render`.",
    )


def _add_harmonics(numbers: Numbers, rest: Tensor) -> list[float]:
    """Coefficients (N, K, 3) beyond the constant one in 8 bits, channel by channel; gives the 48 scales."""
    full = np.zeros((len(rest), 3, COEFFICIENTS), np.float32)
    full[:, :, : rest.shape[1]] = rest.transpose(1, 2).numpy()
    flat = full.reshape(len(rest), 3 * COEFFICIENTS)
    scale = np.abs(flat).max(axis=0, initial=0.0)
    numbers.add("surfel/harmonics", np.rint(127 * flat / np.where(scale > 0, scale, 1.0)), "i1")
    return [float(value) for value in scale]


def add_linear_rig(
    numbers: Numbers, model: LinearRig, part: Carrier, motion: Mapping[str, Tensor], sizes: Mapping[str, int]
) -> dict[str, Any]:
    """The rig itself and its motion; gives its description."""
    kept = torch.from_numpy(part.vertices)
    numbers.about_zero("rig/shapes", model.shapes.cpu()[:, kept].numpy())
    numbers.add("rig/weights", model.weights.cpu()[kept].numpy(), "f4")
    numbers.add("rig/joints", model.joints.cpu().numpy(), "f4")
    if model.joint_shapes is not None:
        numbers.add("rig/joint_shapes", model.joint_shapes.cpu().numpy(), "f4")
    if model.correctives is not None:
        numbers.about_zero("rig/correctives", model.correctives.cpu()[:, kept].numpy())
    for name in model.parameters():
        if name in motion:
            numbers.add(f"rig/motion/{name}", motion[name].detach().cpu().numpy(), "f4")
    return {
        "kind": "linear",
        "names": model.names,
        "coefficients": model.coefficients,
        "limits": model.limits,
        "joint_names": model.joint_names,
        "parents": model.parents,
        "rotations": model.rotations,
        "translation": model.translation,
        "sizes": {name: sizes[name] for name in model.parameters()},
    }


def add_baked_rig(
    numbers: Numbers, avatar: AvatarView, part: Carrier, every: int
) -> tuple[dict[str, Any], int]:
    """The posed vertices of every so many timesteps; gives a description and the number of poses."""
    steps = torch.arange(0, max(avatar.timesteps, 1), every)
    frames = []
    with torch.no_grad():
        for step in watched(steps, "Posing", len(steps)):
            vertices = avatar.rig(avatar.poses(step[None].to(avatar.device))).vertices[0]
            frames.append(vertices.cpu().numpy()[part.vertices])
    numbers.over_time("rig/frames", np.stack(frames))
    return {"kind": "baked"}, len(steps)


def first_view(avatar: AvatarView, triangle: np.ndarray) -> dict[str, Any]:
    """Where the page's camera starts: before the face as the motion mostly has it, or a scene's middle.

    Of the poses it is the one whose head's rotation is nearest to all others' (their medoid). A first pose
    that is turned aside would show for the rest of the motion what no picture shows.
    """
    front, up = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 0.0])
    with torch.no_grad():
        if avatar.deformer.rig_bound:
            rest = avatar.rig.rest()
            corners = rest.topology.triangles.cpu().numpy()[np.unique(triangle)]
            used = torch.from_numpy(np.unique(corners)).to(avatar.device)
            still = rest.vertices[used].cpu().double()

            def posed(step: int) -> Tensor:
                mesh = avatar.rig(avatar.poses(torch.tensor([step], device=avatar.device)))
                return mesh.vertices[0, used].cpu().double()

            count = max(avatar.timesteps, 1)
            steps = np.unique(np.linspace(0, count - 1, min(count, MOST_POSES)).round().astype(int))
            turns = torch.stack([_turn(still, posed(int(step))) for step in steps])
            middle = medoid(turns)
            points, turn = posed(int(steps[middle])), turns[middle].float()
            front, up = turn @ torch.tensor(rest.topology.front), turn @ up
        else:
            points = avatar.surfels.parameters["offset"].detach().cpu().double()
    low, high = points.quantile(0.01, dim=0), points.quantile(0.99, dim=0)
    radius = float((high - low).norm()) / 2
    return {
        "target": ((low + high) / 2).tolist(),
        "front": front.tolist(),
        "up": up.tolist(),
        "radius": radius,
        "distance": radius / float(np.sin(np.radians(HALF_VIEW))),
        "field_of_view": 2 * HALF_VIEW,
    }


def _turn(still: Tensor, points: Tensor) -> Tensor:
    """(3, 3) the rotation that takes points (V, 3) at rest nearest to others (Kabsch)."""
    u, _, v = torch.linalg.svd((points - points.mean(0)).mT @ (still - still.mean(0)))
    sign = torch.diag(torch.tensor([1.0, 1.0, float(torch.linalg.det(u @ v).sign())]).double())
    turn: Tensor = u @ sign @ v
    return turn


def medoid(turns: Tensor) -> int:
    """Which of the rotations (T, 3, 3) has the least sum of angles to all; the first of several."""
    flat = turns.reshape(len(turns), 9)
    angles = ((flat @ flat.mT - 1.0) / 2.0).clamp(-1.0, 1.0).acos()  # of the trace
    return int(angles.sum(dim=1).mul(1e4).round().argmin())  # rounding's last digits decide nothing
