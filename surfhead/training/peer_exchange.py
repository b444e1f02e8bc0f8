"""Means of two processes' tensors through memory that both GPUs reach: faster than NCCL, and beside a pass.

Each process copies its tensors into the other's buffer, the two meet, and each halves the sums where its
own tensors lie. Large tensors go by copy engine, which takes no multiprocessor from what runs meanwhile; the
others by one kernel together. All of it is queued on one stream of its own. After a step's last exchange each
tells the other that its buffer has been read, for which the other waits before its next step's first: seldom
for long, as a forward pass lies between. A signal pairs with the other's of the same number, whether it was
launched or replayed from a graph; so both must begin the same exchanges in the same order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

log = logging.getLogger("surfhead")
ENGINE = 4 << 20  # bytes of a tensor from which on a copy engine, which starts late, takes it
BLOCKS = 264  # of the kernels' threads, at most
LEAST = 1 << 20  # elements of a buffer
ALIGNED = 64  # elements: each tensor begins at a multiple of it
MEET, READ = 0, 1  # channels of signals
MEMORY = "_SymmetricMemory"  # PyTorch's class
Found = TypeVar("Found")


class Fact(NamedTuple):
    """What a process tells the other before they agree on peer memory.

    Attributes:
        gpu: its own; no two in the world are called alike.
        reached: GPUs whose memory it reaches, which are of its own machine.
        lack: why it cannot take part; empty: it can.
    """

    gpu: str
    reached: tuple[str, ...]
    lack: str


def hindrance(facts: Sequence[Fact]) -> str:
    """Why these processes cannot exchange through peer memory, the same in all; empty: they may try."""
    if len(facts) != 2:
        return f"there are {len(facts)} processes"
    for fact in facts:
        if fact.lack:
            return fact.lack
    one, other = facts
    if one.gpu == other.gpu or other.gpu not in one.reached or one.gpu not in other.reached:
        return "their GPUs do not reach each other's memory"
    return ""


def placed(sizes: Sequence[int], start: int = 0) -> tuple[list[int], int]:
    """Where tensors of so many elements begin in a buffer from ``start`` on, and where the next would."""
    starts = []
    for size in sizes:
        starts.append(start)
        start += -(-size // ALIGNED) * ALIGNED
    return starts, start


def capacity(elements: int) -> int:
    """The size of the buffer for a step that exchanges so many: few sizes serve a run that grows.

    It depends on nothing else, so that a graph and a launch of the same step use the same buffer.
    """
    return max(LEAST, 1 << max(elements - 1, 0).bit_length())


@dataclass
class _Buffer:
    """Memory of both processes.

    Attributes:
        own: what the other writes to, (N,). theirs: the other's, as this GPU reaches it.
        handle: PyTorch's; it keeps both.
    """

    own: Tensor
    theirs: Tensor
    handle: Any


class PeerExchange:
    """Replaces tensors of two processes by their means, in place.

    Args:
        number: of this process.
        device: its GPU.
        engine: bytes of a tensor from which on a copy engine takes it.
        blocks: of the kernels, at most.
    """

    def __init__(self, number: int, device: torch.device, engine: int = ENGINE, blocks: int = BLOCKS) -> None:
        self.number, self.device, self.engine, self.blocks = number, device, engine, blocks
        self._stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
        self._buffers: dict[int, _Buffer | None] = {}  # by capacity; None: it could not be had
        self._buffer: _Buffer | None = None  # of this step
        self._next = 0  # element of it that is free
        self._writing = False  # whether the other is to be told that this step's means have been taken

    def expect(self, sizes: Sequence[int]) -> None:
        """Before a step's exchanges, in all processes: tensors of at most so many elements, float32.

        Takes memory, which all wait for, where a step needs more than those before it; not while a graph is
        captured.
        """
        wanted = capacity(placed(sizes)[1])
        if wanted not in self._buffers:
            if torch.cuda.is_current_stream_capturing():
                raise RuntimeError("memory of two GPUs cannot be taken while a graph is captured")
            self._buffers[wanted] = self._take(wanted)
        self._buffer, self._next = self._buffers[wanted], 0

    def begin(self, tensors: Sequence[Tensor]) -> Callable[[], None] | None:
        """Begin an exchange; gives what to call before its means are used, which no host waits in.

        None: it is not served, as all processes find alike: another type, or larger than expected.
        """
        buffer = self._buffer
        starts, end = placed([value.numel() for value in tensors], self._next)
        if buffer is None or end > len(buffer.own) or any(v.dtype != torch.float32 for v in tensors):
            return None
        self._next = end
        main = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(main)
        with torch.cuda.stream(self._stream):
            self._exchange(buffer, tensors, starts)
            done = self._stream.record_event()

        def finish(kept: Sequence[Tensor] = tensors) -> None:  # none may be given to others before it
            torch.cuda.current_stream(self.device).wait_event(done)

        return finish

    def release(self) -> None:
        """After a step's exchanges, in all processes, whatever has broken off in between."""
        if self._buffer is None or not self._writing:
            return
        with torch.cuda.stream(self._stream):
            self._buffer.handle.put_signal(1 - self.number, READ)
        torch.cuda.current_stream(self.device).wait_stream(self._stream)  # or no capture could end
        self._writing = False

    def _exchange(self, buffer: _Buffer, tensors: Sequence[Tensor], starts: Sequence[int]) -> None:
        from surfhead.kernels import cuda

        if not self._writing:
            buffer.handle.wait_signal(1 - self.number, READ)
            self._writing = True
        flat = [value.view(-1) for value in tensors]
        spans = [slice(start, start + len(value)) for start, value in zip(starts, flat, strict=True)]
        theirs = [buffer.theirs[span] for span in spans]
        small = [i for i, value in enumerate(flat) if value.nbytes < self.engine]
        for i in sorted(set(range(len(flat))) - set(small)):
            theirs[i].copy_(flat[i])
        cuda.copy_to_peer([theirs[i] for i in small], [flat[i] for i in small], self.blocks)
        self._meet(buffer)
        cuda.average_with_peer(flat, [buffer.own[span] for span in spans], self.blocks)

    def _meet(self, buffer: _Buffer) -> None:
        """Have the stream wait until the other's comes here; what was written before is seen after it."""
        handle, other = buffer.handle, 1 - self.number
        if handle.multicast_ptr:  # with which PyTorch's barrier may be one of multicast operations
            handle.put_signal(other, MEET)
            handle.wait_signal(other, MEET)
        else:
            handle.barrier(MEET)

    def _take(self, elements: int) -> _Buffer | None:
        """Memory for so many elements in both processes; None in both where one cannot have it."""
        own = self._in_both(lambda: _allocated(elements, self.device))
        if own is None:
            return None
        return self._in_both(lambda: self._shared(own))

    def _shared(self, own: Tensor) -> _Buffer:
        from torch.distributed import _symmetric_memory

        world: Any = dist.group.WORLD
        handle: Any = _symmetric_memory.rendezvous(own, world.group_name)
        mine, theirs = (
            handle.get_buffer(number, own.shape, own.dtype) for number in (self.number, 1 - self.number)
        )
        if mine.data_ptr() != own.data_ptr():
            raise RuntimeError("symmetric memory begins elsewhere than its tensor")
        with torch.cuda.stream(self._stream):
            handle.put_signal(1 - self.number, READ)  # nothing was written yet
        return _Buffer(own, theirs, handle)

    def _in_both(self, attempt: Callable[[], Found]) -> Found | None:
        """What an attempt gives, or None where it failed in one of the processes."""
        found: Found | None = None
        try:
            found = attempt()
        except Exception as failure:  # whatever a release of PyTorch raises: its interface is not stable
            log.debug("no peer memory: %s", failure)
        fine = torch.tensor(float(found is not None), device=self.device)
        dist.all_reduce(fine, op=dist.ReduceOp.MIN)
        return found if bool(fine > 0) else None

    def works(self) -> bool:
        """Whether both processes get right means through it; tries it on a few numbers."""
        from surfhead.kernels import cuda

        # loaded before anything waits for the other: one process may lack what the other has
        loaded = self._in_both(lambda: cuda.compile_kernels(self.device.index))
        return loaded is not None and self._in_both(self._try) is not None

    def _try(self) -> bool:
        sizes = (5, ALIGNED * 100 + 3)
        self.expect(sizes)
        for round_ in range(3):
            values = [torch.full((size,), 2.0 * self.number + round_, device=self.device) for size in sizes]
            end = self.begin(values)
            if end is None:
                raise RuntimeError("there is no buffer")
            end()
            self.release()
            if not all(bool((value == 1.0 + round_).all()) for value in values):
                raise RuntimeError("means through it are wrong")
        return True

    def close(self) -> None:
        """Give the memory back; no graph may hold an exchange any more."""
        torch.cuda.synchronize(self.device)
        self._buffer = None
        self._buffers.clear()


