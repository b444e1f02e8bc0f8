"""A small avatar on an octahedron, for tests of the core."""

from __future__ import annotations

import torch

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import Surfels, merge_specs
from surfhead.core.api import create
from surfhead.core.components import Rig
from surfhead.core.rig_parameter import RigParameter
from surfhead.core.types import Mesh, RestMesh, Topology


class Octahedron(Rig):
    """Eight triangles; one parameter, a translation."""

    name = "octahedron"
    summary = "Eight triangles."

    def parameters(self) -> dict[str, RigParameter]:
        return {"translation": RigParameter(3, 1e-6, "metres")}

    def prepare(self, identity: object, device: object = "cpu") -> RestMesh:
        vertices = 0.1 * torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
        triangles = torch.tensor(
            [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
        )
        neighbours = torch.tensor(
            [[4, 1, 3], [5, 2, 0], [6, 3, 1], [7, 0, 2], [0, 7, 5], [1, 4, 6], [2, 5, 7], [3, 6, 4]]
        )
        inside = torch.zeros(8, dtype=torch.bool)
        inside[:2] = True
        regions = {
            "eyeballs": inside,
            "boundary": inside.flip(0),
            "teeth": torch.zeros(8, dtype=torch.bool),
            "face": ~inside,
        }
        self._rest = RestMesh(vertices, Topology(triangles, neighbours, regions))
        return self._rest

    def rest(self) -> RestMesh:
        return self._rest

    def __call__(self, parameters: dict[str, torch.Tensor]) -> Mesh:  # type: ignore[override]
        return Mesh(self._rest.vertices + parameters["translation"][:, None], self._rest)


def tiny_avatar(deformer: str = "jbs", appearance: str = "sh", timesteps: int = 3) -> Avatar:
    """Eight surfels on the octahedron, with the reference rasterizer."""
    rig = Octahedron()
    rest = rig.prepare({})
    chosen, look = create("deformer", deformer), create("appearance", appearance)
    specs = merge_specs(chosen.parameters(), look.parameters())
    generator = torch.Generator().manual_seed(0)
    surfels = Surfels.create(specs, torch.arange(8), rest.topology, generator)
    look.prepare(rest)
    motion = {"translation": torch.zeros(timesteps, 3)}
    return Avatar(surfels, rig, chosen, look, create("rasterizer", "torch"), motion, torch.ones(3))
