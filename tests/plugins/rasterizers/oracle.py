"""An independent rasterizer: one pixel and one surfel at a time, in plain Python floats.

Written from docs/method.md, section 5, alone; it shares no code with the rasterizers it judges,
culls nothing, and also tells how near any pair of the scene comes to a switch.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from tests.plugins.rasterizers.scenes import Drawing

NAMES = ("rgb", "alpha", "normal", "depth", "median_depth", "distortion")


def draw(drawing: Drawing, view: int) -> tuple[dict[str, np.ndarray], float]:
    """The pictures of one view, and the smallest distance of a pair that matters from a switch."""
    surfels, cameras = drawing.surfels, drawing.cameras
    pose = int(drawing.pose_of_view[view])
    matrix = cameras.camera_from_world[view].double().numpy()
    K = cameras.intrinsics[view].double().numpy()
    mean = surfels.mean[pose].detach().double().numpy() @ matrix[:3, :3].T + matrix[:3, 3]
    tangents = matrix[:3, :3] @ surfels.tangents[pose].detach().double().numpy()
    normal = surfels.normal[pose].detach().double().numpy() @ matrix[:3, :3].T
    opacity = surfels.opacity.detach().double().numpy()
    colour = drawing.colour[view].detach().double().numpy()
    background = drawing.background[view].detach().double().numpy()

    margin = float(np.abs(mean[:, 2] - cameras.near).min()) if len(mean) else math.inf
    order = [i for i in np.argsort(mean[:, 2], kind="stable") if mean[i, 2] > cameras.near]
    for front, behind in itertools.pairwise(order):
        margin = min(margin, mean[behind, 2] - mean[front, 2])
    flipped = normal.copy()
    for i in order:
        toward = float(normal[i] @ mean[i])
        margin = min(margin, abs(toward))
        if toward > 0:
            flipped[i] = -normal[i]

    height, width = cameras.height, cameras.width
    channels = colour.shape[1]
    out = {
        name: np.zeros((height, width, *extra))
        for name, extra in zip(NAMES, ((channels,), (), (3,), (), (), ()), strict=True)
    }
    for row in range(height):
        for column in range(width):
            pixel, nearest = _pixel(
                column + 0.5,
                row + 0.5,
                K,
                mean,
                tangents,
                flipped,
                opacity,
                colour,
                background,
                order,
                cameras.near,
            )
            margin = min(margin, nearest)
            for name, value in pixel.items():
                out[name][row, column] = value
    return out, margin


def _pixel(x, y, K, mean, tangents, normal, opacity, colour, background, order, near):  # type: ignore[no-untyped-def]
    transmittance, margin, median = 1.0, math.inf, 0.0
    composited: list[tuple[float, float, int]] = []  # weight, depth, surfel
    for i in order:
        M = K @ np.column_stack([tangents[i], mean[i]])
        c = np.cross(x * M[2] - M[0], y * M[2] - M[1])
        centre = (K @ mean[i])[:2] / mean[i, 2]
        rho2 = 2.0 * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2)
        u, v = (c[0] / c[2], c[1] / c[2]) if c[2] != 0.0 else (math.inf, math.inf)
        rho3 = u * u + v * v
        rho = min(rho3, rho2)
        depth = float(M[2] @ (u, v, 1.0)) if rho3 <= rho2 else float(mean[i, 2])
        raw = opacity[i] * math.exp(-rho / 2.0)
        margin = min(margin, abs(raw - 1.0 / 255.0), abs(raw - 0.99))
        if raw >= 1.0 / 255.0 - 1e-3:
            margin = min(margin, abs(rho3 - rho2), abs(depth - near))
        alpha = min(0.99, raw)
        if depth < near or alpha < 1.0 / 255.0:
            continue
        after = transmittance * (1.0 - alpha)
        margin = min(margin, abs(after - 1e-4), abs(transmittance - 0.5))
        if after < 1e-4:
            break
        composited.append((alpha * transmittance, depth, i))
        if transmittance > 0.5:
            median = depth
        transmittance = after
    total = sum(weight for weight, _, _ in composited)
    m = [100.0 / (100.0 - 0.2) * (1.0 - 0.2 / depth) for _, depth, _ in composited]
    pairs = sum(
        composited[i][0] * composited[j][0] * (m[i] - m[j]) ** 2 for i in range(len(m)) for j in range(i)
    )
    pixel = {
        "rgb": sum((w * colour[i] for w, _, i in composited), transmittance * background),
        "alpha": total,
        "normal": sum((w * normal[i] for w, _, i in composited), np.zeros(3)),
        "depth": sum(w * d for w, d, _ in composited) / total if total > 0 else 0.0,
        "median_depth": median,
        "distortion": pairs,
    }
    return pixel, margin
