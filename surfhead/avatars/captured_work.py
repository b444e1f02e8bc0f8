"""Work as CUDA graphs: the host launches one graph instead of hundreds of kernels."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor

from surfhead.core.component import Component

log = logging.getLogger("surfhead")
Inputs = TypeVar("Inputs")
Tree = TypeVar("Tree")
Result = TypeVar("Result")
TRIES = 3  # other work on the GPU may disturb a capture
RENEWAL = 8  # captures in one pool: of growing sizes, they leave it in pieces that nothing fits into again


# 8 views of 802x550, 100,000 surfels: benchmarks/RESULTS.md, "Training on a GPU"
COST = "about twice the time a step (on an H100, 17.7 instead of 8.2 ms for 8 views)"


def not_capturable(parts: Iterable[Component]) -> list[str]:
    """Kind and name of the components that keep work from being captured, such as ``regularizer "mine"``."""
    found = [f'{part.kind} "{part.name}"' for part in parts if not part.capturable]
    return list(dict.fromkeys(found))


def slowed_by(names: Sequence[str]) -> str:
    """What these components, which cannot be captured, cost a run: a sentence or two."""
    what = f"{', '.join(names)} {'does' if len(names) == 1 else 'do'} not say `capturable`"
    return f"{what}: steps run without a CUDA graph, which costs {COST}. See docs/architecture.md."


def all_capturable(parts: Iterable[Component], warned: bool) -> bool:
    """Whether none of the components keeps work from being captured; where ``warned``, says which do."""
    hindering = not_capturable(parts)
    if hindering and warned:
        log.warning("%s", slowed_by(hindering))
    return not hindering


class CapturedWork(Generic[Inputs, Result]):
    """Does the same work on inputs after inputs, from a CUDA graph where it can.

    Captured work is right only while everything the host decided in it stays decided that way: the caller
    names all of that in a key. With a new key the work is first done as it is, which also compiles and loads
    what it needs; the second time it is captured, and from then on replayed. Where capturing has failed
    TRIES times, everything runs as it is.

    Args:
        work: from the inputs, a dataclass of tensors, to a result; it must neither wait for the GPU nor copy
            from the host, and change tensors in place only.
    """

    def __init__(self, work: Callable[[Inputs], Result]) -> None:
        self._work = work
        self._key: Hashable = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._result: Result | None = None
        self._pool: Any = None
        self._keeper: torch.cuda.CUDAGraph | None = None
        self._captures = 0  # in the present pool
        self._failures = 0
        self._overflows = 0  # of the rasterizer, when it was captured
        self.failure: BaseException | None = None  # the last one

    @property
    def captured(self) -> bool:
        """Whether there is a graph to replay."""
        return self._graph is not None

    def __call__(self, key: Hashable, inputs: Inputs, given: Sequence[Tensor] | None = None) -> Result:
        """The work's result; that of captured work lives in the graph's memory until the next.

        Args:
            key: all that the host decides by.
            inputs: a dataclass of tensors.
            given: ``tensors_in`` them, where the caller knows it already.
        """
        if self._failures >= TRIES:
            return self._work(inputs)
        if key != self._key:
            self.drop()
            result = self._work(inputs)
            self._key = key
            return result
        given = tensors_in(inputs) if given is None else given
        guard = torch.cuda.device_of(given[0])  # type: ignore[no-untyped-call]
        with guard:  # a capture takes place on the current device
            if self._graph is None and not self._capture(inputs, given[0].device):
                return self._work(inputs)
        assert self._graph is not None
        copy_all(self._inputs, given)
        self._graph.replay()
        return cast(Result, self._result)

    def drop(self) -> None:
        """Forget the graph; the next time the work is done as it is."""
        self._key = self._graph = self._result = None
        self._inputs = []

    def make_room(self) -> None:
        """Capture anew where the rasterizer had too little room lately, which makes it slow."""
        from surfhead.kernels import cuda

        if cuda.overflows() > self._overflows:
            self.drop()

    def _capture(self, inputs: Inputs, device: torch.device) -> bool:
        from surfhead.kernels import cuda

        before = _current_stream(device)
        try:
            self._overflows = cuda.overflows()
            self._renew_pool()
            pool = self._shared_pool(device)
            graph, own = torch.cuda.CUDAGraph(), with_tensors(inputs, torch.clone)
            # other threads decode pictures meanwhile, which must not break the capture
            with torch.cuda.graph(graph, pool, _stream(device), capture_error_mode="thread_local"):
                result = self._work(own)
        except Exception as failure:  # whatever a component did that a graph cannot hold
            if before is not None:  # where a capture's end fails, PyTorch stays on the stream that it was on
                torch.cuda.set_stream(before)
            self.failure = _without_frames(failure)
            self._failures += 1
            self._pool = self._keeper = None  # the broken capture may still hold it
            if self._failures == TRIES:
                reason = (str(failure).splitlines() or [""])[0]
                log.warning("Work is done without CUDA graphs, several times slower: %s", reason)
            return False
        self._graph, self._inputs, self._result = graph, tensors_in(own), result
        self._captures += 1
        return True

    def _renew_pool(self) -> None:
        """Give the pool's memory back after some captures: a run that densifies often must not grow."""
        if self._captures >= RENEWAL:
            self._captures, self._pool, self._keeper = 0, None, None
            torch.cuda.empty_cache()

    def _shared_pool(self, device: torch.device) -> Any:
        """The memory of all graphs. It would die with its last graph, so an empty one keeps it."""
        if self._pool is None:
            pool = torch.cuda.graph_pool_handle()
            keeper = torch.cuda.CUDAGraph()
            with torch.cuda.graph(keeper, pool, _stream(device), capture_error_mode="thread_local"):
                torch.zeros(1, device=device)
            self._pool, self._keeper = pool, keeper
        return self._pool


