"""The checks of appearance models each reject what they should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from surfhead.core.api import (
    Appearance,
    Binding,
    Colour,
    ColourModel,
    Highlight,
    ParameterSpec,
    Schedule,
    Surface,
    SurfaceWants,
)
from surfhead.maths import harmonics
from surfhead.maths.light import Light
from surfhead.testing import check
from tests.conformance.planted import checks_of_kind_alone, error_of

START = 2000  # images before the network speaks


class Paint(Appearance):
    """Sound: a colour a surfel, and from ``START`` on a small network of the view direction."""

    name = "paint"
    summary = "Plain colours."
    capturable = True

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._network = nn.Linear(6, 3)
        self._on = False

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {"paint": ParameterSpec((3,), 0.3, Schedule(1e-3))}

    def network(self) -> nn.Module | None:
        return self._network

    def advance(self, images: int) -> None:
        self._on = images >= START

    def stage(self) -> tuple[Any, ...]:
        return (self._on,)

    def shine(self, directions: Tensor, normals: Tensor) -> Tensor:
        return 0.1 * self._network(torch.cat((directions, normals), dim=-1))

    def __call__(
        self, binding: Binding, directions: Tensor, normals: Tensor, rotation: Tensor, parts: bool = False
    ) -> Colour:
        rgb = torch.sigmoid(binding.parameters["paint"]).expand(len(directions), -1, -1)
        if self._on:
            rgb = torch.sigmoid(binding.parameters["paint"] + self.shine(directions, normals))
        return Colour(rgb, {"all": rgb} if parts else {})


class BadStart(Paint):
    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {"paint": ParameterSpec((3,), float("nan"), Schedule(1e-3))}


class CountsLobes(Paint):
    """Looks only at its last stage."""

    def shine(self, directions: Tensor, normals: Tensor) -> Tensor:
        facing = (directions * normals).sum(dim=-1) < -0.5
        return super().shine(directions, normals) * (facing.nonzero().numel() / facing.numel())


class Changes(Paint):
    """Gives what ``change`` makes of the sound colours."""

    def change(self, rgb: Tensor, binding: Binding, directions: Tensor, normals: Tensor) -> Tensor:
        raise NotImplementedError

    def __call__(
        self, binding: Binding, directions: Tensor, normals: Tensor, rotation: Tensor, parts: bool = False
    ) -> Colour:
        colour = super().__call__(binding, directions, normals, rotation, parts)
        return replace(colour, rgb=self.change(colour.rgb, binding, directions, normals))


class Negative(Changes):
    def change(self, rgb: Tensor, binding: Binding, directions: Tensor, normals: Tensor) -> Tensor:
        return rgb - 0.5


class OneView(Changes):
    def change(self, rgb: Tensor, binding: Binding, directions: Tensor, normals: Tensor) -> Tensor:
        return rgb[0]


class NeedsSurfels(Changes):
    def change(self, rgb: Tensor, binding: Binding, directions: Tensor, normals: Tensor) -> Tensor:
        return rgb * (1.0 if rgb.max() < 2 else 0.5)


class Trembles(Changes):
    def change(self, rgb: Tensor, binding: Binding, directions: Tensor, normals: Tensor) -> Tensor:
        return torch.nn.functional.dropout(rgb, 0.1)


class FlipsInput(Changes):
    def change(self, rgb: Tensor, binding: Binding, directions: Tensor, normals: Tensor) -> Tensor:
        directions.neg_()
        return rgb


class WrongIndex(Changes):
    """The published code after densification: the highlight of a region lands on other surfels."""

    def change(self, rgb: Tensor, binding: Binding, directions: Tensor, normals: Tensor) -> Tensor:
        index = binding.regions.get("eyeballs", torch.zeros(0, dtype=torch.int64))
        shine = normals[:, : len(index)].abs() / 3  # the first surfels' normals, not the region's
        return rgb.index_add(1, index, shine)


class MixesViews(Changes):
    def change(self, rgb: Tensor, binding: Binding, directions: Tensor, normals: Tensor) -> Tensor:
        return rgb + 0.1 * directions.mean(dim=0).abs()


class Deaf(Changes):
    def change(self, rgb: Tensor, binding: Binding, directions: Tensor, normals: Tensor) -> Tensor:
        return rgb.detach() + self.shine(directions, normals).abs()


class WrongRegion(Paint):
    """Every surfel's colour is its own."""

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {"paint": replace(super().parameters()["paint"], region="eyeballs")}


