"""Promises of all models with a highlight: where it is, when it starts, and its gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surfhead.core.api import Appearance, Binding, OptionError, RestMesh, Topology
from surfhead.plugins.appearances.asg import Asg
from surfhead.plugins.appearances.lasg import Lasg
from surfhead.plugins.appearances.lit import Lit
from surfhead.plugins.appearances.sg import Sg
from surfhead.plugins.appearances.sh import Sh
from tests.gradients import check_gradients

from .conftest import EYES, View, lit, make_binding, make_view

MODELS = pytest.mark.parametrize("cls", [Sg, Asg, Lasg])


def head(front: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> RestMesh:
    triangles = torch.tensor([[0, 1, 2]])
    regions = {"eyeballs": torch.tensor([True]), "teeth": torch.tensor([False])}
    return RestMesh(torch.eye(3), Topology(triangles, triangles * 0, regions, front))


@MODELS
def test_nothing_jumps_at_the_start(cls: type[Appearance], view: View) -> None:
    model, plain = cls(), Sh()
    binding = make_binding(model)
    for images in (0, 2499, 2500, 10**6):
        model.advance(images)
        plain.advance(images)
        assert model.stage() == (*plain.stage(), images >= 2500)
        network = model.network()
        assert network is not None
        network.double()
        assert torch.equal(view.colour(model, binding).rgb, view.colour(plain, binding).rgb)


@MODELS
def test_highlight_is_on_its_region_only(cls: type[Appearance], view: View) -> None:
    model, plain = lit(cls()), lit(Sh())
    binding = make_binding(model)
    binding.parameters["sh_dc"].fill_(2.0)
    gap = (view.colour(model, binding).rgb - view.colour(plain, binding).rgb).abs().amax(dim=(0, 2))
    assert [index for index, value in enumerate(gap.tolist()) if value > 0] == list(EYES)


@MODELS
def test_everywhere_agrees_with_a_region_of_everything(cls: type[Appearance], view: View) -> None:
    some, every = lit(cls()), lit(cls(cls.Options(region="all")))
    every.network().load_state_dict(some.network().state_dict())
    binding = make_binding(some)
    whole = replace(binding, regions={"eyeballs": torch.arange(9)})
    torch.testing.assert_close(view.colour(every, binding).rgb, view.colour(some, whole).rgb)


@MODELS
def test_not_on_before_start(cls: type[Appearance], view: View) -> None:
    model = lit(cls(cls.Options(start=100)))
    binding = make_binding(model)
    late = view.colour(model, binding).rgb
    model.advance(99)
    early = view.colour(model, binding).rgb
    model.advance(100)
    now = view.colour(model, binding).rgb
    assert not torch.equal(early[:, list(EYES)], now[:, list(EYES)])
    assert not torch.equal(now, late)  # the degree of the harmonics still differs
    assert cls(cls.Options(start=0)).stage()[1]


@MODELS
@pytest.mark.parametrize("frame", ["canonical", "world"])
def test_gradients_reach_every_feature_and_the_directions(cls: type[Appearance], frame: str) -> None:
    torch.manual_seed(0)
    model = lit(cls(cls.Options(frame=frame)))
    view = make_view(2, 4)
    binding = make_binding(model, 4)
    binding.parameters["sh_dc"].fill_(1.0)
    names = list(binding.parameters)

    def rgb(directions: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        given = Binding(binding.triangle, dict(zip(names, values, strict=True)), binding.regions)
        return model(given, directions, view.normals, view.rotation).rgb

    inputs = [view.directions, *binding.parameters.values()]
    leaves = [value.clone().requires_grad_() for value in inputs]
    check_gradients(lambda *given: (rgb(*given),), leaves)
    for leaf in torch.autograd.grad(rgb(*leaves).square().sum(), leaves):
        assert (leaf != 0).any()
    network = model.network()
    network.zero_grad()
    rgb(*leaves).square().sum().backward()
    assert all((parameter.grad != 0).any() for parameter in network.parameters())


@MODELS
def test_only_the_last_layer_learns_at_first(cls: type[Appearance], view: View) -> None:
    model = cls(cls.Options(start=0))
    binding = make_binding(model, dtype=torch.float32)
    single = make_view(dtype=torch.float32)
    loss = single.colour(model, binding).rgb.square().sum()
    network = model.network()
    loss.backward()
    moved = {name for name, p in network.named_parameters() if p.grad is not None and (p.grad != 0).any()}
    assert moved == {"perceptron.4.weight", "perceptron.4.bias"}


@MODELS
def test_parts_add_up(cls: type[Appearance], view: View) -> None:
    model = lit(cls())
    colour = view.colour(model, make_binding(model), parts=True)
    assert set(colour.parts) == {"diffuse", "specular"}
    torch.testing.assert_close(colour.parts["diffuse"] + colour.parts["specular"], colour.rgb)
    assert (colour.parts["diffuse"] >= 0).all()
    assert (colour.parts["specular"][:, list(EYES)] != 0).any()
    assert view.colour(model, make_binding(model)).parts == {}


@MODELS
def test_frames_of_the_light(cls: type[Appearance], view: View) -> None:
    # canonical light does not care how the head is turned; light in the world sees world directions
    binding = make_binding(cls())
    turned = replace(view, rotation=view.rotation.roll(1, 0))
    torch.manual_seed(1)
    canonical = lit(cls())
    assert torch.equal(view.colour(canonical, binding).rgb, turned.colour(canonical, binding).rgb)
    world = lit(cls(cls.Options(frame="world")))
    assert not torch.equal(view.colour(world, binding).rgb, turned.colour(world, binding).rgb)
    world.network().load_state_dict(canonical.network().state_dict())
    still = torch.eye(3, dtype=torch.float64).expand_as(view.rotation)
    torch.testing.assert_close(
        replace(view, rotation=still).colour(world, binding).rgb, view.colour(canonical, binding).rgb
    )


def test_white_light_of_lasg_only(view: View) -> None:
    for cls, white in ((Lasg, True), (Asg, False), (Sg, False)):
        model = lit(cls())
        binding = make_binding(model)
        binding.parameters["sh_dc"].fill_(4.0)
        shine = view.colour(model, binding, parts=True).parts["specular"][:, list(EYES)]
        assert bool((shine.amax(-1) - shine.amin(-1) < 1e-12).all()) == white


def test_front_of_the_rig_turns_the_lobes_of_lasg_only() -> None:
    for cls, turns in ((Lasg, True), (Asg, False), (Sg, False)):
        before, after = cls(), cls()
        first = before.network().axes.clone()
        before.prepare(head((1.0, 0.0, 0.0)))
        after.prepare(head((1.0, 0.0, 0.0)))
        assert torch.equal(before.network().axes, after.network().axes)
        assert torch.equal(first, after.network().axes) != turns


@MODELS
def test_network_is_one_object_and_saves_no_axes(cls: type[Appearance]) -> None:
    model = cls()
    assert model.network() is model.network()
    assert "axes" not in model.network().state_dict()
    assert model.network_rate().at(0, 10) == pytest.approx(2.5e-3)
    assert model.network_rate().at(10, 10) == pytest.approx(1.25e-4)
    torch.manual_seed(3)
    one = cls().network().state_dict()
    torch.manual_seed(3)
    two = cls().network().state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


@MODELS
def test_regions_that_do_not_exist(cls: type[Appearance], view: View) -> None:
    with pytest.raises(OptionError, match="no rig") as error:
        cls().prepare(None)
    assert "appearance.region=all" in error.value.remedy
    cls(cls.Options(region="all")).prepare(None)
    cls(cls.Options(region="teeth")).prepare(head())
    with pytest.raises(OptionError, match='Did you mean "eyeballs"'):
        cls(cls.Options(region="eyebals")).prepare(head())
    model = lit(cls(cls.Options(region="nose")))
    with pytest.raises(OptionError, match='"nose"'):
        view.colour(model, make_binding(model))


@MODELS
def test_no_surfels_and_empty_regions(cls: type[Appearance], view: View) -> None:
    model = lit(cls())
    assert make_view(2, 0).colour(model, make_binding(model, 0)).rgb.shape == (2, 0, 3)
    binding = replace(make_binding(model), regions={"eyeballs": torch.zeros(0, dtype=torch.int64)})
    assert torch.isfinite(view.colour(model, binding).rgb).all()


@MODELS
@pytest.mark.parametrize(
    ("key", "value"), [("start", -1), ("frame", "camera"), ("degree", 5), ("interval", -2)]
)
def test_options_out_of_range(cls: type[Appearance], key: str, value: object) -> None:
    with pytest.raises(OptionError, match=f'"{key}"'):
        cls(cls.Options(**{key: value}))


@pytest.mark.parametrize("cls", [Sg, Asg, Lasg, Lit])
def test_features_are_declared_to_be_those_of_the_region(cls: type[Appearance]) -> None:
    assert cls().parameters()["specular"].region == "eyeballs"
    assert cls(cls.Options(region="all")).parameters()["specular"].region == ""
    assert {spec.region for name, spec in cls().parameters().items() if name != "specular"} == {""}
