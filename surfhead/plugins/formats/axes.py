"""Between GaussianAvatars' triangle frame and ours, and from three scales to a surfel's two.

GaussianAvatars' frame has the columns (first edge, normal, minus the second axis), ours (first edge, second
axis, normal): R_GA = R P with P = [[1, 0, 0], [0, 0, -1], [0, 1, 0]], a quarter turn about the first edge.
The triangle's scale is the same, so a local point x_GA is P x_GA here, and a local rotation r_GA is P r_GA.
"""

from __future__ import annotations

import numpy as np

QUARTER = np.sqrt(0.5)
TURN = np.array([QUARTER, QUARTER, 0.0, 0.0])  # P as a quaternion wxyz
# rotation that renames axes so that axis j becomes the third: columns (j + 1, j + 2, j) of the old matrix
RENAME = np.array([[0.5, 0.5, 0.5, 0.5], [0.5, -0.5, -0.5, -0.5], [1.0, 0.0, 0.0, 0.0]])


def multiply(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(..., 4) Hamilton product of wxyz quaternions: ``second``, then ``first``."""
    a, b, c, d = np.moveaxis(first, -1, 0)
    w, x, y, z = np.moveaxis(second, -1, 0)
    return np.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        axis=-1,
    )


def from_gaussian_avatars(offset: np.ndarray, quaternion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (N, 3) and quaternions (N, 4) in our triangle frame."""
    x, y, z = offset.T
    return np.stack([x, -z, y], axis=1), multiply(TURN, quaternion.astype(np.float64)).astype(np.float32)


def to_gaussian_avatars(offset: np.ndarray, quaternion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (N, 3) and quaternions (N, 4) in GaussianAvatars' triangle frame."""
    x, y, z = offset.T
    back = TURN * [1, -1, -1, -1]
    return np.stack([x, z, -y], axis=1), multiply(back, quaternion.astype(np.float64)).astype(np.float32)


def flattened(log_scale: np.ndarray, quaternion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Surfels from ellipsoids: the smallest axis becomes the normal and its extent is dropped.

    Args:
        log_scale: (N, 3) logarithms of the three extents.
        quaternion: (N, 4) wxyz, any length.

    Returns:
        (N, 2) log scales and (N, 4) quaternions.
    """
    smallest = log_scale.argmin(axis=1)
    order = (smallest[:, None] + [1, 2]) % 3
    turned = multiply(quaternion.astype(np.float64), RENAME[smallest])
    return np.take_along_axis(log_scale, order, axis=1), turned.astype(np.float32)
