"""Variants of an avatar: other options, hidden regions, no highlight, and nothing of the original changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.drawing.camera_path import orbit
from surfhead.runs.run import load_avatar
from surfhead.runs.train import train
from surfhead.viewing.variants import Look, Variants, has_highlight, live_options
from tests.runs.tiny_run import tiny_avatar

# nearly backwards, where averages of absolute rotations go wrong, and the skull turned on the neck
POSE = {"rotation": torch.tensor([[0.0, 2.9, 0.3]]), "neck": torch.tensor([[0.0, 0.5, 0.2]])}


@pytest.fixture(scope="module")
def avatar(small_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    settings = {**small_settings, "iterations": 0, "evaluate": {"at": [], "limit": 1}}
    settings |= {"appearance": {"name": "lasg"}}
    made = load_avatar(train(preset="tiny", settings=settings, out=tmp_path_factory.mktemp("lasg") / "run"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # a few images train neither harmonics nor highlight
        made.surfels.parameters["sh_rest"].normal_(0.0, 0.2, generator=generator)
        made.surfels.parameters["specular"].normal_(0.0, 1.0, generator=generator)
        network = made.appearance.network()
        assert network is not None
        for value in network.parameters():
            value.normal_(0.0, 0.5, generator=generator)
    made.advance(10**6)
    return made


def drawn(avatar: Avatar, parts: bool = False) -> Tensor:
    camera = orbit(avatar, 1, height=64, width=64, turn=360.0)
    rendering = avatar.render(camera, POSE, parts=parts)
    return rendering.parts["diffuse"][0] if parts else rendering.output.rgb[0]


def test_the_options_that_may_change_are_those_declared(avatar: Avatar) -> None:
    found = {(row.kind, row.name): row for row in live_options(avatar)}
    assert set(found) == {
        ("deformer", "rotation_blend"),
        ("appearance", "frame"),
        ("appearance", "degree"),
    }
    assert found["appearance", "degree"].choices == (0, 1, 2, 3)
    assert found["deformer", "rotation_blend"].choices == ("relative", "paper")
    assert found["appearance", "frame"].value == "canonical"


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [("deformer", "rotation_blend", "paper"), ("appearance", "frame", "world"), ("appearance", "degree", 0)],
)
def test_an_option_changes_the_picture_and_goes_back(
    avatar: Avatar, kind: str, name: str, value: object
) -> None:
    variants, before = Variants(avatar), drawn(avatar)
    look = Look().with_option(kind, name, value)
    assert float((drawn(variants.of(look)) - before).abs().max()) > 1e-4
    original = getattr(getattr(avatar, kind).options, name)
    assert torch.equal(drawn(variants.of(look.with_option(kind, name, original))), before)
    assert torch.equal(drawn(avatar), before)


def test_a_lower_degree_is_that_of_an_avatar_without_the_higher_terms(avatar: Avatar) -> None:
    made = Variants(avatar).of(Look().with_option("appearance", "degree", 1))
    kept = avatar.surfels.parameters["sh_rest"]
    with torch.no_grad():
        saved = kept.clone()
        kept[:, 3:] = 0.0
        expected = drawn(avatar)
        kept.copy_(saved)
    assert torch.allclose(drawn(made), expected, atol=1e-5)


def test_without_its_highlight_the_colour_is_the_diffuse_part(avatar: Avatar) -> None:
    matte = Variants(avatar).of(Look(highlight=False))
    whole = drawn(avatar)
    assert float((drawn(matte) - whole).abs().max()) > 1e-3
    alone = matte.render(orbit(avatar, 1, height=64, width=64), 0, background=torch.zeros(3)).output.rgb[0]
    parts = avatar.render(orbit(avatar, 1, height=64, width=64), 0, parts=True).parts
    assert torch.allclose(alone, parts["diffuse"][0], atol=1e-5)


def test_hidden_regions_are_as_if_their_surfels_were_not_there(avatar: Avatar) -> None:
    opacity = Variants(avatar).opacity(Look(hidden=frozenset({"eyeballs", "teeth"})), 0.5)
    assert opacity is not None
    regions = avatar.surfels.regions
    hidden = torch.cat([regions["eyeballs"], regions["teeth"]])
    expected = torch.full((len(avatar.surfels),), 0.5)
    expected[hidden] = 0.0
    assert 0 < len(hidden) < len(expected)
    assert torch.equal(opacity, expected)


def test_where_nothing_is_hidden_opacities_are_left_alone(avatar: Avatar) -> None:
    variants = Variants(avatar)
    assert variants.opacity(Look()) is None
    halved = variants.opacity(Look(), 0.5)
    assert halved is not None
    assert halved.tolist() == [0.5] * len(avatar.surfels)
    assert Variants(tiny_avatar("static")).opacity(Look(hidden=frozenset({"nowhere"}))) is not None


def test_a_variant_follows_the_original_in_training(avatar: Avatar) -> None:
    variants = Variants(avatar)
    look = Look().with_option("appearance", "frame", "world").with_region("teeth", False)
    before = drawn(variants.of(look))
    network = avatar.appearance.network()
    assert network is not None
    with torch.no_grad():
        saved = {name: value.clone() for name, value in network.state_dict().items()}
        for value in network.parameters():
            value.mul_(1.5)
        changed = drawn(variants.of(look))
        network.load_state_dict(saved)
    assert float((changed - before).abs().max()) > 1e-4
    assert torch.equal(drawn(variants.of(look)), before)


def test_making_variants_draws_no_random_number(avatar: Avatar) -> None:
    state = torch.get_rng_state()
    Variants(avatar).of(Look().with_option("appearance", "frame", "world"))
    assert torch.equal(torch.get_rng_state(), state)


def test_who_has_a_highlight(avatar: Avatar) -> None:
    assert has_highlight(avatar)
    assert not has_highlight(tiny_avatar(appearance="sh"))


def test_the_plain_look_is_the_avatar_itself(avatar: Avatar) -> None:
    assert Variants(avatar).of(Look()) is avatar
    shown_again = Look().with_region("teeth", False).with_region("teeth", True)
    assert shown_again == Look()
