"""The bare mesh with a colour a triangle, measured by the same door as an avatar."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from surfhead.core.scene import Frame, Scene, Views
from surfhead.data.feed import cameras_of
from surfhead.measuring.baseline import TriangleBaseline, evaluate_baseline
from surfhead.measuring.evaluation import evaluate
from surfhead.meshes.meshcaster import MeshCaster
from tests.runs.tiny_run import tiny_avatar

SIZE = 40
PALETTE = np.arange(8, dtype=np.uint8)[:, None] * np.array([30, 20, 10], dtype=np.uint8) + 20


class PaintedOctahedron(Scene):
    """The octahedron of ``tiny_avatar`` with a colour a triangle, moving sideways; the last view is val."""

    def __init__(self) -> None:
        pose = np.eye(4)
        pose[:3, :3] = np.array([[0.8, 0.0, 0.6], [-0.36, 0.8, 0.48], [-0.48, -0.6, 0.64]])
        pose[2, 3] = 0.5
        views = Views(
            camera_from_world=np.tile(pose, (3, 1, 1)),
            intrinsics=np.tile([[60.0, 0, SIZE / 2], [0, 60.0, SIZE / 2], [0, 0, 1]], (3, 1, 1)),
            timestep=np.arange(3),
            camera=np.zeros(3, dtype=np.int64),
            split=np.array(["train", "train", "val"]),
            names=("a", "b", "c"),
            height=SIZE,
            width=SIZE,
        )
        shift = torch.tensor([[0.0, 0.0, 0.0], [0.05, 0.0, 0.0], [0.0, 0.05, 0.0]])
        super().__init__(views, rig="octahedron", rig_parameters={"translation": shift})

    def frame(self, view: int) -> Frame:
        mesh = tiny_avatar().rig({"translation": self.rig_parameters["translation"][view : view + 1]})
        caster = MeshCaster(mesh.vertices[0], mesh.topology.triangles)
        hits = caster.cast(cameras_of(self, [view], "cpu"))
        triangle = hits.triangle[0].numpy()
        image = np.where((triangle >= 0)[..., None], PALETTE[triangle], 255).astype(np.uint8)
        mask = (255 * (triangle >= 0)).astype(np.uint8)
        return Frame(image, mask, hits.normal[0].numpy(), hits.depth[0].numpy())


def test_a_scene_of_flat_triangles_is_met_exactly_where_the_data_put_the_mesh(tmp_path: Path) -> None:
    # the avatar's own motion stays at rest: the baseline follows the data's
    found = evaluate_baseline(
        TriangleBaseline(PaintedOctahedron(), tiny_avatar().rig), "val", folder=tmp_path
    )
    assert found.means["psnr"] > 60.0
    assert found.means["ncs"] == pytest.approx(1.0, abs=1e-5)
    assert found.means["depth_error_mm"] == pytest.approx(0.0, abs=1e-3)
    assert (tmp_path / "val.png").exists()
    assert "flat normals" in found.notes[-1]


def test_smooth_normals_differ_from_the_flat_triangles() -> None:
    found = evaluate_baseline(TriangleBaseline(PaintedOctahedron(), tiny_avatar().rig, smooth=True), "val")
    assert 5.0 < found.means["angular_error"] < 60.0


def test_an_avatar_is_measured_by_its_own_motion_or_by_another() -> None:
    avatar, scene = tiny_avatar(), PaintedOctahedron()
    own = evaluate(avatar, scene, "val")
    moved = evaluate(avatar, scene, "val", motion=scene.rig_parameters, batch_size=4)
    assert own.means.keys() == moved.means.keys() >= {"psnr", "foreground_psnr", "ncs", "angular_error"}
    assert moved.means["foreground_psnr"] > own.means["foreground_psnr"]
    assert moved.means["angular_error"] < own.means["angular_error"]
    assert moved.speed["surfels"] == 8


class HalfMasked(PaintedOctahedron):
    """Only the left half of a picture belongs to the head; what is right of it is white in the pictures."""

    def frame(self, view: int) -> Frame:
        whole = super().frame(view)
        assert whole.mask is not None
        image, mask = whole.image.copy(), whole.mask.copy()
        image[:, SIZE // 2 :], mask[:, SIZE // 2 :] = 255, 0
        return replace(whole, image=image, mask=mask)


def test_a_mesh_that_stands_beyond_the_mask_takes_no_colour_of_the_background() -> None:
    """Pixels outside count only where there is no mask; what no pixel inside met is told."""
    scene = HalfMasked()
    bare = TriangleBaseline(scene, tiny_avatar().rig)
    assert bare.coloured.any()
    painted = torch.from_numpy(PALETTE).float() / 255.0
    torch.testing.assert_close(bare.colours[bare.coloured], painted[bare.coloured], atol=1e-6, rtol=0)
    assert bool((bare.shown[~bare.coloured] > 0).any())
    scene.frame = lambda view: replace(HalfMasked.frame(scene, view), mask=None)  # type: ignore[method-assign]
    without = TriangleBaseline(scene, tiny_avatar().rig)
    assert bool((without.colours[without.coloured] > painted[without.coloured] + 0.1).any())
