"""The native weights of a host and its neighbours against their plain form in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.core.types import Binding
from surfhead.kernels import cpu_blend, ops

pytestmark = pytest.mark.skipif(
    not cpu_blend.serves(torch.zeros(1)), reason="the native library is not built, or older than these"
)
SURFELS = 3000  # more than one thread takes alone


def draw(seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(SURFELS, 4, generator=torch.Generator().manual_seed(seed))


def given(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    alone = torch.zeros(SURFELS, dtype=torch.bool)
    alone[::17] = True
    logits = draw(0, 4.0)
    logits[3] = torch.tensor([60.0, -60.0, 0.0, 60.0])
    return logits.to(dtype).requires_grad_(), alone


@pytest.mark.parametrize("threads", [1, 3])
def test_weights_and_gradients(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    made = []
    for dtype in (torch.float32, torch.float64):
        logits, alone = given(dtype)
        regions = {"eyeballs": alone.nonzero()[:9, 0], "boundary": alone.nonzero()[5:, 0]}
        binding = Binding(torch.zeros(SURFELS, dtype=torch.int64), {"blend": logits}, regions)
        shares = ops.blend_weights(binding)
        (shares * draw(1).to(dtype)).sum().backward()
        assert logits.grad is not None
        made.append((shares.detach().double(), logits.grad.double()))
    torch.set_num_threads(before)
    torch.testing.assert_close(made[0][0], made[1][0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(made[0][1], made[1][1], rtol=1e-5, atol=1e-6)
    assert torch.equal(made[0][0][17], torch.tensor([1.0, 0, 0, 0], dtype=torch.float64))
    assert not made[0][1][17].any()


def test_shapes_are_asked_for() -> None:
    logits, alone = given(torch.float32)
    with pytest.raises(ShapeError, match='"alone" of kernel "blend_shares"'):
        cpu_blend.blend_shares(logits, alone[1:])


def test_operator() -> None:
    logits, alone = given(torch.float32)
    torch.library.opcheck(cpu_blend.blend_shares.default, (logits[:20].detach().requires_grad_(), alone[:20]))
