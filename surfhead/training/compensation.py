"""Pictures stay what they were where something else than before shines through what they show.

No front is quite opaque, and its colours have learnt to make up for what little of the far side, or of the
background, comes through it. Where that changes after the last step, as hidden surfels cover or close holes,
pictures change a little everywhere: so the colours before it take on the difference.

A picture is linear in its surfels' colours. They are moved towards the former pictures by simultaneous
iterations (P. Gilbert, "Iterative methods for the three-dimensional reconstruction of an object from
projections", 1972): each takes the mean difference of the pixels that it makes up, weighted by how much.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.core.parameters import BASE_COLOUR, with_role
from surfhead.core.scene import Scene
from surfhead.terminal.bars import watched
from surfhead.training.judging_pictures import drawn

ROUNDS = 3  # more hardly change anything
HELD = 0.5  # pixels, in all pictures, of which a surfel that makes up no more keeps half of its colour
LEAST = 0.01  # of a colour that may tell how bright its surfel's base colour is drawn,
MOST = 3.0  # and how many times as large as the colour's the base colour's change may be
MARGIN = 1e-3  # base colours are not moved nearer than this to 0 and 1


@torch.no_grad()
def pictures_of(avatar: Avatar, scene: Scene, chosen: Sequence[int]) -> list[Tensor]:
    """(H, W, 3) each, the chosen views as they are drawn."""
    return [drawn(avatar, scene, view)[0].output.rgb[0].clone() for view in chosen]


@torch.no_grad()
def compensate(
    avatar: Avatar, scene: Scene, chosen: Sequence[int], former: Sequence[Tensor], fixed: Tensor
) -> None:
    """Change base colours so that views look as they did; nothing where surfels have no base colour.

    Args:
        avatar: changed in place.
        scene, chosen: what it was trained on, and the views that are looked at.
        former: (H, W, 3) each, what these looked like.
        fixed: (M,) int64 surfels whose colours stay.
    """
    surfels = avatar.surfels
    name = with_role(surfels.specs, BASE_COLOUR)
    if name is None:
        return
    spec, raw = surfels.specs[name], surfels.parameters[name]
    free = torch.ones(len(surfels), dtype=torch.bool, device=avatar.device)
    free[fixed] = False
    first = torch.zeros(1, dtype=torch.int64, device=avatar.device)
    for _ in range(ROUNDS):
        found = torch.zeros(3, len(surfels), 3, device=avatar.device)  # difference, pixels, colour
        for number in watched(range(len(chosen)), "Looking at what shines through", len(chosen)):
            view, cameras, behind = drawn(avatar, scene, chosen[number])
            colour = view.colour.rgb.detach().requires_grad_()
            with torch.enable_grad():
                picture = avatar.rasterizer(view.surfels, colour, cameras, first, behind).rgb[0]
                lost = ((former[number] - picture.detach()) * picture).sum()
                (difference,) = torch.autograd.grad(lost, colour, retain_graph=True)
                (pixels,) = torch.autograd.grad(picture.sum(), colour)
            found += torch.stack((difference[0], pixels[0], pixels[0] * colour.detach()[0]))
        difference, pixels, colour = found
        base = spec.decoded(raw)
        bright = (colour / pixels.clamp_min(1e-9)).clamp_min(LEAST)
        change = difference / (pixels + HELD) * (base / bright).clamp_max(MOST)
        new = (base + change).clamp(base.clamp_max(MARGIN), base.clamp_min(1.0 - MARGIN))
        raw[free] = spec.encoded(new)[free].to(raw)
