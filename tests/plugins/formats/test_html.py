"""The web page as a file: what it holds, what it refuses to hold, and that it asks nobody for anything."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image

from surfhead.core.api import DataError, OptionError, create
from surfhead.drawing.colour_maps import table
from surfhead.drawing.pictures import to_bytes
from surfhead.drawing.scalars import SCALARS
from surfhead.maths import harmonics
from surfhead.plugins.formats.html.html import Html
from surfhead.plugins.formats.html.numbers import KINDS, Numbers
from surfhead.plugins.formats.html.poster import SIDE, first_camera
from surfhead.viewing.puppet import AT_RANDOM, STRENGTH


def page(avatar, folder, settings=None, **options):
    """The text of an exported page."""
    (file,) = Html(Html.Options(**options)).write(avatar, folder / "page.html", **(settings or {}))
    return file.read_text(encoding="utf-8")


def opened(text):
    """The page's description, and its arrays unpacked."""
    head = json.loads(re.search(r"^const head = (.*);$", text, re.MULTILINE)[1])
    packed = re.search(r'id="numbers">([^<]*)</script>', text)[1]
    data = gzip.decompress(base64.b64decode(packed))
    arrays = {}
    for entry in head["arrays"]:
        values = np.frombuffer(data, KINDS[entry["kind"]], entry["length"], entry["at"])
        if "rows" in entry:
            low, high = values.reshape(2, -1).astype(np.int64)
            folded = low + 256 * high
            change = np.where(folded % 2, -(folded + 1) // 2, folded // 2).reshape(entry["rows"], -1)
            values = change.cumsum(axis=0) % 65536
        if "scale" in entry:
            values = values.reshape(-1, len(entry["scale"])) * entry["scale"] + entry["offset"]
        arrays[entry["name"]] = values.reshape(-1)
    return head, arrays


def rig_numbers(arrays):
    return {name for name in arrays if name.startswith("rig/") and "motion" not in name}


def test_a_rig_that_may_not_be_shared_stays_out(flame_avatar, tmp_path):
    head, arrays = opened(page(flame_avatar, tmp_path))
    assert head["rig"] == {"kind": "baked"}
    assert rig_numbers(arrays) == {"rig/frames"}
    assert head["timesteps"] == flame_avatar.timesteps
    # nothing of the model itself: not its average head, not its vertices beyond those carrying surfels
    template = torch.from_numpy(flame_avatar.rig.model().template)
    rest = arrays["mesh/rest"].reshape(-1, 3)
    assert len(rest) < len(template)
    nearest = torch.cdist(torch.tensor(rest), template).amin(dim=1)
    assert float((nearest > 1e-5).float().mean()) > 0.8  # the teeth are no part of the model


def test_asking_for_such_a_rig_is_refused_without_the_right(flame_avatar, tmp_path):
    with pytest.raises(OptionError) as caught:
        page(flame_avatar, tmp_path, motion="rig")
    assert str(caught.value) == (
        'The licence of rig "flame" forbids passing its shapes and weights on.\n'
        "Baked motion holds none of them.\n"
        "Add --set motion=baked, or give --i-may-share-the-rig if you have that right."
    )
    assert not list(tmp_path.iterdir())
    head, arrays = opened(page(flame_avatar, tmp_path, motion="rig", i_may_share_the_rig=True))
    assert head["rig"]["kind"] == "linear"
    assert {"rig/shapes", "rig/weights", "rig/correctives"} <= rig_numbers(arrays)


def test_the_average_head_of_such_a_rig_is_refused_too(flame_avatar, tmp_path):
    for identity in ({}, {"shape": torch.zeros(300)}):
        average = make_like(flame_avatar, identity=identity)
        with pytest.raises(OptionError, match='has no shape of its own: at rest it is rig "flame"'):
            page(average, tmp_path)
    assert opened(page(average, tmp_path, i_may_share_the_rig=True))[0]["rig"]["kind"] == "linear"


def test_an_open_rig_is_embedded_or_baked(ict_avatar, tmp_path):
    head, arrays = opened(page(ict_avatar, tmp_path))
    assert head["rig"]["kind"] == "linear"
    assert tuple(head["rig"]["names"]) == ict_avatar.rig.expressions()
    assert np.array_equal(
        arrays["rig/motion/translation"].reshape(-1, 3), ict_avatar.motion["translation"].numpy()
    )
    head, arrays = opened(page(ict_avatar, tmp_path, motion="baked", every=2))
    assert (head["rig"]["kind"], head["timesteps"]) == ("baked", 2)
    frames, rest = arrays["rig/frames"].reshape(2, -1, 3), arrays["mesh/rest"].reshape(-1, 3)
    assert frames.shape[1:] == rest.shape
    mesh = ict_avatar.rig(ict_avatar.poses(torch.tensor([0, 2]))).vertices.numpy()
    kept = [
        int(np.abs(ict_avatar.rig.rest().vertices.numpy() - vertex).sum(axis=1).argmin()) for vertex in rest
    ]
    assert np.abs(frames - mesh[:, kept]).max() < 1e-5  # metres


def test_motion_that_the_linear_rig_does_not_explain_is_baked(flame_avatar, tmp_path):
    offset = torch.zeros(3, flame_avatar.rig.parameters()["dynamic_offset"].size)
    moved = make_like(flame_avatar, motion={**flame_avatar.motion, "dynamic_offset": offset})
    head, _ = opened(page(moved, tmp_path, i_may_share_the_rig=True))
    assert head["rig"]["kind"] == "linear"
    offset[1, 0] = 1e-3
    head, _ = opened(page(moved, tmp_path, i_may_share_the_rig=True))
    assert head["rig"]["kind"] == "baked"


def make_like(avatar, **changes):
    """The avatar with other attributes."""
    made = type(avatar).__new__(type(avatar))
    vars(made).update({**vars(avatar), **changes})
    return made


def test_stored_numbers_are_near_the_avatars(ict_avatar, tmp_path):
    head, arrays = opened(page(ict_avatar, tmp_path))
    raw = {name: value.detach() for name, value in ict_avatar.surfels.parameters.items()}
    assert head["surfels"]["count"] == len(ict_avatar.surfels)
    offset = arrays["surfel/offset"].reshape(-1, 3)
    assert np.abs(offset - raw["offset"].numpy()).max() < 2e-5 * np.ptp(raw["offset"].numpy())
    base = arrays["surfel/base"].reshape(-1, 4)
    assert np.abs(base[:, :3] - (harmonics.Y00 * raw["sh_dc"] + 0.5).numpy()).max() < 1e-4
    assert np.abs(base[:, 3] - torch.sigmoid(raw["opacity"]).numpy()).max() < 1e-4
    stored = (
        arrays["surfel/harmonics"].reshape(-1, 3, 16) * np.reshape(head["surfels"]["scale"], (3, 16)) / 127
    )
    largest = raw["sh_rest"].abs().amax(dim=0).mT.numpy()
    assert (np.abs(stored[:, :, :15] - raw["sh_rest"].mT.numpy()) <= largest / 250).all()
    weights = torch.sigmoid(raw["blend"])
    weights /= weights.sum(dim=1, keepdim=True)
    alone = torch.cat([ict_avatar.surfels.regions[name] for name in ("eyeballs", "boundary")]).unique()
    weights[alone] = torch.tensor([1.0, 0, 0, 0])
    assert len(alone) > 0
    assert np.abs(arrays["surfel/blend"].reshape(-1, 4) - weights.numpy()).max() < 1e-4


def test_surfels_that_are_never_seen_are_left_out(ict_avatar, tmp_path):
    opacity = ict_avatar.surfels.parameters["opacity"]
    before = opacity.detach().clone()
    try:
        with torch.no_grad():
            opacity[::2] = -9.0
        head, arrays = opened(page(ict_avatar, tmp_path))
    finally:
        with torch.no_grad():
            opacity.copy_(before)
    assert head["surfels"]["count"] == len(opacity) // 2
    hosts = ict_avatar.surfels.triangle[1::2]
    hidden = {**ict_avatar.surfels.parameters, "opacity": torch.full((len(opacity),), -9.0)}
    with pytest.raises(DataError, match="No surfel of the avatar can be seen."):
        page(make_like(ict_avatar, surfels=make_like(ict_avatar.surfels, parameters=hidden)), tmp_path)
    assert len(arrays["surfel/host"]) == len(hosts)
    # equal hosts stay equal under the new numbers
    assert len(set(zip(hosts.tolist(), arrays["surfel/host"].tolist(), strict=True))) == len(
        set(hosts.tolist())
    )


def test_the_page_names_no_other_place(ict_avatar, tmp_path):
    text = page(ict_avatar, tmp_path)
    for word in (
        "http:",
        "https:",
        "//cdn",
        "import(",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
        '<link rel="style',
    ):
        assert word not in text, word
    assert "default-src 'none'" in text
    assert not re.search(r"{{\w+}}", text)


def test_a_title_cannot_break_out(ict_avatar, tmp_path):
    text = page(ict_avatar, tmp_path, title="</script><b>&")
    assert "<title>&lt;/script&gt;&lt;b&gt;&amp;</title>" in text
    assert text.count("</script>") == 2
    assert opened(text)[0]["title"] == "</script><b>&"


def test_the_first_view_is_held_as_a_picture(ict_avatar, tmp_path):
    text = page(ict_avatar, tmp_path, yaw=30.0)
    packed = re.search(r'<img id="poster" alt="" src="data:image/webp;base64,([^"]*)">', text)[1]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(packed))).convert("RGB")).astype(float)
    head, _ = opened(text)
    ours = {}
    for yaw in (0.0, 30.0):
        camera = first_camera(head["home"], {**head["start"], "yaw": yaw}, SIDE)
        ours[yaw] = to_bytes(ict_avatar.render(camera, 0).output.rgb[0])
    errors = {yaw: np.square(shown - picture).mean() for yaw, picture in ours.items()}
    assert errors[30.0] < 100 < errors[0.0]  # but for the encoding
    assert "<img" not in page(ict_avatar, tmp_path, poster=False)


