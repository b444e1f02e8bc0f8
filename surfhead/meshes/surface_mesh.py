"""A triangle mesh that is taken away: vertices, normals and colours, its parts, and its files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from surfhead.core.errors import OptionError, unknown_name
from surfhead.files.writing import beside
from surfhead.maths.triangles import vertex_normals

if TYPE_CHECKING:
    from surfhead.meshes.fusion import TsdfVolume

TAUBIN = (0.5, -0.53)  # shares of the way to the neighbours' mean, forth and back
SUFFIXES = (".ply", ".obj", ".glb")


@dataclass(frozen=True)
class SurfaceMesh:
    """A surface of triangles, wound so that normals point outward.

    Attributes:
        vertices: (V, 3) float32, metres, world space.
        triangles: (F, 3) int64.
        normals: (V, 3) float32 unit normals, the triangles' weighted by their area.
        colours: (V, 3) uint8 RGB as shown on a display, or None.
        note: where it comes from, a line that goes into its file.
    """

    vertices: Tensor
    triangles: Tensor
    normals: Tensor
    colours: Tensor | None = None
    note: str = ""

    @classmethod
    def of(cls, vertices: Tensor, triangles: Tensor, colours: Tensor | None = None) -> SurfaceMesh:
        """A mesh on the CPU, its normals made from its triangles."""
        vertices, triangles = vertices.detach().float().cpu(), triangles.detach().long().cpu()
        return cls(vertices, triangles, vertex_normals(vertices, triangles), colours)

    def largest(self, count: int) -> SurfaceMesh:
        """The ``count`` connected parts of largest area, without the vertices of the others; 0: all."""
        if count <= 0 or not len(self.triangles):
            return self
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        faces = self.triangles.numpy()
        edges = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
        size = len(self.vertices)
        links = coo_matrix((np.ones(len(edges), dtype=bool), (edges[:, 0], edges[:, 1])), shape=(size, size))
        label = connected_components(links, directed=False)[1][faces[:, 0]]
        area = np.bincount(label, weights=triangle_areas(self.vertices, self.triangles).numpy())
        kept = np.isin(label, np.argsort(-area, kind="stable")[:count])
        used, triangles = np.unique(faces[kept], return_inverse=True)
        rows = torch.from_numpy(used)
        return SurfaceMesh(
            self.vertices[rows],
            torch.from_numpy(triangles.reshape(-1, 3).astype(np.int64)),
            self.normals[rows],
            None if self.colours is None else self.colours[rows],
        )

    def smoothed(self, steps: int) -> SurfaceMesh:
        """The mesh without its finest unevenness, hardly shrunk; normals are made anew.

        Each step moves every vertex towards the mean of its neighbours, and then a little farther back
        (Taubin, "A signal processing approach to fair surface design", SIGGRAPH 1995). Open edges are kept.
        """
        if steps <= 0 or not len(self.triangles):
            return self
        from scipy.sparse import coo_matrix, diags

        faces, size = self.triangles.numpy(), len(self.vertices)
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        ones = np.ones(len(edges), dtype=np.float32)
        directed = coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(size, size)).tocsr()
        links = directed + directed.T
        # an edge of one triangle is open
        open_ends = np.unique(np.concatenate((links == 1).nonzero()))
        links.data[:] = 1.0
        mean = diags(1.0 / np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1.0)).astype(np.float32) @ links
        points = self.vertices.numpy()
        for _ in range(steps):
            for share in TAUBIN:
                change = share * (mean @ points - points)
                change[open_ends] = 0.0
                points = points + change
        return SurfaceMesh.of(torch.from_numpy(points), self.triangles, self.colours)

    def write(self, path: Path) -> Path:
        """Write a PLY, OBJ or GLB file, as the suffix says, and give its path.

        Colours in GLB are turned into linear light, as glTF 2.0 demands, on a material that is no metal.

        Raises:
            UnknownNameError: another suffix. OptionError: the mesh is empty.
        """
        import trimesh

        suffix = path.suffix.lower()
        check_suffix(path)
        if not len(self.triangles):
            raise OptionError(
                f'"{path.name}" is not written: the mesh has no triangle.',
                "Expected a surface inside the box.",
                "Check --box, or take more --views.",
            )
        colours = self.colours
        if colours is not None and suffix == ".glb":
            colours = (linear_light(colours / 255.0) * 255.0).round().to(torch.uint8)
        made: Any = trimesh.Trimesh(
            self.vertices.numpy(),
            self.triangles.numpy(),
            vertex_normals=self.normals.numpy(),
            vertex_colors=None if colours is None else colours.numpy(),
            process=False,
        )
        settings: dict[str, Any] = {"include_normals": True}
        if suffix == ".ply":
            settings = {"vertex_normal": True}
        elif suffix == ".glb":
            settings["tree_postprocessor"] = partial(_no_metal, note=self.note)
        elif self.note:
            settings["header"] = self.note
        with beside(path) as temporary:
            written = made.export(file_type=suffix[1:], **settings)
            content = written.encode("utf-8") if isinstance(written, str) else written
            temporary.write_bytes(_commented(content, self.note) if suffix == ".ply" else content)
        return path


def check_suffix(path: Path) -> None:
    """Raise UnknownNameError unless the file can be written."""
    if path.suffix.lower() not in SUFFIXES:
        raise unknown_name("mesh file suffix", path.suffix, SUFFIXES, "Choose another name for --out.")


def _commented(content: bytes, note: str) -> bytes:
    """A PLY file's content with a comment in its header."""
    comment = f"comment {' '.join(note.split())}\n".encode("ascii", "replace") if note else b""
    return content.replace(b"element vertex", comment + b"element vertex", 1)


