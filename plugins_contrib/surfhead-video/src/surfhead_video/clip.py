"""Frames of a clip, one after the other: a video file by ffmpeg, or a folder of pictures.

Every frame of a file comes once, with its own time (also where the rate varies) and turned as the file's
metadata (of a picture: EXIF) says, and then as it is asked for. No more than one frame is held.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps

from surfhead.core.api import DataError, UnavailableError
from surfhead.files import bounds
from surfhead.files.places import found_in, is_file

VIDEOS = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"})
PICTURES = frozenset({".png", ".jpg", ".jpeg"})
FOLDER_RATE = 25.0  # a folder of pictures has no times of its own
MOST = 500_000  # frames of a clip: two hours at 60 a second
WAIT = 60.0  # seconds without a sign of life after which ffmpeg is given up
LIMITED = (  # what a stranger's file may make ffmpeg do: decode itself, in pictures of a bounded size
    *("-protocol_whitelist", "file", "-format_whitelist", "mov,matroska,avi,mpegts,mpeg,asf,flv"),
    *("-max_pixels", str(bounds.PIXELS)),
)
SHOWN = re.compile(rb"showinfo.*\bpts_time:\s*(\S+).*?\bs:(\d+)x(\d+)")


@dataclass(frozen=True)
class ClipFrame:
    """One frame.

    Attributes:
        number: from 0.
        time: seconds.
        picture: (H, W, 3) uint8 RGB.
    """

    number: int
    time: float
    picture: np.ndarray


def read_picture(file: Path, mode: str) -> Image.Image:
    """A picture's pixels in a mode of Pillow's, where its header promises no more than it may hold.

    It is turned as its metadata says. Raises any error: Pillow has many kinds for damaged files.
    """
    size = bounds.regular(file).stat().st_size
    with Image.open(file) as image:
        bounds.picture(*image.size, size)
        return ImageOps.exif_transpose(image).convert(mode)


def turned(picture: np.ndarray, degrees: int) -> np.ndarray:
    """A picture (H, W, ...) turned clockwise by a multiple of 90 degrees."""
    return np.ascontiguousarray(np.rot90(picture, -degrees // 90)) if degrees % 360 else picture


def is_clip(path: Path) -> bool:
    """Whether this is a video file by its name, or a folder of nothing but two or more pictures."""
    if is_file(path):
        return path.suffix.lower() in VIDEOS
    kinds = [inside.suffix.lower() for inside in found_in(path, "*") if not inside.name.startswith(".")]
    return len(kinds) > 1 and set(kinds) <= PICTURES


def ffmpeg_program() -> str:
    """The program that decodes films. Raises UnavailableError where there is none."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise UnavailableError(
            f"Videos cannot be read: there is no ffmpeg ({error}).",
            "Expected the package imageio-ffmpeg.",
            "Run `pip install imageio-ffmpeg`.",
        ) from error


