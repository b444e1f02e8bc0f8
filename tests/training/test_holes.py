"""Holes are found from all round where the head lets one look through, and closed by what nobody sees."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.core.errors import UnavailableError
from surfhead.core.scene import Scene
from surfhead.data.opening import open_scene
from surfhead.maths.geometry import quaternion_to_matrix
from surfhead.meshes.meshcaster import MeshCaster
from surfhead.runs.run import load_avatar, read_config
from surfhead.training import holes as module
from surfhead.training.composition import INNER
from surfhead.training.holes import close_holes, holes
from surfhead.training.observation import Observation, observe
from surfhead.training.spares import NOTHING
from tests.runs.tiny_run import tiny_avatar

THIN = 0.8  # of the light passes a triangle's own surfels; those of triangles round it reach over it, too


@pytest.fixture
def holed(trained_run: Path) -> tuple[Avatar, Scene, torch.Tensor]:
    """An opaque head, its scene, and (N,) the surfels of the crown, which are not to be seen.

    Each has the host that training left it: after the last step some were moved to other holes.
    """
    avatar = load_avatar(trained_run, device="cpu", checkpoint_name="00000020")
    scene = open_scene(read_config(trained_run)).scene
    surfels, rest = avatar.surfels, avatar.rig.rest()
    raw = surfels.parameters
    crown = rest.vertices[rest.topology.triangles].mean(dim=1)[:, 1]
    away = (crown > crown.quantile(0.97))[surfels.triangle]
    away[[int(i) for name in INNER for i in surfels.regions.get(name, [])]] = False
    with torch.no_grad():
        raw["opacity"].fill_(4.0)
        raw["log_scale"].fill_(-0.45)  # hardly any light passes at most triangles' corners
        raw["offset"].zero_()
        raw["quaternion"].copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        raw["opacity"][away] = -20.0
    assert int(away.sum()) > 20
    return avatar, scene, away


def test_holes_are_where_one_looks_through(holed: tuple[Avatar, Scene, torch.Tensor]) -> None:
    avatar, _, away = holed
    found, shown = holes(avatar, 160)
    bare = torch.zeros(len(found), dtype=torch.bool)
    bare[avatar.surfels.triangle[away]] = True
    assert float((found[bare] > 0).float().mean()) > 0.3  # larger surfels round about reach over some
    assert int(found[bare].sum()) > 0.95 * int(found.sum()) > 100
    assert float(shown[away].max()) < 1e-3
    pixels = float(shown.sum())  # of the head in 24 pictures
    assert 0.1 * 24 * 160**2 < pixels < 0.6 * 24 * 160**2


def test_a_whole_head_has_hardly_any(
    holed: tuple[Avatar, Scene, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    avatar, _, away = holed
    monkeypatch.setattr(module, "OPEN", 0.85)  # a round surfel leaves a tenth at the ends of long triangles
    with torch.no_grad():
        avatar.surfels.parameters["log_scale"].fill_(-0.6)
    before = int(holes(avatar, 160)[0].sum())
    with torch.no_grad():
        avatar.surfels.parameters["opacity"][away] = 4.0
    assert int(holes(avatar, 160)[0].sum()) < 0.01 * before


def test_what_shines_through_is_a_hole(holed: tuple[Avatar, Scene, torch.Tensor]) -> None:
    """A thin crown has the median surface before the far side, which covers every pixel: but it is seen."""
    avatar, _, away = holed
    host = avatar.surfels.triangle
    each = torch.bincount(host, minlength=int(host.max()) + 1)[host].float()  # however many were split
    with torch.no_grad():
        avatar.surfels.parameters["opacity"][away] = torch.logit(1.0 - THIN ** (1.0 / each))[away]
    found, _ = holes(avatar, 160)
    bare = torch.zeros(len(found), dtype=torch.bool)
    bare[host[away]] = True
    assert int(found[bare].sum()) > 0.95 * int(found.sum()) > 100


def test_holes_are_closed_by_surfels_that_nothing_sees(
    holed: tuple[Avatar, Scene, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    avatar, scene, away = holed
    monkeypatch.setattr(module, "SIDE", 160)
    surfels, views = avatar.surfels, scene.views.of("train")
    raw, host = surfels.parameters, surfels.triangle.clone()
    before = {name: value.detach().clone() for name, value in raw.items()}
    settled = torch.nonzero(away)[::2, 0]
    first, _ = holes(avatar, 160)
    moved = close_holes(avatar, scene, views, settled)
    assert len(moved) > 20
    after, filled = holes(avatar, 160)[0], torch.unique(surfels.triangle[moved])
    assert int(after[filled].sum()) < 0.07 * int(first[filled].sum())
    assert int(after.sum()) < 0.15 * int(first.sum())  # training left idle surfels for so many triangles
    assert not torch.isin(moved, settled).any()
    for name in INNER:
        inside = surfels.topology.regions.get(name)  # type: ignore[union-attr]
        assert inside is None or not inside[host[moved]].any()
    assert float((first[surfels.triangle[moved]] > 0).float().mean()) > 0.9  # the rest in the second round
    stays = torch.ones(len(host), dtype=torch.bool).index_fill_(0, moved, False)
    assert torch.equal(surfels.triangle[stays], host[stays])
    for name, value in raw.items():
        assert torch.equal(value.detach()[stays], before[name][stays]), name
    below = raw["offset"].detach()[moved, 2] * avatar.rig.rest().frames.scale[surfels.triangle[moved]]
    wanted = -module._depths(avatar.rig.rest(), surfels.triangle[moved])
    assert float((wanted == -module.BELOW).float().mean()) > 0.9
    torch.testing.assert_close(below, wanted, atol=2e-5, rtol=0)
    assert float(torch.sigmoid(raw["opacity"].detach()[moved]).min()) > 0.899


def test_what_covers_nothing_closes_holes_and_what_covers_stays(
    holed: tuple[Avatar, Scene, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of surfels over what no camera saw, those that no side shows are all that a small avatar can spare."""
    avatar, scene, away = holed
    monkeypatch.setattr(module, "SIDE", 160)
    first, shown = holes(avatar, 160)
    covering = torch.nonzero(shown > 5.0)[:, 0]
    settled = torch.cat((torch.nonzero(away)[:, 0], covering))
    # what is neither settled nor seen is inside the mouth, or seen by a training picture
    moved = close_holes(avatar, scene, scene.views.of("train"), settled)
    assert int(away[moved].sum()) > 20
    assert not torch.isin(moved, covering).any()
    assert int(holes(avatar, 160)[0].sum()) < 0.1 * int(first.sum())


