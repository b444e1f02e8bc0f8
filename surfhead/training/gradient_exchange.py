"""The mean gradients of processes that train together, exchanged while the backward pass still runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from surfhead.training.ranks import Ranks

BUCKET = 8 << 20  # bytes that one exchange takes at least, if it shall not wait for the end of the pass
PEERS_BUCKET = 4 << 20  # through peer memory, where one more exchange takes less
SMALL = 256 << 10  # gradients below it go together, as one tensor
SAVING = 1 << 20  # bytes for which it pays to exchange some rows of a gradient only: gathered, put back


class GradientExchange:
    """Replaces gradients by their means over the processes, large ones as soon as there are enough of them.

    All processes must exchange the same tensors in the same order, but a process's backward pass may end with
    them in another order than another's. So the order is given, large gradients are cut into buckets along
    it, and a bucket is begun when all of its own that are expected have come and all buckets before it are
    begun. Expected is what came in the step before, as a parameter may take no part in a stage of a run;
    what is not goes last, with the small ones. In any one step all processes must have gradients of the same
    parameters. Nothing waits for the device, and a CUDA graph can hold it all.

    Of a gradient that only some rows can ever have, these alone are exchanged, where they are at most half
    of them; the others become 0, whatever they were.

    Args:
        ranks: the processes.
        bucket, small: bytes; of a bucket None: what suits the way in which the processes exchange.
        saving: bytes; a gradient of which its rows save fewer is exchanged whole.
    """

    def __init__(
        self, ranks: Ranks, bucket: int | None = None, small: int = SMALL, saving: int = SAVING
    ) -> None:
        self.ranks = ranks
        suits = BUCKET if ranks.peers is None else PEERS_BUCKET
        self._bucket = suits if bucket is None else bucket
        self._small, self._saving = small, saving
        self._came: set[int] | None = None  # places of the gradients of the last step; None: not known yet
        self._aside: torch.cuda.Stream | None = None  # on which rows are gathered and put back beside a pass

    @contextmanager
    def during(
        self,
        values: Sequence[Tensor],
        then: Callable[[list[Tensor]], None],
        rows: Sequence[Tensor | None] | None = None,
    ) -> Iterator[None]:
        """Around a backward pass that leaves gradients in ``values``; they are means when it ends.

        Args:
            values: leaves of one type, about in the order in which the pass ends with them.
            then: called after the pass with the leaves whose gradients are means by now, until all that have
                one were among them: what it does with them goes on beside the exchange of those that follow.
            rows: of each leaf the rows that alone ever get a gradient, (M,) int64, each once; None: all. As
                many in all processes, and the same.
        """
        if self.ranks.count == 1:
            yield
            then([value for value in values if value.grad is not None])
            return
        parts = [
            _Part(value, self._sparing(value, own))
            for value, own in zip(values, rows or [None] * len(values), strict=True)
        ]
        # peers take many tensors as fast as one
        small = self._small if self.ranks.peers is None else 0
        if self._aside is None and values[0].is_cuda:
            self._aside = torch.cuda.Stream(values[0].device)  # type: ignore[no-untyped-call]
        buckets = _Buckets(self.ranks, parts, self._cut(parts, small), small, self._aside)
        with self.ranks.exchanges([part.nbytes // part.value.element_size() for part in parts]):
            hooks = buckets.watch()
            try:
                yield
                buckets.finish(then)
            except BaseException:
                buckets.leave()
                raise
            finally:
                for hook in hooks:
                    hook.remove()
        self._came = {place for place, value in enumerate(values) if value.grad is not None}

    def _sparing(self, value: Tensor, rows: Tensor | None) -> Tensor | None:
        """The rows, where it pays to exchange nothing else; decided by sizes, which all processes share."""
        if rows is None or not 0 < 2 * len(rows) <= len(value):
            return None
        return rows if value.nbytes // len(value) * (len(value) - len(rows)) >= self._saving else None

    def _cut(self, parts: Sequence[_Part], small: int) -> list[list[int]]:
        """Places of the expected large gradients, by bucket; without the end of them, which fills none."""
        buckets: list[list[int]] = [[]]
        room = self._bucket
        for place, part in enumerate(parts):
            if part.nbytes < small or not (self._came is None or place in self._came):
                continue
            buckets[-1].append(place)
            room -= part.nbytes
            if room <= 0:
                buckets.append([])
                room = self._bucket
        return buckets[:-1]


@dataclass
class _Part:
    """What is exchanged of a leaf's gradient.

    Attributes:
        value: the leaf.
        rows: (M,) int64 rows of it that are exchanged; None: all.
        sent: the gradient itself, or its rows; None before its exchange begins.
    """

    value: Tensor
    rows: Tensor | None
    sent: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of an exchange that it takes."""
        whole = self.value.nbytes
        return whole if self.rows is None else whole // len(self.value) * len(self.rows)

    def gathered(self) -> Tensor:
        """What is to be replaced by its mean, in place, where there is a gradient."""
        gradient = self.value.grad
        assert gradient is not None
        if not gradient.is_contiguous() or _shared(gradient):
            gradient = self.value.grad = gradient.clone(memory_format=torch.contiguous_format)
        self.sent = gradient if self.rows is None else gradient.index_select(0, self.rows)
        return self.sent

    def put_back(self) -> None:
        """Have the leaf's gradient be the mean."""
        if self.rows is not None and self.value.grad is not None and self.sent is not None:
            # were a loss term to ask something of the others, each process would learn another avatar
            self.value.grad.zero_().index_copy_(0, self.rows, self.sent)


