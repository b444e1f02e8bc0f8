"""The fused kernels as the native CPU library runs them: the same twins, any number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from surfhead import kernels
from surfhead.core.errors import SurfheadError
from surfhead.kernels import choices, cpu_rows, cuda_pictures, cuda_skinning, cuda_triangles
from surfhead.maths import metrics
from tests.kernels.test_emulated_cuda import (  # noqa: F401  (run here without the emulator)
    test_apply_field,
    test_blend,
    test_blend_backward_sums_runs,
    test_picture_losses,
)
from tests.kernels.test_emulated_rig import test_lobe_inputs  # noqa: F401
from tests.kernels.test_emulated_training import (  # noqa: F401
    test_degenerate_triangle,
    test_facing_normals,
    test_harmonic_colours,
    test_length_term,
    test_normal_term,
    test_pose_triangles_and_logarithms,
    test_rest_directions,
    test_screen_gradients,
)

pytestmark = pytest.mark.skipif(
    not cpu_rows.serves(torch.zeros(1)), reason="the native library is not built, or older than these"
)


@pytest.fixture
def threads() -> Iterator[None]:
    """Puts the number of threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_similarity_of_a_tall_picture() -> None:
    """More rows than a job has, two views, floats as truth: sums and gradient, across the jobs' borders."""
    image, truth = torch.rand(2, 2, 77, 21, 3, generator=torch.Generator().manual_seed(1))
    sums, derivative = cuda_pictures._forward(image, truth)
    exact = image.double().requires_grad_()
    count = image[0].numel()
    error = (exact - truth.double()).abs().sum(dim=(1, 2, 3))
    similarity = metrics.ssim(exact, truth.double()) * count
    assert torch.allclose(sums.double(), torch.stack([error, similarity], 1), rtol=2e-6)
    upstream = torch.tensor([[0.5, -1.0], [2.0, 0.25]])
    wanted = torch.autograd.grad((upstream[:, 0] * error + upstream[:, 1] * similarity).sum(), exact)[0]
    found = cuda_pictures._backward(upstream, image, truth, derivative)
    assert float((found.double() - wanted).norm() / wanted.norm()) < 2e-5


@pytest.mark.usefixtures("threads")
def test_any_number_of_threads_gives_the_same_bits() -> None:
    """What scatters into vertices, neighbours and triangles, and what is summed over pictures."""
    g = torch.Generator().manual_seed(0)
    count, surfels = 500, 4000
    corners = torch.randint(0, 300, (count, 3), generator=g)
    near = torch.randint(0, count, (count, 3), generator=g)
    host = torch.randint(0, count, (surfels,), generator=g)
    quaternion = torch.nn.functional.normalize(draw(2, count, 4), dim=-1)
    logarithm, stretch = 0.1 * draw(2, 3 * count, 3, seed=1), draw(2, count, 6, seed=2)
    weights, axes = torch.rand(surfels, 4, generator=g), draw(count, 3, 3, seed=3)
    rest = torch.rand(count, 14, generator=g) + 0.5
    image = torch.rand(2, 80, 50, 3, generator=g)
    found = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        blend = cuda_skinning._blend_backward(
            draw(2, surfels, 3, 3, seed=4), draw(2, surfels, 3, 3, seed=5), host, near, weights, quaternion,
            logarithm, stretch, axes, None, True,
        )  # fmt: skip
        through = cuda_triangles._logarithms_backward(draw(2, 3 * count, 3, seed=6), quaternion, near)
        posed = cuda_triangles._pose_backward(
            draw(2, count, 4, seed=7), draw(2, count, 6, seed=8), draw(2, count, 3, seed=9),
            draw(2, 300, 3, seed=10), corners, rest, quaternion,
        )  # fmt: skip
        found.append((*blend, through, posed, *cuda_pictures._forward(image, image.flip(1))))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_a_kernel_that_is_not_there_is_said() -> None:
    with pytest.raises(SurfheadError, match='"adam_step" is not in the native library'):
        cpu_rows.run("optimiser", "adam_step", cpu_rows.Rows(), (1, 1), 256)


def test_what_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Single precision alone, and nothing where the fused forms are left out."""
    assert kernels.serves(torch.zeros(1))
    assert not kernels.serves(torch.zeros(1, dtype=torch.float64))
    monkeypatch.setenv(choices.ENVIRONMENT, choices.ON_CPU)
    assert not kernels.serves(torch.zeros(1))
