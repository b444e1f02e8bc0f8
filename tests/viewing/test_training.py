"""Curves stay short and keep their shape."""

from __future__ import annotations

from surfhead.viewing.training import Curves


def test_curves_are_thinned_evenly() -> None:
    curves = Curves(most=50)
    for step in range(1, 2001):
        curves.add(step, {"l1": float(step)})
    assert 25 <= len(curves.images) <= 51
    assert curves.images == [int(value) for value in curves.values["l1"]]
    gaps = {second - first for first, second in zip(curves.images, curves.images[1:], strict=False)}
    assert len(gaps) == 1
    assert curves.images[-1] > 1900


def test_a_term_that_is_off_adds_nothing() -> None:
    curves = Curves()
    curves.add(1, {"l1": 1.0})
    curves.add(2, {"l1": 2.0, "mask": 3.0})
    curves.add(3, {"mask": 4.0})
    assert curves.values == {"l1": [1.0, 2.0, 0.0], "mask": [0.0, 3.0, 4.0]}