class _Buckets:
    """The exchanges of one step.

    Args:
        aside: what is done for those that begin within the pass goes on it, beside the pass; None on a CPU.
    """

    def __init__(
        self,
        ranks: Ranks,
        parts: Sequence[_Part],
        early: list[list[int]],
        small: int,
        aside: torch.cuda.Stream | None = None,
    ) -> None:
        self.early = early
        self._ranks, self._parts, self._small, self._aside = ranks, parts, small, aside
        self._missing = [set(bucket) for bucket in early]
        self._ends: list[Callable[[], None]] = []  # of the exchanges begun, one a bucket

    def watch(self) -> list[Any]:
        """Hooks, to be removed, by which the pass tells which gradients are complete."""
        places = [place for bucket in self.early for place in bucket]
        leaves: list[Any] = [self._parts[place].value for place in places]
        return [
            leaf.register_post_accumulate_grad_hook(self._hook(place))
            for leaf, place in zip(leaves, places, strict=True)
        ]

    def _hook(self, place: int) -> Callable[[Tensor], None]:

        def came(_: Tensor) -> None:
            for missing in self._missing:
                missing.discard(place)
            while len(self._ends) < len(self.early) and not self._missing[len(self._ends)]:
                self._begin()

        return came

    def _begin(self) -> None:
        bucket = self.early[len(self._ends)]
        if self._aside is not None:
            self._aside.wait_stream(torch.cuda.current_stream(self._aside.device))
        with self._beside():
            self._ends.append(self._ranks.begin_average(self._gathered(bucket)))

    def _beside(self) -> AbstractContextManager[Any]:
        """What is queued in it goes on beside the pass."""
        return nullcontext() if self._aside is None else torch.cuda.stream(self._aside)

    def _join(self) -> None:
        """Have the work that follows wait for what went on beside the pass."""
        if (
            self._aside is not None and self.early and self._ends
        ):  # a capture must not wait for what is none of it
            torch.cuda.current_stream(self._aside.device).wait_stream(self._aside)

    def _with_gradients(self, places: Sequence[int]) -> list[_Part]:
        """The parts at these places whose leaves have one."""
        return [self._parts[place] for place in places if self._parts[place].value.grad is not None]

    def _gathered(self, places: Sequence[int]) -> list[Tensor]:
        """What there is to exchange at these places."""
        return [part.gathered() for part in self._with_gradients(places)]

    def _put_back(self, places: Sequence[int]) -> list[Tensor]:
        """Have the leaves at these places have the means; gives those that have one."""
        found = self._with_gradients(places)
        for part in found:
            part.put_back()
        return [part.value for part in found]

    def finish(self, then: Callable[[list[Tensor]], None]) -> None:
        """Begin what has not begun; have the work that follows wait for all, and tell of their leaves."""
        while len(self._ends) < len(self.early):
            self._begin()
        begun = {place for bucket in self.early for place in bucket}
        late = [place for place in range(len(self._parts)) if place not in begun]
        rest = self._gathered(late)
        small = [gradient for gradient in rest if gradient.nbytes < self._small]
        large = [gradient for gradient in rest if gradient.nbytes >= self._small]
        joint = torch.cat([gradient.view(-1) for gradient in small]) if small else None
        if rest:
            self._ends.append(self._ranks.begin_average(large if joint is None else [*large, joint]))
        self._finish_early(then)
        if rest:
            self._ends[-1]()
        if joint is not None:
            parts = torch.split(joint, [gradient.numel() for gradient in small])
            torch._foreach_copy_(small, [p.view_as(g) for p, g in zip(parts, small, strict=True)])
        if rest:
            then(self._put_back(late))

    def _finish_early(self, then: Callable[[list[Tensor]], None]) -> None:
        """Have the work that follows wait for what began within the pass, and tell of its leaves."""
        together: list[Tensor] = []
        for bucket, end in zip(self.early, self._ends, strict=False):
            with self._beside():
                end()
                found = self._put_back(bucket)
            if self._aside is None:  # the others take their time
                then(found)
            together += found
        self._join()
        if together and self._aside is not None:  # one launch is less than what it waits for
            then(together)

    def leave(self) -> None:
        """Have the work that follows wait for what was begun, where that takes no waiting of the host.

        A capture must not end while another stream is part of it; another process may never come.
        """
        if self._ranks.device.type == "cuda":
            for end in self._ends:
                end()
            self._join()


# builds of PyTorch without CUDA had none before it moved there; of 2.6, for instance
_use_count: Callable[[int], int] | None = getattr(torch._C, "_storage_Use_Count", None)


def _holders(value: Tensor) -> int:
    """How many hold a tensor's memory, this look at it included; many, where that cannot be told."""
    return 1 << 30 if _use_count is None else _use_count(value.untyped_storage()._cdata)


_ONE = _holders(torch.empty(1)) if _use_count is not None else 1


def _shared(gradient: Tensor) -> bool:
    """Whether a gradient's memory is that of another tensor, too.

    A leaf's gradient may be a view of what the rest of the pass is still to read, or of what is another
    leaf's, too (``leaf[None] + other[None]``), whose mean would be taken twice.
    """
    return _holders(gradient) > _ONE
