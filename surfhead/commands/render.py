"""`surfhead render`: pictures and videos of a trained avatar."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surfhead.commands.command import SPLITS, choice
from surfhead.commands.numbers import check_numbers
from surfhead.commands.outputs import check_folder
from surfhead.commands.parameters import Data, Debug, Device, Plugins, Quiet, RunFolder
from surfhead.core.errors import OptionError
from surfhead.terminal.bars import waiting, watched
from surfhead.terminal.console import say

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS = (
    "rgb",
    "normal",
    "depth",
    "alpha",
    "diffuse",
    "specular",
    "albedo",
    "shading",
    "error",
    "binding",
    "blend",
    "observed",
    "stretch",
)  # a test sees that these are all
ORBIT, SPIRAL = "orbit", "spiral"


def render(
    run: RunFolder,
    path: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="orbit, spiral, or a JSON file of key frames, such as the viewer saves; by default an "
            "orbit, of an avatar of one camera within what that saw.",
        ),
    ] = None,
    split: Annotated[
        str | None, choice(names=SPLITS, help="The views of a split of the run's data instead of a path.")
    ] = None,
    channel: Annotated[
        list[str] | None,
        choice(
            names=CHANNELS, help="What is drawn, rgb by default; error: of a split's views only. Repeat it."
        ),
    ] = None,
    arrays: Annotated[
        bool, typer.Option("--arrays", help="Also normals and depth as float arrays, an .npz a picture.")
    ] = False,
    size: Annotated[
        int | None, typer.Option(help="Pixels: of both sides of a path's, of the shorter one of a split's.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Pixels from left to right.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels from top to bottom.")] = None,
    colours: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="MAP",
            help="Colours of depth, alpha, error, blend, observed, stretch: grey, heat, blue-red, viridis, "
            "cividis, plasma or turbo; else each channel's own.",
        ),
    ] = None,
    span: Annotated[
        str | None,
        typer.Option("--range", metavar="LOW,HIGH", help="Values at the map's ends, for all of them."),
    ] = None,
    percentile: Annotated[
        float | None,
        typer.Option(help="Or leave out this many per cent of the first picture's values at each end."),
    ] = None,
    bar: Annotated[
        bool, typer.Option("--bar", help="Draw a bar with map and range into these channels' pictures.")
    ] = False,
    background: Annotated[
        str | None, typer.Option(metavar="COLOUR", help="Such as black or #336699; else the data's own.")
    ] = None,
    light: Annotated[
        str | None,
        typer.Option(
            metavar="LIGHT",
            help="Light the avatar anew (appearance lit): studio, window, noon, sunset, stage, even, an "
            "environment FILE.hdr or FILE.exr, or key frames FILE.json of a turning light.",
        ),
    ] = None,
    light_turn: Annotated[
        float | None, typer.Option(help="Degrees by which --light is turned about the head.")
    ] = None,
    light_strength: Annotated[
        float | None, typer.Option(help="Factor on --light, whose mean is 1 (that of the learnt light).")
    ] = None,
    timestep: Annotated[
        int | None, typer.Option(help="Path: hold this pose; by default the avatar's motion plays.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help="Path: pictures; by default the motion's or the key frames' length.")
    ] = None,
    turn: Annotated[
        float | None,
        typer.Option(help="Degrees; orbit: swept to and fro (90), from 360 on all round; spiral: 720."),
    ] = None,
    elevation: Annotated[
        float | None,
        typer.Option(help="Degrees; orbit: above the horizon (5); spiral: from below to above (30)."),
    ] = None,
    field_of_view: Annotated[
        float | None, typer.Option("--fov", help="Orbit and spiral: degrees of the shorter side (25).")
    ] = None,
    up: Annotated[
        str | None, typer.Option(metavar="X,Y,Z", help="Orbit and spiral: what is up in the pictures.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Pictures a second of the video: 25, or what the key frames say.")
    ] = None,
    png: Annotated[bool, typer.Option("--png/--no-png", help="Every picture as a PNG file.")] = True,
    video: Annotated[bool, typer.Option("--video/--no-video", help="An MP4 file of each channel.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="Folder; by default render/PATH or render/SPLIT in the run.")
    ] = None,
    data: Data = None,
    device: Device = "auto",
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Render a run along a path round the head, or from the cameras of a split: PNG files and MP4."""
    from dataclasses import replace

    import numpy as np

    from surfhead.core.surface import unlit
    from surfhead.drawing import pictures
    from surfhead.drawing.channels import check_channels
    from surfhead.drawing.light_file import MovingLight
    from surfhead.drawing.scalars import Scale
    from surfhead.files.writing import beside, try_place
    from surfhead.results.shots import SIZE, along_path, geometry_of, in_bytes, of_split
    from surfhead.runs.run import Run

    channels = list(dict.fromkeys(channel or ["rgb"]))
    check_channels(channels, split is not None)
    scale = Scale(colours, _pair(span), percentile, hold=True, bar=bar)
    if fps is not None and fps <= 0:
        raise OptionError(f'"fps" is {fps}.', "Expected more than 0.", "Mend --fps.")
    if not (png or video or arrays):
        raise OptionError(
            "Neither pictures nor videos nor arrays are asked for.",
            "Expected at least one of them.",
            "Leave out --no-png or --no-video, or add --arrays.",
        )
    colour = None if background is None else _colour(background)
    check_numbers(
        frames=frames, size=size, width=width, height=height, fps=fps, turn=turn, elevation=elevation
    )
    check_folder(out)
    try_place(out or run / "render")
    lamp = None
    if light is not None:
        strength = 1.0 if light_strength is None else light_strength
        if not 0.0 <= strength < float("inf"):
            raise OptionError(
                f'"light-strength" is {strength}.', "Expected at least 0.", "Mend --light-strength."
            )
        lamp = MovingLight.read(light, light_turn or 0.0, strength)
    elif light_turn is not None or light_strength is not None:
        raise OptionError(
            "The light is to be turned or scaled, but no light is given.", "", "Add --light NAME or FILE."
        )
    waiting(f"Reading {run}")
    avatar = Run(run).avatar(device)
    if lamp is not None and not avatar.appearance.relightable:
        raise unlit(avatar.appearance.name)
    if (
        lamp is not None
        and lamp.moving
        and frames is None
        and split is None
        and path in (None, ORBIT, SPIRAL)
    ):
        frames = lamp.pictures
    settings = {
        "frames": frames,
        "timestep": timestep,
        "turn": turn,
        "elevation": elevation,
        "field_of_view": field_of_view,
        "up": None if up is None else _direction(up),
    }
    if split is not None:
        _refuse({"path": path, **settings})
        shots = of_split(run, split, height=height, width=width, side=size, data=data)
        name = split
    else:
        side = SIZE if size is None else size
        unasked = all(value is None for value in (path, turn, elevation, up))
        sight = Run(run).sight if unasked else None
        shots = along_path(
            avatar,
            path or ORBIT,
            height=side if height is None else height,
            width=side if width is None else width,
            sight=sight,
            **settings,  # type: ignore[arg-type]
        )
        name = Path(path or ORBIT).stem
    if colour is not None:
        shots = replace(shots, background=colour)
    if lamp is not None:
        shots = replace(shots, light=lamp, rate=lamp.fps if lamp.moving else shots.rate)
    target = out or run / "render" / name
    rate = fps or shots.rate
    cameras = shots.cameras
    with ExitStack() as stack:
        films = {}
        if video:
            films = {
                name: stack.enter_context(
                    pictures.video(target / f"{name}.mp4", cameras.height, cameras.width, rate)
                )
                for name in channels
            }
        taken = watched(in_bytes(avatar, shots, channels, scale), "Rendering", len(shots))
        for index, (rendering, shown) in enumerate(taken):
            for name, pixels in shown.items():
                if png:
                    pictures.save(pixels, target / name / f"{index:05d}.png")
                if video:
                    films[name](pixels)
            if arrays:
                values = geometry_of(rendering, cameras[index])
                with beside(target / "arrays" / f"{index:05d}.npz") as temporary:
                    np.savez_compressed(temporary, **values)  # type: ignore[arg-type]
    made = [text for text, wanted in (("pictures", png), ("videos", video)) if wanted]
    said = f"{' and '.join(made)} of {', '.join(channels)}" if made else ""
    said += (" and arrays" if made else "arrays") if arrays else ""
    if split is None and sight is not None:
        low, high = sight.side
        say(
            f"The camera stays within what the one of the data saw, {low:.0f} to {high:.0f} degrees to the "
            "head's left; --path orbit swings by 90, --turn 360 goes all round."
        )
    for legend in scale.legends.values():
        say(f"Colours: {legend.words}")
    say(f"{len(shots)} {said} in {target}")


def _refuse(settings: dict[str, object]) -> None:
    """Raise OptionError for a setting of paths beside --split."""
    for name, value in settings.items():
        if value is not None:
            flag = "fov" if name == "field_of_view" else name
            raise OptionError(
                f'"{flag}" is {value}, but a split has views of its own.',
                "",
                f"Leave out --{flag}, or --split.",
            )


def _colour(text: str) -> Tensor:
    """(3,) RGB in [0, 1] of a colour's name or code."""
    import torch
    from PIL import ImageColor

    try:
        return torch.tensor(ImageColor.getrgb(text)[:3]).float() / 255.0
    except ValueError as error:
        raise OptionError(
            f'"background" is {text!r}.',
            "Expected a colour such as white, #336699 or rgb(10,20,30).",
            "Mend --background.",
        ) from error


def _pair(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise OptionError(
            f'"range" is {text!r}.', "Expected two numbers.", "For example: --range 0.4,0.9"
        ) from error
    return low, high


def _direction(text: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError as error:
        raise OptionError(
            f'"up" is {text!r}.', "Expected three numbers.", "For example: --up 0,0,1"
        ) from error
    return x, y, z
