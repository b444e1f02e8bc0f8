"""Avatars written while a run goes on: export/IMAGES in its folder, in the format the configuration names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from surfhead.core.config import RunConfig
from surfhead.core.errors import OptionError
from surfhead.core.registry import registry

if TYPE_CHECKING:
    from surfhead.training.trainer import Trainer

log = logging.getLogger("surfhead")
STEM = "point_cloud"  # as in the folders of 3DGS and its descendants


def exporter(config: RunConfig) -> Callable[[Trainer], None] | None:
    """What writes the avatar of a trainer, or None where the run wants no exports.

    Raises:
        UnknownNameError, OptionError: ``export.format`` does not exist, or cannot write.
    """
    if not config.export.wanted:
        return None
    name = config.export.format
    layout: Any = registry().create("format", name)
    if not layout.writes:
        raise OptionError(
            f'Format "{name}" cannot be written.', "", "Set export.format; see `surfhead list format`."
        )

    def write(trainer: Trainer) -> None:
        suffix = layout.suffixes[0] if layout.suffixes else ""
        path = trainer.folder / "export" / f"{trainer.images:08d}" / f"{STEM}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        trainer.avatar.advance(trainer.images)
        with torch.no_grad():
            layout.write(trainer.avatar, path)
        log.info("The avatar at image %d was written to %s", trainer.images, path.parent)

    return write
