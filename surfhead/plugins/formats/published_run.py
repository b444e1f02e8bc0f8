"""What stands beside the point cloud of a SurFhead run: its specular network and its training options.

The network is a linear layer from the surfels' 24-vector to the lobes' numbers, and a perceptron with two
hidden layers of 128 (docs/method.md, section 6). Its tensors' names are free: layers are told by their sizes,
which also say whether the run had `sg`, `asg` or `lasg`. Two orders are nowhere written down and therefore
options of format ``surfhead``: that of the linear layer's outputs, and that of the direction's sines and
cosines. Both are turned into this project's order here, so that the appearance model draws what they drew.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surfhead.core.api import DataError
from surfhead.files import bounds

NETWORK, ARGUMENTS = "specular.pth", "cfg_args"
FEATURES, HIDDEN = 24, 128
AMPLITUDES, OCTAVES = 2, 2
# model: lobes, sharpnesses of a lobe, channels of its light
MODELS = {"lasg": (16, 2, 1), "asg": (32, 2, 3), "sg": (32, 1, 3)}
LONGEST = 1 << 20  # bytes of a text of arguments
NUMBERS = 1 << 22  # of a network; the largest here has some 20,000


def iteration_of(path: Path) -> int:
    """The number at the end of a name such as iteration_30000, or -1."""
    digits = path.name.rpartition("_")[2]
    return int(digits) if digits.isdigit() else -1


def run_of(cloud: Path) -> Path | None:
    """The run folder of RUN/point_cloud/iteration_N/point_cloud.ply; None for a cloud elsewhere."""
    folder = cloud.resolve().parent
    if iteration_of(folder) < 0 or folder.parent.name != "point_cloud":
        return None
    return folder.parents[1]


def read_arguments(cloud: Path, notes: list[str]) -> dict[str, Any]:
    """The training options in the run's ``cfg_args``, a text ``Namespace(name=value, ...)``; nothing is run.

    Empty where there is none; values that are not plain are left out. A text of another form is noted.
    """
    run = run_of(cloud)
    path = None if run is None else run / ARGUMENTS
    if path is None or not path.is_file():
        return {}
    try:
        if path.stat().st_size > LONGEST:
            raise ValueError("it is too long")
        call = ast.parse(path.read_text(encoding="utf-8").strip(), mode="eval").body
        if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "Namespace":
            raise ValueError("it is no Namespace")
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        notes.append(f'"{path}" cannot be read ({error}); the final options of SurFhead are assumed.')
        return {}
    found = {}
    for keyword in call.keywords:
        try:
            found[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError):
            continue
    return found


def find_network(cloud: Path, notes: list[str]) -> Path | None:
    """The specular network's file of the cloud's own iteration, else the newest, with a note."""
    places = [cloud.parent / "specular"]
    run = run_of(cloud)
    if run is not None:
        places.append(run / "specular")
    files = [place / NETWORK for place in (cloud.parent, *places)]
    rows = sorted((row for place in places for row in place.glob("iteration_*")), key=iteration_of)
    own = iteration_of(cloud.parent)
    same = [row / NETWORK for row in rows if iteration_of(row) == own]
    others = [row / NETWORK for row in reversed(rows)]
    path = next((file for file in (*same, *files, *others) if file.is_file()), None)
    if path is None:
        notes.append("There is no specular network beside it; highlights are left out.")
    elif path in others and path not in same and own >= 0:
        notes.append(f"The specular network is that of {path.parent.name}, the surfels are not.")
    return path


def read_network(
    path: Path, lobe_order: str, encoding_order: str, notes: list[str]
) -> tuple[str, dict[str, Tensor]]:
    """The appearance model a specular network belongs to, and its state in this project's order and names.

    Args:
        path: a state dictionary; nothing but tensors is loaded.
        lobe_order: of the linear layer's outputs: ``lobe`` (a lobe's two amplitudes and its sharpnesses
            together) or ``kind`` (all amplitudes, then all λ, then all μ).
        encoding_order: of the direction's sines, and of its cosines: ``axis`` (x, 2x, y, 2y, z, 2z) or
            ``octave`` (x, y, z, 2x, 2y, 2z).
        notes: gets a sentence where the sizes are no model's; then name and state are empty.

    Raises:
        DataError: naming the file, which is damaged or holds other things than finite tensors.
    """
    try:
        with bounds.regular(path).open("rb") as file:
            state = torch.load(bounds.archive(file), map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError("it is no dictionary of tensors")
        if sum(value.numel() for value in state.values()) > NUMBERS:  # a tensor may repeat one number
            raise ValueError(f"it holds more than {NUMBERS} numbers")
        tensors = {str(name): value.float() for name, value in state.items()}
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise ValueError("it holds NaN or infinity")
    except Exception as error:  # a damaged archive can fail in any way
        raise DataError(
            f'Specular network "{path}" cannot be read: {str(error).partition(chr(10))[0]}.',
            "Expected a state dictionary of tensors; nothing else is ever loaded.",
            "Remove the file to import the avatar without highlights.",
        ) from error
    for model, (lobes, sharpnesses, channels) in MODELS.items():
        inputs = AMPLITUDES * lobes + 1 + 3 + 6 * OCTAVES
        sizes = {
            "lobes": (lobes * (AMPLITUDES + sharpnesses), FEATURES),
            "perceptron.0": (HIDDEN, inputs),
            "perceptron.2": (HIDDEN, HIDDEN),
            "perceptron.4": (channels, HIDDEN),
        }
        layers = {name: _layer(tensors, size) for name, size in sizes.items()}
        if all(layer is not None for layer in layers.values()):
            made = {name: layer for name, layer in layers.items() if layer is not None}
            if lobe_order == "lobe":
                made["lobes"] = tuple(_by_kind(value, lobes) for value in made["lobes"])  # type: ignore[assignment]
            if encoding_order == "axis":
                weight, bias = made["perceptron.0"]
                made["perceptron.0"] = _by_octave(weight), bias
            state = {f"{name}.weight": weight for name, (weight, _) in made.items()}
            return model, state | {f"{name}.bias": bias for name, (_, bias) in made.items()}
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in tensors.items())
    notes.append(
        f'The specular network "{path}" has sizes of no known model; highlights are left out: {shapes}'
    )
    return "", {}


def _layer(tensors: Mapping[str, Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor] | None:
    """Weight and bias of the one linear layer of a size; a layer without bias has a bias of zeros."""
    names = [name for name, value in tensors.items() if tuple(value.shape) == size]
    if len(names) != 1:
        return None
    bias = tensors.get(names[0].removesuffix("weight") + "bias", torch.zeros(size[0]))
    return None if tuple(bias.shape) != size[:1] else (tensors[names[0]], bias)


def _by_kind(values: Tensor, lobes: int) -> Tensor:
    """Rows that stand lobe by lobe, as all amplitudes (lobe by lobe), all λ, all μ."""
    rows = values.reshape(lobes, len(values) // lobes, *values.shape[1:])
    sharpness = rows[:, AMPLITUDES:].transpose(0, 1)
    return torch.cat((rows[:, :AMPLITUDES].flatten(0, 1), sharpness.flatten(0, 1)))


def _by_octave(weight: Tensor) -> Tensor:
    """Columns of the encoding, the last 12, that stand axis by axis, as octave by octave."""
    plain, encoding = weight[:, : -6 * OCTAVES], weight[:, -6 * OCTAVES :]
    turned = encoding.reshape(len(weight), 2, 3, OCTAVES).transpose(2, 3)
    return torch.cat((plain, turned.reshape(len(weight), 6 * OCTAVES)), dim=1)
