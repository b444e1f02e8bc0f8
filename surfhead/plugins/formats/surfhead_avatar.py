"""surfhead's own avatar files, and those of SurFhead and GaussianAvatars, which it reads.

Written: ``point_cloud.ply`` in SurFhead's layout with every raw parameter; beside it, under the same name,
``.json`` (components, rig, background) and ``.safetensors`` (motion, identity, network); for FLAME also
``flame_param.npz``, which the viewers of GaussianAvatars read. Reading gives back every bit.

Read: the same; SurFhead's ``point_cloud.ply`` with ``flame_param.npz`` beside it and its specular network in
``specular/iteration_N/specular.pth``; GaussianAvatars' files, whose triangle frame is converted and whose
third scales are dropped (the smallest axis becomes the normal). Colours may be ``red``, ``green``, ``blue``
instead of harmonics. Infinite opacities are made finite; surfels with NaN or without a rotation are left out
and counted. A folder stands for the newest ``point_cloud.ply`` in it.

Avatars of SurFhead are set up to draw what SurFhead drew: harmonics and highlight fully on, lobes on its
grid, absolute rotations blended (``rotation_blend`` of `jbs`), over the background of its ``cfg_args``. What
its files leave open are options, ``surfhead import RUN NEW --set format.OPTION=VALUE``; and every setting of
the components may be set beside them, such as ``--set appearance.region=all``.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from surfhead.core.api import AvatarView, DataError, Format, Pose, StoredAvatar, option
from surfhead.files import bounds
from surfhead.files.writing import beside, write_text
from surfhead.plugins.formats.axes import flattened, from_gaussian_avatars
from surfhead.plugins.formats.mended_surfels import mended
from surfhead.plugins.formats.point_cloud import read_points, refuse, write_points
from surfhead.plugins.formats.published_run import find_network, iteration_of, read_arguments, read_network
from surfhead.plugins.formats.tracked import read_identity, read_motion, write_tracked

CLOUD, TRACKED = "point_cloud.ply", "flame_param.npz"
VERSION = 1
TRAINED = 30000  # images; enough for every harmonic and the highlight to be switched on
READERS = ("colmap", "vhap")  # of what static and of what rigged avatars are trained on
GROUPS = ("motion", "identity", "network")


class SurfheadAvatar(Format):
    """The round trip, and the two projects it can take over from."""

    name = "surfhead"
    summary = "Avatars: this project's own files; reads SurFhead's and GaussianAvatars' too."
    suffixes = (".ply",)
    reads = True
    writes = True

    @dataclass(frozen=True)
    class Options:
        """What SurFhead's files leave open, for reading them."""

        lobe_order: Literal["lobe", "kind"] = option(
            "lobe",
            "Outputs of the specular network's first layer: a lobe's numbers together (lobe), or all "
            "amplitudes, then all sharpnesses (kind).",
        )
        encoding_order: Literal["axis", "octave"] = option(
            "axis",
            "The direction's sines and cosines in that network: x, 2x, y, 2y, … (axis), or x, y, z, 2x, … "
            "(octave).",
        )
        neighbour_order: Literal["edge", "index"] = option(
            "edge",
            "Whose blend weights 1 to 3 are: the triangles across v0v1, v1v2, v2v0 (edge), or the same by "
            "rising number (index).",
        )

    options: Options

    def write(
        self, avatar: AvatarView, path: Path, *, timestep: int | None = None, parameters: Pose | None = None
    ) -> list[Path]:
        """Write the avatar; ``path`` is the ``.ply`` file or a folder for it. Gives the files."""
        refuse(self.name, timestep, parameters)
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
        with beside(cloud.with_suffix(".safetensors")) as temporary:
            save_file(tensors, temporary)
        description = {
            "surfhead": VERSION,
            "rig": _component(avatar.rig),
            "deformer": _component(avatar.deformer),
            "appearance": _component(avatar.appearance),
            "background": [float(value) for value in avatar.background],
            "images": avatar.images,
        }
        write_text(cloud.with_suffix(".json"), json.dumps(description, indent=1))
        files = [cloud, cloud.with_suffix(".json"), cloud.with_suffix(".safetensors")]
        if avatar.rig.name == "flame":
            write_tracked(cloud.with_name(TRACKED), avatar.motion, avatar.identity)
            files.append(cloud.with_name(TRACKED))
        return files

    def read(self, path: Path) -> StoredAvatar:
        """Read an avatar from a ``.ply`` or a folder. Raises DataError naming the file."""
        cloud = _newest(path) if path.is_dir() else path
        described = cloud.with_suffix(".json").is_file()
        arrays, _ = read_points(cloud, described)
        triangle = arrays.pop("triangle")
        if described:
            return _own(cloud, arrays, triangle)
        return _foreign(cloud, arrays, triangle, self.options)


