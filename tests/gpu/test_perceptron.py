"""A highlight's perceptron on the GPU against PyTorch's layers in double precision."""

from __future__ import annotations

import copy

import pytest
import torch

from surfhead.kernels import choices, ops
from surfhead.plugins.appearances.lobes import LobeNetwork, lobe_axes

pytestmark = pytest.mark.gpu
VIEWS, COUNT = 3, 700


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).cuda()


def setting() -> object:
    """How products of single precision are taken; newer versions of PyTorch warn who asks by the old name."""
    matmul = torch.backends.cuda.matmul
    return matmul.fp32_precision if hasattr(matmul, "fp32_precision") else matmul.allow_tf32


def near_a_bend(network: torch.nn.Sequential, inputs: torch.Tensor) -> torch.Tensor:
    """Rows that have a hidden unit so near to 0 that rounding may turn it on or off."""
    with torch.no_grad():
        first = network[0](inputs)
        second = network[2](network[1](first))
    return (torch.cat((first, second), dim=-1).abs() < 1e-5).any(dim=-1)


@pytest.mark.parametrize("left_out", ["tf32", "", "perceptron"])
@pytest.mark.parametrize("channels", [1, 3])
def test_perceptron(channels: int, left_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours and all gradients, some rows without one; coarser by tensor cores, as ever outside a step."""
    monkeypatch.setenv(choices.ENVIRONMENT, left_out)
    exact = LobeNetwork(lobe_axes(2, 8), True, channels).perceptron.to("cuda", torch.float64)
    torch.nn.init.normal_(exact[-1].weight)
    single = copy.deepcopy(exact).float()
    exact.load_state_dict(single.state_dict())
    inputs = draw(VIEWS, COUNT, 48)
    upstream = draw(VIEWS, COUNT, 3, seed=1)
    upstream[:, ::3] = 0.0
    upstream[near_a_bend(exact, inputs.double())] = 0.0
    before = setting()
    results = []
    for network, value in ((single, inputs), (exact, inputs.double())):
        leaf = value.clone().requires_grad_()
        colour = ops.perceptron(leaf, network)
        gradients = torch.autograd.grad(colour, [leaf, *network.parameters()], upstream.to(value.dtype))
        results.append([colour.detach(), *gradients])
        with torch.no_grad():
            drawn = ops.perceptron(value, network)
        torch.testing.assert_close(drawn, network(value).expand(-1, -1, 3), rtol=0, atol=0)
    assert setting() == before
    for i, (mine, reference) in enumerate(zip(*results, strict=True)):
        error = float((mine.double() - reference).norm() / reference.norm())
        # rounded factors turn some units on or off, which a gradient feels more than the colour
        assert error < (1e-5 if left_out else 2e-3 if i == 0 else 5e-2)
        summed = i == len(results[0]) - 1  # the last bias: of no product
        assert left_out or summed or error > 2e-5  # so tensor cores took it
