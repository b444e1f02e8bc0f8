"""Makes a run of an avatar that came out of a file: it renders, is measured and trains on like any other."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surfhead.avatars.assembly import Parts, assemble, make_parts, make_rig
from surfhead.avatars.avatar import Avatar
from surfhead.avatars.precision import single_precision
from surfhead.avatars.scene_motion import motion_on, sized
from surfhead.avatars.state import AvatarState, absurd
from surfhead.core.config import RunConfig, as_tables
from surfhead.core.errors import DataError
from surfhead.core.exchange import StoredAvatar
from surfhead.core.options import as_table
from surfhead.core.parameters import NEIGHBOUR_WEIGHTS, with_role
from surfhead.core.registry import registry
from surfhead.core.scene import Scene
from surfhead.data.opening import data_choice, open_scene
from surfhead.files.places import resolved
from surfhead.runs.claim import claimed
from surfhead.runs.existing import CONFIG
from surfhead.runs.folder import run_folder
from surfhead.runs.layers import configured, merge, present_preset
from surfhead.runs.layers import preset as preset_tables
from surfhead.runs.provenance import component_versions
from surfhead.runs.train import make_trainer
from surfhead.training import checkpoint

log = logging.getLogger("surfhead")
PICTURE = 512  # pixels; the size drawn by default where no data says another


def import_run(
    stored: StoredAvatar,
    folder: Path,
    *,
    data: str | None = None,
    preset: str = "paper",
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write a run folder for a stored avatar.

    With its data set the run can be resumed and evaluated; without, it renders and is driven, and
    `surfhead eval --data` measures it.

    Args:
        stored: what a format read.
        folder: a new run folder.
        data: the data set it was trained on, or another of the same head.
        preset: how training goes on; the components are the file's.
        settings: nested tables over what preset and file say, such as ``{"rig": {"path": "flame2023.pkl"}}``.

    Returns:
        The checkpoint.

    Raises:
        DataError: the folder holds a run, the avatar does not fit the rig, or nothing gives it a motion.
    """
    if (folder / CONFIG).exists():
        raise DataError(f'"{folder}" already holds a run.', "", "Choose another folder.")
    config = _configuration(stored, data, preset, settings or {})
    opened = None if data is None else open_scene(config)
    avatar = make_avatar_of(stored, config, None if opened is None else opened.scene)
    if opened is not None:
        _same_identity(avatar, opened.scene)
    with claimed(folder), run_folder(folder, config):
        target = folder / "checkpoints" / f"{stored.images:08d}"
        path = checkpoint.write(target, avatar.state().tensors(), _description(config, avatar, stored.images))
        if opened is None:
            return path
        trainer = make_trainer(config, opened, folder, avatar.device, start_from=path, quiet=True)
        trainer.images = stored.images
        trainer.avatar.motion.update(sized(motion_on(avatar.motion, opened.scene), avatar.rig))
        trainer.avatar.advance(stored.images)
        saved = trainer.save()
        trainer.feed.close()
    return saved


def _configuration(
    stored: StoredAvatar, data: str | None, preset: str, settings: Mapping[str, Any]
) -> RunConfig:
    tables: dict[str, Any] = {
        kind: {"name": row["name"], **row.get("options", {})} for kind, row in stored.components.items()
    }
    tables["rig"] = {"name": stored.rig, **stored.rig_options}
    tables["iterations"] = max(stored.images, 1)
    # a reader that asks for its folder when the run is resumed or evaluated without one
    tables["data"] = {"name": stored.dataset or _any_reader()}
    if data is not None:
        tables |= {"path": str(resolved(data)), "data": {"name": data_choice(data).name}}
    name = present_preset(preset)
    return configured(merge(merge({**preset_tables(name), "preset": name}, tables), settings))


def _any_reader() -> str:
    """Some reader of files."""
    readers: dict[str, Any] = {name: registry().get("dataset", name) for name in registry().names("dataset")}
    return next(name for name, reader in readers.items() if reader.on_disk)