class NetworkUnused(Paint):
    def advance(self, images: int) -> None:
        """Never on."""


class AngleByArccosine(Changes):
    """The angle's derivative is infinite where the direction meets the normal head on."""

    def change(self, rgb: Tensor, binding: Binding, directions: Tensor, normals: Tensor) -> Tensor:
        cosine = (-directions * normals).sum(dim=-1, keepdim=True).clamp(-1, 1)
        return rgb + 0.1 * torch.acos(cosine)


class NewNetwork(Paint):
    def network(self) -> nn.Module | None:
        return nn.Linear(6, 3)


class HidesStage(Paint):
    def stage(self) -> tuple[Any, ...]:
        return ()


class NeverGoesBack(Paint):
    def advance(self, images: int) -> None:
        self._on = self._on or images >= START


class AlwaysParts(Paint):
    def __call__(
        self, binding: Binding, directions: Tensor, normals: Tensor, rotation: Tensor, parts: bool = False
    ) -> Colour:
        return super().__call__(binding, directions, normals, rotation, True)


class PartsOfOneView(Paint):
    def __call__(
        self, binding: Binding, directions: Tensor, normals: Tensor, rotation: Tensor, parts: bool = False
    ) -> Colour:
        colour = super().__call__(binding, directions, normals, rotation, parts)
        return replace(colour, parts={name: value[0] for name, value in colour.parts.items()})


class Told(Appearance):
    """Sound: the constant harmonics alone, and told as such."""

    name = "told"
    summary = "Constant harmonics."

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {"sh_dc": ParameterSpec((3,), 0.3, Schedule(1e-3))}

    def colour_model(self, binding: Binding) -> ColourModel | None:
        base = harmonics.Y00 * binding.parameters["sh_dc"] + 0.5
        return ColourModel(base, torch.zeros(len(base), 0, 3))

    def __call__(
        self, binding: Binding, directions: Tensor, normals: Tensor, rotation: Tensor, parts: bool = False
    ) -> Colour:
        rgb = (harmonics.Y00 * binding.parameters["sh_dc"] + 0.5).clamp_min(0.0)
        return Colour(rgb.expand(len(directions), -1, -1))


class ToldLight(Told):
    """Tells of a light that it does not show."""

    def colour_model(self, binding: Binding) -> ColourModel | None:
        count = len(binding)
        light = Highlight(
            surfels=torch.arange(count),
            axes=torch.eye(3)[None],
            amplitude=torch.ones(count, 1, 2),
            sharpness=torch.ones(count, 1, 1),
            layers=((torch.zeros(1, 12), torch.ones(1)),),
            octaves=1,
            world=False,
        )
        model = super().colour_model(binding)
        assert model is not None
        return replace(model, highlight=light)


class Shaded(Told):
    """Sound: constant harmonics, darker where the surface looks down."""

    wants = SurfaceWants(world_normals="gradient", rest_positions="constant")

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._light = torch.tensor([0.0, 1.0, 0.0])
        self._own: Tensor | None = None

    relightable = True

    def light(self) -> Light | None:
        return Light(torch.cat((self._light[None].expand(3, 3), torch.zeros(6, 3))))

    def relight(self, light: Light | None) -> None:
        if light is None:
            self._light = self._own if self._own is not None else self._light
            self._own = None
        else:
            self._own, self._light = self._light, light.coefficients[0]

    def stage(self) -> tuple[Any, ...]:
        return (self._own is not None,)

    def colour_model(self, binding: Binding) -> ColourModel | None:
        return None

    def __call__(
        self,
        binding: Binding,
        directions: Tensor,
        normals: Tensor,
        rotation: Tensor,
        parts: bool = False,
        surface: Surface | None = None,
    ) -> Colour:
        assert surface is not None
        rgb = (harmonics.Y00 * binding.parameters["sh_dc"] + 0.5).clamp_min(0.0)
        lit = (1.0 + surface.world_normals @ self._light)[..., None].clamp_min(0.0)
        return Colour(rgb * lit * (1.0 + surface.rest_positions.sum(dim=-1, keepdim=True)).abs())


