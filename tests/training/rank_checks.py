"""What each of several processes checks of its exchanges with the others (run by test_ranks)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from surfhead.core.errors import OptionError, SurfheadError
from surfhead.training import finishing, gradient_exchange
from surfhead.training.gradient_exchange import GradientExchange
from surfhead.training.observation import Observation
from surfhead.training.ranks import Ranks, joined
from surfhead.training.read_back import ReadBack
from surfhead.training.spares import add_spares
from surfhead.training.statistics import Statistics
from tests.runs.tiny_run import tiny_avatar


def check(ranks: Ranks) -> None:
    """Every exchange, with values that differ by process."""
    me, count = ranks.number, ranks.count
    total = sum(range(count))
    one, many = torch.full((2, 3), float(me)), torch.arange(4.0) * me
    ranks.begin_average([one, many])()
    assert torch.allclose(one, torch.full((2, 3), total / count))
    assert torch.allclose(many, torch.arange(4.0) * total / count)

    assert torch.equal(ranks.sum(torch.tensor([me, 1])), torch.tensor([total, count]))
    assert torch.equal(ranks.largest(torch.tensor([me, -me])), torch.tensor([count - 1, 0]))
    assert ranks.any(me == 1)
    assert not ranks.any(False)
    answers = ReadBack()
    assert [ranks.any_lately(me == 1 and i == 1, answers) for i in range(3)] == [False, True, False]
    assert ranks.tell({"number": me}) == {"number": 0}
    leaf = torch.full((3,), float(me), requires_grad=True)
    ranks.spread([leaf])
    assert torch.equal(leaf.detach(), torch.zeros(3))

    same = {"whole": torch.arange(5), "scalar": torch.tensor(1.5), "flags": torch.tensor([True, False])}
    ranks.agree(same, "now")
    with pytest.raises(SurfheadError, match='values of "scalar" differ now'):
        ranks.agree({**same, "scalar": torch.tensor(1.5 + (me == 1) * 1e-7)}, "now")
    with pytest.raises(SurfheadError, match='"whole" differ'):
        ranks.agree({**same, "whole": torch.zeros(5 + me, dtype=torch.int64)}, "now")

    views = np.arange(10, 10 + 2 * count)
    shares = [ranks.share(views)]
    assert shares[0].tolist() == [10 + me, 10 + count + me]
    assert ranks.share(views[: count + 1]).tolist() == views[: count + 1].tolist()
    with pytest.raises(OptionError, match=f"--batch-size {count}"):
        ranks.check_batch(count + 1)

    statistics = Statistics(2, "cpu")
    statistics.gradient += me + 1
    statistics.seen += 1
    statistics.radius += 5 - me
    gathered = statistics.gather(ranks)
    assert torch.allclose(gathered.mean_gradient(), torch.full((2,), (total + count) / count))
    assert gathered.radius.tolist() == [5.0, 5.0]
    again = statistics.gather(ranks)  # nothing is counted twice
    assert torch.equal(again.seen, gathered.seen)
    assert torch.equal(again.gradient, gathered.gradient)
    assert statistics.seen.tolist() == [count * (me == 0)] * 2


@dataclass(frozen=True)
class Watched(Ranks):
    """Notes which sizes each exchange has, and whether a backward pass was under way."""

    begun: list[tuple[list[int], bool]] = field(default_factory=list)
    passing: list[bool] = field(default_factory=lambda: [False])

    def begin_average(self, tensors: Sequence[Tensor]) -> Callable[[], None]:
        self.begun.append(([value.numel() for value in tensors], self.passing[0]))
        return super().begin_average(tensors)


def average_of_a_pass(ranks: Watched, exchange: GradientExchange, leaves: list[Tensor], loss: Any) -> None:
    """Gradients of a pass with the exchange are the means of those without, the same bits in all."""
    for leaf in leaves:
        leaf.grad = None
    own = torch.autograd.grad(loss(), leaves, allow_unused=True)
    del ranks.begun[:]
    parts: list[list[Tensor]] = []
    then: list[Tensor] = []  # gradients as they are when their leaves are told of

    def told(part: list[Tensor]) -> None:
        parts.append(part)
        then.extend(leaf.grad.clone() for leaf in part if leaf.grad is not None)

    with exchange.during(leaves, told):
        ranks.passing[0] = True
        loss().backward()
        ranks.passing[0] = False
    for leaf, gradient in zip(leaves, own, strict=True):
        assert (leaf.grad is None) == (gradient is None)
        if gradient is not None:
            assert leaf.grad is not None
            wanted = ranks.sum(gradient) * (1.0 / ranks.count)
            # the order of a sum over processes follows its place in what is exchanged
            torch.testing.assert_close(leaf.grad, wanted, rtol=1e-6, atol=1e-6)
            assert bool(wanted.any())
    numbers = [sum(leaf.numel() for leaf in part) for part in parts]
    assert numbers == [sum(sizes) for sizes, _ in ranks.begun], "a part an exchange"
    assert {id(leaf) for part in parts for leaf in part} == {id(x) for x in leaves if x.grad is not None}
    for leaf, gradient in zip((leaf for part in parts for leaf in part), then, strict=True):
        assert leaf.grad is not None
        assert torch.equal(gradient, leaf.grad), "told of before its mean was there"
    ranks.agree({str(i): leaf.grad for i, leaf in enumerate(leaves) if leaf.grad is not None}, "after a pass")
    assert not any(leaf._post_accumulate_grad_hooks for leaf in leaves), "hooks are left"


def check_gradients(alone: Ranks) -> None:
    """Exchanges during a backward pass: in one order, whatever comes when, and what does not come."""
    ranks = Watched(alone.number, alone.count, alone.device)
    g = torch.Generator().manual_seed(ranks.number)
    sizes = (12, 20, 16, 8, 3, 2)  # in the order given; gradients of 8 and more numbers are large
    leaves = [torch.randn(size, generator=g) for size in sizes]
    leaves[2] = torch.randn(4, 4, generator=g).T  # whose gradient's numbers do not lie in its order
    idle, *_ = leaves = [leaf.requires_grad_() for leaf in leaves]

    def loss(turned: bool = False, all_of_them: bool = False) -> Tensor:
        taking = leaves if all_of_them else leaves[1:]
        total = torch.zeros(())
        for leaf in taking if turned else reversed(taking):
            total = total + (ranks.number + 1.5) * leaf.square().sum().exp().log1p()
        return total

    exchange = GradientExchange(ranks, bucket=4 * 16, small=4 * 8)
    last = [8, 5]
    average_of_a_pass(ranks, exchange, leaves, loss)
    # the first step waited for a gradient that did not come; then that is known
    assert ranks.begun == [([20], False), ([16], False), (last, False)]
    for turned in (False, ranks.number == 1, True):  # the pass ends with them in another order in one process
        average_of_a_pass(ranks, exchange, leaves, partial(loss, turned))
        assert ranks.begun == [([20], True), ([16], True), (last, False)]
    average_of_a_pass(ranks, exchange, leaves, partial(loss, all_of_them=True))  # it comes after all
    assert ranks.begun == [([20], True), ([16], True), ([12, 8, 5], False)]
    average_of_a_pass(ranks, exchange, leaves, partial(loss, all_of_them=True))
    assert ranks.begun == [([12, 20], True), ([16], True), (last, False)]
    assert idle.grad is not None

    def broken(_: Tensor) -> None:
        raise RuntimeError("in the middle of a pass")

    hook = leaves[-1].register_hook(broken)
    with pytest.raises(RuntimeError, match="in the middle"), exchange.during(leaves, lambda _: None):
        loss(turned=True, all_of_them=True).backward()
    hook.remove()
    assert not any(leaf._post_accumulate_grad_hooks for leaf in leaves), "hooks are left"
    ranks.wait()
    average_of_a_pass(ranks, exchange, leaves, partial(loss, all_of_them=True))

    # a gradient that shares its memory with one that is still to be read in the pass
    one, other = (torch.randn(5, 2, generator=g).requires_grad_() for _ in range(2))

    def sharing() -> Tensor:
        twice = 2.0 * other
        twice.register_hook(lambda _: time.sleep(0.2))  # the exchange of the first is done by then
        return (twice[None] + one[None]).square().sum()

    for _ in range(2):
        average_of_a_pass(
            ranks,
            GradientExchange(ranks, bucket=4, small=4),
            [one, other],
            sharing,
        )
        assert ranks.begun == [([10], True), ([10], True)]

    # gradients that are one memory, and go last
    def same() -> Tensor:
        return (one[None] + other[None]).square().sum()

    average_of_a_pass(ranks, GradientExchange(ranks, bucket=1 << 20, small=4), [one, other], same)
    assert ranks.begun == [([10, 10], False)]
    # a PyTorch that does not tell who shares memory
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient_exchange, "_use_count", None)
        for loss_of, bucket in ((sharing, 4), (same, 1 << 20)):
            average_of_a_pass(ranks, GradientExchange(ranks, bucket=bucket, small=4), [one, other], loss_of)


def check_rows(alone: Ranks) -> None:
    """Of a gradient that only some rows have these alone are exchanged: the same bits, in fewer bytes."""
    ranks = Watched(alone.number, alone.count, alone.device)
    g = torch.Generator().manual_seed(ranks.number)
    rows = torch.tensor([1, 4, 5])
    # numbers that a sum of any order has exactly
    shapes = ((12, 4), (8,), (6, 3), (12, 2))
    leaves = [torch.randint(-99, 99, shape, generator=g).float().requires_grad_() for shape in shapes]
    some, whole, plain, few = leaves
    other: list[Tensor | None] = [rows, None, None, torch.tensor([7])]

    def loss(stray: float = 0.0) -> Tensor:
        chosen = some.index_select(0, rows).square().sum() + few[7].square().sum()
        return chosen + whole.square().sum() + plain.square().sum() + stray * some.sum()

    def means(exchange: GradientExchange, given: list[Tensor | None] | None, stray: float) -> list[Tensor]:
        for leaf in leaves:
            leaf.grad = None
        del ranks.begun[:]
        told: dict[int, Tensor] = {}  # as they are when their leaves are told of

        def then(part: list[Tensor]) -> None:
            told.update((id(leaf), leaf.grad.clone()) for leaf in part if leaf.grad is not None)

        with exchange.during(leaves, then, given):
            loss(stray).backward()
        found = [leaf.grad for leaf in leaves if leaf.grad is not None]
        assert len(found) == len(leaves)
        assert all(torch.equal(told[id(leaf)], value) for leaf, value in zip(leaves, found, strict=True))
        ranks.agree({str(i): value for i, value in enumerate(found)}, "after a pass")
        return found

    for bucket, small in ((1, 1), (4 * 16, 4 * 13), (1 << 20, 1 << 20)):  # alone, beside others, joined
        everything = means(GradientExchange(ranks, bucket, small), None, 0.0)
        sizes = sum(sum(numbers) for numbers, _ in ranks.begun)
        exchange = GradientExchange(ranks, bucket, small, saving=0)
        for _ in range(2):
            packed = means(exchange, other, 0.0)
            assert all(torch.equal(a, b) for a, b in zip(everything, packed, strict=True))
            assert packed[0].any(1).tolist() == [i in rows.tolist() for i in range(12)]
            fewer = sum(sum(numbers) for numbers, _ in ranks.begun)
            assert sizes - fewer == (12 - 3) * 4 + (12 - 1) * 2
        # what a loss term asks of other rows: nothing, in any process
        assert torch.equal(means(exchange, other, float(ranks.number))[0][0], torch.zeros(4))
    every = GradientExchange(ranks, 1, 1, saving=0)
    most, none = torch.arange(7), torch.zeros(0, dtype=torch.int64)
    for given in (most, none):  # hardly fewer; nothing to exchange
        assert torch.equal(means(every, [given, None, None, None], 0.0)[0], everything[0])
        assert sum(sum(numbers) for numbers, _ in ranks.begun) == sizes
    means(GradientExchange(ranks, 1, 1, saving=4 * 4 * 9), other, 0.0)
    assert sizes - sum(sum(numbers) for numbers, _ in ranks.begun) == (12 - 3) * 4, "saves as much as it must"
    means(GradientExchange(ranks, 1, 1, saving=4 * 4 * 9 + 1), other, 0.0)
    assert sum(sum(numbers) for numbers, _ in ranks.begun) == sizes, "saves too little"


def check_added(ranks: Ranks) -> None:
    """Surfels that the first process adds after the last step are in all, with the same values."""
    avatar = tiny_avatar()
    surfels = avatar.surfels
    surfels.mark("hidden", torch.ones(8, dtype=torch.bool))
    count = len(surfels)

    @torch.no_grad()
    def add(*_: object) -> bool:
        added = add_spares(surfels, 3)
        surfels.rebind(added, torch.tensor([5, 2, 7]))
        surfels.parameters["opacity"][added] = torch.tensor([1.0, 2.0, 3.0])
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finishing, "cover_hidden", add)
        patch.setattr(finishing, "front", lambda *_: 1.0)
        patch.setattr(finishing, "observe", lambda *_, **__: Observation(torch.ones(len(surfels)), None))
        nothing: Any = None  # what is patched looks at no picture
        finishing.finish(avatar, nothing, np.arange(3), ranks=ranks)
    assert surfels.triangle[count:].tolist() == [5, 2, 7]
    assert surfels.parameters["opacity"].detach()[count:].tolist() == [1.0, 2.0, 3.0]
    ranks.agree({**surfels.parameters, "triangle": surfels.triangle}, "after the last step")


def check_mended(ranks: Ranks) -> None:
    """What the first process changes after the last step is changed in all, also where nothing is hidden."""
    avatar = tiny_avatar()
    surfels = avatar.surfels
    assert "hidden" not in surfels.regions

    @torch.no_grad()
    def mend(*_: object) -> None:
        surfels.parameters["opacity"][3] = 4.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finishing, "mend", mend)
        patch.setattr(finishing, "cover_hidden", lambda *_: False)
        patch.setattr(finishing, "front", lambda *_: 1.0)
        patch.setattr(finishing, "observe", lambda *_, **__: Observation(torch.ones(len(surfels)), None))
        nothing: Any = None
        finishing.finish(avatar, nothing, np.arange(3), ranks=ranks)
    assert float(surfels.parameters["opacity"].detach()[3]) == 4.0
    ranks.agree({**surfels.parameters, "triangle": surfels.triangle}, "after the last step")


def main(_: object = None) -> int:
    """Join the others, check, leave."""
    with pytest.raises(OptionError, match="one device for several"), joined("cuda:1"):
        pass
    with joined("cpu") as (ranks, device):
        assert (ranks.number, ranks.count) == (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
        assert device.type == "cpu"
        check(ranks)
        check_gradients(ranks)
        check_rows(ranks)
        check_added(ranks)
        check_mended(ranks)
    print(f"process {os.environ['RANK']} is content", flush=True)
    return 0
