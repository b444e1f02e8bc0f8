"""What appearance models are told of the surface, and that a stranger's lit model works from one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surface import surface_of
from surfhead.avatars.surfels import Surfels, merge_specs
from surfhead.core.api import create
from surfhead.core.components import Appearance
from surfhead.core.errors import ContractError, OptionError
from surfhead.core.surface import Surface, SurfaceWants
from surfhead.core.types import Binding, Colour
from surfhead.testing import check, tiny
from tests.core.sun_plugin import Sunlit
from tests.runs.tiny_run import Octahedron

ALL = ("world_normals", "rest_normals", "world_positions", "rest_positions")


class Looks(Appearance):
    """Keeps what it was told."""

    name = "looks"
    summary = "Looks."
    told: dict[str, Any]

    def __call__(
        self, binding: Binding, directions: Tensor, normals: Tensor, rotation: Tensor, parts: bool = False
    ) -> Colour:
        self.told = {"directions": directions, "normals": normals, "rotation": rotation}
        return Colour(directions.square())


class LooksCloser(Looks):
    wants = SurfaceWants("gradient", "gradient", "gradient", "gradient")

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
        colour = super().__call__(binding, directions, normals, rotation)
        self.told |= surface.given
        return colour


def avatar_with(look: Appearance) -> Avatar:
    rig = Octahedron()
    rest = rig.prepare({})
    deformer = create("deformer", "jbs")
    specs = merge_specs(deformer.parameters(), look.parameters())
    surfels = Surfels.create(specs, torch.arange(8), rest.topology, tiny.generator())
    for name, value in surfels.parameters.items():
        noise = torch.randn(value.shape, generator=tiny.generator(len(name)))
        surfels.parameters[name] = (value.detach() + 0.3 * noise).requires_grad_()
    motion = {"translation": torch.tensor([[0.0, 0.02, 0.0], [0.0, 0.0, 0.01], [0.01, 0.0, 0.0]])}
    return Avatar(surfels, rig, deformer, look, create("rasterizer", "torch"), motion, torch.ones(3))


def draw(avatar: Avatar, views: int = 3) -> Any:
    return avatar.draw(
        tiny.cameras(views),
        avatar.poses(torch.arange(views)),
        torch.arange(views),
        torch.ones(views, 3),
        paired=True,
    )


def test_a_model_that_asks_for_nothing_is_called_as_ever() -> None:
    look = Looks()
    draw(avatar_with(look))
    assert set(look.told) == {"directions", "normals", "rotation"}


def test_everything_asked_for_is_where_the_surfels_are() -> None:
    look = LooksCloser()
    avatar = avatar_with(look)
    rendering = draw(avatar)
    told, world = look.told, rendering.surfels
    torch.testing.assert_close(told["world_positions"], world.mean)
    turned = (told["rotation"] @ told["directions"][..., None]).squeeze(-1)
    wanted, mirrored = world.normal.clone(), (turned * world.normal).sum(-1) > 0
    assert 4 < int(mirrored.sum()) < mirrored.numel() - 4, "or not both are looked at"
    line = turned[mirrored]
    plane = torch.eye(3) - 2.0 * line[:, :, None] * line[:, None, :]  # a mirror's, across the line of sight
    wanted[mirrored] = (plane @ wanted[mirrored][..., None]).squeeze(-1)
    torch.testing.assert_close(told["world_normals"], wanted)
    back = (told["rotation"].mT @ wanted[..., None]).squeeze(-1)
    torch.testing.assert_close(told["rest_normals"], back)
    # the octahedron only moves: what lies on the rest mesh is where it lies in the world, less the motion
    shift = avatar.poses(torch.arange(3))["translation"]
    spread = told["world_positions"] - told["rest_positions"] - shift[:, None]
    assert spread.abs().max() < 1e-6


def test_asked_for_as_constants_nothing_carries_a_gradient() -> None:
    means = torch.randn(2, 8, 3, requires_grad=True)
    normals = torch.nn.functional.normalize(torch.randn(2, 8, 3), dim=-1).requires_grad_()
    turn = torch.eye(3).expand(2, 8, 3, 3)
    rest = tiny.rest_mesh()
    binding = tiny.binding({}, 8, rest.topology)
    binding.parameters["offset"].requires_grad_()
    for ask, wanted in (("constant", False), ("gradient", True)):
        wants = SurfaceWants(**dict.fromkeys(ALL, ask))  # type: ignore[arg-type]
        surface = surface_of(wants, means, normals, turn, binding, rest)
        assert surface is not None
        assert {name: value.requires_grad for name, value in surface.given.items()} == dict.fromkeys(
            ALL, wanted
        )


def test_without_a_rig_rest_positions_are_the_points() -> None:
    binding = tiny.binding({}, 8)
    vectors = torch.randn(1, 8, 3)
    turn = torch.eye(3).expand(1, 8, 3, 3)
    wants = SurfaceWants(rest_positions="constant")
    surface = surface_of(wants, vectors, vectors, turn, binding, None)
    assert surface is not None
    assert torch.equal(surface.rest_positions, binding.parameters["offset"])


def test_what_was_not_asked_for_is_named() -> None:
    surface = Surface({"rest_normals": torch.zeros(1, 0, 3)})
    with pytest.raises(ContractError, match='"world_normals", for which it did not ask'):
        surface.world_normals  # noqa: B018 - looking is what fails


def test_an_unknown_way_of_asking_is_refused() -> None:
    with pytest.raises(OptionError, match='"rest_normals" as "please"'):
        SurfaceWants(rest_normals="please")  # type: ignore[arg-type]


def test_a_strangers_lit_model_is_sound(tmp_path: Path) -> None:
    assert [result for result in check(Sunlit, tmp_path) if not result.passed] == []
    assert len(Path(__file__).with_name("sun_plugin.py").read_text().splitlines()) <= 60


class Flat(Sunlit):
    """The same with normals as constants."""

    wants = SurfaceWants(world_normals="constant")


def turns_of(look: Sunlit) -> Tensor:
    """The gradient of all surfels' turns under a strong sun."""
    with torch.no_grad():
        look._sun.weight.copy_(torch.tensor([[1.0, 5.0, 3.0]]))
        look._sun.bias.fill_(6.0)
    avatar = avatar_with(look)
    draw(avatar).output.rgb.square().sum().backward()
    found: Tensor = avatar.surfels.parameters["quaternion"].grad
    return found


def test_shading_moves_the_surface_of_a_strangers_model() -> None:
    shaded, flat = turns_of(Sunlit()), turns_of(Flat())
    assert float((shaded - flat).abs().max()) > 1e-2 * float(flat.abs().max())