def test_it_knows_its_title_its_size_and_what_its_numbers_mean(ict_avatar, tmp_path):
    text = page(ict_avatar, tmp_path)
    head, arrays = opened(text)
    assert head["title"] == "page"  # the file's name
    assert abs(head["bytes"] - len(text.encode())) < 10
    assert head["scalars"]["stretch"] == asdict(SCALARS["stretch"])
    assert np.array_equal(arrays["map/viridis"], (255 * table("viridis")).round().reshape(-1).numpy())
    assert "surfel/observed" not in arrays
    known = torch.linspace(0, 1, len(ict_avatar.surfels))
    _, arrays = opened(page(make_like(ict_avatar, observed=known), tmp_path))
    assert np.abs(arrays["surfel/observed"] - known.numpy()).max() < 1e-4


def test_a_scene_without_a_rig(static_avatar, tmp_path):
    head, arrays = opened(page(static_avatar, tmp_path))
    assert (head["rig"], head["timesteps"]) == ({"kind": "none"}, 1)
    assert not [name for name in arrays if name.startswith(("mesh/", "rig/"))]


@pytest.mark.parametrize(
    ("kind", "part", "told"),
    [("deformer", "Deformer", "field_model"), ("appearance", "Appearance", "colour_model")],
)
def test_components_that_the_page_does_not_know(ict_avatar, tmp_path, kind, part, told):
    cls = type(getattr(ict_avatar, kind))
    other = type("Other", (cls,), {"name": "other", told: lambda self, binding: None})
    with pytest.raises(DataError, match=f'{part} "other" cannot be drawn by a web page.'):
        page(make_like(ict_avatar, **{kind: other()}), tmp_path)


