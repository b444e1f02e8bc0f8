"""Tests of the built-in data: what the pictures show, the splits, and the cache."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from surfhead.core.api import Cameras, OptionError, Scene, UnknownNameError, create
from surfhead.core.named_light import named_light
from surfhead.data.feed import cameras_of
from surfhead.meshes.meshcaster import MeshCaster
from surfhead.plugins.datasets.synthetic.cameras import held_out_camera, train_cameras
from surfhead.plugins.datasets.synthetic.motion import TRAIN_STRENGTH, motion
from surfhead.plugins.datasets.synthetic.renderer import VERSION, Renderer
from surfhead.plugins.datasets.synthetic.store import FrameStore, cache_key
from surfhead.plugins.datasets.synthetic.synthetic import Synthetic, SyntheticScene

SIZE = 64


def options(cache: Path, **changes: object) -> Synthetic.Options:
    """A small set: 10 views of 64 x 64."""
    small = Synthetic.Options(
        height=SIZE,
        width=SIZE,
        timesteps=2,
        views_per_timestep=3,
        test_timesteps=1,
        test_cameras=2,
        detail=2,
        texels=6,
        cache=str(cache),
    )
    return dataclasses.replace(small, **changes)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SyntheticScene:
    return Synthetic(options(tmp_path_factory.mktemp("frames"))).open(None, lambda done, count: None)


def bare_mesh(scene: Scene, view: int) -> tuple[MeshCaster, Cameras]:
    """The rig's own triangles in the pose of a view, and its camera."""
    rig = create("rig", scene.rig, scene.rig_options)
    rig.prepare(scene.identity)
    timestep = int(scene.views.timestep[view])
    row = {name: values[timestep : timestep + 1] for name, values in scene.rig_parameters.items()}
    vertices = rig(row).vertices[0]
    return MeshCaster(vertices, rig.rest().topology.triangles), cameras_of(scene, [view], "cpu")


def test_the_splits_hold_out_a_camera_and_a_motion(scene):
    views = scene.views
    assert (len(views.of("train")), len(views.of("val")), len(views.of("test"))) == (6, 2, 2)
    held = held_out_camera(16)
    assert 0 < held < 15
    assert set(views.camera[views.of("val")]) == {held}
    assert held not in views.camera[views.of("train")]
    assert set(views.timestep[views.of("val")]) == set(views.timestep[views.of("train")])
    assert not set(views.timestep[views.of("test")]) & set(views.timestep[views.of("train")])


def test_by_default_every_other_camera_trains_about_equally_often():
    defaults = Synthetic.Options()
    seen = np.concatenate(
        [train_cameras(t, 16, defaults.views_per_timestep) for t in range(defaults.timesteps)]
    )
    counts = np.bincount(seen, minlength=16)
    assert counts[held_out_camera(16)] == 0
    others = np.delete(counts, held_out_camera(16))
    assert others.min() > 0.5 * others.mean()
    assert counts.sum() == 400


def test_every_held_out_expression_is_stronger_than_any_in_training():
    parameters = create("rig", "procedural").parameters()
    curves = motion(parameters, 40, 12, 0)
    assert set(curves) == set(parameters)
    train, test = curves["expression"][:40].amax(dim=0), curves["expression"][40:].amax(dim=0)
    assert float(train.max()) <= TRAIN_STRENGTH
    assert bool((train > 0.3).all())
    assert float(test[test > 0.5].min()) > float(train.max()) + 0.1
    assert int((test > 0.5).sum()) >= 8
    assert float(curves["jaw"][40:, 0].max()) > float(curves["jaw"][:40, 0].max())
    for values in curves.values():
        assert bool((values[0] == 0).all())


def test_the_head_fills_a_third_of_every_picture(scene):
    for view in range(len(scene.views)):
        assert (scene.frame(view).mask >= 128).mean() > 0.35


def test_masks_normals_and_depth_agree(scene):
    for view in range(len(scene.views)):
        frame = scene.frame(view)
        solid = frame.mask >= 128
        assert np.array_equal(frame.depth > 0, solid)
        length = np.linalg.norm(frame.normal, axis=-1)
        assert np.allclose(length[solid], 1.0, atol=2e-3)
        assert not length[~solid].any()
        assert (frame.image[frame.mask == 0] == 255).all()
        # Seen surfaces face the camera.
        fx, cx, cy = (scene.views.intrinsics[view][i, j] for i, j in ((0, 0), (0, 2), (1, 2)))
        row, column = np.mgrid[0:SIZE, 0:SIZE] + 0.5
        ray = np.stack([(column - cx) / fx, (row - cy) / fx, np.ones_like(row)], axis=-1)
        facing = (frame.normal * ray).sum(axis=-1)[solid]
        assert (facing < 0.1).mean() > 0.98