def _allocated(elements: int, device: torch.device) -> Tensor:
    """(elements,) float32 that another process can be given."""
    from torch.distributed import _symmetric_memory

    # the documented `empty` takes it from a pool, which would keep it for good
    memory: Any = getattr(_symmetric_memory, MEMORY)
    found: Tensor = memory.empty_strided_p2p((elements,), (1,), torch.float32, device)
    return found


def open_peers(number: int, count: int, device: torch.device) -> PeerExchange | None:
    """The way through peer memory, the same decision in all processes; None: NCCL is to exchange."""
    if count != 2 or device.type != "cuda":
        return None
    told: list[Any] = [None] * count
    dist.all_gather_object(told, _fact(device))
    reason = hindrance(told)
    exchange = PeerExchange(number, device) if not reason else None
    if exchange is not None and not exchange.works():
        exchange, reason = None, "a trial failed"
    log.debug("gradients go through %s", "peer memory" if exchange else f"NCCL: {reason}")
    return exchange


def _fact(device: torch.device) -> Fact:
    lack = _lack()
    if lack:
        return Fact("", (), lack)
    own = torch.device(device).index or 0
    gpus = [_identity(i) for i in range(torch.cuda.device_count())]
    others = [i for i in range(len(gpus)) if i != own]
    reached = tuple(gpus[i] for i in others if torch.cuda.can_device_access_peer(own, i))
    return Fact(gpus[own], reached, "")


def _identity(index: int) -> str:
    """Of a GPU, whatever number each process gives it, on whichever machine."""
    return str(torch.cuda.get_device_properties(index).uuid)


def _lack() -> str:
    """What this process has not got that peer memory takes; empty: nothing."""
    from surfhead.kernels import cuda

    try:
        from torch.distributed import _symmetric_memory
    except ImportError:
        return "this PyTorch has no symmetric memory"
    known = getattr(_symmetric_memory, MEMORY, None)
    if not hasattr(_symmetric_memory, "rendezvous") or not hasattr(known, "empty_strided_p2p"):
        return "this PyTorch's symmetric memory is another"
    if torch.cuda.is_available() and not hasattr(torch.cuda.get_device_properties(0), "uuid"):
        return "this PyTorch does not tell GPUs of several machines apart"
    return cuda.unavailable() or ""
