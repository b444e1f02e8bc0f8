"""What is found in every frame of a clip: the landmarks, and which frames are left out and why.

- No face: the frame is left out.
- Two or more faces: the largest of the first frame is followed, by the overlap of its box; where it is lost,
  the largest again.
- A face of which more than a tenth of the landmarks lie outside the picture: the frame is left out.
- Blur: the sharpness of a frame is the variance of the face's Laplacian at a fixed size. A frame below
  ``BLURRED`` of the median of its neighbours (within 0.6 s, 15 to each side at least) is left out.
- A cut: neighbouring frames whose small grey pictures differ by more than ``CUT`` of the full range and six
  times the usual, or a face that leaps by more than its own size in less than
  0.18 s. The longest shot is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from surfhead_video.clip import ClipFrame
from surfhead_video.counts import counted
from surfhead_video.landmarker import Face, Landmarker

BLURRED = 0.3
NEIGHBOURS = 15  # frames to each side, of which a median says something
NEAR = 0.61  # seconds to each side at least: of many frames a second, fifteen may all be of one blurred turn
CUT, USUAL = 0.12, 6.0
LEAP = 0.18  # seconds in which no head moves by its own size
THUMBNAIL, FACE = 32, 96  # pixels
OUTSIDE = 0.1  # share of the landmarks
LARGEST = 1280  # pixels of the longer side in which faces are looked for


@dataclass
class Found:
    """What T frames with a face hold, and what became of the others.

    Attributes:
        number: (T,) frame numbers.
        time: (T,) seconds.
        landmarks: (T, 478, 2) pixels.
        scores: (T, 52).
        pose: (T, 4, 4).
        sharpness: (T,).
        change: (T,) difference of the small grey picture from the frame before, in [0, 1].
        names: the scores' names.
        width, height: of the frames.
        frames: how many the clip has.
        faceless: frames without a face.
        crowded: frames with more than one face.
        brightness: median of the faces' mean grey value, in [0, 1].
    """

    number: np.ndarray
    time: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray
    pose: np.ndarray
    sharpness: np.ndarray
    change: np.ndarray
    names: tuple[str, ...] = ()
    width: int = 0
    height: int = 0
    frames: int = 0
    faceless: int = 0
    crowded: int = 0
    brightness: float = 0.5
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.number)

    def keep(self, rows: np.ndarray) -> Found:
        """The frames with these places only."""
        arrays = ("number", "time", "landmarks", "scores", "pose", "sharpness", "change")
        values = {name: getattr(self, name)[rows] for name in arrays}
        return Found(**{**vars(self), **values, "notes": list(self.notes)})


@dataclass
class Row:
    """What one frame shows: its faces, the largest first, and of each sharpness and brightness."""

    frame: int
    time: float
    faces: list[Face]
    sharpness: list[tuple[float, float]]
    change: np.ndarray
    size: tuple[int, int]


def detect(
    frames: Iterable[ClipFrame],
    landmarkers: list[Landmarker],
    report: Callable[[int], None] | None = None,
) -> Found:
    """Landmarks of every frame.

    Args:
        frames: in order; read once.
        landmarkers: one for each thread that looks.
        report: called with the number of frames looked at.
    """
    kept: list[tuple[Row, Face, float, float]] = []
    brightness: list[float] = []
    names: tuple[str, ...] = ()
    count = faceless = crowded = 0
    size = (0, 0)
    before: Face | None = None
    thumbnail: np.ndarray | None = None
    change = 0.0
    for row in _looked_at(frames, landmarkers):
        count, size = count + 1, row.size
        if report is not None:
            report(count)
        if thumbnail is not None:
            # a frame left out does not hide a cut: the largest change since the last kept one counts
            change = max(change, float(np.abs(row.change - thumbnail).mean()))
        thumbnail = row.change
        if not row.faces:
            faceless += 1
            continue
        crowded += len(row.faces) > 1
        at = _followed(row.faces, before)
        before = row.faces[at]
        names = before.names
        kept.append((row, before, row.sharpness[at][0], change))
        brightness.append(row.sharpness[at][1])
        change = 0.0
    shape = {"landmarks": (478, 2), "scores": (len(names),), "pose": (4, 4)}

    def stacked(name: str) -> np.ndarray:
        values = [getattr(face, name) for _, face, _, _ in kept]
        return np.stack(values) if values else np.zeros((0, *shape[name]), np.float32)

    return Found(
        number=np.array([row.frame for row, *_ in kept], np.int64),
        time=np.array([row.time for row, *_ in kept]),
        landmarks=stacked("landmarks"),
        scores=stacked("scores"),
        pose=stacked("pose"),
        sharpness=np.array([sharp for _, _, sharp, _ in kept]),
        change=np.array([difference for *_, difference in kept]),
        names=names,
        width=size[0],
        height=size[1],
        frames=count,
        faceless=faceless,
        crowded=crowded,
        brightness=float(np.median(brightness)) if brightness else 0.5,
    )


def _looked_at(frames: Iterable[ClipFrame], landmarkers: list[Landmarker]) -> Iterator[Row]:
    """Faces of every frame in order; as many frames in memory as threads look, and one."""
    pending: deque[tuple[Future[Row], Landmarker]] = deque()
    with ThreadPoolExecutor(len(landmarkers)) as pool:
        idle = list(landmarkers)
        for frame in frames:
            if not idle:
                done, free = pending.popleft()
                idle.append(free)
                yield done.result()
            worker = idle.pop()
            pending.append((pool.submit(look, frame, worker), worker))
        while pending:
            yield pending.popleft()[0].result()


def look(frame: ClipFrame, landmarker: Landmarker) -> Row:
    """The faces of one frame, of which a smaller picture is searched where it is large."""
    image = Image.fromarray(frame.picture)
    scale = min(1.0, LARGEST / max(image.size))
    smaller = (
        image
        if scale == 1
        else image.resize(
            (round(image.width * scale), round(image.height * scale)), Image.Resampling.BOX, reducing_gap=2
        )
    )
    faces = []
    for face in landmarker.detect(np.asarray(smaller)):
        factor = np.array(image.size) / smaller.size
        faces.append(Face((face.landmarks * factor).astype(np.float32), face.scores, face.pose, face.names))
    small = smaller.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return Row(
        frame.number,
        frame.time,
        faces,
        [_sharpness(image, face) for face in faces],
        np.asarray(small, np.float32) / 255,
        image.size,
    )


def _sharpness(image: Image.Image, face: Face) -> tuple[float, float]:
    """Variance of the face's Laplacian at a fixed size over its grey values', and their mean (of 1)."""
    low, high = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
    box = (*np.maximum(low, 0).tolist(), *np.minimum(high, image.size).tolist())
    if box[2] - box[0] < 4 or box[3] - box[1] < 4:
        return 0.0, 0.5
    grey = np.asarray(image.resize((FACE, FACE), Image.Resampling.BILINEAR, box, 2).convert("L"), np.float32)
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(laplacian.var() / max(float(inner.var()), 1.0)), float(grey.mean()) / 255


def _followed(faces: list[Face], before: Face | None) -> int:
    """Which face is the person of the frame before; the largest where none is."""
    if before is None:
        return 0
    shares = [_overlap(face, before) for face in faces]
    best = int(np.argmax(shares))
    return best if shares[best] > 0.2 else 0


def _overlap(first: Face, second: Face) -> float:
    """Intersection over union of the landmarks' boxes."""
    low = np.maximum(first.landmarks.min(axis=0), second.landmarks.min(axis=0))
    high = np.minimum(first.landmarks.max(axis=0), second.landmarks.max(axis=0))
    common = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(np.ptp(face.landmarks, axis=0))) for face in (first, second)]
    return common / max(sum(areas) - common, 1e-6)