def _no_metal(tree: dict[str, Any], note: str) -> None:
    """Give a glTF's meshes a dull material: without one they are mirrors of metal; and say whence it is."""
    tree.setdefault("asset", {"version": "2.0"})
    tree["asset"] |= {"generator": "surfhead", **({"extras": {"source": note}} if note else {})}
    dull = {"baseColorFactor": [1.0, 1.0, 1.0, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.9}
    tree["materials"] = [{"pbrMetallicRoughness": dull, "doubleSided": True}]
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            primitive["material"] = 0


def linear_light(colour: Tensor) -> Tensor:
    """Display values of sRGB in [0, 1] as linear light (IEC 61966-2-1)."""
    return torch.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055).pow(2.4))


def triangle_areas(vertices: Tensor, triangles: Tensor) -> Tensor:
    """(F,) areas, square metres."""
    corner = vertices[triangles]
    doubled = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    areas: Tensor = torch.linalg.vector_norm(doubled, dim=1) / 2
    return areas


def zero_surface(volume: TsdfVolume, least_weight: float = 0.0) -> SurfaceMesh:
    """The surface on which a distance field is zero, by marching cubes, where all eight corners are known.

    Lewiner et al., "Efficient implementation of marching cubes' cases with topological guarantees" (2003), by
    scikit-image. An unknown or empty field gives a mesh without triangles.
    """
    field, known, first = volume.dense(least_weight)
    cells = known[:-1, :-1, :-1].clone()
    for corner in range(1, 8):
        x, y, z = corner & 1, corner >> 1 & 1, corner >> 2
        cells &= known[x : x + cells.shape[0], y : y + cells.shape[1], z : z + cells.shape[2]]
    values = field.numpy()
    if not bool(cells.any()) or not values.min() < 0.0 < values.max():
        return SurfaceMesh.of(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    from skimage import measure

    marching_cubes: Any = measure.marching_cubes
    mask = np.zeros(values.shape, dtype=bool)
    mask[1:, 1:, 1:] = cells.numpy()  # it names a cell by its last corner
    try:
        found = marching_cubes(values, 0.0, mask=mask, gradient_direction="descent", allow_degenerate=False)
    except RuntimeError:  # no surface in any known cell
        return SurfaceMesh.of(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    vertices = first + volume.voxel * torch.from_numpy(np.ascontiguousarray(found[0], dtype=np.float32))
    return SurfaceMesh.of(vertices, torch.from_numpy(found[1].astype(np.int64)))