@single_precision()
def make_avatar_of(stored: StoredAvatar, config: RunConfig, scene: Scene | None) -> Avatar:
    """An avatar with the stored parameters; what the file lacks comes from the data set, or starts anew.

    Raises:
        DataError: a host triangle does not exist in the rig, or nothing gives it a motion.
    """
    device = torch.device("cpu")
    deformer, appearance, rasterizer = make_parts(config, device)
    identity = dict(stored.identity) or ({} if scene is None else dict(scene.identity))
    rig = make_rig(config.rig, stored.rig, stored.rig_options, identity, device)
    parts = Parts(rig, deformer, appearance, rasterizer)
    triangle = torch.from_numpy(np.asarray(stored.triangle, dtype=np.int64))
    motion = sized(stored.motion or ({} if scene is None else scene.rig_parameters), rig)
    topology = None
    if deformer.rig_bound:
        topology = rig.rest().topology
        count = len(topology.triangles)
        if len(triangle) and (int(triangle.min()) < 0 or int(triangle.max()) >= count):
            raise DataError(
                f"A surfel is bound to triangle {int(triangle.max())}.",
                f'Rig "{rig.name}" has {count} triangles.',
                "Give the rig the avatar was made with; FLAME avatars have teeth (--set rig.teeth=true).",
            )
        if not motion:
            what = "The avatar comes without a motion."
            raise DataError(what, "Expected flame_param.npz beside it.", "Add --data FOLDER.")
    specs = parts.specs()
    generator = torch.Generator().manual_seed(config.seed)
    values = {}
    for name, spec in specs.items():
        values[name] = spec.start(len(triangle), generator)
        if name in stored.parameters:
            values[name] = _fitted(torch.from_numpy(np.array(stored.parameters[name])), values[name])
    for name, value in values.items():
        if count := absurd(name, value):
            raise DataError(
                f'Parameter "{name}" of the avatar holds NaN, infinity or numbers without sense: {count} of '
                f"{value.numel()} values.",
                "Expected the values of a trained avatar.",
                "Export the avatar again.",
            )
    blend = with_role(specs, NEIGHBOUR_WEIGHTS)
    if topology is not None and stored.neighbour_order == "index" and blend is not None:
        values[blend] = by_edge(values[blend], triangle, topology.neighbours[triangle])
    for name in sorted(set(stored.parameters) - set(specs)):
        log.warning('Parameter "%s" has no place in these components and is left out.', name)
    network = appearance.network()
    if network is not None and stored.network and not adopt(network, stored.network):
        log.warning("The specular network has other sizes than %s's and starts anew.", appearance.name)
    background = torch.tensor(stored.background)
    avatar = assemble(parts, AvatarState(triangle, background, values, motion, identity))
    avatar.check()
    avatar.advance(stored.images)
    return avatar


def _fitted(given: Tensor, start: Tensor) -> Tensor:
    """Stored values in the declared shape; harmonics of another degree are cut or padded with zeros."""
    if given.numel() == start.numel():
        return given.reshape(start.shape).to(start.dtype)
    made = torch.zeros_like(start)
    kept = min(given.shape[1], start.shape[1])
    made[:, :kept] = given[:, :kept]
    return made


def by_edge(blend: Tensor, host: Tensor, neighbours: Tensor) -> Tensor:
    """(N, 4) blend logits in the order of the host's edges, of logits by rising number of the neighbour.

    Args:
        blend: (N, 4) the host's first; those of open edges last.
        host: (N,) triangles.
        neighbours: (N, 3) triangles across the host's edges; the host itself where an edge is open.
    """
    rank = neighbours.masked_fill(neighbours == host[:, None], torch.iinfo(neighbours.dtype).max)
    edge = rank.argsort(dim=1, stable=True)  # the edges in the order of the given logits
    return torch.cat((blend[:, :1], blend.new_empty(len(blend), 3).scatter(1, edge, blend[:, 1:])), dim=1)


def _same_identity(avatar: Avatar, scene: Scene) -> None:
    """Warn where the file's head is another than the data set's, which the run goes on with."""
    for name, value in avatar.identity.items():
        other = scene.identity.get(name, torch.zeros(1)).float().reshape(-1)
        own = value.float().reshape(-1)
        longest = max(len(own), len(other))
        own, other = (torch.nn.functional.pad(row, (0, longest - len(row))) for row in (own, other))
        if float((own - other).abs().max()) > 1e-5:
            log.warning('The data set has another "%s" than the file; with --data its own is used.', name)


def adopt(network: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Load a network's state by name, or, from another project, by the order of equal shapes."""
    own = network.state_dict()
    if own.keys() == state.keys() and all(own[name].shape == state[name].shape for name in own):
        network.load_state_dict(dict(state))
        return True
    if [value.shape for value in own.values()] != [value.shape for value in state.values()]:
        return False
    network.load_state_dict(dict(zip(own, state.values(), strict=True)))
    return True


def _description(config: RunConfig, avatar: Avatar, images: int) -> dict[str, Any]:
    return {
        "images": images,
        "extent": 1.0,
        "config": as_tables(config),
        "rig": {"name": avatar.rig.name, "options": as_table(avatar.rig.options)},
        "fingerprint": avatar.rig.fingerprint(),
        "resolution": [PICTURE, PICTURE],
        **component_versions(config, avatar),
    }
