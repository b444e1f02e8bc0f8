"""Scenes for the GPU tests, and the comparison against the float64 reference by the project's tolerances."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surfhead.core.api import Cameras, Rasterizer, RenderOutput, WorldSurfels

IMAGES = ("rgb", "alpha", "normal", "depth", "median_depth", "distortion")
PARAMETERS = ("mean", "tangents", "normal", "opacity", "colour")


@dataclass(frozen=True)
class Drawing:
    """Everything one call of a rasterizer takes."""

    surfels: WorldSurfels
    colour: Tensor
    cameras: Cameras
    pose_of_view: Tensor
    background: Tensor

    def to(self, device: str, dtype: torch.dtype | None = None) -> Drawing:
        """The same on ``device``, in ``dtype``."""
        s = self.surfels
        surfels = WorldSurfels(*(t.to(device, dtype) for t in (s.mean, s.tangents, s.normal, s.opacity)))
        return Drawing(
            surfels,
            self.colour.to(device, dtype),
            self.cameras.to(device, dtype),
            self.pose_of_view.to(device),
            self.background.to(device, dtype),
        )

    def view(self, index: int) -> Drawing:
        """One view alone, with its own pose alone."""
        pose = int(self.pose_of_view[index])
        s = self.surfels
        surfels = WorldSurfels(
            s.mean[pose : pose + 1], s.tangents[pose : pose + 1], s.normal[pose : pose + 1], s.opacity
        )
        zero = torch.zeros(1, dtype=torch.int64, device=self.pose_of_view.device)
        one = slice(index, index + 1)
        return Drawing(surfels, self.colour[one], self.cameras[one], zero, self.background[one])

    def leaves(self) -> tuple[Drawing, dict[str, Tensor]]:
        """A copy whose tensors ask for gradients, and those tensors by name."""
        s = self.surfels
        found = {
            name: value.detach().clone().requires_grad_()
            for name, value in zip(
                PARAMETERS, (s.mean, s.tangents, s.normal, s.opacity, self.colour), strict=True
            )
        }
        surfels = WorldSurfels(found["mean"], found["tangents"], found["normal"], found["opacity"])
        return replace(self, surfels=surfels, colour=found["colour"]), found

    def draw(self, rasterizer: Rasterizer) -> RenderOutput:
        """What ``rasterizer`` makes of it."""
        return rasterizer(self.surfels, self.colour, self.cameras, self.pose_of_view, self.background)


def random_scene(
    count: int = 400,
    views: int = 3,
    poses: int = 2,
    seed: int = 0,
    size: float = 0.05,
    height: int = 70,
    width: int = 93,
    near: float = 0.01,
    spread: float = 0.3,
    device: str = "cuda",
) -> Drawing:
    """Sheared surfels of all orientations about the origin, seen by cameras around it with off-centre
    principal points; distinct depths; some surfels behind the cameras when ``spread`` is large."""
    g = torch.Generator().manual_seed(seed)
    mean = spread * torch.randn(poses, count, 3, generator=g, dtype=torch.float64)
    tangents = size * torch.randn(poses, count, 3, 2, generator=g, dtype=torch.float64)
    normal = torch.linalg.cross(tangents[..., 0], tangents[..., 1])
    normal = normal / normal.norm(dim=-1, keepdim=True)
    opacity = torch.sigmoid(2.0 * torch.randn(count, generator=g, dtype=torch.float64))
    rotation = torch.linalg.qr(torch.randn(views, 3, 3, generator=g, dtype=torch.float64))[0]
    rotation = rotation * torch.linalg.det(rotation)[:, None, None]
    pose = torch.eye(4, dtype=torch.float64).repeat(views, 1, 1)
    pose[:, :3, :3] = rotation
    pose[:, 2, 3] = 1.0
    intrinsics = torch.eye(3, dtype=torch.float64).repeat(views, 1, 1)
    intrinsics[:, 0, 0] = 1.1 * width
    intrinsics[:, 1, 1] = 1.2 * width
    intrinsics[:, 0, 2] = width * torch.rand(views, generator=g, dtype=torch.float64)
    intrinsics[:, 1, 2] = height * torch.rand(views, generator=g, dtype=torch.float64)
    drawing = Drawing(
        WorldSurfels(mean, tangents, normal, opacity),
        torch.rand(views, count, 3, generator=g, dtype=torch.float64),
        Cameras(pose, intrinsics, height, width, near),
        torch.randint(0, poses, (views,), generator=g),
        torch.rand(views, 3, generator=g, dtype=torch.float64),
    )
    return drawing.to(device, torch.float32)


def garden_scene() -> Drawing:
    """A real capture: structure-from-motion points of a garden, three cameras, each point a surfel sized by
    the distance to its nearest neighbours. The file is named by ``SURFHEAD_GARDEN_POINTS``."""
    from scipy.spatial import cKDTree

    path = Path(os.environ["SURFHEAD_GARDEN_POINTS"])
    with np.load(path) as data:
        points = data["points"].astype(np.float64)
        colours = data["colors"].astype(np.float64) / 255.0
        poses, intrinsics = data["w2c"].astype(np.float64), data["K"].astype(np.float64)
        height, width = int(data["height"]), int(data["width"])
    distance = cKDTree(points).query(points, k=4)[0][:, 1:]
    size = np.sqrt((distance**2).mean(axis=1)).clip(1e-7)
    g = torch.Generator().manual_seed(0)
    count = len(points)
    frame = torch.linalg.qr(torch.randn(count, 3, 3, generator=g, dtype=torch.float64))[0]
    tangents = frame[:, :, :2] * torch.from_numpy(size)[:, None, None]
    drawing = Drawing(
        WorldSurfels(
            torch.from_numpy(points)[None],
            tangents[None],
            frame[None, :, :, 2].contiguous(),
            torch.sigmoid(2.0 * torch.randn(count, generator=g, dtype=torch.float64)),
        ),
        torch.from_numpy(colours).expand(3, -1, -1).contiguous(),
        Cameras(torch.from_numpy(poses), torch.from_numpy(intrinsics).expand(3, 3, 3), height, width),
        torch.zeros(3, dtype=torch.int64),
        torch.zeros(3, 3, dtype=torch.float64),
    )
    return drawing.to("cuda", torch.float32)


def loss_weights(output: RenderOutput, seed: int = 5) -> dict[str, Tensor]:
    """A fixed weight for every value of every picture: the gradient of a generic loss."""
    g = torch.Generator().manual_seed(seed)
    found = {}
    for name in IMAGES:
        value = getattr(output, name)
        weight = torch.randn(value.shape, generator=g, dtype=torch.float32).to(value.device)
        found[name] = weight / weight[0].numel()
    return found


def gradients(
    rasterizer: Rasterizer, drawing: Drawing, weights: dict[str, Tensor] | None = None
) -> tuple[RenderOutput, dict[str, Tensor]]:
    """The pictures and the gradient of their weighted sum for every parameter."""
    leafy, leaves = drawing.leaves()
    output = leafy.draw(rasterizer)
    if weights is None:
        weights = loss_weights(output)
    total = sum((getattr(output, k) * w.to(output.rgb.dtype)).sum() for k, w in weights.items())
    found = torch.autograd.grad(total, list(leaves.values()))
    return output, dict(zip(leaves, found, strict=True))


@dataclass(frozen=True)
class Disagreement:
    """How far an output or a gradient lies from the reference.

    Attributes:
        name: which.
        fraction: of an output's pixels further off than 1e-4 of its range.
        norm: of a gradient, relative, over all surfels.
        median: over the surfels, of a gradient's relative error.
    """

    name: str
    fraction: float = 0.0
    norm: float = 0.0
    median: float = 0.0

    @property
    def acceptable(self) -> bool:
        """Within docs/method.md, section 5: 0.1 % of pixels; 2e-3; 5e-5. NaN is not."""
        return self.fraction <= 1e-3 and self.norm <= 2e-3 and self.median <= 5e-5


def compare_outputs(output: RenderOutput, reference: RenderOutput) -> list[Disagreement]:
    """Every picture, ``visible`` and ``radius`` (there the fraction is of surfels)."""
    found = []
    for name in (*IMAGES, "radius"):
        exact = getattr(reference, name).detach().double()
        value = getattr(output, name).detach().double()
        span = max(float(exact.max() - exact.min()), 1e-12)
        near_enough = (value - exact).abs() <= 1e-4 * span
        if exact.ndim == 4:
            near_enough = near_enough.all(-1)
        found.append(Disagreement(name, fraction=1.0 - float(near_enough.double().mean())))
    same = (output.visible == reference.visible).double().mean()
    found.append(Disagreement("visible", fraction=1.0 - float(same)))
    return found


def compare_gradients(found: dict[str, Tensor], exact: dict[str, Tensor]) -> list[Disagreement]:
    """Every parameter's gradient; a surfel's error is relative to its own gradient's norm."""
    out = []
    for name, reference in exact.items():
        reference = reference.double()
        error = found[name].double() - reference
        norm = float(error.norm() / reference.norm().clamp_min(1e-300))
        rows = reference.reshape(-1, reference.shape[-1]) if name == "colour" else reference
        if name == "opacity":
            rows = reference[:, None]
        elif name == "tangents":
            rows = reference.reshape(-1, 6)
        elif name != "colour":
            rows = reference.reshape(-1, 3)
        size = rows.norm(dim=1)
        off = error.reshape(rows.shape).norm(dim=1)
        touched = size > 0
        median = float((off[touched] / size[touched]).median()) if bool(touched.any()) else 0.0
        out.append(Disagreement(name + " gradient", norm=norm, median=median))
    return out


def assert_agreement(rasterizer: Rasterizer, reference: Rasterizer, drawing: Drawing) -> None:
    """Every output and every gradient within the tolerances."""
    output, found = gradients(rasterizer, drawing)
    exact_output, exact = gradients(reference, drawing.to("cuda", torch.float64), loss_weights(output))
    rows = compare_outputs(output, exact_output) + compare_gradients(found, exact)
    report = "\n".join(
        f"{row.name:20s} pixels off {row.fraction:.2e}  norm {row.norm:.2e}  median {row.median:.2e}"
        for row in rows
    )
    print(report)
    assert all(row.acceptable for row in rows), report
