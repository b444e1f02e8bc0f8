"""The avatar in a checkpoint, made again; what does not fit together is refused before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import pydantic
import torch
from torch import Tensor

from surfhead.avatars.assembly import Parts, assemble, make_parts, make_rig
from surfhead.avatars.avatar import Avatar
from surfhead.avatars.precision import single_precision
from surfhead.avatars.state import AvatarState
from surfhead.core.config import Choice, RunConfig
from surfhead.core.errors import DataError
from surfhead.runs.existing import CONFIG
from surfhead.runs.new_names import present_name
from surfhead.runs.provenance import check_components
from surfhead.training import checkpoint


@dataclass(frozen=True)
class RigRecord:
    """A checkpoint's rig: its name and the options it was made with."""

    name: str
    options: dict[str, Any]


@dataclass(frozen=True)
class ComponentRecord:
    """One component of a run: where it came from; ``file`` and ``sha256`` are of a plugin file, or empty."""

    kind: str
    name: str
    package: str
    version: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Description:
    """What a checkpoint's JSON says of its avatar.

    Attributes:
        images: training images seen.
        fingerprint: of the rig's assets.
        components: those the run was made with.
        extent: of its scene, in its unit.
    """

    images: Annotated[int, pydantic.Field(strict=True, ge=0, lt=10**checkpoint.DIGITS)]
    rig: RigRecord
    fingerprint: str
    components: list[ComponentRecord] = field(default_factory=list)
    extent: Annotated[float, pydantic.Field(ge=0.0, allow_inf_nan=False)] = 1.0


RIG_FILES = ("path", "masks", "template")  # options of rigs that name files
_DESCRIPTION = pydantic.TypeAdapter(Description)


@single_precision()
def restore_avatar(
    config: RunConfig,
    tensors: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    device: torch.device,
    path: Path,
) -> Avatar:
    """The avatar that the checkpoint at ``path`` describes, drawing as it did when it was saved.

    What the file holds is looked at as data first; what a component raises while it is made is its own.

    Raises:
        DataError: the checkpoint is damaged, or was made with another rig.
        ContractError: a component it needs is missing.
        PluginLoadError: the user has not said that a plugin file of it may run.
    """
    with checkpoint.intact(path):
        said = _DESCRIPTION.validate_python(meta)
        state = AvatarState.from_tensors(tensors, device)
    check_components(meta, path)
    deformer, appearance, rasterizer = make_parts(config, device)
    rig = make_rig(_at_hand(said.rig, config, path), "", {}, state.identity, device)
    parts = Parts(rig, deformer, appearance, rasterizer)
    same_rig(rig.name, rig.fingerprint(), said.fingerprint, path)
    specs, topology, network = parts.specs(), parts.topology, appearance.network()
    with checkpoint.intact(path):
        state.check(specs, rig, topology, {} if network is None else network.state_dict())
    avatar = assemble(parts, state)
    avatar.advance(said.images)
    return avatar


def _at_hand(rig: RigRecord, config: RunConfig, path: Path) -> Choice:
    """A checkpoint's rig with its files where the run's configuration says they are now.

    Raises:
        DataError: one is missing; says how to tell its present place.
    """
    options = dict(rig.options)
    rig = replace(rig, name=present_name("rig", rig.name))
    if config.rig.name in ("auto", rig.name):
        options |= {key: config.rig.options[key] for key in RIG_FILES if config.rig.options.get(key)}
    for key in RIG_FILES:
        place = options.get(key)
        if isinstance(place, str) and place and not Path(place).expanduser().exists():
            raise DataError(
                f'The file "{place}" of rig "{rig.name}" is missing.',
                f'Checkpoint "{path}" was trained with it.',
                f'Put it back, or write its present place as "{key}" below [rig] into '
                f'"{path.parents[1] / CONFIG}".',
            )
    return Choice(rig.name, options)


def same_rig(name: str, found: str, expected: str, path: Path) -> None:
    """Raise DataError where the checkpoint at ``path`` was made with another rig than the one found."""
    if found != expected:
        raise DataError(
            f'Rig "{name}" is not the one checkpoint "{path}" was trained on.',
            f"Expected fingerprint {expected}, found {found}.",
            "Point the rig's options at the original assets.",
        )
