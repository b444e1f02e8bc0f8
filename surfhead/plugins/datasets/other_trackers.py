"""Folders of head trackers that are not read, told by what is in them, and what to do about each."""

from __future__ import annotations

from pathlib import Path

from surfhead.files.places import found_in, is_dir, is_file

EXPORT = "python vhap/export_as_nerf_dataset.py"
VHAP_FILES = "tracked_flame_params_*.npz"
FRAMES = "*.frame"  # PyTorch pickles of metrical-tracker


def other_tracker(path: Path) -> str:
    """What a folder is and what to do with it, in a sentence or two; empty where it is none of these."""
    if not is_dir(path):
        return ""
    if found_in(path, VHAP_FILES) or found_in(path, f"*/{VHAP_FILES}"):
        if is_file(path / "canonical_flame_param.npz"):
            return ""
        return (
            f"It is the output folder of VHAP's tracker. Export it ({EXPORT} --src_folder ... --tgt_folder "
            "...) and give the folder of the export; as a driver, give its tracked_flame_params file."
        )
    if found_in(path / "checkpoint", FRAMES):
        return (
            "It is the output folder of metrical-tracker, whose frames are pickles and not read. Track the "
            "video with VHAP (docs/monocular.md); as a driver, save its flame parameters with numpy.savez."
        )
    if found_in(path / "flame", "*") and is_file(path / "transforms.json"):
        return (
            "It is a data set of INSTA, whose expressions are text files a frame and whose head stands still "
            "while the cameras move. Track the video with VHAP (docs/monocular.md)."
        )
    return ""
