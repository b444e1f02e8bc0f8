"""Measuring a split: figures by hand, files, the table, the comparison picture."""

from __future__ import annotations

import csv
import json
import logging
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from surfhead.core.errors import DataError, UnknownNameError
from surfhead.core.scene import Frame, Scene, Views
from surfhead.core.types import Cameras, RenderOutput
from surfhead.drawing.colour_maps import heat
from surfhead.drawing.comparison import ComparisonSheet
from surfhead.measuring import evaluation, perceptual
from surfhead.measuring.evaluation import Evaluation, evaluate, score_view, spread

HEIGHT, WIDTH = 12, 16
FACING = torch.tensor([0.0, 0.0, -1.0])


@pytest.fixture(autouse=True)
def _forget_lpips() -> Any:
    perceptual.load_lpips.cache_clear()
    yield
    perceptual.load_lpips.cache_clear()


def frame(level: int = 100, mask: bool = True, geometry: bool = True) -> Frame:
    """A grey picture whose left half is foreground, a plane at 0.5 m facing the camera."""
    inside = np.zeros((HEIGHT, WIDTH), dtype=bool)
    inside[:, : WIDTH // 2] = True
    return Frame(
        np.full((HEIGHT, WIDTH, 3), level, dtype=np.uint8),
        (255 * inside).astype(np.uint8) if mask else None,
        (inside[..., None] * FACING.numpy()).astype(np.float32) if geometry else None,
        (0.5 * inside).astype(np.float32) if geometry else None,
    )


class GreyScene(Scene):
    """Five views, three of them val; the picture's level says which timestep it shows."""

    def __init__(self) -> None:
        views = Views(
            camera_from_world=np.tile(np.eye(4), (5, 1, 1)),
            intrinsics=np.tile(np.diag([20.0, 20.0, 1.0]), (5, 1, 1)),
            timestep=np.array([0, 1, 2, 3, 3]),
            camera=np.array([0, 8, 8, 8, 1]),
            split=np.array(["train", "val", "val", "val", "train"]),
            names=("a", "b", "c [bold]", "d", "e"),
            height=HEIGHT,
            width=WIDTH,
        )
        super().__init__(views, rig="none", rig_parameters={"jaw": torch.arange(4.0)[:, None]})

    def frame(self, view: int) -> Frame:
        return frame(100 + 10 * int(self.views.timestep[view]))


class Painter:
    """Stands for an avatar: paints the level of the timestep it is asked for; remembers what it was given."""

    device = torch.device("cpu")
    surfels = range(7)

    def __init__(self, off_by: float = 0.0) -> None:
        self.off_by = off_by
        self.asked: list[Any] = []

    def render(
        self, cameras: Cameras, timesteps: Tensor | Mapping[str, Tensor], *, background: Tensor
    ) -> SimpleNamespace:
        self.asked.append((len(cameras), timesteps, background))
        steps = timesteps["jaw"][:, 0] if isinstance(timesteps, Mapping) else timesteps
        level = (100.0 + 10.0 * steps.float()) / 255.0 + self.off_by
        shape = (len(cameras), HEIGHT, WIDTH)
        rgb = level[:, None, None, None].expand(*shape, 3)
        one = torch.ones(shape)
        empty = torch.zeros(len(cameras), 7)
        output = RenderOutput(
            rgb, one, FACING.expand(*shape, 3), 0.5 * one, 0.5 * one, 0 * one, empty.bool(), empty
        )
        return SimpleNamespace(output=output)


def view(**changes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A drawing that equals ``frame()`` in the foreground."""
    drawn = {
        "rgb": torch.full((HEIGHT, WIDTH, 3), 100 / 255),
        "alpha": torch.ones(HEIGHT, WIDTH),
        "normal": FACING.expand(HEIGHT, WIDTH, 3),
        "depth": torch.full((HEIGHT, WIDTH), 0.5),
    } | changes
    return drawn["rgb"], drawn["alpha"], drawn["normal"], drawn["depth"]


def test_a_perfect_view() -> None:
    found = score_view(*view(), frame())
    assert found == pytest.approx(
        {
            "psnr": 100.0,
            "l1": 0.0,
            "ssim": 1.0,
            "foreground_psnr": 100.0,
            "foreground_ssim": 1.0,
            "ncs": 1.0,
            "angular_error": 0.0,
            "depth_error_mm": 0.0,
        },
        abs=1e-4,
    )


def test_colour_off_by_a_tenth_in_the_background_alone() -> None:
    rgb = view()[0].clone()
    rgb[:, WIDTH // 2 :] += 0.1
    found = score_view(*view(rgb=rgb), frame())
    assert found["psnr"] == pytest.approx(20 + 10 * math.log10(2), abs=1e-3)
    assert found["l1"] == pytest.approx(0.05, abs=1e-5)
    assert found["foreground_psnr"] == pytest.approx(100.0)
    assert found["foreground_ssim"] > found["ssim"]


def test_colours_are_clipped_before_they_are_compared() -> None:
    white = frame(255)
    assert score_view(*view(rgb=torch.full((HEIGHT, WIDTH, 3), 1.7)), white)["psnr"] == pytest.approx(100.0)


def test_normals_count_inside_the_mask_and_undrawn_pixels_count_as_a_right_angle() -> None:
    alpha = torch.ones(HEIGHT, WIDTH)
    alpha[:, : WIDTH // 4] = 0.0  # half of the foreground
    normal = FACING.expand(HEIGHT, WIDTH, 3).clone()
    normal[:, WIDTH // 2 :] = -FACING  # the background does not count
    tilted = torch.tensor([0.0, -0.5, -math.sqrt(0.75)])
    normal[:, WIDTH // 4 : WIDTH // 2] = 0.2 * tilted  # a sum of weights below one
    found = score_view(*view(alpha=alpha, normal=normal), frame())
    assert found["ncs"] == pytest.approx(math.sqrt(0.75) / 2, abs=1e-5)
    assert found["angular_error"] == pytest.approx((30 + 90) / 2, abs=1e-3)


def test_depth_counts_where_something_solid_was_drawn_on_the_foreground() -> None:
    depth = torch.full((HEIGHT, WIDTH), 9.0)
    depth[:, WIDTH // 4 : WIDTH // 2] = 0.503
    alpha = torch.ones(HEIGHT, WIDTH)
    alpha[:, : WIDTH // 4] = 0.4
    found = score_view(*view(alpha=alpha, depth=depth), frame())
    assert found["depth_error_mm"] == pytest.approx(3.0, abs=1e-3)


def test_figures_without_a_truth_are_left_out() -> None:
    assert set(score_view(*view(), frame(mask=False, geometry=False))) == {"psnr", "l1", "ssim"}
    assert "foreground_psnr" not in score_view(*view(), frame(mask=False))
    assert "ncs" in score_view(*view(), frame(mask=False))
    empty = replace(frame(), mask=np.zeros((HEIGHT, WIDTH), dtype=np.uint8))
    assert set(score_view(*view(), empty)) == {"psnr", "l1", "ssim"}


def test_a_split_is_measured_view_by_view_and_on_average() -> None:
    painter = Painter(off_by=0.1)
    found = evaluate(painter, GreyScene(), "val", batch_size=2)  # type: ignore[arg-type]
    assert [(r["view"], r["timestep"], r["camera"]) for r in found.rows] == [
        ("b", 1, 8),
        ("c [bold]", 2, 8),
        ("d", 3, 8),
    ]
    assert [r["psnr"] for r in found.rows] == pytest.approx([20.0] * 3, abs=1e-3)
    assert found.means["psnr"] == pytest.approx(20.0, abs=1e-3)
    assert list(found.conventions) == list(found.means)
    assert [count for count, _, _ in painter.asked] == [2, 1]
    assert torch.equal(painter.asked[0][1], torch.tensor([1, 2]))
    assert torch.equal(painter.asked[0][2], torch.ones(3))  # the scene's background
    assert found.speed["surfels"] == 7
    assert found.speed["images_per_second"] > 0


def test_another_motion_drives_the_avatar() -> None:
    painter = Painter()
    motion = {"jaw": torch.tensor([[3.0], [2.0], [1.0], [0.0]])}
    found = evaluate(painter, GreyScene(), "val", motion=motion)  # type: ignore[arg-type]
    levels = [row["psnr"] for row in found.rows]
    assert levels[1] < 40.0  # timestep 2 is shown as 1
    assert torch.equal(painter.asked[0][1]["jaw"], torch.tensor([[2.0]]))


@pytest.mark.parametrize(
    ("limit", "kept"), [(0, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4]), (2, [0, 2]), (1, [0])]
)
def test_a_limit_spreads_the_views(limit: int, kept: list[int]) -> None:
    assert spread(np.arange(5), limit).tolist() == kept


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(UnknownNameError, match='split "vall"'):
        evaluate(Painter(), GreyScene(), "vall")  # type: ignore[arg-type]


def test_an_empty_split_gives_no_rows(tmp_path: Path) -> None:
    found = evaluate(Painter(), GreyScene(), "test", folder=tmp_path)  # type: ignore[arg-type]
    found.write(tmp_path)
    assert (found.rows, found.means) == ([], {})
    assert json.loads((tmp_path / "test.json").read_text())["views"] == 0
    assert not (tmp_path / "test.png").exists()


def test_a_picture_of_the_wrong_size_is_named() -> None:
    class Broken(GreyScene):
        def frame(self, view: int) -> Frame:
            return Frame(np.zeros((4, 4, 3), dtype=np.uint8))

    with pytest.raises(DataError, match='View "b": The true picture is \\(4, 4, 3\\)') as caught:
        evaluate(Painter(), Broken(), "val")  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 3


def test_the_files_hold_every_figure_and_the_conventions(tmp_path: Path) -> None:
    found = evaluate(Painter(), GreyScene(), "val", seen=True)  # type: ignore[arg-type]
    found.rows[0]["ncs"] = math.nan
    written = found.write(tmp_path / "eval")
    assert [path.name for path in written] == ["val.json", "val.csv"]
    document = json.loads(written[0].read_text(encoding="utf-8"))
    assert document["seen"] is True
    assert document["means"]["psnr"] == pytest.approx(found.means["psnr"])
    assert document["rows"][0]["ncs"] is None
    assert document["conventions"]["ssim"].startswith("whole picture, 11x11 Gaussian")
    with written[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["view"] for row in rows] == ["b", "c [bold]", "d", "mean"]
    assert float(rows[-1]["angular_error"]) == pytest.approx(found.means["angular_error"])


def test_the_table_names_conventions_and_views() -> None:
    found = evaluate(Painter(), GreyScene(), "val", seen=True)  # type: ignore[arg-type]
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(found.table(limit=2))
    text = console.export_text()
    console.file.close()
    for part in ("val: 3 views, seen in training", "c [bold]", "and 1 more", "zero padding", "PSNR ↑"):
        assert part in text


def test_a_mean_is_over_the_views_that_have_the_figure() -> None:
    class Patchy(GreyScene):
        def frame(self, view: int) -> Frame:
            return frame(mask=view != 2, geometry=False)

    found = evaluate(Painter(off_by=0.1), Patchy(), "val")  # type: ignore[arg-type]
    assert "foreground_psnr" not in found.rows[1]
    kept = [found.rows[i]["foreground_psnr"] for i in (0, 2)]
    assert found.means["foreground_psnr"] == pytest.approx(np.mean(kept))


def test_the_comparison_picture_shows_what_it_says(tmp_path: Path) -> None:
    evaluate(Painter(), GreyScene(), "val", folder=tmp_path)  # type: ignore[arg-type]
    sheet = np.asarray(Image.open(tmp_path / "val.png"))
    cell_x, cell_y = 4 + WIDTH + 4, 18 + 4 + 18
    assert sheet.shape == (18 + 4 + 3 * (HEIGHT + 18 + 4), 4 + 6 * (WIDTH + 4), 3)
    middle = cell_y + HEIGHT // 2
    assert sheet[middle, 8].tolist() == [110, 110, 110]  # truth of timestep 1
    assert sheet[middle, cell_x + 4].tolist() == [110, 110, 110]  # the drawing
    assert sheet[middle, 2 * (WIDTH + 4) + 8].tolist() == [0, 0, 0]  # no error
    assert sheet[middle, 3 * (WIDTH + 4) + 8].tolist() == [128, 128, 255]  # facing the camera
    assert sheet[middle, 4 * (WIDTH + 4) + WIDTH].tolist() == [255, 255, 255]  # no true normal there


def test_columns_without_data_are_left_out() -> None:
    sheet = ComparisonSheet("render")
    sheet.add("one", frame(geometry=False), *view(alpha=torch.zeros(HEIGHT, WIDTH)))
    assert sheet.picture().shape[1] == 4 + 5 * (WIDTH + 4)


def test_the_colours_of_errors() -> None:
    found = heat(torch.tensor([0.0, 1 / 3, 2 / 3, 1.0, 2.0]))
    expected = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))


def test_lpips_without_weights_is_left_out_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(perceptual, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with caplog.at_level(logging.WARNING, logger="surfhead"):
        for _ in range(2):
            found = evaluate(Painter(), GreyScene(), "val")  # type: ignore[arg-type]
    assert "lpips" not in found.means
    assert any("lpips" in note for note in found.notes)
    assert [r.message for r in caplog.records] == [
        f'LPIPS is left out: the weights of its backbone "alex" are not in {tmp_path / "checkpoints"}.'
    ]


def test_lpips_with_weights_gets_channels_first_in_minus_one_to_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Network(torch.nn.Module):
        def __init__(self, net: str, verbose: bool) -> None:
            super().__init__()
            self.backbone = net

        def forward(self, image: Tensor, target: Tensor) -> Tensor:
            assert image.shape[1:] == (3, HEIGHT, WIDTH)
            assert float(target.min()) >= -1.0
            return (image - target).abs().mean(dim=(1, 2, 3), keepdim=True)

    module = ModuleType("lpips")
    module.LPIPS = Network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", module)
    monkeypatch.setattr(perceptual, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vgg16-0.pth").touch()
    found = evaluate(Painter(off_by=0.1), GreyScene(), "val", backbone="vgg")  # type: ignore[arg-type]
    assert found.means["lpips"] == pytest.approx(0.2, abs=1e-5)
    assert found.means["foreground_lpips"] == pytest.approx(0.1, abs=1e-5)  # half of it is blackened
    assert found.conventions["lpips"] == "whole picture, vgg backbone, inputs scaled to [-1, 1] (standard)"
    assert found.notes == ()


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="squeeze"):
        perceptual.load_lpips("squeeze")


def test_an_empty_evaluation_has_a_table() -> None:
    assert Evaluation("val", [], {}, {}).table().rows == [["mean"]]
    assert evaluation.CONVENTIONS["psnr"]
