"""An avatar on show: what every browser that looks at it shares, and how each is addressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from surfhead.avatars.avatar import Avatar
from surfhead.core.scene import Scene
from surfhead.viewing.beside import ALONE, SIDES
from surfhead.viewing.pace import Pace
from surfhead.viewing.painter import Painter
from surfhead.viewing.puppet import Track, controls_of
from surfhead.viewing.session import Session
from surfhead.viewing.settings import QUALITY, SIZE
from surfhead.viewing.shot import Shot
from surfhead.viewing.streamer import Answer, Streamer, Viewer
from surfhead.viewing.training import Training
from surfhead.viewing.training_views import TrainingViews
from surfhead.viewing.variants import has_highlight, live_options
from surfhead.viewing.viewpoint import Vector, Viewpoint, start_viewpoint


class Exhibit:
    """An avatar, its painter and streamer, and who looks at it.

    Args:
        avatar, size, quality, scene, tracks, rate, training, other: as in ``surfhead.viewing.page.Page``.
        names: what the avatar and the other one are called.
    """

    def __init__(
        self,
        avatar: Avatar,
        *,
        size: int = SIZE,
        quality: int = QUALITY,
        scene: Scene | Callable[[], Scene | None] | None = None,
        tracks: Sequence[Track] = (),
        rate: float = 25.0,
        training: Training | None = None,
        other: Avatar | None = None,
        names: tuple[str, str] = ("this", "the other"),
    ) -> None:
        self._open: Callable[[], Scene | None] | None = None
        if callable(scene) and not isinstance(scene, Scene):
            if avatar.deformer.rig_bound:
                self._open, scene = scene, None
            else:  # what is up there, only its pictures say
                scene = scene()
        self.avatar = avatar
        self.size = size
        self.quality = quality
        self.tracks = list(tracks)
        self.training = training
        self.moving_seconds = 0.1 if training is None else 0.03
        second = None if other is None else Painter(other, rate=rate)
        self.painter = Painter(avatar, None if scene is None else TrainingViews(scene), rate, second)
        self.beside = ALONE if other is None else SIDES
        self.names = names
        self.up = up_direction(avatar, scene)
        self.start, self.target = start_viewpoint(avatar, up=self.up)
        self.streamer = Streamer(self.painter.draw)
        # asked now, in the thread in which the avatar may change
        self.controls = controls_of(avatar.rig, avatar.motion) if avatar.deformer.rig_bound else {}
        self.live_options, self.highlight = live_options(avatar), has_highlight(avatar)
        self.visitors: dict[int, Viewer] = {}

    def session(self) -> Session:
        """What a new browser sees."""
        return Session(
            Shot(self.start, beside=self.beside), self.size, self.moving_seconds, self.streamer.wake
        )

    @property
    def has_data(self) -> bool:
        """Whether the avatar's data is not open yet and may be."""
        return self._open is not None

    def open_data(self) -> bool:
        """Open the avatar's data now; whether it is there."""

        def work() -> None:
            if self._open is not None:
                opened, self._open = self._open(), None
                self.painter.views = None if opened is None else TrainingViews(opened)

        self.ask(work)
        return self.painter.views is not None

    def ask(self, work: Callable[[], Answer]) -> Answer:
        """What ``work`` gives, computed in the thread that draws; see ``Streamer.ask``."""
        return self.streamer.ask(work)

    def drew(self) -> None:
        """Told that a picture is sent."""

    def run(self) -> None:
        """Draw in a thread from now on."""
        self.streamer.start()

    def refresh(self) -> None:
        """Draw anew everywhere, as the avatar itself has changed."""
        for visitor in list(self.visitors.values()):
            visitor.session.touch()

    def serve(self, pace: Pace) -> bool:
        """Draw one picture in this thread, if one is wanted and the pace allows it."""
        return self.streamer.step_within(pace)

    def now(self) -> float:
        """Seconds, on the clock by which pictures are drawn."""
        return self.streamer.clock()


class Guest(Viewer, Protocol):
    """One browser, as its panels know it.

    Attributes:
        page: what it looks at.
        handle: viser's handle of it.
        session: what it sees.
        quality: of the encoding, see ``Page``.
    """

    page: Exhibit
    handle: Any
    quality: int

    @property
    def shot(self) -> Shot:
        """What it sees."""

    @property
    def front(self) -> Viewpoint:
        """In front of the head, as far as its window needs."""

    def change(self, **changes: Any) -> Shot:
        """See something else."""

    def say(self, message: object) -> None:
        """Show a message for a while."""

    def go(self, view: Viewpoint, **changes: Any) -> None:
        """Move the camera, and change the shot with it."""

    def carry(self, view: Viewpoint) -> None:
        """Let the browser's camera follow a shot that moves by itself."""


def up_direction(avatar: Avatar, scene: Scene | None) -> Vector:
    """What is up: +y for heads, else the mean of what is up in the data's pictures."""
    if avatar.deformer.rig_bound or scene is None:
        return (0.0, 1.0, 0.0)
    mean = -scene.views.camera_from_world[:, 1, :3].mean(axis=0)
    length = float((mean**2).sum() ** 0.5)
    if length < 1e-6:
        return (0.0, 1.0, 0.0)
    x, y, z = mean / length
    return (float(x), float(y), float(z))
