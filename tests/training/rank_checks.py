"""What each of several processes checks of its exchanges with the others (run by test_ranks)."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from surfhead.core.errors import OptionError, SurfheadError
from surfhead.training.ranks import Ranks, joined
from surfhead.training.statistics import Statistics


def check(ranks: Ranks) -> None:
    """Every exchange, with values that differ by process."""
    me, count = ranks.number, ranks.count
    total = sum(range(count))
    one, many = torch.full((2, 3), float(me)), torch.arange(4.0) * me
    ranks.average([one, many])
    assert torch.allclose(one, torch.full((2, 3), total / count))
    assert torch.allclose(many, torch.arange(4.0) * total / count)

    assert torch.equal(ranks.sum(torch.tensor([me, 1])), torch.tensor([total, count]))
    assert torch.equal(ranks.largest(torch.tensor([me, -me])), torch.tensor([count - 1, 0]))
    assert ranks.any(me == 1)
    assert not ranks.any(False)
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


def main(_: object = None) -> int:
    """Join the others, check, leave."""
    with pytest.raises(OptionError, match="one device for several"), joined("cuda:1"):
        pass
    with joined("cpu") as (ranks, device):
        assert (ranks.number, ranks.count) == (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
        assert device.type == "cpu"
        check(ranks)
    print(f"process {os.environ['RANK']} is content", flush=True)
    return 0