@pytest.mark.parametrize("room", [0, 42, 5000])
def test_surfels_are_added_where_none_is_idle_but_no_more_than_there_is_room(
    holed: tuple[Avatar, Scene, torch.Tensor], monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    avatar, scene, _ = holed
    monkeypatch.setattr(module, "SIDE", 160)
    monkeypatch.setattr(module, "IDLE", 0.0)
    surfels, views = avatar.surfels, scene.views.of("train")
    count, host = len(surfels), surfels.triangle.clone()
    before = {name: value.detach().clone() for name, value in surfels.parameters.items()}
    side = max(scene.views.height, scene.views.width)
    assert side < 160
    first, _ = holes(avatar, side)
    moved = close_holes(avatar, scene, views, host[:0], room)
    assert moved.tolist() == list(range(count, count + len(moved)))
    assert torch.equal(surfels.triangle[:count], host)
    for name, value in surfels.parameters.items():
        assert torch.equal(value.detach()[:count], before[name]), name
        assert len(value) == len(surfels)
    if room < 5000:
        assert len(surfels) - count == room
        assert len(moved) == room // 4 * 4  # the largest holes first, four in each
        largest = first.argsort(descending=True, stable=True)[: room // 4]
        assert sorted(surfels.triangle[moved].tolist()) == sorted(4 * largest.tolist())
        nothing = surfels.parameters["opacity"].detach()[count + len(moved) :]
        assert nothing.tolist() == [NOTHING] * (room % 4)
    else:
        assert 20 < len(moved) == len(surfels) - count < room
        assert int(holes(avatar, side)[0].sum()) < 0.1 * int(first.sum())
        weight = observe(avatar, scene, views, limit=module.PICTURES, directions=False).weight[:count]
        for surfel in moved[::40].tolist():  # what has no neighbours' value is the best seen surfel's
            own = torch.nonzero(host == surfels.triangle[surfel])[:, 0]
            best = own[weight[own] == weight[own].max()]
            blend = surfels.parameters["blend"].detach()
            assert (blend[surfel] == blend[best]).all(dim=1).any()


def test_idle_surfels_close_holes_before_any_is_added(
    holed: tuple[Avatar, Scene, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    avatar, scene, away = holed
    monkeypatch.setattr(module, "SIDE", 160)
    monkeypatch.setattr(module, "ROUNDS", 1)
    count = len(avatar.surfels)
    side = max(scene.views.height, scene.views.width)
    wanted = 4 * int((holes(avatar, side)[0] > 0).sum())
    covering = torch.nonzero(~away)[:, 0]
    monkeypatch.setattr(module, "WITHIN", -1.0)  # of what is settled nothing is idle
    moved = close_holes(avatar, scene, scene.views.of("train"), covering, 5000)
    idle = int((moved < count).sum())
    assert 0 < idle < wanted
    assert moved[idle:].tolist() == list(range(count, count + wanted - idle))
    assert len(avatar.surfels) == count + wanted - idle


def test_without_rays_nothing_is_moved(
    holed: tuple[Avatar, Scene, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    avatar, scene, _ = holed

    def missing(*_: object) -> None:
        raise UnavailableError("No rays.", "", "Install them.")

    monkeypatch.setattr(MeshCaster, "__init__", missing)
    nothing = avatar.surfels.triangle[:0]
    assert len(close_holes(avatar, scene, scene.views.of("train"), nothing)) == 0
    assert "No rays" in caplog.text


def test_the_second_round_lies_as_deep_as_the_first(
    holed: tuple[Avatar, Scene, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where both bring surfels to one triangle, the second's depth is measured from what was learnt there."""
    avatar, scene, away = holed
    surfels, rest = avatar.surfels, avatar.rig.rest()
    hole = int(surfels.triangle[away][0])
    idle = torch.nonzero(away & (surfels.triangle != hole))[:8, 0]
    weight = torch.full((len(surfels),), 1000.0)
    weight[idle] = 0.04  # little less than known by half
    found = torch.zeros(len(rest.topology.triangles), dtype=torch.int64)
    found[hole] = 100
    monkeypatch.setattr(module, "observe", lambda *_, **__: Observation(weight, None))
    monkeypatch.setattr(module, "holes", lambda *_: (found, torch.zeros(len(surfels))))
    moved = close_holes(avatar, scene, scene.views.of("train"), idle[:0])
    assert sorted(moved.tolist()) == idle.tolist()
    assert surfels.triangle[moved].tolist() == [hole] * 8
    below = surfels.parameters["offset"].detach()[moved, 2] * rest.frames.scale[hole]
    torch.testing.assert_close(below[4:], below[:4], atol=1e-6, rtol=0)


def test_surfels_get_other_hosts() -> None:
    """Their regions are those of the new triangle, and what was captured of them is not replayed."""
    avatar = tiny_avatar()
    surfels = avatar.surfels
    eye = surfels.regions["eyeballs"]
    generation, other = surfels.generation, int(surfels.triangle[surfels.regions["face"][0]])
    surfels.rebind(eye[:1], torch.tensor([other]))
    assert int(surfels.triangle[eye[0]]) == other
    assert int(eye[0]) in surfels.regions["face"].tolist()
    assert int(eye[0]) not in surfels.regions["eyeballs"].tolist()
    assert surfels.generation != generation


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_places_are_the_centroids_of_equal_parts_but_for_a_rim(parts: int, trained_run: Path) -> None:
    avatar = load_avatar(trained_run, device="cpu")
    rest = avatar.rig.rest()
    places, size, turn = module._places(avatar, parts)
    assert places.shape == (len(rest.topology.triangles), parts**2, 3)
    corners = rest.vertices[rest.topology.triangles] - rest.frames.centroid[:, None]
    local = torch.einsum("fij,fki->fkj", rest.frames.rotation, corners) / rest.frames.scale[:, None, None]
    inside = torch.cat((local[:, :, :2], torch.ones_like(local[:, :, :1])), dim=2).mT.double()
    points = torch.cat((places[..., :2], torch.ones_like(places[..., :1])), dim=2).mT.double()
    shares = torch.linalg.solve(inside, points).mT  # (F, parts², 3) barycentric
    torch.testing.assert_close(shares.sum(dim=2), torch.ones(shares.shape[:2]).double(), atol=1e-4, rtol=0)
    rim = module._outer(rest)
    assert bool(rim[rest.topology.neighbours == torch.arange(len(shares))[:, None]].all())
    assert bool(rim.any())
    whole = ~rim.any(dim=1)
    assert bool(whole.any())
    for row in shares[whole][:200]:
        assert len({tuple(one) for one in (row * 3 * parts).round().int().tolist()}) == parts**2
        torch.testing.assert_close(row.amin(), torch.tensor(1 / 3 / parts).double(), atol=1e-3, rtol=0)
    rim &= rim.sum(dim=1, keepdim=True) == 1  # of two such edges the second takes a little from the first
    for edge, opposite in enumerate((2, 0, 1)):
        assert float(shares[rim[:, edge], :, opposite].min()) > module.INSIDE / parts - 1e-3
    area = torch.linalg.cross(local[:, 1] - local[:, 0], local[:, 2] - local[:, 0]).norm(dim=1)
    torch.testing.assert_close(size.prod(dim=1), module.SIZE**2 * area / parts**2, rtol=1e-3, atol=1e-5)
    # an ellipse of these sizes and this turn has the triangle's own second moments
    axes = quaternion_to_matrix(turn)[:, :2, :2]
    found = axes @ torch.diag_embed(size**2) @ axes.mT
    moments = torch.einsum("fki,fkj->fij", local[..., :2], local[..., :2])
    ratio = found.diagonal(dim1=1, dim2=2).sum(dim=1) / moments.diagonal(dim1=1, dim2=2).sum(dim=1)
    torch.testing.assert_close(found, moments * ratio[:, None, None], rtol=1e-3, atol=1e-4)
