"""When pictures may come from a graph, and what names one; the graphs themselves are tested on a GPU."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import pytest
import torch
from torch import nn

from surfhead.avatars.captured_drawing import KEPT, CapturedDrawing, _copied, _parameters
from surfhead.avatars.captured_work import tensors_in
from surfhead.avatars.rendering import Sight
from surfhead.core.types import Cameras
from tests.runs.tiny_run import tiny_avatar


def sight(height: int = 16, poses: int = 1, hidden: bool = False) -> Sight:
    cameras = Cameras(torch.eye(4)[None], torch.diag(torch.tensor([20.0, 20.0, 1.0]))[None], height, 12)
    cameras.camera_from_world[:, 2, 3] = 0.6
    scale = torch.ones(8) if hidden else None
    index = torch.zeros(1, dtype=torch.int64)
    return Sight(cameras, {"translation": torch.zeros(poses, 3)}, index, torch.ones(1, 3), scale)


def shape(drawing: CapturedDrawing, seen: Sight) -> Hashable:
    return drawing._shape(seen, tensors_in(seen))


def test_on_a_cpu_pictures_are_drawn_as_they_are() -> None:
    drawing = CapturedDrawing(tiny_avatar())
    for _ in range(4):
        drawing(sight())
    assert not drawing._works


def test_a_graph_is_named_by_all_that_the_host_decides() -> None:
    avatar = tiny_avatar()
    drawing = CapturedDrawing(avatar)
    near = replace(sight(), cameras=replace(sight().cameras, near=0.5))
    shapes = [shape(drawing, s) for s in (sight(), sight(20), sight(poses=2), sight(hidden=True), near)]
    assert len(set(shapes)) == 5
    assert shape(drawing, sight()) == shapes[0]

    states = [drawing._state()]
    assert drawing._state() == states[0]
    avatar.surfels.generation += 1
    states.append(drawing._state())
    avatar.rig.prepare({})  # another rest mesh
    states.append(drawing._state())
    avatar.appearance.stage = lambda: ("another",)  # type: ignore[method-assign]
    states.append(drawing._state())
    avatar.rasterizer = type(avatar.rasterizer)()
    states.append(drawing._state())
    with torch.no_grad():
        avatar.surfels.parameters["opacity"] = avatar.surfels.parameters["opacity"].clone()
    states.append(drawing._state())
    assert all(a != b for i, a in enumerate(states) for b in states[:i])


def test_what_is_handed_out_shares_no_memory() -> None:
    avatar = tiny_avatar()
    with torch.no_grad():
        found = CapturedDrawing(avatar)._draw(sight())
        copy = _copied(found, sight())
    for name in ("output", "surfels", "field", "colour"):
        for mine, other in zip(
            tensors_in(getattr(copy, name)), tensors_in(getattr(found, name)), strict=True
        ):
            assert torch.equal(mine, other)
            assert mine.data_ptr() != other.data_ptr()
    assert copy.mesh is not None
    assert found.mesh is not None
    assert copy.mesh.vertices.data_ptr() != found.mesh.vertices.data_ptr()
    assert copy.mesh.rest is found.mesh.rest


def test_few_graphs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = CapturedDrawing(tiny_avatar())
    monkeypatch.setattr(drawing, "_possible", lambda _: True)
    with torch.no_grad():
        for height in range(16, 16 + KEPT + 3):
            drawing(sight(height))
    assert len(drawing._works) == KEPT
    assert ("_draw", shape(drawing, sight(16 + KEPT + 2))) in drawing._works
    assert ("_draw", shape(drawing, sight(16))) not in drawing._works


def test_a_graph_follows_the_parameters_of_a_network() -> None:
    """All of them, also of parts of parts, and one that takes the place of another."""
    network = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 1, bias=False), nn.ReLU()))
    assert [id(p) for p in _parameters(network)] == [id(p) for p in network.parameters()]
    network[1][0].weight = nn.Parameter(torch.zeros(1, 3))
    assert [id(p) for p in _parameters(network)] == [id(p) for p in network.parameters()]
