"""Time rasterizers on a GPU: forward and forward+backward a view, wall clock and GPU, over sizes and batches.

    python -m benchmarks.rasterizer_gpu [--names cuda,gsplat,gsplat-packed] [--repeats 30] [--kernels]

The work is benchmarks/head_scene.py; the loss uses every picture. Wall: host clock around all repeats, ended
by one synchronisation, so it includes the launches of PyTorch. GPU: the sum of the kernels' and copies' times
by the profiler. Each figure is the median of three such measurements.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.head_scene import head_scene
from surfhead.core.api import RenderOutput, WorldSurfels

SIZES = (
    (20_000, 802, 550),
    (100_000, 802, 550),
    (300_000, 802, 550),
    (100_000, 1604, 1100),
    (1_000_000, 1604, 1100),
)
PICTURES = ("rgb", "alpha", "normal", "depth", "distortion")


def loss(output: RenderOutput) -> torch.Tensor:
    """A scalar that every picture but the median depth has a part in (gsplat gives that no gradient)."""
    total = output.rgb.mean()
    for name in PICTURES[1:]:
        total = total + getattr(output, name).mean()
    return total


def make(name: str) -> Any:
    """The rasterizer of this name."""
    if name == "cuda":
        from surfhead.plugins.rasterizers.cuda import Cuda

        return Cuda()
    from surfhead_gsplat.rasterizer import Gsplat

    return Gsplat(Gsplat.Options(packed=name.endswith("packed"), check=False))


def cases(rasterizer: Any, scene: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Functions that run forward, and forward and backward, once."""
    surfels, colour, cameras, pose_of_view, background = scene
    leaves = [
        t.clone().requires_grad_()
        for t in (surfels.mean, surfels.tangents, surfels.normal, surfels.opacity, colour)
    ]

    def forward() -> None:
        with torch.no_grad():
            rasterizer(surfels, colour, cameras, pose_of_view, background)

    def both() -> None:
        drawn = rasterizer(WorldSurfels(*leaves[:4]), leaves[4], cameras, pose_of_view, background)
        torch.autograd.grad(loss(drawn), leaves, allow_unused=True)

    return forward, both


def wall_ms(run: Callable[[], Any], repeats: int) -> float:
    """Milliseconds a run by the host's clock."""
    found = []
    for _ in range(3):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(repeats):
            run()
        torch.cuda.synchronize()
        found.append((time.perf_counter() - began) / repeats * 1e3)
    return statistics.median(found)


def gpu_ms(run: Callable[[], Any], repeats: int) -> tuple[float, dict[str, float], int]:
    """GPU milliseconds a run, the same by kernel, and GPU operations a run."""
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(repeats):
            run()
        torch.cuda.synchronize()
    table: dict[str, float] = defaultdict(float)
    count = 0
    for event in profile.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            table[event.name] += event.self_device_time_total / 1e3 / repeats
            count += 1
    return sum(table.values()), dict(table), count // repeats


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--names", default="cuda")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--kernels", action="store_true", help="GPU time by kernel for each case")
    parser.add_argument("--sizes", default="0,1,2,3,4", help="rows of SIZES")
    parser.add_argument("--batches", default="1,8")
    options = parser.parse_args()
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    print("| surfels | picture | views | rasterizer | wall f | wall f+b | GPU f | GPU f+b | GPU ops f+b |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for row in options.sizes.split(","):
        count, height, width = SIZES[int(row)]
        for views in map(int, options.batches.split(",")):
            scene = head_scene(count, views, height, width)
            for name in options.names.split(","):
                forward, both = cases(make(name), scene)
                for _ in range(4):
                    both()
                    torch.cuda.synchronize()  # so that the room for entries has been learnt
                forward()
                wall = [wall_ms(run, options.repeats) / views for run in (forward, both)]
                gpu = [gpu_ms(run, 5) for run in (forward, both)]
                print(
                    f"| {count} | {height}x{width} | {views} | {name} | {wall[0]:.3f} | {wall[1]:.3f} "
                    f"| {gpu[0][0] / views:.3f} | {gpu[1][0] / views:.3f} | {gpu[1][2]} |",
                    flush=True,
                )
                if options.kernels:
                    for kernel, ms in sorted(gpu[1][1].items(), key=lambda item: -item[1])[:12]:
                        print(f"    {ms / views * 1e3:8.1f} us  {kernel[:90]}", flush=True)


if __name__ == "__main__":
    main()
