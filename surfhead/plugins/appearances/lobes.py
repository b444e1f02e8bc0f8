"""Fixed lobe axes on the sphere, and the small network that turns lobe responses into a highlight."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from surfhead.kernels import ops
from surfhead.kernels.ops.lobes import AMPLITUDES, OCTAVES, shapes
from surfhead.maths import geometry

FEATURES = 24  # length of the specular feature every surfel carries
HIDDEN = 128


def lobe_axes(
    rows: int,
    columns: int,
    hemisphere: bool = False,
    front: tuple[float, float, float] = (0.0, 0.0, 1.0),
    grid: str = "spread",
) -> Tensor:
    """(rows * columns, 3, 3) lobes: axis, tangent x and bitangent y in the rows.

    Grid ``spread``: θ_i = arccos(1 - 2(i + 0.5)/rows), φ_j = 2π(j + 0.5 (i mod 2))/columns: bands of equal
    area, every second one turned by half a column, no axis on a pole, all distinct. Grid ``published``
    (Spec-Gaussian, SurFhead) has end points: θ_i = π i/(rows - 1), or half of it on the half sphere, and
    φ_j = 2π j/(columns - 1); half the axes lie on the poles, and first and last column coincide.
    (x, y, axis) is right-handed.

    Args:
        rows, columns: number of bands and of lobes in a band.
        hemisphere: spread the bands over the half sphere about the pole, cos θ in (0, 1), or [0, 1].
        front: the pole, a unit vector.
        grid: ``spread`` or ``published``.
    """
    row = torch.arange(rows, dtype=torch.float64).repeat_interleave(columns)
    column = torch.arange(columns, dtype=torch.float64).repeat(rows)
    if grid == "published":
        polar = (0.5 if hemisphere else 1.0) * math.pi * row / (rows - 1)
        cosine, sine = polar.cos(), polar.sin()
        azimuth = 2 * math.pi * column / (columns - 1)
    else:
        cosine = 1 - (1 if hemisphere else 2) * (row + 0.5) / rows
        sine = (1 - cosine * cosine).sqrt()
        azimuth = 2 * math.pi * (column + 0.5 * (row % 2)) / columns
    east, north = azimuth.cos(), azimuth.sin()
    zero = torch.zeros_like(row)
    lobes = torch.stack(
        (
            torch.stack((sine * east, sine * north, cosine), dim=-1),
            torch.stack((cosine * east, cosine * north, -sine), dim=-1),
            torch.stack((-north, east, zero), dim=-1),
        ),
        dim=1,
    )
    return (lobes @ turn_to(front).mT).float()


def turn_to(front: tuple[float, float, float]) -> Tensor:
    """(3, 3) float64: the smallest rotation that takes +z to the unit vector ``front``."""
    x, y, z = front
    sine = math.hypot(x, y)
    angle = math.atan2(sine, z)
    axis = (-y / sine, x / sine) if sine > 1e-12 else (1.0, 0.0)
    vector = torch.tensor([angle * axis[0], angle * axis[1], 0.0], dtype=torch.float64)
    matrix: Tensor = geometry.axis_angle_to_matrix(vector)
    return matrix


class LobeNetwork(nn.Module):
    """From a surfel's 24-vector, the view and the normal to a specular colour (Spec-Gaussian).

    A linear layer gives every lobe two amplitudes and its sharpness; the responses of the lobes to the
    reflected direction o = d - 2(d·n)n, with n·(-d), d and the sines and cosines of d and 2d, pass
    through a perceptron with two hidden layers of 128 and ReLU. Its last layer starts at zero.

    Isotropic lobes respond with a exp(λ (o·axis - 1)), anisotropic ones with
    a max(o·axis, 0) exp(-λ (o·x)² - μ (o·y)²); λ, μ = softplus(· - 1), a without activation.

    Args:
        axes: (L, 3, 3) lobes as ``lobe_axes`` gives them.
        anisotropic: the kind of lobe.
        channels: 3 for coloured, 1 for white light.
    """

    axes: Tensor

    def __init__(self, axes: Tensor, anisotropic: bool, channels: int) -> None:
        super().__init__()
        self.anisotropic = anisotropic
        # not saved: it follows from the model's name and options and the rig's front
        self.register_buffer("axes", axes, persistent=False)
        count = len(axes)
        self.lobes = nn.Linear(FEATURES, count * (AMPLITUDES + (2 if anisotropic else 1)))
        inputs = count * AMPLITUDES + 1 + 3 + 6 * OCTAVES
        last = nn.Linear(HIDDEN, channels)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.perceptron = nn.Sequential(
            nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), last
        )

    def lobe_shapes(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Amplitudes (M, L, 2) and sharpnesses (M, L, 1 or 2) of the lobes, for features (M, 24)."""
        return shapes(self.lobes(features), len(self.axes))

    def layers(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Weights and biases of the perceptron's linear layers."""
        linear = [layer for layer in self.perceptron if isinstance(layer, nn.Linear)]
        return tuple((layer.weight.detach(), layer.bias.detach()) for layer in linear)

    def forward(self, features: Tensor, directions: Tensor, normals: Tensor) -> Tensor:
        """(B, M, channels) specular colour of M surfels in B views, for what ``shine`` takes."""
        return self.shine(features, directions, normals)[..., : self.perceptron[-1].out_features]

    def shine(self, features: Tensor, directions: Tensor, normals: Tensor) -> Tensor:
        """(B, M, 3) specular colour of M surfels in B views; a single channel is given three times.

        Args:
            features: (M, 24).
            directions: (B, M, 3) unit vectors from the camera to the surfel.
            normals: (B, M, 3) unit normals turned towards the camera.
        """
        inputs = ops.lobe_inputs(self.lobes(features), self.axes, directions, normals, self.anisotropic)
        return ops.perceptron(inputs, self.perceptron)
