"""The rig parameter that moves every vertex on its own in every timestep."""

from __future__ import annotations

from torch import Tensor

from surfhead.core.api import ShapeError, Step

PARAMETER = "dynamic_offset"  # its name in VHAP's exports


def vertex_offsets(step: Step) -> Tensor | None:
    """(P, V, 3) per-frame vertex offsets in rest space, metres; None where the rig has none.

    Raises:
        ShapeError: the parameter does not hold three numbers a vertex.
    """
    values = step.rig_parameters.get(PARAMETER)
    if values is None or step.mesh is None:
        return None
    poses, vertices = step.mesh.vertices.shape[:2]
    if values.numel() != poses * vertices * 3:
        raise ShapeError(
            f'Rig parameter "{PARAMETER}" has shape {tuple(values.shape)}.',
            f"Expected {poses} x {vertices} x 3 numbers: three for each vertex of each pose.",
            "Check the data set's rig parameters.",
        )
    return values.reshape(poses, vertices, 3)
