"""The channels of an avatar, each against a picture drawn or computed in another way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.components import Appearance
from surfhead.core.errors import OptionError, ShapeError, UnknownNameError
from surfhead.core.types import Binding, Cameras, Colour, Mesh
from surfhead.drawing.channels import CHANNELS, depth_limits, paint, stretch
from surfhead.drawing.colour_maps import LONGER, NEUTRAL, distinct_colours, heat
from surfhead.testing import tiny
from tests.runs.tiny_run import tiny_avatar

BACKGROUND = torch.tensor([0.2, 0.4, 0.6])


@pytest.fixture
def camera() -> Cameras:
    return tiny.cameras(1, 30, 40, distance=0.5)


def visible_avatar(deformer: str = "jbs", appearance: str = "sh") -> Avatar:
    """Eight opaque surfels of random colours, small enough that the octahedron's triangles are told apart."""
    avatar = tiny_avatar(deformer, appearance)
    with torch.no_grad():
        avatar.surfels.parameters["log_scale"].fill_(-1.6)
        avatar.surfels.parameters["opacity"].fill_(6.0)
        avatar.surfels.parameters["sh_dc"].normal_(generator=torch.Generator().manual_seed(3))
    return avatar


def drawn(avatar: Avatar, camera: Cameras, colours: Tensor, background: Tensor = BACKGROUND) -> Tensor:
    """(H, W, 3) constant colours (N, 3) of the avatar's surfels in its first pose."""
    world = avatar.render(camera, 0).surfels
    pose = torch.zeros(1, dtype=torch.int64)
    return avatar.rasterizer(world, colours[None], camera, pose, background[None]).rgb[0].clamp(0, 1)


def test_every_channel_is_a_picture_and_one_pass_serves_all(camera: Cameras) -> None:
    avatar = visible_avatar(appearance="asg")
    calls = []

    class Counted(type(avatar.rig)):  # type: ignore[misc]
        def __call__(self, parameters: Any) -> Mesh:
            calls.append("rig")
            return super().__call__(parameters)

    avatar.rig.__class__ = Counted
    found = paint(avatar, camera, 0, list(CHANNELS), truth=torch.ones(30, 40, 3))
    assert list(found) == list(CHANNELS)
    assert calls == ["rig"]
    for name, picture in found.items():
        assert picture.shape == (30, 40, 3), name
        assert picture.dtype == torch.float32
        assert not picture.requires_grad
        assert 0.0 <= float(picture.min()) <= float(picture.max()) <= 1.0, name
        assert name in ("blend", "specular", "albedo", "shading") or float(picture.std()) > 0.02, name


def test_pixels_show_what_was_rendered(camera: Cameras) -> None:
    avatar = visible_avatar()
    output = avatar.render(camera, 0, background=BACKGROUND).output
    found = paint(
        avatar, camera, 0, ["alpha", "rgb", "depth", "normal"], background=BACKGROUND, depth_range=(0.3, 0.8)
    )
    assert torch.equal(found["rgb"], output.rgb[0].clamp(0, 1))
    assert torch.equal(found["alpha"], output.alpha[0, :, :, None].expand(-1, -1, 3))
    solid = output.alpha[0] > 0.5
    assert 100 < int(solid.sum()) < 1100
    alpha = output.alpha[0, :, :, None]
    behind = (1.0 - alpha) * BACKGROUND
    near = ((0.8 - output.depth[0]) / 0.5).clamp(0.0, 1.0)[..., None]
    torch.testing.assert_close(found["depth"], near * alpha + behind)
    unit = output.normal[0] / output.normal[0].norm(dim=-1, keepdim=True)
    expected = (unit * torch.tensor([0.5, -0.5, -0.5]) + 0.5) * alpha + behind
    torch.testing.assert_close(found["normal"][solid], expected[solid])


def test_one_rule_for_backgrounds(camera: Cameras) -> None:
    avatar = visible_avatar()
    alpha = avatar.render(camera, 0).output.alpha[0]
    nothing = alpha == 0.0
    assert 100 < int(nothing.sum()) < 1100
    names = [name for name in CHANNELS if name not in ("alpha", "error")]
    for name, picture in paint(avatar, camera, 0, names, background=BACKGROUND).items():
        assert torch.equal(picture[nothing], BACKGROUND.expand(int(nothing.sum()), 3)), name
    own = paint(avatar, camera, 0, ["normal", "depth"])
    assert torch.equal(own["normal"][nothing], avatar.background.expand(int(nothing.sum()), 3))
    assert float(paint(avatar, camera, 0, ["alpha"])["alpha"][nothing].max()) == 0.0


