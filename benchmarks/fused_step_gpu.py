"""What each fused form gives a training step on a GPU: all of them, each left out, none.

    python -m benchmarks.fused_step_gpu OUT [--batches 8,1] [--rounds 2] [--quick]

Every line is a training of its own in this process, on the built-in head with every loss of `paper`; the
rounds take the lines in turn. Prints and writes a Markdown table: ms a step and images/s (medians over the
rounds), GPU operations a step, and for the first line what they are. --quick leaves out the lines with one
form left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.training_gpu import add_scene, speed
from surfhead.kernels.choices import ENVIRONMENT, ON_GPU
from surfhead.runs.folder import environment


def lines(quick: bool) -> dict[str, tuple[str, ...]]:
    """The table's lines: a label and the fused forms that are left out."""
    single = {} if quick else {f"without {name}": (name,) for name in ON_GPU}
    return {"all": (), **single, "none": ON_GPU}


def measured(
    left_out: tuple[str, ...], batch: int, out: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """A training's speed without some fused forms."""
    before = os.environ.get(ENVIRONMENT)
    os.environ[ENVIRONMENT] = ",".join(left_out)
    try:
        return speed(batch, out, arguments, kernels=400)
    finally:
        if before is None:
            del os.environ[ENVIRONMENT]
        else:
            os.environ[ENVIRONMENT] = before


def table(results: dict[tuple[int, str], list[dict[str, Any]]]) -> str:
    """The medians over the rounds."""
    rows = [
        "| views a step | fused | step, ms | images/s | GPU busy, ms | GPU operations | captured |",
        "|---|---|---|---|---|---|---|",
    ]
    for (batch, label), runs in results.items():
        step = statistics.median(run["step_ms"] for run in runs)
        operations = sum(count for *_, count in runs[0]["kernels"])
        busy = statistics.median(run["gpu_busy_ms"] for run in runs)
        captured = all(run["graph"] for run in runs)
        rows.append(
            f"| {batch} | {label} | {step:.3f} | {1000 * batch / step:.0f} | {busy:.3f} | {operations:.0f} | "
            f"{'yes' if captured else runs[0]['graph_failure']} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--batches", default="8,1")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    add_scene(parser)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    chosen = lines(arguments.quick)
    results: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for turn in range(arguments.rounds):
        for batch in (int(word) for word in arguments.batches.split(",")):
            for label, left_out in chosen.items():
                folder = arguments.out / f"round-{turn}" / label.replace(" ", "-")
                found = measured(left_out, batch, folder, arguments)
                results.setdefault((batch, label), []).append(found)
                print(f"round {turn}, {batch} views, {label}: {found['step_ms']:.3f} ms", flush=True)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    text = [f"{name}, PyTorch {torch.__version__}", "", table(results), ""]
    for (batch, label), runs in results.items():
        if label == "all":
            text += [f"All fused, {batch} views:", ""]
            text += [f"    {ms:8.4f} ms {count:6.1f} x {key[:100]}" for key, ms, count in runs[0]["kernels"]]
    (arguments.out / "fused_step_gpu.md").write_text("\n".join(text) + "\n")
    kept = {f"{batch} {label}": runs for (batch, label), runs in results.items()}
    written = json.dumps({"environment": environment(), "runs": kept}, indent=1)
    (arguments.out / "fused_step_gpu.json").write_text(written)
    print("\n".join(text))


if __name__ == "__main__":
    main()
