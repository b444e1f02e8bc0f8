"""Reading a driver, and the rules by which an avatar follows it."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from surfhead.core.errors import DataError, OptionError, SurfheadError, UnknownNameError
from surfhead.core.rig_parameter import RigParameter
from surfhead.results.drivers import Driver, read_driver
from surfhead.results.reenactment import fitted, mean_parameters, reenact, same_identity, smoothed
from surfhead.runs.run import load_avatar

QUARTER = math.pi / 2
KNOWN = {
    "rotation": RigParameter(3, axis_angle=True, role="root"),
    "jaw": RigParameter(3, axis_angle=True, role="jaw"),
    "eyes": RigParameter(6, axis_angle=True, role="gaze"),
    "expression": RigParameter(4, role="expression"),
    "translation": RigParameter(3, role="translation"),
    "dynamic_offset": RigParameter(6, role="personal"),
}


class Subject:
    """As much of an avatar as re-enactment looks at."""

    rig = SimpleNamespace(name="small", parameters=lambda: KNOWN)
    deformer = SimpleNamespace(rig_bound=True)
    identity: ClassVar[dict[str, torch.Tensor]] = {"shape": torch.tensor([1.0, 2.0])}

    def __init__(self, **motion: list[list[float]]) -> None:
        self.motion = {name: torch.tensor(rows) for name, rows in motion.items()}


def drive(
    subject: Subject, parameters: dict[str, Any], *, identity: Any = None, **rules: Any
) -> dict[str, Any]:
    rows = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in parameters.items()}
    made = reenact(subject, Driver("other", rows, "small", identity or {}), **rules)  # type: ignore[arg-type]
    assert all(value.dtype == torch.float32 for value in made.values())
    return {name: value.double().numpy() for name, value in made.items()}


def test_absolute_is_the_drivers_motion_and_fixed_the_subjects_mean() -> None:
    subject = Subject(
        expression=[[1.0, 0, 0, 0], [3, 0, 0, 0]],
        translation=[[0.0, 0, 0], [0, 4, 0]],
        rotation=[[0.2, 0, 0], [0.4, 0, 0]],
    )
    theirs: dict[str, list[list[float]]] = {
        "expression": [[5.0, 6, 7, 8]] * 3,
        "translation": [[1.0, 1, 1]] * 3,
        "rotation": [[0.0, 0.1, 0]] * 3,
    }
    made = drive(subject, theirs)
    assert all((made[name] == np.array(rows, np.float32)).all() for name, rows in theirs.items())
    made = drive(subject, theirs, pose="fixed")
    np.testing.assert_allclose(made["expression"], theirs["expression"])
    np.testing.assert_allclose(made["translation"], [[0.0, 2, 0]] * 3)
    np.testing.assert_allclose(made["rotation"], [[0.3, 0, 0]] * 3, atol=1e-7)


def test_relative_adds_the_change_from_the_drivers_neutral_to_the_subjects_mean() -> None:
    subject = Subject(expression=[[1.0, 0, 0, 0], [3, 0, 2, 0]], jaw=[[0.1, 0, 0]])
    theirs = {"expression": [[5.0, 0, 0, 0], [7, 1, 0, 0]], "jaw": [[0.2, 0, 0], [0.5, 0, 0]]}
    made = drive(subject, theirs, transfer="relative", neutral=0)
    np.testing.assert_allclose(made["expression"], [[2.0, 0, 1, 0], [4.0, 1, 1, 0]])
    np.testing.assert_allclose(made["jaw"], [[0.1, 0, 0], [0.4, 0, 0]], atol=1e-7)
    made = drive(subject, theirs, transfer="relative")  # neutral: the mean, expression 6 and 0.5, jaw 0.35
    np.testing.assert_allclose(made["expression"], [[1.0, -0.5, 1, 0], [3, 0.5, 1, 0]])
    np.testing.assert_allclose(made["jaw"], [[-0.05, 0, 0], [0.25, 0, 0]], atol=1e-7)


def test_relative_rotations_are_composed_and_the_translation_turns_with_the_root() -> None:
    subject = Subject(rotation=[[0.0, 0, QUARTER]], translation=[[0.0, 0, 5]], expression=[[0.0, 0, 0, 0]])
    theirs = {
        "rotation": [[0.0, 0, 0], [QUARTER, 0, 0]],
        "translation": [[0.0, 0, 0], [1, 0, 0]],
        "expression": [[0.0, 0, 0, 0]] * 2,
    }
    made = drive(subject, theirs, pose="relative", neutral=0)
    # a quarter turn about z after one about x is a third of a turn about (1, 1, 1); the sum is (1, 0, 1) pi/2
    third = 2 * math.pi / 3 / math.sqrt(3)
    np.testing.assert_allclose(made["rotation"], [[0, 0, QUARTER], [third] * 3], atol=1e-6)
    np.testing.assert_allclose(made["translation"], [[0, 0, 5], [0, 1, 5]], atol=1e-6)


def test_both_eyes_turn_for_themselves() -> None:
    subject = Subject(eyes=[[0.0, 0.1, 0, 0.3, 0, 0]])
    made = drive(subject, {"eyes": [[0.0] * 6, [0, 0.2, 0, 0.1, 0, 0]]}, transfer="relative", neutral=0)
    np.testing.assert_allclose(made["eyes"][1], [0, 0.3, 0, 0.4, 0, 0], atol=1e-6)


@pytest.mark.parametrize("pose", ["driver", "relative"])
def test_the_subjects_own_motion_with_its_own_neutral_gives_its_own_motion(pose: str) -> None:
    numbers = torch.Generator().manual_seed(7)
    own = {
        name: (torch.randn(5, info.size, generator=numbers) * 0.7).tolist() for name, info in KNOWN.items()
    }
    subject = Subject(**own)
    made = drive(subject, own, identity=Subject.identity, transfer="relative", pose=pose)
    assert made.keys() == own.keys()
    for name, rows in own.items():
        np.testing.assert_allclose(made[name], rows, atol=2e-6, err_msg=name)


def test_offsets_of_a_persons_vertices_stay_with_the_person() -> None:
    subject = Subject(expression=[[0.0] * 4] * 2, dynamic_offset=[[0.0] * 6, [2.0] * 6])
    theirs = {"expression": [[1.0] * 4] * 3, "dynamic_offset": [[9.0] * 6] * 3}
    for transfer in ("absolute", "relative"):
        assert (drive(subject, theirs, transfer=transfer)["dynamic_offset"] == 1.0).all()  # its own mean
    own = drive(subject, theirs, identity={"shape": torch.tensor([1.0, 2.0])})
    assert (own["dynamic_offset"] == 9.0).all()
    other = {"shape": torch.tensor([1.0, 2.5])}
    assert (drive(subject, theirs, identity=other)["dynamic_offset"] == 1.0).all()
    assert "dynamic_offset" not in drive(Subject(expression=[[0.0] * 4]), theirs)


def test_identities_are_the_same_only_when_known_and_equal() -> None:
    shape = {"shape": torch.ones(3)}
    assert same_identity(shape, {"shape": torch.ones(3)})
    assert not same_identity({}, {})
    assert not same_identity(shape, {"shape": torch.zeros(3)})
    assert not same_identity(shape, {"shape": torch.ones(4)})
    assert not same_identity(shape, {**shape, "static_offset": torch.ones(1)})


def test_the_mean_rotation_is_the_one_in_the_middle() -> None:
    turns = torch.tensor([[0.0, 0, 3.0], [0, 0, -3.0]], dtype=torch.float64)  # 0.28 rad apart, not 6
    found = mean_parameters({"jaw": turns}, KNOWN)["jaw"]
    np.testing.assert_allclose(found.abs().numpy(), [[0, 0, math.pi]], atol=1e-7)


def test_smoothing_weighs_by_a_gaussian() -> None:
    pulse = torch.zeros(13, 4, dtype=torch.float64)
    pulse[6, 0] = pulse[0, 1] = 1.0
    found = smoothed({"expression": pulse}, 1.0, KNOWN)["expression"]
    near, far, last = math.exp(-0.5), math.exp(-2.0), math.exp(-4.5)
    whole = 1 + 2 * (near + far + last)
    np.testing.assert_allclose(found[6:10, 0], np.array([1, near, far, last]) / whole)
    # the first timesteps have fewer neighbours on one side
    assert float(found[0, 1]) == pytest.approx(1 / (1 + near + far + last))
    assert float(found[1, 1]) == pytest.approx(near / (near + 1 + near + far + last))
    assert not found[:, 2:].any()
    still = torch.full((3, 4), 2.0, dtype=torch.float64)
    np.testing.assert_allclose(smoothed({"expression": still}, 50.0, KNOWN)["expression"], still)
    assert smoothed({"expression": pulse}, 0.0, KNOWN)["expression"] is pulse


def test_smoothing_a_rotation_passes_the_half_turn() -> None:
    """Rotation vectors jump there from one end to the other, and their own mean is no rotation at all."""
    turns = torch.tensor([[0.0, 0, 3.1], [0, 0, -3.1], [0, 0, 3.1]], dtype=torch.float64)
    found = smoothed({"rotation": turns}, 1.0, KNOWN)["rotation"]
    assert float(found.abs()[:, 2].min()) > 3.1
    constant = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64).expand(4, 3)
    np.testing.assert_allclose(smoothed({"rotation": constant}, 2.0, KNOWN)["rotation"], constant, atol=1e-12)


def test_short_expressions_are_padded_and_long_ones_refused(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="surfhead"):
        found = fitted(Driver("other", {"expression": torch.ones(2, 3)}), KNOWN, [])
    assert found["expression"].tolist() == [[1, 1, 1, 0]] * 2
    assert '"expression" of other has 3 coefficients of 4' in caplog.text
    zeros = torch.nn.functional.pad(torch.ones(2, 4), (0, 3))
    assert fitted(Driver("other", {"expression": zeros}), KNOWN, [])["expression"].shape == (2, 4)
    with pytest.raises(DataError, match="has 5 values a timestep"):
        fitted(Driver("other", {"expression": torch.ones(2, 5)}), KNOWN, [])


def test_any_length() -> None:
    subject = Subject(expression=[[1.0, 0, 0, 0]] * 4)
    for count in (1, 3, 200):
        for smooth in (0.0, 5.0):
            made = drive(subject, {"expression": [[0.5] * 4] * count}, smooth=smooth)
            assert made["expression"].shape == (count, 4)


def test_what_a_driver_lacks_stays_at_the_subjects_neutral(caplog: pytest.LogCaptureFixture) -> None:
    subject = Subject(expression=[[0.1] * 4, [0.3] * 4], jaw=[[0.2, 0.0, 0.0]] * 2)
    for transfer in ("absolute", "relative"):
        caplog.clear()
        made = drive(subject, {"expression": torch.ones(3, 4)}, transfer=transfer)
        np.testing.assert_allclose(made["jaw"], [[0.2, 0.0, 0.0]] * 3, atol=1e-6)
        assert made["expression"].shape == (3, 4)
        assert "other has no jaw: the avatar keeps its own neutral." in caplog.text


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "unknown": (
        {"jow": torch.zeros(2, 3)},
        {},
        'Unknown parameter of driver "other": "jow". Did you mean "jaw"?',
    ),
    "missing": (
        {"jaw": torch.zeros(2, 3)},
        {},
        'Driver "other" has none of the parameters that would move: expression.',
    ),
    "size": ({"jaw": torch.zeros(2, 4)}, {}, 'Parameter "jaw" of driver "other" has 4 values a timestep.'),
    "length": (
        {"expression": torch.zeros(2, 4), "jaw": torch.zeros(3, 3)},
        {},
        'Driver "other" has timesteps: expression 2, jaw 3.',
    ),
    "empty": ({"expression": torch.zeros(0, 4)}, {}, 'Driver "other" has timesteps: expression 0.'),
    "nan": (
        {"expression": torch.tensor([[0.0] * 4, [math.nan] * 4])},
        {},
        'Parameter "expression" of driver "other" holds NaN, infinity or numbers beyond 1e+06 at timestep 1.',
    ),
    "huge": (
        {"expression": torch.tensor([[0.0] * 4, [1e30] * 4])},
        {},
        'Parameter "expression" of driver "other" holds NaN, infinity or numbers beyond 1e+06 at timestep 1.',
    ),
    "neutral": ({"expression": torch.zeros(2, 4)}, {"neutral": 2}, '"neutral" is 2.'),
    "neutral word": ({"expression": torch.zeros(2, 4)}, {"neutral": "first"}, "\"neutral\" is 'first'."),
    "smooth": ({"expression": torch.zeros(2, 4)}, {"smooth": -1.0}, '"smooth" is -1.0.'),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(case: str) -> None:
    parameters, rules, message = WRONG[case]
    subject = Subject(expression=[[0.0] * 4])
    with pytest.raises((DataError, OptionError)) as caught:
        drive(subject, parameters, **rules)
    assert str(caught.value).splitlines()[0] == message


def test_wrong_rules_and_another_rig() -> None:
    subject: Any = Subject(expression=[[0.0] * 4])
    driver = Driver("other", {"expression": torch.zeros(2, 4)}, "small")
    with pytest.raises(UnknownNameError, match='Unknown transfer "absolut"'):
        reenact(subject, driver, transfer="absolut")
    with pytest.raises(UnknownNameError, match='Unknown pose rule "free"'):
        reenact(subject, driver, pose="free")
    with pytest.raises(DataError, match='has rig "flame", the avatar has rig "small"'):
        reenact(subject, Driver("other", driver.parameters, "flame"))


def test_the_heads_pose_is_known_by_its_role_not_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"turn": RigParameter(3, axis_angle=True, role="root"), "rotation": RigParameter(3)}
    monkeypatch.setitem(globals(), "KNOWN", known)
    subject = Subject(turn=[[0.1, 0, 0]], rotation=[[0.2, 0, 0]])
    made = drive(subject, {"turn": [[0.5, 0, 0]], "rotation": [[0.6, 0, 0]]}, pose="fixed")
    np.testing.assert_allclose(made["turn"], [[0.1, 0, 0]], atol=1e-7)
    np.testing.assert_allclose(made["rotation"], [[0.6, 0, 0]], atol=1e-7)


def test_a_missing_pose_is_said_only_where_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    subject = Subject(expression=[[0.0] * 4], rotation=[[0.1, 0, 0]])
    for pose, said in (("driver", True), ("fixed", False)):
        caplog.clear()
        made = drive(subject, {"expression": [[1.0] * 4]}, pose=pose)
        np.testing.assert_allclose(made["rotation"], [[0.1, 0, 0]], atol=1e-7)
        assert ("has no rotation" in caplog.text) == said


def test_a_run_and_its_own_motion_file_drive_alike(trained_run: Path, tmp_path: Path) -> None:
    avatar = load_avatar(trained_run, device="cpu")
    own = read_driver(trained_run)
    assert (own.rig, own.parameters.keys()) == ("procedural", avatar.motion.keys())
    with (tmp_path / "own.npz").open("wb") as file:
        np.savez(file, **{name: rows.numpy() for name, rows in avatar.motion.items()})  # type: ignore[arg-type]
    for driver in (own, read_driver(tmp_path / "own.npz")):
        for rules in ({}, {"transfer": "relative", "pose": "relative"}):
            made = reenact(avatar, driver, **rules)  # type: ignore[arg-type]
            for name, rows in avatar.motion.items():
                np.testing.assert_allclose(made[name], rows, atol=2e-6, err_msg=name)


def test_what_is_no_driver_is_named(tmp_path: Path, trained_run: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "config.toml").write_text((trained_run / "config.toml").read_text())
    (tmp_path / "empty").mkdir()
    said = {
        "nowhere": "does not exist",
        "notes.txt": "is no motion file",
        "broken.npz": "cannot be read",
        "unfinished": "has no checkpoint",
        "empty": "is an empty folder",
    }
    for name, message in said.items():
        with pytest.raises(SurfheadError, match=message) as caught:
            read_driver(tmp_path / name)
        assert name in str(caught.value)
