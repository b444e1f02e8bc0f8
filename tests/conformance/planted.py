"""Runs single checks on components with planted bugs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from surfhead.core.component import Component
from surfhead.testing.suite import EVERY_KIND, Subject, checks_of, class_of


def error_of(source: Any, name: str, folder: Path) -> BaseException | None:
    """What one check raises on a component; None when it passes."""
    (one,) = [check for check in checks_of(class_of(source)) if check.name == name]
    torch.manual_seed(0)
    try:
        one.run(Subject(source, folder))
    except Exception as error:
        return error
    return None


def checks_of_kind_alone(cls: type[Component]) -> set[str]:
    """The names of the checks of a class's kind, without those of every kind."""
    common = {check.name for check in _common()}
    return {check.name for check in checks_of(cls)} - common


def _common() -> list[Any]:
    from surfhead.testing import suite

    return suite._CHECKS[EVERY_KIND]
