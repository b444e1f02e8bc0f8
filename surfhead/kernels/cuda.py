"""The door to the CUDA kernels: what can run here, why not, and the kernels themselves.

Importing this module needs neither a GPU nor the CUDA packages.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from surfhead.core.errors import UnavailableError
from surfhead.kernels import cuda_compiler, cuda_driver
from surfhead.kernels.choices import chosen
from surfhead.kernels.cuda_colours import (
    facing_normals,
    harmonic_colours,
    rest_directions,
    rest_directions_passing,
)
from surfhead.kernels.cuda_driver import unavailable
from surfhead.kernels.cuda_highlight import lobe_inputs
from surfhead.kernels.cuda_highlight import serves as _knows_lobes
from surfhead.kernels.cuda_lit import lit_colours
from surfhead.kernels.cuda_optimiser import TENSORS as MAX_PARAMETERS
from surfhead.kernels.cuda_optimiser import Moments, adam_step, screen_gradients
from surfhead.kernels.cuda_peer_exchange import average_with_peer, copy_to_peer
from surfhead.kernels.cuda_perceptron import perceptron
from surfhead.kernels.cuda_perceptron import serves as _knows_layers
from surfhead.kernels.cuda_pictures import mean_picture_losses, picture_losses
from surfhead.kernels.cuda_rasterizer import rasterize
from surfhead.kernels.cuda_rig import MAX_TABLES, pose_joints, pose_rows, skin_vertices
from surfhead.kernels.cuda_rig import serves as _knows_joints
from surfhead.kernels.cuda_room import check_overflow, overflows
from surfhead.kernels.cuda_skinning import (
    apply_field,
    apply_field_passing,
    blend_triangles,
    neighbour_weights,
)
from surfhead.kernels.cuda_surface import excess, length_term, normal_term
from surfhead.kernels.cuda_triangles import pose_triangles, relative_logarithms
from surfhead.kernels.sources import kernel_sources

__all__ = [
    "MAX_PARAMETERS",
    "MAX_TABLES",
    "Moments",
    "adam_step",
    "apply_field",
    "apply_field_passing",
    "average_with_peer",
    "blend_triangles",
    "check_overflow",
    "compile_kernels",
    "copy_to_peer",
    "excess",
    "facing_normals",
    "harmonic_colours",
    "length_term",
    "lit_colours",
    "lobe_inputs",
    "mean_picture_losses",
    "neighbour_weights",
    "normal_term",
    "overflows",
    "perceptron",
    "picture_losses",
    "pose_joints",
    "pose_rows",
    "pose_triangles",
    "rasterize",
    "relative_logarithms",
    "report",
    "rest_directions",
    "rest_directions_passing",
    "screen_gradients",
    "serves",
    "serves_joints",
    "serves_lit",
    "serves_lobes",
    "serves_perceptron",
    "skin_vertices",
    "unavailable",
]


def serves(tensor: torch.Tensor) -> bool:
    """Whether the fused kernels can stand in for PyTorch's operations on this tensor."""
    return tensor.is_cuda and tensor.dtype == torch.float32 and unavailable() is None


def serves_joints(tensor: torch.Tensor, joints: int) -> bool:
    """Whether a rig of so many joints is posed by the kernels."""
    return chosen("rig") and _knows_joints(joints) and serves(tensor)


def serves_lit(tensor: torch.Tensor) -> bool:
    """Whether colours under distant light have a kernel here."""
    return chosen("lit") and serves(tensor)


def serves_lobes(tensor: torch.Tensor, lobes: int) -> bool:
    """Whether a highlight of so many lobes has kernels."""
    return chosen("highlight") and _knows_lobes(lobes) and serves(tensor)


def serves_perceptron(tensor: torch.Tensor, shapes: Sequence[torch.Size]) -> bool:
    """Whether a perceptron whose weights have these shapes has its kernels."""
    return chosen("perceptron") and _knows_layers(shapes) and serves(tensor)


def compile_kernels(device: int | None = None) -> float:
    """Compile (or read from the cache) and load every kernel of a device; gives the seconds it took.

    Raises:
        UnavailableError: the kernels cannot run here; says why.
    """
    began = time.perf_counter()
    index = torch.cuda.current_device() if device is None else device
    cuda_driver.kernels(index).compile_all()
    return time.perf_counter() - began


def report() -> dict[str, str]:
    """What `surfhead doctor` prints: device, architecture, versions, cache folder, compile time."""
    found: dict[str, str] = {}
    reason = unavailable()
    if reason is not None:
        found["cuda kernels"] = f"not available: {reason}"
    try:
        found["nvrtc"] = ".".join(map(str, cuda_compiler.nvrtc_version()))
        found["cache folder"] = str(cuda_compiler.kernel_folder())
    except UnavailableError as error:
        found["nvrtc"] = f"missing: {error.remedy}"
    if reason is not None:
        return found
    index = torch.cuda.current_device()
    capability = cuda_driver.capability(index)
    found["device"] = torch.cuda.get_device_name(index)
    found["architecture"] = cuda_compiler.target(capability)[0]
    found["driver understands CUDA"] = ".".join(map(str, cuda_driver.driver_version()))
    folder = kernel_sources()
    cached = all(
        cuda_compiler.cache_path(module, capability, folder).is_file() for module in cuda_compiler.MODULES
    )
    try:
        seconds = compile_kernels(index)
    except UnavailableError as error:
        found["cuda kernels"] = f"not available: {error.what}"
        return found
    found["cuda kernels"] = f"ready after {seconds:.2f} s " + ("(cached)" if cached else "(compiled now)")
    return found
