"""The exported page in a real browser: its picture against the rasterizer's, its controls, its silence."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from surfhead.avatars.surfels import apply_field
from surfhead.drawing import pictures
from surfhead.drawing.channels import paint
from surfhead.maths.geometry import looks_inward
from surfhead.plugins.formats.html.html import Html
from tests.plugins.formats.conftest import make_avatar
from tests.plugins.formats.html_page import RANGE, SIDE, camera, decibels
from tests.plugins.formats.test_html import make_like

SPECIFIED = 35.0  # dB, what a page's picture must reach


@torch.no_grad()
def world_of(avatar, parameters):
    mesh = avatar.rig(parameters) if avatar.deformer.rig_bound else None
    binding = avatar.surfels.binding()
    return apply_field(avatar.deformer(mesh, binding), binding)


def test_the_page_is_silent_and_asks_for_nothing(head_page):
    assert head_page.said == []
    assert head_page.asked == [head_page.file.as_uri()]
    assert head_page.call("document.getElementById('status')") is None


@pytest.mark.parametrize(
    "shot", [(0, 0.0, 0.0, 0.8), (1, 0.7, 0.2, 0.7), (2, -1.3, -0.2, 0.9), (3, 2.6, 0.1, 0.5)]
)
def test_its_picture_is_the_rasterizers(head_page, head, shot):
    timestep, *place = shot
    head_page.call("(step) => surfhead.setPose(step)", timestep)
    head_page.look(camera(*place))
    names = ["rgb", "normal", "depth", "alpha"]
    drawn = paint(head, camera(*place), timestep, names, depth_range=RANGE)
    assert (pictures.to_bytes(drawn["rgb"]) < 200).mean() > 0.1, "the picture shows nothing"
    for channel, name in (("colour", "rgb"), ("normal", "normal"), ("depth", "depth"), ("alpha", "alpha")):
        found = decibels(head_page.picture(channel), pictures.to_bytes(drawn[name]))
        assert found > SPECIFIED, f"{channel}: {found:.1f} dB"
        assert found > 50, f"{channel}: {found:.1f} dB"  # what it reaches on every machine tried


def test_expressions_of_ones_own(head_page, head):
    names = head.rig.linear_model().names
    smile = torch.zeros(1, len(names))
    for name in ("smile_left", "mouth_open", "blink_right", "brow_raise_left"):
        smile[0, names.index(name)] = 0.8
    pose = {
        "expression": smile,
        "jaw": torch.tensor([[0.2, 0, 0.05]]),
        "neck": torch.tensor([[0.1, 0.3, -0.1]]),
    }
    head_page.look(camera(0.3))
    head_page.call(
        "(pose) => surfhead.setPose(pose)", {name: value[0].tolist() for name, value in pose.items()}
    )
    ours = pictures.to_bytes(head.render(camera(0.3), pose).output.rgb[0])
    assert decibels(head_page.picture(), ours) > 50
    still = pictures.to_bytes(head.render(camera(0.3), {}).output.rgb[0])
    assert decibels(still, ours) < 35, "the expression is not seen"


def test_a_slider_moves_the_face(head_page):
    head_page.look(camera())
    head_page.call("surfhead.setPose({})")
    before = head_page.picture()
    head_page.slide("Smile left", 1)
    head_page.look(camera())
    after = head_page.picture()
    assert (np.abs(after.astype(int) - before).max(axis=2) > 8).sum() > 30
    head_page.tab.click("#rest")
    head_page.look(camera())
    assert np.array_equal(head_page.picture(), before)


def test_the_jaws_slider_moves_the_mouth_region_only(head_page, head):
    model = head.rig.linear_model()
    follows = model.weights[:, model.joint_names.index("jaw")] > 1e-4
    view = camera()
    head_page.look(view)
    head_page.call("surfhead.setPose({})")
    before = head_page.picture()
    head_page.slide("Jaw pitch", 0.4)
    head_page.look(view)
    changed = np.abs(head_page.picture().astype(int) - before).max(axis=2) > 8
    rows, columns = changed.nonzero()
    assert len(rows) > 100, "nothing moved"
    moved = torch.cat(
        [model.pose({"jaw": torch.tensor([[angle, 0, 0]])})[0][follows] for angle in (0.0, 0.4)]
    )
    seen = (
        view.intrinsics[0]
        @ (moved @ view.camera_from_world[0, :3, :3].mT + view.camera_from_world[0, :3, 3]).mT
    )
    x, y = seen[0] / seen[2], seen[1] / seen[2]
    margin = 4  # pixels: a surfel reaches beyond its triangle
    assert columns.min() > float(x.min()) - margin
    assert columns.max() < float(x.max()) + margin
    assert rows.min() > float(y.min()) - margin
    eyes = head.rig.rest().vertices[
        head.rig.rest().topology.triangles[head.rig.rest().topology.regions["eyeballs"]]
    ]
    eyes = eyes.reshape(-1, 3) @ view.camera_from_world[0, :3, :3].mT + view.camera_from_world[0, :3, 3]
    lowest_eye = float((view.intrinsics[0, 1, 1] * eyes[:, 1] / eyes[:, 2] + view.intrinsics[0, 1, 2]).max())
    assert rows.min() > lowest_eye, "something above the mouth moved"


def test_more_sliders_on_demand(head_page):
    last = head_page.avatar.rig.linear_model().names[-1].replace("_", " ").capitalize()
    if head_page.tab.locator("#more").count():
        assert not head_page.tab.get_by_label(last, exact=True).is_visible()
        head_page.tab.click("#more")
    assert head_page.tab.get_by_label(last, exact=True).is_visible()


def test_the_timeline_plays(head_page):
    head_page.call("surfhead.setPose(0)")
    first = head_page.picture()
    head_page.call("surfhead.play(0.5)")
    seen, limit = set(), time.monotonic() + 300
    while len(seen) < 3 and time.monotonic() < limit:
        seen.add(head_page.call("surfhead.state.timestep"))
    assert len(seen) >= 3, "it does not play"
    head_page.tab.click("#play")  # it pauses
    head_page.call("surfhead.state.timestep || surfhead.setPose(2)")  # another than the first
    step = head_page.call("surfhead.state.timestep")
    assert head_page.tab.locator("#play").get_attribute("aria-label") == "Play (space)"
    assert head_page.tab.locator("#time").input_value() == str(step)
    assert decibels(head_page.picture(), first) < 45, "nothing moved"
    assert head_page.call("surfhead.state.timestep") == step
    head_page.tab.locator("#time").fill("1")
    assert head_page.call("surfhead.state.timestep") == 1


def test_the_mouse_turns_the_camera_and_two_clicks_bring_it_back(head_page):
    tab, canvas = head_page.tab, head_page.tab.locator("#canvas")
    head_page.call("surfhead.setPose({})")

    def shown():
        tab.wait_for_timeout(500)  # until it stands still
        return np.array(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB"))

    head_page.picture("colour")
    canvas.dblclick()
    before = shown()
    tab.mouse.move(150, 200)
    tab.mouse.down()
    tab.mouse.move(240, 200, steps=3)
    tab.mouse.up()
    turned = shown()
    assert decibels(turned, before) < 30
    canvas.hover()
    tab.mouse.wheel(0, 600)
    assert decibels(shown(), turned) < 30
    canvas.dblclick()
    assert decibels(shown(), before) > 50


DEFORMERS = {
    "static": ("none", "static", None),
    "similarity": ("ict", "similarity", None),
    "jacobian": ("ict", "jacobian", None),
    "lbs": ("ict", "lbs", None),
    "jbs": ("ict", "jbs", None),
    "jbs, paper": ("ict", "jbs", {"rotation_blend": "paper"}),
}


@pytest.mark.parametrize("case", DEFORMERS)
def test_every_deformer_carries_surfels_as_here(opened, tmp_path, case):
    rig, deformer, options = DEFORMERS[case]
    avatar = make_avatar(
        rig, deformer, "sh", None if rig == "none" else tmp_path, 80, deformer_options=options
    )
    page = opened(avatar)
    for timestep in range(max(avatar.timesteps, 1)):
        page.call("(step) => surfhead.setPose(step)", timestep)
        world, found = world_of(avatar, avatar.poses(torch.tensor([timestep]))), page.surfels()
        assert np.abs(found[:, 0, :3] - world.mean[0].numpy()).max() < 5e-6  # metres
        tangents = world.tangents[0].detach().numpy().copy()
        if avatar.deformer.rig_bound:  # there they show their outer side
            tangents[looks_inward(avatar.surfels.parameters["quaternion"]).numpy(), :, 1] *= -1.0
        largest = np.abs(tangents).max()
        assert np.abs(found[:, 1:, :3] - tangents.swapaxes(1, 2)).max() < 2e-4 * largest
    assert page.said == []


def test_a_triangle_that_collapses_does_no_harm(opened, tmp_path):
    avatar = make_avatar("ict", "jbs", "sh", tmp_path, 80)
    corners = avatar.rig.rest().topology.triangles[avatar.surfels.triangle[:5]]

    class Collapsing(type(avatar.rig)):
        def __call__(self, parameters):
            mesh = super().__call__(parameters)
            mesh.vertices[:, corners[:, 1]] = mesh.vertices[:, corners[:, 0]]
            return mesh

    rig = Collapsing(avatar.rig.options)
    rig.prepare(avatar.identity)
    broken = make_like(avatar, rig=rig)
    page = opened(broken, motion="baked")
    page.call("surfhead.setPose(1)")
    found, world = page.surfels(), world_of(broken, broken.poses(torch.tensor([1])))
    assert np.isfinite(found).all()
    assert np.abs(found[:5, 0, :3] - world.mean[0, :5].numpy()).max() < 5e-5


@pytest.mark.parametrize(
    ("name", "options"),
    [("sg", {}), ("asg", {"frame": "world"}), ("lasg", {}), ("lasg", {"region": "eyeballs"})],
)
def test_highlights_shine_as_here(opened, tmp_path, name, options):
    options = {"region": "all", **options}
    avatar = make_avatar("ict", "jbs", name, tmp_path, 120, appearance_options=options)
    with torch.no_grad():
        for value in avatar.appearance.network().parameters():
            value += 0.15 * torch.randn(value.shape, generator=torch.Generator().manual_seed(3))
    page, view = opened(avatar), camera()
    page.call("surfhead.setPose(1)")
    page.look(view)
    shown = avatar.render(view, 1, parts=True)
    found = decibels(page.picture(), pictures.to_bytes(shown.output.rgb[0]))
    assert found > 45
    empty = (1 - shown.output.alpha[0])[..., None] * avatar.background
    dull = pictures.to_bytes(shown.parts["diffuse"][0] + empty)
    assert decibels(page.picture(), dull) < found - 8, "the highlight is not seen"


def test_a_rig_with_pose_correctives(opened, flame_avatar):
    page = opened(flame_avatar, motion="rig", i_may_share_the_rig=True)
    for timestep in (0, 2):
        page.call("(step) => surfhead.setPose(step)", timestep)
        world = world_of(flame_avatar, flame_avatar.poses(torch.tensor([timestep])))
        assert np.abs(page.surfels()[:, 0, :3] - world.mean[0].numpy()).max() < 1e-5


def test_a_baked_page_plays_without_the_rig(opened, flame_avatar):
    page, view = opened(flame_avatar), camera()
    assert page.tab.locator(".rig").count() == 0
    page.look(view)
    for timestep in (0, 2):
        page.call("(step) => surfhead.setPose(step)", timestep)
        ours = pictures.to_bytes(flame_avatar.render(view, timestep).output.rgb[0])
        assert decibels(page.picture(), ours) > SPECIFIED
    assert page.said == []


NO_FLOAT_BLEND = """
const found = WebGL2RenderingContext.prototype.getExtension;
WebGL2RenderingContext.prototype.getExtension = function (name) {
  return name === "EXT_float_blend" ? null : found.call(this, name);
};
"""


def test_half_floats_do_where_a_browser_cannot_blend_floats(opened, ict_avatar):
    page, view = opened(ict_avatar, script=NO_FLOAT_BLEND), camera()
    page.call("surfhead.setPose(1)")
    page.look(view)
    drawn = paint(ict_avatar, view, 1, ["rgb", "depth"], depth_range=RANGE)
    for channel, name in (("colour", "rgb"), ("depth", "depth")):
        assert decibels(page.picture(channel), pictures.to_bytes(drawn[name])) > 45
    assert page.said == []


def test_a_script_can_read_the_pixels(opened, ict_avatar):
    page = opened(ict_avatar)
    page.look(camera())
    page.call("surfhead.setBackground([1, 0, 0])")
    shown = page.picture()
    pixels = page.call(
        "(() => { const p = surfhead.pixels(); return [p.width, p.height, Array.from(p.data)]; })()"
    )
    assert (pixels[0], pixels[1]) == (SIDE + 30, SIDE)
    assert np.array_equal(np.array(pixels[2], np.uint8).reshape(SIDE, SIDE + 30, 4)[:, :, :3], shown)
    assert (shown[0, 0] == [255, 0, 0]).all()


def test_a_browser_without_webgl_is_told_so(browser, ict_avatar, tmp_path):
    (file,) = Html().write(ict_avatar, tmp_path / "page.html")
    tab = browser.new_page()
    tab.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    tab.goto(file.as_uri())
    tab.get_by_text("The avatar cannot be shown: This browser has no WebGL 2.").wait_for()
    tab.close()
