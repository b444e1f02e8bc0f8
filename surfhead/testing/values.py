"""Looks into the nested values that components take and give: the tensors in them, and differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfhead.testing.suite import require


def tensors_in(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dataclasses, mappings, sequences and arrays, with where it sits."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, np.ndarray):
        if value.dtype.kind in "biuf":
            yield path, torch.from_numpy(np.ascontiguousarray(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if field.compare:  # what a value only remembers for itself is no part of it
                yield from tensors_in(getattr(value, field.name), f"{path}.{field.name}".strip("."))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from tensors_in(item, f"{path}[{key}]" if path else str(key))
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from tensors_in(item, f"{path}[{index}]")


def snapshot(value: Any) -> dict[str, Tensor]:
    """Copies of the tensors in ``value`` by where they sit."""
    return {path: tensor.detach().clone() for path, tensor in tensors_in(value)}


def require_unchanged(value: Any, before: Mapping[str, Tensor]) -> None:
    """Raise ContractError where a tensor in ``value`` differs from its snapshot."""
    for path, tensor in tensors_in(value):
        require(same(tensor, before[path]), f'The input "{path}" was modified.')


def same(left: Tensor, right: Tensor) -> bool:
    """Equal bit for bit, NaN equal to NaN."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    equal = left == right
    if left.is_floating_point():
        equal = equal | (left.isnan() & right.isnan())
    return bool(equal.all())


def require_equal(left: Any, right: Any, what: str) -> None:
    """Raise ContractError unless two values hold the same tensors, bit for bit."""
    first, second = snapshot(left), snapshot(right)
    require(first.keys() == second.keys(), f"{what}: {sorted(first)} against {sorted(second)}.")
    for path, tensor in first.items():
        require(same(tensor, second[path]), f'{what}: "{path}" differs.')


def require_close(left: Tensor, right: Tensor, what: str, absolute: float, relative: float = 0.0) -> None:
    """Raise ContractError unless two tensors agree; says by how much they do not."""
    require(
        left.shape == right.shape, f"{what}: shape {tuple(left.shape)}.", f"Expected {tuple(right.shape)}."
    )
    if left.numel() == 0:
        return
    wanted = right.detach().double().cpu()
    difference = (left.detach().double().cpu() - wanted).abs()
    excess = difference - relative * wanted.abs()
    worst = int(torch.nan_to_num(excess, nan=torch.inf).argmax())
    index = np.unravel_index(worst, left.shape)
    require(
        bool((excess <= absolute).all()),
        f"{what}: differs by {float(difference.flatten()[worst]):.3g} at {tuple(int(i) for i in index)}.",
        f"Expected within {absolute:g}" + (f" + {relative:g} of the value." if relative else "."),
    )


def require_finite(value: Any, what: str) -> None:
    """Raise ContractError where a tensor in ``value`` holds NaN or infinity."""
    for path, tensor in tensors_in(value):
        if tensor.is_floating_point():
            where = f"{what} {path}".strip()
            require(bool(torch.isfinite(tensor).all()), f"{where} holds NaN or infinity.")


def require_shape(tensor: Any, shape: tuple[int, ...], what: str) -> None:
    """Raise ContractError unless ``tensor`` is a tensor of this shape."""
    require(isinstance(tensor, Tensor), f"{what} is a {type(tensor).__name__}.", "Expected a tensor.")
    require(tuple(tensor.shape) == shape, f"{what} has shape {tuple(tensor.shape)}.", f"Expected {shape}.")


def require_repeatable(make: Callable[[], Any], call: Callable[[Any], Any]) -> None:
    """Raise ContractError unless two fresh instances, and a second call, give the same bit for bit."""
    component = make()
    first = snapshot(call(component))
    require_equal(first, snapshot(call(component)), "A second call gives another result")
    require_equal(first, snapshot(call(make())), "A second instance gives another result")
