"""The native terms over a mesh's triangles against their plain forms in double precision."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from surfhead.core.errors import ShapeError
from surfhead.kernels import cpu_mesh_terms, ops

pytestmark = pytest.mark.skipif(
    not cpu_mesh_terms.serves(torch.zeros(1)), reason="the native library is not built, or older than these"
)
SURFELS, TRIANGLES = 3000, 700  # several jobs, the last not full


@pytest.fixture(params=[1, 3])
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mesh() -> tuple[Tensor, Tensor, Tensor]:
    """Weights, hosts and neighbours: some triangles have no surfel, some edges are open."""
    generator = torch.Generator().manual_seed(1)
    host = torch.randint(0, TRIANGLES - 50, (SURFELS,), generator=generator)
    neighbours = torch.randint(0, TRIANGLES, (TRIANGLES, 3), generator=generator)
    neighbours[::7, 1] = torch.arange(0, TRIANGLES, 7)
    return torch.rand(SURFELS, generator=generator), host, neighbours


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("width", [1, 7])
def test_surroundings(width: int) -> None:
    """Also of surfels that have no triangle."""
    weight, host, neighbours = mesh()
    host[[5, SURFELS - 1]] = -1
    values = draw(SURFELS, width)
    found = ops.surroundings(values, weight, host, neighbours)
    exact = ops.surroundings(values.double(), weight.double(), host, neighbours)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)
    assert torch.equal(found[5], values[5])


def compare(term: object, value: Tensor, *others: object) -> None:
    """A term and its gradient in single precision, where it is the library's, and in double."""
    made = []
    for dtype in (torch.float32, torch.float64):
        leaf = value.to(dtype).requires_grad_()
        given = [x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x for x in others]
        total = term(leaf, *given)  # type: ignore[operator]
        made.append((total.detach(), torch.autograd.grad(3.0 * total, leaf)[0]))
    (single, gradient), (exact, exact_gradient) = made
    assert float(exact) > 0.0
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-8)
    size = float(exact_gradient.abs().max())
    assert size > 0.0
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=1e-4, atol=1e-5 * size)


@pytest.mark.usefixtures("_threads")
def test_roughness() -> None:
    compare(ops.roughness, draw(SURFELS, 3), *mesh(), 0.02)


def test_a_mesh_without_pairs_is_smooth() -> None:
    """Every edge is open; nothing is divided by the number of pairs."""
    weight, host, neighbours = mesh()
    neighbours[:] = torch.arange(TRIANGLES)[:, None]
    colour = draw(SURFELS, 3).requires_grad_()
    total = ops.roughness(colour, weight, host, neighbours, 0.02)
    assert float(total.detach()) == 0.0
    assert not torch.autograd.grad(total, colour)[0].any()


@pytest.mark.usefixtures("_threads")
def test_slant() -> None:
    """Quaternions of any length; places outside of their triangles; degenerate triangles; any trust."""
    _, host, _ = mesh()
    trust = draw(2, TRIANGLES, seed=5).abs()
    trust[0, ::11], trust[1, ::5] = 0.0, 0.0
    compare(ops.slant, draw(SURFELS, 4, seed=2), draw(SURFELS, 3), draw(18, TRIANGLES, seed=3), host, trust)


def test_no_surfels() -> None:
    _, _, neighbours = mesh()
    none, hosts = torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    assert ops.surroundings(torch.zeros(0, 4), none, hosts, neighbours).shape == (0, 4)
    assert float(ops.roughness(torch.zeros(0, 3), none, hosts, neighbours, 0.02)) == 0.0
    trust = torch.ones(2, TRIANGLES)
    found = ops.slant(torch.zeros(0, 4), torch.zeros(0, 3), draw(18, TRIANGLES), hosts, trust)
    assert float(found) == 0.0


def test_what_does_not_fit_is_refused() -> None:
    weight, host, neighbours = mesh()
    with pytest.raises(ShapeError, match='"weight" of kernel "roughness"'):
        ops.roughness(draw(SURFELS, 3), weight[1:], host, neighbours, 0.02)
    with pytest.raises(ShapeError, match='"neighbours" of kernel "surroundings"'):
        ops.surroundings(draw(SURFELS, 3), weight, host, neighbours[:, :2])


def test_operators() -> None:
    """Schemas, fake kernels and the registration of gradients."""
    weight, host, neighbours = mesh()
    colour, quaternion = draw(SURFELS, 3).requires_grad_(), draw(SURFELS, 4).requires_grad_()
    trust = torch.ones(2, TRIANGLES)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    for operator, arguments in (
        (cpu_mesh_terms.roughness, (colour, weight, host, neighbours, 0.02)),
        (cpu_mesh_terms.slant, (quaternion, draw(SURFELS, 3), draw(18, TRIANGLES), host, trust)),
    ):
        torch.library.opcheck(operator.default, arguments, test_utils=checks)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize(("each", "limit", "width"), [(False, 1.0, 3), (True, 0.6, 2), (True, 0.0, 2)])
def test_excess(each: bool, limit: float, width: int) -> None:
    """Also of surfels at the limit's other side, at 0, unseen, and without a triangle."""
    _, host, _ = mesh()
    host[[7, SURFELS - 1]] = -1
    value = draw(SURFELS, width)
    value[3] = 0.0
    seen = draw(SURFELS, seed=4) > 0.0
    compare(lambda x: ops.excess(x, limit, seen, host, each), value)
    nobody = torch.zeros(SURFELS, dtype=torch.bool)
    leaf = value.detach().clone().requires_grad_()
    none = ops.excess(leaf, limit, nobody, host, each)
    none.backward()  # type: ignore[no-untyped-call]
    assert float(none.detach()) == 0.0
    assert leaf.grad is not None
    assert not leaf.grad.any()


def test_excess_of_what_is_not_a_number_is_none() -> None:
    host, seen = torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.bool)
    value = torch.tensor([[0.0, 1.0], [float("nan"), 2.0]])
    assert ops.excess(value, 0.5, seen, host).isnan()
    assert ops.excess(value, 0.5, seen, host, each=True).isnan()
