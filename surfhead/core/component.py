"""What the components of all kinds share: a name, a summary, options, and what they can say of themselves.

Every component has a registered ``name``, a one-line ``summary`` and a frozen ``Options`` dataclass whose
fields carry defaults and descriptions (``option(default, "what it does")``). Constructing a component
opens no file and touches no device.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from surfhead.core.errors import OptionError
from surfhead.core.options import Values, build, check_options


class Component(ABC):
    """What all kinds share.

    Attributes:
        name: the registered name, lower case.
        summary: one line for `surfhead list`; equal to the one in the catalogue.
        priority: among the available ones, ``auto`` picks the highest; negative: never by ``auto``.
        capturable: a training step with it can be captured in a CUDA graph: besides tensors its work depends
            on nothing that changes from step to step (but ``stage()``), and it neither waits for the GPU
            nor copies from the host. Only where all parts of a step say so is it captured.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    summary: ClassVar[str]
    priority: ClassVar[int] = 0
    capturable: ClassVar[bool] = False

    @dataclass(frozen=True)
    class Options:
        """No options."""

    # a class with Options of its own says `options: Options`
    options: Values

    def __init__(self, options: object = None) -> None:
        if options is None:
            options = self.Options()
        elif not isinstance(options, self.Options):
            raise OptionError(
                f'Options of {self.kind} "{self.name}" are a {type(options).__name__}.',
                f"Expected {type(self).__name__}.Options.",
                f"See `surfhead show {self.kind} {self.name}`.",
            )
        else:
            check_options(options, f'{self.kind} "{self.name}"')
        self.options = options

    @classmethod
    def available(cls) -> str | None:
        """None when it can run here, else why not in a sentence, which may end in ``: pip install NAME``."""
        return None

    @classmethod
    def report(cls) -> Mapping[str, str]:
        """Lines for `surfhead doctor`: a package or file that it needs -> where it is, or was looked for."""
        return {}

    @classmethod
    def example(cls, folder: Path) -> Component:
        """A small working instance for the conformance checks; may write files below ``folder``."""
        return cls()


def build_options(cls: type[Component], values: Mapping[str, Any]) -> Any:
    """Make a component class's Options."""
    return build(cls.Options, values, f'{cls.kind} "{cls.name}"')