def test_bad_options(ict_avatar, tmp_path):
    with pytest.raises(OptionError, match='Option "every"'):
        create("format", "html", {"every": 0})
    with pytest.raises(OptionError, match='Option "zoom" of format "html" is 9'):
        create("format", "html", {"zoom": 9.0})
    with pytest.raises(OptionError, match="motion"):
        create("format", "html", {"motion": "cooked"})
    with pytest.raises(OptionError, match='no setting "timestep"'):
        page(ict_avatar, tmp_path, settings={"timestep": 1})
    crooked = type("Crooked", (type(ict_avatar.rig),), {"linear_model": lambda self: None})
    bent = crooked(ict_avatar.rig.options)
    bent.prepare(ict_avatar.identity)
    with pytest.raises(OptionError, match="is not linear"):
        page(make_like(ict_avatar, rig=bent), tmp_path, motion="rig")
    assert opened(page(make_like(ict_avatar, rig=bent), tmp_path))[0]["rig"]["kind"] == "baked"


def test_numbers_of_nothing_and_of_one_value():
    numbers = Numbers()
    numbers.between("none", np.zeros((0, 3), np.float32))
    numbers.between("same", np.full((5, 2), 7.5, np.float32))
    numbers.about_zero("zero", np.zeros(4, np.float32))
    numbers.indices("wide", np.array([70_000]))
    none, same, zero, wide = numbers.entries
    assert (none["length"], same["offset"], zero["scale"], wide["kind"]) == (0, [7.5, 7.5], [1.0], "u4")
    assert replace(Html.Options(), every=2).every == 2