def test_depth_and_normals_are_those_of_the_rig_but_for_the_relief(scene):
    for view in (0, len(scene.views) - 1):
        frame = scene.frame(view)
        caster, camera = bare_mesh(scene, view)
        hits = caster.cast(camera)
        both = (hits.mask[0] & torch.from_numpy(frame.depth > 0)).numpy()
        apart = np.abs(hits.depth[0].numpy() - frame.depth)[both]
        assert np.median(apart) < 0.002
        assert np.median(apart) > 5e-5
        cosine = (hits.normal[0].numpy() * frame.normal).sum(axis=-1)[both]
        assert 0.95 < np.median(cosine) < 0.9999
        # Hair stands out of the bare mesh's outline by a few pixels at most.
        assert (~hits.mask[0].numpy())[frame.mask >= 250].mean() < 0.04


@pytest.fixture(scope="module")
def drawer() -> Renderer:
    rig = create("rig", "procedural")
    rest = rig.prepare({})
    return Renderer(rest, rest, 0, 3, 6, 2, (1.0, 1.0, 1.0))


def front_camera(size: int, centre: tuple[float, float, float], wide: float) -> Cameras:
    """A camera a metre before a point, seeing ``wide`` metres."""
    x, y, z = centre
    pose = torch.tensor([[[1.0, 0, 0, -x], [0, -1, 0, y], [0, 0, -1, z + 1], [0, 0, 0, 1]]])
    focal = size / wide
    return Cameras(pose, torch.tensor([[[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]]), size, size)


def test_texture_and_relief_are_finer_than_the_triangles(drawer, monkeypatch):
    rest = create("rig", "procedural").prepare({})
    face = rest.topology.regions["face"]
    spread = drawer.colours[face].float().std(dim=1).mean(dim=1)
    assert float((spread > 2.0).float().mean()) > 0.7
    # Against the same rounded mesh without relief, whose normals differ by the relief alone.
    fine = drawer.relief(rest.vertices)
    monkeypatch.setattr(drawer.relief, "_height", torch.zeros_like(drawer.relief._height))
    smooth = drawer.relief(rest.vertices)
    bend = (fine.normals * smooth.normals).sum(dim=1).clamp(-1, 1).arccos().rad2deg()
    assert float(bend.quantile(0.5)) > 2.0
    assert float((fine.vertices - smooth.vertices).norm(dim=1).max()) < 0.006


def test_the_highlight_is_on_the_eyes_and_moves_with_the_camera(drawer, monkeypatch):
    rest = create("rig", "procedural").prepare({})
    pose = drawer.pose(rest.vertices)
    eyeballs = rest.topology.regions["eyeballs"]
    found = []
    for shift in (0.0, 0.25):
        camera = front_camera(160, (0.0, 0.0, 0.08), 0.11)
        turn = torch.tensor(
            [[np.cos(shift), 0, np.sin(shift)], [0, 1, 0], [-np.sin(shift), 0, np.cos(shift)]]
        ).float()
        moved = camera.camera_from_world.clone()
        moved[0, :3, :3] = camera.camera_from_world[0, :3, :3] @ turn
        camera = dataclasses.replace(camera, camera_from_world=moved)
        monkeypatch.setattr(drawer, "shiny", eyeballs)
        shining = drawer.draw(pose, camera)[0].image.astype(int)
        monkeypatch.setattr(drawer, "shiny", torch.zeros_like(eyeballs))
        dull = drawer.draw(pose, camera)[0].image.astype(int)
        glint = (shining - dull).sum(axis=-1)
        assert glint.max() > 150
        assert 2 <= (glint > 60).sum() < 0.01 * glint.size
        hits = pose.caster.cast(camera)
        host = hits.triangle[0] // drawer.relief.size**2
        on_eyes = (eyeballs[host.clamp(min=0)] & hits.mask[0]).numpy()
        bright = glint > 60
        assert on_eyes[bright].mean() > 0.9
        points = hits.interpolate(drawer.relief.triangles, drawer.relief(rest.vertices).vertices)[0].numpy()
        left = bright & (points[..., 0] > 0.02) & on_eyes
        found.append(points[left].mean(axis=0))
    assert np.linalg.norm(found[0] - found[1]) > 5e-4


def surfaces(count: int = 500) -> tuple[torch.Tensor, ...]:
    """Albedo, normals, open sky, directions and gloss of some points."""
    random = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(2, count, 3, generator=random), dim=-1)
    albedo, open_sky = torch.rand(count, 3, generator=random), torch.rand(count, generator=random)
    return albedo, vectors[0], open_sky, vectors[1], torch.rand(count, generator=random) > 0.5


