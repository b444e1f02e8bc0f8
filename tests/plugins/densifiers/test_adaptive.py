"""Every rule of adaptive density control by itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.densification import DensifyPlan, DensifyState
from surfhead.core.errors import OptionError
from surfhead.core.types import Binding
from surfhead.plugins.densifiers.adaptive import Adaptive

EXTENT = 2.0
LENGTH = 300_000


def adaptive(**options: Any) -> Adaptive:
    return Adaptive(Adaptive.Options(**options))


def state(
    gradient: list[float] | float = 0.0,
    world_scale: list[float] | float = 0.001,
    opacity: list[float] | float = 0.5,
    triangle: list[int] | None = None,
    *,
    count: int = 4,
    radius: list[float] | float = 1.0,
    images: int = 10_000,
    length: int = LENGTH,
    regions: dict[str, list[int]] | None = None,
    since: int | None = None,
) -> DensifyState:
    def row(values: list[float] | float) -> Tensor:
        return torch.tensor(values if isinstance(values, list) else [values] * count)

    hosts = torch.arange(count) if triangle is None else torch.tensor(triangle, dtype=torch.int64)
    indices = {k: torch.tensor(v, dtype=torch.int64) for k, v in (regions or {}).items()}
    return DensifyState(
        images=images,
        length=length,
        gradient=row(gradient),
        radius=row(radius),
        world_scale=row(world_scale),
        opacity=row(opacity),
        binding=Binding(hosts, {}, indices),
        extent=EXTENT,
        image_size=(100, 100),
        since=since,
    )


def lists(plan: DensifyPlan) -> tuple[list[int], list[int], list[int]]:
    """The indices cloned, split and pruned."""
    return tuple(mask.nonzero().flatten().tolist() for mask in (plan.clone, plan.split, plan.prune))  # type: ignore[return-value]


def test_only_gradients_above_the_threshold_grow() -> None:
    plan = adaptive().plan(state([1e-4, 2e-4, 2.1e-4, 1.0]))
    assert lists(plan) == ([2, 3], [], [])


def test_small_surfels_are_cloned_and_larger_ones_split() -> None:
    limit = 0.01 * EXTENT
    plan = adaptive().plan(state(1.0, [0.5 * limit, limit, 1.1 * limit, 9 * limit]))
    assert lists(plan) == ([0, 1], [2, 3], [])
    assert (plan.children, plan.shrink) == (2, 1.6)


def test_transparent_surfels_are_pruned_and_do_not_grow() -> None:
    plan = adaptive().plan(state([0.0, 1.0, 1.0, 0.0], 0.5, [0.04, 0.049, 0.051, 0.9], [0, 0, 0, 0]))
    assert lists(plan) == ([], [2], [0, 1])


def test_the_most_opaque_of_a_triangle_stays_as_it_is() -> None:
    opacity = [0.01, 0.03, 0.02, 0.01, 0.9, 0.01]
    plan = adaptive().plan(state(1.0, 0.001, opacity, [7, 7, 7, 3, 5, 5], count=6))
    # triangle 7 keeps surfel 1, triangle 3 its only one; 5 has a survivor, so its other one goes
    assert lists(plan) == ([4], [], [0, 2, 5])


def test_a_less_opaque_survivor_is_cover_enough() -> None:
    seen = state(0.0, [9.0, 0.001, 0.001, 0.001], [0.9, 0.5, 0.5, 0.5], [0, 0, 1, 2], images=31_000)
    assert lists(adaptive().plan(seen))[2] == [0]  # too large, though the most opaque


def test_among_equally_opaque_ones_the_first_stays() -> None:
    plan = adaptive().plan(state(opacity=0.02, triangle=[1, 0, 1, 0]))
    assert lists(plan)[2] == [2, 3]


def test_surfels_without_a_triangle_may_all_go() -> None:
    plan = adaptive().plan(state(opacity=0.02, triangle=[-1, -1, -1, -1]))
    assert lists(plan)[2] == [0, 1, 2, 3]


@pytest.mark.parametrize(("images", "pruned"), [(29_000, []), (30_000, []), (31_000, [1])])
def test_too_large_surfels_go_only_after_the_first_reset(images: int, pruned: list[int]) -> None:
    large = 0.1 * EXTENT
    plan = adaptive().plan(state(0.0, [large, 1.1 * large, 0.1, 0.1], triangle=[0, 0, 0, 0], images=images))
    assert lists(plan)[2] == pruned


def test_too_large_surfels_that_split_leave_it_to_their_children() -> None:
    plan = adaptive().plan(state([1.0, 0.0, 0.0, 0.0], 0.5, triangle=[0, 0, 0, 0], images=31_000))
    # surfel 0 splits and survives, so that nothing need be kept
    assert lists(plan) == ([], [0], [1, 2, 3])


def test_a_limit_on_the_screen_radius() -> None:
    seen = state(radius=[30.0, 5.0, 30.0, 5.0], triangle=[0, 0, 1, 2], images=31_000)
    assert lists(adaptive().plan(seen))[2] == []
    assert lists(adaptive(large_radius=20.0).plan(seen))[2] == [0]  # surfel 2 is its triangle's last


def test_what_splits_may_be_seen_large() -> None:
    seen = state([1.0, 0, 0, 0], 0.03, radius=[30.0, 30, 5, 5], triangle=[0] * 4, images=31_000)
    assert lists(adaptive(large_radius=20.0).plan(seen)) == ([], [0], [1])


def test_without_a_limit_no_scale_is_too_large() -> None:
    seen = state(0.0, 9.0, triangle=[0, 0, 0, 0], images=31_000)
    assert lists(adaptive(large_fraction=0.0).plan(seen))[2] == []


def test_without_resets_nothing_is_too_large() -> None:
    plan = adaptive(reset_every=0).plan(state(0.0, 9.0, triangle=[0, 0, 0, 0], images=100_000))
    assert lists(plan)[2] == []


def test_the_gain_of_the_teeth() -> None:
    seen = state(2e-5, regions={"teeth": [1, 3]})
    assert lists(adaptive().plan(seen))[0] == []
    assert lists(adaptive(teeth_gain=20.0).plan(seen))[0] == [1, 3]
    assert seen.gradient.tolist() == pytest.approx([2e-5] * 4)  # what it was shown is left alone


def test_eyeballs_do_not_densify_but_may_be_pruned() -> None:
    seen = state(1.0, 0.001, [0.5, 0.5, 0.01, 0.5], [0, 0, 0, 1], regions={"eyeballs": [0, 2]})
    assert lists(adaptive().plan(seen)) == ([1, 3], [], [2])
    assert lists(adaptive(detach_eyeballs=False).plan(seen)) == ([0, 1, 3], [], [2])


def test_the_reset_comes_with_that_image_s_plan() -> None:
    densifier = adaptive()
    assert densifier.plan(state(1.0, images=29_000)).opacity_ceiling is None
    plan = densifier.plan(state(1.0, images=30_000))
    assert plan.opacity_ceiling == 0.01
    assert lists(plan)[0] == [0, 1, 2, 3]


def test_a_reset_alone_neither_grows_nor_prunes() -> None:
    plan = adaptive(reset_every=3500).plan(state(1.0, 0.001, 0.01, images=7000 + 3500, triangle=[0] * 4))
    assert plan.opacity_ceiling == 0.01
    assert lists(plan) == ([], [], [])


def test_most_surfels_grow_those_of_largest_gradient() -> None:
    seen = state([0.3, 0.9, 0.5, 0.7, 0.0], [0.001, 0.5, 0.001, 0.001, 0.001], count=5)
    assert lists(adaptive(max_surfels=7).plan(seen)) == ([3], [1], [])
    assert lists(adaptive(max_surfels=3).plan(seen)) == ([], [], [])
    assert lists(adaptive(max_surfels=6, children=3).plan(seen)) == ([], [], [])
    assert lists(adaptive(max_surfels=7, children=3).plan(seen)) == ([], [1], [])


def test_a_reserve_is_left_for_what_closes_holes_in_the_end() -> None:
    seen = state([0.3, 0.9, 0.5, 0.7, 0.0], [0.001, 0.5, 0.001, 0.001, 0.001], count=5)
    assert lists(adaptive(max_surfels=9, reserve=0.25).plan(seen)) == ([3], [1], [])
    assert lists(adaptive(max_surfels=5, reserve=0.4).plan(seen)) == ([], [], [])
    assert lists(adaptive(reserve=0.5).plan(seen)) == ([0, 2, 3], [1], [])
    assert [adaptive(max_surfels=9, reserve=0.25).most(), adaptive().most()] == [9, 0]


def test_hidden_surfels_stay_as_they_are_and_count_among_the_most() -> None:
    """What training pictures ask of them is asked of the front, through which they show a little."""
    seen = state([0.3, 0.9, 0.0, 0.0], 0.001, [0.5, 0.5, 0.01, 0.01], [0, 0, 0, 0])
    hidden = dataclasses.replace(seen.binding, regions={"hidden": torch.tensor([1, 2])})
    seen = dataclasses.replace(seen, binding=hidden)
    assert lists(adaptive().plan(seen)) == ([0], [], [3])
    assert lists(adaptive(max_surfels=3).plan(seen)) == ([], [], [3])


def test_pruning_makes_room() -> None:
    seen = state([0.3, 0.9, 0.0, 0.0], 0.001, [0.5, 0.5, 0.01, 0.01], [0, 0, 0, 0])
    assert lists(adaptive(max_surfels=3).plan(seen)) == ([1], [], [2, 3])


@pytest.mark.parametrize(
    ("before", "after", "length", "due"),
    [
        (999, 1000, LENGTH, False),  # before the start
        (4999, 5000, LENGTH, True),
        (5000, 5001, LENGTH, False),
        (5998, 6001, LENGTH, True),  # inside a batch
        (5001, 8001, LENGTH, True),
        (149_999, 150_000, LENGTH, True),
        (150_999, 151_000, LENGTH, False),  # after the stop
        (149_990, 150_010, LENGTH, True),
        (179_999, 180_000, LENGTH, False),  # no reset after the stop either
        (5999, 6000, 6000, False),  # nothing would follow
    ],
)
def test_when_it_is_due(before: int, after: int, length: int, due: bool) -> None:
    assert adaptive().due(before, after, length) is due


@pytest.mark.parametrize(
    ("before", "after", "reset"),
    [(2998, 3001, True), (2900, 2999, False), (11_999, 12_000, True), (149_999, 150_000, False)],
)
def test_resets_before_the_stop_alone_are_due(before: int, after: int, reset: bool) -> None:
    densifier = adaptive(reset_every=3000, every=0)
    assert densifier.due(before, after, LENGTH) is reset


@pytest.mark.parametrize(("last", "reset"), [(9000, False), (9001, True)])
def test_at_the_stop_and_at_the_end_there_is_no_reset(last: int, reset: bool) -> None:
    options = {"reset_every": 3000, "every": 0}
    assert adaptive(stop=last, **options).due(8999, 9000, LENGTH) is reset
    assert adaptive(**options).due(8999, 9000, last) is reset


def test_the_plan_serves_the_batch_that_was_due() -> None:
    densifier = adaptive()
    assert densifier.due(29_997, 30_001, LENGTH)
    large = 9 * EXTENT
    seen = state([1.0, 0.0, 0.0, 0.0], [0.001, large, large, 0.001], images=30_001, since=29_997)
    plan = densifier.plan(seen)
    assert plan.opacity_ceiling == 0.01
    assert lists(plan) == ([0], [], [])  # the first reset comes only now, so nothing is too large yet


def test_never_every() -> None:
    densifier = adaptive(every=0, reset_every=0)
    assert not any(densifier.due(i, i + 1000, LENGTH) for i in range(0, LENGTH, 1000))


def test_no_surfels() -> None:
    empty = state([], [], [], [], count=0, radius=[])
    plan = adaptive(max_surfels=5).plan(empty)
    assert all(len(mask) == 0 for mask in (plan.clone, plan.split, plan.prune))


@pytest.mark.parametrize(
    "options",
    [{"every": -1}, {"cull": 1.0}, {"reset_opacity": 0.0}, {"children": 1}, {"threshold": float("nan")}],
)
def test_options_out_of_range_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        adaptive(**options)


def test_every_option_is_described() -> None:
    assert all(f.metadata["description"] for f in dataclasses.fields(Adaptive.Options))
