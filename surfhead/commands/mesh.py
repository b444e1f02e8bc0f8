"""`surfhead mesh`: the triangle mesh of a trained avatar, in one pose or in motion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surfhead import __version__
from surfhead.commands.command import choice
from surfhead.commands.numbers import check_numbers
from surfhead.commands.outputs import with_suffix
from surfhead.commands.parameters import Data, Debug, Device, Plugins, Quiet, RunFolder
from surfhead.core.errors import OptionError, SurfheadError
from surfhead.files.places import resolved
from surfhead.terminal.bars import waiting, watched
from surfhead.terminal.console import say
from surfhead.terminal.sizes import size_text

if TYPE_CHECKING:
    from torch import Tensor

    from surfhead.avatars.avatar import Avatar
    from surfhead.core.scene import Scene
    from surfhead.runs.run import Run

DEPTHS, COVERS = ("median", "expected"), ("full", "front")  # a test sees that these are the extraction's own
CAMERAS, COLOURS = ("both", "training", "around"), ("auto", "albedo", "shown")
Box = tuple[tuple[float, float, float], tuple[float, float, float]]


def mesh(
    run: RunFolder,
    timestep: Annotated[
        int | None, typer.Option(help="A timestep of the avatar's own motion.", show_default="0")
    ] = None,
    canonical: Annotated[
        bool, typer.Option("--canonical", help="The rest pose: all rig parameters zero.")
    ] = False,
    motion: Annotated[
        Path | None,
        typer.Option(
            help="A mesh of every timestep of a motion: a data set, a motion file (.npz), or a run.",
            show_default=False,
        ),
    ] = None,
    stride: Annotated[int, typer.Option(help="Motion: every so many timesteps.")] = 1,
    voxel_mm: Annotated[
        float | None,
        typer.Option(help="Side of a voxel, mm; by default 1, or 1/256 of the box of a scene without a rig."),
    ] = None,
    depth: Annotated[
        str, choice(names=DEPTHS, help="Expected depth lies too deep where surfels are translucent.")
    ] = "median",
    components: Annotated[int, typer.Option(help="Connected parts kept, the largest first; 0: all.")] = 1,
    smooth: Annotated[int, typer.Option(help="Steps that smooth the surface; 0: none.")] = 20,
    box: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z,X,Y,Z",
            help="Lowest and highest corner, metres; by default the posed head's and 15 mm.",
        ),
    ] = None,
    views: Annotated[int, typer.Option(help="Pictures fused.")] = 24,
    size: Annotated[int, typer.Option(help="Longer side of the pictures, pixels.")] = 384,
    cameras: Annotated[
        str,
        choice(
            names=CAMERAS,
            help="training: those of the run's data; around: spread round the head; both: half of them each.",
        ),
    ] = "both",
    cover: Annotated[
        str,
        choice(
            names=COVERS, help="Cameras round the head: all round, or in front, for what a face's data show."
        ),
    ] = "full",
    colours: Annotated[
        str,
        choice(
            names=COLOURS,
            help="albedo: the base colour without light (appearance lit); auto: that, if there is one.",
        ),
    ] = "auto",
    triangles: Annotated[
        int, typer.Option(help="At most so many, by simplifying; 0: as many as the voxels give.")
    ] = 120_000,
    watertight: Annotated[
        bool, typer.Option("--watertight", help="Close every hole, the neck too; else small ones only.")
    ] = False,
    cut: Annotated[
        bool, typer.Option("--cut/--no-cut", help="Cut the neck straight above the rig's rim.")
    ] = True,
    texture: Annotated[
        int,
        typer.Option(
            metavar="TEXELS",
            help="The rig's own mesh, its texture so wide, with a normal map (.glb); 0: the surface itself.",
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File (.ply, .obj or .glb) or, of a motion, the first part of its name; "
            "by default mesh/POSE.ply in the run."
        ),
    ] = None,
    data: Data = None,
    device: Device = "auto",
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Write the mesh of an avatar: depth pictures from many sides, fused; PLY, OBJ or GLB."""
    import time
    from dataclasses import replace

    from surfhead.files.writing import try_place
    from surfhead.meshes.surface_mesh import SUFFIXES, check_suffix
    from surfhead.meshes.texture import check_suffix as texture_suffix
    from surfhead.results.mesh_extraction import MeshSettings, cameras_for, extract_mesh, scene_voxel
    from surfhead.results.mesh_texture import check, textured
    from surfhead.runs.run import Run

    if sum((timestep is not None, canonical, motion is not None)) > 1:
        raise OptionError(
            "More than one of --timestep, --canonical and --motion is given.",
            "Expected one.",
            "Drop the others.",
        )
    if stride < 1:
        raise OptionError(f'"stride" is {stride}.', "Expected at least 1.", "Mend --stride.")
    if out is not None:
        out = with_suffix(out, (".glb",) if texture else SUFFIXES)
        (texture_suffix if texture else check_suffix)(out)
    settings = MeshSettings(
        voxel=0.001 if voxel_mm is None else voxel_mm / 1000.0,
        depth=depth,
        views=views,
        size=size,
        components=components,
        smooth=smooth,
        box=None if box is None else _box(box),
        cameras=cameras,
        cover=cover,
        colours=colours,
        triangles=triangles,
        watertight=watertight,
        cut=cut,
    )
    check_numbers(views=views, size=size)
    try_place(out or run / "mesh")
    waiting(f"Reading {run}")
    read = Run(run, data)
    avatar = read.avatar(device)
    if texture:
        check(avatar, texture)
    name, poses = _poses(avatar, timestep, canonical, motion)
    scene = None if cameras == "around" else _scene(read, required=cameras == "training")
    if voxel_mm is None and not avatar.deformer.rig_bound:
        settings = replace(settings, voxel=scene_voxel(avatar, settings))
    shown = (timestep or 0) if name.startswith("timestep") else None
    rows = range(0, len(next(iter(poses.values()), [0])), stride)
    target = out or run / "mesh" / f"{name}{'.glb' if texture else '.ply'}"
    written = target
    origin = f"surfhead {__version__}, run {resolved(run).name} at {avatar.images} images"
    origin += f", voxel {1000 * settings.voxel:g} mm, pose {name}"
    began = time.perf_counter()
    for row in watched(rows, "Meshing", len(rows)) if motion is not None else rows:
        pose = {key: values[row : row + 1] for key, values in poses.items()}
        surface = extract_mesh(avatar, pose, settings, cameras_for(avatar, pose, settings, scene, shown))
        surface = replace(
            surface, note=f"{origin}, {name} {row}" if motion is not None else f"{origin}, {name}"
        )
        made = textured(avatar, pose, surface, texture) if texture else surface
        if motion is not None:
            written = target.with_name(f"{target.stem}-{row:05d}{target.suffix}")
        made.write(written)
    seconds = time.perf_counter() - began
    if motion is None:
        numbers = f"{len(made.vertices)} vertices, {len(made.triangles)} triangles"
        size_on_disk = size_text(written.stat().st_size)
        text = f"Wrote {written}: {numbers}, {size_on_disk}, {seconds:.1f} s on {avatar.device}"
    else:
        speed = f"{len(rows) / seconds:.2f} meshes a second on {avatar.device}"
        text = f"Wrote {len(rows)} meshes, the last {written}; {speed}"
    say(text)


