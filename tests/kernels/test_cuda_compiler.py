"""What can be tested of the CUDA kernels without a GPU: that they compile, the cache, the errors."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from surfhead.core.errors import UnavailableError
from surfhead.kernels import cuda, cuda_compiler, cuda_driver, cuda_pictures, cuda_rasterizer, cuda_room
from surfhead.kernels.sources import kernel_sources

try:
    cuda_compiler.nvrtc_version()
    MISSING = ""
except UnavailableError as error:
    MISSING = error.what
needs_nvrtc = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@needs_nvrtc
@pytest.mark.parametrize("capability", [75, 120])
@pytest.mark.parametrize("module", cuda_compiler.MODULES)
def test_sources_compile(module: str, capability: int) -> None:
    """NVRTC makes machine code of every module, oldest to newest architecture."""
    if capability not in cuda_compiler.supported_architectures():
        pytest.skip("this NVRTC does not know the architecture")
    code = cuda_compiler.compile_module(module, capability, kernel_sources(), use_cache=False)
    assert code.startswith(b"\x7fELF")


@needs_nvrtc
def test_structures_match() -> None:
    """The ctypes structures have the kernels' layout: NVRTC evaluates the same offsets."""
    core = cuda_compiler.toolchain()
    folder = kernel_sources()
    whole = ctypes.sizeof(cuda_rasterizer.Launch)
    lines = ['#include "launch.h"', f"static_assert(sizeof(Launch) == {whole});"]
    for name, _ in cuda_rasterizer.Launch._fields_:
        offset = getattr(cuda_rasterizer.Launch, name).offset
        # the compiler front end's own offsetof
        lines.append(f'static_assert(__INTADDR__(&static_cast<Launch*>(0)->{name}) == {offset}, "{name}");')
    source = "\n".join(lines)
    pictures = (folder / "cuda" / "picture_losses.cu").read_text()
    size = ctypes.sizeof(cuda_pictures.Pictures)
    for text in (source, pictures + f"\nstatic_assert(sizeof(Pictures) == {size});"):
        options = core.ProgramOptions(
            arch="sm_90", include_path=[str(folder / "cuda"), str(folder)], **cuda_compiler.OPTIONS
        )
        core.Program(text, "c++", options).compile("cubin")


@needs_nvrtc
def test_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second compilation reads the file of the first; other sources make another file."""
    monkeypatch.setenv("SURFHEAD_CACHE", str(tmp_path))
    code = cuda_compiler.compile_module("picture_losses", 90, kernel_sources())
    path = cuda_compiler.cache_path("picture_losses", 90, kernel_sources())
    assert path.is_relative_to(tmp_path)
    assert path.read_bytes() == code
    path.write_bytes(b"from the cache")
    assert cuda_compiler.compile_module("picture_losses", 90, kernel_sources()) == b"from the cache"
    other = tmp_path / "sources"
    (other / "cuda").mkdir(parents=True)
    (other / "cuda" / "picture_losses.cu").write_text("// changed")
    assert cuda_compiler.cache_path("picture_losses", 90, other).name != path.name


@needs_nvrtc
def test_unwritable_cache_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder that cannot be made is no error."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SURFHEAD_CACHE", str(tmp_path / "file"))
    assert cuda_compiler.compile_module("picture_losses", 90, kernel_sources())


@needs_nvrtc
def test_compile_errors_are_told(tmp_path: Path) -> None:
    """A source that does not compile is named with NVRTC's message."""
    (tmp_path / "cuda").mkdir()
    (tmp_path / "cuda" / "forward.cu").write_text("nonsense;")
    with pytest.raises(UnavailableError, match=r"forward\.cu"):
        cuda_compiler.compile_module("forward", 90, tmp_path, use_cache=False)


@needs_nvrtc
def test_targets() -> None:
    """Known GPUs get machine code, newer ones the newest PTX, older ones an explanation."""
    assert cuda_compiler.target(90) == ("sm_90", "cubin")
    newest = cuda_compiler.supported_architectures()[-1]
    assert cuda_compiler.target(newest + 50) == (f"compute_{newest}", "ptx")
    with pytest.raises(UnavailableError, match=r"7\.0"):
        cuda_compiler.target(70)


def test_extra_follows_pytorch() -> None:
    """The pip extra is named after PyTorch's CUDA."""
    assert cuda_compiler.extra_for("12.8") == "cuda12"
    assert cuda_compiler.extra_for("13.0") == "cuda13"
    assert cuda_compiler.extra_for(None) == "cuda13"


def test_missing_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without cuda-core, one sentence says what to install."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(cuda_compiler.importlib, "import_module", missing)
    with pytest.raises(UnavailableError, match=r'pip install "surfhead\[cuda1[23]\]"'):
        cuda_compiler.toolchain.__wrapped__()


def test_old_driver_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver older than NVRTC is named with both versions and the way out."""
    monkeypatch.setattr(cuda_driver, "driver_version", lambda: (12, 4))
    monkeypatch.setattr(cuda_compiler, "nvrtc_version", lambda: (13, 0))
    with pytest.raises(UnavailableError, match="too old") as caught:
        cuda_driver.check_driver()
    assert "12.4" in str(caught.value)
    assert "cuda12" in str(caught.value)


def test_report_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor's report says in one sentence why the kernels cannot run."""
    monkeypatch.setattr(cuda_driver.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(cuda_driver.torch.version, "cuda", "13.0")
    monkeypatch.setattr(cuda, "unavailable", cuda_driver.unavailable.__wrapped__)
    assert "no NVIDIA GPU" in cuda.report()["cuda kernels"]


def test_room_for_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """At first four entries a surfel, then a quarter more than was needed; never fewer than surfels."""
    key = (0, 2, 64, 64)
    monkeypatch.setattr(cuda_room, "_learnt", {})
    assert 8000 <= cuda_room.planned_capacity(0, 2, 1000, 64, 64) <= 9000
    monkeypatch.setitem(cuda_room._learnt, key, 50_000)
    assert 50_000 <= cuda_room.planned_capacity(0, 2, 1000, 64, 64) <= 56_250
    assert cuda_room.planned_capacity(0, 2, 100_000, 64, 64) >= 200_000
    assert cuda_room.planned_capacity(0, 2, 2**31, 64, 64) == cuda_room.MAX_ENTRIES
