"""From a fitted head to parameters of the rig `ict`, in a world in which the camera stands still.

World axes are the head's own (y up, z towards the camera). Landmarks tell where the skull is, not how the
shoulders stand: the skull's motion is split into the root's and the neck's such that the root stays where it
was over a second or so (a Gaussian average), and turns no more than that takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from surfhead_video.fitted_head import TURNED, Fit

STILL = 1.0  # seconds; standard deviation of the average in which the shoulders stand still


@dataclass(frozen=True)
class RigMotion:
    """The rig's motion in a world in which the camera stands still.

    Attributes:
        parameters: name -> (T, size) float32.
        camera: (4, 4) camera from world.
    """

    parameters: Mapping[str, torch.Tensor]
    camera: np.ndarray


def rig_motion(fit: Fit, rig: Any, time: np.ndarray) -> RigMotion:
    """The motion of a fitted head; arguments as of ``rig_parameters``."""
    return RigMotion(rig_parameters(fit, rig, time), camera_pose(fit))


def camera_pose(fit: Fit) -> np.ndarray:
    """(4, 4) camera from world: upright, as far away as the head is in the median."""
    pose = np.eye(4)
    pose[:3, :3] = TURNED
    pose[2, 3] = float(np.median(fit.translation[:, 2]))
    return pose


def rig_parameters(fit: Fit, rig: Any, time: np.ndarray) -> dict[str, torch.Tensor]:
    """The rig's parameters, name -> (T, size) float32.

    Args:
        fit: the fitted head.
        rig: prepared for the fit's identity.
        time: (T,) seconds.
    """
    pose = camera_pose(fit)
    turn = TURNED.T @ fit.rotation  # world from head
    place = (fit.translation - pose[:3, 3]) @ TURNED
    root, neck = _joints(rig)
    arm = neck - root
    hub = place + turn @ neck  # where the neck's joint is
    usual = Rotation.from_matrix(turn).mean()
    base = _average(hub - usual.apply(arm), time)
    roots = np.stack([_shortest(usual.apply(arm), hub[t] - base[t]) for t in range(len(hub))])
    roots = roots @ usual.as_matrix()
    necks = roots.transpose(0, 2, 1) @ turn
    translation = hub - roots @ arm - root
    gaze = np.pad(fit.gaze, ((0, 0), (0, 1)))
    rows = {
        "rotation": Rotation.from_matrix(roots).as_rotvec(),
        "neck": Rotation.from_matrix(necks).as_rotvec(),
        "eyes": np.concatenate([gaze, gaze], axis=1),
        "expression": fit.expression,
        "translation": translation,
    }
    return {name: torch.from_numpy(values.astype(np.float32)) for name, values in rows.items()}


def fit_with(fit: Fit, motion: RigMotion, rig: Any) -> Fit:
    """A fitted head as another motion of the rig has it; focal length and identity stay.

    The skull's pose is composed of root and neck, the gaze is the mean of both eyes', and expressions are
    held within 0 and 1, which a fit by pixels may pass.

    Args:
        fit: the head.
        motion: of as many frames.
        rig: prepared for the fit's identity.
    """
    rows = {name: values.detach().cpu().double().numpy() for name, values in motion.parameters.items()}
    root, neck = _joints(rig)
    roots = Rotation.from_rotvec(rows["rotation"]).as_matrix()
    turn = roots @ Rotation.from_rotvec(rows["neck"]).as_matrix()
    place = roots @ (neck - root) + root + rows["translation"] - turn @ neck
    camera = motion.camera
    return replace(
        fit,
        rotation=camera[:3, :3] @ turn,
        translation=place @ camera[:3, :3].T + camera[:3, 3],
        expression=rows["expression"].clip(0, 1),
        gaze=(rows["eyes"][:, 0:2] + rows["eyes"][:, 3:5]) / 2,
    )


def _average(values: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Values (T, 3) at these times, averaged over ``STILL`` of time, also where frames are left out."""
    if len(time) < 2:
        return values
    between = np.diff(time)
    step = max(float(np.median(between)), 1e-3)
    # a gap of ten deviations parts what lies round it; a longer one would only take memory
    moments = np.r_[0.0, between.clip(0, 10 * STILL).cumsum()]
    even = step * np.arange(round(moments[-1] / step) + 1)
    rows = np.stack([np.interp(even, moments, column) for column in values.T], axis=1)
    rows = gaussian_filter1d(rows, STILL / step, axis=0, mode="nearest")
    return np.stack([np.interp(moments, even, column) for column in rows.T], axis=1)


def _joints(rig: Any) -> tuple[np.ndarray, np.ndarray]:
    """(3,) root and (3,) neck of a prepared rig, metres."""
    model = rig.linear_model()
    joints = {name: model.joints[i].double().numpy() for i, name in enumerate(model.joint_names)}
    return joints["root"], joints["neck"]


def _shortest(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(3, 3) the smallest rotation that takes one direction to another."""
    axis = np.cross(first, second)
    sine, cosine = np.linalg.norm(axis), float(first @ second)
    if sine < 1e-12:
        return np.eye(3)
    return np.asarray(Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine)).as_matrix())
