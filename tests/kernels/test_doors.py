"""Every kernel refuses tensors that do not fit together, before it follows their pointers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.kernels import (
    choices,
    cpu,
    cpu_lit,
    cpu_rows,
    cuda_colours,
    cuda_driver,
    cuda_highlight,
    cuda_lit,
    cuda_optimiser,
    cuda_perceptron,
    cuda_pictures,
    cuda_rasterizer,
    cuda_rig,
    cuda_skinning,
    cuda_surface,
    cuda_triangles,
)
from surfhead.kernels.doors import measure


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No launch may be reached by tensors that are refused."""

    def launched(*_: Any) -> None:
        raise AssertionError("a kernel was launched")

    monkeypatch.setattr(cuda_driver, "run", launched)
    monkeypatch.setattr(cuda_driver, "kernels", launched)
    monkeypatch.setattr(cpu_rows, "run", launched)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: None)


def many(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.ones(shape) for shape in shapes]


def index(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.int64)


SEEN = torch.ones(2, 9, dtype=torch.bool)
WHOLE = torch.ones(4, dtype=torch.bool)
BLEND = ((9, 4), (2, 4, 4), (2, 12, 3), (2, 4, 6), (4, 3, 3))
DRAWN = [*many((1, 9, 3), (1, 9, 3, 2), (1, 9, 3), (9,), (2, 9, 3), (2, 4, 4), (2, 3, 3)), index(2)]
SURFELS = [*many((1, 9, 3), (1, 9, 3, 2), (1, 9, 3), (9,), (2, 9, 3), (2, 3))]
PACKED = torch.ones(2, 16, dtype=torch.float64)
LIT = many(
    (9, 3), (9, 15, 3), (9, 1), (9, 1), (2, 9, 3), (2, 9, 3), (2, 9, 3, 3), (2, 9, 3), (13, 3), (13, 3)
)  # fmt: skip
KERNELS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "rest_directions": (cuda_colours._directions, many((2, 9, 3), (2, 9, 3), (2, 9, 3, 3), (2, 3))),
    "rest_directions_backward": (
        cuda_colours._directions_backward,
        many((2, 9, 3), (2, 9, 3), (2, 9, 3, 3), (2, 3), (2, 9, 3)),
    ),
    "facing_normals": (cuda_colours._facing, many((2, 9, 3), (2, 9, 3), (9, 4), (2, 3), (2, 9, 3))),
    "harmonic_colours": (cuda_colours._colours, [*many((9, 3), (9, 15, 3), (2, 9, 3)), 3]),
    "harmonic_colours_backward": (
        cuda_colours._colours_backward, [*many((2, 9, 3), (9, 3), (9, 15, 3), (2, 9, 3)), 3, True],
    ),
    "apply_field": (cuda_skinning._field, many((2, 9, 3, 3), (2, 9, 3), (9, 3), (9, 2), (9, 4))),
    "apply_field_backward": (
        cuda_skinning._field_backward,
        many((2, 9, 3), (2, 9, 3, 2), (2, 9, 3), (2, 9, 3, 3), (9, 3), (9, 2), (9, 4), (2, 9, 3, 3)),
    ),
    "blend_triangles": (cuda_skinning._blend, [index(9), index(4, 3), *many(*BLEND)]),
    "blend_triangles_backward": (
        cuda_skinning._blend_backward,
        [*many((2, 9, 3, 3), (2, 9, 3, 3)), index(9), index(4, 3), *many(*BLEND), index(9), True],
    ),
    "pose_joints": (cuda_rig._joints, [*many((2, 3, 3), (2, 3, 3)), (-1, 0, 1)]),
    "pose_joints_backward": (
        cuda_rig._joints_backward,
        [*many((2, 3, 3, 3), (2, 3, 12), (2, 3, 3), (2, 3, 3), (2, 3, 3, 3), (2, 3, 12)), (-1, 0, 1)],
    ),
    "skin_vertices": (cuda_rig._skin, many((2, 9, 3), (2, 4, 12), (9, 4), (2, 3))),
    "skin_vertices_backward": (
        cuda_rig._skin_backward, many((2, 9, 3), (2, 9, 3), (2, 4, 12), (9, 4)),
    ),
    "lobe_inputs": (
        cuda_highlight._inputs, [*many((9, 64), (16, 3, 3), (2, 9, 3), (2, 9, 3)), True],
    ),
    "lobe_inputs_backward": (
        cuda_highlight._inputs_backward,
        [*many((2, 9, 48), (9, 64), (16, 3, 3), (2, 9, 3), (2, 9, 3)), True],
    ),
    "last_layer": (cuda_perceptron._last, many((3, 128), (3,), (9, 128))),
    "last_layer_backward": (
        lambda g, weight, hidden: cuda_perceptron._last_backward(g, weight, hidden, torch.zeros(643)),
        many((9, 3), (3, 128), (9, 128)),
    ),
    "through_relu": (
        lambda *tensors: cuda_perceptron._through_relu(*tensors, torch.zeros(257)),
        many((9, 128), (9, 3), (9, 128)),
    ),
    "lit_colours": (cuda_lit._colours, [*LIT, 3]),
    "lit_colours_backward": (cuda_lit._backward, [*many((2, 9, 3)), *LIT, 3]),
    "lit_colours_cpu": (cpu_lit._colours, [*LIT, 3]),
    "lit_colours_cpu_backward": (cpu_lit._backward, [*many((2, 9, 3)), *LIT, 3]),
    "pose_triangles": (cuda_triangles._pose, [*many((2, 6, 3)), index(4, 3), *many((4, 14))]),
    "pose_triangles_backward": (
        cuda_triangles._pose_backward,
        [*many((2, 4, 4), (2, 4, 6), (2, 4, 3), (2, 6, 3)), index(4, 3), *many((4, 14), (2, 4, 4))],
    ),
    "relative_logarithms": (cuda_triangles._logarithms, [*many((2, 4, 4)), index(4, 3)]),
    "relative_logarithms_backward": (
        cuda_triangles._logarithms_backward, [*many((2, 12, 3), (2, 4, 4)), index(4, 3)],
    ),
    "normal_term": (cuda_surface._normal, [*many((2, 5, 7), (2, 5, 7), (2, 5, 7, 3), (2, 3, 3)), None]),
    "normal_term_backward": (
        cuda_surface._normal_backward,
        [*many((), (2, 5, 7), (2, 5, 7), (2, 5, 7, 3), (2, 3, 3)), None],
    ),
    "length_term": (cuda_surface._length, [*many((9, 4), (2, 9, 3, 3), (9,)), SEEN]),
    "length_term_backward": (cuda_surface._length_backward, [*many((), (9, 4), (2, 9, 3, 3), (9,)), SEEN]),
    "excess": (cuda_surface._excess, [*many((9, 3)), SEEN[0], index(9), 1.0, True]),
    "neighbour_weights": (cuda_skinning._weights, [*many((9, 4)), index(9), WHOLE, WHOLE]),
    "neighbour_weights_backward": (
        cuda_skinning._weights_backward, [*many((9, 4), (9, 4)), index(9), WHOLE, WHOLE],
    ),
    "screen_gradients": (
        lambda a, b, c, d, seen, radius, *sums: cuda_optimiser.screen_gradients(
            a, b, c, d, (5, 7), seen, radius, sums
        ),
        [*many((2, 9, 3), (2, 9, 3), (2, 4, 4), (2, 3, 3)), SEEN, *many((2, 9), (9,), (9,), (9,))],
    ),
    "picture_losses": (cuda_pictures._forward, many((2, 5, 7, 3), (2, 5, 7, 3))),
    "picture_losses_backward": (
        cuda_pictures._backward, many((2, 2), (2, 5, 7, 3), (2, 5, 7, 3), (3, 2, 5, 7, 3)),
    ),
    "rasterize": (
        lambda *tensors: cuda_rasterizer._forward(*tensors, 5, 7, 0.01, 100), [*DRAWN, *many((2, 3))],
    ),
    "rasterize_cpu": (
        cpu._named, [*SURFELS, PACKED, index(2)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KERNELS)
def test_every_tensor_is_checked(name: str) -> None:
    """One tensor at a time is a row longer, an axis longer, of a type no kernel takes: each is refused."""
    call, given = KERNELS[name]
    places = [place for place, value in enumerate(given) if isinstance(value, Tensor)]
    for place in places:
        right = given[place]
        wrong = [right[None], right.to(torch.int16)]
        if right.ndim:
            axis = min(right.ndim - 1, 1)
            wrong.append(torch.cat([right, right.narrow(axis, 0, 1)], axis))
        for value in wrong:
            if (name, place) == ("pose_triangles", 0) and value.shape == (2, 7, 3):
                continue  # another number of vertices is no fault
            if (name, place) == ("pose_triangles_backward", 3) and value.shape == (2, 7, 3):
                continue
            if name == "excess" and value.shape == (9, 4):
                continue  # nor is another width
            if name.startswith(("harmonic_colours", "lit_colours")) and value.shape == (9, 16, 3):
                continue  # more coefficients than the degree needs are none either
            with pytest.raises(ShapeError, match=r"(?s)kernel.*Expected"):
                call(*given[:place], value, *given[place + 1 :])


def test_the_message_names_tensor_and_sizes() -> None:
    """A field of one pose for three views: what a static scene handed to the kernel of ``normal_length``."""
    with pytest.raises(ShapeError) as caught:
        cuda_surface._length(*many((9, 4), (1, 9, 3, 3), (9,)), torch.ones(3, 9, dtype=torch.bool))
    assert str(caught.value).splitlines() == [
        '"visible" of kernel "length_term" is bool (3, 9).',
        "Expected bool (views = 1, surfels = 9).",
        "Check how it was built.",
    ]


def test_degrees_need_their_coefficients() -> None:
    for degree in (-1, 3, 4):
        with pytest.raises(ShapeError, match="coefficients"):
            cuda_colours._colours(*many((9, 3), (9, 8, 3), (2, 9, 3)), degree)


def test_sums_are_contiguous() -> None:
    call, given = KERNELS["screen_gradients"]
    with pytest.raises(ShapeError, match="contiguous"):
        call(*given[:-1], torch.ones(9, 2)[:, 0])


def test_adam_refuses_a_gradient_of_another_shape_and_too_many_parameters() -> None:
    value = torch.ones(5, requires_grad=True)
    value.grad = torch.ones(5)
    one = cuda_optimiser.Moments(value, torch.zeros(5), torch.zeros(4), torch.ones(()))
    broken = torch.zeros(1, dtype=torch.int32)
    with pytest.raises(ShapeError, match='"square" of parameter 0'):
        cuda_optimiser.adam_step([one], torch.ones(1), broken, (0.9, 0.999), 1e-15)
    with pytest.raises(ShapeError, match="rate"):
        cuda_optimiser.adam_step([one], torch.ones(2), broken, (0.9, 0.999), 1e-15)
    with pytest.raises(ShapeError, match="41 parameters"):
        cuda_optimiser.adam_step([one] * 41, torch.ones(41), broken, (0.9, 0.999), 1e-15)


def test_poses_that_are_not_there_are_refused_on_a_cpu() -> None:
    for poses in ([0, 1], [-1, 0]):
        with pytest.raises(ShapeError, match="indices of 1 poses"):
            cpu._named(*SURFELS, PACKED, torch.tensor(poses))


def test_a_size_with_a_factor() -> None:
    assert measure("one", {"a": "3*many 2"}, {"a": torch.ones(6, 2)}) == {"many": 2}
    with pytest.raises(ShapeError, match="3 many"):
        measure("one", {"a": "3*many 2"}, {"a": torch.ones(7, 2)})


def test_fused_forms_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are used but those that are left out by name."""
    monkeypatch.delenv(choices.ENVIRONMENT, raising=False)
    assert all(choices.chosen(name) for name in (*choices.ON_GPU, choices.ON_CPU))
    monkeypatch.setenv(choices.ENVIRONMENT, "rig, cpu,")
    assert [name for name in choices.ON_GPU if choices.chosen(name)] == list(choices.ON_GPU[1:])
    assert not choices.chosen(choices.ON_CPU)