def test_depth_is_white_near_by_without_a_range(camera: Cameras) -> None:
    avatar = visible_avatar()
    output = avatar.render(camera, 0).output
    limits = depth_limits(output)
    assert limits is not None
    solid = output.depth[output.alpha > 0.5]
    assert limits[0] < float(solid.min()) < float(solid.max()) < limits[1]
    chosen = paint(avatar, camera, 0, ["depth"], depth_range=limits)
    assert torch.equal(paint(avatar, camera, 0, ["depth"])["depth"], chosen["depth"])
    assert depth_limits(replace(output, alpha=torch.zeros_like(output.alpha))) is None


class Shiny(Appearance):
    """Green, with a red highlight."""

    name = "shiny"
    summary = "Green and red."

    def __call__(
        self, binding: Binding, directions: Tensor, normals: Tensor, rotation: Tensor, parts: bool = False
    ) -> Colour:
        red, green = torch.tensor([0.3, 0, 0]), torch.tensor([0, 0.6, 0])
        shape = directions.shape
        both = {"diffuse": green.expand(shape), "specular": red.expand(shape)}
        return Colour((red + green).expand(shape), both if parts else {})


def test_the_parts_add_up_to_the_colour(camera: Cameras) -> None:
    avatar = visible_avatar()
    plain = paint(avatar, camera, 0, ["diffuse", "specular", "rgb"], background=torch.zeros(3))
    assert torch.equal(plain["diffuse"], plain["rgb"])
    assert float(plain["specular"].max()) == 0.0
    avatar.appearance = Shiny()
    found = paint(avatar, camera, 0, ["rgb", "diffuse", "specular", "alpha"], background=BACKGROUND)
    alpha = found["alpha"][..., 0]
    over = (1.0 - alpha)[..., None] * BACKGROUND
    torch.testing.assert_close(found["diffuse"][..., 1], 0.6 * alpha + over[..., 1])
    torch.testing.assert_close(found["specular"][..., 0], 0.3 * alpha + over[..., 0])
    torch.testing.assert_close(found["diffuse"] + found["specular"] - over, found["rgb"])
    assert float(alpha.max()) > 0.9


def test_the_error_is_that_to_the_truth(camera: Cameras) -> None:
    avatar = visible_avatar()
    rgb = paint(avatar, camera, 0, ["rgb"])["rgb"]
    off = rgb.clone()
    off[3:6, 4:8, 1] += torch.where(off[3:6, 4:8, 1] > 0.5, -0.3, 0.3)  # a mean error of 0.1, half of white
    found = paint(avatar, camera, 0, ["error"], truth=off)["error"]
    torch.testing.assert_close(found[3:6, 4:8], heat(torch.tensor(0.5)).expand(3, 4, 3))
    found[3:6, 4:8] = 0.0
    assert float(found.max()) == 0.0


def test_binding_has_a_colour_a_triangle(camera: Cameras) -> None:
    avatar = visible_avatar()
    found = paint(avatar, camera, 0, ["binding"], background=BACKGROUND)["binding"]
    expected = drawn(avatar, camera, distinct_colours(avatar.surfels.triangle))
    torch.testing.assert_close(found, expected)
    assert len(torch.unique((found * 255).round().reshape(-1, 3), dim=0)) > 4


@pytest.mark.parametrize(("deformer", "weight"), [("jbs", None), ("lbs", None), ("similarity", 1.0)])
def test_blend_shows_the_hosts_weight(deformer: str, weight: float | None, camera: Cameras) -> None:
    avatar = visible_avatar(deformer)
    weights = torch.ones(8)
    if weight is None:
        logits = torch.linspace(-3.0, 3.0, 32).reshape(8, 4)
        avatar.surfels.parameters["blend"] = logits
        shares = torch.sigmoid(logits)
        weights = shares[:, 0] / shares.sum(dim=-1)
        for region in ("eyeballs", "boundary"):  # these follow their host alone
            weights[avatar.surfels.regions[region]] = 1.0
        assert len(torch.unique(weights)) == 5
    torch.testing.assert_close(avatar.deformer.host_weight(avatar.surfels.binding()), weights)
    found = paint(avatar, camera, 0, ["blend"], background=BACKGROUND)["blend"]
    world, pose = avatar.render(camera, 0).surfels, torch.zeros(1, dtype=torch.int64)
    nothing = torch.zeros(1, 1)
    mean = avatar.rasterizer(world, weights[None, :, None], camera, pose, nothing)
    alpha = mean.alpha[0][..., None]
    colours = heat(mean.rgb[0, ..., 0] / mean.alpha[0].clamp_min(1e-9))
    torch.testing.assert_close(found, colours.clamp(0, 1) * alpha + (1.0 - alpha) * BACKGROUND)


