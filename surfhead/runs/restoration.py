"""The avatar in a checkpoint, made again; what does not fit together is refused before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surfhead.avatars.assembly import assemble, make_parts, make_rig
from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import Surfels, merge_specs
from surfhead.core.components import Rig
from surfhead.core.config import Choice, RunConfig
from surfhead.core.errors import DataError
from surfhead.core.parameters import ParameterSpec
from surfhead.core.types import Topology

ABSURD = 1e6  # no parameter of a surfel or a rig is as large


def restore_avatar(
    config: RunConfig, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], device: torch.device
) -> Avatar:
    """The avatar a checkpoint describes.

    Raises:
        ValueError, KeyError, TypeError and others: it does not fit; see ``checkpoint.intact``.
    """
    deformer, appearance, rasterizer = make_parts(config, device)
    part = parts(tensors)
    rig = make_rig(Choice(meta["rig"]["name"], meta["rig"]["options"]), "", {}, part("identity"), device)
    topology = rig.rest().topology if deformer.rig_bound else None
    specs = merge_specs(deformer.parameters(), appearance.parameters())
    triangle = tensors["triangle"].to(device)
    values = part("surfels")
    _check_surfels(specs, values, triangle, topology)
    surfels = Surfels(specs, values, triangle, topology)
    network = appearance.network()
    if network is not None:
        network.load_state_dict(part("network"))
    motion, background = part("motion"), tensors["background"].to(device)
    _check_motion(rig, motion)
    _expect("background", background, (3,))
    return assemble(surfels, rig, deformer, appearance, rasterizer, motion, background, part("identity"))


def _expect(name: str, value: Tensor, shape: tuple[int, ...], kind: torch.dtype = torch.float32) -> None:
    """Raise ValueError where a tensor has another shape or type."""
    if tuple(value.shape) != shape or value.dtype != kind:
        raise ValueError(f'"{name}" is {value.dtype} {tuple(value.shape)}, not {shape}')
    if value.is_floating_point() and value.numel() and not float(value.abs().max()) <= ABSURD:
        raise ValueError(f'"{name}" holds NaN, infinity or numbers beyond {ABSURD:g}')


def _check_surfels(
    specs: Mapping[str, ParameterSpec],
    values: Mapping[str, Tensor],
    triangle: Tensor,
    topology: Topology | None,
) -> None:
    count = len(triangle)
    _expect("triangle", triangle, (count,), torch.int64)
    if values.keys() != specs.keys():
        odd = min(values.keys() ^ specs.keys())
        raise ValueError(f'surfel parameter "{odd}" is {"missing" if odd in specs else "unknown"}')
    for name, spec in specs.items():
        _expect(name, values[name], (count, *spec.shape))
    last = -1 if topology is None else len(topology.triangles) - 1
    if count and not (-1 if topology is None else 0) <= int(triangle.min()) <= int(triangle.max()) <= last:
        raise ValueError(f"a surfel is bound to a triangle that is not one of 0 to {last}")


def _check_motion(rig: Rig, motion: Mapping[str, Tensor]) -> None:
    known = rig.parameters()
    length = max((len(rows) for rows in motion.values()), default=0)
    for name, rows in motion.items():
        if name not in known:
            raise ValueError(f'rig "{rig.name}" has no parameter "{name}"')
        _expect(name, rows, (length, known[name].size))


def parts(tensors: Mapping[str, Tensor]) -> Any:
    """A function that gives the tensors below a prefix, such as ``motion``, without it."""

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix + "/"): v for k, v in tensors.items() if k.startswith(prefix + "/")}

    return part


def same_rig(avatar: Avatar, meta: Mapping[str, Any], path: Path) -> None:
    """Raise DataError where the checkpoint at ``path`` was made with another rig than the avatar's."""
    if avatar.rig.fingerprint() != meta["fingerprint"]:
        raise DataError(
            f'Rig "{avatar.rig.name}" is not the one checkpoint "{path}" was trained on.',
            f"Expected fingerprint {meta['fingerprint']}, found {avatar.rig.fingerprint()}.",
            "Point the rig's options at the original assets.",
        )
