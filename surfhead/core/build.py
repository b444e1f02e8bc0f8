"""Composes a run: from a configuration and an opened data set to an avatar and its loss terms."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfhead.core.avatar import Avatar
from surfhead.core.components import Dataset, Rig
from surfhead.core.config import Choice, RunConfig
from surfhead.core.errors import ContractError, DataError, OptionError, UnavailableError
from surfhead.core.feed import background_of
from surfhead.core.options import build_options
from surfhead.core.registry import registry
from surfhead.core.scene import Scene
from surfhead.core.surfels import Surfels, merge_specs
from surfhead.core.weighted_term import WeightedTerm

SH_DC = 0.28209479177387814  # the constant real spherical harmonic, 1 / (2 sqrt(pi))


@dataclass(frozen=True)
class Opened:
    """An opened data set and the reader that opened it."""

    scene: Scene
    dataset: Dataset


def choose_device(name: str) -> torch.device:
    """``auto`` is the GPU when there is one. Raises UnavailableError when the named one is absent."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise OptionError(
            f'Device "{name}" is not a device.', "Expected auto, cpu, cuda or cuda:N.", "Mend --device."
        ) from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise UnavailableError(
                f'Device "{name}" is not here.',
                f"PyTorch {torch.__version__} sees {count} CUDA devices.",
                "Use --device cpu, or see `surfhead doctor`.",
            )
    return device


def data_choice(data: str | None) -> Choice:
    """The data set plugin for a path, recognised by its content; None is the built-in head."""
    if data is None:
        return Choice("synthetic")
    path = Path(data).expanduser()
    if not path.exists():
        raise DataError(
            f'Data set "{data}" does not exist.',
            "Expected a folder, or no DATA at all for the built-in head.",
            "Check the path.",
        )
    found = registry()
    for name in found.names("dataset"):
        cls: Any = found.get("dataset", name)
        if cls.recognises(path):
            return Choice(name)
    raise DataError(
        f'No data set reader recognises "{data}".',
        f"Readers: {', '.join(found.names('dataset'))}.",
        "Name one with --set data.name=NAME, or see `surfhead show dataset NAME` for its layout.",
    )


def usual_preset(data: str | None, name: str | None = None) -> str:
    """The preset that a data set's reader names for it; empty where it names none.

    Args:
        data: path of the data set; None is the built-in head.
        name: the reader, where it was chosen; else the one that recognises the data.

    Raises:
        DataError: no reader recognises the data. UnknownNameError: there is no reader of this name.
    """
    if name is None:
        name = data_choice(None if data is None else str(Path(data).expanduser().resolve())).name
    chosen: Any = registry().get("dataset", name)
    return str(chosen.preset)


def open_scene(config: RunConfig) -> Opened:
    """Open the run's data set."""
    options = dict(config.data.options)
    cls: Any = registry().get("dataset", config.data.name)
    fields = cls.Options.__dataclass_fields__
    if config.background is not None and "background" in fields:
        options.setdefault("background", config.background)
    if config.cache != "auto" and "cache" in fields:
        options.setdefault("cache", "ram" if config.cache == "gpu" else config.cache)
    dataset: Dataset = registry().create("dataset", config.data.name, options)
    return Opened(dataset.open(Path(config.path).expanduser() if config.path else None), dataset)


def make_rig(
    choice: Choice,
    scene_rig: str,
    scene_options: Mapping[str, Any],
    identity: Mapping[str, Tensor],
    device: Any,
) -> Rig:
    """The rig the data was tracked with (or the configured one), prepared for its identity."""
    name = scene_rig if choice.name == "auto" else choice.name
    options = {**(scene_options if name == scene_rig else {}), **choice.options}
    rig: Rig = registry().create("rig", name, options)
    rig.prepare({k: v.to(device) for k, v in identity.items()}, device)
    return rig


