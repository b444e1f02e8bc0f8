"""Where MediaPipe's landmarks lie on an ICT head: a table made by `benchmarks/make_table.py`.

Landmark l is the point of a triangle with barycentric weights, so that it moves with identity, expression and
eyes as the mesh does, and further by what the detector was seen to do with drawn heads: an offset; a slide
with the camera's direction and nearness and their products, as contour landmarks move along the head as it
turns; and for each unit of identity and of expression a move of its own, as the detector takes unusual heads
for more usual ones. What it errs by besides in all pictures of somebody is told by patterns of all landmarks,
from `benchmarks/measure_patterns.py`. All landmarks but the irises' are rigid with the skull; the irises turn
with the eyes.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surfhead.core.api import DataError, create

IRISES = {"right": range(468, 473), "left": range(473, 478)}  # the person's own right and left
OUTER_CORNERS = (33, 263)
TABLE = "landmarks_on_ict.npz"
EYE_JOINTS = ("left_eye", "right_eye")


@dataclass(frozen=True)
class LandmarkPlaces:
    """L landmarks on a head with K expressions and I identities, in the rest frame, metres.

    Attributes:
        mean: (L, 3) on the mean head.
        expressions: (L, 3, K) their change by a full expression.
        identities: (L, 3, I) their change by one unit of an identity.
        slide: (L, 3, 9) change by where the camera is (see ``fitted_head.view_terms``), metres.
        eye: (L,) 0 for the left iris, 1 for the right, -1 elsewhere.
        eye_centre: (2, 3) the eyeballs' centres on the mean head.
        eye_centre_identities: (2, 3, I) their change by one unit of an identity.
        spread: (L,) how far detections scatter round the place, fraction of the distance between the eyes.
        names: the K expressions.
        patterns: (L, 3, N) what the detector errs by in all pictures of somebody: one deviation of each of N
            independent patterns, metres.
    """

    mean: np.ndarray
    expressions: np.ndarray
    identities: np.ndarray
    slide: np.ndarray
    eye: np.ndarray
    eye_centre: np.ndarray
    eye_centre_identities: np.ndarray
    spread: np.ndarray
    names: tuple[str, ...]
    patterns: np.ndarray

    def neutral(self, shape: np.ndarray, person: np.ndarray | None = None) -> np.ndarray:
        """(L, 3) of an identity (I,), and with what patterns of people (N,), if any, add."""
        points = np.asarray(self.mean + self.identities @ shape)
        if person is None or not len(person) or not self.patterns.shape[-1]:
            return points
        return np.asarray(points + self.patterns @ person)

    def centres(self, shape: np.ndarray) -> np.ndarray:
        """(2, 3) the eyeballs' centres of an identity (I,)."""
        return np.asarray(self.eye_centre + self.eye_centre_identities @ shape)


def make_rig(head: Path) -> Any:
    """The ICT rig of a head file or folder. Raises DataError."""
    return create("rig", "ict", {"path": str(head)})


def landmark_places(rig: Any, table: Path | None = None) -> LandmarkPlaces:
    """The table applied to a rig.

    Args:
        rig: of kind ``ict``, with its default options.
        table: another table than the package's.

    Raises:
        DataError: the head has another mesh than the table is for.
    """
    source: Any = table or files("surfhead_video").joinpath(TABLE)
    with source.open("rb") as file, np.load(file, allow_pickle=False) as content:
        made = {name: content[name] for name in content.files}
    model = rig.model()
    size = (len(model.template), len(model.triangles))
    if size != tuple(made["mesh"].tolist()):
        raise DataError(
            f"The ICT head has {size[0]} vertices and {size[1]} triangles.",
            f"The landmarks' table is for {made['mesh'][0]} and {made['mesh'][1]}: ICT-FaceKit's full head.",
            "Take the head from https://github.com/ICT-VGL/ICT-FaceKit, or import it again.",
        )
    corner = model.triangles[made["triangle"]]  # (L, 3)
    weight = made["barycentric"].astype(np.float64)

    def at(values: np.ndarray) -> np.ndarray:
        """(L, 3) of vertex values (V, 3)."""
        return np.asarray((values[corner] * weight[..., None]).sum(axis=1))

    eye = np.full(len(corner), -1)
    for side, joint in (("left", 0), ("right", 1)):
        eye[list(IRISES[side])] = joint
    count = len(model.identities)
    identities = np.stack([at(shape) for shape in model.identities], axis=-1)
    known = min(count, made["by_identity"].shape[-1])  # of further ones the detector's ways are not known
    identities[..., :known] += made["by_identity"][..., :known]
    expressions = np.stack([at(shape) for shape in model.expressions], axis=-1)
    learnt = {str(name): at for at, name in enumerate(made["expressions"])}
    for column, name in enumerate(model.names):
        if name in learnt:
            expressions[..., column] += made["by_expression"][..., learnt[name]]
    centre = _eye_centres(rig, np.zeros(count))
    changes = [_eye_centres(rig, row) - centre for row in np.eye(count)]
    return LandmarkPlaces(
        mean=at(model.template) + made["offset"],
        slide=made["slide"].astype(np.float64),
        expressions=expressions,
        identities=identities,
        eye=eye,
        eye_centre=centre,
        eye_centre_identities=np.stack(changes, axis=-1),
        spread=made["spread"].astype(np.float64),
        names=model.names,
        patterns=made.get("patterns", np.zeros((len(corner), 3, 0))).astype(np.float64),
    )


def _eye_centres(rig: Any, shape: np.ndarray) -> np.ndarray:
    """(2, 3) of the left and the right eye, metres."""
    rig.prepare({"shape": torch.from_numpy(shape).float()})
    model = rig.linear_model()
    rows = [model.joint_names.index(name) for name in EYE_JOINTS]
    return np.asarray(model.joints[rows].double().numpy())
