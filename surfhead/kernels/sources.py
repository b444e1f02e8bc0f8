"""Where the kernels' sources and the built library are: inside the installed package, or beside it."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path

import surfhead
from surfhead.core.errors import UnavailableError

LIBRARY = "libsurfhead_cpu.so"
NOTE = "cpu.txt"  # beside the library, or instead of it: what the build did, or why there is none


def package_folders() -> Iterator[Path]:
    """Folders that hold parts of the package: the imported one, and where an installer put files."""
    seen = set()
    for folder in (*surfhead.__path__, str(Path(sysconfig.get_path("platlib")) / "surfhead")):
        path = Path(folder).resolve()
        if path not in seen and path.is_dir():
            seen.add(path)
            yield path


def tree() -> Path | None:
    """The source tree this package is imported from, or None when it is not imported from one."""
    for folder in package_folders():
        if (folder.parent / "cuda_kernels" / "surfel.h").is_file():
            return folder.parent
    return None


def kernel_sources() -> Path:
    """The folder with ``surfel.h``: ``surfhead/_cuda_kernels`` of a wheel, else ``cuda_kernels`` beside it.

    A source tree comes first, so that an editable install compiles what is being edited.

    Raises:
        UnavailableError: the sources are nowhere.
    """
    root = tree()
    if root is not None:
        return root / "cuda_kernels"
    looked = []
    for folder in package_folders():
        sources = folder / "_cuda_kernels"
        if (sources / "surfel.h").is_file():
            return sources
        looked.append(str(sources))
    raise UnavailableError(
        'The kernel sources ("surfel.h") are missing.',
        f"Looked in {', '.join(looked)}.",
        "Reinstall surfhead.",
    )


def native_folders() -> Iterator[Path]:
    """Folders that may hold the built library, best first: a developer's build, then the installed one."""
    root = tree()
    if root is not None:
        yield root / "build" / "native"
    for folder in package_folders():
        yield folder / "_native"
