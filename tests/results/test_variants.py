"""Tables that compare runs, from evaluations as they lie in run folders."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from surfhead.core.errors import DataError
from surfhead.results import variants
from surfhead.results.variant_tables import cells_of, rich_table, write_tables
from surfhead.results.variants import Row, collect, measure, results


def made(root: Path, name: str, images: int = 20, **splits: dict[str, Any]) -> Path:
    """A run folder with one checkpoint and some evaluations of it."""
    run = root / name
    (run / "checkpoints" / f"{images:08d}").mkdir(parents=True)
    (run / "checkpoints" / f"{images:08d}" / "state.json").write_text("{}")
    folder = run / "eval" / f"{images:08d}"
    folder.mkdir(parents=True)
    for split, means in splits.items():
        document = {"views": 4, "seen": split == "train", "means": means}
        (folder / f"{split}.json").write_text(json.dumps(document))
    return run


def cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.reader(file))


def test_seeds_are_averaged_and_val_comes_first(tmp_path: Path) -> None:
    one = made(tmp_path, "one", val={"psnr": 20.0, "ssim": 0.9, "l1": 0.1}, test={"psnr": 18.0})
    two = made(tmp_path, "two", val={"psnr": 24.0, "ssim": 0.8}, test={"psnr": 19.0, "ssim": None})
    alone = made(tmp_path, "alone", val={"psnr": 30.0})
    rows = collect({"jbs & sh": [one, two], "x_y": [alone]})
    assert [(row.variant, row.split, row.runs) for row in rows] == [
        ("jbs & sh", "val", 2),
        ("x_y", "val", 1),
        ("jbs & sh", "test", 2),
    ]
    assert rows[0].metrics["psnr"] == pytest.approx((22.0, 8**0.5))
    files = write_tables(rows, tmp_path / "out")
    table = cells(files[0])
    assert table[0] == [
        "split",
        "variant",
        *(f"{n}_{w}" for n in ("psnr", "ssim") for w in ("mean", "deviation", "n")),
    ]
    assert table[1][:2] == ["val", "jbs & sh"]
    assert [float(number) for number in table[1][2:]] == pytest.approx([22.0, 8**0.5, 2, 0.85, 0.005**0.5, 2])
    assert table[2][2:] == ["30.0", "", "1", "", "", "0"]
    assert table[3][2:5] == ["18.5", "0.7071067811865476", "2"]
    markdown = files[1].read_text().splitlines()
    assert markdown[:4] == [
        "| split | variant | seeds | PSNR ↑ dB | SSIM ↑ |",
        "|---|---|---|---|---|",
        "| val | jbs & sh | 2 | 22.00 ± 2.83 | 0.8500 ± 0.0707 |",
        "| val | x_y | 1 | **30.00** |  |",
    ]
    latex = files[2].read_text()
    assert "\\begin{tabular}{lrrr}" in latex
    assert "seeds & PSNR $\\uparrow$ & SSIM $\\uparrow$ \\\\\n &  & [dB] &  \\\\" in latex
    assert "\\multicolumn{4}{l}{\\textit{val}} \\\\" in latex
    assert "jbs \\& sh & 2 & 22.00{\\scriptsize\\,$\\pm$\\,2.83} & 0.8500{" in latex
    assert "x\\_y & 1 & \\textbf{30.00}" in latex
    with Console(width=120) as console, console.capture() as shown:
        console.print(rich_table(rows))
    assert "22.00 ± 2.83" in shown.get()


SPREAD = [
    Row("a", "val", 3, {"psnr": (30.0, 0.5), "angular_error": (8.0, 0.1)}, {"psnr": 3, "angular_error": 3}),
    Row("b", "val", 3, {"psnr": (29.6, 0.1), "angular_error": (7.5, 0.1)}, {"psnr": 3, "angular_error": 3}),
    Row("c", "val", 3, {"psnr": (29.4, 0.1), "angular_error": (9.0, 0.1)}, {"psnr": 3, "angular_error": 3}),
    Row("a", "test", 3, {"psnr": (20.0, 0.5)}, {"psnr": 3}),
]


def test_the_best_and_what_is_within_its_spread_are_marked() -> None:
    psnr, normals = cells_of(SPREAD, "psnr"), cells_of(SPREAD, "angular_error")
    assert [cell.best for cell in psnr] == [True, False, False, False]  # alone in test: nothing to beat
    assert [cell.within for cell in psnr] == [False, True, False, False]
    assert [cell.best for cell in normals] == [False, True, False, False]
    assert normals[3].text == ""


def test_marks_are_in_every_table(tmp_path: Path) -> None:
    files = write_tables(SPREAD, tmp_path)
    assert "| **30.00 ± 0.50** |" in files[1].read_text()
    assert "29.60 ± 0.10≈" in files[1].read_text()
    assert "within the spread of the best" in files[1].read_text()
    assert "\\rlap{$^{\\approx}$}" in files[2].read_text()
    with Console(width=60) as console, console.capture() as shown:
        console.print(rich_table(SPREAD))
    assert "29.60 ± 0.10≈" in shown.get()


COMPILERS = ("pdflatex", "lualatex", "xelatex", "tectonic")


def test_the_table_compiles_where_latex_is(tmp_path: Path) -> None:
    program = next(filter(None, map(shutil.which, COMPILERS)), None)
    if program is None:
        pytest.skip("there is no LaTeX on this machine")
    table = write_tables(SPREAD, tmp_path)[2].read_text()
    page = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + table + "\\end{document}\n"
    (tmp_path / "page.tex").write_text(page)
    words = [program] if "tectonic" in program else [program, "-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([*words, "page.tex"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_single_runs_have_no_column_of_seeds_and_seen_views_are_marked(tmp_path: Path) -> None:
    run = made(tmp_path, "run", train={"psnr": 33.0})
    baseline = [{"label": "baseline", "split": "val", "psnr": 10.0}, {"label": "20", "split": "val"}]
    (run / "eval" / "summary.json").write_text(json.dumps(baseline))
    files = write_tables(collect({"run": [run]}), tmp_path)
    head = ["split", "variant", "psnr_mean", "psnr_deviation", "psnr_n"]
    assert cells(files[0]) == [head, ["train (seen)", "run", "33.0", "", "1"]]
    other = made(tmp_path, "other", val={"psnr": 22.0})
    (other / "eval" / "summary.json").write_text(json.dumps(baseline))
    table = cells(write_tables(collect({"other": [other]}), tmp_path)[0])
    assert table[1:] == [["val", "one colour a triangle", "10.0", "", "1"], ["val", "other", "22.0", "", "1"]]


def test_results_are_those_of_the_newest_checkpoint(tmp_path: Path) -> None:
    run = made(tmp_path, "run", 20, val={"psnr": 20.0})
    assert results(run, "val") == {"views": 4, "seen": False, "means": {"psnr": 20.0}}
    assert results(run, "test") is None
    made(tmp_path, "run", 30)
    assert results(run, "val") is None
    (run / "eval" / "00000030" / "val.json").write_text('{"views": 4')  # cut short
    assert results(run, "val") is None
    with pytest.raises(DataError, match="No run has results"):
        collect({"run": [run]})


def test_only_what_is_missing_is_measured(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    asked: list[tuple[str, ...]] = []
    real = variants.evaluate_run

    def evaluate(folder: Path, *, splits: tuple[str, ...], device: str) -> Any:
        asked.append(splits)
        return real(folder, splits=splits, device=device, limit=0)

    monkeypatch.setattr(variants, "evaluate_run", evaluate)
    assert not measure(run, "cpu")
    newest = run / "eval" / "00000030"
    whole = json.loads((newest / "val.json").read_text())
    (newest / "val.json").write_text(json.dumps({**whole, "views": whole["views"] - 1}))  # some of them only
    assert measure(run, "cpu")
    assert not measure(run, "cpu")
    (newest / "test.json").unlink()
    assert measure(run, "cpu")
    assert asked == [("val",), ("test",)]
    again = json.loads((newest / "val.json").read_text())
    assert again["means"] == pytest.approx(whole["means"])
