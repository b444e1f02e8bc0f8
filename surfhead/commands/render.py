"""`surfhead render`: pictures and videos of a trained avatar."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surfhead.commands.console import console
from surfhead.commands.parameters import Debug, Device, Plugins, Run
from surfhead.core.errors import DataError, OptionError

if TYPE_CHECKING:
    from torch import Tensor

    from surfhead.core.avatar import Avatar
    from surfhead.core.types import Cameras

ORBIT = "orbit"
FRAMES = 60  # of an orbit around an avatar without motion


def render(
    run: Run,
    split: Annotated[
        str | None, typer.Option(help="Views of a split of the run's data instead of an orbit.")
    ] = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="rgb, normal, depth or alpha; repeatable; rgb by default.")
    ] = None,
    timestep: Annotated[
        int | None, typer.Option(help="Orbit: hold this pose; by default the avatar's motion plays.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help=f"Orbit: pictures; by default the motion's length, or {FRAMES}.")
    ] = None,
    size: Annotated[int, typer.Option(help="Orbit: pixels a side.")] = 512,
    turn: Annotated[float, typer.Option(help="Orbit: degrees swept to and fro; 360: all round.")] = 90.0,
    elevation: Annotated[float, typer.Option(help="Orbit: degrees above the horizon.")] = 5.0,
    field_of_view: Annotated[float, typer.Option("--fov", help="Orbit: field of view, degrees.")] = 25.0,
    up: Annotated[str, typer.Option(help="Orbit: what is up in the pictures.")] = "0,1,0",
    fps: Annotated[float, typer.Option(help="Pictures a second of the video.")] = 25.0,
    video: Annotated[bool, typer.Option("--video/--no-video", help="Also write an MP4 file.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="Folder; by default render/orbit or render/SPLIT in the run.")
    ] = None,
    device: Device = "auto",
    plugin: Plugins = None,
    debug: Debug = -1,
) -> None:
    """Render a run along an orbit around the head, or from the cameras of a split: PNG files and MP4."""
    from rich.progress import track

    from surfhead.core import pictures
    from surfhead.core.channels import PARTS, check_channels, depth_limits, pictures_of
    from surfhead.core.runs import load_avatar

    channels = channel or ["rgb"]
    check_channels(channels, False)
    if fps <= 0:
        raise OptionError(f'"fps" is {fps}.', "Expected more than 0.", "Mend --fps.")
    avatar = load_avatar(run, device=device)
    if split is None:
        from surfhead.core.camera_path import orbit

        poses = _motion(avatar, timestep, frames)
        cameras = orbit(
            avatar,
            len(poses),
            height=size,
            width=size,
            turn=turn,
            elevation=elevation,
            field_of_view=field_of_view,
            up=_direction(up),
        )
    else:
        cameras, poses = _views(run, split)
    target = out or run / "render" / (split or ORBIT)
    limits = None
    with ExitStack() as stack:
        films = {}
        if video:
            films = {
                name: stack.enter_context(
                    pictures.video(target / f"{name}.mp4", cameras.height, cameras.width, fps)
                )
                for name in channels
            }
        for index in track(range(len(poses)), "Rendering", console=console(), transient=True):
            parts = any(name in PARTS for name in channels)
            drawn = avatar.render(cameras[index], poses[index : index + 1], parts=parts)
            limits = limits or depth_limits(drawn.output)
            shown = pictures_of(avatar, drawn, cameras[index], channels, depth_range=limits)
            for name, colours in shown.items():
                pixels = pictures.to_bytes(colours)
                pictures.save(pixels, target / name / f"{index:05d}.png")
                if name in films:
                    films[name](pixels)
    made = "pictures and videos" if video else "pictures"
    console().print(f"{len(poses)} {made} of {', '.join(channels)} in {target}", markup=False, soft_wrap=True)


def _motion(avatar: Avatar, timestep: int | None, frames: int | None) -> Tensor:
    """The timestep each picture of an orbit shows."""
    import torch

    if timestep is not None or avatar.timesteps == 0:
        return torch.full((frames or FRAMES,), timestep or 0)
    return torch.arange(frames or avatar.timesteps) % avatar.timesteps


def _direction(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError as error:
        raise OptionError(
            f'"up" is {text!r}.', "Expected three numbers.", "For example: --up 0,0,1"
        ) from error
    return x, y, z


def _views(run: Path, split: str) -> tuple[Cameras, Tensor]:
    """Cameras and timesteps of a split of the run's data."""
    import torch

    from surfhead.core.build import open_scene
    from surfhead.core.feed import cameras_of
    from surfhead.core.runs import read_config

    scene = open_scene(read_config(run)).scene
    rows = scene.views.of(split)
    if len(rows) == 0:
        raise DataError(
            f'The data of "{run}" has no views in split "{split}".',
            "",
            "Choose another split, or leave --split out for an orbit.",
        )
    return cameras_of(scene, rows, "cpu"), torch.as_tensor(scene.views.timestep[rows])
