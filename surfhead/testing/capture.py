"""What a CUDA graph cannot hold, found without a GPU: looks at values from the host, and copies from it.

A component that says it is ``capturable`` has its step watched: the functions it calls of PyTorch, and the
operations these come down to, also in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from surfhead.core.errors import ContractError
from surfhead.testing.values import tensors_in

# methods that give a tensor's values to Python
LOOKS = {"item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__int__", "__float__", "__index__"}
# functions that make a tensor of what Python holds
COPIES = {"tensor", "as_tensor", "asarray", "new_tensor", "from_numpy", "pin_memory"}
INDEXING = {"__getitem__", "__setitem__"}
# operations for which the host waits: for a value, an error code, or the size of the result
WAITS = {
    "_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "nonzero_numpy", "argwhere",
    "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive", "bincount",
    "_linalg_check_errors",
}  # fmt: skip
HOST = "_made_on_the_host"  # marks tensors that would be on the CPU even if the inputs were on a GPU


def _listed(index: Any) -> bool:
    """Whether a list or an array of numpy's is among what a tensor is indexed with."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, (list, np.ndarray)) for part in parts)


class _Functions(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        tensors = [tensor for _, tensor in tensors_in([args, named])]
        hosts = [tensor for tensor in tensors if hasattr(tensor, HOST)]
        placed = named.get("device") is not None or any(isinstance(v, torch.device) for v in args)
        only_host = len(hosts) == len(tensors) and not placed
        if name in LOOKS or (name == "to" and any(isinstance(v, str) and v == "cpu" for v in args)):
            if not only_host:
                raise _refusal(f"reads values back ({name})")
            with _disable_current_modes():
                return function(*args, **named)
        data = named.get("data", args[0] if args else None)
        if name in COPIES and (name == "new_tensor" or not (only_host or isinstance(data, Tensor))):
            raise _refusal(f"copies from the host ({name})")
        if name in INDEXING and not only_host and _listed(args[1]):
            raise _refusal("copies from the host (a list as an index)")
        if any(tensor.ndim > 0 or name == "to" for tensor in hosts) and not only_host:
            raise _refusal(f"copies from the host ({name})")
        result = function(*args, **named)
        if only_host and name not in ("__get__", "__set__"):
            for _, tensor in tensors_in(result):
                setattr(tensor, HOST, True)
        return result


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = operation.overloadpacket.__name__
        named = dict(kwargs or {})
        if name in WAITS:
            raise _refusal(f"waits for the GPU ({name})")
        if name == "repeat_interleave" and named.get("output_size") is None and "Tensor" in str(operation):
            raise _refusal("waits for the GPU (repeat_interleave without output_size)")
        if name in {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}:
            masks = [
                index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)
            ]
            filled = name.startswith("index_put") and len(masks) == 1 and args[2].numel() == 1
            if masks and not filled:  # filling one value in is done by the mask itself
                raise _refusal("waits for the GPU (indexing with a mask)")
        return operation(*args, **named)


@contextmanager
def watched() -> Iterator[None]:
    """Raise ContractError where what is done within could not be captured in a CUDA graph."""
    operations: Any = _Operations  # PyTorch leaves its constructor untyped
    with operations(), _Functions():
        yield


def require_capturable(work: Callable[[Any], Any], first: Any, second: Any) -> None:
    """Raise ContractError unless ``work`` on the second input, with its backward pass, could be captured.

    The first is like the second and not watched, as in training: what stays the same may be kept from it.
    """
    _with_gradients(work(first))
    with watched():
        _with_gradients(work(second))


def _with_gradients(value: Any) -> None:
    found = [tensor for _, tensor in tensors_in(value) if tensor.requires_grad]
    if found:
        torch.autograd.backward(found, [torch.ones_like(tensor) for tensor in found])


def _refusal(what: str) -> ContractError:
    return ContractError(
        f"It says capturable, but its step {what}.",
        "Expected a step that a CUDA graph can hold: no look at values, no copy from the host.",
        "Work with masks as factors (torch.where), keep constants, or say capturable = False.",
    )
