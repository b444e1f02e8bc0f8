"""Gradients against finite differences, number by number of the inputs, with two backward passes in all.

``torch.autograd.gradcheck`` goes back once for each number of the outputs, which takes most of its time. Here
all outputs are summed with random weights, twice: a wrong derivative of any output in any input changes the
derivative of these sums in the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

SUMS = 2  # with other weights each


def check_gradients(
    function: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> None:
    """Assert that the gradients of a function are its central differences; tolerances as of ``gradcheck``.

    Args:
        function: of tensors, gives tensors.
        inputs: float64; those that require a gradient are looked at.
    """
    learnt = [tensor for tensor in inputs if tensor.requires_grad]
    assert learnt
    assert all(tensor.dtype == torch.float64 for tensor in inputs)
    values = [tensor.detach().clone(memory_format=torch.contiguous_format) for tensor in inputs]

    def flat(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([tensor.reshape(-1) for tensor in function(*tensors)])

    outputs = flat(inputs)
    generator = torch.Generator().manual_seed(len(outputs))
    weights = torch.randn(SUMS, len(outputs), generator=generator, dtype=outputs.dtype)
    found = [
        torch.autograd.grad(row @ outputs, learnt, retain_graph=True, materialize_grads=True)
        for row in weights
    ]
    for place, value in enumerate(
        v for v, tensor in zip(values, inputs, strict=True) if tensor.requires_grad
    ):
        numbers = value.view(-1)
        expected = torch.empty(SUMS, len(numbers), dtype=value.dtype)
        with torch.no_grad():
            for i in range(len(numbers)):
                before = float(numbers[i])
                numbers[i] = before + eps
                above = flat(values)
                numbers[i] = before - eps
                expected[:, i] = weights @ ((above - flat(values)) / (2 * eps))
                numbers[i] = before
        analytic = torch.stack([gradients[place].reshape(-1) for gradients in found])
        torch.testing.assert_close(analytic, expected, atol=atol, rtol=rtol)
