"""`surfhead reenact`: drive a trained avatar with another motion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surfhead.commands.command import POSES, TRANSFERS, choice
from surfhead.commands.numbers import check_numbers
from surfhead.commands.parameters import Data, Debug, Device, Plugins, Quiet, RunFolder
from surfhead.core.errors import OptionError, unknown_name
from surfhead.terminal.bars import waiting, watched
from surfhead.terminal.console import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from torch import Tensor

    from surfhead.avatars.avatar import Avatar
    from surfhead.core.scene import Scene
    from surfhead.core.types import Cameras
    from surfhead.results.drivers import Driver
    from surfhead.runs.run import Run

SAMPLES = 16  # timesteps by which the orbit finds where the head is


def reenact(
    run: RunFolder,
    driver: Annotated[
        Path,
        typer.Option(help="Whose motion: a data set, a motion file (.npz), or a run.", show_default=False),
    ],
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
        int, typer.Option(help="Also a contact sheet of this many moments, the driver above the avatar.")
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
    from surfhead.drawing.channels import paint
    from surfhead.files.writing import try_place
    from surfhead.results.drivers import read_driver
    from surfhead.results.reenactment import reenact as follow
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
    try_place(out or run / "reenact")
    motion = read_driver(driver)
    waiting(f"Reading {run}")
    read = Run(run, data)
    avatar = read.avatar(device)
    poses = follow(avatar, motion, transfer=transfer, pose=pose, smooth=smooth, neutral=neutral)
    count = len(next(iter(poses.values())))
    if camera is None:
        cameras = _orbit(avatar, poses, count, size=size, turn=turn, elevation=elevation, fov=field_of_view)
    else:
        cameras = _training_camera(read, camera)[[0] * count]
    target = out or run / "reenact" / driver.resolve().stem
    moments = [index * count // sheet for index in range(sheet)] if sheet < count else list(range(count))
    kept: dict[int, np.ndarray] = {}
    path = target / "video.mp4"
    video = pictures.video(path, cameras.height, cameras.width, fps or motion.rate) if film else nullcontext()
    with video as append:
        for index in watched(range(count), "Rendering", count):
            drawn = paint(avatar, cameras[index], _at(poses, index), ["rgb"])
            pixels = pictures.to_bytes(drawn["rgb"])
            if append is not None:
                append(pixels)
            if png:
                pictures.save(pixels, target / "pictures" / f"{index:05d}.png")
            if index in moments:
                kept[index] = pixels
    if sheet:
        from surfhead.drawing.contact_sheet import contact_sheet

        front = avatar.rig.rest().topology.front
        rows = {"driver": _driver_pictures(motion, driver, device, moments, camera, size, front)}
        rows["avatar"] = [kept[index] for index in moments]
        columns = [f"frame {index}" for index in moments]
        shown = contact_sheet(columns, {name: cells for name, cells in rows.items() if cells})
        pictures.save(shown, target / "sheet.png")
    say(f"{count} frames in {path if film else target}")


def _at(poses: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
    return {name: rows[index : index + 1] for name, rows in poses.items()}


def _orbit(
    avatar: Avatar,
    poses: Mapping[str, Tensor],
    count: int,
    *,
    size: int,
    turn: float,
    elevation: float,
    fov: float,
) -> Cameras:
    """Cameras on an arc around where the motion takes the head on average."""
    from dataclasses import replace

    import torch

    from surfhead.drawing.camera_path import orbit

    cameras = orbit(avatar, count, height=size, width=size, turn=turn, elevation=elevation, field_of_view=fov)
    rows = torch.arange(min(count, SAMPLES)) * count // min(count, SAMPLES)
    with torch.no_grad():
        posed = avatar.rig({name: values[rows].to(avatar.device) for name, values in poses.items()})
    away = (posed.vertices.mean(dim=(0, 1)) - posed.rest.vertices.mean(dim=0)).cpu()
    pose = cameras.camera_from_world.clone()
    pose[:, :3, 3] -= pose[:, :3, :3] @ away
    return replace(cameras, camera_from_world=pose)


def _training_camera(run: Run, number: int) -> Cameras:
    """A camera of the run's data, as in its first picture."""
    from surfhead.data.feed import cameras_of

    scene = run.scene
    known = scene.views.camera.tolist()
    if number not in known:
        raise unknown_name("camera", str(number), map(str, sorted(set(known))), "Choose one with --camera.")
    return cameras_of(scene, [known.index(number)], "cpu")


def _driver_pictures(
    motion: Driver,
    source: Path,
    device: str,
    moments: list[int],
    camera: int | None,
    size: int,
    front: tuple[float, float, float],
) -> list[np.ndarray]:
    """The driver at some moments: its data set's pictures, or its own avatar; none of a motion file."""
    from surfhead.drawing import pictures
    from surfhead.drawing.channels import paint
    from surfhead.runs.run import Run

    if motion.scene is not None:
        rows = _views_of(motion.scene, moments, camera, front)
        return [motion.scene.frame(row).image for row in rows]
    if source.is_dir():
        avatar = Run(source).avatar(device)
        own = {name: rows.float().cpu() for name, rows in motion.parameters.items()}
        cameras = _orbit(avatar, own, len(moments), size=size, turn=0.0, elevation=5.0, fov=25.0)
        drawn = [
            paint(avatar, cameras[column], _at(own, moment), ["rgb"]) for column, moment in enumerate(moments)
        ]
        return [pictures.to_bytes(channels["rgb"]) for channels in drawn]
    return []


def _views_of(
    scene: Scene, moments: list[int], camera: int | None, front: tuple[float, float, float]
) -> list[int]:
    """A view of each timestep, by one camera if one saw all: ``camera``, else the one most in front."""
    views = scene.views
    if not set(moments) <= set(views.timestep.tolist()):
        return []
    pairs = {
        pair: row for row, pair in enumerate(zip(views.camera.tolist(), views.timestep.tolist(), strict=True))
    }
    ahead = {number: float(views.camera_from_world[row, 2, :3] @ front) for (number, _), row in pairs.items()}
    order = sorted(ahead, key=lambda number: (number != camera, ahead[number]))
    whole = [number for number in order if all((number, moment) in pairs for moment in moments)]
    return [
        pairs[next(number for number in whole[:1] or order if (number, moment) in pairs), moment]
        for moment in moments
    ]
