"""surfhead's own avatar files, and those of SurFhead and GaussianAvatars, which it reads.

Written: ``point_cloud.ply`` in SurFhead's layout with every raw parameter; beside it, under the same name,
``.json`` (components, rig, background) and ``.safetensors`` (motion, identity, network); for FLAME also
``flame_param.npz``, which the viewers of GaussianAvatars read. Reading gives back every bit.

Read: the same; SurFhead's ``point_cloud.ply`` with ``flame_param.npz`` beside it and its specular network in
``specular/iteration_N/specular.pth``; GaussianAvatars' files, whose triangle frame is converted and whose
third scales are dropped (the smallest axis becomes the normal). Colours may be ``red``, ``green``, ``blue``
instead of harmonics. Infinite opacities are made finite; surfels with NaN or without a rotation are left out
and counted. A folder stands for the newest ``point_cloud.ply`` in it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from surfhead.core.api import Avatar, DataError, Format, StoredAvatar
from surfhead.plugins.formats.axes import flattened, from_gaussian_avatars
from surfhead.plugins.formats.mended_surfels import mended
from surfhead.plugins.formats.point_cloud import read_points, refuse, write_points
from surfhead.plugins.formats.tracked import read_identity, read_motion, write_tracked

CLOUD, TRACKED = "point_cloud.ply", "flame_param.npz"
VERSION = 1
TRAINED = 30000  # images; enough for every harmonic and the highlight to be switched on
GROUPS = ("motion", "identity", "network")


class SurfheadAvatar(Format):
    """The round trip, and the two projects it can take over from."""

    name = "surfhead"
    summary = "Avatars: this project's own files; reads SurFhead's and GaussianAvatars' too."
    suffixes = (".ply",)
    reads = True
    writes = True

    def write(self, avatar: Avatar, path: Path, **settings: Any) -> list[Path]:
        """Write the avatar; ``path`` is the ``.ply`` file or a folder for it. Gives the files."""
        refuse(settings, self.name)
        cloud = path if path.suffix == ".ply" else path / CLOUD
        arrays = {name: value.detach().cpu().numpy() for name, value in avatar.surfels.parameters.items()}
        arrays["triangle"] = avatar.surfels.triangle.cpu().numpy()
        write_points(cloud, arrays, ("surfhead avatar",))
        network = avatar.appearance.network()
        groups = {
            "motion": avatar.motion,
            "identity": avatar.identity,
            "network": {} if network is None else network.state_dict(),
        }
        tensors = {
            f"{group}/{name}": value.detach().cpu().contiguous().clone()
            for group, values in groups.items()
            for name, value in values.items()
        }
        save_file(tensors, cloud.with_suffix(".safetensors"))
        description = {
            "surfhead": VERSION,
            "rig": _component(avatar.rig),
            "deformer": _component(avatar.deformer),
            "appearance": _component(avatar.appearance),
            "background": [float(value) for value in avatar.background],
            "images": avatar.images,
        }
        cloud.with_suffix(".json").write_text(json.dumps(description, indent=1), encoding="utf-8")
        files = [cloud, cloud.with_suffix(".json"), cloud.with_suffix(".safetensors")]
        if avatar.rig.name == "flame":
            write_tracked(cloud.with_name(TRACKED), avatar.motion, avatar.identity)
            files.append(cloud.with_name(TRACKED))
        return files

    def read(self, path: Path) -> StoredAvatar:
        """Read an avatar from a ``.ply`` or a folder. Raises DataError naming the file."""
        cloud = _newest(path) if path.is_dir() else path
        arrays, _ = read_points(cloud)
        triangle = arrays.pop("triangle")
        if cloud.with_suffix(".json").is_file():
            return _own(cloud, arrays, triangle)
        return _foreign(cloud, arrays, triangle)


def _component(component: Any) -> dict[str, Any]:
    options = dataclasses.asdict(component.options)
    return {"name": component.name, "options": {k: v for k, v in options.items() if v is not None}}


def _number(path: Path) -> int:
    digits = path.name.rpartition("_")[2]
    return int(digits) if digits.isdigit() else -1


def _newest(folder: Path) -> Path:
    """The cloud in a folder: directly, or of the highest iteration of a training run."""
    runs = sorted((folder / "point_cloud").glob("iteration_*"), key=_number)
    for place in (folder, *reversed(runs)):
        if (place / CLOUD).is_file():
            return place / CLOUD
    raise DataError(
        f'Folder "{folder}" holds no avatar.',
        f"Expected {CLOUD}, or point_cloud/iteration_N/{CLOUD}.",
        "Give the folder of a SurFhead or GaussianAvatars run, or of `surfhead export`.",
    )


def _damaged(path: Path, reason: object) -> DataError:
    return DataError(
        f'Avatar file "{path}" cannot be read: {reason}.',
        "Expected what `surfhead export --format surfhead` wrote beside the point cloud.",
        "Export the avatar again.",
    )


def _own(cloud: Path, arrays: dict[str, Any], triangle: Any) -> StoredAvatar:
    path = cloud.with_suffix(".json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["surfhead"] != VERSION:
            raise ValueError(f"version {content['surfhead']} is not {VERSION}")
        red, green, blue = (float(value) for value in content["background"])
        components = {kind: dict(content[kind]) for kind in ("rig", "deformer", "appearance")}
        for table in components.values():
            if not isinstance(table["name"], str) or not isinstance(table["options"], dict):
                raise ValueError("a component has no name or no options")
        images = int(content["images"])
        path = cloud.with_suffix(".safetensors")
        tensors = load_file(path)
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        RecursionError,
        SafetensorError,
    ) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    for name, value in tensors.items():
        group, _, rest = name.partition("/")
        if group not in groups:
            raise _damaged(path, f'it holds "{name}"')
        groups[group][rest] = value
    rig = components.pop("rig")
    return StoredAvatar(
        arrays,
        triangle,
        rig["name"],
        rig["options"],
        components=components,
        background=(red, green, blue),
        images=images,
        motion=groups["motion"],
        identity=groups["identity"],
        network=groups["network"],
    )


def _foreign(cloud: Path, arrays: dict[str, Any], triangle: Any) -> StoredAvatar:
    arrays, triangle, notes = mended(cloud, arrays, triangle)
    bound = bool(len(triangle)) and bool((triangle >= 0).all())
    if arrays["log_scale"].shape[1] == 3:
        notes.append("Ellipsoids became surfels: the smallest axis is the normal, its extent is dropped.")
        if bound:
            notes.append("GaussianAvatars' triangle frame was converted.")
            arrays["offset"], arrays["quaternion"] = from_gaussian_avatars(
                arrays["offset"], arrays["quaternion"]
            )
            notes.append("Its harmonics were learnt in world directions; here they turn with the head.")
        arrays["log_scale"], arrays["quaternion"] = flattened(arrays["log_scale"], arrays["quaternion"])
        deformer = "similarity"
    else:
        deformer = "jbs" if "blend" in arrays else "jacobian"
    tracked = cloud.with_name(TRACKED)
    motion: dict[str, Tensor] = {}
    identity: dict[str, Tensor] = {}
    if bound and tracked.is_file():
        motion, identity = read_motion(tracked), read_identity(tracked)
    elif bound:
        notes.append(f"There is no {TRACKED} beside it; take motion and identity from the data set.")
    network = _specular(cloud, notes) if "specular" in arrays else {}
    if "specular" in arrays and not network:
        arrays.pop("specular")
    components: dict[str, dict[str, Any]] = {
        "deformer": {"name": deformer if bound else "static", "options": {}},
        "appearance": {"name": "lasg" if network else "sh", "options": {}},
    }
    return StoredAvatar(
        arrays,
        triangle,
        "flame" if bound else "none",
        motion=motion,
        identity=identity,
        network=network,
        components=components,
        images=max(_number(cloud.parent), TRAINED),
        notes=tuple(notes),
    )


def _specular(cloud: Path, notes: list[str]) -> dict[str, Tensor]:
    """The specular network's tensors in the file's order, or nothing, with a note."""
    places = [folder / "specular" for folder in (cloud.parent, *list(cloud.parents)[2:3])]
    runs = sorted((run for place in places for run in place.glob("iteration_*")), key=_number)
    path = next((run / "specular.pth" for run in reversed(runs) if (run / "specular.pth").is_file()), None)
    if path is None:
        notes.append("There is no specular network beside it; highlights are left out.")
        return {}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError("it is no dictionary of tensors")
    except Exception as error:  # a damaged archive can fail in any way
        raise DataError(
            f'Specular network "{path}" cannot be read: {str(error).partition(chr(10))[0]}.',
            "Expected a state dictionary of tensors; nothing else is ever loaded.",
            "Remove the file to import the avatar without highlights.",
        ) from error
    return {str(name): value.float() for name, value in state.items()}
