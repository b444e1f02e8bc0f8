"""`surfhead view`: an avatar in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surfhead.commands.command import POSES, TRANSFERS, choice
from surfhead.commands.numbers import check_numbers
from surfhead.commands.parameters import Data, Debug, Device, Plugins, Quiet, RunFolder
from surfhead.core.errors import SurfheadError
from surfhead.files.places import resolved
from surfhead.terminal.console import say

if TYPE_CHECKING:
    from surfhead.avatars.avatar import Avatar
    from surfhead.core.scene import Scene
    from surfhead.runs.run import Run
    from surfhead.viewing.puppet import Track

HOST, PORT, SIZE, QUALITY = "127.0.0.1", 8080, 2048, 80  # a test sees that these are the page's own


def view(
    run: RunFolder,
    host: Annotated[
        str, typer.Option(help="Address to listen on; every other than 127.0.0.1 lets others in.")
    ] = HOST,
    port: Annotated[int, typer.Option(help="Port; the next free one if it is taken, 0: any.")] = PORT,
    driver: Annotated[
        list[Path] | None,
        typer.Option(
            help="Another motion to offer: a data set, a motion file (.npz), or a run; repeatable.",
            show_default=False,
        ),
    ] = None,
    beside: Annotated[
        Path | None, typer.Option(help="Another run, shown beside it in the same pose.", show_default=False)
    ] = None,
    transfer: Annotated[
        str, choice(names=TRANSFERS, help="Face of a driver; see `surfhead reenact`.")
    ] = "absolute",
    pose: Annotated[str, choice(names=POSES, help="Head of a driver; see `surfhead reenact`.")] = "driver",
    size: Annotated[
        int, typer.Option(help="Longer side of a picture at rest, at most: its window's, pixels.")
    ] = SIZE,
    quality: Annotated[
        int, typer.Option(help="JPEG quality of the pictures, 1 to 99; 100 sends PNG, without loss.")
    ] = QUALITY,
    fps: Annotated[float, typer.Option(help="Timesteps a second of the avatar's own motion.")] = 25.0,
    browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in this machine's browser.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further name that browsers call this machine by; repeatable."),
    ] = None,
    data: Data = None,
    device: Device = "auto",
    plugin: Plugins = None,
    quiet: Quiet = False,
    debug: Debug = -1,
) -> None:
    """Look at a run's avatar and drive it, in a browser; Ctrl-C ends it."""
    from surfhead.core.errors import OptionError
    from surfhead.results.drivers import read_driver
    from surfhead.runs.run import Run
    from surfhead.viewing.page import Page, wait_for_interrupt
    from surfhead.viewing.settings import check_settings
    from surfhead.viewing.uploads import driven

    check_settings(port, size, quality)
    check_numbers(fps=fps)
    if fps <= 0:
        raise OptionError(f'"fps" is {fps}.', "Expected more than 0.", "Mend --fps.")
    read = Run(run, data)

    def tracks(avatar: Avatar) -> list[Track]:
        return [driven(avatar, read_driver(path), transfer=transfer, pose=pose) for path in driver or ()]

    page = Page(
        lambda: read.avatar(device),
        host=host,
        port=port,
        size=size,
        quality=quality,
        scene=lambda: _data(read),
        tracks=tracks,
        rate=fps,
        title=resolved(run).name,
        hosts=allow_host or (),
        other=None if beside is None else lambda: Run(beside).avatar(device),
        other_title="" if beside is None else resolved(beside).name,
        served=lambda url: say(f"{run} is shown at {url}; Ctrl-C ends it."),
    )
    page.run()
    if browser:
        import webbrowser

        webbrowser.open(page.url)
    try:
        wait_for_interrupt()
    finally:
        page.close()


def _data(run: Run) -> Scene | None:
    """The run's data; None, and a notice, where it is no longer there."""
    try:
        return run.scene
    except (SurfheadError, OSError) as error:
        say(f"No cameras and no true pictures: {error}")
        return None
