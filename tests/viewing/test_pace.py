"""The pace holds over any stretch of a run."""

from __future__ import annotations

import pytest

from surfhead.viewing.pace import Pace


@pytest.mark.parametrize("share", [0.05, 0.08, 0.5, 1.0])
def test_work_takes_its_share_and_no_more(share: float) -> None:
    pace, now, spent = Pace(share), 100.0, 0.0
    while now < 200.0:
        now += 0.01  # a step of the run
        if pace.ready(now):
            pace.worked(now, now + 0.03)
            now, spent = now + 0.03, spent + 0.03
    assert pace.spent == pytest.approx(spent)
    assert spent / 100.0 <= share * 1.02
    assert spent / 100.0 >= 0.7 * min(share, 0.75)  # 0.03 of 0.04 s where nothing is held back


def test_the_first_work_may_start_at_once() -> None:
    assert Pace(0.01).ready(0.0)
