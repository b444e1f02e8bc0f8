"""Tests of what stands beside SurFhead's point cloud: its network's kind and order, and its options."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from surfhead.core.api import DataError, create
from surfhead.plugins.formats.point_cloud import write_points
from surfhead.plugins.formats.published_run import read_network
from surfhead.plugins.formats.surfhead_avatar import SurfheadAvatar
from tests.plugins.formats.test_surfhead_avatar import local_surfels, specular_network, surfhead_run

__all__ = ["surfhead_run"]  # the fixture


@pytest.mark.parametrize(("model", "numbers"), [("lasg", 4), ("asg", 4), ("sg", 3)])
def test_a_network_is_told_by_its_sizes_and_put_in_order(tmp_path, model, numbers):
    given = specular_network(model)
    torch.save(given, tmp_path / "specular.pth")
    name, found = read_network(tmp_path / "specular.pth", "lobe", "axis", [])
    assert name == model
    network = create("appearance", name).network()
    network.load_state_dict(found)  # names and sizes are ours
    lobes = len(network.axes)
    bias = found["lobes.bias"]
    for lobe in (0, 5, lobes - 1):
        assert bias[2 * lobe : 2 * lobe + 2].tolist() == [-numbers * lobe, -numbers * lobe - 1]
        for kind in range(numbers - 2):
            assert bias[2 * lobes + kind * lobes + lobe] == -(numbers * lobe + 2 + kind)
    # sines of x, y, z, 2x, 2y, 2z were x, 2x, y, 2y, z, 2z; then the cosines
    plain = 2 * lobes + 4
    order = [*range(plain), *(plain + i for i in (0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11))]
    assert found["perceptron.0.weight"][0].tolist() == order
    _, same = read_network(tmp_path / "specular.pth", "kind", "octave", [])
    assert torch.equal(same["lobes.weight"], given["a.weight"].float())
    assert torch.equal(same["perceptron.0.weight"], given["b.0.weight"].float())


def test_a_layer_without_bias_adds_nothing_and_other_sizes_are_said(tmp_path):
    path, notes = tmp_path / "specular.pth", []
    given = specular_network("asg")
    del given["b.4.bias"]
    torch.save(given, path)
    assert not read_network(path, "lobe", "axis", notes)[1]["perceptron.4.bias"].any()
    assert not notes
    torch.save({**given, "b.2.weight": torch.zeros(64, 128)}, path)
    assert read_network(path, "lobe", "axis", notes) == ("", {})
    assert "b.2.weight (64, 128)" in notes[0]
    torch.save({**given, "a.bias": torch.full((128,), torch.nan)}, path)
    with pytest.raises(DataError, match=r"specular\.pth.*NaN"):
        read_network(path, "lobe", "axis", [])


def test_the_network_of_the_clouds_own_iteration_is_taken(surfhead_run):
    saved = surfhead_run / "specular"
    (saved / "iteration_7000").mkdir()
    early = {name: value + 1 for name, value in specular_network("lasg").items()}
    torch.save(early, saved / "iteration_7000" / "specular.pth")
    for number, shift in ((7000, 1), (30000, 0)):
        cloud = surfhead_run / "point_cloud" / f"iteration_{number}" / "point_cloud.ply"
        stored = SurfheadAvatar().read(cloud)
        assert stored.network["perceptron.2.bias"][0] == shift
        assert not stored.notes
    shutil.rmtree(saved / "iteration_30000")
    stored = SurfheadAvatar().read(surfhead_run)
    assert stored.network["perceptron.2.bias"][0] == 1
    assert "iteration_7000" in stored.notes[0]


def test_training_options_beside_it_are_followed(surfhead_run):
    def read(text):
        (surfhead_run / "cfg_args").write_text(text, encoding="utf-8")
        return SurfheadAvatar().read(surfhead_run)

    stored = read("Namespace(white_background=True, SGs=True, spec_only_eyeball=True, odd=<object at 0x7>)")
    assert "cannot be read" in stored.notes[0]  # it is no Python
    assert stored.background == (1.0, 1.0, 1.0)
    stored = read("Namespace(white_background=False, spec_only_eyeball=False, train_kinematic=True)")
    assert not stored.notes
    assert stored.background == (0.0, 0.0, 0.0)
    assert stored.components["appearance"]["options"]["region"] == "all"
    assert stored.components["deformer"]["name"] == "jbs"
    stored = read("Namespace(train_kinematic=False, SGs=False, DTF=True, x=print(1))")
    assert stored.components["deformer"] == {"name": "jacobian", "options": {}}
    assert stored.components["appearance"] == {"name": "sh", "options": {"interval": 0}}
    assert not {"blend", "specular"} & stored.parameters.keys()
    stored = read("Namespace(train_kinematic=False, DTF=False, rotSH=False)")
    assert stored.components["deformer"]["name"] == "similarity"
    assert "world directions" in stored.notes[0]
    for text in ("", "print(1)", "[" * 5000, "Namespace(" + "a" * (1 << 21)):
        assert "cannot be read" in read(text).notes[0]


def test_blend_weights_by_rising_number_find_their_edges():
    from surfhead.runs.takeover import by_edge

    neighbours = torch.tensor([[7, 2, 5], [4, 1, 0], [2, 2, 2]])
    given = torch.tensor([[9.0, 1, 2, 3]]).expand(3, 4)
    expected = torch.tensor([[9.0, 3, 1, 2], [9, 2, 3, 1], [9, 1, 2, 3]])
    assert torch.equal(by_edge(given, torch.tensor([3, 1, 2]), neighbours), expected)


def test_without_a_specular_feature_there_is_no_highlight(surfhead_run):
    write_points(surfhead_run / "point_cloud/iteration_30000/point_cloud.ply", local_surfels(blend=(4,)))
    stored = SurfheadAvatar().read(surfhead_run)
    assert stored.components["appearance"]["name"] == "sh"
    assert not stored.network
    assert np.array_equal(stored.parameters["blend"], local_surfels(blend=(4,))["blend"])
