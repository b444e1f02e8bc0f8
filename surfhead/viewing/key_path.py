"""Between a page's shots and key frames, which `surfhead render` makes films of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from surfhead.core.errors import DataError
from surfhead.drawing.key_frames import KeyCamera, KeyFrame, KeyFrames, wrong
from surfhead.files.bounds import decoded
from surfhead.viewing.play import Play
from surfhead.viewing.puppet import Puppet, Stance, Track
from surfhead.viewing.shot import Shot
from surfhead.viewing.viewpoint import Viewpoint, picture_size

LARGEST = 16 * 1024 * 1024  # bytes
NAME = "key frames"
SIDE = 1000  # pixels: enough for the aspect


def shorter_fov(vertical: float, aspect: float) -> float:
    """Field of view of a picture's shorter side, degrees, from the vertical one in radians."""
    return math.degrees(2 * math.atan(min(aspect, 1.0) * math.tan(vertical / 2)))


def key_frame(shot: Shot, pose: Mapping[str, Tensor], time: float, aspect: float) -> KeyFrame:
    """A shot as a key frame.

    Args:
        shot: whose camera it is.
        pose: rig parameters name -> (1, d); empty without a rig.
        time: seconds.
        aspect: width over height of the page's picture.
    """
    a, b, c, d = (tuple(row) for row in shot.viewpoint.camera_from_world.tolist())
    camera = KeyCamera(camera_from_world=(a, b, c, d), fov=shorter_fov(shot.viewpoint.fov, aspect))
    values = {name: tuple(row[0].tolist()) for name, row in pose.items()}
    return KeyFrame(time=time, camera=camera, pose=values or None)


def read_key_frames(name: str, content: bytes, puppet: Puppet) -> KeyFrames:
    """The bytes of a JSON file as key frames of an avatar. Raises DataError naming what is wrong."""
    if len(content) > LARGEST:
        raise DataError(f'"{name}" has {len(content)} bytes.', f"Expected at most {LARGEST}.", "Cut it.")
    try:
        table = decoded(content)
    except (ValueError, RecursionError) as error:
        raise wrong(name, f"cannot be read: {error}") from error
    avatar = puppet.avatar
    known = avatar.rig.parameters() if avatar.deformer.rig_bound else {}
    return KeyFrames.from_table(table, name).validate(known, avatar.timesteps)


def shot_at(path: KeyFrames, time: float, shot: Shot, puppet: Puppet, aspect: float) -> Shot:
    """A shot with the camera and pose that key frames have at a time, seconds."""
    height, width = picture_size(aspect, SIDE)
    cameras = path.cameras([time], height=height, width=width)
    fov = 2 * math.atan(height / 2 / float(cameras.intrinsics[0, 1, 1]))
    made = replace(shot, viewpoint=Viewpoint.of(cameras.camera_from_world[0], fov), camera=None)
    if not path.posed or not puppet.avatar.deformer.rig_bound:
        return made
    pose = path.poses([time], puppet.avatar.rig.parameters(), puppet.avatar.motion)
    return replace(made, stance=Stance(Track(NAME, pose)))


@dataclass(frozen=True)
class PathPlay(Play):
    """The way from key frame to key frame, round and round.

    Attributes:
        path: the key frames.
        puppet: the rig they pose.
        aspect: width over height of the page's picture.
    """

    path: KeyFrames
    puppet: Puppet
    aspect: float = 1.0
    _last: dict[float, Shot] = field(default_factory=dict, compare=False)

    def at(self, now: float, shot: Shot) -> Shot:
        """The shot with camera and pose of this moment."""
        elapsed = math.floor((now - self.began) * self.rate + 1e-6) / self.rate
        duration = self.path.duration
        time = self.path.frames[0].time + (elapsed % duration if duration > 0 else 0.0)
        if time not in self._last:  # between two ticks the shot stays the same one
            self._last.clear()
            self._last[time] = shot_at(self.path, time, shot, self.puppet, self.aspect)
        found = self._last[time]
        return replace(shot, viewpoint=found.viewpoint, stance=found.stance, camera=None)
