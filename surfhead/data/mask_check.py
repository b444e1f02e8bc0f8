"""Do masks say which pixels are the head? The usual mistakes in them, told apart."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from surfhead.core.errors import SurfheadError
from surfhead.core.scene import Scene
from surfhead.files import bounds

log = logging.getLogger("surfhead")
FOREGROUND = 128  # grey level of a mask from which a pixel belongs to the head
RIM = 0.05  # share of a picture's sides that is its rim; shoulders meet the lower one, so it is left out
FITS, MISSES = 0.5, 0.1  # overlaps of a head model with the inverse of an inverted mask, and with itself
SAMPLED = 8  # training views whose masks are looked at before training
EMPTY, ONES, FULL, INVERTED = "empty", "ones", "full", "inverted"
SIZE, COLOURED = "size", "coloured"
# fault -> what is wrong, and how to mend it
TEXTS = {
    SIZE: ("have another size than their pictures", "Export masks in the pictures' size."),
    COLOURED: (
        "are pictures with an alpha channel, of which only one part can be meant",
        "Save masks as 8-bit grey pictures, 255 where the head is.",
    ),
    EMPTY: ("are empty (all 0)", "Make these masks anew, or remove these frames."),
    ONES: ("hold 0 and 1 instead of 0 and 255", "Multiply the masks by 255."),
    FULL: ("are full (all 255): no pixel is background", "Make the masks anew, or remove them all."),
    INVERTED: ("are inverted: 0 where the head is", "Invert the masks: 255 is foreground."),
}


@dataclass(frozen=True)
class MaskFault:
    """A kind of mistake, in some of the views looked at.

    Attributes:
        kind: a key of TEXTS.
        views: the names of the views.
        looked: how many masks were looked at.
        detail: about the first.
    """

    kind: str
    views: tuple[str, ...]
    looked: int
    detail: str = ""

    def __str__(self) -> str:
        what, remedy = TEXTS[self.kind]
        first = f'the first is of view "{self.views[0]}"' + (f" ({self.detail})" if self.detail else "")
        return f"{len(self.views)} of {self.looked} masks {what}; {first}. {remedy}"


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boolean pictures; 1 where both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def fault_in(mask: np.ndarray, silhouette: np.ndarray | None = None) -> str:
    """The kind of mistake in a mask (H, W) uint8; empty where there is none.

    Args:
        silhouette: (H, W) bool, where the head model is seen, if that is known.
    """
    low, high = int(mask.min()), int(mask.max())
    if high <= 1:
        return ONES if high else EMPTY
    if low == 255:
        return FULL
    inside = mask >= FOREGROUND
    if silhouette is not None and silhouette.any():
        inverted = overlap(silhouette, ~inside) >= FITS and overlap(silhouette, inside) < MISSES
        return INVERTED if inverted else ""
    height, width = inside.shape
    y, x = max(round(RIM * height), 1), max(round(RIM * width), 1)
    rim = np.concatenate(
        [inside[:y].ravel(), inside[: height // 2, :x].ravel(), inside[: height // 2, -x:].ravel()]
    )
    middle = inside[height // 3 : -(height // 3) or None, width // 3 : -(width // 3) or None]
    return INVERTED if rim.mean() > 0.9 and middle.mean() < 0.5 else ""


def fault_in_file(mask: Path, picture: Path) -> tuple[str, str]:
    """The kind of mistake that a mask's header shows, beside its picture's, and a detail; or empty."""
    try:
        with Image.open(bounds.regular(mask)) as image, Image.open(bounds.regular(picture)) as of:
            if image.size != of.size:
                return SIZE, f"{image.width}x{image.height}, the picture {of.width}x{of.height}"
            if image.mode in ("RGBA", "LA", "PA"):
                bounds.picture(*image.size, mask.stat().st_size)
                alpha = image.convert("RGBA").getchannel("A").getextrema()
                return (COLOURED, image.mode) if alpha != (255, 255) else ("", "")
    except Exception:  # what is damaged is said where files are looked at
        return "", ""
    return "", ""


def faults_in_files(scene: Scene, views: Sequence[int] | np.ndarray) -> dict[int, tuple[str, str]]:
    """View -> kind and detail, for masks that are files of their own and wrong by their headers."""
    found = {}
    for view in (int(view) for view in views):
        mask, files = scene.mask_file(view), scene.files(view)
        if mask is not None and files:
            kind, detail = fault_in_file(mask, files[0])
            if kind:
                found[view] = (kind, detail)
    return found


def collected(scene: Scene, faults: dict[int, tuple[str, str]], looked: int) -> list[MaskFault]:
    """Faults by kind, in the order of TEXTS. Full masks are told only where most are, and a head is meant."""
    made = []
    for kind in TEXTS:
        views = [view for view, (found, _) in faults.items() if found == kind]
        if not views or (kind == FULL and (scene.rig == "none" or 2 * len(views) <= looked)):
            continue
        names = tuple(scene.views.names[view] for view in views)
        made.append(MaskFault(kind, names, looked, faults[views[0]][1]))
    return made


def warn_of_masks(scene: Scene, views: np.ndarray) -> list[MaskFault]:
    """Look at a few training masks and log a warning for each kind of mistake; gives what was found."""
    chosen = views[(np.arange(min(SAMPLED, len(views))) * len(views)) // max(min(SAMPLED, len(views)), 1)]
    faults = faults_in_files(scene, chosen)
    looked = 0
    for view in chosen.tolist():
        try:
            mask = scene.picture(view).mask
        except SurfheadError:  # is said when the picture's turn comes
            continue
        looked += mask is not None
        kind = "" if mask is None else fault_in(mask)
        if kind:
            faults.setdefault(view, (kind, ""))
    found = collected(scene, faults, max(looked, len(faults)))
    for fault in found:
        log.warning("%s See `surfhead data check`.", fault)
    return found
