"""The built-in head's joints, and how much each vertex follows them."""

from __future__ import annotations

import numpy as np

from surfhead.plugins.rigs.procedural.head import HeadMesh
from surfhead.plugins.rigs.procedural.skin import MOUTH_CORNER
from surfhead.plugins.rigs.procedural.surface import MOUTH_HEIGHT, Array, smooth_step

JOINTS = ("root", "neck", "jaw", "left_eye", "right_eye")
PARENTS = (-1, 0, 1, 1, 1)
JOINT_POSITIONS = ((0.0, -170.0, -22.0), (0.0, -78.0, -14.0), (0.0, -20.0, 6.0))
"""Root, neck (where the skull sits on the spine) and jaw hinge, mm; the eyes turn about their centres."""


def skin_weights(head: HeadMesh) -> Array:
    """(V, 5) weights of the joints, rows summing to one."""
    v = head.vertices
    y, z = v[:, 1], v[:, 2]
    # The nape bends higher than the throat: the boundary leans along the jaw.
    follows_head = smooth_step(-165.0, -85.0, y - 0.25 * np.clip(z, -60, 40))
    jaw = _jaw(head)
    weights = np.zeros((len(v), len(JOINTS)))
    weights[:, 0] = (1.0 - follows_head) * (1.0 - jaw)
    weights[:, 1] = follows_head * (1.0 - jaw)
    weights[:, 2] = jaw
    for name, joint in (("eye_left", 3), ("eye_right", 4)):
        mine = head.of(name)
        weights[mine] = np.eye(len(JOINTS))[joint]
    weights[head.of("teeth_upper", "ear_left", "ear_right")] = np.eye(len(JOINTS))[1]
    weights[head.of("teeth_lower", "tongue")] = np.eye(len(JOINTS))[2]
    return weights


def _jaw(head: HeadMesh) -> Array:
    """(V,) how much each vertex follows the jaw: by its angle below the hinge, split at the lips."""
    v = head.vertices
    hinge = np.asarray(JOINT_POSITIONS[2])
    down, ahead = hinge[1] - v[:, 1], v[:, 2] - hinge[2]
    angle = np.degrees(np.arctan2(down, np.maximum(ahead, 1e-3)))
    smooth = smooth_step(20.0, 50.0, angle)
    # Nothing behind the hinge, and the throat lets go of the jaw little by little.
    smooth = smooth * smooth_step(-2.0, 38.0, ahead) * smooth_step(-150.0, -112.0, v[:, 1])
    height = head.front[:, 1] - MOUTH_HEIGHT
    near = 1.0 - smooth_step(0.15 * MOUTH_CORNER, 1.3 * MOUTH_CORNER, np.abs(head.front[:, 0]))
    near = near * (1.0 - smooth_step(20.0, 34.0, np.abs(height)))
    lips = head.of("skin", "mouth_bag") & (head.side != 0) & (head.front[:, 1] < -35)
    split = np.where(head.side > 0, 0.0, 1.0)
    return np.where(lips, smooth + near * (split - smooth), smooth)
