"""What covers hidden surfels stays only where training pictures do not get worse by it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from surfhead.core.errors import DataError
from surfhead.core.parameters import BASE_COLOUR, with_role
from surfhead.data.opening import open_scene
from surfhead.runs.run import load_avatar, read_config
from surfhead.training import covering
from surfhead.training.composition import look_at_data
from surfhead.training.covering import Former, cover_hidden, harms, put_back
from surfhead.training.observation import observe
from surfhead.training.spares import add_spares


@pytest.fixture(autouse=True)
def uncompensated(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is covered is told from what is not; how colours follow has tests of its own."""
    monkeypatch.setattr(covering, "compensate", lambda *_: None)


def test_what_makes_training_pictures_worse_is_put_back_and_nothing_else(
    trained_run: Path,
) -> None:
    """Well seen surfels and hidden ones take a wrong colour, other well seen ones the right one."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    surfels, raw = avatar.surfels, avatar.surfels.parameters
    views = scene.views.of("train")
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    unseen = torch.zeros(len(surfels), dtype=torch.bool)
    unseen[surfels.regions["hidden"]] = True
    weight = observe(avatar, scene, views, directions=False).weight
    seen = weight > weight.quantile(0.98)
    unseen &= weight < 1e-6
    better = torch.zeros_like(seen)
    better[torch.nonzero(seen)[::2, 0]] = True
    # a triangle that makes pictures worse as it was learnt is rightly put back, whatever its colour was
    better &= harms(avatar, scene, views.tolist(), torch.arange(len(surfels)))[:, 0] < 0.03
    better &= torch.isin(surfels.triangle, surfels.triangle[seen & ~better], invert=True)
    worse = seen & torch.isin(surfels.triangle, surfels.triangle[better], invert=True)
    assert min(int(unseen.sum()), int(better.sum()), int(worse.sum())) > 5
    name = with_role(surfels.specs, BASE_COLOUR)
    assert name is not None
    before = {name: value.detach().clone() for name, value in raw.items()}
    before[name][better] += 3.0  # wrong where it gets better
    with torch.no_grad():
        raw[name][unseen | worse] += 3.0
    after = raw[name].detach().clone()
    changed = torch.nonzero(unseen | worse | better)[:, 0]
    former = Former(before, surfels.triangle.clone())
    put_back(surfels, former, changed, harms(avatar, scene, views.tolist(), changed), 0.03, 0.2)
    found = raw[name].detach()
    assert torch.equal(found[unseen], after[unseen])
    kept = (found == after).flatten(1).all(dim=1)
    assert float(kept[better].float().mean()) > 0.85
    back = (found == before[name]).flatten(1).all(dim=1)
    assert float(back[worse].float().mean()) > 0.8
    rest = ~(unseen | worse | better)
    for name, value in raw.items():
        assert torch.equal(value.detach()[rest], before[name][rest]), name


@pytest.mark.parametrize("wrongly", [False, True])
def test_nothing_is_covered_where_pictures_get_much_worse(trained_run: Path, wrongly: bool) -> None:
    """Of what no picture shows they do not; nor could single triangles be put back where half a face is."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    surfels, views = avatar.surfels, scene.views.of("train")
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    surfels.regions.pop("rare")
    if wrongly:
        places = avatar.rig.rest().vertices[avatar.rig.rest().topology.triangles].mean(dim=1)
        surfels.mark("hidden", places[:, 0] > places[:, 0].mean())
    hidden = surfels.regions["hidden"]
    with torch.no_grad():  # a front as longer training makes it: nothing shines through
        kept = surfels.parameters["opacity"][hidden].clone()
        surfels.parameters["opacity"] += 4.0
        surfels.parameters["opacity"][hidden] = kept
    before = {name: value.detach().clone() for name, value in surfels.parameters.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(covering, "close_holes", lambda *given: given[3][:0])
        patch.setattr(covering, "STAGES", ((0.0, math.inf),))  # nothing is put back by itself
        assert cover_hidden(avatar, scene, views) != wrongly
    same = all(torch.equal(value, before[name]) for name, value in surfels.parameters.items())
    assert same == wrongly


def test_a_picture_that_is_gone_loses_nothing(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    views = scene.views.of("train")
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    before = {name: value.detach().clone() for name, value in avatar.surfels.parameters.items()}

    def gone(view: int) -> None:
        raise DataError(f"Picture {view} is gone.", "", "Put it back.")

    monkeypatch.setattr(scene, "picture", gone)
    assert not cover_hidden(avatar, scene, views)
    assert "Picture 0 is gone" in caplog.text
    assert all(torch.equal(value, before[name]) for name, value in avatar.surfels.parameters.items())


@pytest.mark.parametrize("enough", range(5))
def test_no_more_is_put_back_than_until_pictures_are_not_much_worse(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, enough: int
) -> None:
    """Each stage puts back two surfels more; the first that suffices stays, and where none does, nothing."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    views = scene.views.of("train")
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    surfels, put, looks = avatar.surfels, [0], []
    settled: list[tuple[Former, torch.Tensor]] = []

    def back(surfels: Any, before: Former, changed: torch.Tensor, _: Any, least: float, _2: float) -> Any:
        put[0] = 2 * round(least)
        settled.append((Former.of(surfels), changed))
        before.put(surfels, changed[: put[0]])
        return changed[: put[0]]

    def worse(*_: Any) -> bool:
        looks.append(put[0])
        return put[0] < 2 * enough + 2

    monkeypatch.setattr(covering, "STAGES", tuple((number + 1.0, 0.0) for number in range(4)))
    monkeypatch.setattr(covering, "put_back", back)
    monkeypatch.setattr(covering, "_visibly_worse", worse)
    monkeypatch.setattr(covering, "close_holes", lambda *given: given[3][:0])
    learnt = Former.of(surfels)
    assert cover_hidden(avatar, scene, views) == (enough < 4)
    found = Former.of(surfels)
    covered, changed = settled[0]
    covered.put(surfels, changed)
    learnt.put(surfels, changed[: 2 * enough + 2] if enough < 4 else changed)
    for name, value in surfels.parameters.items():
        assert torch.equal(value, found.parameters[name]), name
    assert not torch.equal(covered.parameters["offset"], learnt.parameters["offset"])
    assert len(looks) == len(set(looks)) <= 3


def test_a_run_is_not_lost_where_covering_fails(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    surfels, views = avatar.surfels, scene.views.of("train")
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    before = Former.of(surfels)

    def half_done(avatar: Any, scene: Any, views: Any, settled: torch.Tensor, room: int) -> torch.Tensor:
        add_spares(surfels, room)
        surfels.rebind(settled, surfels.triangle[settled].flip(0))
        surfels.parameters["opacity"].data[len(before.triangle) :] = 1.0
        raise MemoryError("CUDA out of memory.")

    monkeypatch.setattr(covering, "close_holes", half_done)
    assert not cover_hidden(avatar, scene, views)
    assert torch.equal(surfels.triangle, before.triangle)
    assert all(torch.equal(value, before.parameters[name]) for name, value in surfels.parameters.items())
    assert "stays as it was learnt: CUDA out of memory." in caplog.records[-1].message


def test_holes_that_stay_open_are_not_told_as_what_is_not_covered(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    views, answers = scene.views.of("train"), iter((False, True))
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    monkeypatch.setattr(covering, "put_back", lambda *given: given[2][:0])
    monkeypatch.setattr(covering, "BEHIND", covering.BEHIND[:1])
    monkeypatch.setattr(covering, "ANEW", ())
    monkeypatch.setattr(covering, "_visibly_worse", lambda *_: next(answers))
    monkeypatch.setattr(covering, "close_holes", lambda *given: given[3][:2])
    caplog.set_level("INFO", "surfhead")
    assert cover_hidden(avatar, scene, views)
    told = "Holes that cameras did not see stay: else training pictures got worse."
    assert [record.message for record in caplog.records] == [told]


def test_of_what_closes_holes_the_harmful_goes_back_to_its_host_and_the_rest_stays(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are brought before the best seen triangle in a wrong colour, others to one that nothing shows."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    surfels, raw, views = avatar.surfels, avatar.surfels.parameters, scene.views.of("train")
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    name = with_role(surfels.specs, BASE_COLOUR)
    assert name is not None
    weight = observe(avatar, scene, views, directions=False).weight
    seen = torch.zeros(int(surfels.triangle.max()) + 1).index_add(0, surfels.triangle, weight)
    best, dark = int(seen.argmax()), int(surfels.triangle[surfels.regions["hidden"][0]])
    inside = torch.zeros(len(surfels), dtype=torch.bool).index_fill_(0, surfels.regions["hidden"], True)
    idle = weight.masked_fill(inside, math.inf).argsort()[:12]
    harmful, harmless = idle[:6], idle[6:]
    former: list[Former] = []

    @torch.no_grad()
    def bring(*_: Any) -> torch.Tensor:
        former.append(Former.of(surfels))
        surfels.rebind(harmful, torch.full((6,), best))
        surfels.rebind(harmless, torch.full((6,), dark))
        raw["offset"][idle] = torch.tensor([0.0, 0.0, 0.5])
        raw["offset"][harmless, 2] = -0.5
        raw["log_scale"][idle], raw["opacity"][idle] = 0.0, 4.0
        raw["quaternion"][idle] = torch.tensor([1.0, 0.0, 0.0, 0.0])
        raw[name][harmful] += 6.0
        return idle

    monkeypatch.setattr(covering, "close_holes", bring)
    assert cover_hidden(avatar, scene, views)
    assert torch.equal(surfels.triangle[harmful], former[0].triangle[harmful])
    assert surfels.triangle[harmless].tolist() == [dark] * 6
    for key, value in raw.items():
        assert torch.equal(value.detach()[harmful], former[0].parameters[key][harmful]), key
    assert raw["opacity"].detach()[harmless].tolist() == [4.0] * 6


def test_of_what_is_added_the_harmful_goes_again_and_the_rest_stays(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second one stands before the best seen triangle in a wrong colour, the others on a dark one."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    surfels, views = avatar.surfels, scene.views.of("train")
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    count, name = len(surfels), with_role(surfels.specs, BASE_COLOUR)
    assert name is not None
    weight = observe(avatar, scene, views, directions=False).weight
    seen = torch.zeros(int(surfels.triangle.max()) + 1).index_add(0, surfels.triangle, weight)
    best, dark = int(seen.argmax()), int(surfels.triangle[surfels.regions["hidden"][0]])
    given: list[int] = []

    @torch.no_grad()
    def bring(*arguments: Any) -> torch.Tensor:
        given.append(arguments[4])
        added = add_spares(surfels, 12)
        raw = surfels.parameters
        surfels.rebind(added, torch.tensor([best, dark] * 6))
        raw["offset"][added] = torch.tensor([0.0, 0.0, 0.5])
        raw["offset"][added[1::2], 2] = -0.5
        raw["log_scale"][added] = 0.0
        raw["opacity"][added[:10]] = 4.0  # two are left over
        raw["quaternion"][added] = torch.tensor([1.0, 0.0, 0.0, 0.0])
        raw[name][added[::2]] += 6.0
        return added[:10]

    monkeypatch.setattr(covering, "close_holes", bring)
    assert cover_hidden(avatar, scene, views, count + 50)
    assert given == [50]
    assert surfels.triangle[count:].tolist() == [dark] * 5
    assert {len(value) for value in surfels.parameters.values()} == {count + 5}


@pytest.mark.parametrize("added", [0, 3])
def test_what_is_added_must_make_pictures_hardly_worse(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, added: int
) -> None:
    """Surfels that were there close holes unless pictures get worse where these are seen; others at all."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    views = scene.views.of("train")
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    limits: list[covering.Limit] = []

    def bring(*given: Any) -> torch.Tensor:
        return torch.cat((given[3][:2], add_spares(avatar.surfels, added)))

    monkeypatch.setattr(covering, "close_holes", bring)
    monkeypatch.setattr(covering, "_visibly_worse", lambda *given: limits.append(given[5]))
    assert cover_hidden(avatar, scene, views)
    assert limits == [covering.COVERED, covering.ADDED if added else covering.COVERED]
    assert covering.ADDED.rise < covering.COVERED.rise
    assert covering.ADDED.shown < covering.COVERED.shown


def test_what_closes_holes_is_put_back_one_by_one(trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rim the outermost alone harm; hidden surfels of a triangle stay or go together."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    views, count = scene.views.of("train"), len(avatar.surfels)
    every = torch.arange(count)
    apart = harms(avatar, scene, views[:4].tolist(), every, together=False)
    host = avatar.surfels.triangle
    total = torch.zeros(int(host.max()) + 1, 2).index_add(0, host, apart)
    torch.testing.assert_close(harms(avatar, scene, views[:4].tolist(), every), total[host])
    assert float((apart - total[host]).abs().max()) > 0.0
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    monkeypatch.setattr(covering, "close_holes", lambda *given: given[3][:2])
    asked: list[bool] = []
    worse = iter(
        (True, True, False) * 2
    )  # until harms have been looked at, of what covers and of what closes
    monkeypatch.setattr(covering, "_visibly_worse", lambda *_: next(worse))

    def noted(*given: Any) -> torch.Tensor:
        asked.append(given[4])
        return harms(*given)

    monkeypatch.setattr(covering, "harms", noted)
    monkeypatch.setattr(covering, "put_back", lambda *given: given[2][: len(asked)])
    monkeypatch.setattr(covering, "STAGES", covering.STAGES[:1] * 3)
    cover_hidden(avatar, scene, views)
    assert asked == [True, False]


def test_a_single_surfel_that_no_picture_shows_covers_its_triangle(trained_run: Path) -> None:
    """However small the many are that stand where pictures look: their area in one would be a lattice."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    surfels = avatar.surfels
    look_at_data(avatar, scene, scene.views.of("train"), colours=False, hidden=True)
    surfels.regions.pop("rare")
    hidden = surfels.regions["hidden"]
    counts = torch.bincount(surfels.triangle)
    single = hidden[counts[surfels.triangle[hidden]] == 1]
    assert len(single) > 100
    with torch.no_grad():
        surfels.parameters["log_scale"] -= 2.0
    assert float(covering.covering(surfels)[surfels.triangle[single]].max()) < 0.5
    covering.settle_hidden(avatar)
    assert float(covering.covering(surfels)[surfels.triangle[single]].min()) > 1.5


def test_what_pictures_do_not_show_closes_holes_though_all_else_must_go(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little of a picture the others make up, as the pictures are much worse until they are gone."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    views, surfels = scene.views.of("train"), avatar.surfels
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    brought = surfels.regions["hidden"][:40]
    monkeypatch.setattr(covering, "settle_hidden", lambda _: brought)
    monkeypatch.setattr(covering, "STAGES", ((math.inf, 0.0),))

    def bring(*_: Any) -> torch.Tensor:
        with torch.no_grad():
            surfels.parameters["offset"][brought] += 0.1
        return brought

    def found(*_: Any) -> torch.Tensor:
        seen = torch.full((len(brought), 2), 5e-5)
        seen[::2] = 0.0
        return seen

    def worse(*_: Any) -> bool:
        changed = (surfels.parameters["offset"] != before["offset"])[brought].any(dim=1)
        return bool(changed[1::2].any())

    before = {name: value.detach().clone() for name, value in surfels.parameters.items()}
    monkeypatch.setattr(covering, "close_holes", bring)
    monkeypatch.setattr(covering, "harms", found)
    monkeypatch.setattr(covering, "_visibly_worse", worse)
    assert cover_hidden(avatar, scene, views)
    changed = (surfels.parameters["offset"] != before["offset"])[brought].any(dim=1)
    assert changed[::2].all()
    assert not changed[1::2].any()


def test_what_hides_a_harmful_surfel_is_looked_at_anew_once_that_is_gone(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what closes holes harms at once, a quarter as soon as that half is gone, and the rest stays."""
    avatar, scene = load_avatar(trained_run, device="cpu"), open_scene(read_config(trained_run)).scene
    views, surfels = scene.views.of("train"), avatar.surfels
    look_at_data(avatar, scene, views, colours=False, hidden=True)
    brought = surfels.regions["hidden"][:40]
    monkeypatch.setattr(covering, "settle_hidden", lambda _: brought)
    monkeypatch.setattr(covering, "STAGES", ((math.inf, 0.0),))

    def bring(*_: Any) -> torch.Tensor:
        with torch.no_grad():
            surfels.parameters["offset"][brought] += 0.1
        return brought

    def changed() -> torch.Tensor:
        return (surfels.parameters["offset"] != before["offset"])[brought].any(dim=1)

    def found(*given: Any) -> torch.Tensor:
        place = torch.searchsorted(brought, given[3])
        first = bool(changed()[1::2].any())
        harmful = place % 2 == 1 if first else place % 4 == 2
        return torch.stack((torch.where(harmful, 1.0, -1.0), torch.ones(len(place))), dim=1)

    before = {name: value.detach().clone() for name, value in surfels.parameters.items()}
    monkeypatch.setattr(covering, "close_holes", bring)
    monkeypatch.setattr(covering, "harms", found)
    monkeypatch.setattr(
        covering, "_visibly_worse", lambda *_: bool(changed()[1::2].any() | changed()[2::4].any())
    )
    assert cover_hidden(avatar, scene, views)
    assert changed().tolist() == [number % 4 == 0 for number in range(40)]
