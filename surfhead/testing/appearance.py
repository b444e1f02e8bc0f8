"""Checks of appearance models (docs/method.md, section 6)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from surfhead.avatars.surface import colours_of
from surfhead.core.colour_model import ColourModel
from surfhead.core.components import Appearance
from surfhead.core.errors import OptionError
from surfhead.core.parameters import Schedule
from surfhead.core.surface import Surface, SurfaceWants
from surfhead.core.types import Binding, Colour
from surfhead.maths import harmonics
from surfhead.maths.light import Light
from surfhead.testing import tiny
from surfhead.testing.capture import require_capturable
from surfhead.testing.declared import learning, require_region_alone, require_valid
from surfhead.testing.suite import Subject, promise, require
from surfhead.testing.values import (
    require_close,
    require_finite,
    require_repeatable,
    require_shape,
    require_unchanged,
    snapshot,
)

MANY = 40
MOMENTS = (0, 500, 1000, 2000, 2500, 3000, 5000, 30_000, 300_000, 10**9)  # images
END = MOMENTS[-1]


def _prepared(subject: Subject, images: int = END) -> Any:
    """A fresh instance, told the mesh and the moment, its network away from special starting values."""
    appearance = subject.make()
    appearance.prepare(tiny.rest_mesh())
    appearance.advance(images)
    network = appearance.network()
    if network is not None:
        random = tiny.generator(7)
        with torch.no_grad():
            for value in network.parameters():
                value += 0.1 * torch.randn(value.shape, generator=random)
    return appearance


def _inputs(
    appearance: Appearance, views: int = 3, count: int = MANY
) -> tuple[Binding, Tensor, Tensor, Tensor]:
    rest = tiny.rest_mesh()
    binding = tiny.binding(appearance.parameters(), count, rest.topology, seed=1)
    random = tiny.generator(2)

    def unit() -> Tensor:
        return torch.nn.functional.normalize(torch.randn(views, count, 3, generator=random), dim=-1)

    directions, normals = unit(), unit()
    normals = torch.where((normals * directions).sum(-1, keepdim=True) > 0, -normals, normals)
    turn = torch.stack([tiny.rotation(0.5 * view, view) for view in range(views)])
    return binding, directions, normals, turn[:, None].expand(views, count, 3, 3).contiguous()


def _surface(appearance: Appearance, inputs: tuple[Binding, Tensor, Tensor, Tensor]) -> Surface | None:
    """What the model asks for, as follows from the other inputs."""
    binding, directions, normals, rotation = inputs
    values = {
        "world_normals": (rotation @ normals[..., None]).squeeze(-1),
        "rest_normals": normals.clone(),
        "world_positions": 0.6 * (rotation @ directions[..., None]).squeeze(-1),
        "rest_positions": 0.1 * binding.parameters["offset"],
    }
    wants = appearance.wants
    asked = {name: ask for name, ask in wants.asked().items() if ask != "no"}
    if not asked:
        return None
    return Surface({n: values[n] if ask == "gradient" else values[n].detach() for n, ask in asked.items()})


def _call(
    appearance: Appearance,
    binding: Binding,
    directions: Tensor,
    normals: Tensor,
    rotation: Tensor,
    *,
    parts: bool = False,
) -> Colour:
    inputs = (binding, directions, normals, rotation)
    return colours_of(appearance, *inputs, parts, _surface(appearance, inputs))


@promise("appearance")
def declares_parameters(subject: Subject) -> None:
    """The parameters it declares can be allocated, and take no name of the core's."""
    require_valid(subject.make().parameters())


@promise("appearance")
def gives_colour(subject: Subject) -> None:
    """For 1 and 3 views and 0, 1 and many surfels, early and late, colours are finite, (B, N, 3), >= 0."""
    for images in (0, END):
        appearance = _prepared(subject, images)
        for views in (1, 3):
            for count in (0, 1, MANY):
                colour = _call(appearance, *_inputs(appearance, views, count))
                require(
                    isinstance(colour, Colour), f"It gave a {type(colour).__name__}.", "Expected a Colour."
                )
                require_shape(colour.rgb, (views, count, 3), "rgb")
                require_finite(colour.rgb, "rgb")
                require(bool((colour.rgb >= 0).all()), "rgb is negative somewhere.")


@promise("appearance")
def parts_on_request(subject: Subject) -> None:
    """Named parts are given only on request, in the shape of the colour, and do not change it."""
    appearance = _prepared(subject)
    inputs = _inputs(appearance)
    plain, full = _call(appearance, *inputs), _call(appearance, *inputs, parts=True)
    require(not plain.parts, f"Unasked it gave the parts {', '.join(plain.parts)}.")
    require_close(full.rgb, plain.rgb, "rgb with parts against rgb without", 1e-6)
    for name, value in full.parts.items():
        require_shape(value, tuple(full.rgb.shape), f'Part "{name}"')
        require_finite(value, f'Part "{name}"')


