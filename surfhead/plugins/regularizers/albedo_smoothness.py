"""Smooth albedo: differences of base colour between neighbouring triangles of the rest mesh.

Light changes slowly over a head and albedo is mostly constant with few edges, the assumption of Retinex (Land
and McCann, "Lightness and Retinex Theory", JOSA 1971): what varies slowly in a picture shall be explained by
light. A triangle's base colour is the mean of its surfels' weighted by opacity. The term is the mean over all
pairs of neighbours that both have surfels of sqrt(|difference|² + ε²) - ε, which is square for small and
linear for large differences (Charbonnier et al., ICIP 1994), so that edges of lips and hair stay. 0 where the
parameter is not there, so for appearances that know no light, and without a rig.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from surfhead.core.api import Regularizer, Step, option
from surfhead.kernels import ops

EDGE = 0.02  # ε: differences beyond it count as edges


class AlbedoSmoothness(Regularizer):
    """Roughness of the albedo over the rest mesh."""

    name = "albedo_smoothness"
    summary = "Differences of albedo between neighbouring triangles."
    capturable = True

    @dataclass(frozen=True)
    class Options:
        """Of which parameter."""

        parameter: str = option(
            "albedo", "Per-surfel colour (3) that light multiplies; sh_dc for appearances without light."
        )

    options: Options

    def __call__(self, step: Step) -> Tensor:
        """The mean difference, in units of colour."""
        name = self.options.parameter
        spec = step.binding.specs.get(name)
        if spec is None or step.mesh is None:
            return step.surfels.opacity.sum() * 0.0
        colour = spec.decoded(step.binding.parameters[name])
        return ops.roughness(
            colour, step.surfels.opacity, step.binding.triangle, step.mesh.topology.neighbours, EDGE
        )
