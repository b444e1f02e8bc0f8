"""The CPU kernels as torch operators: ``surfhead::rasterize_cpu`` and its backward.

The shared library is C++ with OpenMP behind a plain C interface (cuda_kernels/cpu/interface.h), loaded by
ctypes. It chooses its instruction set at run time and uses ``torch.get_num_threads()`` threads. Equations:
cuda_kernels/README.md. Results do not depend on the number of threads, bit for bit.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surfhead.core.errors import ShapeError, SurfheadError, UnavailableError, unknown_name
from surfhead.kernels.cuda_operators import differentiate, operators, register
from surfhead.kernels.doors import measure
from surfhead.kernels.sources import LIBRARY, NOTE, native_folders

INTERFACE = 2  # surfhead_interface() of the library this module speaks to
ENVIRONMENT = "SURFHEAD_INSTRUCTION_SET"  # overrides the best instruction set, for tests

OUTPUTS = ("rgb", "alpha", "normal", "depth", "median_depth", "distortion", "visible", "radius")
SAVED = ("transmittance", "d0", "d1", "d2", "last", "median_at")
READ = ("rgb", "alpha", "normal", "distortion", *SAVED)  # what the backward reads

RULES = {
    "mean": "real: poses surfels 3",
    "tangents": "real: poses surfels 3 2",
    "normal": "real: poses surfels 3",
    "opacity": "real: surfels",
    "colour": "real: views surfels 3",
    "background": "real: views 3",
    "cameras": "float64: views 16",
    "pose_of_view": "int64: views",
}

_SCALARS = ("views", "poses", "surfels", "height", "width", "threads")
_POINTERS = (
    "cameras",
    "pose_of_view",
    "mean",
    "tangents",
    "normal",
    "opacity",
    "colour",
    "background",
)


class _Inputs(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in _SCALARS),
        ("near", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    )


class _Outputs(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in (*OUTPUTS, *SAVED))


class _Gradients(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in (
            *OUTPUTS[:6],
            *(f"g_{name}" for name in ("mean", "tangents", "normal", "opacity", "colour")),
        )
    )


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    """The library and where it is; or None and the reason."""
    reasons = []
    for folder in native_folders():
        path, note = folder / LIBRARY, folder / NOTE
        if not path.is_file():
            if note.is_file():
                reasons.append(" ".join(note.read_text(encoding="utf-8").split()))
            continue
        try:
            library = ctypes.CDLL(str(path))
            version = int(library.surfhead_interface())
        except (OSError, AttributeError) as error:
            reasons.append(f"{path} could not be loaded: {error}")
            continue
        if version != INTERFACE:
            reasons.append(f"{path} is of another version of surfhead; build it anew")
            continue
        library.surfhead_instruction_set.restype = ctypes.c_char_p
        return library, str(path)
    return None, "; ".join(reasons) or "the library was not built; reinstall surfhead with a C++ compiler"


def unavailable() -> str | None:
    """None when the kernels can run here, else why not."""
    library, text = _load()
    return text if library is None else None


def instruction_sets() -> tuple[str, ...]:
    """Names of the instruction sets that were built and that this processor has, best first."""
    loaded = library()
    found: list[str] = []
    while (name := loaded.surfhead_instruction_set(len(found))) is not None:
        found.append(name.decode())
    return tuple(found)


def report() -> dict[str, str]:
    """What `surfhead doctor` prints: the instruction set and threads in use, the library, its compiler."""
    library, text = _load()
    if library is None:
        return {"cpu kernels": f"not available: {text}"}
    note = Path(text).with_name(NOTE)
    return {
        "cpu kernels": f"{instruction_sets()[instruction_set()]}, {torch.get_num_threads()} threads",
        "cpu library": text,
        "cpu build": note.read_text(encoding="utf-8").strip() if note.is_file() else "unknown",
    }


def library() -> ctypes.CDLL:
    """The loaded library. Raises UnavailableError."""
    library, text = _load()
    if library is None:
        raise UnavailableError(
            f'The "cpu" kernels are not available: {text}.', "", 'Use rasterizer "torch", or reinstall.'
        )
    return library


def instruction_set() -> int:
    """Number of the instruction set in use, 0 the best."""
    name = os.environ.get(ENVIRONMENT)
    if not name:
        return 0
    sets = instruction_sets()
    if name not in sets:
        raise unknown_name("instruction set", name, sets, f"Mend ${ENVIRONMENT}.")
    return sets.index(name)


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _call(direction: str, dtype: torch.dtype, *structures: ctypes.Structure) -> None:
    function = getattr(library(), f"surfhead_{direction}_{'f64' if dtype == torch.float64 else 'f32'}")
    status = function(ctypes.c_int(instruction_set()), *(ctypes.byref(s) for s in structures))
    if status:
        inputs: Any = structures[0]
        raise SurfheadError(
            f"The cpu rasterizer ran out of {'memory' if status == 1 else 'room for intersections'} "
            f"drawing {inputs.surfels} surfels at {inputs.width}x{inputs.height}.",
            "It needs about 100 bytes a surfel and 90 a (tile, surfel) intersection.",
            "Draw fewer or smaller surfels, or a smaller picture.",
        )


def _inputs(tensors: dict[str, Tensor], height: int, width: int, near: float) -> _Inputs:
    poses, surfels = tensors["mean"].shape[:2]
    return _Inputs(
        **{name: tensor.data_ptr() for name, tensor in tensors.items()},
        views=len(tensors["cameras"]),
        poses=poses,
        surfels=surfels,
        height=height,
        width=width,
        threads=torch.get_num_threads(),
        near=near,
    )


def _named(*tensors: Tensor) -> dict[str, Tensor]:
    """The input tensors by name, contiguous (the caller keeps them alive)."""
    given = dict(zip(RULES, tensors, strict=True))
    poses = measure("rasterize_cpu", RULES, given)["poses"]
    for name in ("tangents", "normal", "opacity", "colour", "background"):
        if given[name].dtype != given["mean"].dtype:
            raise ShapeError(
                f'"{name}" of kernel "rasterize_cpu" is {given[name].dtype}.',
                f'Expected {given["mean"].dtype}, as "mean" is.',
                "Convert it.",
            )
    chosen = given["pose_of_view"]
    if len(chosen) and not 0 <= int(chosen.min()) <= int(chosen.max()) < poses:
        raise ShapeError(
            f'"pose_of_view" of kernel "rasterize_cpu" holds {int(chosen.min())} to {int(chosen.max())}.',
            f"Expected indices of {poses} poses, from 0.",
            "Check how it was built.",
        )
    return {name: tensor.contiguous() for name, tensor in given.items()}


def _empty(mean: Tensor, views: int, height: int, width: int) -> tuple[Tensor, ...]:
    """Uninitialised outputs, in the order of OUTPUTS and SAVED."""
    picture = (views, height, width)
    return (
        mean.new_empty((*picture, 3)),
        mean.new_empty(picture),
        mean.new_empty((*picture, 3)),
        *(mean.new_empty(picture) for _ in range(3)),
        mean.new_empty((views, mean.shape[1]), dtype=torch.bool),
        mean.new_empty((views, mean.shape[1])),
        *(mean.new_empty(picture) for _ in range(4)),
        *(mean.new_empty(picture, dtype=torch.int32) for _ in range(2)),
    )


_ARGUMENTS = (
    "Tensor mean, Tensor tangents, Tensor normal, Tensor opacity, Tensor colour, Tensor background, "
    "Tensor cameras, Tensor pose_of_view, SymInt height, SymInt width, float near"
)


def _rasterize(
    mean: Tensor,
    tangents: Tensor,
    normal: Tensor,
    opacity: Tensor,
    colour: Tensor,
    background: Tensor,
    cameras: Tensor,
    pose_of_view: Tensor,
    height: int,
    width: int,
    near: float,
) -> tuple[Tensor, ...]:
    """Draw B views; reference twin: surfhead/plugins/rasterizers/reference.py.

    Args:
        mean, tangents, normal, opacity: as in ``WorldSurfels``, float32 or float64.
        colour, background: (B, N, 3) and (B, 3).
        cameras: (B, 16) float64: rotation row by row, translation, fx, fy, cx, cy.
        pose_of_view: (B,) int64.
        height, width, near: as in ``Cameras``.

    Returns:
        The tensors of ``RenderOutput`` in its order, then what the backward reads again.
    """
    tensors = _named(mean, tangents, normal, opacity, colour, background, cameras, pose_of_view)
    outputs = _empty(mean, len(cameras), height, width)
    pointers = _Outputs(*(tensor.data_ptr() for tensor in outputs))
    _call("forward", mean.dtype, _inputs(tensors, height, width, near), pointers)
    return outputs


def _fake(
    mean: Tensor,
    tangents: Tensor,
    normal: Tensor,
    opacity: Tensor,
    colour: Tensor,
    background: Tensor,
    cameras: Tensor,
    pose_of_view: Tensor,
    height: int,
    width: int,
    near: float,
) -> tuple[Tensor, ...]:
    return _empty(mean, cameras.shape[0], height, width)


def _rasterize_backward(
    mean: Tensor,
    tangents: Tensor,
    normal: Tensor,
    opacity: Tensor,
    colour: Tensor,
    background: Tensor,
    cameras: Tensor,
    pose_of_view: Tensor,
    height: int,
    width: int,
    near: float,
    outputs: list[Tensor],
    g_rgb: Tensor | None,
    g_alpha: Tensor | None,
    g_normal: Tensor | None,
    g_depth: Tensor | None,
    g_median_depth: Tensor | None,
    g_distortion: Tensor | None,
) -> tuple[Tensor, ...]:
    """Gradients of mean, tangents, normal, opacity and colour.

    ``outputs`` are READ of the forward. An upstream gradient that is None costs nothing where it can be left
    out (normal; distortion; depth, median and distortion).
    """
    tensors = _named(mean, tangents, normal, opacity, colour, background, cameras, pose_of_view)

    def given(gradient: Tensor | None, like: tuple[int, ...], needed: bool = True) -> Tensor | None:
        if gradient is not None:
            return gradient.contiguous()
        return mean.new_zeros(like) if needed else None

    picture = tuple(outputs[1].shape)
    geometry = any(g is not None for g in (g_depth, g_median_depth, g_distortion))
    upstream = (
        given(g_rgb, (*picture, 3)),
        given(g_alpha, picture),
        given(g_normal, (*picture, 3), needed=False),
        given(g_depth, picture, geometry),
        given(g_median_depth, picture, geometry),
        given(g_distortion, picture, geometry and not hasattr(library(), "surfhead_revision")),
    )
    made = tuple(
        torch.zeros_like(tensors[name]) for name in ("mean", "tangents", "normal", "opacity", "colour")
    )
    saved = _Outputs(**{name: t.data_ptr() for name, t in zip(READ, outputs, strict=True)})
    gradients = _Gradients(*(_pointer(t) for t in upstream), *(_pointer(t) for t in made))
    _call("backward", mean.dtype, _inputs(tensors, height, width, near), saved, gradients)
    return made


def _fake_backward(
    mean: Tensor,
    tangents: Tensor,
    normal: Tensor,
    opacity: Tensor,
    colour: Tensor,
    *_: Any,
) -> tuple[Tensor, ...]:
    return tuple(
        torch.empty_like(t, memory_format=torch.contiguous_format)
        for t in (mean, tangents, normal, opacity, colour)
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.height, ctx.width, ctx.near = inputs
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[6:])
    named = dict(zip((*OUTPUTS, *SAVED), output, strict=True))
    ctx.save_for_backward(*tensors, *(named[name] for name in READ))


def _backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
    tensors = ctx.saved_tensors
    operator = operators.rasterize_cpu_backward
    gradients = list(
        operator(*tensors[:8], ctx.height, ctx.width, ctx.near, list(tensors[8:]), *upstream[:6])
    )
    background = None
    if upstream[0] is not None and ctx.needs_input_grad[5]:
        transmittance = tensors[8 + READ.index("transmittance")]
        background = (upstream[0] * transmittance[..., None]).sum((1, 2))
    return (*gradients, background, None, None, None, None, None)


register(
    "rasterize_cpu",
    f"({_ARGUMENTS}) -> ({', '.join(['Tensor'] * 14)})",
    _rasterize,
    _fake,
    ("CPU",),
)
register(
    "rasterize_cpu_backward",
    f"({_ARGUMENTS}, Tensor[] outputs, Tensor? g_rgb, Tensor? g_alpha, Tensor? g_normal, "
    f"Tensor? g_depth, Tensor? g_median_depth, Tensor? g_distortion) -> ({', '.join(['Tensor'] * 5)})",
    _rasterize_backward,
    _fake_backward,
    ("CPU",),
)
differentiate("rasterize_cpu", _backward, _setup)
rasterize = operators.rasterize_cpu
"""``_rasterize`` as an operator of PyTorch, with gradients."""