class Clip:
    """A video file or a folder of pictures.

    Args:
        path: of the file or folder.
        turn: degrees by which every frame is turned clockwise, a multiple of 90.

    Raises:
        DataError: it is neither.
    """

    def __init__(self, path: Path, turn: int = 0) -> None:
        self.path = path
        self.turn = turn
        self.faults: list[str] = []  # what ffmpeg complained of in the last reading
        if not is_clip(path):
            raise DataError(
                f'"{path}" is no clip.',
                f"Expected a video file ({', '.join(sorted(VIDEOS))}) or a folder of pictures alone.",
                "Check the path, or convert it: ffmpeg -i FILE clip.mp4",
            )

    def frames(self) -> Iterator[ClipFrame]:
        """Every frame in order.

        Raises:
            DataError: the file cannot be decoded, or a picture is damaged or of another size.
            UnavailableError: there is no ffmpeg.
        """
        with closing(self._files() if self.path.is_dir() else self._decoded()) as upright:
            for frame in upright:
                yield replace(frame, picture=turned(frame.picture, self.turn)) if self.turn else frame

    def expected(self) -> int:
        """About how many frames there are, for progress bars; 0: not known."""
        if self.path.is_dir():
            return len(self._pictures())
        try:
            from imageio_ffmpeg import read_frames

            reader = read_frames(str(self.path), input_params=list(LIMITED))
            try:
                about = next(reader)
            finally:
                reader.close()
            return min(round(float(about["fps"]) * float(about["duration"])), MOST)
        except Exception:  # only a bar's length; what is wrong is said where frames are read
            return 0

    def _pictures(self) -> list[Path]:
        return sorted(file for file in self.path.iterdir() if file.suffix.lower() in PICTURES)

    def _files(self) -> Generator[ClipFrame]:
        size = None
        for number, file in enumerate(self._pictures()):
            try:
                picture = np.array(read_picture(file, "RGB"))
            except Exception as error:  # Pillow raises many kinds for damaged files
                raise self._damaged(str(error), file) from error
            size = size or picture.shape
            if picture.shape != size:
                raise DataError(
                    f'Picture "{file}" is {picture.shape[1]}x{picture.shape[0]} pixels.',
                    f"Expected {size[1]}x{size[0]}, as the first.",
                    "Keep the frames of one clip in a folder of their own.",
                )
            yield ClipFrame(number, number / FOLDER_RATE, picture)

    def _decoded(self) -> Generator[ClipFrame]:
        program = ffmpeg_program()
        command = [program, "-nostdin", "-hide_banner", "-loglevel", "info", *LIMITED, "-i", str(self.path)]
        command += ["-map", "0:v:0", "-vf", "showinfo=checksum=0", "-fps_mode", "passthrough"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        shown: Queue[tuple[float, int, int] | None] = Queue()
        lines: list[str] = []
        listener = threading.Thread(target=_listen, args=(process.stderr, shown, lines), daemon=True)
        listener.start()
        stdout: Any = process.stdout
        number, last, size = 0, -1.0, (0, 0)
        try:
            while True:
                try:
                    told = shown.get(timeout=WAIT)
                except Empty:
                    raise self._damaged("ffmpeg stands still") from None
                if told is None:
                    break
                time, width, height = told
                size = size if number else (width, height)
                if not 0 < size[0] * size[1] <= bounds.PIXELS:
                    raise self._damaged(f"it promises pictures of {size[0]}x{size[1]} pixels")
                if number >= MOST:
                    raise self._damaged(f"it has more than {MOST} frames")
                data = stdout.read(3 * size[0] * size[1])
                if len(data) < 3 * size[0] * size[1]:
                    break
                # times of damaged or odd files may stand still or run back: each frame is later than the last
                time = time if np.isfinite(time) and time > last else last + 1e-3
                yield ClipFrame(number, time, np.frombuffer(data, np.uint8).reshape(size[1], size[0], 3))
                number, last = number + 1, time
        finally:
            process.kill()
            stdout.close()
            listener.join()
            process.wait()
            stderr: Any = process.stderr
            stderr.close()
        self.faults = lines
        if not number:
            silent = any("matches no streams" in line for line in lines)
            raise self._damaged(lines[-1] if lines and not silent else "it holds no picture")

    def _damaged(self, reason: str, file: Path | None = None) -> DataError:
        why = f"cannot be decoded: {reason.strip().rstrip('.')}."
        if file is not None:
            return DataError(
                f'Picture "{file}" {why}',
                "Expected a picture that Pillow can read.",
                "Look at it, copy it again, or take it out of the folder.",
            )
        return DataError(
            f'Video "{self.path}" {why}',
            "Expected a video that ffmpeg can read.",
            "Play it, copy it again from the camera, or convert it: ffmpeg -i FILE clip.mp4",
        )


def _listen(stream: IO[bytes] | None, shown: Queue[Any], lines: list[str]) -> None:
    """Frames' times and sizes into the queue, None at the end; what looks like a fault into ``lines``."""
    assert stream is not None
    for line in stream:
        found = SHOWN.search(line)
        if found:
            try:
                time = float(found[1])
            except ValueError:  # NOPTS
                time = float("nan")
            shown.put((time, int(found[2]), int(found[3])))
        elif re.search(
            rb"error|invalid|corrupt|not found|no such|could not|does not|matches no", line, re.IGNORECASE
        ):
            lines.append(line.decode(errors="replace").strip())
    shown.put(None)
