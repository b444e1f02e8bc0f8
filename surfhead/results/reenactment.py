"""Re-enactment: one head's motion on another head's avatar.

A driver is rig parameters over time, d(t). The parameters of the head's pose (``HEAD_POSE``) follow one rule,
those of the face another; n is the driver's neutral and s the subject's mean:

    absolute, driver    q(t) = d(t)                the driver's values
    relative            q(t) = s + (d(t) - n)      the driver's change, on the subject
    fixed               q(t) = s

Rotations are composed, R_q = R_s R_nᵀ R_d, so that the change is about the subject's own axes, and the change
of the translation is turned by R_s R_nᵀ of the root. What belongs to a person and not to its motion
(the role ``personal``) never moves from one to another. With n = s, ``relative`` gives the driver's own
motion.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.state import ABSURD
from surfhead.core.errors import DataError, OptionError, unknown_name
from surfhead.core.rig_parameter import RigParameter, with_role
from surfhead.maths import geometry
from surfhead.results.drivers import Driver, Parameters
from surfhead.results.labelled import arranged

log = logging.getLogger("surfhead")
Known = Mapping[str, RigParameter]

TRANSFERS = ("absolute", "relative")
POSES = ("driver", "fixed", "relative")
MEAN = "mean"
HEAD_POSE = ("root", "neck", "translation")  # roles that move the head as a whole; all else moves the face
SMOOTHEST = 1e6  # frames
REACH = 3.0  # standard deviations at which the smoothing kernel is cut off


def reenact(
    avatar: Avatar,
    driver: Driver,
    *,
    transfer: str = "absolute",
    pose: str = "driver",
    smooth: float = 0.0,
    neutral: str | int = MEAN,
) -> dict[str, Tensor]:
    """The rig parameters with which an avatar follows a driver.

    Args:
        avatar: the subject; its identity stays.
        driver: of the same rig, of any length T.
        transfer: ``absolute`` or ``relative``, for the face.
        pose: ``driver``, ``fixed`` or ``relative``, for the head's rotation, neck and translation.
        smooth: standard deviation of a Gaussian over time, timesteps; 0: none.
        neutral: the driver's neutral: ``mean`` of its motion, or one of its timesteps.

    Returns:
        name -> (T, size) float32 on the CPU.

    Raises:
        DataError: the avatar has no rig, or the driver does not fit it.
        UnknownNameError, OptionError: a wrong setting.
    """
    rules_given = (("transfer", "transfer", transfer, TRANSFERS), ("pose rule", "pose", pose, POSES))
    for kind, option, value, choices in rules_given:
        if value not in choices:
            raise unknown_name(kind, value, choices, f"Choose one of these with --{option}.")
    if not avatar.deformer.rig_bound:
        raise DataError("The avatar has no rig.", "Expected a head bound to a rig.", "Choose another run.")
    if driver.rig and driver.rig != avatar.rig.name:
        raise DataError(
            f'Driver "{driver.name}" has rig "{driver.rig}", the avatar has rig "{avatar.rig.name}".',
            "Expected a motion of the same rig.",
            "Choose another motion with --driver.",
        )
    known = avatar.rig.parameters()
    subject = {name: value.detach().double().cpu() for name, value in avatar.motion.items()}
    mean = mean_parameters(subject, known)
    rules = {name: pose if info.role in HEAD_POSE else transfer for name, info in known.items()}
    if not same_identity(avatar.identity, driver.identity):
        rules |= {name: "fixed" for name, info in known.items() if info.role == "personal"}
    needed = [name for name in subject if rules[name] != "fixed" and known[name].role != "personal"]
    given = smoothed(fitted(driver, known, needed), smooth, known)
    rest = mean_parameters(given, known) if neutral == MEAN else _moment(given, neutral)
    made = transferred(given, rest, mean, rules, known)
    return {name: value.float() for name, value in made.items()}


def same_identity(first: Parameters, second: Parameters) -> bool:
    """Whether two identities are known and equal."""
    return (
        bool(first)
        and first.keys() == second.keys()
        and all(
            value.shape == second[name].shape
            and torch.allclose(value.detach().double().cpu(), second[name].detach().double().cpu())
            for name, value in first.items()
        )
    )


def fitted(driver: Driver, known: Known, needed: list[str]) -> dict[str, Tensor]:
    """A driver's parameters in the sizes of a rig, name -> (T, size) float64 on the CPU.

    Args:
        driver: fewer expression coefficients than the rig has are padded with zeros.
        known: the rig's parameters.
        needed: names that would move; those that are missing stay at the subject's mean, with a warning.

    Raises:
        DataError: a name the rig does not have, nothing that would move, another size or length, no timestep,
            NaN, infinity or numbers without sense.
    """
    made = {}
    for name, values in driver.parameters.items():
        if name not in known:
            raise unknown_name(f'parameter of driver "{driver.name}":', name, known, "Drop it.", DataError)
        rows = values.detach().double().cpu().reshape(len(values), math.prod(values.shape[1:]))
        wrong = ~(rows.abs() <= ABSURD)
        if bool(wrong.any()):
            row = int(wrong.any(dim=1).nonzero()[0])
            raise DataError(
                f'Parameter "{name}" of driver "{driver.name}" holds NaN, infinity or numbers beyond '
                f"{ABSURD:g} at timestep {row}.",
                "Expected radians, metres and shares.",
                "Mend or remove this timestep.",
            )
        if name in driver.labels:
            rows = arranged(rows, driver.labels[name], known[name].labels, driver.name)
        made[name] = _sized(driver.name, name, rows, known[name])
    missing = [name for name in needed if name not in made]
    if missing and len(missing) == len(needed):
        raise DataError(
            f'Driver "{driver.name}" has none of the parameters that would move: {", ".join(missing)}.',
            f"It has: {', '.join(made) or 'none'}.",
            "Add one of them, zeros where it does not move.",
        )
    if missing:
        log.warning("%s has no %s: the avatar keeps its own neutral.", driver.name, ", ".join(missing))
    lengths = {name: len(rows) for name, rows in made.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        counts = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise DataError(
            f'Driver "{driver.name}" has timesteps: {counts or "none"}.',
            "Expected one or more, as many of every parameter.",
            "Export the motion again.",
        )
    return made


def _sized(driver: str, name: str, rows: Tensor, known: RigParameter) -> Tensor:
    count, size = rows.shape[1], known.size
    padded = known.role == "expression"
    if padded and count < size:
        log.warning('"%s" of %s has %d coefficients of %d; the others are zero.', name, driver, count, size)
        return torch.nn.functional.pad(rows, (0, size - count))
    if padded and count > size and not bool(rows[:, size:].any()):
        return rows[:, :size]
    if count != size:
        raise DataError(
            f'Parameter "{name}" of driver "{driver}" has {count} values a timestep.',
            f"The avatar's rig takes {size}{', or fewer' * padded}.",
            "Choose with --driver one tracked with the same rig" + ", or leave out the last ones." * padded,
        )
    return rows


def quaternions(axis_angle: Tensor) -> Tensor:
    """(T, J, 4) unit quaternions of J rotation vectors a timestep (T, 3 J), radians."""
    return geometry.axis_angle_to_quaternion(axis_angle.reshape(len(axis_angle), -1, 3))


def rotation_vectors(quaternion: Tensor) -> Tensor:
    """(T, 3 J) rotation vectors, radians, each at most π long, of unit quaternions (T, J, 4)."""
    return geometry.quaternion_to_axis_angle(quaternion).flatten(1)


def mean_parameters(parameters: Parameters, known: Known) -> dict[str, Tensor]:
    """The mean over time, name -> (1, size).

    Rotations: the one nearest to all, the principal eigenvector of Σ q qᵀ (Markley et al., "Averaging
    quaternions", Journal of Guidance, Control, and Dynamics, 2007).
    """
    made = {}
    for name, rows in parameters.items():
        if known[name].axis_angle:
            turns = quaternions(rows)
            outer = torch.einsum("tja,tjb->jab", turns, turns)
            made[name] = rotation_vectors(torch.linalg.eigh(outer).eigenvectors[None, :, :, -1])
        else:
            made[name] = rows.mean(dim=0, keepdim=True)
    return made


def smoothed(parameters: Parameters, frames: float, known: Known) -> dict[str, Tensor]:
    """Parameters (T, size) averaged over time by a Gaussian; rotations are averaged as quaternions.

    Args:
        frames: the Gaussian's standard deviation, timesteps; 0 changes nothing. At the ends only what is
            there is averaged.

    Raises:
        OptionError: ``frames`` is negative or not finite.
    """
    if not 0.0 <= frames <= SMOOTHEST:
        raise OptionError(
            f'"smooth" is {frames}.',
            f"Expected a number of frames from 0 to {SMOOTHEST:g}.",
            "Mend --smooth.",
        )
    if frames == 0.0:
        return dict(parameters)
    made = {}
    for name, rows in parameters.items():
        if not known[name].axis_angle:
            made[name] = _averaged(rows, frames)
            continue
        turns = quaternions(rows)
        # q and -q are the same rotation: of both, the one nearer to the timestep before
        nearer = torch.where((turns[1:] * turns[:-1]).sum(dim=-1, keepdim=True) < 0, -1.0, 1.0)
        turns = torch.cat([turns[:1], turns[1:] * nearer.cumprod(dim=0)])
        mixed = _averaged(turns.flatten(1), frames).reshape(turns.shape)
        made[name] = rotation_vectors(torch.nn.functional.normalize(mixed, dim=-1))
    return made


def _averaged(rows: Tensor, frames: float) -> Tensor:
    """(T, d) rows averaged with Gaussian weights."""
    radius = min(math.ceil(REACH * frames), len(rows) - 1)
    offset = torch.arange(-radius, radius + 1, dtype=rows.dtype)
    kernel = torch.exp(-0.5 * (offset / frames).square())[None, None]
    total = torch.nn.functional.conv1d(rows.T[:, None], kernel, padding=radius)
    weight = torch.nn.functional.conv1d(rows.new_ones(1, 1, len(rows)), kernel, padding=radius)
    return (total / weight)[:, 0].T


def _moment(parameters: Parameters, timestep: str | int) -> dict[str, Tensor]:
    """One timestep, name -> (1, size)."""
    count = next((len(rows) for rows in parameters.values()), 0)
    try:
        index = int(timestep)
    except ValueError:
        index = -1
    if not 0 <= index < count:
        raise OptionError(
            f'"neutral" is {timestep!r}.',
            f"Expected {MEAN}, or a timestep of the driver, 0 to {count - 1}.",
            "Mend --neutral.",
        )
    return {name: rows[index : index + 1] for name, rows in parameters.items()}


def transferred(
    driver: Parameters, neutral: Parameters, mean: Parameters, rules: Mapping[str, str], known: Known
) -> dict[str, Tensor]:
    """The subject's parameters, name -> (T, size), by the rules of this module's text.

    Args:
        driver: name -> (T, size).
        neutral: name -> (1, size), the driver's.
        mean: name -> (1, size), the subject's; where a name is missing it is zero.
        rules: name -> ``absolute`` or ``driver``, ``relative``, ``fixed``.
        known: the rig's parameters.
    """
    count = next((len(rows) for rows in driver.values()), 0)
    root = with_role(known, "root")
    made = {}
    for name in known:
        start = mean.get(name)
        if rules[name] == "fixed" or name not in driver:
            if start is not None:
                made[name] = start.expand(count, -1)
            continue
        rows = driver[name]
        if rules[name] != "relative":
            made[name] = rows
            continue
        start = torch.zeros_like(neutral[name]) if start is None else start
        if known[name].axis_angle:
            made[name] = rotation_vectors(
                geometry.quaternion_multiply(_turn(start, neutral[name]), quaternions(rows))
            )
            continue
        change = rows - neutral[name]
        if known[name].role == "translation" and root is not None and root in driver and root in mean:
            change = change @ geometry.quaternion_to_matrix(_turn(mean[root], neutral[root]))[0, 0].mT
        made[name] = start + change
    return made


def _turn(mean: Tensor, neutral: Tensor) -> Tensor:
    """(1, J, 4) R_s R_nᵀ, from the driver's neutral to the subject's mean."""
    inverse = geometry.quaternion_conjugate(quaternions(neutral))
    return geometry.quaternion_multiply(quaternions(mean), inverse)
