"""The frames of GaussianAvatars and SurFhead on a triangle computed by hand."""

from __future__ import annotations

import numpy as np
import torch

from surfhead.maths import geometry, triangles
from surfhead.plugins.formats.axes import flattened, from_gaussian_avatars, multiply, to_gaussian_avatars

# a right triangle in the plane y = 1: first edge 3 along +x, the second 4 along -z, so its normal is +y
TRIANGLE = torch.tensor([[0.0, 1, 0], [3, 1, 0], [0, 1, -4]], dtype=torch.float64)
FIRST, SECOND, NORMAL = np.array([1.0, 0, 0]), np.array([0, 0, -1.0]), np.array([0, 1.0, 0])
CENTROID = np.array([1.0, 1.0, -4 / 3])
SCALE = 3.5  # half of the first edge's length 3 and the height 4 over it


def matrix(quaternion):
    return geometry.quaternion_to_matrix(torch.as_tensor(quaternion, dtype=torch.float64)).numpy()


def test_our_frame_of_the_triangle_is_the_one_computed_by_hand():
    frames = triangles.triangle_frames(TRIANGLE, torch.tensor([[0, 1, 2]]))
    assert np.allclose(frames.rotation[0].numpy(), np.stack([FIRST, SECOND, NORMAL], axis=1))
    assert np.allclose(frames.centroid[0].numpy(), CENTROID)
    assert np.allclose(float(frames.scale[0]), SCALE)


def test_an_offset_along_each_of_gaussian_avatars_axes_lands_where_it_should():
    # GaussianAvatars' columns: first edge, normal, minus the second axis
    theirs = np.stack([FIRST, NORMAL, -SECOND], axis=1)
    ours = np.stack([FIRST, SECOND, NORMAL], axis=1)
    offsets = np.concatenate([np.eye(3), [[0.2, -0.7, 1.1]]]).astype(np.float32)
    turns = np.tile(np.array([[1.0, 0, 0, 0]], np.float32), (4, 1))
    converted, _ = from_gaussian_avatars(offsets, turns)
    world = SCALE * offsets @ theirs.T + CENTROID
    assert np.allclose(SCALE * converted @ ours.T + CENTROID, world, atol=1e-6)
    # by hand: one unit along their second axis is 3.5 metres along the triangle's normal, +y
    assert np.allclose(SCALE * converted[1] @ ours.T + CENTROID, CENTROID + np.array([0, 3.5, 0]), atol=1e-6)
    # and along their third it is 3.5 metres against the second axis, +z
    assert np.allclose(SCALE * converted[2] @ ours.T + CENTROID, CENTROID + np.array([0, 0, 3.5]), atol=1e-6)


def test_rotations_keep_their_axes_in_the_world():
    theirs = np.stack([FIRST, NORMAL, -SECOND], axis=1)
    ours = np.stack([FIRST, SECOND, NORMAL], axis=1)
    quaternions = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    _, converted = from_gaussian_avatars(np.zeros((50, 3), np.float32), quaternions)
    for before, after in zip(quaternions, converted, strict=True):
        assert np.allclose(theirs @ matrix(before), ours @ matrix(after), atol=1e-6)


def test_there_and_back_is_the_identity():
    generator = np.random.default_rng(1)
    offset, quaternion = generator.normal(size=(20, 3)), generator.normal(size=(20, 4))
    offset, quaternion = offset.astype(np.float32), quaternion.astype(np.float32)
    back = to_gaussian_avatars(*from_gaussian_avatars(offset, quaternion))
    assert np.array_equal(back[0], offset)
    assert np.allclose(back[1], quaternion, atol=1e-6)


def test_the_smallest_axis_becomes_the_normal():
    generator = np.random.default_rng(2)
    quaternion = generator.normal(size=(60, 4)).astype(np.float32)
    log_scale = generator.normal(size=(60, 3)).astype(np.float32)
    flat, turned = flattened(log_scale, quaternion)
    for row in range(60):
        smallest = int(log_scale[row].argmin())
        before, after = matrix(quaternion[row]), matrix(turned[row])
        assert np.allclose(after[:, 2], before[:, smallest], atol=1e-6)
        assert np.isclose(np.linalg.det(after), 1)
        # the ellipsoid without its thinnest axis is unchanged
        extents = np.exp(log_scale[row].astype(float)) * (np.arange(3) != smallest)
        expected = before @ np.diag(extents**2) @ before.T
        found = after[:, :2] @ np.diag(np.exp(flat[row].astype(float)) ** 2) @ after[:, :2].T
        assert np.allclose(found, expected, atol=1e-5)
    assert set(log_scale.argmin(axis=1)) == {0, 1, 2}


def test_the_product_of_quaternions_is_that_of_their_rotations():
    generator = np.random.default_rng(3)
    first, second = generator.normal(size=(10, 4)), generator.normal(size=(10, 4))
    for a, b, product in zip(first, second, multiply(first, second), strict=True):
        assert np.allclose(matrix(a) @ matrix(b), matrix(product))
