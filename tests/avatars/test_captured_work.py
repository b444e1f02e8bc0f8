"""When steps are captured, and what happens where they cannot be; without a GPU every capture fails."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from surfhead.avatars import captured_work
from surfhead.avatars.captured_work import TRIES, CapturedWork, tensors_in, with_tensors
from surfhead.core.types import Batch, Cameras


def batch(value: int) -> Batch:
    """One view whose picture has one colour."""
    cameras = Cameras(torch.eye(4)[None], torch.eye(3)[None], 2, 2)
    index, image = torch.zeros(1, dtype=torch.int64), torch.full((1, 2, 2, 3), value, dtype=torch.uint8)
    return Batch(cameras, index, index, image, torch.ones(1, 3), paired=True)


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The captures that were tried, each of which fails."""
    found: list[int] = []

    def handle() -> None:
        found.append(len(found))
        raise RuntimeError("no graph today")

    monkeypatch.setattr(captured_work.torch.cuda, "graph_pool_handle", handle)
    return found


def test_the_first_step_of_a_key_runs_as_it_is(tries: list[int]) -> None:
    step = CapturedWork(lambda b: int(b.image[0, 0, 0, 0]))
    assert [step(key, batch(key)) for key in (1, 2, 3, 1)] == [1, 2, 3, 1]
    assert tries == []  # no key came twice in a row


def test_a_capture_that_fails_loses_no_step(tries: list[int]) -> None:
    """Every step is done, once, on its own batch; after some tries it is left at that."""
    done: list[int] = []
    step = CapturedWork(lambda b: done.append(int(b.image[0, 0, 0, 0])))
    for value in range(TRIES + 5):
        step("key", batch(value))
    assert done == list(range(TRIES + 5))
    assert len(tries) == TRIES
    assert str(step.failure) == "no graph today"


def test_a_capture_that_fails_keeps_nothing_of_its_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU the next pass would use the broken one's nodes of autograd, which are another stream's."""
    kept: list[weakref.ref[torch.Tensor]] = []
    capturing = [False]

    class Capture:
        def __init__(self, *_: object, **__: object) -> None:
            capturing[0] = True

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            capturing[0] = False
            raise RuntimeError("operation failed due to a previous error during capture")

    def work(inputs: Batch) -> int:
        of_the_pass = inputs.background * 2.0
        if not capturing[0]:
            return sum(1 for each in kept if each() is not None)
        kept.append(weakref.ref(of_the_pass))
        raise ValueError("a copy to the host")

    for name, value in (("graph", Capture), ("CUDAGraph", object), ("graph_pool_handle", object)):
        monkeypatch.setattr(captured_work.torch.cuda, name, value)
    step = CapturedWork(work)
    monkeypatch.setattr(step, "_shared_pool", lambda _: object())
    monkeypatch.setattr(captured_work, "_stream", lambda _: None)
    gc.disable()
    try:
        assert [step("key", batch(0)) for _ in range(3)] == [0, 0, 0]
    finally:
        gc.enable()
    assert len(kept) == 2
    assert "previous error" in str(step.failure)


def test_a_capture_whose_end_fails_leaves_the_stream_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch ends the capture before it goes back to the caller's stream, and by an error not at all."""
    current = ["the caller's"]

    class Capture:
        def __init__(self, graph: object, pool: object, stream: str, capture_error_mode: str) -> None:
            self.stream = stream

        def __enter__(self) -> None:
            current[0] = self.stream

        def __exit__(self, *_: object) -> None:
            raise RuntimeError("operation failed due to a previous error during capture")

    for name, value in (
        ("graph", Capture),
        ("CUDAGraph", object),
        ("graph_pool_handle", object),
        ("set_stream", lambda stream: current.__setitem__(0, stream)),
    ):
        monkeypatch.setattr(captured_work.torch.cuda, name, value)
    monkeypatch.setattr(captured_work, "_stream", lambda _: "the capture's")
    monkeypatch.setattr(captured_work, "_current_stream", lambda _: current[0])
    streams: list[str] = []
    step = CapturedWork(lambda _: streams.append(current[0]))
    for _ in range(TRIES + 2):
        step("key", batch(0))
    assert "previous error" in str(step.failure)
    assert streams == ["the caller's"] * (TRIES + 2)


def test_an_error_of_the_work_itself_is_not_swallowed(tries: list[int]) -> None:
    def work(_: Batch) -> None:
        raise ValueError("broken")

    step = CapturedWork(work)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            step("key", batch(0))


@pytest.mark.parametrize("cramped", [True, False])
def test_too_little_room_begins_anew(
    monkeypatch: pytest.MonkeyPatch, tries: list[int], cramped: bool
) -> None:
    from surfhead.kernels import cuda

    met = [0]
    monkeypatch.setattr(cuda, "overflows", lambda: met[0])
    step = CapturedWork(lambda b: 1)
    step("key", batch(0))
    met[0] += cramped
    step.make_room()
    step("key", batch(0))
    assert len(tries) == (0 if cramped else 1)


def test_a_clone_is_filled_from_later_batches() -> None:
    """What a captured step reads is copied, tensor by tensor, and shares nothing with any batch."""
    first, later = batch(3), batch(9)
    own = with_tensors(first, torch.clone)
    assert own.paired
    for mine, given in zip(tensors_in(own), tensors_in(later), strict=True):
        mine.copy_(given)
    assert int(own.image[0, 0, 0, 0]) == 9
    assert int(first.image[0, 0, 0, 0]) == 3
    for mine, given in zip(tensors_in(own), tensors_in(later), strict=True):
        assert torch.equal(mine, given)
        assert mine.data_ptr() != given.data_ptr()
