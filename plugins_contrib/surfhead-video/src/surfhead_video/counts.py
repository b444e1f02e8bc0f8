"""Numbers of things in sentences."""

from __future__ import annotations


def counted(count: int, thing: str, one: str = "", more: str = "") -> str:
    """``1 frame has``, ``2 frames have``: the number, the thing, and what follows in the same number.

    Args:
        count: how many.
        thing: in the singular, whose plural is made by an s.
        one: what follows where there is one thing.
        more: what follows elsewhere.
    """
    told = f"{count} {thing}{'' if count == 1 else 's'}"
    return f"{told} {one if count == 1 else more}".rstrip()
