"""What a file may ask for, checked before memory is given: one bound for each kind of container.

A few bytes can promise gigabytes: a zip directory, a picture's header, an index in a pickle. Each function
raises ValueError (or OSError) with the reason; readers word it with the file's name.
"""

from __future__ import annotations

import json
import os
import pickletools
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

LARGEST = 4 << 30  # bytes of a file that is read as a whole
UNPACKED = 64 << 20  # bytes that any archive may unpack to
RATIO = 4  # times its own size that a larger archive may unpack to
PIXELS = 48_000_000  # of a picture; 8K video has 33 million
FLAT = 100  # pixels a byte of a larger picture; photographs have below 20
ASKING = ("PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET", "FRAME")  # opcodes of pickles
VALUE = 1  # bytes that a number takes in a file, at least
TAKEN = {b"[": 80, b"{": 240, b",": 32, b'"': 30}  # bytes of memory that a mark of JSON may stand for
DECODED = 256 << 20  # bytes that any JSON text may take in memory
LINE = 1 << 20  # bytes of a line of records


def regular(path: Path, largest: int = LARGEST) -> Path:
    """The path, of a file with an end: no pipe, which would wait for ever, and no device, which has none."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is a folder" if stat.S_ISDIR(found.st_mode) else "it is no regular file")
    if found.st_size > largest:
        raise OSError(0, f"it has {found.st_size} bytes, more than {largest}")
    return path


def archive(file: IO[bytes]) -> IO[bytes]:
    """The stream of an ``.npz``, at its beginning, whose directory promises no more than it may unpack to."""
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
    except (AttributeError, OSError):  # a stream in memory
        pass
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(4)[:2] == b"PK":
        file.seek(0)
        with zipfile.ZipFile(file) as found:
            unpacked = sum(entry.file_size for entry in found.infolist())
            if unpacked > max(UNPACKED, RATIO * size):
                raise ValueError(f"its {size} bytes unpack to {unpacked}")
    file.seek(0)
    return file


def read_json(path: Path, largest: int = 1 << 29) -> Any:
    """The content of a JSON file (UTF-8, -16 or -32) that takes no more memory than its text could mean.

    Raises OSError, ValueError, or RecursionError where it is nested too deeply.
    """
    return decoded(regular(path, largest).read_bytes())


def decoded(text: bytes) -> Any:
    """A JSON text's content, as ``read_json`` gives it."""
    taken = sum(text.count(mark) * size for mark, size in TAKEN.items())
    if taken > max(DECODED, RATIO * len(text)):
        raise ValueError(f"its {len(text)} bytes would take {taken} in memory")
    return json.loads(text)


def read_records(path: Path, largest: int = 1 << 28) -> Iterator[tuple[str, Any]]:
    """The lines of a file of JSON records, with their content; damaged and endless ones are left out.

    Raises OSError.
    """
    with regular(path, largest).open("rb") as file:
        while line := file.readline(LINE):
            try:
                yield line.decode("utf-8", errors="replace"), decoded(line)
            except (ValueError, RecursionError):
                continue  # cut short when the run was killed, or damaged


def picture(width: int, height: int, size: int) -> None:
    """Check the size in a picture's header, of a file of ``size`` bytes, before its pixels are decoded."""
    most = max(PIXELS, FLAT * size)
    if not 0 < width * height <= most:
        raise ValueError(f"its {size} bytes promise {width}x{height} pixels, more than {most}")


def pickled(content: bytes) -> bytes:
    """A pickle's bytes, none of whose opcodes asks for more than they hold."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ASKING and not (isinstance(argument, int) and argument <= len(content)):
            raise ValueError(f"its opcode {opcode.name} asks for {argument}")
    return content


def rows(count: int, values: int, size: int) -> None:
    """Check a header that promises ``count`` rows of ``values`` numbers in a file of ``size`` bytes."""
    if count * max(values, 1) * VALUE > size:
        raise ValueError(
            f"its header promises {count} rows of {values} numbers, more than its {size} bytes hold"
        )