def initial_triangles(rig: Rig, per_triangle: int) -> Tensor:
    """(N,) host triangles of the first surfels."""
    count = len(rig.rest().topology.triangles)
    return torch.arange(count).repeat_interleave(per_triangle)


def make_avatar(config: RunConfig, scene: Scene, device: torch.device) -> Avatar:
    """A new avatar with the declared starting values."""
    found = registry()
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    deformer = found.create("deformer", config.deformer.name, config.deformer.options)
    appearance = found.create("appearance", config.appearance.name, config.appearance.options)
    rasterizer = found.create("rasterizer", config.rasterizer.name, config.rasterizer.options, device.type)
    if not type(rasterizer).supports(device.type):
        raise UnavailableError(
            f'Rasterizer "{rasterizer.name}" cannot draw on {device.type}.',
            f"For {device.type}: {', '.join(found.usable('rasterizer', device.type))}.",
            "Choose one of these, or --device.",
        )
    rig = make_rig(config.rig, scene.rig, scene.rig_options, scene.identity, device)
    specs = merge_specs(deformer.parameters(), appearance.parameters())
    if deformer.rig_bound:
        if scene.rig == "none" and config.rig.name in ("auto", "none"):
            raise OptionError(
                f'Deformer "{deformer.name}" needs a rig, and this data set has none.',
                "Without a rig: static.",
                "Add --deformer static, or give data tracked with a head model.",
            )
        triangle = initial_triangles(rig, config.surfels_per_triangle)
        surfels = Surfels.create(specs, triangle, rig.rest().topology, generator, device)
        if config.surfels_per_triangle > 1:
            # spread them over the triangle's plane, so that they do not stay equal for ever
            with torch.no_grad():
                noise = 0.3 * torch.randn(len(triangle), 2, generator=generator)
                surfels.parameters["offset"][:, :2] += noise.to(device)
    else:
        surfels = _from_points(specs, scene, generator, device)
    network = appearance.network()
    if network is not None:
        network.to(device)
    appearance.prepare(rig.rest() if deformer.rig_bound else None)
    motion = {k: v.to(device, torch.float32) for k, v in scene.rig_parameters.items()}
    return Avatar(
        surfels,
        rig,
        deformer,
        appearance,
        rasterizer,
        motion if deformer.rig_bound else {},
        background_of(scene).to(device),
        scene.identity,
    )


def colour_from_data(avatar: Avatar, scene: Scene, views: np.ndarray) -> None:
    """Start every surfel in the mean colour of the training pixels that show its triangle."""
    from surfhead.core.baseline import TriangleBaseline

    if not avatar.deformer.rig_bound or "sh_dc" not in avatar.surfels.parameters:
        return
    colours = TriangleBaseline(scene, avatar.rig, views).colours.to(avatar.device)
    with torch.no_grad():
        start = (colours[avatar.surfels.triangle] - 0.5) / SH_DC
        avatar.surfels.parameters["sh_dc"].copy_(start)


def _from_points(specs: Any, scene: Scene, generator: torch.Generator, device: torch.device) -> Surfels:
    """Surfels at the data set's points, sized by the distance to their three nearest neighbours (3DGS)."""
    from scipy.spatial import cKDTree

    if scene.points is None or len(scene.points) == 0:
        raise DataError(
            "This data set has no initial points.",
            "Expected points for a scene without a rig.",
            "Choose a rig-bound deformer, such as --deformer jbs.",
        )
    points = np.asarray(scene.points, dtype=np.float64)
    count = len(points)
    surfels = Surfels.create(specs, torch.full((count,), -1), None, generator, device)
    neighbours = min(4, count)
    distance = np.atleast_2d(cKDTree(points).query(points, k=neighbours)[0]).reshape(count, -1)[:, 1:]
    mean = np.sqrt(np.maximum((distance**2).mean(axis=1), 1e-14)) if neighbours > 1 else np.full(count, 0.01)
    raw = surfels.parameters
    with torch.no_grad():
        raw["offset"].copy_(torch.from_numpy(points))
        raw["log_scale"].copy_(torch.from_numpy(np.log(mean))[:, None].expand(-1, 2))
        raw["quaternion"].copy_(torch.randn(count, 4, generator=generator))
        if scene.point_colours is not None and "sh_dc" in raw:
            colours = torch.from_numpy(np.asarray(scene.point_colours)).double() / 255.0
            raw["sh_dc"].copy_((colours - 0.5) / SH_DC)
    return surfels


