"""The perceptron of a highlight (method: section 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surfhead.kernels.choices import chosen


def perceptron(inputs: Tensor, layers: nn.Sequential) -> Tensor:
    """(..., 3) what linear layers with ReLU between them make of inputs (..., K).

    Args:
        inputs: (..., K).
        layers: linear layers and ReLUs in turn; a single number of the last is given three times.
    """
    # outside of steps that learn PyTorch's layers are as fast, and rounded as the user wants it
    if inputs.is_cuda and torch.is_grad_enabled():
        from surfhead.kernels import cuda

        linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        if _learning(inputs, linear) and cuda.serves_perceptron(
            inputs, [layer.weight.shape for layer in linear]
        ):
            return cuda.perceptron(inputs, [(layer.weight, layer.bias) for layer in linear], chosen("tf32"))
    found: Tensor = layers(inputs)
    return found.expand(*found.shape[:-1], 3)


def _learning(inputs: Tensor, linear: list[nn.Linear]) -> bool:
    return inputs.requires_grad or any(layer.weight.requires_grad for layer in linear)
