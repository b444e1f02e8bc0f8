"""Batches of decoded views: their order, caches, and pictures that do not fit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from surfhead.core.errors import DataError
from surfhead.core.scene import Frame
from surfhead.data.feed import Feed, Order, cameras_of
from surfhead.testing.run import HEIGHT, TIMESTEPS, WIDTH, NoiseScene

CPU = torch.device("cpu")
WHOLE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


class Counting(NoiseScene):
    """Counts how often each view was decoded."""

    def __init__(self) -> None:
        super().__init__("none", {"pose": torch.zeros(TIMESTEPS, 1)})
        self.decoded: dict[int, int] = {}
        self.lock = threading.Lock()

    def frame(self, view: int) -> Frame:
        with self.lock:
            self.decoded[view] = self.decoded.get(view, 0) + 1
        return super().frame(view)


@pytest.fixture
def scene() -> Counting:
    return Counting()


@pytest.fixture(params=["ram", "disk", "gpu", "auto"])
def feed(request: pytest.FixtureRequest, scene: Counting) -> Iterator[Feed]:
    made = Feed(scene, CPU, request.param)
    yield made
    made.close()


def test_every_epoch_is_a_permutation_and_epochs_differ() -> None:
    views = np.array([3, 5, 7, 9, 11, 13])
    order = Order(views, seed=0)
    epochs = [order.take(6).tolist() for _ in range(3)]
    assert all(sorted(epoch) == views.tolist() for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert [Order(views, 0).take(6).tolist(), Order(views, 1).take(6).tolist()][0] == epochs[0]
    assert Order(views, 1).take(6).tolist() != epochs[0]


def test_batches_run_across_epochs() -> None:
    order = Order(np.arange(4), seed=0)
    taken = np.concatenate([order.take(3) for _ in range(4)])
    for epoch in range(3):
        assert sorted(taken[4 * epoch : 4 * epoch + 4]) == [0, 1, 2, 3]
    assert (order.epoch, order.position) == (2, 4)


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 7, 8])
def test_a_restored_order_continues_as_if_it_had_not_stopped(steps: int) -> None:
    whole, part, again = (Order(np.arange(4), seed=5) for _ in range(3))
    expected = whole.take(20)[steps:]
    part.take(steps)
    again.restore(part.epoch, part.position)
    assert again.take(20 - steps).tolist() == expected.tolist()


def test_peeking_takes_nothing() -> None:
    order = Order(np.arange(4), seed=0)
    seen = order.peek(3).tolist()
    assert order.take(3).tolist() == seen
    assert len(order.peek(3)) == 1  # of this epoch


def test_a_split_without_views_is_refused() -> None:
    with pytest.raises(DataError, match="no views"):
        Order(np.array([], dtype=np.int64), seed=0)


def test_a_batch_holds_its_views_in_order(feed: Feed, scene: Counting) -> None:
    rows = np.array([4, 1, 4])
    batch = feed.batch(rows)
    assert batch.image.shape == (3, HEIGHT, WIDTH, 3)
    assert batch.image.dtype == torch.uint8
    assert batch.pose_of_view.tolist() == [0, 1, 2]
    assert batch.timesteps.tolist() == [2, 0, 2]
    assert batch.names == ("02_0", "00_1", "02_0")
    assert batch.background.tolist() == [[1.0, 1.0, 1.0]] * 3
    for i, row in enumerate(rows):
        frame = NoiseScene.frame(scene, int(row))
        assert np.array_equal(batch.image[i].numpy(), frame.image)
        assert batch.mask is not None
        assert np.array_equal(batch.mask[i].numpy(), frame.mask)
    cameras = cameras_of(scene, rows, CPU)
    assert torch.equal(batch.cameras.camera_from_world, cameras.camera_from_world)
    assert torch.equal(batch.cameras.intrinsics, cameras.intrinsics)
    assert batch.target.max() <= 1.0


@pytest.mark.parametrize(("cache", "times"), [("ram", 1), ("disk", 3)])
def test_memory_decodes_once_and_disk_every_time(scene: Counting, cache: str, times: int) -> None:
    feed = Feed(scene, CPU, cache)
    for _ in range(3):
        feed.batch(np.array([2]))
    feed.close()
    assert scene.decoded == {2: times}


def test_prefetched_views_are_decoded_once_and_the_same(feed: Feed, scene: Counting) -> None:
    feed.prefetch(np.array([0, 3]))
    feed.prefetch(np.array([0, 3]))
    batch = feed.batch(np.array([3, 0]))
    assert scene.decoded == {0: 1, 3: 1}
    assert np.array_equal(batch.image[0].numpy(), NoiseScene.frame(scene, 3).image)


def test_an_error_while_prefetching_is_raised_with_its_batch(scene: Counting) -> None:
    def broken(view: int) -> Frame:
        raise DataError(f"view {view} is damaged")

    scene.frame = broken  # type: ignore[method-assign]
    feed = Feed(scene, CPU, "ram")
    feed.prefetch(np.array([1]))
    with pytest.raises(DataError, match="view 1 is damaged"):
        feed.batch(np.array([1]))
    feed.close()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8), None), 'Image of view "00_0" is uint8'),
        ((np.zeros((HEIGHT, WIDTH, 4), np.uint8), None), 'Image of view "00_0"'),
        ((np.zeros((HEIGHT, WIDTH, 3), np.float32), None), "is float32"),
        ((WHOLE, np.zeros((HEIGHT, 1), np.uint8)), 'Mask of view "00_0"'),
        ((WHOLE, np.zeros((HEIGHT, WIDTH), bool)), "is bool"),
        ((WHOLE, None, None, None, WHOLE[:, 1:]), 'Predicted normals of view "00_0"'),
        ((WHOLE, None, None, None, WHOLE.astype(np.float32)), "are float32"),
    ],
)
def test_a_picture_of_another_size_or_type_is_named(scene: Counting, given: Any, says: str) -> None:
    scene.frame = lambda view: Frame(*given)  # type: ignore[method-assign]
    feed = Feed(scene, CPU, "ram")
    with pytest.raises(DataError, match=says) as caught:
        feed.batch(np.array([0]))
    feed.close()
    assert len(str(caught.value).splitlines()) == 3


def test_views_without_masks_give_none(scene: Counting) -> None:
    def partly(view: int) -> Frame:
        frame = NoiseScene.frame(scene, view)
        return Frame(frame.image, frame.mask if view else None)

    scene.frame = partly  # type: ignore[method-assign]
    feed = Feed(scene, CPU, "ram")
    assert feed.batch(np.array([1, 2])).mask is not None
    assert feed.batch(np.array([0, 1])).mask is None
    feed.close()


def test_no_more_is_kept_than_there_is_room_for(scene: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    one = scene.frame(0)
    size = one.image.nbytes + (0 if one.mask is None else one.mask.nbytes)
    monkeypatch.setattr("surfhead.data.feed.RAM_BUDGET", 2 * size)
    scene.decoded.clear()
    feed = Feed(scene, CPU, "ram")
    for _ in range(3):
        feed.batch(np.array([0, 1, 2]))
    feed.close()
    assert scene.decoded == {0: 1, 1: 1, 2: 3}
