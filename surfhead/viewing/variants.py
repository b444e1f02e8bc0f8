"""An avatar as one page wants to see it: other options of its components, regions hidden, no highlight.

Surfels, rig and motion are shared with the original, so that a variant of an avatar in training shows its
latest state. Options a page may change are those that a component declares with ``option(..., live=True)``.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, get_args, get_origin

import torch
from torch import Tensor

from surfhead.avatars.assembly import redrawn, twin
from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surface import colours_of, surface_of_none
from surfhead.core.component import Component
from surfhead.core.components import Appearance, Rasterizer
from surfhead.core.surface import Surface
from surfhead.core.types import Binding, Cameras, Colour, RenderOutput, WorldSurfels
from surfhead.maths.light import Light

SPECULAR, DIFFUSE = "specular", "diffuse"
Part = TypeVar("Part", bound=Component)


@dataclass(frozen=True)
class LiveOption:
    """An option that may change while an avatar is looked at.

    Attributes:
        kind, name: the component's kind, and the option.
        description: one sentence.
        value: what the avatar was trained with.
        choices: the values it can have, best as a list.
    """

    kind: str
    name: str
    description: str
    value: Any
    choices: tuple[Any, ...]


@dataclass(frozen=True)
class Look:
    """How an avatar is to look.

    Attributes:
        options: (kind, option) -> value.
        hidden: regions of the rig whose surfels are not drawn.
        highlight: False leaves the specular part out.
        size: factor of every surfel's size.
    """

    options: tuple[tuple[str, str, Any], ...] = ()
    hidden: frozenset[str] = frozenset()
    highlight: bool = True
    size: float = 1.0

    def with_option(self, kind: str, name: str, value: Any) -> Look:
        """The same with one option set."""
        kept = tuple(row for row in self.options if row[:2] != (kind, name))
        return replace(self, options=(*kept, (kind, name, value)))

    def with_region(self, name: str, shown: bool) -> Look:
        """The same with one region shown or hidden."""
        return replace(self, hidden=self.hidden - {name} if shown else self.hidden | {name})


def live_options(avatar: Avatar) -> list[LiveOption]:
    """The options of an avatar's deformer and appearance that a page may change."""
    made = []
    for component in (avatar.deformer, avatar.appearance):
        hints = typing.get_type_hints(type(component.options))
        for item in dataclasses.fields(component.options):
            if not item.metadata.get("live"):
                continue
            value, hint = getattr(component.options, item.name), hints[item.name]
            if get_origin(hint) is Literal:
                choices = get_args(hint)
            elif hint is bool:
                choices = (False, True)
            else:  # a number of terms: as many as were learnt, or fewer
                choices = tuple(range(int(value) + 1))
            words = item.metadata.get("description", "")
            made.append(LiveOption(component.kind, item.name, words, value, choices))
    return made


def has_highlight(avatar: Avatar) -> bool:
    """Whether the avatar's appearance has a specular part."""
    like = avatar.background
    nothing = Binding(
        torch.zeros(0, dtype=torch.int64, device=like.device),
        {name: value.detach()[:0] for name, value in avatar.surfels.parameters.items()},
        {name: index[:0] for name, index in avatar.surfels.regions.items()},
    )
    vectors = like.new_zeros(1, 0, 3)
    with torch.no_grad():
        model = avatar.appearance
        surface = surface_of_none(model.wants, like)
        colour = colours_of(model, nothing, vectors, vectors, like.new_zeros(1, 0, 3, 3), True, surface)
    return SPECULAR in colour.parts


class Variants:
    """Makes and keeps the variants of one avatar."""

    def __init__(self, avatar: Avatar) -> None:
        self.avatar = avatar
        self._made: dict[tuple[Any, ...], Any] = {}

    def of(self, look: Look) -> Avatar:
        """The avatar with this look's options and highlight; what is hidden, ``opacity`` says.

        Raises:
            OptionError: an option's value is not accepted.
        """
        avatar = self.avatar
        if not look.options and look.highlight and look.size == 1.0:
            return avatar
        appearance = self._appearance(look)
        deformer = self._component(avatar.deformer, look)
        made = redrawn(avatar, deformer, appearance if look.highlight else _Matte(appearance))
        if look.size != 1.0:
            made.rasterizer = _Resized(avatar.rasterizer, look.size)
        return made

    def opacity(self, look: Look, scale: float = 1.0) -> Tensor | None:
        """(N,) factor of every surfel's opacity, 0 in hidden regions; None where all are 1."""
        surfels, like = self.avatar.surfels, self.avatar.background
        if surfels.topology is None or not look.hidden:
            return None if scale == 1.0 else like.new_full((len(surfels),), scale)
        away = torch.zeros(len(surfels.topology.triangles), dtype=torch.bool, device=like.device)
        for name in look.hidden & surfels.topology.regions.keys():
            away = away | surfels.topology.regions[name]
        return scale * (~away)[surfels.triangle].to(like.dtype)

    def _component(self, original: Part, look: Look) -> Part:
        changes = {name: value for kind, name, value in look.options if kind == original.kind}
        if all(getattr(original.options, name) == value for name, value in changes.items()):
            return original
        key = (original.kind, *sorted(changes.items()))
        if key not in self._made:
            self._made[key] = type(original)(replace(original.options, **changes))
        found: Part = self._made[key]
        return found

    def _appearance(self, look: Look) -> Appearance:
        avatar = self.avatar
        made = self._component(avatar.appearance, look)
        if made is avatar.appearance:
            return made
        return twin(avatar.appearance, made, avatar)


class _Resized(Rasterizer):
    """Another rasterizer, which is given surfels of another size."""

    name = "resized"
    summary = "Smaller or larger surfels."

    def __init__(self, whole: Rasterizer, factor: float) -> None:
        super().__init__()
        self.whole = whole
        self.factor = factor

    def __call__(
        self,
        surfels: WorldSurfels,
        colour: Tensor,
        cameras: Cameras,
        pose_of_view: Tensor,
        background: Tensor,
    ) -> RenderOutput:
        resized = replace(surfels, tangents=self.factor * surfels.tangents)
        return self.whole(resized, colour, cameras, pose_of_view, background)


class _Matte(Appearance):
    """An appearance without its highlight."""

    name = "matte"
    summary = "The diffuse part of another appearance."

    def __init__(self, whole: Appearance) -> None:
        super().__init__()
        self.whole = whole
        self.wants = whole.wants
        self.relightable = whole.relightable

    def light(self) -> Light | None:
        return self.whole.light()

    def relight(self, light: Light | None) -> None:
        self.whole.relight(light)

    def __call__(
        self,
        binding: Binding,
        directions: Tensor,
        normals: Tensor,
        rotation: Tensor,
        parts: bool = False,
        surface: Surface | None = None,
    ) -> Colour:
        colour = colours_of(self.whole, binding, directions, normals, rotation, True, surface)
        if DIFFUSE not in colour.parts:
            return colour if parts else Colour(colour.rgb)
        plain = colour.parts[DIFFUSE]
        return Colour(plain, {DIFFUSE: plain, SPECULAR: torch.zeros_like(plain)} if parts else {})
