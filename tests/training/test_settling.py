"""What no training view saw is tied to what is known; what they saw stays."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.data.feed import cameras_of
from surfhead.data.opening import open_scene
from surfhead.drawing.channels import paint
from surfhead.maths import harmonics
from surfhead.runs.configuration import configure
from surfhead.runs.run import load_avatar, read_config
from surfhead.training.composition import look_at_data
from surfhead.training.covering import LARGEST, covering, settle_hidden
from surfhead.training.observation import HALF, Observation, observe
from surfhead.training.settling import over_mesh, settle_directions, settle_neighbours
from tests.runs.tiny_run import tiny_avatar


@pytest.fixture(scope="module")
def trained(trained_run: Path) -> tuple[Avatar, object]:
    """A small trained avatar and its scene."""
    return load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene


def test_the_weights_are_the_squares_of_compositing_weights(trained: tuple[Avatar, object]) -> None:
    """Summed over pixels and views: of the head's regions, beside every surfel drawn by itself."""
    avatar, scene = trained
    views = scene.views.of("train")  # type: ignore[attr-defined]
    seen = observe(avatar, scene, views)  # type: ignore[arg-type]
    exact = torch.zeros(len(avatar.surfels))
    chosen = seen.weight.argsort(descending=True)[::97][:60]
    for view in views:
        timestep = torch.tensor([int(scene.views.timestep[view])])  # type: ignore[attr-defined]
        cameras = cameras_of(scene, [int(view)], "cpu")  # type: ignore[arg-type]
        first, behind = torch.zeros(1, dtype=torch.int64), torch.zeros(1, len(chosen))
        with torch.no_grad():
            drawn = avatar.draw(cameras, avatar.poses(timestep), first, torch.zeros(1, 3), paired=True)
            alone = torch.zeros(1, len(exact), len(chosen))
            alone[0, chosen, torch.arange(len(chosen))] = 1.0
            exact[chosen] += (
                avatar.rasterizer(drawn.surfels, alone, cameras, first, behind)
                .rgb.square()
                .sum(dim=(0, 1, 2))
            )
    assert float(seen.weight[chosen].sum()) == pytest.approx(float(exact[chosen].sum()), rel=0.4)
    order = exact[chosen].argsort()
    low, high = chosen[order[:20]], chosen[order[-20:]]
    assert float(seen.weight[low].sum()) < 0.2 * float(seen.weight[high].sum())
    assert seen.information is not None
    # the residual's first three are those of degree 1, whose squares add up to 3 / 4π in every direction
    trace = seen.information.diagonal(dim1=1, dim2=2)[:, :3].sum(dim=1)
    torch.testing.assert_close(trace, 3 * seen.weight * harmonics.Y00**2, rtol=1e-4, atol=1e-4)


