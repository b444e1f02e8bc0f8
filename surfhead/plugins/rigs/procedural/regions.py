"""The named regions of the built-in head: which triangles are lips, nose, scalp and so on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surfhead.plugins.rigs.procedural.head import PARTS, HeadMesh
from surfhead.plugins.rigs.procedural.surface import EYE_CENTRE, MOUTH_HEIGHT

Mask = NDArray[np.bool_]


def head_regions(head: HeadMesh) -> dict[str, Mask]:
    """Region name -> (F,) bool. A triangle's place is its centroid's."""
    part = {name: head.triangle_part == index for index, name in enumerate(PARTS)}
    x, y, z = head.vertices[head.triangles].mean(axis=1).T
    skin = part["skin"]
    side = np.abs(x)
    u, v = head.front[head.triangles].mean(axis=1).T
    ears = part["ear_left"] | part["ear_right"]
    lids = part["lid_rim_left"] | part["lid_rim_right"]
    # The hairline: over the forehead, before the ears, round behind them to the nape.
    angle = np.degrees(np.arctan2(side, z + 5.0))
    hairline = np.interp(
        angle, [0, 28, 42, 58, 74, 88, 100, 112, 150, 180], [66, 66, 58, 34, 12, -8, 4, -20, -52, -56]
    )
    scalp = skin & (y > hairline)
    neck = skin & (y < np.interp(angle, [0, 30, 60, 90, 180], [-114, -110, -86, -62, -56])) & ~scalp
    reach = np.hypot((side - EYE_CENTRE[0]) / 22.0, (y - EYE_CENTRE[1]) / 15.0)
    eye_region = (skin & (reach < 1.0) & (z > 40)) | lids
    nose = skin & (z > 74) & (y < 6) & (y > -53) & (side < np.interp(y, [-53, -34, 0], [19, 17, 9]))
    lips = skin & (z > 60) & _on_lips(u, v)
    eyeballs = part["eye_left"] | part["eye_right"]
    teeth = part["teeth_upper"] | part["teeth_lower"]
    used = np.bincount(head.triangles[skin].ravel(), minlength=len(head.vertices))
    lowest = head.vertices[:, 1] < np.sort(head.vertices[used > 0, 1])[0] + 6.5
    boundary = skin & lowest[head.triangles].any(axis=1)
    face = (skin & ~scalp & ~neck & (angle < 80)) | lids
    return {
        "eyeballs": eyeballs,
        "left_eyeball": part["eye_left"],
        "right_eyeball": part["eye_right"],
        "teeth": teeth,
        "boundary": boundary,
        "face": face,
        "lips": lips,
        "nose": nose,
        "ears": ears,
        "left_ear": part["ear_left"],
        "right_ear": part["ear_right"],
        "scalp": scalp,
        "neck": neck,
        "eye_region": eye_region,
        "forehead": skin & (y > 22) & ~scalp & (angle < 58),
        "mouth": part["mouth_bag"],
        "tongue": part["tongue"],
    }


def _on_lips(x: NDArray[np.float64], y: NDArray[np.float64]) -> Mask:
    """Whether a point on the plane before the face lies on the red of the lips."""
    half = np.clip(np.abs(x) / 25.5, 0.0, 1.0)
    upper = MOUTH_HEIGHT + 7.4 * (1.0 - half**2.2) - 1.0 * np.exp(-((np.abs(x) / 3.0) ** 2))
    lower = MOUTH_HEIGHT - 8.6 * (1.0 - half**2.0) ** 0.8
    return np.asarray((y < upper) & (y > lower) & (half < 1.0))
