"""What closes holes beside an open rim does not stick out beyond it."""

from __future__ import annotations

import torch

from surfhead.core.types import RestMesh, Topology
from surfhead.maths.geometry import quaternion_to_matrix
from surfhead.training.rims import CLEAR, FLAT, REACH, inside_rims

SIDE = 0.01  # metres, of the squares that the sheet is made of
ACROSS = 5  # squares


def sheet() -> RestMesh:
    """A flat sheet whose lower and upper ends are open at y = 0 and y = 3 · ``SIDE``, as are its sides."""
    rows, columns = 4, ACROSS + 1
    grid = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"), dim=-1)
    vertices = torch.cat((grid.flip(-1).reshape(-1, 2) * SIDE, torch.zeros(rows * columns, 1)), dim=1)
    triangles = []
    for row in range(rows - 1):
        for column in range(columns - 1):
            a = row * columns + column
            triangles += [(a, a + 1, a + columns), (a + 1, a + columns + 1, a + columns)]
    edges = {(t[e], t[(e + 1) % 3]): i for i, t in enumerate(triangles) for e in range(3)}
    neighbours = [[edges.get((t[(e + 1) % 3], t[e]), i) for e in range(3)] for i, t in enumerate(triangles)]
    return RestMesh(vertices, Topology(torch.tensor(triangles), torch.tensor(neighbours), {}))


def placed(
    rest: RestMesh, host: torch.Tensor, places: torch.Tensor, size: torch.Tensor, turn: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(K, 3) centres in metres, and (K, 3) how far one standard deviation reaches along x, y and z."""
    frames = rest.frames
    centre = torch.einsum("kij,kj->ki", frames.rotation[host], places) * frames.scale[host, None]
    axes = (frames.rotation[host] @ quaternion_to_matrix(turn))[:, :, :2] * size[:, None, :]
    return centre + frames.centroid[host], (axes * frames.scale[host, None, None]).norm(dim=2)


def scattered(rest: RestMesh, each: int) -> tuple[torch.Tensor, ...]:
    """Hosts, places, sizes and turns: ``each`` random ones in every triangle, as large as a third of it."""
    generator = torch.Generator().manual_seed(0)
    host = torch.arange(len(rest.topology.triangles)).repeat_interleave(each)
    shares = -torch.rand(len(host), 3, generator=generator).log()
    shares /= shares.sum(dim=1, keepdim=True)
    corners = rest.vertices[rest.topology.triangles[host]] - rest.frames.centroid[host, None]
    away = torch.einsum("kj,kji->ki", shares, corners)
    local = torch.einsum("kji,kj->ki", rest.frames.rotation[host], away) / rest.frames.scale[host, None]
    size = torch.tensor([0.15, 0.25]).expand(len(host), 2)
    angle = 3.0 * torch.rand(len(host), generator=generator)
    still = torch.zeros_like(angle)
    return host, local, size, torch.stack((angle.cos(), still, still, angle.sin()), dim=1)


def middle(rest: RestMesh, host: torch.Tensor) -> torch.Tensor:
    """Triangles of the squares in the middle of the lowest row, far from the sheet's sides."""
    centre = rest.frames.centroid[host]
    return (centre[:, 1] < SIDE) & ((centre[:, 0] - 0.5 * ACROSS * SIDE).abs() < 0.6 * SIDE)


def test_nothing_reaches_over_a_rim() -> None:
    """Nor of triangles that touch it in a corner alone; without it most did."""
    rest = sheet()
    host, places, size, turn = scattered(rest, 50)
    lowest = middle(rest, host)
    touching = (rest.vertices[rest.topology.triangles[host[lowest]]][:, :, 1] < 1e-6).sum(dim=1)
    assert {1, 2} == set(touching.tolist())
    centre, reach = placed(rest, host, places, size, turn)
    free = (centre[:, 1] - REACH * reach[:, 1])[lowest]
    assert float((free < CLEAR - 1e-5).float().mean()) > 0.4
    assert int(((free < CLEAR - 1e-5) & (touching == 1)).sum()) > 5
    centre, reach = placed(rest, host, *inside_rims(rest, host, places, size, turn))
    free = (centre[:, 1] - REACH * reach[:, 1])[lowest]
    assert float(free.min()) > CLEAR - 1e-5
    assert float(centre[lowest, 1].max()) < 1.001 * SIDE


def test_they_stay_long_along_the_rim_and_become_flat_across() -> None:
    rest = sheet()
    host, places, size, turn = scattered(rest, 50)
    _, before = placed(rest, host, places, size, turn)
    moved = inside_rims(rest, host, places, size, turn)
    _, after = placed(rest, host, *moved)
    changed = middle(rest, host) & (moved[1] != size).any(dim=1)
    assert int(changed.sum()) > 20
    torch.testing.assert_close(after[changed, 0], before[changed, 0], rtol=1e-3, atol=0)
    ratio = after[changed, 1] / before[changed, 1]
    assert float(ratio.min()) > FLAT - 1e-3
    assert float(ratio.max()) < 1.0 + 1e-3
    assert float(ratio.std()) > 0.05  # as flat as each needs to be


def test_what_is_away_from_rims_keeps_its_bits() -> None:
    rest = sheet()
    host, *given = scattered(rest, 50)
    inner = ~(rest.vertices[rest.topology.triangles[host]] < 1e-6)[..., :2].any(dim=2).any(dim=1)
    inner &= (rest.frames.centroid[host, 1] < 2 * SIDE) & (rest.frames.centroid[host, 1] > SIDE)
    inner &= (rest.frames.centroid[host, 0] - 0.5 * ACROSS * SIDE).abs() < 0.6 * SIDE
    assert int(inner.sum()) >= 100
    for before, after in zip(given, inside_rims(rest, host, *given), strict=True):
        assert torch.equal(before[inner], after[inner])
