"""A familiar flag as a component declares it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

DATA = "DATA"


@dataclass(frozen=True)
class Flag:
    """One flag, and what it does here.

    Attributes:
        names: its spellings, such as ``("--rm_bf", "--rm_bg")``; ``_`` and ``-`` are equal.
        default: its default there, for the table.
        sets: the settings it changes, such as ``regularizers.l1.weight``.
        takes: a ``value``, several ``counts`` (whole numbers), or ``nothing``.
        value: what a flag that takes nothing sets.
        convert: the setting's value of the text given; by default the text itself.
        option: an own option of `surfhead train` that gets the value instead; ``DATA`` is its argument.
        meaning: words for the table beyond the names of the settings.
        refusal: why it is not accepted, and what to use instead.
        yields_to: flags beside which it means nothing more.
        absent: own options a command line means that names its data with ``--source_path``, does not have
            this flag and chooses no deformer.
    """

    names: tuple[str, ...]
    default: str = ""
    sets: tuple[str, ...] = ()
    takes: Literal["value", "counts", "nothing"] = "value"
    value: Any = None
    convert: Callable[[str], Any] | None = None
    option: str = ""
    meaning: str = ""
    refusal: tuple[str, str] | None = None
    yields_to: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def here(self) -> str:
        """What it does here, as a line of the table."""
        if self.refusal is not None:
            return "refused: " + " ".join(self.refusal)
        value = f" = {toml_text(self.value)}" if self.takes == "nothing" else ""
        parts = [f"{key}{value}" for key in self.sets]
        parts += [self.option] if self.option else []
        return "; ".join(filter(None, (", ".join(parts), self.meaning)))


def toml_text(value: Any) -> str:
    """A setting's value as it stands in a TOML file."""
    return json.dumps(value, ensure_ascii=False)