class AsksInVain(Shaded):
    wants = SurfaceWants(world_normals="gradient", rest_positions="constant", rest_normals="constant")


class LooksAtOthers(Shaded):
    wants = SurfaceWants(world_normals="gradient")


class DetachesNormals(Shaded):
    def __call__(
        self,
        binding: Binding,
        directions: Tensor,
        normals: Tensor,
        rotation: Tensor,
        parts: bool = False,
        surface: Surface | None = None,
    ) -> Colour:
        assert surface is not None
        still = Surface({name: value.detach() for name, value in surface.given.items()})
        return super().__call__(binding, directions, normals, rotation, parts, still)


class SaysNothingOfLight(Shaded):
    def relight(self, light: Light | None) -> None:
        pass


class KeepsNewLight(Shaded):
    def relight(self, light: Light | None) -> None:
        if light is not None:
            super().relight(light)


class CallsItselfLit(Told):
    relightable = True


class TakesNoSurface(Told):
    """Asks for normals, but its call has no place for them."""

    wants = SurfaceWants(world_normals="constant")


BUGS = [
    ("declares_parameters", BadStart, "NaN"),
    ("gives_colour", Negative, "negative"),
    ("gives_colour", OneView, '"rgb" has shape'),
    ("gives_colour", NeedsSurfels, ""),
    ("parts_on_request", AlwaysParts, "Unasked"),
    ("parts_on_request", PartsOfOneView, 'Part "all" has shape'),
    ("deterministic", Trembles, "rgb"),
    ("inputs_unmodified", FlipsInput, "was modified"),
    ("surfels_are_independent", WrongIndex, "shuffled"),
    ("views_are_independent", MixesViews, "The colours of view 0"),
    ("parameters_learn", Deaf, '"paint" gets no gradient'),
    ("parameters_learn", WrongRegion, 'off its region "eyeballs"'),
    ("parameters_learn", NetworkUnused, '"network weight" gets no gradient'),
    ("direction_gradients_finite", AngleByArccosine, "NaN or infinity"),
    ("network_is_kept", NewNetwork, "another module"),
    ("stage_tells_changes", HidesStage, "colours changed"),
    ("stage_tells_changes", NeverGoesBack, "advance(0)"),
    ("colour_model_agrees", ToldLight, "The colour model"),
    ("wants_are_true", AsksInVain, '"rest_normals", which changes nothing'),
    ("wants_are_true", LooksAtOthers, "for which it did not ask"),
    ("wants_are_true", DetachesNormals, "gives none"),
    ("capturable", CountsLobes, "waits for the GPU (nonzero)"),
    ("relights", SaysNothingOfLight, "changed no colour"),
    ("relights", KeepsNewLight, "not as before"),
    ("relights", CallsItselfLit, "light() gave none"),
]


@pytest.mark.parametrize("sound", [Paint, Told, Shaded])
def test_the_sound_ones_pass(sound: Any, tmp_path: Path) -> None:
    assert [result for result in check(sound, tmp_path) if not result.passed] == []


@pytest.mark.parametrize(("name", "bug", "says"), BUGS)
def test_a_planted_bug_is_rejected(name: str, bug: Any, says: str, tmp_path: Path) -> None:
    error = error_of(bug, name, tmp_path)
    assert error is not None, f"{bug} passes {name}"
    assert says in str(error)


def test_a_model_that_asks_must_take_what_it_asks_for(tmp_path: Path) -> None:
    assert error_of(Told, "signatures", tmp_path) is None
    assert "lacks surface" in str(error_of(TakesNoSurface, "signatures", tmp_path))


def test_every_check_has_a_planted_bug() -> None:
    assert checks_of_kind_alone(Paint) == {name for name, _, _ in BUGS}
