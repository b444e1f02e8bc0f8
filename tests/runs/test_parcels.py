"""Folders as bytes: what comes out is what went in, and nothing lands elsewhere."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from surfhead.runs import parcels


def test_only_what_has_changed_travels(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    (there / "deep").mkdir(parents=True)
    (there / "a.txt").write_text("one")
    (there / "deep" / "b.bin").write_bytes(bytes(range(256)))
    (there / ".0050.partial").mkdir()  # a checkpoint that is being written
    (there / ".0050.partial" / "half.bin").touch()
    (there / ".lock").touch()
    before = parcels.listing(there)
    assert set(before) == {"a.txt", "deep/b.bin"}
    parcels.unpack(parcels.pack(there, before), here)
    assert (here / "deep" / "b.bin").read_bytes() == bytes(range(256))
    (there / "a.txt").write_text("two")
    os.utime(there / "a.txt", ns=(5, 5))  # another time than before, however fast this runs
    (there / "c.txt").write_text("three")
    now = parcels.listing(there)
    assert parcels.changed(before, now) == ["a.txt", "c.txt"]
    parcels.unpack(parcels.pack(there, ["a.txt", "c.txt", "gone"], {"a.txt": {"two": "2"}}), here)
    assert [(here / name).read_text() for name in ("a.txt", "c.txt")] == ["2", "three"]
    assert {path.name for path in here.iterdir()} == {
        "a.txt",
        "c.txt",
        "deep",
    }  # nothing half written is left


@pytest.mark.parametrize("name", ["../out", "/tmp/surfhead-out", "link"])
def test_an_archive_writes_below_its_folder_alone(tmp_path: Path, name: str) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        if name == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(entry, io.BytesIO(b""))
    with pytest.raises((ValueError, KeyError)):
        parcels.unpack(made.getvalue(), tmp_path / "in")
    assert not (tmp_path / "out").exists()
    assert not Path("/tmp/surfhead-out").exists()


def test_a_copy_is_known_by_what_it_holds(tmp_path: Path) -> None:
    for name, text in (("one", "x"), ("same", "x"), ("other", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "transforms.json").write_text(text)
        os.utime(tmp_path / name / "transforms.json", ns=(1, 1))
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    assert parcels.likeness(one) == parcels.likeness(same) != parcels.likeness(other)
    # where they are unpacked differs, also for two things of one size
    assert len({parcels.identity(folder) for folder in (one, same, other)}) == 3
