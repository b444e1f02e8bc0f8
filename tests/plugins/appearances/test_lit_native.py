"""The native colours of `lit` against the model's own operations in double precision, with gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.core.surface import Surface
from surfhead.core.types import Binding
from surfhead.kernels import cpu_lit
from surfhead.plugins.appearances.lit import Lit
from tests.plugins.appearances.test_lit import inputs, made

pytestmark = pytest.mark.skipif(
    not cpu_lit.serves(torch.zeros(1)), reason="the native library is not built, or older than these"
)


def learnt(**options: object) -> tuple[Lit, Binding, tuple[Tensor, ...]]:
    """A model with a light, surfels with values, and what it is called with."""
    look = made(**options)
    with torch.no_grad():
        look.network().light.copy_(0.05 * torch.randn(look.network().light.shape))
        look.network().sharpness.fill_(0.3)
    binding, *rest, surface = inputs(look)
    values = {n: torch.randn(v.shape) for n, v in binding.parameters.items()}
    return look, replace(binding, parameters=values), (*rest, surface.world_normals)


def graded(look: Lit, binding: Binding, given: tuple[Tensor, ...], dtype: torch.dtype) -> dict[str, Tensor]:
    """The colours and their gradients, in this precision: only single is the kernel's."""
    network = look.network().to(dtype)
    network.zero_grad()
    values = {n: v.detach().to(dtype).requires_grad_() for n, v in binding.parameters.items()}
    directions, normals, turn, world = (tensor.to(dtype) for tensor in given)
    directions, world = directions.requires_grad_(), world.requires_grad_()
    surface = Surface({"world_normals": world})
    rgb = look(replace(binding, parameters=values), directions, normals, turn, surface=surface).rgb
    weights = torch.randn(rgb.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    (rgb * weights.to(dtype)).sum().backward()  # type: ignore[no-untyped-call]
    learnt = {f"network.{n}": p for n, p in network.named_parameters()}
    tensors = {**values, **learnt, "directions": directions, "world normals": world}
    grads = {n: t.grad.double() for n, t in tensors.items() if t.grad is not None}
    network.float()
    return {"rgb": rgb.detach().double(), **grads}


def single_and_double(
    options: dict[str, Any], kernel: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Colours and gradients by a kernel, by name, with those of the model's own operations in double."""
    calls = []
    monkeypatch.setattr(cpu_lit, "lit_colours", lambda *a: (calls.append(1), kernel(*a))[1])
    torch.manual_seed(2)
    look, binding, given = learnt(**options)
    exact = graded(look, binding, given, torch.float64)
    assert not calls
    found = graded(look, binding, given, torch.float32)
    assert calls
    assert found.keys() == exact.keys()
    return ((name, found[name], wanted) for name, wanted in exact.items())


@pytest.mark.parametrize(
    "options",
    [
        {"degree": 3},
        {"degree": 2, "images": 1500, "interval": 1000},  # of two degrees one is in use
        {"degree": 0},
        {"degree": 1, "gloss": False},
        {"degree": 3, "occlusion": True, "start": 10**7},
    ],
)
def test_native_colours(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, found, wanted in single_and_double(options, cpu_lit.lit_colours, monkeypatch):
        worst = float((found - wanted).abs().max()) / max(float(wanted.abs().max()), 1e-3)
        assert worst < 2e-5, f"{name}: {worst}"


NOT_FINITE = {
    "direction": lambda look, given: given[0].view(-1)[4].fill_(torch.nan),
    "normal": lambda look, given: given[1].view(-1)[4].fill_(torch.nan),
    "rotation": lambda look, given: given[2].view(-1)[4].fill_(torch.nan),
    "sharpness": lambda look, given: look.network().sharpness.fill_(torch.nan),
    "light": lambda look, given: look.network().light[1].fill_(torch.inf),
}


@pytest.mark.parametrize("where", [*NOT_FINITE])
def test_what_is_not_finite_is_not_hidden(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must come out where PyTorch's operations show it, for training stops there and says so."""
    torch.manual_seed(2)
    look, binding, given = learnt(degree=1)
    given = tuple(tensor.clone() for tensor in given)
    with torch.no_grad():
        NOT_FINITE[where](look, given)
    found = graded(look, binding, given, torch.float32)
    monkeypatch.setattr(cpu_lit, "serves", lambda tensor: False)
    plain = graded(look, binding, given, torch.float32)
    assert not all(bool(value.isfinite().all()) for value in plain.values())
    for name, wanted in plain.items():
        assert torch.equal(found[name].isfinite(), wanted.isfinite()), name


def test_as_many_threads_as_you_like_give_the_same_bits() -> None:
    before, found = torch.get_num_threads(), []
    count = 1500  # several jobs, the last not full
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    tensors = (draw(count, 3), draw(count, 8, 3), draw(count, 1), None, draw(2, count, 3), draw(2, count, 3))
    tensors = (*tensors, draw(2, count, 3, 3), draw(2, count, 3), draw(13, 3), draw(13, 3))
    upstream = draw(2, count, 3)
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.append([cpu_lit._colours(*tensors, 2), *cpu_lit._backward(upstream, *tensors, 2)])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_too_few_coefficients_are_refused() -> None:
    one = torch.zeros(1, 4, 3)
    light = torch.zeros(13, 3)
    with pytest.raises(ShapeError, match='"residual".*has 3 coefficients for degree 2'):
        cpu_lit.lit_colours(
            one[0], torch.zeros(4, 3, 3), None, None, one, one, torch.zeros(1, 4, 3, 3), one, light, light, 2
        )


def test_no_surfels() -> None:
    """Gradients of the light are then 0, not what lay in memory."""
    none, light = torch.zeros(1, 0, 3), torch.ones(13, 3)
    tensors = (none[0], None, None, None, none, none, torch.zeros(1, 0, 3, 3), none, light, light, 0)
    assert cpu_lit._colours(*tensors).shape == (1, 0, 3)
    assert not cpu_lit._backward(none, *tensors)[-1].any()
