"""Columns of one source by the names of another: blendshapes are called alike in most programs, not equal.

``eyeBlinkLeft``, ``EyeBlinkLeft`` and ``eyeBlink_L`` are one name. A name without a side moves both sides
where the other has two (``browInnerUp``); two sides move what has none by their mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from surfhead.core.errors import DataError

SIDES = {"left": "l", "right": "r"}


def plain_name(name: str) -> str:
    """A name in lower case without marks, its side a last ``l`` or ``r`` behind a dot."""
    lower = name.strip().lower()
    for word, letter in SIDES.items():
        for ending in (f"_{letter}", f".{letter}", word):
            # the ARKit shapes jawLeft and mouthLeft are directions, not sides
            stem = lower.removesuffix(ending).rstrip("_.- ")
            if lower.endswith(ending) and stem and stem not in ("jaw", "mouth"):
                return f"{_letters(stem)}.{letter}"
    return _letters(lower)


def _letters(name: str) -> str:
    return "".join(letter for letter in name if letter.isalnum())


def arranged(rows: Tensor, given: Sequence[str], wanted: Sequence[str], source: str) -> Tensor:
    """(T, len(wanted)) the columns of ``rows`` (T, len(given)) by name; zeros where there is none.

    Raises:
        DataError: none of the names is wanted; ``source`` is what the message calls the rows.
    """
    columns = {plain_name(name): at for at, name in enumerate(given)}
    made = rows.new_zeros(len(rows), len(wanted))
    found = 0
    for at, name in enumerate(map(plain_name, wanted)):
        whole = name.removesuffix(".l").removesuffix(".r")
        sides = [columns[key] for key in (f"{name}.l", f"{name}.r") if key in columns]
        if name in columns or whole in columns:
            made[:, at] = rows[:, columns[name if name in columns else whole]]
        elif sides:
            made[:, at] = torch.stack([rows[:, side] for side in sides]).mean(dim=0)
        else:
            continue
        found += 1
    if not found:
        raise DataError(
            f'Driver "{source}" and the avatar have no blendshape in common.',
            f"The driver has {_some(given)}; the avatar has {_some(wanted)}.",
            "Choose with --driver a motion of the same blendshapes.",
        )
    return made


def _some(names: Sequence[str]) -> str:
    """The first of some names."""
    return ", ".join([*names[:6], "..."][: len(names) + (len(names) > 6)]) or "none by name"
