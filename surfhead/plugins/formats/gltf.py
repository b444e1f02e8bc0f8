"""glTF binary files with the extension KHR_gaussian_splatting: one pose, for engines and viewers.

    surfhead export RUN --format gltf --timestep 10

A mesh of one point primitive with kernel ``ellipse``: centres, unit quaternions (x, y, z, w), linear scales
(the third a micrometre), opacities in [0, 1] and harmonics in world directions, in the display's sRGB, as the
extension's text of April 2026 wants them. Readers without the extension see coloured points. Highlights have
no place in the layout and are left out. Axes are the avatar's: +y up and +z out of the face, as in glTF.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from surfhead.core.api import AvatarView, Format, Pose
from surfhead.files.writing import write_bytes
from surfhead.maths import harmonics
from surfhead.plugins.formats.posed import posed

EXTENSION = "KHR_gaussian_splatting"
THICKNESS = 1e-6  # metres, one standard deviation
FLOAT, BYTE = 5126, 5121  # glTF's component types
ARRAY_BUFFER, POINTS = 34962, 0
TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
MAGIC, VERSION, JSON_CHUNK, BINARY_CHUNK = b"glTF", 2, b"JSON", b"BIN\0"


class Gltf(Format):
    """Writes splats in glTF."""

    name = "gltf"
    summary = "glTF (.glb) with KHR_gaussian_splatting: splats of one pose."
    suffixes = (".glb",)
    writes = True

    def write(
        self, avatar: AvatarView, path: Path, *, timestep: int | None = None, parameters: Pose | None = None
    ) -> list[Path]:
        """Write one pose; gives the file. Raises OptionError where both are given, or no such timestep is."""
        attributes = splat_attributes(posed(avatar, timestep, parameters))
        write_bytes(path, binary(attributes))
        return [path]


def splat_attributes(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The extension's attributes by name, of raw surfel arrays of one pose (see ``point_cloud``)."""
    quaternion = arrays["quaternion"].astype(np.float64)
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    scale = np.exp(arrays["log_scale"].astype(np.float64))
    opacity = 1 / (1 + np.exp(-arrays["opacity"].astype(np.float64)))
    made = {
        "POSITION": arrays["offset"],
        f"{EXTENSION}:ROTATION": quaternion[:, [1, 2, 3, 0]],
        f"{EXTENSION}:SCALE": np.pad(scale, ((0, 0), (0, 1)), constant_values=THICKNESS),
        f"{EXTENSION}:OPACITY": opacity,
    }
    if "sh_dc" in arrays:
        rest = arrays["sh_rest"]
        made[f"{EXTENSION}:SH_DEGREE_0_COEF_0"] = arrays["sh_dc"]
        for degree in (1, 2, 3):
            if not rest[:, degree**2 - 1 :].any():
                break  # neither this degree nor a higher one is in use
            for number in range(2 * degree + 1):
                name = f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{number}"
                made[name] = rest[:, degree**2 - 1 + number]
        colour = np.clip(harmonics.Y00 * arrays["sh_dc"].astype(np.float64) + 0.5, 0.0, 1.0)
        rgba = np.concatenate([_linear(colour), opacity[:, None]], axis=1)
        made["COLOR_0"] = np.rint(255 * rgba).astype(np.uint8)
    return {name: v if v.dtype == np.uint8 else v.astype("<f4") for name, v in made.items()}


def _linear(display: np.ndarray) -> np.ndarray:
    """sRGB values as linear light (IEC 61966-2-1), which COLOR_0 holds."""
    return np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)


def binary(attributes: dict[str, np.ndarray]) -> bytes:
    """A glTF binary file with one point primitive of these attributes, each (N,), (N, 3) or (N, 4)."""
    data, views, accessors = bytearray(), [], []
    for name, values in attributes.items():
        raw = np.ascontiguousarray(values).tobytes()
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(raw), "target": ARRAY_BUFFER})
        accessor: dict[str, Any] = {
            "bufferView": len(views) - 1,
            "componentType": BYTE if values.dtype == np.uint8 else FLOAT,
            "count": len(values),
            "type": TYPES[1 if values.ndim == 1 else values.shape[1]],
        }
        if values.dtype == np.uint8:
            accessor["normalized"] = True
        if name == "POSITION" and len(values):
            accessor |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        accessors.append(accessor)
        data += raw
    primitive = {
        "mode": POINTS,
        "attributes": {name: number for number, name in enumerate(attributes)},
        "extensions": {EXTENSION: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}},
    }
    description = {
        "asset": {"version": "2.0", "generator": "surfhead"},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "avatar"}],
        "meshes": [{"primitives": [primitive]}],
        "buffers": [{"byteLength": len(data)}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(description, separators=(",", ":")).encode("ascii")
    chunks = b"".join(
        struct.pack("<I4s", len(padded), kind) + padded
        for kind, padded in (
            (JSON_CHUNK, text + b" " * (-len(text) % 4)),
            (BINARY_CHUNK, bytes(data) + b"\0" * (-len(data) % 4)),
        )
    )
    return struct.pack("<4sII", MAGIC, VERSION, 12 + len(chunks)) + chunks
