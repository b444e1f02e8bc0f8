"""MediaPipe's Face Landmarker: where its model file is, and what it finds in a picture."""

from __future__ import annotations

import os
import zipfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surfhead.core.api import DataError, UnavailableError, cache_folder
from surfhead_video.native_words import chatter_held

VARIABLE = "SURFHEAD_LANDMARKER"
FILE = "face_landmarker.task"
ADDRESS = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/latest/"
    "face_landmarker.task"
)
LANDMARKS, SCORES, MOST_FACES = 478, 52, 3
SETTING = "--set data.{}={}"  # how surfhead's commands are given one of the options
INSTALL = (
    '`pip install "surfhead-video[tracking]"`, or `pip install ".[tracking]"` in '
    "plugins_contrib/surfhead-video of the source tree"
)


@dataclass(frozen=True)
class Face:
    """One face in a picture.

    Attributes:
        landmarks: (478, 2) float32 places in pixels; the picture's upper left corner is (0, 0).
        scores: (52,) float32 ARKit scores in [0, 1], in the order of ``names``.
        pose: (4, 4) float32 MediaPipe's head pose, y up, z towards the viewer, centimetres.
        names: what the scores are called.
    """

    landmarks: np.ndarray
    scores: np.ndarray
    pose: np.ndarray
    names: tuple[str, ...]

    @property
    def size(self) -> float:
        """Side of the square as large as the landmarks' box, pixels."""
        return float(np.sqrt(np.prod(np.ptp(self.landmarks, axis=0))))


def chosen_place(option: str, variable: str, usual: Path) -> tuple[Path, str]:
    """Where a file is looked for, and that an environment variable says so, if it does."""
    said = "" if option else os.environ.get(variable, "")
    given = option or said
    return (Path(given).expanduser() if given else usual), (f", named by ${variable}," if said else "")


def find_model(option: str = "", setting: str = SETTING) -> Path:
    """The model file: the option, ``$SURFHEAD_LANDMARKER``, or the one in the cache folder.

    Args:
        option: a path, or nothing.
        setting: how the command in hand is given an option.

    Raises:
        DataError: it is not there, or is another file; says where to get it.
    """
    usual = cache_folder() / FILE
    path, source = chosen_place(option, VARIABLE, usual)
    remedy = (
        f"Download {ADDRESS} (Apache-2.0) to {usual}, or name it: {setting.format('landmarker', 'FILE')}, "
        f"or ${VARIABLE}."
    )
    if not path.is_file():
        raise DataError(
            f'The landmark model "{path}"{source} does not exist.', f"Expected MediaPipe's {FILE}.", remedy
        )
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        inside = []
    if not {"face_landmarks_detector.tflite", "face_blendshapes.tflite"} <= set(inside):
        raise DataError(
            f'"{path}"{source} is not the landmark model: it holds '
            f"{', '.join(sorted(inside)) or 'no models'}.",
            f"Expected MediaPipe's {FILE}, with landmarks and blendshapes.",
            remedy,
        )
    return path


def reason_absent() -> str | None:
    """Why MediaPipe cannot run here, or None."""
    try:
        with chatter_held():
            from mediapipe.tasks.python import vision
    except Exception as error:  # its native libraries can fail in any way
        return f"the package mediapipe does not load ({error})"
    return None if hasattr(vision, "FaceLandmarker") else "this mediapipe has no Face Landmarker"


class Landmarker:
    """Finds faces in single pictures. Use it in a ``with`` block.

    Args:
        model: the model file.

    Raises:
        UnavailableError: MediaPipe does not load.
        DataError: it refuses the model file.
    """

    def __init__(self, model: Path) -> None:
        reason = reason_absent()
        if reason is not None:
            raise UnavailableError(
                f"Landmarks cannot be found: {reason}.",
                "Expected mediapipe 1.2 or later.",
                f"Run {INSTALL}.",
            )
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self._image: Any = mediapipe.Image
        self._format: Any = mediapipe.ImageFormat.SRGB
        self._fresh = True  # until a face was found, for which all models run
        try:
            with chatter_held():
                self._task: Any = vision.FaceLandmarker.create_from_options(
                    vision.FaceLandmarkerOptions(
                        base_options=BaseOptions(model_asset_path=str(model)),
                        num_faces=MOST_FACES,
                        output_face_blendshapes=True,
                        output_facial_transformation_matrixes=True,
                    )
                )
                self.detect(np.zeros((64, 64, 3), np.uint8))  # models open in threads of their own: by now
        except (RuntimeError, ValueError, OSError) as error:
            raise DataError(
                f'MediaPipe refuses the landmark model "{model}": {error}.',
                f"Expected its {FILE}.",
                f"Download it again from {ADDRESS}.",
            ) from error

    def __enter__(self) -> Landmarker:
        return self

    def __exit__(self, *error: object) -> None:
        self._task.close()

    def detect(self, picture: np.ndarray) -> list[Face]:
        """The faces in an (H, W, 3) uint8 RGB picture, the largest first."""
        height, width = picture.shape[:2]
        with chatter_held() if self._fresh else nullcontext():
            found = self._task.detect(
                self._image(image_format=self._format, data=np.ascontiguousarray(picture))
            )
        self._fresh &= not found.face_landmarks
        faces = []
        for points, scores, pose in zip(
            found.face_landmarks,
            found.face_blendshapes,
            found.facial_transformation_matrixes,
            strict=True,
        ):
            faces.append(
                Face(
                    np.array([[point.x * width, point.y * height] for point in points], np.float32),
                    np.array([score.score for score in scores], np.float32),
                    np.asarray(pose, np.float32),
                    tuple(score.category_name for score in scores),
                )
            )
        return sorted(faces, key=lambda face: -face.size)