def test_the_studio_is_the_light_it_always_was(drawer):
    albedo, normal, open_sky, seen, shiny = surfaces()
    key = torch.nn.functional.normalize(torch.tensor((0.42, 0.55, 0.72)), dim=0)
    facing = ((normal @ key + 0.25) / 1.25).clamp(min=0)
    sky = 0.58 + (0.86 - 0.58) * (0.5 + 0.5 * normal[:, 1])
    light = sky * (0.42 + 0.58 * open_sky) + 0.34 * facing * (0.4 + 0.6 * open_sky)
    mirrored = seen - 2.0 * (seen * normal).sum(dim=1, keepdim=True) * normal
    glint = 0.9 * torch.exp(420.0 * ((mirrored @ key) - 1.0)) * shiny * open_sky
    exact = (albedo * light[:, None] + glint[:, None]).clamp(0, 1)
    assert torch.equal(drawer._shade(albedo, normal, open_sky, seen, shiny), exact)


def test_other_lamps_colour_the_sides_they_are_on(drawer, monkeypatch):
    albedo, normal, _, seen, shiny = surfaces()
    there = torch.ones(len(albedo))
    for name in ("window", "noon", "sunset", "stage"):
        monkeypatch.setattr(drawer, "light", named_light(name))
        drawn = drawer._shade(0.5 * torch.ones_like(albedo), normal, there, seen, torch.zeros_like(shiny))
        assert torch.allclose(drawn, (0.5 * named_light(name).shading(normal)).clamp(0, 1), atol=1e-6)
    monkeypatch.setattr(drawer, "light", named_light("even"))
    assert torch.equal(drawer._shade(albedo, normal, 0.1 * there, seen, shiny), albedo)


def test_another_light_is_kept_apart_and_the_studio_where_it_was(tmp_path):
    def folder(light: str) -> Path:
        return SyntheticScene(options(tmp_path, timesteps=1, light=light)).folder

    assert folder("studio") != folder("noon")
    table = dataclasses.asdict(options(tmp_path, timesteps=1)) | {"version": VERSION}
    table = {name: value for name, value in table.items() if name not in ("cache", "light", "strength")}
    fingerprint = create("rig", "procedural").fingerprint()
    assert folder("studio") == tmp_path / cache_key(table | {"fingerprint": fingerprint})


def test_strength_stretches_the_face_and_leaves_poses_alone(tmp_path):
    parameters = SyntheticScene(options(tmp_path, timesteps=1))._posable.parameters()
    plain, strong = (motion(parameters, 20, 6, 0, strength) for strength in (1.0, 2.0))
    for name, values in plain.items():
        factor = 2 if name in ("expression", "jaw") else 1
        assert torch.equal(strong[name], factor * values)
    assert float(strong["expression"][20:].max()) > 1.8
    folders = {SyntheticScene(options(tmp_path, timesteps=1, strength=s)).folder for s in (1, 1.0, 2.0, 1.5)}
    assert len(folders) == 3


def test_an_unknown_light_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="studio"):
        options(tmp_path, light="candle")


def test_a_frame_is_the_same_each_time_it_is_made(scene, tmp_path):
    again = Synthetic(options(tmp_path, timesteps=2)).open(None, lambda done, count: None)
    for view in (0, 7):
        first, second = scene.frame(view), again.frame(view)
        for field in ("image", "mask", "normal", "depth"):
            assert np.array_equal(getattr(first, field), getattr(second, field)), field