def _without_frames(failure: BaseException) -> BaseException:
    """An error, and those it came from, without tracebacks.

    Their frames would keep the broken pass: its memory, and nodes of autograd that belong to the capture's
    stream, which the next pass would use.
    """
    left: list[BaseException | None] = [failure]
    while left:
        one = left.pop()
        if one is not None:
            one.__traceback__ = None
            left += (one.__cause__, one.__context__)
    return failure


def _current_stream(device: torch.device) -> torch.cuda.Stream | None:
    """What this thread's work on a device is queued in; None without CUDA."""
    return torch.cuda.current_stream(device) if device.type == "cuda" else None


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """What captures on a device run on; PyTorch's own belongs to the first device that captured."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@cache
def _names(kind: type) -> tuple[str, ...]:
    """The fields of a dataclass; none for other types."""
    return tuple(item.name for item in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else ()


@cache
def _maps(kind: type) -> bool:
    return issubclass(kind, Mapping)


def tensors_in(value: object) -> list[Tensor]:
    """The tensors of a dataclass or mapping of tensors, dataclasses and mappings, in a fixed order."""
    found: list[Tensor] = []
    _gather(value, found)
    return found


def _gather(value: object, found: list[Tensor]) -> None:
    kind: Any = type(value)
    if isinstance(value, Tensor):
        found.append(value)
    elif _maps(kind):
        rows = cast(Mapping[str, object], value)
        for name in sorted(rows):
            _gather(rows[name], found)
    else:
        for name in _names(kind):
            _gather(getattr(value, name), found)


def copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copy tensors into others, most of them together in a launch or two."""
    floats = [i for i, value in enumerate(sources) if value.dtype == torch.float32]
    torch._foreach_copy_([targets[i] for i in floats], [sources[i] for i in floats])
    for i in set(range(len(sources))) - set(floats):
        targets[i].copy_(sources[i], non_blocking=True)


def with_tensors(value: Tree, change: Callable[[Tensor], Tensor]) -> Tree:
    """A copy whose tensors are ``change`` of the original's, taken in the order of ``tensors_in``."""
    found: Any = value
    if isinstance(value, Tensor):
        found = change(value)
    elif isinstance(value, Mapping):
        found = {name: with_tensors(value[name], change) for name in sorted(value)}
    elif names := _names(cast(Any, type(value))):
        found = type(value)(**{name: with_tensors(getattr(value, name), change) for name in names})
    return cast(Tree, found)
