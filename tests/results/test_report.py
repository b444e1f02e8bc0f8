"""The HTML report: what is in it, and that it loads nothing."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from surfhead.data.opening import open_scene
from surfhead.results.report import data_uri, worst_of, write_report
from surfhead.results.report_figures import best_of, losses_to
from surfhead.results.report_origin import origin_of
from surfhead.runs.run import read_config


class Page(HTMLParser):
    """Every attribute that makes a browser load something, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.images: dict[str, str] = {}
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.loads += [given[name] for name in ("src", "href", "srcset", "poster", "data") if name in given]
        if tag == "img":
            self.images.setdefault(given["alt"], given["src"])

    def handle_data(self, data: str) -> None:
        self.text += data


def decoded(uri: str) -> np.ndarray:
    kind, _, content = uri.partition(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def html(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a small run of the built-in head."""
    run = tmp_path_factory.mktemp("report") / "run <1>"
    shutil.copytree(trained_run, run)
    path = write_report(run, views=2, worst=1, frames=5, size=40, turn=90.0, device="cpu")
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


def test_it_loads_nothing_from_anywhere(html: str) -> None:
    page = Page(html)
    # truth, picture, error, two normals of three views; four sides; the video; an empty icon
    assert len(page.loads) == 3 * 5 + 4 * 2 + 2
    assert [url for url in page.loads if not url.startswith("data:")] == []
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp", html)
    assert "default-src 'none'" in html


def test_it_shows_held_out_views_beside_their_truth(html: str, trained_run: Path) -> None:
    page = Page(html)
    scene = open_scene(read_config(trained_run)).scene
    first = int(scene.views.of("val")[0])
    name, frame = scene.views.names[first], scene.frame(first)
    truth = decoded(page.images[f"truth of view {name}"])
    assert np.abs(truth - frame.image).mean() < 3.0  # compressed, with less colour than light
    drawn = decoded(page.images[f"rendering of view {name}"])
    assert 3.0 < np.abs(drawn - truth).mean() < 60.0
    assert frame.normal is not None
    colours = 255 * (frame.normal * [0.5, -0.5, -0.5] + 0.5) * (np.abs(frame.normal).sum(-1) > 0)[..., None]
    assert np.abs(decoded(page.images["true normals"]) - colours).mean() < 6.0
    assert len([alt for alt in page.images if alt.startswith("truth of")]) == 3


def test_it_holds_figures_curves_settings_and_a_video(html: str, tmp_path: Path) -> None:
    page = Page(html)
    assert "run <1>" in page.text  # escaped in the source, so that it is text
    for text in ("val, means over views", "test, means over views", "one colour a triangle", "this avatar"):
        assert text in page.text, text
    assert "dB, whole picture, colours clipped to [0, 1], at most 100" in page.text
    assert 'name = "synthetic"' in page.text
    for curve in ("loss terms, weighted", "PSNR ↑ dB", "normals ↓ °", "surfels"):
        assert f"<h3>{curve}</h3><svg" in html, curve
    video = re.search(r'<video [^>]*src="data:video/mp4;base64,([^"]+)"', html)
    assert video is not None
    (tmp_path / "film.mp4").write_bytes(base64.b64decode(video[1]))
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "film.mp4"))[0] == 5


def test_what_is_missing_is_left_out_or_measured(trained_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    shutil.rmtree(run / "eval")
    (run / "metrics.jsonl").unlink()
    html = write_report(
        run, tmp_path / "sub" / "mine.html", views=0, worst=0, frames=0, size=40, device="cpu"
    ).read_text()
    assert "<video" not in html
    assert html.count("<img") == 4 * 2
    assert "This run kept none" in html
    assert "test, means over views" in html
    assert list((run / "eval").glob("*/val.json"))


def test_pictures_survive_in_a_data_uri() -> None:
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (16, 64, 3)).copy()
    assert np.abs(decoded(data_uri(ramp)) - ramp).max() <= 4


def test_it_says_when_where_and_from_what_the_run_was_made(html: str) -> None:
    text = Page(html).text
    for what in ("begun", "trained for", "machine", "surfhead", "torch"):
        assert what in text, what
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", text)
    assert f"{os.cpu_count()} cores" in text


def test_an_old_record_says_what_it_knows(tmp_path: Path) -> None:
    assert origin_of(tmp_path) == []
    (tmp_path / "environment.json").write_text('{"platform": "Linux", "packages": {"surfhead": "0.1.0"}}')
    assert origin_of(tmp_path) == [("machine", "Linux"), ("surfhead", "0.1.0")]
    (tmp_path / "environment.json").write_text("[]")
    assert origin_of(tmp_path) == []


def test_the_best_of_each_figure_stands_out() -> None:
    rows = [{"psnr": 30.0, "l1": 0.2}, {"psnr": 31.0, "l1": 0.1}, {"psnr": 31.001}]
    psnr, l1 = best_of(rows, ["psnr", "l1"])
    assert [cell.best for cell in psnr] == [False, True, True]  # they read the same
    assert [cell.best for cell in l1] == [False, True, False]
    assert [cell.text for cell in l1] == ["0.2000", "0.1000", ""]
    assert best_of([{"psnr": 30.0}], ["psnr"])[0][0].best is False


def test_where_the_avatar_loses_to_the_bare_mesh_it_says_so() -> None:
    bare = {"one colour a triangle": {"psnr": 20.0, "angular_error": 8.2, "ssim": 0.90001}}
    said = losses_to(bare, {"psnr": 30.0, "angular_error": 8.47, "ssim": 0.9, "ncs": 0.9})
    assert said == ["The bare mesh (one colour a triangle) is better in normals: 8.47° against 8.20°."]


def test_the_worst_views_come_first(trained_run: Path) -> None:
    scene = open_scene(read_config(trained_run)).scene
    names = scene.views.names
    rows = [{"view": names[number], "foreground_psnr": 20.0 + number} for number in (3, 1, 2)]
    found = worst_of(scene, {"val": {"rows": [*rows, {"view": "unknown", "psnr": 1.0}]}}, 2)
    assert found.tolist() == [1, 2]
