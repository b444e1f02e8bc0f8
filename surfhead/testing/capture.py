"""What a CUDA graph cannot hold, found without a GPU: looks at values from the host, and copies from it.

A component that says it is ``capturable`` has its step watched: the functions it calls of PyTorch, and the
operations these come down to, also in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from surfhead.core.errors import ContractError
from surfhead.testing.values import tensors_in

# methods that give a tensor's values to Python
LOOKS = {"item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__int__", "__float__", "__index__"}
# functions that make a tensor of what Python holds, which on a GPU is a copy from the host
COPIES = {"tensor", "as_tensor", "asarray", "new_tensor", "from_numpy", "pin_memory"}
# operations for which the host waits: for a value, an error code, or the size of the result
WAITS = {
    "_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "nonzero_numpy", "argwhere",
    "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive", "bincount",
    "_linalg_check_errors",
}  # fmt: skip


class _Functions(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        if name in LOOKS or (name == "to" and _is_host(named.get("device"), *args[1:2])):
            raise _refusal(f"reads values back ({name})")
        if name in COPIES:
            given = named.get("data", args[0] if args else None)
            # a number without a place is handed to the kernels as it is
            plain = isinstance(given, (bool, int, float)) and named.get("device") is None
            if not (plain or isinstance(given, Tensor)) or name == "new_tensor":
                raise _refusal(f"copies from the host ({name})")
        return function(*args, **named)


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


def _is_host(*places: Any) -> bool:
    return any(isinstance(place, str) and place == "cpu" for place in places)


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