def test_the_first_view_is_drawn_by_the_fastest_rasterizer(ict_avatar, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the reference drew it")

    fastest = create("rasterizer", "auto", device="cpu")
    if fastest.name == ict_avatar.rasterizer.name:
        pytest.skip("nothing here draws faster than the reference")
    monkeypatch.setattr(type(ict_avatar.rasterizer), "__call__", refuse)
    assert '<img id="poster"' in page(ict_avatar, tmp_path)


def test_the_first_view_is_before_the_face_as_it_mostly_stands(ict_avatar, tmp_path):
    yaws = [1.2, 0.3, -0.1, 0.2, 0.1, -1.0]
    still = {name: torch.zeros(len(yaws), values.shape[1]) for name, values in ict_avatar.motion.items()}
    turned = {**still, "rotation": torch.tensor([[0.0, yaw, 0.0] for yaw in yaws])}

    def front(motion):
        head, _ = opened(page(make_like(ict_avatar, motion=motion), tmp_path, poster=False))
        return np.asarray(head["home"]["front"])

    def facing(yaw):
        return np.asarray([np.sin(yaw), 0.0, np.cos(yaw)])

    # the median of the yaws, 0.15, lies between two; the first of them has 0.2
    assert np.allclose(front(turned), facing(0.2), atol=1e-3)
    # one pose is stood before as it is
    assert np.allclose(front({name: rows[:1] for name, rows in turned.items()}), facing(1.2), atol=1e-3)
    # many are not all looked at, and the middle is found all the same
    many = {name: rows.new_zeros(3000, rows.shape[1]) for name, rows in still.items()}
    many["rotation"][:1000, 1] = 1.2
    assert np.allclose(front(many), facing(0.0), atol=1e-3)


def test_a_random_face_is_as_mild_as_the_viewers(ict_avatar, tmp_path):
    text = page(ict_avatar, tmp_path, poster=False)
    assert f"const AT_RANDOM = {AT_RANDOM};" in text
    assert f"const STRENGTH = {list(STRENGTH)};" in text
