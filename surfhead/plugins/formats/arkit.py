"""Tables of ARKit face captures (.csv), such as the app Live Link Face writes: a motion for an avatar.

    surfhead reenact RUN --driver take.csv --transfer relative

One row a frame, named columns: ARKit's blendshapes in any usual spelling (``EyeBlinkLeft``, ``eyeBlink_L``),
from 0 to 1 (or 0 to 100, which is noticed); they drive the blendshapes of the same names. Times in seconds
(``time``, ``timestamp``) or Live Link's ``Timecode`` (hours:minutes:seconds:frames) give the rate.
``HeadYaw``, ``HeadPitch`` and ``HeadRoll``, in radians, turn the neck: to the person's left, downward, and
towards the person's right shoulder. Eyes turn by the eyeLook shapes, 30° at 1.
"""

from __future__ import annotations

import csv
import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from surfhead.core.api import DataError, Format, cause
from surfhead.core.api import Motion as Moved
from surfhead.files import bounds

RATE = 60.0  # ARKit's own
LOOK = math.radians(30)  # at a coefficient of 1
HEAD = ("headyaw", "headpitch", "headroll")
TIMES = ("time", "timestamp")
SHAPES = frozenset(
    {
        *("eyeblink", "eyelookdown", "eyelookin", "eyelookout", "eyelookup", "eyesquint", "eyewide"),
        *("jawforward", "jawleft", "jawright", "jawopen", "mouthclose", "mouthfunnel", "mouthpucker"),
        *("mouthleft", "mouthright", "mouthsmile", "mouthfrown", "mouthdimple", "mouthstretch"),
        *("mouthrolllower", "mouthrollupper", "mouthshruglower", "mouthshrugupper", "mouthpress"),
        *("mouthlowerdown", "mouthupperup", "browdown", "browinnerup", "browouterup", "cheekpuff"),
        *("cheeksquint", "nosesneer", "tongueout"),
    }
)


_wrong = partial(
    DataError.of,
    "Face capture",
    expected="a table with ARKit's blendshapes as named columns, a row a frame",
    remedy="Export it again, for example as CSV from Live Link Face.",
)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _shape(name: str) -> str:
    """An ARKit blendshape's name without its side; empty for other columns."""
    plain = _plain(name)
    for ending in ("", "left", "right", "l", "r"):
        stem = plain.removesuffix(ending) if ending else plain
        if stem in SHAPES:
            return stem
    return ""


class Arkit(Format):
    """Reads face captures."""

    name = "arkit"
    summary = "ARKit face captures (.csv), as Live Link Face writes them: a motion."
    suffixes = (".csv",)
    reads = True

    def read(self, path: Path) -> Moved:
        """The motion. Raises DataError naming the file, and the row and column that is no number."""
        names, rows = _table(path)
        plain = [_plain(name) for name in names]
        shapes = [at for at, name in enumerate(names) if _shape(name)]
        if not shapes:
            raise _wrong(path, "has no column named after an ARKit blendshape")
        values = np.array([_numbers(path, names, row, number, shapes) for number, row in enumerate(rows)])
        if np.abs(values).max() > 2:  # per cent
            values = values / 100
        # eyes and head; both are zero where there is nothing
        look = {plain[at]: values[:, column] for column, at in enumerate(shapes)}
        parameters = {"expression": values.clip(0, 1), "eyes": _eyes(look, len(rows))}
        if all(name in plain for name in HEAD):
            turns = [plain.index(name) for name in HEAD]
            angles = np.array([_numbers(path, names, row, number, turns) for number, row in enumerate(rows)])
            parameters["neck"] = Rotation.from_euler("YXZ", angles).as_rotvec()
        still = np.zeros((len(rows), 3))
        parameters = {"rotation": still, "neck": still, "translation": still, **parameters}
        return Moved(
            {name: torch.from_numpy(rows.astype(np.float32)) for name, rows in parameters.items()},
            rate=_rate(plain, rows),
            labels={"expression": tuple(names[at] for at in shapes)},
        )


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Column names, and the rows that are not empty."""
    try:
        with bounds.regular(path, 1 << 28).open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _wrong(path, f"cannot be read: {cause(error)}") from error
    if len(rows) < 2:
        raise _wrong(path, "has no rows")
    return rows[0], rows[1:]


def _numbers(path: Path, names: list[str], row: list[str], number: int, columns: list[int]) -> list[float]:
    made = []
    for at in columns:
        text = row[at].strip() if at < len(row) else ""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise _wrong(path, f'has "{text}" in column "{names[at]}" of row {number + 1}')
        made.append(value)
    return made


def _eyes(look: dict[str, np.ndarray], count: int) -> np.ndarray:
    """(T, 6) rotation vectors of left and right eye, radians; x turns down, y to the person's left."""
    made = np.zeros((count, 6))
    for at, side in enumerate(("left", "right")):

        def of(way: str, side: str = side) -> np.ndarray:
            zero = np.zeros(count)
            return look.get(f"eyelook{way}{side}", look.get(f"eyelook{way}{side[0]}", zero))

        outward = of("out") - of("in")
        made[:, 3 * at] = LOOK * (of("down") - of("up"))
        made[:, 3 * at + 1] = LOOK * (outward if side == "left" else -outward)
    return made


def _rate(plain: list[str], rows: list[list[str]]) -> float:
    """Frames a second by the column of times; ARKit's own rate where that says nothing."""
    for name in TIMES:
        if name in plain:
            at = plain.index(name)
            times = [float(row[at]) for row in rows if at < len(row) and _is_number(row[at])]
            step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
            return 1 / step if step > 0 else RATE
    if "timecode" in plain:
        at = plain.index("timecode")
        seconds = [_whole_seconds(row[at]) for row in rows if at < len(row)]
        known = [value for value in seconds if value is not None]
        full = [value for value in dict.fromkeys(known) if value not in (known[0], known[-1])]
        if full:  # frames in the seconds that are there from end to end
            return float(np.median([known.count(value) for value in full]))
    return RATE


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _whole_seconds(timecode: str) -> int | None:
    parts = timecode.strip().split(":")
    if len(parts) < 3 or not all(part.isdigit() for part in parts[:3]):
        return None
    return 3600 * int(parts[0]) + 60 * int(parts[1]) + int(parts[2])