def test_fewer_views_are_scaled_up_to_all(trained: tuple[Avatar, object]) -> None:
    """Half of the views tell about as much coverage as all."""
    avatar, scene = trained
    views = scene.views.of("train")  # type: ignore[attr-defined]
    whole = observe(avatar, scene, views)  # type: ignore[arg-type]
    half = observe(avatar, scene, views, limit=len(views) // 2)  # type: ignore[arg-type]
    assert float(half.weight.sum()) == pytest.approx(float(whole.weight.sum()), rel=0.2)


def test_a_run_leaves_how_well_each_surfel_is_known(trained: tuple[Avatar, object]) -> None:
    """It is in the checkpoint, and a channel shows it: white where the face is, which every view saw."""
    avatar, scene = trained
    assert avatar.observed is not None
    assert avatar.observed.shape == (len(avatar.surfels),)
    assert 0.0 <= float(avatar.observed.min()) < 0.1  # of the mouth's inside
    assert 0.9 < float(avatar.observed.max()) < 1.0
    camera = cameras_of(scene, [int(scene.views.of("val")[0])], "cpu")  # type: ignore[arg-type,attr-defined]
    shown = paint(avatar, camera, 0, ["observed", "alpha"])
    solid = shown["alpha"][..., 0] > 0.99
    assert float(shown["observed"][solid][:, 0].mean()) > 0.9  # red, the first of heat's bands
    avatar.observed, kept = None, avatar.observed
    assert float(paint(avatar, camera, 0, ["observed"])["observed"][solid].std()) < 0.05  # grey: unmeasured
    avatar.observed = kept


def test_it_can_be_left_out(trained_run: Path) -> None:
    """It is left out by default, and how well surfels are known is measured all the same."""
    assert not configure(preset="fast").tie_unseen
    assert load_avatar(trained_run).observed is not None


def seen_from(directions: torch.Tensor, weight: float, count: int) -> Observation:
    """The observation of ``count`` surfels that views along (V, 3) directions saw, ``weight`` pixels each."""
    values = harmonics.basis(directions, 3)
    information = weight * torch.einsum("vi,vj->ij", values, values)
    return Observation(
        torch.full((count,), weight * len(directions)), information.expand(count, -1, -1).clone()
    )


def cone(degrees: float, count: int = 200) -> torch.Tensor:
    """(V, 3) unit vectors within an angle of +z."""
    generator = torch.Generator().manual_seed(3)
    height = 1 - (1 - np.cos(np.radians(degrees))) * torch.rand(count, generator=generator)
    turn = 2 * np.pi * torch.rand(count, generator=generator)
    radius = (1 - height**2).clamp_min(0).sqrt()
    return torch.stack((radius * turn.cos(), radius * turn.sin(), height), dim=-1)


def colour_along(avatar: Avatar, directions: torch.Tensor) -> torch.Tensor:
    """(V, N, 3) harmonic colours without the clamp."""
    raw = avatar.surfels.parameters
    coefficients = torch.cat([raw["sh_dc"][:, None], raw["sh_rest"]], dim=1).detach()
    return torch.einsum("vk,nkc->vnc", harmonics.basis(directions, 3), coefficients) + 0.5


def test_directions_that_were_seen_keep_their_colour_and_others_do_not_run_away() -> None:
    """Wild harmonics, seen in a cone of 25 degrees: the same there, tame behind."""
    avatar = tiny_avatar()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        avatar.surfels.parameters["sh_rest"].copy_(torch.randn(8, 15, 3, generator=generator))
    inside, behind = cone(25.0), -cone(60.0)
    before, wild = colour_along(avatar, inside), colour_along(avatar, behind)
    settle_directions(avatar, seen_from(inside, 50.0, 8))
    after, tame = colour_along(avatar, inside), colour_along(avatar, behind)
    spread = float(before.std(dim=0).mean())
    assert float((after - before).abs().mean()) < 0.1 * spread
    assert float(tame.std(dim=0).mean()) < 0.5 * float(wild.std(dim=0).mean())


def test_harmonics_of_a_surfel_nothing_saw_become_its_constant_colour() -> None:
    """And that of one seen from everywhere stays as it is."""
    avatar = tiny_avatar()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        avatar.surfels.parameters["sh_rest"].copy_(torch.randn(8, 15, 3, generator=generator))
    rest = avatar.surfels.parameters["sh_rest"].detach().clone()
    constant = avatar.surfels.parameters["sh_dc"].detach().clone()
    everywhere = torch.cat([cone(180.0, 400), -cone(180.0, 400)])
    seen = seen_from(everywhere, 100.0, 8)
    assert seen.information is not None
    seen.information[4:] = 0.0
    settle_directions(avatar, seen)
    torch.testing.assert_close(
        avatar.surfels.parameters["sh_rest"][:4].detach(), rest[:4], rtol=1e-2, atol=5e-3
    )
    raw = {name: value.detach() for name, value in avatar.surfels.parameters.items()}
    assert float(raw["sh_rest"][4:].abs().max()) < 1e-9
    torch.testing.assert_close(raw["sh_dc"][4:], constant[4:], rtol=1e-5, atol=1e-6)


def test_what_lies_between_known_triangles_is_interpolated() -> None:
    """Along a chain of triangles known at its ends alone, values change in equal steps."""
    count = 21
    chain = np.stack([np.arange(count)] * 3, axis=1)
    chain[:-1, 0], chain[1:, 1] = np.arange(1, count), np.arange(count - 1)
    known = torch.zeros(count)
    known[0] = known[-1] = 1.0
    values = torch.full((count, 1), 99.0)
    values[0], values[-1] = 0.0, 1.0
    found = over_mesh(values, known, torch.arange(count), chain)[:, 0]
    steps = found.diff()
    assert float(steps.min()) > 0.0
    torch.testing.assert_close(steps, steps.mean().expand_as(steps), rtol=1e-2, atol=1e-4)
    assert float(found[0]) < 0.1
    assert float(found[-1]) > 0.9


def test_a_surfel_nothing_saw_takes_its_surroundings_colour_and_its_own_start() -> None:
    """A blue one among red ones; those that are well known keep theirs."""
    avatar = tiny_avatar()
    raw = avatar.surfels.parameters
    with torch.no_grad():
        raw["sh_dc"].copy_(torch.tensor([1.0, 0.0, 0.0]).expand(8, 3))
        raw["sh_dc"][3] = torch.tensor([0.0, 0.0, 5.0])
        raw["offset"].fill_(0.4)
        raw["opacity"].fill_(3.0)
    weight = torch.full((8,), 1e6)
    weight[3] = 0.0
    settle_neighbours(avatar, Observation(weight, None).known)
    torch.testing.assert_close(raw["sh_dc"][3].detach(), torch.tensor([1.0, 0.0, 0.0]), rtol=0, atol=1e-3)
    torch.testing.assert_close(raw["offset"][3].detach(), torch.tensor([0.4, 0.4, 0.0]))  # on its triangle
    others = [0, 1, 2, 4, 5, 6, 7]
    torch.testing.assert_close(raw["offset"][others].detach(), torch.full((7, 3), 0.4), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        raw["sh_dc"][others].detach(), torch.tensor([1.0, 0.0, 0.0]).expand(7, 3), rtol=1e-5, atol=1e-5
    )


def test_half_known_is_half_tied() -> None:
    """By HALF pixels."""
    avatar = tiny_avatar()
    raw = avatar.surfels.parameters
    with torch.no_grad():
        raw["offset"].fill_(0.4)
    weight = torch.full((8,), 1e6)
    weight[2] = HALF
    settle_neighbours(avatar, Observation(weight, None).known)
    torch.testing.assert_close(raw["offset"][2].detach(), torch.tensor([0.4, 0.4, 0.2]))


def test_small_pictures_of_many_surfels_make_none_unknown() -> None:
    """A thousandth of a pixel each is little, but as much as all others have."""
    even = Observation(torch.full((100,), 1e-3), None)
    assert float(even.known.min()) > 0.95
    even.weight[7] = 0.0
    assert float(even.known[7]) == 0.0
    assert Observation(torch.zeros(3), None).known.tolist() == [0.0, 0.0, 0.0]


def test_hidden_surfels_continue_what_is_seen_and_cover_their_triangles() -> None:
    """The face from which all is taken away but one triangle's neighbours: their mean; the others stay.

    Its own size alone is not theirs.
    """
    avatar = tiny_avatar()
    surfels = avatar.surfels
    topology = avatar.rig.rest().topology
    one = int(surfels.triangle[3])
    inside = torch.arange(len(topology.triangles)) == one
    surfels.mark("hidden", inside)
    hidden = surfels.triangle == one
    with torch.no_grad():
        for value in surfels.parameters.values():
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(4)))
        surfels.parameters["opacity"].fill_(3.0)
        surfels.parameters["opacity"][hidden] = -4.0
        surfels.parameters["sh_dc"][~hidden] = 0.25
        surfels.parameters["log_scale"][~hidden] = -0.9
    before = {name: value.detach().clone() for name, value in surfels.parameters.items()}
    settle_hidden(avatar)
    after = {name: value.detach() for name, value in surfels.parameters.items()}
    for name, value in after.items():
        assert torch.equal(value[~hidden], before[name][~hidden]), name
    count = int(hidden.sum())
    torch.testing.assert_close(after["opacity"][hidden], torch.full((count,), 3.0))
    assert float((after["sh_dc"][hidden] - 0.25).abs().max()) < 1e-4
    assert float(after["offset"][hidden][:, 2].abs().max()) == 0.0
    # what covers a triangle from its middle, however small those beside it are
    covers = torch.full((count, 2), math.log(LARGEST))
    torch.testing.assert_close(after["log_scale"][hidden], covers, atol=1e-4, rtol=0)
    assert after["offset"][hidden].tolist() == [[0.0, 0.0, 0.0]]


