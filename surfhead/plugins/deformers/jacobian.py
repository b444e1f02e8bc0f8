"""Each surfel follows the affine map of its host triangle: stretch and shear included.

The linear part is J k R̄ with J the host's Jacobian from the rest to the posed triangle (Deformation
Transfer for Triangle Meshes, SIGGRAPH 2004) and k, R̄ the rest triangle's scale and frame; R_d is the
rotation of the polar decomposition J = R U. Degenerate triangles have J = R = 1 and only translate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from surfhead.core.api import AffineField, Binding, Deformer, FieldModel, Mesh, option
from surfhead.plugins.deformers.blending import affine_field, deformation, of_host, rigged


@final
class Jacobian(Deformer):
    """Per-triangle affine deformation transfer (method: section 4)."""

    name = "jacobian"
    summary = "Affine deformation transfer of the host triangle."
    capturable = True

    @dataclass(frozen=True)
    class Options:
        """How the rig is seen."""

        rig_gradients: bool = option(
            True, "Let gradients reach the rig through the Jacobians, not only through centroids."
        )

    options: Options

    def field_model(self, binding: Binding) -> FieldModel:
        """The host's Jacobian."""
        return FieldModel("linear")

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        """The field of ``mesh``; raises OptionError without one."""
        mesh = rigged(self.name, mesh)
        deformed = deformation(mesh, self.options.rig_gradients)
        return affine_field(
            mesh, binding, of_host(deformed.jacobian, binding), of_host(deformed.rotation, binding)
        )
