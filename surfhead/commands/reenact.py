"""`surfhead reenact`: drive a trained avatar with another motion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surfhead.commands.command import POSES, TRANSFERS, choice
from surfhead.commands.numbers import check_numbers
from surfhead.commands.outputs import check_folder
from surfhead.commands.parameters import Data, Debug, Device, Plugins, Quiet, RunFolder
from surfhead.core.errors import OptionError, unknown_name
from surfhead.files.places import resolved
from surfhead.terminal.bars import waiting, watched
from surfhead.terminal.console import say

if TYPE_CHECKING:
    import numpy as np

    from surfhead.core.types import Cameras
    from surfhead.runs.run import Run


def reenact(
    run: RunFolder,
    driver: Annotated[
        Path | None,
        typer.Option(
            help="Whose motion: a data set, a motion file (.npz), or a run; by default its own.",
            show_default=False,
        ),
    ] = None,
    transfer: Annotated[
        str,
        choice(
            names=TRANSFERS,
            help="Face: the driver's values, or its change from its neutral, on the subject's mean.",
        ),
    ] = "absolute",
    pose: Annotated[
        str,
        choice(
            names=POSES,
            help="Rotation, neck and translation: the driver's, its change, or the subject's mean.",
        ),
    ] = "driver",
    neutral: Annotated[
        str, typer.Option(help="The driver's neutral: mean of its motion, or a timestep of it.")
    ] = "mean",
    smooth: Annotated[
        float, typer.Option(help="Smooth the motion: standard deviation in frames; 0: not.")
    ] = 0.0,
    camera: Annotated[
        int | None, typer.Option(help="A camera of the run's data by number, instead of an orbit.")
    ] = None,
    size: Annotated[int, typer.Option(help="Orbit: pixels a side.")] = 512,
    turn: Annotated[float, typer.Option(help="Orbit: degrees swept to and fro; 360: all round.")] = 0.0,
    elevation: Annotated[float, typer.Option(help="Orbit: degrees above the horizon.")] = 5.0,
    field_of_view: Annotated[float, typer.Option("--fov", help="Orbit: field of view, degrees.")] = 25.0,
    fps: Annotated[
        float | None, typer.Option(help="Pictures a second; by default the driver's, or 25.")
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Also write every picture as a PNG file.")] = False,
    film: Annotated[bool, typer.Option("--video/--no-video", help="Write the MP4 file.")] = True,
    sheet: Annotated[
        int,
        typer.Option(help="Also a sheet of so many moments, the driver above the avatar, by one camera."),
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder; by default reenact/DRIVER in the run.")] = None,
    data: Data = None,
    device: Device = "auto",
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Drive a run's avatar with its own or another person's motion, of any length: an MP4 file."""
    from contextlib import nullcontext

    from surfhead.drawing import pictures
    from surfhead.drawing.channels import begun
    from surfhead.files.writing import try_place
    from surfhead.results.drivers import read_driver
    from surfhead.results.reenactment import reenact as follow
    from surfhead.results.reenactment_sheet import at, orbit_along, own_motion, pictures_of_driver
    from surfhead.runs.run import Run

    if fps is not None and fps <= 0:
        raise OptionError(f'"fps" is {fps}.', "Expected more than 0.", "Mend --fps.")
    if not (film or png or sheet):
        raise OptionError(
            "There is nothing to write: --no-video.", "", "Add --png or --sheet N, or leave out --no-video."
        )
    if sheet < 0:
        raise OptionError(f'"sheet" is {sheet}.', "Expected a number of moments >= 0.", "Mend --sheet.")
    check_numbers(size=size, fps=fps, turn=turn, sheet=sheet)
    check_folder(out)
    try_place(out or run / "reenact")
    motion = None if driver is None else read_driver(driver)
    waiting(f"Reading {run}")
    read = Run(run, data)
    avatar = read.avatar(device)
    if motion is None:
        motion = own_motion(read, avatar, pictured=sheet > 0)
    poses = follow(avatar, motion, transfer=transfer, pose=pose, smooth=smooth, neutral=neutral)
    count = len(next(iter(poses.values())))
    if camera is None:
        cameras = orbit_along(
            avatar, poses, count, size=size, turn=turn, elevation=elevation, field_of_view=field_of_view
        )
    else:
        cameras = _training_camera(read, camera)[[0] * count]
    target = out or run / "reenact" / ("own" if driver is None else resolved(driver).stem)
    moments = [index * count // sheet for index in range(sheet)] if sheet < count else list(range(count))
    kept: dict[int, np.ndarray] = {}
    path = target / "video.mp4"
    video = pictures.video(path, cameras.height, cameras.width, fps or motion.rate) if film else nullcontext()
    with video as append:
        asked = (begun(avatar, cameras[index], at(poses, index), "rgb") for index in range(count))
        for index, pixels in enumerate(watched(pictures.arriving(asked), "Rendering", count)):
            if append is not None:
                append(pixels)
            if png:
                pictures.save(pixels, target / "pictures" / f"{index:05d}.png")
            if index in moments:
                kept[index] = pixels
    if sheet:
        from surfhead.drawing.contact_sheet import contact_sheet

        seen = [cameras[index] for index in moments]
        pictured = pictures_of_driver(motion, driver, avatar, poses, moments, seen, camera, device)
        rows = {"driver": pictured.driver, "avatar": pictured.avatar or [kept[index] for index in moments]}
        columns = [f"frame {index}" for index in moments]
        shown = contact_sheet(columns, {name: cells for name, cells in rows.items() if cells})
        pictures.save(shown, target / "sheet.png")
    say(f"{count} frames in {path if film else target}")


def _training_camera(run: Run, number: int) -> Cameras:
    """A camera of the run's data, as in its first picture."""
    from surfhead.data.feed import cameras_of

    scene = run.scene
    known = scene.views.camera.tolist()
    if number not in known:
        raise unknown_name("camera", str(number), map(str, sorted(set(known))), "Choose one with --camera.")
    return cameras_of(scene, [known.index(number)], "cpu")
