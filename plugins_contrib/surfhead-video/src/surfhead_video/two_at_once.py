"""Work on a stream of things by a few threads, in order, few of them held at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Thing = TypeVar("Thing")
Made = TypeVar("Made")
THREADS = min(2, os.cpu_count() or 1)


def mapped(work: Callable[[Thing], Made], things: Iterable[Thing]) -> Iterator[Made]:
    """What work makes of each thing, in their order; no more than ``THREADS`` and one are held.

    Args:
        work: is called in threads, and should spend its time in what leaves Python's lock to others.
        things: are taken one by one, in the thread that asks for the results.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        pending: deque[Future[Made]] = deque()
        for thing in things:
            pending.append(pool.submit(work, thing))
            if len(pending) > THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
