"""How errors about files are worded."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from surfhead.core.errors import DataError, SurfheadError, cause


def test_an_error_about_a_file_says_three_things() -> None:
    error = DataError.of("PLY file", Path("a.ply"), "has no rows", "at least one", "Export it again.")
    assert type(error) is DataError
    said = ['PLY file "a.ply" has no rows.', "Expected at least one.", "Export it again."]
    assert str(error).splitlines() == said


def test_a_field_is_named_and_a_reader_says_the_rest_once() -> None:
    wrong = partial(DataError.of, "Rig", expected="numbers", remedy="Mend it.")
    assert wrong("a", "is text", field="jaw").what == 'Rig "a": field "jaw" is text.'
    assert wrong("a", "is text", remedy="Burn it.").remedy == "Burn it."


def test_without_a_noun_the_path_comes_first() -> None:
    assert DataError.of("", "a b", "is missing", "a file", "").what == '"a b" is missing.'


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "a"), "No such file or directory"),
        (ValueError("too long"), "too long"),
        (KeyError(), "KeyError"),
        (SurfheadError("One.", "Two."), "One.\nTwo."),
    ],
)
def test_the_cause_is_what_the_system_or_the_library_says(error: Exception, said: str) -> None:
    assert cause(error) == said
