"""The CUDA kernels of `lit`, run on the CPU, against the model's own operations in double precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.kernels import cpu_lit, cuda_lit
from tests.kernels.emulation import close, emulated_kernels
from tests.plugins.appearances.test_lit_native import single_and_double

KERNELS = {
    "lit_colours": dict.fromkeys(
        ("lit_colours", "lit_colours_backward", "lit_light_backward", "lit_light_sums"), "Lit"
    )
}


@pytest.fixture(scope="module", autouse=True)
def emulated() -> Iterator[None]:
    """Launches go to the emulator."""
    with emulated_kernels(KERNELS):
        yield


@pytest.mark.parametrize(
    "options",
    [
        {"degree": 3},
        {"degree": 2, "images": 1500, "interval": 1000},  # of two degrees one is in use
        {"degree": 0, "occlusion": True},
        {"degree": 1, "gloss": False},
    ],
)
def test_colours_and_gradients(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients of all that learns, through the model."""
    monkeypatch.setattr(cpu_lit, "serves", lambda tensor: tensor.dtype == torch.float32)
    for name, found, wanted in single_and_double(options, cuda_lit.lit_colours, monkeypatch):
        close(found, wanted, name, 3e-5)


@pytest.mark.parametrize("most", [1, 2, 528])
def test_what_the_light_gathers_is_the_sum_over_all_surfels(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 surfels are three blocks of threads, which fewer blocks take in turn; the last is not full."""
    monkeypatch.setattr(cuda_lit, "MOST_BLOCKS", most)
    generator = torch.Generator().manual_seed(0)
    shapes = ((300, 3), (300, 8, 3), (300, 1), (300, 1), *[(2, 300, 3)] * 2, (2, 300, 3, 3), (2, 300, 3))
    draw = [torch.randn(*shape, generator=generator) for shape in shapes]
    light = [torch.randn(13, 3, generator=generator) for _ in range(2)]
    upstream = torch.randn(2, 300, 3, generator=generator)

    def of(some: slice) -> dict[str, Tensor]:
        own = [tensor[some] for tensor in draw[:4]] + [tensor[:, some] for tensor in draw[4:]]
        made = cuda_lit._backward(upstream[:, some], *own, *light, 2)
        return dict(zip(cuda_lit.LEARNT, made, strict=True))

    whole, parts = of(slice(None)), [of(slice(first, first + 100)) for first in (0, 100, 200)]
    for name in ("shading", "mirror"):
        close(whole[name], sum(part[name].double() for part in parts), name)  # type: ignore[arg-type]
    for name in ("albedo", "gloss", "residual"):
        close(whole[name], torch.cat([part[name] for part in parts]), name)


def test_too_few_coefficients_are_refused() -> None:
    one, light = torch.zeros(1, 4, 3), torch.zeros(13, 3)
    turn = torch.zeros(1, 4, 3, 3)
    with pytest.raises(ShapeError, match='"residual".*has 3 coefficients for degree 2'):
        cuda_lit._colours(one[0], torch.zeros(4, 3, 3), None, None, one, one, turn, one, light, light, 2)


def test_no_surfels() -> None:
    none, light, turn = torch.zeros(1, 0, 3), torch.ones(13, 3), torch.zeros(1, 0, 3, 3)
    given = (none[0], None, None, None, none, none, turn, none, light, light, 0)
    assert cuda_lit._colours(*given).shape == (1, 0, 3)
    assert not cuda_lit._backward(none, *given)[-1].any()
