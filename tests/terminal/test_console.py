"""What a piece of work says is kept from the user where it is wanted so, and nowhere else."""

from __future__ import annotations

import logging
import warnings

import pytest

from surfhead.terminal.console import is_quiet, silence

log = logging.getLogger("surfhead")


@silence()
def loud() -> None:
    """Says something in every way, and fails."""
    assert is_quiet()
    log.error("not heard")
    warnings.warn("not seen", stacklevel=1)
    raise KeyError


def test_within_silence_nothing_is_logged_shown_or_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    level = log.level
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(KeyError):
            loud()
        log.error("heard")
        warnings.warn("seen", stacklevel=1)
    assert not is_quiet()
    assert log.level == level
    assert [record.message for record in caplog.records] == ["heard"]
    assert [str(each.message) for each in warned] == ["seen"]
