"""Names of files that commands write."""

from __future__ import annotations

from pathlib import Path

import pytest

from surfhead.commands.outputs import with_suffix


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("head", "head.ply"),
        ("head-0.5", "head-0.5.ply"),
        ("a.d/head", "a.d/head.ply"),
        ("head.obj", "head.obj"),
    ],
)
def test_a_suffix_is_added_where_there_is_none(given: str, made: str) -> None:
    assert with_suffix(Path(given), (".ply", ".obj")) == Path(made)


def test_folders_keep_their_names() -> None:
    assert with_suffix(Path("avatar"), ()) == Path("avatar")
