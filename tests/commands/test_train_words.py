"""The words of `surfhead train` reach its parameters, and keep their order."""

from __future__ import annotations

from typing import Any

import typer

from surfhead import cli
from surfhead.commands.train_words import in_order, notes_of


def parsed(*words: str) -> Any:
    """The context of `surfhead train` with these words."""
    train = typer.main.get_command(cli.app).commands["train"]  # type: ignore[attr-defined]
    return train.make_context("train", list(words))


def test_own_options_are_parameters() -> None:
    given = parsed("heads", "--deformer", "lbs", "--batch_size", "4", "--seed=7", "--eval").params
    assert (given["data"], given["deformer"], given["batch_size"], given["seed"]) == ("heads", "lbs", 4, 7)
    assert given["hold_out"] is True
    assert given["assignment"] in (None, (), [])
    assert given["appearance"] is None


def test_the_order_of_repeated_words_is_kept() -> None:
    words = ("--set", "a=1", "--iterations", "5", "--sh_degree", "2", "--eval", "--set=b=2")
    assert in_order(parsed(*words)) == [
        ("assignment", "a=1"),
        ("iterations", 5),
        ("assignment", "appearance.degree=2"),
        ("hold_out", True),
        ("assignment", "b=2"),
    ]


def test_notes_are_kept_for_the_command() -> None:
    assert notes_of(parsed("--sg_degree", "24")) == [
        '"--sg_degree 24" changes nothing: Highlights have 24 features a surfel.'
    ]
    assert notes_of(parsed("--seed", "1")) == []