@pytest.mark.parametrize("deformer", ["jacobian", "jbs", "lbs"])
def test_stretch_is_the_largest_singular_value_since_rest(deformer: str, camera: Cameras) -> None:
    avatar = visible_avatar(deformer)
    affine = torch.tensor([[1.4, 0.2, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 1.0]])
    rest = avatar.rig.rest()

    class Stretched(type(avatar.rig)):  # type: ignore[misc]
        def __call__(self, parameters: Any) -> Mesh:
            return Mesh((rest.vertices @ affine.mT)[None], rest)

    still = avatar.render(camera, 0)
    torch.testing.assert_close(stretch(still, avatar.surfels.triangle), torch.ones(8))
    flat = paint(avatar, camera, 0, ["stretch"], background=torch.tensor(NEUTRAL))["stretch"]
    torch.testing.assert_close(flat, torch.tensor(NEUTRAL).expand_as(flat))
    avatar.rig.__class__ = Stretched
    moved = avatar.render(camera, 0)
    found = stretch(moved, avatar.surfels.triangle)
    scale = rest.frames.scale[avatar.surfels.triangle]
    expected = torch.linalg.svdvals(moved.field.linear[0] / scale[:, None, None])[:, 0]
    torch.testing.assert_close(found, expected)
    # an affine map stretches what lies along its first singular direction most, no triangle beyond it
    assert 1.1 < float(found.max()) <= float(torch.linalg.svdvals(affine)[0]) * 1.02
    shown = paint(avatar, camera, 0, ["stretch"], background=torch.tensor(NEUTRAL))["stretch"]
    redder = torch.tensor(LONGER) - torch.tensor(NEUTRAL)
    assert float(((shown - torch.tensor(NEUTRAL)) @ redder).max()) > 0.1


def test_a_similarity_is_stretched_by_its_scale(camera: Cameras) -> None:
    avatar = visible_avatar("similarity")
    rest = avatar.rig.rest()

    class Grown(type(avatar.rig)):  # type: ignore[misc]
        def __call__(self, parameters: Any) -> Mesh:
            return Mesh(1.25 * rest.vertices[None], rest)

    avatar.rig.__class__ = Grown
    found = stretch(avatar.render(camera, 0), avatar.surfels.triangle)
    torch.testing.assert_close(found, torch.full((8,), 1.25))


def test_an_opacity_scale_hides_surfels(camera: Cameras) -> None:
    avatar = visible_avatar()
    shown = torch.tensor([0.0, 1, 1, 1, 1, 1, 1, 1])
    hidden = paint(avatar, camera, 0, ["alpha"], opacity_scale=torch.zeros(8))["alpha"]
    assert float(hidden.max()) == 0.0
    found = paint(avatar, camera, 0, ["rgb", "binding"], opacity_scale=shown)
    whole = paint(avatar, camera, 0, ["rgb"])["rgb"]
    with torch.no_grad():
        avatar.surfels.parameters["opacity"][0] = -100.0
    expected = paint(avatar, camera, 0, ["rgb", "binding"])
    for name in ("rgb", "binding"):
        torch.testing.assert_close(found[name], expected[name])
    assert float((found["rgb"] - whole).abs().max()) > 0.05


def test_rig_parameters_pose_it(camera: Cameras) -> None:
    avatar = visible_avatar()
    moved = paint(avatar, camera, {"translation": torch.tensor([[0.05, 0.0, 0.0]])}, ["alpha"])["alpha"]
    same = paint(avatar, camera, {"translation": torch.zeros(3)}, ["alpha"])["alpha"]
    assert torch.equal(same, paint(avatar, camera, 1, ["alpha"])["alpha"])
    columns = torch.arange(40.0)
    before, after = ((a[..., 0].sum(0) @ columns) / a[..., 0].sum() for a in (same, moved))
    assert float(after - before) > 3.0


def test_bad_input_is_named(camera: Cameras) -> None:
    avatar = visible_avatar()
    with pytest.raises(UnknownNameError, match='Unknown channel "norml". Did you mean "normal"'):
        paint(avatar, camera, 0, ["norml"])
    with pytest.raises(OptionError, match='Channel "error" needs the true picture'):
        paint(avatar, camera, 0, ["error"])
    with pytest.raises(ShapeError, match='"truth" has shape'):
        paint(avatar, camera, 0, ["error"], truth=torch.zeros(3, 3, 3))
    with pytest.raises(ShapeError, match="Channels of 2 views"):
        paint(avatar, tiny.cameras(2), 0, ["rgb"])
    with pytest.raises(ShapeError, match='"opacity_scale" has shape'):
        paint(avatar, camera, 0, ["rgb"], opacity_scale=torch.ones(7))
