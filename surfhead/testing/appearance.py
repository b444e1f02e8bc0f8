"""Checks of appearance models (docs/method.md, section 6)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from surfhead.core.colour_model import ColourModel
from surfhead.core.components import Appearance
from surfhead.core.parameters import Schedule
from surfhead.core.types import Binding, Colour
from surfhead.maths import harmonics
from surfhead.testing import tiny
from surfhead.testing.declared import learning, require_valid
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
                colour = appearance(*_inputs(appearance, views, count))
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
    plain, full = appearance(*inputs), appearance(*inputs, parts=True)
    require(not plain.parts, f"Unasked it gave the parts {', '.join(plain.parts)}.")
    require_close(full.rgb, plain.rgb, "rgb with parts against rgb without", 1e-6)
    for name, value in full.parts.items():
        require_shape(value, tuple(full.rgb.shape), f'Part "{name}"')
        require_finite(value, f'Part "{name}"')


@promise("appearance")
def deterministic(subject: Subject) -> None:
    """Equal inputs give equal colours, bit for bit, in every instance made from equal random numbers."""
    require_repeatable(lambda: _prepared(subject), lambda made: made(*_inputs(made)))


@promise("appearance")
def inputs_unmodified(subject: Subject) -> None:
    """Parameters, directions, normals and rotations are left as they were."""
    appearance = _prepared(subject)
    inputs = _inputs(appearance)
    before = snapshot(inputs)
    appearance(*inputs)
    require_unchanged(inputs, before)


@promise("appearance")
def surfels_are_independent(subject: Subject) -> None:
    """Surfels in another order get the same colours in that order."""
    appearance = _prepared(subject)
    binding, *rest = _inputs(appearance)
    order = torch.randperm(MANY, generator=tiny.generator(3))
    shuffled = tiny.reordered(binding, order, tiny.rest_mesh().topology)
    colour = appearance(binding, *rest).rgb
    other = appearance(shuffled, *(value[:, order] for value in rest)).rgb
    require_close(other, colour[:, order], "The colours of shuffled surfels", 1e-5)


@promise("appearance")
def views_are_independent(subject: Subject) -> None:
    """Three views at once equal the three one by one."""
    appearance = _prepared(subject)
    binding, *rest = _inputs(appearance, 3)
    together = appearance(binding, *rest).rgb
    for view in range(3):
        alone = appearance(binding, *(value[view : view + 1] for value in rest)).rgb
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
    colour = appearance(binding, *rest).rgb
    require(colour.requires_grad, "The colour does not depend on what it declares.")
    weight = torch.linspace(0.5, 1.5, colour.numel()).reshape(colour.shape)
    found = torch.autograd.grad((colour * weight).sum(), list(learnt.values()), allow_unused=True)
    for name, gradient in zip(learnt, found, strict=True):
        require(gradient is not None and bool((gradient != 0).any()), f'Parameter "{name}" gets no gradient.')
        require_finite(gradient, f'The gradient of "{name}"')


@promise("appearance")
def direction_gradients_finite(subject: Subject) -> None:
    """Gradients to the view directions are finite, also where they meet the normal head on."""
    appearance = _prepared(subject)
    binding, directions, normals, rotation = _inputs(appearance)
    normals[:, ::3] = -directions[:, ::3]
    directions.requires_grad_()
    colour = appearance(binding, directions, normals, rotation).rgb
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
    start, stage = appearance(*inputs).rgb, appearance.stage()
    require(isinstance(stage, tuple), f"stage() gave a {type(stage).__name__}.", "Expected a tuple.")
    first = (start, stage)
    for images in MOMENTS[1:]:
        appearance.advance(images)
        colour, now = appearance(*inputs).rgb, appearance.stage()
        require(
            now != stage or torch.equal(colour, start), f"At image {images} colours changed, stage() did not."
        )
        start, stage = colour, now
    appearance.advance(0)
    require(
        torch.equal(appearance(*inputs).rgb, first[0]) and appearance.stage() == first[1],
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
            colour = harmonics.Y00 * binding.parameters["sh_dc"] + 0.5
            colour = colour.expand(len(directions), -1, -1).clone()
            if model.degree:
                values = harmonics.basis(directions, model.degree)[..., 1:]
                rest = binding.parameters["sh_rest"][:, : values.shape[-1]]
                colour += torch.einsum("bnk,nkc->bnc", values, rest)
            if model.highlight is not None:
                turn = rotation if model.highlight.world else torch.eye(3).expand_as(rotation)
                at = model.highlight.surfels
                seen = [
                    torch.einsum("bnij,bnj->bni", turn, vectors)[:, at] for vectors in (directions, normals)
                ]
                colour[:, at] += model.highlight(seen[0], seen[1])
            own = appearance(binding, directions, normals, rotation).rgb
        require_close(colour.clamp_min(0.0), own, f"The colour model after {images} images", 1e-5)
