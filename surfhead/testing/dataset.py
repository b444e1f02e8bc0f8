"""Checks of data sets.

A data set's ``example(folder)`` writes a small one into ``folder`` and gives a reader for it. Built-in data,
which needs no files, is opened without a path.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from surfhead.core.registry import registry
from surfhead.core.scene import SPLITS, Frame, Scene
from surfhead.data.feed import cameras_of
from surfhead.testing.suite import Subject, promise, require
from surfhead.testing.values import require_equal, require_finite, tensors_in

SAMPLE = 6  # frames decoded by a check
THREADS = 4


def _opened(subject: Subject) -> tuple[Any, Scene]:
    dataset = subject.make()
    found = type(dataset).recognises(subject.folder)
    scene = dataset.open(subject.folder if found else None)
    require(isinstance(scene, Scene), f"open gave a {type(scene).__name__}.", "Expected a Scene.")
    return dataset, scene


def _sample(scene: Scene) -> list[int]:
    count = len(scene.views)
    return sorted({round(i * (count - 1) / max(SAMPLE - 1, 1)) for i in range(SAMPLE)})


@promise("dataset")
def opens_example(subject: Subject) -> None:
    """Its example opens: arrays of one length, unique names, rigid cameras, known timesteps and splits."""
    _, scene = _opened(subject)
    views = scene.views
    count = len(views)
    shapes = {"camera_from_world": (count, 4, 4), "intrinsics": (count, 3, 3)}
    for name in ("timestep", "camera", "split"):
        shapes[name] = (count,)  # type: ignore[assignment]
    for name, shape in shapes.items():
        actual = getattr(views, name).shape
        require(actual == shape, f"{name} has shape {actual}.", f"Expected {shape}.")
    require(len(set(views.names)) == count, "Two views have one name.")
    unknown = set(views.split.tolist()) - set(SPLITS)
    require(not unknown, f"Unknown splits: {', '.join(sorted(unknown))}.", f"Expected {', '.join(SPLITS)}.")
    require(len(views.of("train")) > 0, "No view is for training.")
    for group in views.by_size(np.arange(count)):
        cameras_of(scene, group, "cpu").validate()
    require(bool((views.timestep >= 0).all()), "A timestep is negative.")
    if scene.rig_parameters:
        require(int(views.timestep.max()) < scene.timesteps, "A view shows a timestep that does not exist.")
    background = np.asarray(scene.background)
    require(
        background.shape == (3,) and bool(((background >= 0) & (background <= 1)).all()),
        "background is no RGB.",
    )


@promise("dataset")
def names_its_rig(subject: Subject) -> None:
    """The rig it names is registered, and its parameters have that rig's sizes, a row a timestep."""
    _, scene = _opened(subject)
    rig = registry().create("rig", scene.rig, scene.rig_options)
    known = rig.parameters()
    for name, values in scene.rig_parameters.items():
        require(name in known, f'Rig "{scene.rig}" has no parameter "{name}".', f"It has {', '.join(known)}.")
        wanted = (scene.timesteps, known[name].size)
        require(
            tuple(values.shape) == wanted, f'"{name}" has shape {tuple(values.shape)}.', f"Expected {wanted}."
        )
        require(values.dtype == torch.float32, f'"{name}" is {values.dtype}.', "Expected float32.")
    names = scene.timestep_names
    require(not names or len(names) == scene.timesteps, f"{len(names)} timestep names for {scene.timesteps}.")
    if scene.rig == "none":
        require(scene.points is not None and len(scene.points) > 0, "It has neither a rig nor points.")
    if scene.points is not None:
        require(
            scene.points.ndim == 2 and scene.points.shape[1] == 3, f"points have shape {scene.points.shape}."
        )
        colours = scene.point_colours
        require(
            colours is None or (colours.shape == scene.points.shape and colours.dtype == np.uint8),
            "point_colours are not (M, 3) uint8.",
        )


@promise("dataset")
def frames_have_declared_size(subject: Subject) -> None:
    """Frames are uint8 RGB of the declared size; masks, normals and depths, where given, fit them."""
    _, scene = _opened(subject)
    for view in _sample(scene):
        size = scene.views.size(view)
        frame = scene.frame(view)
        require(isinstance(frame, Frame), f"frame gave a {type(frame).__name__}.", "Expected a Frame.")
        for name, shape, dtype in (
            ("image", (*size, 3), np.uint8),
            ("mask", size, np.uint8),
            ("normal", (*size, 3), np.float32),
            ("depth", size, np.float32),
        ):
            value = getattr(frame, name)
            if value is None:
                require(name != "image", "A frame has no image.")
                continue
            require(
                value.shape == shape and value.dtype == dtype,
                f'{name} of "{scene.views.names[view]}" is {value.dtype} {value.shape}.',
                f"Expected {np.dtype(dtype)} {shape}.",
            )
            require_finite(value, name)
        if frame.normal is not None:
            length = np.linalg.norm(frame.normal, axis=-1)
            unit = (np.abs(length - 1) < 1e-3) | (length == 0)
            require(bool(unit.all()), "A true normal is neither of length 1 nor 0.")
        if frame.depth is not None:
            require(bool((frame.depth >= 0).all()), "A true depth is negative.")


@promise("dataset")
def deterministic(subject: Subject) -> None:
    """Opened twice it holds the same views, and a frame decoded twice is the same."""
    (_, first), (_, second) = _opened(subject), _opened(subject)
    require_equal(first.views, second.views, "The views of a second opening")
    require(first.views.names == second.views.names, "The names of a second opening differ.")
    require_equal(first.rig_parameters, second.rig_parameters, "The rig parameters of a second opening")
    for view in _sample(first)[:2]:
        require_equal(first.frame(view), second.frame(view), f"View {view} of a second opening")
        require_equal(first.frame(view), first.frame(view), f"View {view} decoded again")


@promise("dataset")
def pictures_are_those_of_the_frames(subject: Subject) -> None:
    """What training reads of a view, ``picture``, has the frame's image, mask and predicted normals."""
    _, scene = _opened(subject)
    for view in _sample(scene)[:2]:
        whole, part = scene.frame(view), scene.picture(view)
        for name in ("image", "mask", "normal_prior"):
            require_equal(getattr(whole, name), getattr(part, name), f"The {name} of view {view}'s picture")


@promise("dataset")
def frames_are_thread_safe(subject: Subject) -> None:
    """Frames decoded by several threads at once are those decoded one by one."""
    _, scene = _opened(subject)
    order = _sample(scene) * 2
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(scene.frame, order))
    _, fresh = _opened(subject)
    for view, frame in zip(order, together, strict=True):
        require(any(True for _ in tensors_in(frame)), "A frame is empty.")
        require_equal(frame, fresh.frame(view), f"View {view} decoded by a thread")


@promise("dataset")
def recognises_its_own(subject: Subject) -> None:
    """It recognises the folder of its example (or needs none), and neither an empty nor a missing one."""
    dataset = subject.make()
    cls = type(dataset)
    if not cls.recognises(subject.folder):
        dataset.open(None)  # built-in data
    empty = subject.folder / "empty"
    empty.mkdir()
    require(not cls.recognises(empty), "It recognises an empty folder.")
    require(not cls.recognises(subject.folder / "missing"), "It recognises a folder that does not exist.")