def _poses(
    avatar: Avatar, timestep: int | None, canonical: bool, motion: Path | None
) -> tuple[str, dict[str, Tensor]]:
    """What the files are called, and the rig parameters (T, d)."""
    from surfhead.results.mesh_extraction import canonical_pose, pose_at

    if motion is not None:
        from surfhead.results.drivers import read_driver
        from surfhead.results.reenactment import reenact

        return resolved(motion).stem, reenact(avatar, read_driver(motion))
    if canonical:
        return "canonical", canonical_pose(avatar)
    return f"timestep-{timestep or 0:05d}", pose_at(avatar, timestep or 0)


def _scene(run: Run, required: bool) -> Scene | None:
    """The run's data, or None with a warning where they cannot be opened and need not be."""
    import logging

    try:
        return run.scene
    except SurfheadError as error:
        if required:
            raise
        log = logging.getLogger("surfhead")
        log.warning("The run's data are not there, so only cameras round the head are used: %s", error.what)
        return None


def _box(text: str) -> Box:
    try:
        a, b, c, d, e, f = (float(part) for part in text.split(","))
    except ValueError as error:
        raise OptionError(
            f'"box" is {text!r}.',
            "Expected six numbers, the lowest and the highest corner in metres.",
            "For example: --box=-0.1,-0.1,-0.1,0.1,0.1,0.1",
        ) from error
    return (a, b, c), (d, e, f)