def test_several_hidden_surfels_are_spread_anew_and_cover_their_triangle() -> None:
    """Wherever they wandered, and however small and thin those beside them are, little shows through."""
    avatar = tiny_avatar()
    surfels = avatar.surfels
    topology = avatar.rig.rest().topology
    one, many = int(surfels.triangle[3]), 40
    surfels.triangle = torch.cat((surfels.triangle, torch.full((many - 1,), one)))
    for name, value in surfels.parameters.items():
        more = value.detach()[3:4].expand(many - 1, *value.shape[1:])
        surfels.parameters[name] = torch.cat((value.detach(), more)).requires_grad_()
    surfels.mark("hidden", torch.arange(len(topology.triangles)) == one)
    hidden = surfels.triangle == one
    with torch.no_grad():
        surfels.parameters["opacity"].fill_(-1.0)
        surfels.parameters["log_scale"].fill_(-4.0)
        surfels.parameters["offset"][hidden] = 9.0
    settle_hidden(avatar)
    offset = surfels.parameters["offset"].detach()[hidden, :2]
    assert float(offset.norm(dim=1).max()) < 1.5
    size = float(surfels.parameters["log_scale"].detach()[hidden].exp().max())
    torch.testing.assert_close(size, 0.6 / many**0.5, atol=1e-6, rtol=0)
    rest = avatar.rig.rest()
    corners = rest.vertices[topology.triangles[one]] - rest.frames.centroid[one]
    corners = (corners @ rest.frames.rotation[one] / rest.frames.scale[one])[:, :2]
    weights = torch.rand(2000, 3, generator=torch.Generator().manual_seed(1)).clamp_min(1e-6).log()
    points = (weights / weights.sum(dim=1, keepdim=True)) @ corners
    opacity = torch.sigmoid(surfels.parameters["opacity"].detach()[hidden])
    torch.testing.assert_close(opacity, torch.full((many,), 0.9))
    covered = torch.exp(-0.5 * torch.cdist(points, offset).square() / size**2) * opacity
    assert float((1 - covered).prod(dim=1).mean()) < 0.1


