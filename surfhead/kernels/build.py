"""Build the CPU kernels in a source tree, for work without an install: python -m surfhead.kernels.build

The library goes to build/native of the tree, where the loader looks first.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from surfhead.core.errors import SurfheadError, UnavailableError
from surfhead.kernels.sources import LIBRARY, tree


def build() -> Path:
    """Compile the kernels with CMake and the system's compiler; gives the library's path.

    Raises:
        UnavailableError: not in a source tree, no CMake, or the compiler failed (its output is in the error).
    """
    root = tree()
    if root is None:
        raise UnavailableError(
            "surfhead is not imported from a source tree.", "", "Reinstall it to build its kernels."
        )
    beside = Path(sys.executable).parent / "cmake"
    cmake = str(beside) if beside.is_file() else shutil.which("cmake")
    if cmake is None:
        raise UnavailableError("CMake was not found.", "", "Run `pip install cmake`.")
    target = root / "build" / "native"
    _forget_another_place(target, root / "cuda_kernels" / "cpu")
    for command in (
        [cmake, "-S", str(root / "cuda_kernels" / "cpu"), "-B", str(target), "-DCMAKE_BUILD_TYPE=Release"],
        [cmake, "--build", str(target), "--config", "Release"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UnavailableError(
                f'"{" ".join(command)}" failed.',
                (done.stdout + done.stderr)[-4000:],
                "Install a C++17 compiler, or set CXX.",
            )
    return target / LIBRARY


def _forget_another_place(target: Path, sources: Path) -> None:
    """Remove what CMake keeps in a folder that was copied or moved, where it would refuse to go on."""
    cache = target / "CMakeCache.txt"
    if cache.is_file():
        kept = cache.read_text(encoding="utf-8", errors="replace")
        homes = (("CMAKE_HOME_DIRECTORY:INTERNAL", sources), ("CMAKE_CACHEFILE_DIR:INTERNAL", target))
        if not all(f"{name}={home}\n" in kept for name, home in homes):
            cache.unlink()
            shutil.rmtree(target / "CMakeFiles", ignore_errors=True)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build()}\n")
    except SurfheadError as error:
        sys.exit(str(error))