def test_the_cache_is_used_and_a_damaged_file_is_made_anew(tmp_path, monkeypatch):
    small = options(
        tmp_path, timesteps=1, views_per_timestep=1, test_cameras=1, height=24, width=24, texels=2
    )
    calls: list[tuple[int, int]] = []
    first = Synthetic(small).open(None, lambda done, count: calls.append((done, count)))
    assert calls[0] == (0, 3)
    assert calls[-1] == (3, 3)
    files = sorted(first.folder.iterdir())
    assert [file.suffix for file in files] == [".npz"] * 3
    truth = first.frame(1)

    def forbidden(*_: object) -> None:
        raise AssertionError("a cached frame was drawn again")

    with monkeypatch.context() as patch:
        patch.setattr(SyntheticScene, "_make_timestep", forbidden)
        again = Synthetic(small).open(None, lambda done, count: pytest.fail("nothing is to be drawn"))
        assert np.array_equal(again.frame(1).image, truth.image)
    path = first.folder / f"{first.views.names[1]}.npz"
    whole = path.read_bytes()
    for broken in (whole[:100], b"", whole[:-40] + bytes(40), whole[:300] + bytes(50) + whole[350:]):
        path.write_bytes(broken)
        assert np.array_equal(first.frame(1).depth, truth.depth)
        assert path.read_bytes() == whole
    path.unlink()
    assert np.array_equal(Synthetic(small).open(None, lambda done, count: None).frame(1).image, truth.image)


def test_another_seed_or_identity_is_another_data_set(scene, tmp_path):
    other = SyntheticScene(options(tmp_path, seed=1))
    assert other.folder.name != scene.folder.name
    assert not torch.equal(other.rig_parameters["expression"], scene.rig_parameters["expression"])
    wide = [0.0] * 10
    wide[0] = 1.5
    person = SyntheticScene(options(tmp_path, identity={"shape": wide}))
    assert person.folder.name != scene.folder.name
    assert torch.equal(person.identity["shape"], torch.tensor(wide))


def test_training_reads_no_true_normals(tmp_path):
    """A picture has no geometry, and does not look at it: a file whose normals are gone still has one."""
    made = Synthetic(options(tmp_path, timesteps=1, height=16, width=16, detail=1, texels=2)).open(None)
    whole, part = made.frame(0), made.picture(0)
    assert part.normal is None
    assert part.depth is None
    assert (part.image == whole.image).all()
    assert (part.mask == whole.mask).all()
    file = made.folder / f"{made.views.names[0]}.npz"
    with np.load(file) as kept:
        rest = {name: kept[name] for name in kept.files if name != "normal"}
    np.savez_compressed(file, **rest)
    assert (made.picture(0).image == whole.image).all()
    assert (made.frame(0).normal == whole.normal).all()  # drawn anew


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    written, unwritten = (
        Synthetic(options(place, timesteps=1, height=16, width=16, detail=1, texels=2)).open(None)
        for place in (tmp_path / "folder", tmp_path / "file")
    )
    assert (unwritten.frame(0).image == written.frame(0).image).all()
    assert (unwritten.frame(0).depth == written.frame(0).depth).all()
    assert caplog.text.count("cannot be kept") == 1


def test_that_a_cache_cannot_be_written_is_said_once_by_several_threads(tmp_path, scene):
    """The other thread comes to the same point while the first one is speaking."""
    (tmp_path / "file").write_text("not a folder")
    frame = scene.frame(0)
    store = FrameStore(tmp_path / "file", *frame.depth.shape)
    said = []

    class Interrupted(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())
            if len(said) == 1:
                store.write("other", frame)

    listener = Interrupted()
    logging.getLogger("surfhead").addHandler(listener)
    try:
        store.write("one", frame)
    finally:
        logging.getLogger("surfhead").removeHandler(listener)
    assert len(said) == 1
    assert store.missing(["one", "other", "third"]) == [2]


@pytest.mark.parametrize(
    "changes",
    [{"cameras": 1}, {"height": 0}, {"detail": 17}, {"seed": -1}, {"background": (1.0, 2.0, 0.0)}],
    ids=lambda changes: next(iter(changes)),
)
def test_options_out_of_range_are_refused(tmp_path, changes):
    with pytest.raises(OptionError, match=next(iter(changes))):
        Synthetic(options(tmp_path, **changes))


def test_it_draws_any_rig(tmp_path):
    from surfhead.core.registry import registry

    example = registry().get("rig", "ict").example(tmp_path)
    small = options(
        tmp_path / "frames",
        rig="ict",
        rig_options=dataclasses.asdict(example.options),
        timesteps=1,
        views_per_timestep=1,
        test_cameras=1,
        height=24,
        width=24,
    )
    scene = Synthetic(small).open(None, lambda done, count: None)
    for view in range(len(scene.views)):
        frame = scene.frame(view)
        assert (frame.mask >= 128).mean() > 0.1
        assert len(np.unique(frame.image[frame.mask >= 128], axis=0)) > 10