def make_terms(config: RunConfig) -> list[WeightedTerm]:
    """The configured regularizers with weights and starts in images."""
    terms = []
    for name, row in config.regularizers.items():
        cls: Any = registry().get("regularizer", name)
        weight = cls.weight if row.weight is None else row.weight
        start = round(cls.start * config.iterations) if row.start is None else row.start
        if weight < 0:
            raise OptionError(
                f'The weight of regularizer "{name}" is {weight}.', "Expected >= 0.", "Mend --regularizer."
            )
        component = registry().create("regularizer", name, row.options)
        terms.append(WeightedTerm(name, component, weight, start, row.ramp, row.optional))
    return terms


def component_versions(config: RunConfig, avatar: Avatar) -> dict[str, Any]:
    """Each component's name, package, version and, for plugin files, path and hash."""
    found = registry()
    chosen = {
        "deformer": [avatar.deformer.name],
        "appearance": [avatar.appearance.name],
        "rig": [avatar.rig.name],
        "dataset": [config.data.name],
        "densifier": [config.densifier.name],
        "rasterizer": [config.rasterizer.name] if config.rasterizer.name != "auto" else [],
        "observer": list(config.observers),
        "regularizer": list(config.regularizers),
    }
    rows = []
    for kind, names in chosen.items():
        for name in names:
            source = found.registration(kind, name).source
            rows.append(
                {
                    "kind": kind,
                    "name": name,
                    "package": source.package,
                    "version": source.version,
                    "file": source.file if source.origin == "file" else "",
                    "sha256": source.sha256,
                }
            )
    return {"components": rows}


def check_choices(config: RunConfig) -> None:
    """Raise the error of a wrong name or option now, before anything is made on disk."""
    found = registry()
    for kind in ("deformer", "appearance", "densifier", "rasterizer", "rig"):
        choice: Choice = getattr(config, kind)
        if choice.name != "auto":
            cls = found.get(kind, choice.name)
            build_options(cls, choice.options)
    found.registration("dataset", config.data.name)
    make_terms(config)
    for name, options in config.observers.items():
        build_options(found.get("observer", name), options)


def check_plugin_files(meta: Mapping[str, Any]) -> None:
    """See that the plugin files a checkpoint names are as they were, before they are executed.

    Raises:
        ContractError: a file is missing or changed since.
    """
    for row in meta.get("components", []):
        kind, name = row["kind"], row["name"]
        if row["sha256"]:
            path = Path(row["file"])
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != row["sha256"]:
                raise ContractError(
                    f'Plugin file "{path}" is missing or changed since the run used it ({kind} "{name}").',
                    f"Expected the file with SHA-256 {row['sha256'][:16]}….",
                    "Restore that version of the file; code that changed is not loaded silently.",
                )


def check_components(meta: Mapping[str, Any]) -> None:
    """Load the plugin files a checkpoint names and see that every component it needs is here.

    Raises:
        ContractError: a plugin file changed since, or a component is missing; says what to install.
    """
    check_plugin_files(meta)
    found = registry()
    for row in meta.get("components", []):
        kind, name = row["kind"], row["name"]
        if row["sha256"]:
            found.load_file(Path(row["file"]))
        if name not in found.names(kind):
            package = row["package"] or "the plugin that provides it"
            version = f"=={row['version']}" if row["version"] else ""
            raise ContractError(
                f'This run needs {kind} "{name}", which is not installed.',
                f"It came from {package} {row['version']}.",
                f"Install it: pip install {package}{version}",
            )
