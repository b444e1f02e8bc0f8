"""Arrays of files, read by one thread and by several."""

from __future__ import annotations

import ast
import io
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surfhead.files import arrays


def test_arrays_come_back_as_they_were_written(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float16).reshape(3, 4)
    np.save(tmp_path / "a.npy", values)
    for read in (arrays.array, arrays.mapped):
        found = read(tmp_path / "a.npy")
        assert found.dtype == values.dtype
        assert np.array_equal(found, values)
    stream = io.BytesIO()
    np.savez_compressed(stream, a=values, **{"b.npy": values[0], "c": np.float32(2)})
    archive = arrays.Archive(stream)
    assert archive.files == ["a", "b.npy", "c"]
    for name, value in (("a", values), ("b.npy", values[0]), ("c", np.float32(2))):
        assert np.array_equal(archive[name], value)
    with pytest.raises(KeyError):
        archive["d"]


def test_what_is_no_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    for name in ("objects.npy", "text.npy"):
        for read in (arrays.array, arrays.mapped):
            with pytest.raises(ValueError, match=r"Object arrays|Python objects|magic"):
                read(tmp_path / name)
    with pytest.raises(zipfile.BadZipFile):
        arrays.Archive(io.BytesIO(b"no archive"))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("'descr': '<f4', 'fortran_order': False, 'shape': (500000000,)", "promises 2000000000 bytes"),
        ("'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4)", "promises 2951479"),
        ("'descr': '|V2147483647', 'fortran_order': False, 'shape': (2,)", "promises 4294967294 bytes"),
        ("'descr': '<f4', 'fortran_order': False, 'shape': (3,)", "promises 12 bytes"),
        (f"'descr': '<f4', 'fortran_order': False, 'shape': (0, {10**30})", "cannot be read"),
        ("'descr': '<f4', 'fortran_order': False, 'shape': (True,)", "cannot be read"),
        ("'descr': '<f4', 'fortran_order': False, 'shape': (-1,)", "negative"),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_a_header_may_promise_no_more_than_the_file_holds(
    fields: str, reason: str, version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before memory is taken, and as ValueError whatever numpy raises."""
    text = f"{{{fields}}}\n".encode()
    start = b"\x93NUMPY" + bytes((version, 0)) + len(text).to_bytes(2 * version, "little")
    (tmp_path / "a.npy").write_bytes(start + text + bytes(8))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.write(tmp_path / "a.npy", "a.npy")
    if "promises" in reason:
        monkeypatch.setattr(np.lib.format, "read_array", None)  # not reached
    for read in (
        lambda: arrays.array(tmp_path / "a.npy"),
        lambda: arrays.mapped(tmp_path / "a.npy"),
        lambda: arrays.Archive(stream)["a"],
    ):
        with pytest.raises(ValueError, match=reason):
            read()


def test_a_header_without_an_end_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{")
    for read in (arrays.array, arrays.mapped):
        with pytest.raises(ValueError, match="expected 4294967295 bytes got 1"):
            read(tmp_path / "a.npy")


def test_one_thread_at_a_time_parses_a_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    real, together, inside, another = ast.literal_eval, [], threading.Lock(), threading.Event()

    def parse(text: Any) -> Any:
        alone = inside.acquire(blocking=False)
        together.append(not alone)
        another.wait(0.01)  # lets a second thread in, if it may come
        if alone:
            inside.release()
        return real(text)

    monkeypatch.setattr(ast, "literal_eval", parse)

    def read(turn: int) -> np.ndarray:
        if turn % 3 == 2:
            return arrays.Archive(io.BytesIO(content))["a"]
        return (arrays.array, arrays.mapped)[turn % 3](tmp_path / "a.npy")

    content = stream.getvalue()
    with ThreadPoolExecutor(4) as pool:
        assert [len(found) for found in pool.map(read, range(12))] == [3] * 12
    assert len(together) >= 12
    assert not any(together)
