"""Each surfel follows its host triangle by rotation and isotropic scale (GaussianAvatars, CVPR 2024).

The linear part is k' R̄', the posed triangle's scale and frame, and R_d = R̄' R̄ᵀ. Stretch across the
triangle's axes and shear are not seen, which is what the other rig-bound deformers add. A triangle that
is degenerate at rest or posed keeps its rest frame and scale and only translates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from surfhead.core.api import AffineField, Binding, Deformer, FieldModel, Mesh, option
from surfhead.maths import planes
from surfhead.plugins.deformers.blending import of_host, rigged


@final
class Similarity(Deformer):
    """Rotation and isotropic scale of the host triangle (method: section 4)."""

    name = "similarity"
    summary = "Rotation and isotropic scale of the host triangle (GaussianAvatars)."
    capturable = True

    @dataclass(frozen=True)
    class Options:
        """How the rig is seen."""

        rig_gradients: bool = option(
            True, "Let gradients reach the rig through rotation and scale, not only through centroids."
        )

    options: Options

    def field_model(self, binding: Binding) -> FieldModel:
        """The host's similarity."""
        return FieldModel("similarity")

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        """The field of ``mesh``; raises OptionError without one."""
        mesh = rigged(self.name, mesh)
        rest = mesh.rest.frames
        posed = mesh.frames if self.options.rig_gradients else mesh.frames.detach()
        valid = rest.valid & posed.valid
        scale = torch.where(valid, posed.scale, rest.scale)
        frame = torch.where(valid[..., None, None], posed.rotation, rest.rotation)
        return AffineField(
            linear=of_host(scale[..., None, None] * frame, binding),
            origin=of_host(mesh.frames.centroid, binding),
            rotation=of_host(planes.matrix_product(frame, rest.rotation.mT), binding),
            scale=of_host(scale, binding),
        )