@promise("appearance")
def deterministic(subject: Subject) -> None:
    """Equal inputs give equal colours, bit for bit, in every instance made from equal random numbers."""
    require_repeatable(lambda: _prepared(subject), lambda made: _call(made, *_inputs(made)))


@promise("appearance")
def inputs_unmodified(subject: Subject) -> None:
    """Parameters, directions, normals and rotations are left as they were."""
    appearance = _prepared(subject)
    inputs = _inputs(appearance)
    before = snapshot(inputs)
    _call(appearance, *inputs)
    require_unchanged(inputs, before)


@promise("appearance")
def surfels_are_independent(subject: Subject) -> None:
    """Surfels in another order get the same colours in that order."""
    appearance = _prepared(subject)
    binding, *rest = _inputs(appearance)
    order = torch.randperm(MANY, generator=tiny.generator(3))
    shuffled = tiny.reordered(binding, order, tiny.rest_mesh().topology)
    colour = _call(appearance, binding, *rest).rgb
    other = _call(appearance, shuffled, *(value[:, order] for value in rest)).rgb
    require_close(other, colour[:, order], "The colours of shuffled surfels", 1e-5)


@promise("appearance")
def views_are_independent(subject: Subject) -> None:
    """Three views at once equal the three one by one."""
    appearance = _prepared(subject)
    binding, *rest = _inputs(appearance, 3)
    together = _call(appearance, binding, *rest).rgb
    for view in range(3):
        alone = _call(appearance, binding, *(value[view : view + 1] for value in rest)).rgb
        require_close(alone[0], together[view], f"The colours of view {view}", 1e-5)


@promise("appearance")
def parameters_learn(subject: Subject) -> None:
    """At the end of its schedule every parameter it declares, and its network, get finite gradients."""
    appearance = _prepared(subject)
    binding, *rest = _inputs(appearance)
    binding, leaves = learning(binding)
    network = appearance.network()
    learnt = {name: leaves[name] for name in appearance.parameters()}
    if network is not None:
        learnt |= {f"network {name}": value for name, value in network.named_parameters()}
    if not learnt:
        return
    colour = _call(appearance, binding, *rest).rgb
    require(colour.requires_grad, "The colour does not depend on what it declares.")
    weight = torch.linspace(0.5, 1.5, colour.numel()).reshape(colour.shape)
    found = torch.autograd.grad((colour * weight).sum(), list(learnt.values()), allow_unused=True)
    for name, gradient in zip(learnt, found, strict=True):
        require(gradient is not None and bool((gradient != 0).any()), f'Parameter "{name}" gets no gradient.')
        require_finite(gradient, f'The gradient of "{name}"')
    for (name, spec), gradient in zip(appearance.parameters().items(), found, strict=False):
        require_region_alone(spec, name, gradient, binding)


@promise("appearance")
def direction_gradients_finite(subject: Subject) -> None:
    """Gradients to the view directions are finite, also where they meet the normal head on."""
    appearance = _prepared(subject)
    binding, directions, normals, rotation = _inputs(appearance)
    normals[:, ::3] = -directions[:, ::3]
    directions.requires_grad_()
    colour = _call(appearance, binding, directions, normals, rotation).rgb
    if colour.requires_grad:
        found = torch.autograd.grad(colour.sum(), directions, allow_unused=True)[0]
        if found is not None:
            require_finite(found, "The gradient of the directions")


@promise("appearance")
def network_is_kept(subject: Subject) -> None:
    """``network`` gives the same module (or None) at every call, and its rate is a Schedule."""
    appearance = subject.make()
    require(appearance.network() is appearance.network(), "network() gave another module the second time.")
    appearance.advance(END)
    require(isinstance(appearance.network_rate(), Schedule), "network_rate() is no Schedule.")


@promise("appearance")
def stage_tells_changes(subject: Subject) -> None:
    """``stage`` changes whenever ``advance`` changed what equal inputs give, and going back restores it."""
    appearance = _prepared(subject, 0)
    inputs = _inputs(appearance)
    start, stage = _call(appearance, *inputs).rgb, appearance.stage()
    require(isinstance(stage, tuple), f"stage() gave a {type(stage).__name__}.", "Expected a tuple.")
    first = (start, stage)
    for images in MOMENTS[1:]:
        appearance.advance(images)
        colour, now = _call(appearance, *inputs).rgb, appearance.stage()
        require(
            now != stage or torch.equal(colour, start), f"At image {images} colours changed, stage() did not."
        )
        start, stage = colour, now
    appearance.advance(0)
    require(
        torch.equal(_call(appearance, *inputs).rgb, first[0]) and appearance.stage() == first[1],
        "After advance(0) it is not as it was at the start.",
        "A resumed run tells it the image count it continues from.",
    )


