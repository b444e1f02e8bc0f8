"""The CUDA kernels of a highlight's perceptron, run on the CPU, against PyTorch's layers in double."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from surfhead.kernels import cuda_perceptron, ops, tensor_cores
from tests.kernels.emulation import close, emulated_kernels

KERNELS = {
    "perceptron": {
        "last_layer": "Perceptron", "last_layer_backward": "Perceptron", "through_relu": "Perceptron"
    }
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def libraries() -> Iterator[dict[str, ctypes.CDLL]]:
    """Launches go to the emulator."""
    with emulated_kernels(KERNELS) as found:
        yield found


def layers(channels: int, inputs: int = 48) -> nn.Sequential:
    """A perceptron whose last layer is not zero."""
    torch.manual_seed(channels)
    return nn.Sequential(
        nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, channels)
    )


def values_of(network: nn.Sequential) -> list[tuple[Tensor, Tensor]]:
    return [(layer.weight, layer.bias) for layer in network if isinstance(layer, nn.Linear)]


def near_a_bend(network: nn.Sequential, inputs: Tensor) -> Tensor:
    """Rows that have a hidden unit so near to 0 that rounding may turn it on or off."""
    with torch.no_grad():
        first = network[0](inputs)
        second = network[2](network[1](first))
    return (torch.cat((first, second), dim=-1).abs() < 1e-5).any(dim=-1)


@pytest.mark.parametrize(("channels", "rows"), [(1, 37), (3, 37), (1, 600), (1, 0)])
def test_perceptron(
    channels: int, rows: int, monkeypatch: pytest.MonkeyPatch, libraries: dict[str, Any]
) -> None:
    """Colours and all gradients, some rows without any, by fewer blocks than there are rows for."""
    monkeypatch.setattr(cuda_perceptron, "BLOCKS", 3)
    single = layers(channels)
    double = layers(channels).double()
    double.load_state_dict({name: value.double() for name, value in single.state_dict().items()})
    g = torch.Generator().manual_seed(1)
    inputs = torch.randn(2, rows, 48, generator=g)
    upstream = torch.randn(2, rows, 3, generator=g)
    upstream[:, ::3] = 0.0
    upstream[:, 1::6, 1] = 0.0
    upstream[near_a_bend(double, inputs.double())] = 0.0
    assert rows == 0 or bool(upstream[:, 1::3].any())
    near, exact = inputs.clone().requires_grad_(), inputs.double().requires_grad_()
    found = cuda_perceptron.perceptron(near, values_of(single), True)
    wanted = ops.perceptron(exact, double)
    assert found.shape == wanted.shape == (2, rows, 3)
    close(found.detach(), wanted.detach(), "colour", 1e-6)
    found.backward(upstream)
    wanted.backward(upstream.double())
    assert near.grad is not None
    assert exact.grad is not None
    close(near.grad, exact.grad, "inputs", 2e-6)
    assert not bool(near.grad[:, ::3].any())
    for (name, value), other in zip(single.named_parameters(), double.parameters(), strict=True):
        assert value.grad is not None
        assert other.grad is not None
        close(value.grad, other.grad, name, 2e-6)


def test_inputs_that_do_not_learn_get_nothing() -> None:
    """Only the layers do; the inputs' gradient, a product as large as any, is not taken."""
    network, inputs = layers(1), torch.randn(5, 48)
    output = cuda_perceptron.perceptron(inputs, values_of(network), False)
    made = cuda_perceptron._backward(
        torch.ones(5, 3), inputs, torch.ones(5, 128), torch.ones(5, 128),
        network[0].weight, network[2].weight, network[4].weight, False, False,
    )  # fmt: skip
    assert made[0].numel() == 0
    output.sum().backward()
    assert all(value.grad is not None for value in network.parameters())


def test_layers_of_other_sizes_have_no_kernels() -> None:
    network = layers(3)
    shapes = [weight.shape for weight, _ in values_of(network)]
    assert cuda_perceptron.serves(shapes)
    assert cuda_perceptron.serves([weight.shape for weight, _ in values_of(layers(1, 31))])
    assert not cuda_perceptron.serves([weight.shape for weight, _ in values_of(layers(2))])
    assert not cuda_perceptron.serves(shapes[:2])
    assert not cuda_perceptron.serves([torch.Size((64, 48)), torch.Size((128, 64)), shapes[2]])


def test_a_cpu_keeps_pytorchs_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """And gradients of all of them in double precision are those of finite differences."""

    def taken(*_: object) -> None:
        raise AssertionError("a CPU has no such kernels")

    monkeypatch.setattr(cuda_perceptron, "perceptron", taken)
    assert ops.perceptron(torch.randn(2, 5, 48).requires_grad_(), layers(1)).shape == (2, 5, 3)
    network = layers(1, 4).double()
    assert torch.autograd.gradcheck(
        lambda value: ops.perceptron(value, network), torch.randn(2, 4).double().requires_grad_()
    )


NAME = "fp32_precision" if hasattr(torch.backends.cuda.matmul, "fp32_precision") else "allow_tf32"


@pytest.mark.parametrize("fails", [False, True])
def test_the_users_setting_comes_back(fails: bool) -> None:
    """Whatever it was, and also where a product fails; without a wish for them nothing is touched."""
    matmul: Any = torch.backends.cuda.matmul
    usual = getattr(matmul, NAME)
    kinds = ("ieee", "tf32", "none") if NAME == "fp32_precision" else (False, True)
    try:
        for mine in kinds:
            setattr(matmul, NAME, mine)
            with tensor_cores.tensor_cores(False):
                assert getattr(matmul, NAME) == mine
            try:
                with tensor_cores.tensor_cores(True):
                    assert getattr(matmul, NAME) in ("tf32", True)
                    if fails:
                        torch.ones(2, 3) @ torch.ones(2, 3)
            except RuntimeError:
                assert fails
            assert getattr(matmul, NAME) == mine
    finally:
        setattr(matmul, NAME, usual)


def test_threads_do_not_mix_up_the_setting() -> None:
    """Two threads that overlap leave what was there before either."""
    matmul: Any = torch.backends.cuda.matmul
    usual = getattr(matmul, NAME)
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with tensor_cores.tensor_cores(True):
            inside.set()
            leave.wait(10)

    first = threading.Thread(target=other)
    first.start()
    assert inside.wait(10)
    entered = threading.Event()

    def enter() -> None:
        with tensor_cores.tensor_cores(True):
            entered.set()

    second = threading.Thread(target=enter)
    second.start()
    assert not entered.wait(0.1)
    leave.set()
    first.join()
    second.join()
    assert entered.is_set()
    assert getattr(matmul, NAME) == usual