def _component(component: Any) -> dict[str, Any]:
    options = dataclasses.asdict(component.options)
    return {"name": component.name, "options": {k: v for k, v in options.items() if v is not None}}


def _newest(folder: Path) -> Path:
    """The cloud in a folder: directly, or of the highest iteration of a training run."""
    runs = sorted((folder / "point_cloud").glob("iteration_*"), key=iteration_of)
    for place in (folder, *reversed(runs)):
        if (place / CLOUD).is_file():
            return place / CLOUD
    raise DataError(
        f'Folder "{folder}" holds no avatar.',
        f"Expected {CLOUD}, or point_cloud/iteration_N/{CLOUD}.",
        "Give the folder of a SurFhead or GaussianAvatars run, or of `surfhead export`.",
    )


_wrong = partial(
    DataError.of,
    "Avatar file",
    expected="what `surfhead export --format surfhead` wrote beside the point cloud",
    remedy="Export the avatar again.",
)


def _own(cloud: Path, arrays: dict[str, Any], triangle: Any) -> StoredAvatar:
    path = cloud.with_suffix(".json")
    try:
        content = bounds.read_json(path, 1 << 24)
        if content["surfhead"] != VERSION:
            raise ValueError(f"version {content['surfhead']} is not {VERSION}")
        red, green, blue = (float(value) for value in content["background"])
        components = {kind: dict(content[kind]) for kind in ("rig", "deformer", "appearance")}
        for table in components.values():
            if not isinstance(table["name"], str) or not isinstance(table["options"], dict):
                raise ValueError("a component has no name or no options")
        images = int(content["images"])
        path = cloud.with_suffix(".safetensors")
        tensors = load_file(bounds.regular(path))
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        RecursionError,
        SafetensorError,
    ) as error:
        raise _wrong(path, f"cannot be read: {type(error).__name__}: {error}") from error
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    for name, value in tensors.items():
        group, _, rest = name.partition("/")
        if group not in groups:
            raise _wrong(path, f'cannot be read: it holds "{name}"')
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
        dataset=READERS[rig["name"] != "none"],
    )


def _foreign(
    cloud: Path, arrays: dict[str, Any], triangle: Any, options: SurfheadAvatar.Options
) -> StoredAvatar:
    arrays, triangle, notes = mended(cloud, arrays, triangle)
    bound = bool(len(triangle)) and bool((triangle >= 0).all())
    said = read_arguments(cloud, notes)
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
        deformer = _deformer(arrays, said)
        if bound and said.get("rotSH") is False:
            notes.append("Its harmonics were learnt in world directions; here they turn with the head.")
    tracked = cloud.with_name(TRACKED)
    motion: dict[str, Tensor] = {}
    identity: dict[str, Tensor] = {}
    if bound and tracked.is_file():
        motion, identity = read_motion(tracked), read_identity(tracked)
    elif bound:
        notes.append(f"There is no {TRACKED} beside it; take motion and identity from the data set.")
    appearance, network = _appearance(cloud, arrays, said, options, bound, notes)
    components: dict[str, dict[str, Any]] = {
        "deformer": {"name": deformer if bound else "static", "options": {}},
        "appearance": appearance,
    }
    if components["deformer"]["name"] == "jbs":
        components["deformer"]["options"] = {"rotation_blend": "paper"}
    return StoredAvatar(
        arrays,
        triangle,
        "flame" if bound else "none",
        motion=motion,
        identity=identity,
        network=network,
        components=components,
        background=(0.0, 0.0, 0.0) if said.get("white_background") is False else (1.0, 1.0, 1.0),
        images=max(iteration_of(cloud.parent), TRAINED),
        neighbour_order=options.neighbour_order,
        dataset=READERS[bound],
        notes=tuple(notes),
    )


def _deformer(arrays: dict[str, Any], said: dict[str, Any]) -> str:
    """How SurFhead carried these surfels: by its training options where they are known, else by the file."""
    if "blend" in arrays and said.get("train_kinematic") is not False:
        return "jbs"
    arrays.pop("blend", None)
    return "similarity" if said.get("DTF") is False else "jacobian"


def _appearance(
    cloud: Path,
    arrays: dict[str, Any],
    said: dict[str, Any],
    options: SurfheadAvatar.Options,
    bound: bool,
    notes: list[str],
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The appearance model, with everything switched on, and its network."""
    name: str = ""
    network: dict[str, Tensor] = {}
    if "specular" in arrays and said.get("SGs") is not False:
        path = find_network(cloud, notes)
        if path is not None:
            name, network = read_network(path, options.lobe_order, options.encoding_order, notes)
    if not name:
        arrays.pop("specular", None)
        return {"name": "sh", "options": {"interval": 0}}, {}
    everywhere = not bound or said.get("spec_only_eyeball") is False
    chosen = {"start": 0, "interval": 0, "lobe_grid": "published"}
    return {"name": name, "options": {**chosen, "region": "all" if everywhere else "eyeballs"}}, network