def cuts(found: Found) -> np.ndarray:
    """Places among the frames at which another shot begins."""
    if len(found) < 2:
        return np.zeros(0, np.int64)
    usual = float(np.median(found.change[1:]))
    leap = found.change > max(CUT, USUAL * usual)
    middle = found.landmarks.mean(axis=1)
    size = np.sqrt(np.prod(np.ptp(found.landmarks, axis=1), axis=1))
    jump = np.linalg.norm(np.diff(middle, axis=0), axis=1) > size[1:]
    leap[1:] |= jump & (np.diff(found.time) < LEAP)
    return np.flatnonzero(leap[1:]) + 1


def chosen(found: Found) -> Found:
    """The frames to use: the longest shot without its blurred frames; the notes say what was left out."""
    notes = list(found.notes)
    if found.faceless:
        verbs = "has no face and is" if found.faceless == 1 else "have no face and are"
        notes.append(f"{found.faceless} of {counted(found.frames, 'frame')} {verbs} left out.")
    if found.crowded:
        shown = counted(found.crowded, "frame", "shows", "show")
        notes.append(f"{shown} more than one face; the largest one of the first frame is followed.")
    size = [found.width, found.height]
    outside = ((found.landmarks < 0) | (found.landmarks > size)).any(axis=2).mean(axis=1) > OUTSIDE
    if outside.any():
        part = "only a part of the face and"
        shown = counted(int(outside.sum()), "frame", f"shows {part} is", f"show {part} are")
        notes.append(f"{shown} left out.")
        found = found.keep(np.flatnonzero(~outside))
    starts = cuts(found)
    if len(starts):
        parts = np.split(np.arange(len(found)), starts)
        longest = max(parts, key=len)
        notes.append(
            f"The clip has {len(parts)} shots; the longest, frames {found.number[longest[0]]} to "
            f"{found.number[longest[-1]]}, is used."
        )
        found = found.keep(longest)
    rows = np.arange(len(found))
    first = np.minimum(np.searchsorted(found.time, found.time - NEAR), np.maximum(rows - NEIGHBOURS, 0))
    last = np.maximum(np.searchsorted(found.time, found.time + NEAR), rows + NEIGHBOURS + 1)
    usual = np.array([np.median(found.sharpness[first[t] : last[t]]) for t in rows])
    sharp = found.sharpness >= BLURRED * usual if len(found) else np.zeros(0, bool)
    if not sharp.all():
        notes.append(f"{counted(int((~sharp).sum()), 'blurred frame', 'is', 'are')} left out.")
    found = found.keep(np.flatnonzero(sharp))
    found.notes = notes
    return found
