"""What an appearance model is told of the surfels' surface, where it asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from torch import Tensor

from surfhead.core.errors import ContractError, OptionError

Ask = Literal["no", "constant", "gradient"]
ASKS: tuple[Ask, ...] = ("no", "constant", "gradient")


@dataclass(frozen=True)
class SurfaceWants:
    """What an appearance model asks for, declared as its class attribute ``wants``.

    Each is ``no``; ``constant``: given without gradient; or ``gradient``: the picture's errors also move the
    surfels by it. Only what is asked for is computed.

    Attributes:
        world_normals, rest_normals: unit outer normals, mirrored to the camera's side, in world or rest pose.
        world_positions, rest_positions: centres in metres, in the world or on the rest mesh.

    Raises:
        OptionError: another word than these three.
    """

    world_normals: Ask = "no"
    rest_normals: Ask = "no"
    world_positions: Ask = "no"
    rest_positions: Ask = "no"

    def __post_init__(self) -> None:
        for name, ask in self.asked().items():
            if ask not in ASKS:
                raise OptionError(
                    f'An appearance model asks for "{name}" as "{ask}".',
                    f"Expected one of {', '.join(ASKS)}.",
                    "Mend `wants` in the plugin.",
                )

    def asked(self) -> dict[str, str]:
        """Name -> how it is asked for, of all of them."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @property
    def any(self) -> bool:
        """Whether anything is asked for: only then a model's call is given a ``Surface``."""
        return any(ask != "no" for ask in self.asked().values())


NOTHING = SurfaceWants()


@dataclass(frozen=True)
class Surface:
    """What a model asked for by ``SurfaceWants``; the rest raises ContractError when it is looked at.

    Args:
        given: name -> tensor of what was asked for.
    """

    given: Mapping[str, Tensor]

    @property
    def world_normals(self) -> Tensor:
        """(B, N, 3) unit outer normals, mirrored to the camera's side where they look away, in the world."""
        return self._told("world_normals")

    @property
    def rest_normals(self) -> Tensor:
        """(B, N, 3) unit outer normals, mirrored to the camera's side where they look away, at rest."""
        return self._told("rest_normals")

    @property
    def world_positions(self) -> Tensor:
        """(B, N, 3) centres in the world, metres."""
        return self._told("world_positions")

    @property
    def rest_positions(self) -> Tensor:
        """(N, 3) centres on the rest mesh, metres."""
        return self._told("rest_positions")

    def _told(self, name: str) -> Tensor:
        if name not in self.given:
            raise ContractError(
                f'The appearance model looks at "{name}", for which it did not ask.',
                f"Given: {', '.join(self.given) or 'nothing'}.",
                f'Declare wants = SurfaceWants({name}="constant"), or "gradient", in the plugin.',
            )
        return self.given[name]


def unlit(name: str) -> OptionError:
    """The error of relighting an appearance model that has no light of its own."""
    return OptionError(
        f'Appearance "{name}" has no light that could be changed.',
        "Relightable among the built-in ones: lit.",
        "Train with --appearance lit.",
    )
