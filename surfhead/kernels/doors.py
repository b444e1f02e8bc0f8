"""What every kernel asks of its tensors before it follows their pointers: shape, type, device.

A kernel that trusts a wrong shape reads and writes past its arrays, which no later check can mend. The checks
look at what the host knows of a tensor, never at a GPU's values, so they wait for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

from surfhead.core.errors import ShapeError

TYPES = {
    "float32": (torch.float32,),
    "real": (torch.float32, torch.float64),
    "float64": (torch.float64,),
    "picture": (torch.uint8, torch.float32),
    "uint8": (torch.uint8,),
    "int32": (torch.int32,),
    "int64": (torch.int64,),
    "bool": (torch.bool,),
}


@cache
def _parsed(rule: str) -> tuple[tuple[torch.dtype, ...], tuple[tuple[int, str], ...]]:
    """The types and the sizes of a rule; a size is a factor and a name, or a number and no name."""
    kind, _, shape = rule.rpartition(":")
    sizes = []
    for word in shape.split():
        factor, _, name = word.rpartition("*")
        sizes.append((int(word), "") if word.isdigit() else (int(factor or 1), name))
    return TYPES[kind or "float32"], tuple(sizes)


def measure(
    operation: str, rules: Mapping[str, str], tensors: Mapping[str, Tensor | None], **known: int
) -> dict[str, int]:
    """The sizes that an operation's tensors agree on.

    Args:
        operation: its name, for messages.
        rules: for each tensor its type and shape, such as ``"views surfels 3"``, ``"int64: triangles 3"`` or
            ``"poses 3*triangles 3"``; float32 where no type stands (``TYPES``), a number where nothing does.
        tensors: those given; None is left out.
        known: sizes that are known beforehand.

    Returns:
        The sizes by name.

    Raises:
        ShapeError: a tensor has another number of axes, another size than those before it, another type, or
            lies on another device.
    """
    sizes = dict(known)
    device: torch.device | None = None
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        types, wanted = _parsed(rules[name])
        shape = tensor.shape
        if tensor.dtype not in types or len(shape) != len(wanted):
            raise _wrong(operation, name, tensor, rules[name], sizes)
        for size, (factor, symbol) in zip(shape, wanted, strict=True):
            if not symbol:
                expected = factor
            elif symbol in sizes:
                expected = factor * sizes[symbol]
            else:
                sizes[symbol], rest = divmod(size, factor)
                expected = size - rest
            if size != expected:
                raise _wrong(operation, name, tensor, rules[name], sizes)
        if device is None:
            device = tensor.device
        elif tensor.device != device:
            raise ShapeError(
                f'"{name}" of kernel "{operation}" is on {tensor.device}.',
                f"Expected {device}, where those before it are.",
                "Move it there.",
            )
    return sizes


def _wrong(operation: str, name: str, tensor: Tensor, rule: str, sizes: Mapping[str, int]) -> ShapeError:
    types, wanted = _parsed(rule)
    words = []
    for factor, symbol in wanted:
        many = str(factor) if not symbol else symbol if factor == 1 else f"{factor} {symbol}"
        words.append(f"{many} = {factor * sizes[symbol]}" if symbol in sizes else many)
    kinds = " or ".join(str(kind).removeprefix("torch.") for kind in types)
    return ShapeError(
        f'"{name}" of kernel "{operation}" is {str(tensor.dtype).removeprefix("torch.")} '
        f"{tuple(tensor.shape)}.",
        f"Expected {kinds} ({', '.join(words)}).",
        "Check how it was built.",
    )


def require_contiguous(operation: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise ShapeError for a tensor that a kernel changes in place and that is not contiguous."""
    for name, tensor in tensors.items():
        if not tensor.is_contiguous():
            raise ShapeError(
                f'"{name}" of kernel "{operation}" is changed in place and has strides {tensor.stride()}.',
                "Expected a contiguous tensor.",
                "Make it with `contiguous()`.",
            )
