"""Several processes that train one avatar together: each draws its share of every batch.

They are started by `surfhead train --processes N` or by PyTorch's torchrun, which tell each its number
through environment variables. Every process holds the whole avatar and takes the same optimiser step on
the same mean gradient, so their avatars stay equal; the first one alone writes and displays.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from surfhead.core.errors import OptionError, SurfheadError, UnavailableError
from surfhead.training.devices import choose_device
from surfhead.training.peer_exchange import PeerExchange, open_peers
from surfhead.training.read_back import ReadBack

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # as torchrun sets them
PATIENCE = timedelta(days=1)  # the others wait while the first one evaluates
Told = TypeVar("Told")
_TRAINING = threading.Event()


def begun() -> bool:
    """Whether this process trains with others, or did."""
    return _TRAINING.is_set()


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; by default it is alone, and nothing is exchanged.

    Attributes:
        number: from 0; process 0 writes, evaluates and displays.
        count: how many there are.
        device: where exchanged tensors live.
        peers: exchanges the means of two processes on one host; None: PyTorch's backend does.
    """

    number: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    peers: PeerExchange | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes and displays."""
        return self.number == 0

    def begin(self, tensors: Sequence[Tensor]) -> None:
        """Start from the first one's tensors. From here on an error may be met by a process alone."""
        self.spread(tensors)
        _TRAINING.set()

    def check_batch(self, size: int) -> None:
        """Raise OptionError where batches of ``size`` views cannot be shared equally."""
        if size % self.count:
            raise OptionError(
                f"{self.count} processes cannot share batches of {size} views equally.",
                f"Expected a multiple of {self.count}.",
                f"For example: --batch-size {self.count * max(1, round(size / self.count))}",
            )

    def share(self, views: np.ndarray) -> np.ndarray:
        """This process's part of a batch, as large as every other's.

        A last batch that cannot be divided is drawn whole by all, so that its mean stays what it was.
        """
        return views if len(views) % self.count else views[self.number :: self.count]

    @contextmanager
    def exchanges(self, sizes: Sequence[int]) -> Iterator[None]:
        """Around the averages of a step: of tensors with at most so many elements."""
        if self.peers is not None:
            self.peers.expect(sizes)
        try:
            yield
        finally:
            if self.peers is not None:
                self.peers.release()

    def begin_average(self, tensors: Sequence[Tensor]) -> Callable[[], None]:
        """Begin to replace tensors of one type by their means over the processes, in one exchange, in place.

        Args:
            tensors: contiguous, of the same sizes in all processes.

        Returns:
            What to call before they are used: a GPU's work that follows then waits for the exchange, but not
            the host; on a CPU the caller does.
        """
        if self.count == 1 or not tensors:
            return lambda: None
        through_peers = None if self.peers is None else self.peers.begin(tensors)
        if through_peers is not None:
            return through_peers
        alone = dist.get_backend() == "nccl"  # it divides by itself
        options = dist.AllreduceCoalescedOptions()
        how: Any = dist.ReduceOp.AVG if alone else dist.ReduceOp.SUM
        options.reduceOp = how
        world: Any = dist.group.WORLD
        work = world.allreduce_coalesced(list(tensors), options)

        def end() -> None:
            work.wait()
            if not alone:
                torch._foreach_mul_(list(tensors), 1.0 / self.count)

        return end

    def sum(self, value: Tensor) -> Tensor:
        """The sum over the processes."""
        return self._reduced(value, dist.ReduceOp.SUM)

    def largest(self, value: Tensor) -> Tensor:
        """The largest over the processes, by element."""
        return self._reduced(value, dist.ReduceOp.MAX)

    def _reduced(self, value: Tensor, how: Any) -> Tensor:
        if self.count == 1:
            return value
        own = value.detach().to(self.device, copy=True)
        dist.all_reduce(own, op=how)
        return own.to(value.device)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self.largest(torch.tensor([float(flag)])) > 0) if self.count > 1 else flag

    def any_lately(self, flag: bool, answers: ReadBack) -> bool:
        """The same, but on a GPU of the time before this one that ``answers`` were asked: nothing waits."""
        if self.count == 1 or self.device.type == "cpu":
            return self.any(flag)
        found = answers.look(self.largest(torch.full((1,), float(flag), device=self.device)))
        return found is not None and found[0] > 0.0

    def tell(self, value: Told) -> Told:
        """The first process's value, which must be picklable, in all of them."""
        if self.count == 1:
            return value
        carried: list[Any] = [value]
        dist.broadcast_object_list(carried, src=0, device=self.device)
        found: Told = carried[0]
        return found

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors with the first process's."""
        if self.count > 1:
            for value in tensors:
                own = value.detach().to(self.device).contiguous()
                dist.broadcast(own, src=0)
                value.detach().copy_(own)

    def agree(self, tensors: Mapping[str, Tensor], moment: str) -> None:
        """Raise SurfheadError where the processes' tensors are not the same, bit for bit."""
        if self.count == 1:
            return
        sums = torch.stack([_checksum(value) for value in tensors.values()]).to(self.device)
        high, low = self.largest(sums), -self.largest(-sums)
        bad = [name for name, same in zip(tensors, (high == low).tolist(), strict=True) if not same]
        if bad:
            raise SurfheadError(
                f'The processes\' values of "{bad[0]}" differ {moment}.',
                "Expected the same in all: they take the same steps.",
                "A component may draw random numbers of its own; train with it in one process.",
            )

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.any(False)

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process goes ahead, such as to fill a cache that the others then read."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()


