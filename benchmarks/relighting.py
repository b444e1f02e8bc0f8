"""How well an avatar is lit anew: trained under one lamp, measured under others.

    surfhead train --appearance lit --out runs/lit
    python -m benchmarks.relighting runs/lit OUT --lights window,noon,sunset

The run must have been trained on the built-in data, which are drawn again under every other lamp (and under
``even``, whose pictures are the albedo). The avatar is drawn under these lamps' harmonics, divided by the
mean of the lamp it was trained under: light and albedo are known up to that factor. OUT gets table.md
(printed as well), results.json and relighting.png:

- foreground PSNR of the avatar lit anew, and of the same avatar as it was trained;
- shading ratio: what the avatar's light gives over what the true light gives, shadows and all: its median
  over the head and the mean of |log2| about that;
- albedo: mean absolute error in percent of 1, and PSNR, after the best factor a channel.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.api import create
from surfhead.core.named_light import named_light as named
from surfhead.core.scene import Scene
from surfhead.core.surface import unlit
from surfhead.data.feed import cameras_of
from surfhead.drawing import pictures
from surfhead.drawing.contact_sheet import contact_sheet
from surfhead.maths import metrics
from surfhead.maths.lamps import STUDIO
from surfhead.maths.light import Light
from surfhead.plugins.datasets.synthetic.synthetic import SyntheticScene
from surfhead.results.shots import of_views
from surfhead.runs.run import load_avatar, read_config

SOLID = 0.95  # of the mask and of alpha: pixels that show the head alone


def scene_under(run: Path, light: str) -> Scene:
    """The run's data under another lamp; only the frames that are looked at are drawn."""
    data = read_config(run).data
    dataset = create("dataset", data.name, {**data.options, "light": light})
    return SyntheticScene(dataset.options)


def drawn(
    avatar: Avatar, scene: Scene, row: int, light: Light | None
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Picture, parts over black, and alpha of a view."""
    avatar.appearance.relight(light)
    shots = of_views(scene, np.array([row]))
    found = avatar.render(
        cameras_of(scene, [row], "cpu"), shots.pose(0), background=shots.background, parts=True
    )
    return (
        found.output.rgb[0].clamp(0, 1).cpu(),
        {name: value[0].cpu() for name, value in found.parts.items()},
        found.output.alpha[0].cpu(),
    )


def truth_of(scene: Scene, row: int) -> tuple[Tensor, Tensor]:
    """The true picture in [0, 1] and the mask in [0, 1]."""
    frame = scene.frame(row)
    assert frame.mask is not None
    return torch.from_numpy(frame.image).float() / 255.0, torch.from_numpy(frame.mask).float() / 255.0


def measure(run: Path, lights: list[str], splits: list[str], limit: int, device: str) -> dict[str, Any]:
    """The figures of a run, and pictures of its first view under every light."""
    avatar = load_avatar(run, device=device)
    if not avatar.appearance.relightable:
        raise unlit(avatar.appearance.name)
    own = read_config(run).data.options.get("light", STUDIO.name)
    gauge = 1.0 / named(own).light().mean
    rows_of = scene_under(run, own).views.of
    table: dict[str, Any] = {"run": str(run), "trained under": own, "figures": {}, "albedo": {}}
    sheet: dict[str, list[np.ndarray]] = {"truth": [], "lit anew": [], "as trained": []}
    bare = scene_under(run, "even")
    for split in splits:
        rows = [int(row) for row in rows_of(split)]
        rows = rows[:: max(1, len(rows) // limit)][:limit]
        table["albedo"][split] = _albedo(avatar, bare, rows)
        for name in [own, *lights]:
            scene, light = scene_under(run, name), named(name).light().scaled(gauge)
            found = []
            for row in rows:
                truth, mask = truth_of(scene, row)
                lit, parts, alpha = drawn(avatar, scene, row, light)
                plain, *_ = drawn(avatar, scene, row, None)
                albedo, _ = truth_of(bare, row)
                found.append(
                    {
                        "relit": float(metrics.psnr(lit[None], truth[None], mask[None])),
                        "as trained": float(metrics.psnr(plain[None], truth[None], mask[None])),
                        **_shading(parts["shading"], alpha, truth, albedo, mask, 1.0 / gauge),
                    }
                )
                if split == splits[0] and row == rows[0]:
                    for label, picture in (("truth", truth), ("lit anew", lit), ("as trained", plain)):
                        sheet[label].append(pictures.to_bytes(picture))
            means = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
            table["figures"].setdefault(split, {})[name] = means
    avatar.appearance.relight(None)
    table["sheet"] = contact_sheet([own, *lights], sheet)
    return table


def _albedo(avatar: Avatar, scene: Scene, rows: list[int]) -> dict[str, float]:
    """Errors of the albedo in pixels that show the head alone, after the best factor a channel."""
    mine, true = [], []
    for row in rows:
        picture, mask = truth_of(scene, row)
        _, parts, alpha = drawn(avatar, scene, row, None)
        inside = (mask >= SOLID) & (alpha >= SOLID)
        mine.append(parts["albedo"][inside] / alpha[inside][:, None])
        true.append(picture[inside])
    found, exact = torch.cat(mine), torch.cat(true)
    factor = (found * exact).sum(dim=0) / found.square().sum(dim=0)
    apart = factor * found - exact
    error = 100.0 * float(apart.abs().mean())
    return {"error %": error, "psnr": float(-10.0 * apart.square().mean().log10())}


def _shading(
    shading: Tensor, alpha: Tensor, truth: Tensor, albedo: Tensor, mask: Tensor, scale: Tensor
) -> dict[str, float]:
    """Ratio of the avatar's shading to the true one, where albedo is bright enough and nothing is clipped."""
    inside = (mask >= SOLID) & (alpha >= SOLID) & (albedo.amin(-1) > 0.1) & (truth.amax(-1) < 0.99)
    true = (truth / albedo.clamp_min(1e-3))[inside].mean(dim=-1)
    mine = (scale * shading)[inside].mean(dim=-1) / alpha[inside]
    ratio = (mine / true.clamp_min(1e-3)).clamp_min(1e-3)
    middle = ratio.median()
    return {"shading ratio": float(middle), "spread": float((ratio / middle).log2().abs().mean())}


def as_table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        f"Trained under `{found['trained under']}`.",
        "",
        "| split | light | foreground PSNR, lit anew | as trained | shading ratio | its spread, log2 |",
        "|---|---|---|---|---|---|",
    ]
    for split, lights in found["figures"].items():
        for name, one in lights.items():
            lines.append(
                f"| {split} | {name} | {one['relit']:.2f} | {one['as trained']:.2f} | "
                f"{one['shading ratio']:.2f} | {one['spread']:.3f} |"
            )
    for split, one in found["albedo"].items():
        lines += ["", f"Albedo, {split}: mean absolute error {one['error %']:.2f} %, {one['psnr']:.2f} dB."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lights", default="window,noon,sunset")
    parser.add_argument("--splits", default="val,test")
    parser.add_argument("--limit", type=int, default=12, help="views of a split")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    found = measure(
        options.run, options.lights.split(","), options.splits.split(","), options.limit, options.device
    )
    options.out.mkdir(parents=True, exist_ok=True)
    pictures.save(found.pop("sheet"), options.out / "relighting.png")
    (options.out / "results.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    text = as_table(found)
    (options.out / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
