"""A picture of several runs side by side: the truth and every run, colours and normals of held-out views."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from surfhead.core.errors import DataError
from surfhead.core.scene import Frame, Scene
from surfhead.data.feed import background_of, cameras_of
from surfhead.drawing.channels import paint
from surfhead.drawing.colour_maps import heat, normal_colours
from surfhead.drawing.contact_sheet import contact_sheet
from surfhead.drawing.pictures import to_bytes
from surfhead.drawing.scalars import FULL_ERROR
from surfhead.measuring.evaluation import spread
from surfhead.runs.run import Run
from surfhead.terminal.bars import watched

CLOSE = 3  # a close-up is so many times as large


def variant_sheet(runs: Mapping[str, Path], views: int = 4, device: str = "auto") -> np.ndarray:
    """(H, W, 3) uint8: four rows a view, colours, error, a close-up, normals; the truth, then a column a run.

    Args:
        runs: what it is called -> run folder; all were trained on the same data.
        views: how many, evenly spread over val and test, or over train where nothing is held out.
        device: where to draw.

    Raises:
        DataError: the runs' data have other views.
    """
    scene, first = None, ""
    rows: dict[str, list[np.ndarray]] = {}
    windows: dict[int, tuple[slice, slice]] = {}
    for label, folder in watched(runs.items(), "Drawing the comparison", len(runs)):
        read = Run(folder)
        opened = read.scene
        if scene is None:
            scene, first = opened, label
            chosen = _chosen(scene, views)
            for view in chosen.tolist():
                name, frame = scene.views.names[view], scene.frame(view)
                rows[name] = [frame.image]
                rows[f"{name}, error, white {FULL_ERROR:g}"] = [np.full_like(frame.image, 255)]
                rows[f"{name}, close-up"] = []
                rows[f"{name}, normals"] = [_true_normals(frame, background_of(scene))]
        elif not _same_views(scene, opened):
            raise DataError(
                f'Runs "{first}" and "{label}" have other views.',
                "Expected runs trained on the same data.",
                "Compare runs of one data set.",
            )
        avatar = read.avatar(device)
        for view in chosen.tolist():
            camera = cameras_of(scene, [view], avatar.device)
            pose = int(scene.views.timestep[view])
            drawn = paint(avatar, camera, pose, ["rgb", "normal"], background=background_of(scene))
            name = scene.views.names[view]
            truth, shown = scene.frame(view).image, to_bytes(drawn["rgb"])
            error = np.abs(shown.astype(np.float32) - truth).mean(axis=2) / 255.0
            if view not in windows:  # where the first run errs most is shown of all
                windows[view] = window(error)
                rows[f"{name}, close-up"].append(truth[windows[view]])
            rows[name].append(shown)
            heated = heat(torch.from_numpy(error / FULL_ERROR))
            rows[f"{name}, error, white {FULL_ERROR:g}"].append(to_bytes(heated))
            rows[f"{name}, close-up"].append(shown[windows[view]])
            rows[f"{name}, normals"].append(to_bytes(drawn["normal"]))
    return contact_sheet(["truth", *runs], rows)


def window(error: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns of a third of a picture (H, W), where its error is largest."""
    sides = tuple(max(side // CLOSE, 1) for side in error.shape)
    sums = np.pad(error, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    height, width = sides
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)


def _chosen(scene: Scene, count: int) -> np.ndarray:
    held_out = np.concatenate([scene.views.of("val"), scene.views.of("test")])
    return spread(held_out if len(held_out) else scene.views.of("train"), count)


def _same_views(one: Scene, other: Scene) -> bool:
    a, b = one.views, other.views
    return (
        a.names == b.names
        and (a.height, a.width) == (b.height, b.width)
        and np.array_equal(a.sizes if a.sizes is not None else 0, b.sizes if b.sizes is not None else 0)
        and np.array_equal(a.split, b.split)
        and np.allclose(a.camera_from_world, b.camera_from_world)
    )


def _true_normals(frame: Frame, background: torch.Tensor) -> np.ndarray:
    if frame.normal is None:
        return np.full_like(frame.image, 255)
    normal = torch.from_numpy(np.ascontiguousarray(frame.normal)).float()
    there = normal.square().sum(dim=-1, keepdim=True) > 0
    return to_bytes(torch.where(there, normal_colours(normal), background.to(normal)))
