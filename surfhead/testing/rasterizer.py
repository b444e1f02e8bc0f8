"""Checks of rasterizers (docs/method.md, section 5); the reference is the registered rasterizer ``torch``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from surfhead.core.registry import create
from surfhead.core.types import Cameras, RenderOutput, WorldSurfels
from surfhead.testing import tiny
from surfhead.testing.capture import require_capturable
from surfhead.testing.suite import Subject, promise, require
from surfhead.testing.values import (
    require_close,
    require_finite,
    require_repeatable,
    require_shape,
    require_unchanged,
    snapshot,
)

MANY = 60
HEIGHT, WIDTH = 28, 44
PICTURES = ("rgb", "alpha", "normal", "depth", "median_depth", "distortion")
AT_A_SWITCH = 0.001  # fraction of the pixels at which float32 may decide otherwise than float64
OUTPUT_TOLERANCE = 1e-4  # of an output's range
GRADIENT_TOLERANCE = 2e-3  # relative norm over all surfels
GRADIENT_MEDIAN = 5e-5  # of the surfels' relative errors


def _device(subject: Subject, rasterizer: Any) -> str:
    return "cpu" if type(rasterizer).supports("cpu") else "cuda"


def _scene(
    count: int = MANY,
    poses: int = 1,
    views: int = 1,
    channels: int = 3,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> tuple[WorldSurfels, Tensor, Cameras, Tensor, Tensor]:
    """Arguments of a rasterizer: view b shows pose B - 1 - b where there are as many poses."""
    random = tiny.generator(seed + 100)
    surfels = tiny.surfels(count, poses, seed, dtype)
    colour = torch.rand(views, count, channels, generator=random)
    background = torch.rand(views, channels, generator=random)
    pose_of_view = (
        torch.arange(views - 1, -1, -1) if poses == views else torch.zeros(views, dtype=torch.int64)
    )
    cameras = tiny.cameras(views, HEIGHT, WIDTH, dtype=dtype)
    moved = WorldSurfels(
        *(getattr(surfels, name).to(device) for name in ("mean", "tangents", "normal", "opacity"))
    )
    return (
        moved,
        colour.to(device, dtype),
        cameras.to(device),
        pose_of_view.to(device),
        background.to(device, dtype),
    )


def _converted(scene: tuple[Any, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    """The same scene in another precision, on the CPU."""
    surfels, colour, cameras, pose_of_view, background = scene
    values = (surfels.mean, surfels.tangents, surfels.normal, surfels.opacity)
    made = WorldSurfels(*(value.detach().to("cpu", dtype) for value in values))
    return (
        made,
        colour.detach().to("cpu", dtype),
        cameras.to("cpu", dtype),
        pose_of_view.cpu(),
        background.to("cpu", dtype),
    )


def _require_output(output: Any, views: int, count: int, channels: int) -> None:
    require(
        isinstance(output, RenderOutput), f"It gave a {type(output).__name__}.", "Expected a RenderOutput."
    )
    picture = (views, HEIGHT, WIDTH)
    require_shape(output.rgb, (*picture, channels), "rgb")
    require_shape(output.normal, (*picture, 3), "normal")
    for name in ("alpha", "depth", "median_depth", "distortion"):
        require_shape(getattr(output, name), picture, name)
    require_shape(output.visible, (views, count), "visible")
    require_shape(output.radius, (views, count), "radius")
    require(output.visible.dtype == torch.bool, f"visible is {output.visible.dtype}.", "Expected bool.")
    require_finite(output, "The output's")
    require(bool(((output.alpha >= 0) & (output.alpha <= 1 + 1e-5)).all()), "alpha leaves [0, 1].")
    require(bool(((output.radius > 0) == output.visible).all()), "radius is not > 0 exactly where visible.")


@promise("rasterizer")
def gives_pictures(subject: Subject) -> None:
    """For 1 and 3 views, 1 and 3 poses, 1 to 4 channels, 0, 1 and many surfels, outputs have their shapes."""
    rasterizer = subject.make()
    device = _device(subject, rasterizer)
    for count in (0, 1, MANY):
        for poses, views, channels in ((1, 1, 3), (1, 3, 1), (3, 3, 3), (3, 3, 4)):
            output = rasterizer(*_scene(count, poses, views, channels, device=device))
            _require_output(output, views, count, channels)


@promise("rasterizer")
def deterministic(subject: Subject) -> None:
    """Equal inputs give equal pictures, bit for bit, in every instance."""
    require_repeatable(
        subject.make, lambda made: made(*_scene(poses=3, views=3, device=_device(subject, made)))
    )


@promise("rasterizer")
def inputs_unmodified(subject: Subject) -> None:
    """Surfels, colours and cameras are left as they were, by the backward pass too."""
    rasterizer = subject.make()
    scene = _scene(views=3, device=_device(subject, rasterizer))
    scene[0].mean.requires_grad_()
    before = snapshot(scene)
    rasterizer(*scene).rgb.sum().backward()
    require_unchanged(scene, before)


@promise("rasterizer")
def empty_is_background(subject: Subject) -> None:
    """Without surfels, and with all behind the camera, the picture is the background and all else is 0."""
    rasterizer = subject.make()
    device = _device(subject, rasterizer)
    away = _scene(views=2, device=device)
    behind = replace(away[0], mean=away[0].mean + torch.tensor([0.0, 0.0, 5.0], device=device))
    for scene in (_scene(0, views=2, device=device), (behind, *away[1:])):
        output = rasterizer(*scene)
        require_close(output.rgb, scene[4][:, None, None].expand_as(output.rgb), "rgb", 1e-6)
        for name in PICTURES[1:]:
            require(bool((getattr(output, name) == 0).all()), f"{name} is not 0 where nothing is.")
        require(not bool(output.visible.any()), "A surfel behind the camera is visible.")
        require(bool((output.radius == 0).all()), "A surfel behind the camera has a radius.")


@promise("rasterizer")
def order_does_not_matter(subject: Subject) -> None:
    """Surfels of distinct depths in another order give the same pictures."""
    rasterizer = subject.make()
    surfels, colour, *rest = _scene(views=2, device=_device(subject, rasterizer))
    order = torch.randperm(MANY, generator=tiny.generator(4)).to(colour.device)
    shuffled = WorldSurfels(
        surfels.mean[:, order], surfels.tangents[:, order], surfels.normal[:, order], surfels.opacity[order]
    )
    output = rasterizer(surfels, colour, *rest)
    other = rasterizer(shuffled, colour[:, order], *rest)
    for name in PICTURES:
        require_close(getattr(other, name), getattr(output, name), name, 1e-5)
    require(torch.equal(other.visible, output.visible[:, order]), "visible does not follow the order.")
    require_close(other.radius, output.radius[:, order], "radius", 1e-3)


@promise("rasterizer")
def views_are_independent(subject: Subject) -> None:
    """Three views of three poses at once equal the three one by one."""
    rasterizer = subject.make()
    surfels, colour, cameras, pose_of_view, background = _scene(
        poses=3, views=3, device=_device(subject, rasterizer)
    )
    together = rasterizer(surfels, colour, cameras, pose_of_view, background)
    for view in range(3):
        row = slice(view, view + 1)
        alone = rasterizer(surfels, colour[row], cameras[row], pose_of_view[row], background[row])
        for name in (*PICTURES, "radius"):
            value = getattr(alone, name)[0]
            require_close(value, getattr(together, name)[view], f"{name} of view {view}", 1e-5)


@promise("rasterizer")
def large_surfel_fills_centre(subject: Subject) -> None:
    """A large opaque surfel facing the camera shows its colour, normal and depth in the middle."""
    rasterizer = subject.make()
    device = _device(subject, rasterizer)
    cameras = Cameras(
        torch.eye(4)[None],
        torch.tensor([[[40.0, 0.0, WIDTH / 2], [0.0, 40.0, HEIGHT / 2], [0.0, 0.0, 1.0]]]),
        HEIGHT,
        WIDTH,
    ).to(device)
    surfels = WorldSurfels(
        torch.tensor([[[0.0, 0.0, 1.0]]], device=device),
        torch.tensor([[[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]]], device=device),
        torch.tensor([[[0.0, 0.0, 1.0]]], device=device),  # away from the camera: it must be turned
        torch.ones(1, device=device),
    )
    colour = torch.tensor([[[0.2, 0.5, 0.9]]], device=device)
    background = torch.zeros(1, 3, device=device)
    output = rasterizer(
        surfels, colour, cameras, torch.zeros(1, dtype=torch.int64, device=device), background
    )
    middle = (0, HEIGHT // 2, WIDTH // 2)
    require_close(output.alpha[middle], torch.tensor(0.99), "alpha", 1e-4)
    require_close(output.rgb[middle], 0.99 * colour[0, 0], "rgb", 1e-4)
    require_close(output.normal[middle], torch.tensor([0.0, 0.0, -0.99]), "normal", 1e-4)
    require_close(output.depth[middle], torch.tensor(1.0), "depth", 1e-4)
    require_close(output.median_depth[middle], torch.tensor(1.0), "median depth", 1e-4)
    require(bool(output.visible.all()), "It is not visible.")
    require(float(output.radius) >= WIDTH / 2, f"Its radius is {float(output.radius):.1f} pixels.")


@promise("rasterizer")
def agrees_with_reference(subject: Subject) -> None:
    """Every output agrees with the float64 reference within 1e-4 of its range, but for pixels at a switch."""
    rasterizer = subject.make()
    device = _device(subject, rasterizer)
    reference = create("rasterizer", "torch")
    for seed, (poses, views) in enumerate(((1, 1), (1, 3), (3, 3))):
        scene = _scene(poses=poses, views=views, seed=seed, device=device)
        ours = rasterizer(*scene)
        truth = reference(*_converted(scene, torch.float64))
        for name in PICTURES:
            value, wanted = getattr(ours, name).detach().cpu().double(), getattr(truth, name)
            span = float((wanted.max() - wanted.min()).clamp_min(1e-12))
            wrong = (value - wanted).abs() > OUTPUT_TOLERANCE * span
            wrong = wrong.flatten(3).any(-1) if wrong.ndim == 4 else wrong
            allowed = max(1, round(AT_A_SWITCH * wrong.numel()))
            require(
                int(wrong.sum()) <= allowed,
                f"{name} differs at {int(wrong.sum())} of {wrong.numel()} pixels, by up to "
                f"{float((value - wanted).abs().max()):.3g}; its range is {span:.3g}.",
                f"Expected at most {allowed} pixels over {OUTPUT_TOLERANCE:g} of the range.",
            )
        require(torch.equal(ours.visible.cpu(), truth.visible), "visible differs.")
        require_close(ours.radius.cpu(), truth.radius, "radius", 1e-2, 1e-3)


@promise("rasterizer")
def gradients_agree_with_reference(subject: Subject) -> None:
    """Gradients of every output to every input agree with the float64 reference: relative norm 2e-3."""
    rasterizer = subject.make()
    device = _device(subject, rasterizer)
    reference = create("rasterizer", "torch")
    seed = 2
    scene = _scene(poses=2, views=2, seed=seed, device=device)
    exact = _converted(scene, torch.float64)
    ours = _gradients(rasterizer, scene, seed)
    truth = _gradients(reference, exact, seed)
    for key, wanted in truth.items():
        value = ours[key].cpu().double()
        require_finite(value, f"d {key[0]} / d {key[1]}")
        size = float(wanted.norm())
        error = float((value - wanted).norm())
        require(
            error <= GRADIENT_TOLERANCE * size + 1e-7,
            f"d {key[0]} / d {key[1]} differs by {error / max(size, 1e-30):.3g} of its norm {size:.3g}.",
            f"Expected at most {GRADIENT_TOLERANCE:g}.",
        )
        width = {"tangents": 6, "opacity": 1}.get(key[1], wanted.shape[-1])
        rows = (value - wanted).reshape(-1, width).norm(dim=1)
        sizes = wanted.reshape(-1, width).norm(dim=1)
        relative = (rows / sizes.clamp_min(1e-30))[sizes > 1e-9 * max(size, 1e-30)]
        if len(relative):
            median = float(relative.median())
            require(
                median <= GRADIENT_MEDIAN,
                f"d {key[0]} / d {key[1]} differs by {median:.3g} at the median surfel.",
                f"Expected at most {GRADIENT_MEDIAN:g}.",
            )


def _gradients(rasterizer: Any, scene: tuple[Any, ...], seed: int) -> dict[tuple[str, str], Tensor]:
    """(output, input) -> gradient of the output weighted at random."""
    surfels, colour, cameras, pose_of_view, background = scene
    leaves = {
        "mean": surfels.mean,
        "tangents": surfels.tangents,
        "normal": surfels.normal,
        "opacity": surfels.opacity,
        "colour": colour,
        "background": background,
    }
    leaves = {name: value.detach().clone().requires_grad_() for name, value in leaves.items()}
    world = WorldSurfels(*(leaves[name] for name in ("mean", "tangents", "normal", "opacity")))
    output = rasterizer(world, leaves["colour"], cameras, pose_of_view, leaves["background"])
    found = {}
    for name in ("rgb", "alpha", "normal", "depth", "median_depth", "distortion"):
        value = getattr(output, name)
        random = tiny.generator(seed + len(name))
        weight = torch.randn(value.shape, generator=random, dtype=torch.float64).to(value)
        gradients = torch.autograd.grad(
            (value * weight).sum(), list(leaves.values()), retain_graph=True, allow_unused=True
        )
        for (key, leaf), gradient in zip(leaves.items(), gradients, strict=True):
            found[name, key] = torch.zeros_like(leaf) if gradient is None else gradient
    return found


@promise("rasterizer")
def capturable(subject: Subject) -> None:
    """Where it says so, a CUDA graph can hold it: it looks at no values and copies nothing from the host."""
    rasterizer = subject.make()
    if not rasterizer.capturable:
        return
    scene = _scene(poses=3, views=3, device=_device(subject, rasterizer))
    scene[0].mean.requires_grad_()
    require_capturable(lambda given: rasterizer(*given), scene, scene)
