"""A rig as plain numbers, against poses worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from surfhead.core.api import LinearRig, ShapeError

# a bar along x, its second joint half way; one blendshape lifts the tip
BAR = LinearRig(
    vertices=torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]),
    shapes=torch.tensor([[[0.0, 0, 0], [0, 0, 0], [0, 0, 1]]]),
    names=("lift",),
    coefficients="expression",
    limits=(0.0, 1.0),
    joints=torch.tensor([[0.0, 0, 0], [1, 0, 0]]),
    joint_names=("root", "elbow"),
    parents=(-1, 0),
    rotations=(("root", 0), ("arm", 3)),
    weights=torch.tensor([[1.0, 0], [0.5, 0.5], [0, 1]]),
    translation="move",
)
QUARTER = math.pi / 2
ROUND_Z = torch.tensor([[0.0, 0, QUARTER]])


def test_nothing_given_is_the_mesh_at_rest():
    assert torch.equal(BAR.pose({}), BAR.vertices[None])
    assert BAR.parameters() == ("expression", "root", "arm", "move")


def test_joints_turn_what_hangs_on_them():
    arm = torch.cat([torch.zeros(1, 3), ROUND_Z], dim=1)
    posed = BAR.pose({"arm": arm, "root": ROUND_Z, "move": torch.tensor([[0.0, 0, 5]])})[0]
    # the root turns the bar up along y, the elbow turns the tip back along -x
    expected = torch.tensor([[0.0, 0, 5], [0, 1, 5], [-1, 1, 5]])
    assert torch.allclose(posed, expected, atol=1e-6)


def test_shapes_come_before_joints_which_may_follow_them():
    half = {"expression": torch.tensor([[0.5], [1.0]]), "arm": torch.zeros(2, 6)}
    assert BAR.pose(half)[:, 2].tolist() == [[2, 0, 0.5], [2, 0, 1]]
    moving = replace(BAR, joint_shapes=torch.tensor([[[0.0, 0, 0], [1, 0, 0]]]))
    arm = torch.cat([torch.zeros(1, 3), ROUND_Z], dim=1)
    tip = moving.pose({"expression": torch.ones(1, 1), "arm": arm})[0, 2]
    assert torch.allclose(tip, torch.tensor([2.0, 0, 1]), atol=1e-6)  # the elbow is at the tip by then


def test_correctives_multiply_the_entries_of_the_rotation_less_one():
    correctives = torch.zeros(9, 3, 3)
    correctives[1, 0] = torch.tensor([0.0, 0, 2])  # row 0, column 1: minus the sine
    bent = replace(BAR, correctives=correctives)
    arm = torch.tensor([[0.0, 0, 0, 0, 0, 0.3]])
    assert torch.allclose(bent.pose({"arm": arm})[0, 0], torch.tensor([0, 0, -2 * math.sin(0.3)]))


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="1 names and 3 parents"):
        replace(BAR, parents=(-1, 0, 1))
