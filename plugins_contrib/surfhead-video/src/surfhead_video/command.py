"""`surfhead-video`: track a clip without training: an ordinary data set folder, and the overlay film.

surfhead-video track me.mp4 OUT          # a folder in VHAP's layout, which other trainers read too
surfhead-video overlay me.mp4 me-tracked.mp4
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from surfhead.core.api import DataError, SurfheadError, create
from surfhead_video.dataset import Video, find_head
from surfhead_video.landmark_places import make_rig
from surfhead_video.lying import TURNS
from surfhead_video.overlay import FILMS, check_film, write_overlay

SETTING = "--{} {}"


def _options(given: argparse.Namespace) -> Video.Options:
    names = ("landmarker", "head", "size", "every", "mask", "focal", "turn", "cache", "refine")
    return Video.Options(**{name: getattr(given, name) for name in names if getattr(given, name) is not None})


def _track(given: argparse.Namespace, reader: Video) -> None:
    folder: Path = given.out
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f'"{folder}" is not empty.', "Expected a new or an empty folder.", "Choose another folder."
        )
    scene = reader.open(given.clip)
    folder.mkdir(parents=True, exist_ok=True)
    create("dataset", "vhap").write(scene, folder)
    _say(scene)
    print(f"{len(scene.views)} views of {scene.views.width}x{scene.views.height} in {folder}")
    print(f"Train on it: surfhead train {folder} --preset monocular")


def _overlay(given: argparse.Namespace, reader: Video) -> None:
    check_film(given.out, given.clip)
    scene = reader.open(given.clip)
    rig = make_rig(find_head(reader.options.head, reader.setting))
    worst = write_overlay(scene, rig, given.out)
    _say(scene)
    print(f"{len(scene.views)} frames in {given.out}; the worst is frame {worst}")


def _say(scene: Any) -> None:
    """What was odd, how long it took and how well the landmarks are met."""
    import numpy as np

    for note in scene.notes:
        print(f"Note: {note}")
    error = 100 * scene.tracked.error
    print(
        f"Landmarks miss the head by {np.median(error):.2f} % of the eyes' distance "
        f"(worst {error.max():.2f})."
    )
    for stage, (wall, processor) in scene.tracked.seconds.items():
        print(f"{stage}: {wall:.1f} s ({processor:.1f} s of processor time)")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; gives the exit code, 2 for declared errors."""
    parser = argparse.ArgumentParser(
        prog="surfhead-video", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    film = f"film to write: {', '.join(FILMS)}"
    for name, work, what in (("track", _track, "folder to write"), ("overlay", _overlay, film)):
        command = commands.add_parser(name)
        command.add_argument("clip", type=Path, help="video file, or folder of nothing but pictures")
        command.add_argument("out", type=Path, help=what)
        for option, kind in (("landmarker", str), ("head", str), ("mask", str), ("cache", str)):
            command.add_argument(f"--{option}", type=kind)
        command.add_argument("--size", type=int)
        command.add_argument("--every", type=int)
        command.add_argument("--focal", type=float)
        command.add_argument("--turn", type=int, choices=TURNS, help="degrees, clockwise: frames that lie")
        command.add_argument("--refine", choices=("auto", "on", "off"), help="the motion by pixels")
        command.set_defaults(work=work)
    given = parser.parse_args(arguments)
    try:
        reader = Video(_options(given))
        reader.setting = SETTING
        given.work(given, reader)
    except SurfheadError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
