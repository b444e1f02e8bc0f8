"""Schedules are counts of images or fractions of the run, and a short run has all of its schedule."""

from __future__ import annotations

from typing import Any

import pytest

from surfhead.core.config import Occasions
from surfhead.core.errors import OptionError
from surfhead.core.moments import in_images
from surfhead.core.registry import create, registry
from surfhead.runs.configuration import configure, unfit_schedules
from surfhead.runs.layers import preset_names
from surfhead.training.weighted_term import make_terms


@pytest.mark.parametrize(
    ("value", "length", "images"),
    [(5000, 300, 5000), (0, 300, 0), (0.1, 30_000, 3000), (1.0, 700, 700), (1e-6, 300, 1), (0.0, 300, 0)],
)
def test_whole_numbers_are_images_and_fractions_scale(value: float, length: int, images: int) -> None:
    """Also at the ends; a fraction above 0 is never 0 images, which would mean something else."""
    assert in_images(value, length, "here") == images


def test_a_float_that_is_a_whole_number_is_a_count() -> None:
    """TOML writers may write 5000.0."""
    assert in_images(5000.0, 300, "here") == 5000


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), float("inf")])
def test_other_floats_are_refused_with_the_settings_name(value: float) -> None:
    """Neither a count nor a fraction."""
    with pytest.raises(OptionError, match=r'"densifier.start" is'):
        in_images(value, 300, "densifier.start")


def parts_of(config: Any) -> tuple[Any, Any]:
    """The appearance model and the densifier of a run."""
    return tuple(
        create(kind, choice.name, choice.options, length=config.iterations)
        for kind, choice in (("appearance", config.appearance), ("densifier", config.densifier))
    )


@pytest.mark.parametrize("length", [300, 3500, 30_000])
@pytest.mark.parametrize("name", [name for name in preset_names() if name != "base"])
def test_every_preset_has_its_whole_schedule_at_any_length(name: str, length: int) -> None:
    """It densifies, reaches its full degree, has its highlight and every loss term before the end."""
    config = configure(preset=name, settings={"iterations": length})
    appearance, densifier = parts_of(config)
    assert densifier.due(0, length, length)
    appearance.advance(length - 1)
    last = appearance.stage()
    appearance.advance(1000 * length)
    assert appearance.stage() == last  # nothing is left to come
    appearance.advance(0)
    assert appearance.stage() != last or appearance.options.degree == 0
    assert all(term.start < length for term in make_terms(config) if term.weight > 0)
    assert unfit_schedules(config) == []


def test_a_run_of_a_tenth_has_its_schedule_at_a_tenth() -> None:
    """The published schedule belongs to 300k images."""
    options = [parts_of(configure(preset="paper", settings={"iterations": n})) for n in (300_000, 30_000)]
    (look, densifier), (short_look, short_densifier) = options
    for whole, short, names in (
        (densifier.options, short_densifier.options, ("start", "stop", "every", "reset_every")),
        (look.options, short_look.options, ("start", "interval")),
    ):
        for key in names:
            assert getattr(whole, key) == 10 * getattr(short, key)
    assert (densifier.options.start, densifier.options.every) == (5000, 1000)
    assert (look.options.start, look.options.interval) == (2500, 1000)


def test_a_count_that_is_set_stays_a_count() -> None:
    """Whatever the run's length."""
    settings = {"iterations": 30_000, "densifier": {"start": 700}, "appearance": {"interval": 250}}
    appearance, densifier = parts_of(configure(preset="paper", settings=settings))
    assert (densifier.options.start, appearance.options.interval) == (700, 250)
    assert densifier.options.every == 100  # what nobody set scales


def test_terms_start_and_rise_by_fractions() -> None:
    """Of the run's length; counts stay counts."""
    terms = {"normal": {"start": 0.5, "ramp": 0.1}, "distortion": {"start": 40}}
    config = configure(preset="paper", settings={"iterations": 1000, "regularizers": terms})
    found = {term.name: (term.start, term.ramp) for term in make_terms(config)}
    assert found["normal"] == (500, 100)
    assert found["distortion"] == (40, 0)


def test_what_lies_beyond_the_run_is_said() -> None:
    """By the option's name, with both numbers."""
    settings = {
        "iterations": 300,
        "densifier": {"start": 500},
        "appearance": {"interval": 150},
        "regularizers": {"normal": {"start": 4000}},
    }
    interval, start, term = unfit_schedules(configure(preset="paper", settings=settings))
    assert '"start" of densifier "adaptive" is 500 images' in start
    assert '"interval" of appearance "lasg" is 150 images' in interval  # three degrees need 450
    assert '"normal" starts at image 4000' in term


def test_occasions_by_fractions() -> None:
    """A tenth of the run."""
    when = Occasions(every=0.1).within(3000)
    assert [n for n in range(100, 3001, 100) if when.due(n - 100, n)] == list(range(300, 3001, 300))


def test_options_without_a_run_keep_their_counts() -> None:
    """A component made by itself has the published schedule."""
    assert registry().create("densifier", "adaptive").options.start == 5000


def test_what_makes_no_sense_more_often_keeps_its_least() -> None:
    """Opacities that were reset need images to recover before the next plan prunes them."""
    config = configure(preset="paper", settings={"iterations": 300})
    _, densifier = parts_of(config)
    assert (densifier.options.every, densifier.options.reset_every) == (20, 500)
    counted = configure(preset="paper", settings={"iterations": 300, "densifier": {"every": 3}})
    assert parts_of(counted)[1].options.every == 3
