"""The lit model against its equations, and its light against sums over directions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from surfhead.core.errors import OptionError
from surfhead.core.surface import Surface
from surfhead.core.types import Binding
from surfhead.maths import harmonics
from surfhead.maths.light import Light
from surfhead.maths.lit_colours import LitColours
from surfhead.plugins.appearances.irradiance import quadric_map, quadric_values
from surfhead.plugins.appearances.lit import Lit
from surfhead.plugins.formats.posed import posed
from surfhead.testing import tiny
from tests.runs.tiny_run import tiny_avatar

COUNT = 30


def unit(count: int, seed: int) -> Tensor:
    random = tiny.generator(seed)
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=-1)


def made(images: int = 10**6, **options: object) -> Lit:
    torch.manual_seed(0)
    look = Lit(Lit.Options(**options))  # type: ignore[arg-type]
    look.prepare(tiny.rest_mesh())
    look.advance(images)
    return look


def inputs(look: Lit) -> tuple[Binding, Tensor, Tensor, Tensor, Surface]:
    binding = tiny.binding(look.parameters(), COUNT, tiny.rest_mesh().topology)
    directions, normals = unit(2 * COUNT, 1).view(2, COUNT, 3), unit(2 * COUNT, 2).view(2, COUNT, 3)
    normals = torch.where((normals * directions).sum(-1, keepdim=True) > 0, -normals, normals)
    turn = torch.stack([tiny.rotation(0.4 + view, view) for view in range(2)])[:, None].expand(2, COUNT, 3, 3)
    world = (turn @ normals[..., None]).squeeze(-1)
    return binding, directions, normals, turn, Surface({"world_normals": world})


def test_the_quadric_is_the_harmonics() -> None:
    coefficients = torch.randn(9, 3, generator=tiny.generator(3))
    vectors = unit(50, 4)[None]
    exact = harmonics.basis(vectors, 2) @ coefficients
    torch.testing.assert_close(quadric_values(quadric_map() @ coefficients, vectors), exact)


def test_a_quadric_has_the_derivatives_of_its_harmonics() -> None:
    generator = torch.Generator().manual_seed(5)
    coefficients = torch.randn(9, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    vectors = torch.nn.functional.normalize(vectors, dim=-1).requires_grad_()
    numbers = quadric_map().double()
    assert torch.autograd.gradcheck(lambda c, v: quadric_values(numbers @ c, v), (coefficients, vectors))
    assert torch.autograd.gradcheck(lambda c: quadric_values(numbers @ c, vectors.detach()), coefficients)


def test_shading_is_the_light_over_the_half_sphere() -> None:
    light = torch.randn(8, 3, generator=tiny.generator(5)) * 0.3
    look = made()
    with torch.no_grad():
        look.network().light.copy_(light)
    normals = unit(6, 6)
    directions = unit(400_000, 7)
    radiance = harmonics.basis(directions, 2) @ look.network().learnt()
    cosine = (directions @ normals.T).clamp_min(0.0)
    # E/π by Monte Carlo: 4π/n Σ L cos / π
    exact = 4.0 * cosine.T @ radiance / len(directions)
    torch.testing.assert_close(look.network().shading(normals[None])[0].detach(), exact, atol=0.02, rtol=0.0)


def test_its_mean_shading_is_one_whatever_it_learns() -> None:
    look = made()
    with torch.no_grad():
        look.network().light.normal_()
    light = look.light()
    torch.testing.assert_close(light.mean, torch.ones(3))
    spread = look.network().shading(unit(200_000, 8)[None])[0].mean(dim=0)
    torch.testing.assert_close(spread.detach(), torch.ones(3), atol=0.02, rtol=0.0)


def test_untrained_it_is_grey_from_everywhere() -> None:
    look = made(images=0, gloss=False)
    binding = tiny.binding(look.parameters(), COUNT, tiny.rest_mesh().topology, spread=0.0)
    _, directions, normals, turn, surface = inputs(look)
    rgb = look(binding, directions, normals, turn, surface=surface).rgb
    torch.testing.assert_close(rgb, torch.full_like(rgb, 0.5))


@pytest.mark.parametrize("degree", [2, 3])
def test_colours_follow_the_equations(degree: int) -> None:
    look = made(light_degree=degree, occlusion=True, interval=0, start=10**9)
    network = look.network()
    with torch.no_grad():
        network.light.normal_(std=0.3)
        network.sharpness.fill_(0.7)
    binding, directions, normals, turn, surface = inputs(look)
    raw = binding.parameters
    learnt = network.learnt().detach()
    cosine = torch.tensor([1.0] + [2 / 3] * 3 + [0.25] * 5 + [0.0] * 7)[: len(learnt), None]
    shading = harmonics.basis(surface.world_normals, degree) @ (cosine * learnt)
    residual = torch.einsum("bnk,nkc->bnc", harmonics.basis(directions, 2)[..., 1:], raw["residual"])
    matte = raw["albedo"].sigmoid() * shading * raw["occlusion"].sigmoid() + residual
    mirror = directions - 2 * (directions * normals).sum(-1, keepdim=True) * normals
    mirror = (turn @ mirror[..., None]).squeeze(-1)
    order = torch.tensor([0] + [1] * 3 + [4] * 5 + [9] * 7, dtype=torch.float32)[: len(learnt), None]
    lobe = torch.exp(-order / (2 * 8.0 * math.exp(0.7)))
    light = (harmonics.basis(mirror, degree) @ (lobe * learnt)).clamp_min(0)
    grazing = 1 + (directions * normals).sum(-1, keepdim=True)
    fresnel = 0.028 + 0.972 * grazing**5
    exact = (matte + fresnel * raw["gloss"].sigmoid() * light).clamp_min(0)
    found = look(binding, directions, normals, turn, True, surface)
    torch.testing.assert_close(found.rgb, exact, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.parts["diffuse"], matte.clamp_min(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.parts["diffuse"] + found.parts["specular"], found.rgb)


def test_lamps_stay_while_the_head_turns() -> None:
    look = made(gloss=False, degree=0, start=10**9)
    with torch.no_grad():
        look.network().light[1] = 0.5  # from +z
    binding, directions, normals, _, _ = inputs(look)
    front = torch.tensor([0.0, 0.0, 1.0]).expand(2, COUNT, 3)
    still = torch.eye(3).expand(2, COUNT, 3, 3)
    bright = look(binding, directions, normals, still, surface=Surface({"world_normals": front})).rgb
    away = look(binding, directions, normals, still, surface=Surface({"world_normals": -front})).rgb
    assert bool((bright > away).all())


def test_another_light_is_what_it_is_drawn_under() -> None:
    look = made(degree=0, gloss=False, start=10**9)
    binding, directions, normals, turn, surface = inputs(look)
    blue = Light(torch.tensor([[0.0, 0.0, 2.0]]) / harmonics.Y00, "blue")
    look.relight(blue)
    rgb = look(binding, directions, normals, turn, surface=surface).rgb
    exact = torch.zeros_like(rgb)
    exact[..., 2] = 2.0 * binding.parameters["albedo"].sigmoid()[:, 2]
    torch.testing.assert_close(rgb, exact)
    assert look.light().name == "given"


def test_eyes_shine_by_how_much_more_light_they_mirror() -> None:
    look = made(degree=0, gloss=False, start=0)
    network = look.network()
    with torch.no_grad():
        for value in network.eyes.parameters():
            value += 0.2
    binding, directions, normals, turn, surface = inputs(look)
    arguments = (binding, directions, normals, turn, True, surface)
    eyes = binding.regions["eyeballs"]
    plain = look(*arguments)
    look.relight(look.light().scaled(2.0))
    brighter = look(*arguments)
    seen = plain.parts["specular"][:, eyes]
    torch.testing.assert_close(brighter.parts["specular"][:, eyes], 2.0 * seen, atol=1e-5, rtol=1e-4)
    assert bool((seen > 0).any())


def test_the_colour_model_under_another_light_is_the_appearance_lit_anew() -> None:
    """As the exported page draws it, eyes included."""
    look = made(light_degree=3, occlusion=True, interval=0, start=0)
    network = look.network()
    with torch.no_grad():
        network.light.normal_(std=0.3)
        for value in network.eyes.parameters():
            value += 0.2
    binding, directions, normals, turn, surface = inputs(look)
    other = Light(0.5 * torch.randn(16, 3, generator=tiny.generator(9)), "other")
    model = look.colour_model(binding)
    assert model.lit is not None
    assert model.highlight is not None
    at = model.highlight.surfels
    mirror = directions - 2 * (directions * normals).sum(-1, keepdim=True) * normals
    axes = turn if model.highlight.world else torch.eye(3).expand_as(turn)
    seen = ((axes @ vectors[..., None]).squeeze(-1)[:, at] for vectors in (directions, normals))
    shine = model.highlight(*seen)
    exact = model.lit(directions, normals, turn, other)
    exact[:, at] += shine * model.lit.dimming((turn @ mirror[..., None]).squeeze(-1), other)[:, at]
    look.relight(other)
    rgb = look(binding, directions, normals, turn, surface=surface).rgb
    torch.testing.assert_close(rgb, exact.clamp_min(0.0), atol=1e-5, rtol=1e-5)
    assert float(shine.max()) > 0.01


def test_eyes_that_mirrored_darkness_shine_by_a_tenth_of_white() -> None:
    nothing = torch.zeros(1, 3)
    lit = LitColours(Light(nothing), nothing, torch.zeros(1, 0, 3))
    grey = Light(torch.full((1, 3), 0.5) / harmonics.Y00)
    torch.testing.assert_close(lit.dimming(unit(4, 1)[None], grey), torch.full((1, 4, 3), 5.0))


@pytest.mark.parametrize("degree", [1, 4])
def test_other_degrees_of_light_are_refused(degree: int) -> None:
    with pytest.raises(OptionError, match="light_degree"):
        Lit(Lit.Options(light_degree=degree))


def test_without_its_surface_it_says_so() -> None:
    look = made()
    with pytest.raises(OptionError, match="without the surface"):
        look(*inputs(look)[:4])


def test_colours_are_encoded_as_they_are_decoded() -> None:
    spec = made().parameters()["albedo"]
    rgb = torch.tensor([[0.1, 0.5, 0.9], [0.0, 1.0, 0.3]])
    torch.testing.assert_close(spec.decoded(spec.encoded(rgb)), rgb.clamp(1e-3, 1 - 1e-3))


def test_files_of_one_pose_hold_it_lit_head_on() -> None:
    avatar = tiny_avatar(appearance="lit")
    with torch.no_grad():
        avatar.appearance.network().light[1] = 0.1  # type: ignore[union-attr, index] # light from +z
        avatar.surfels.parameters["gloss"].fill_(-30.0)
    made = posed(avatar, 0)
    shown = torch.from_numpy(made["sh_dc"]) * harmonics.Y00 + 0.5
    normals = avatar.draw(
        tiny.cameras(1), avatar.poses(torch.tensor([0])), torch.tensor([0]), torch.ones(1, 3)
    ).surfels.normal
    shading = avatar.appearance.light().shading(normals)[0]  # type: ignore[union-attr]
    torch.testing.assert_close(shown, 0.5 * shading.detach(), atol=1e-4, rtol=1e-4)
    assert not made["sh_rest"].any()