ALONE = Ranks()


def _checksum(value: Tensor) -> Tensor:
    """() int64, the sum of a tensor's words and of its length."""
    plain = value.detach().contiguous().reshape(-1)
    words = plain.view(torch.int32) if plain.element_size() >= 4 else plain.view(torch.uint8)
    return words.sum(dtype=torch.int64) + plain.numel()


def told() -> tuple[int, int, int] | None:
    """This process's number, how many there are, and its number on this machine; None: nobody says so.

    Raises:
        OptionError: what the environment says is no number, or cannot be.
    """
    if not all(name in os.environ for name in VARIABLES):
        return None
    number, count, local = (_whole(name) for name in VARIABLES[:3])
    port = _whole(VARIABLES[-1])
    if not 0 <= port < 1 << 16:
        raise _mistold(f"$MASTER_PORT is {port}.")
    if not (0 <= number < count and 0 <= local < count):
        raise _mistold(f"$RANK is {number} and $LOCAL_RANK is {local} of $WORLD_SIZE {count}.")
    return number, count, local


def _whole(name: str) -> int:
    text = os.environ[name]
    try:
        return int(text)
    except ValueError as error:
        raise _mistold(f'${name} is "{text[:80]}".') from error


def _mistold(what: str) -> OptionError:
    return OptionError(
        what,
        "Expected whole numbers as torchrun sets them: a process below $WORLD_SIZE, a port below 65536.",
        f"Start with `surfhead train --processes N`, or unset {', '.join(VARIABLES)}.",
    )


@contextmanager
def joined(device: str) -> Iterator[tuple[Ranks, torch.device]]:
    """This process's place among those started together, and its device; alone where there are none.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or, for a process that is alone, ``cuda:N``. Process i of a
            machine takes its i-th GPU.

    Raises:
        OptionError: one GPU for several processes. UnavailableError: fewer GPUs than processes.
    """
    number, count, local = told() or (0, 1, 0)
    if count == 1:
        yield ALONE, choose_device(device)
        return
    chosen = _own_device(device, local)
    ours = not dist.is_initialized()
    if ours:
        # steps that one process replays as a graph and another launches must use the same kind of exchange
        os.environ.setdefault("NCCL_GRAPH_REGISTER", "0")
        _join(chosen)
    peers = open_peers(number, count, chosen)
    try:
        yield Ranks(number, count, chosen, peers), chosen
    except Exception as error:
        # else the others notice, fail and end before this process has said why
        ours = ours and isinstance(error, SurfheadError)
        raise
    finally:
        if ours:
            if peers is not None:  # before the others are left
                peers.close()
            dist.destroy_process_group()


def _own_device(name: str, local: int) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise OptionError(
            f'Device "{name}" is one device for several processes.',
            "Expected auto, cpu or cuda: each process takes a GPU of its own.",
            "Limit the GPUs with CUDA_VISIBLE_DEVICES.",
        )
    chosen = choose_device(name)
    if chosen.type != "cuda":
        return chosen
    if local >= torch.cuda.device_count():
        raise UnavailableError(
            f"Process {local} has no GPU of its own.",
            f"PyTorch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices.",
            "Start fewer processes, or add --device cpu.",
        )
    return torch.device("cuda", local)


def _join(device: torch.device) -> None:
    if not dist.is_available():
        raise UnavailableError(
            "Several processes cannot train together here.",
            f"PyTorch {torch.__version__} was built without torch.distributed.",
            "Leave --processes out.",
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", timeout=PATIENCE, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)
        dist.barrier()  # one that met an error and left would break the connections others are still making