@promise("appearance")
def colour_model_agrees(subject: Subject) -> None:
    """``colour_model``, where there is one, gives the colours of ``__call__``, early and late."""
    for images in MOMENTS:
        appearance = _prepared(subject, images)
        binding, directions, normals, rotation = _inputs(appearance)
        model = appearance.colour_model(binding)
        if model is None:
            return
        require(isinstance(model, ColourModel), f"It gave a {type(model).__name__}.")
        with torch.no_grad():
            if model.lit is not None:
                colour = model.lit(directions, normals, rotation)
                require_close(model.lit.albedo, model.base, "The model's albedo and base", 1e-6)
                require(torch.equal(model.lit.residual, model.rest), "The model's residual is not its rest.")
            else:
                values = harmonics.basis(directions, model.degree)[..., 1:]
                colour = model.base + torch.einsum("bnk,nkc->bnc", values, model.rest)
            if model.highlight is not None:
                turn = rotation if model.highlight.world else torch.eye(3).expand_as(rotation)
                at = model.highlight.surfels
                seen = [
                    torch.einsum("bnij,bnj->bni", turn, vectors)[:, at] for vectors in (directions, normals)
                ]
                colour[:, at] += model.highlight(seen[0], seen[1])
            own = _call(appearance, binding, directions, normals, rotation).rgb
        require_close(colour.clamp_min(0.0), own, f"The colour model after {images} images", 1e-5)


@promise("appearance")
def wants_are_true(subject: Subject) -> None:
    """What it asks of the surface matters to its colours; gradients it asks for are finite, and there."""
    appearance = _prepared(subject)
    require(isinstance(appearance.wants, SurfaceWants), f"wants is a {type(appearance.wants).__name__}.")
    inputs = _inputs(appearance)
    given = _surface(appearance, inputs)
    if given is None:
        return
    leaves = {name: value.detach().clone().requires_grad_() for name, value in given.given.items()}
    colour = colours_of(appearance, *inputs, False, Surface(leaves)).rgb
    for name, ask in appearance.wants.asked().items():
        if ask == "no":
            continue
        moved = torch.roll(leaves[name].detach(), 1, dims=-2)
        other = colours_of(appearance, *inputs, False, Surface({**leaves, name: moved})).rgb
        require(
            not torch.equal(other, colour),
            f'It asks for "{name}", which changes nothing.',
            "Expected only what it needs: the rest costs time.",
        )
        if ask == "gradient":
            require(colour.requires_grad, f'It asks for "{name}" with gradient, but gives none.')
            found = torch.autograd.grad(colour.sum(), leaves[name], allow_unused=True, retain_graph=True)[0]
            require(
                found is not None and bool((found != 0).any()),
                f'It asks for "{name}" with gradient, but gives none.',
                'Expected "constant" where the colours\' errors should not move the surfels.',
            )
            require_finite(found, f'The gradient of "{name}"')


@promise("appearance")
def relights(subject: Subject) -> None:
    """Where it is relightable, another light changes colours and ``stage``, and None brings both back."""
    appearance = _prepared(subject)
    other = Light(torch.linspace(0.2, 1.0, 27).reshape(9, 3), "test")
    if not appearance.relightable:
        require(appearance.light() is None, "light() gave a light, but relightable is False.")
        try:
            appearance.relight(other)
        except OptionError:
            return
        require(False, "relight() did nothing.", "Expected an OptionError, or relightable = True.")
    require(isinstance(appearance.light(), Light), "It is relightable, but light() gave none.")
    inputs = _inputs(appearance)
    with torch.no_grad():
        before, stage = _call(appearance, *inputs).rgb, appearance.stage()
        appearance.relight(other)
        require(not torch.equal(_call(appearance, *inputs).rgb, before), "relight() changed no colour.")
        require(appearance.stage() != stage, "relight() changed colours, stage() did not.")
        appearance.relight(None)
        back = torch.equal(_call(appearance, *inputs).rgb, before) and appearance.stage() == stage
    require(back, "After relight(None) it is not as before.", "Expected the learnt light again.")


@promise("appearance")
def capturable(subject: Subject) -> None:
    """Where it says so, a CUDA graph can hold it at every stage: no look at values, no copy from the host."""
    for images in (0, END):
        appearance = _prepared(subject, images)
        if not appearance.capturable:
            return
        _require_capturable(appearance)


def _require_capturable(appearance: Appearance) -> None:
    binding, directions, normals, turn = _inputs(appearance)
    learnt, _ = learning(binding)
    surface = _surface(appearance, (learnt, directions, normals, turn))
    require_capturable(
        lambda turns: colours_of(appearance, learnt, directions, normals, turns, False, surface), turn, turn
    )