def test_rare_surfels_cover_their_triangle_only_where_it_is_bare() -> None:
    """Two triangles of the region: one whose surfels wandered off is covered, the other keeps every bit."""
    avatar = tiny_avatar()
    surfels = avatar.surfels
    topology = avatar.rig.rest().topology
    one, other = int(surfels.triangle[3]), int(surfels.triangle[0])
    assert one != other
    many = 12
    surfels.triangle = torch.cat((surfels.triangle, torch.full((many - 1,), one)))
    for name, value in surfels.parameters.items():
        more = value.detach()[3:4].expand(many - 1, *value.shape[1:])
        surfels.parameters[name] = torch.cat((value.detach(), more)).requires_grad_()
    places = torch.arange(len(topology.triangles))
    surfels.mark("rare", (places == one) | (places == other))
    with torch.no_grad():
        surfels.parameters["opacity"].fill_(3.0)
        surfels.parameters["log_scale"].fill_(-0.9)
        surfels.parameters["offset"][surfels.triangle == one] = 2.0
    share = covering(surfels)
    expected = 4.0 * math.pi * torch.sigmoid(torch.tensor(3.0)) * math.exp(-1.8)
    assert float(share[one]) == 0.0
    torch.testing.assert_close(share[other], expected)
    with torch.no_grad():  # 60 degrees askew they cover half
        upright = surfels.parameters["quaternion"][0].clone()
        surfels.parameters["quaternion"][0] = torch.tensor([math.sqrt(0.75), 0.5, 0.0, 0.0])
        torch.testing.assert_close(covering(surfels)[other], 0.5 * expected)
        surfels.parameters["quaternion"][0] = upright
    before = {name: value.detach().clone() for name, value in surfels.parameters.items()}
    settle_hidden(avatar)
    settled = surfels.triangle == one
    for name, value in surfels.parameters.items():
        assert torch.equal(value.detach()[~settled], before[name][~settled]), name
    assert float(covering(surfels)[one]) > 2.3
    assert float(surfels.parameters["offset"].detach()[settled, :2].norm(dim=1).max()) < 1.0


def test_what_training_views_show_stays_when_hidden_surfels_settle(
    trained: tuple[Avatar, object], trained_run: Path
) -> None:
    """The back comes into their pictures a little round the outline, as the front does; larger ones would."""
    _, scene = trained
    avatar = load_avatar(trained_run, device="cpu")
    views = scene.views.of("train")  # type: ignore[attr-defined]
    look_at_data(avatar, scene, views, colours=False, hidden=True)  # type: ignore[arg-type]
    hidden = avatar.surfels.regions["hidden"]
    assert 20 < len(hidden) < 0.3 * len(avatar.surfels)
    chosen = [int(view) for view in views[:4]]
    cameras = cameras_of(scene, chosen, "cpu")  # type: ignore[arg-type]
    timesteps = torch.as_tensor(scene.views.timestep[chosen])  # type: ignore[attr-defined]
    raw = avatar.surfels.parameters

    def change() -> float:
        with torch.no_grad():
            kept = raw["opacity"][hidden].clone()
            there = avatar.render(cameras, timesteps).output.rgb
            raw["opacity"][hidden] = -20.0
            without = avatar.render(cameras, timesteps).output.rgb
            raw["opacity"][hidden] = kept
            return float((there - without).square().mean())

    with torch.no_grad():  # a front as training makes it: opaque, and no larger than the triangles
        raw["opacity"].fill_(3.0)
        raw["log_scale"].fill_(float(np.log(0.4)))
        raw["log_scale"][hidden] = 0.0
    large = change()
    settle_hidden(avatar)
    assert change() < min(0.2 * large, 1.5e-3)
    assert float(raw["opacity"].detach()[hidden].median()) > 2.0


def test_where_all_or_nothing_is_hidden_nothing_changes() -> None:
    for everything in (False, True):
        avatar = tiny_avatar()
        before = {name: value.detach().clone() for name, value in avatar.surfels.parameters.items()}
        count = len(avatar.rig.rest().topology.triangles)
        avatar.surfels.mark("hidden", torch.full((count,), everything))
        settle_hidden(avatar)
        for name, value in avatar.surfels.parameters.items():
            assert torch.equal(value, before[name])
