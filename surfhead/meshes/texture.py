"""A texture of a rig's own mesh: base colour and normal map, taken from the fused surface round it.

Every texel's point on the rig's mesh takes colour and normal of the nearest vertices of the fused surface
whose normals agree with it. Vertices at one place in the texture and on the mesh share a tangent, the mean of
their triangles' gradients of u by area, as MikkTSpace has it; normals are stored in these frames, with +y
along +v (glTF 2.0, section 3.9.3). Texels that no triangle covers take the nearest covered one's values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from surfhead.core.errors import OptionError, unknown_name
from surfhead.core.types import Topology
from surfhead.maths.triangles import vertex_normals
from surfhead.meshes.surface_mesh import SurfaceMesh

REACH = 0.03  # metres from the rig's mesh within which the fused surface is looked for
NEAREST = 8  # vertices that a texel looks at
SMALLEST, LARGEST = 16, 8192  # texels of a side
CHUNK = 2_000_000  # candidate texels at once
FLAT = (128, 128, 255)  # a normal map's colour where nothing bends


@dataclass(frozen=True)
class TexturedMesh:
    """A mesh with a texture.

    Attributes:
        vertices: (V, 3) float32, metres, one for each corner that differs in place or texture.
        triangles: (F, 3) int64.
        normals: (V, 3) unit.
        tangents: (V, 4) unit, and the sign of the bitangent, sign n x t.
        uv: (V, 2), v upwards.
        base_colour: (S, S, 3) uint8 sRGB, its first row at v = 1.
        normal_map: (S, S, 3) uint8.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    tangents: np.ndarray
    uv: np.ndarray
    base_colour: np.ndarray
    normal_map: np.ndarray

    def write(self, path: Path) -> Path:
        """Write a GLB file and give its path. Raises UnknownNameError for another suffix."""
        import trimesh
        from PIL import Image
        from trimesh.visual import material as materials
        from trimesh.visual import texture as textures

        check_suffix(path)
        pbr_material: Any = materials.PBRMaterial
        texture_visuals: Any = textures.TextureVisuals
        material = pbr_material(
            baseColorTexture=Image.fromarray(self.base_colour),
            normalTexture=Image.fromarray(self.normal_map),
            baseColorFactor=[255, 255, 255, 255],
            metallicFactor=0.0,
            roughnessFactor=0.9,
            doubleSided=True,
        )
        made: Any = trimesh.Trimesh(
            self.vertices,
            self.triangles,
            vertex_normals=self.normals,
            visual=texture_visuals(uv=self.uv, material=material),
            vertex_attributes={"_TANGENT": self.tangents.astype(np.float32)},
            process=False,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        made.export(path, file_type="glb", include_normals=True, tree_postprocessor=_name_tangents)
        return path


def check_suffix(path: Path) -> None:
    """Raise UnknownNameError unless a texture can be written into such a file."""
    if path.suffix.lower() != ".glb":
        raise unknown_name(
            "suffix for a mesh with a texture", path.suffix, (".glb",), "Choose --out NAME.glb."
        )


def _name_tangents(tree: dict[str, Any]) -> None:
    """Attributes of one's own begin with an underscore; this one is glTF's."""
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            attributes = primitive["attributes"]
            attributes["TANGENT"] = attributes.pop("_TANGENT")


def check_texture(topology: Topology | None, rig: str, size: int) -> None:
    """Raise OptionError unless the rig has texture coordinates and the size is sensible."""
    if not SMALLEST <= size <= LARGEST:
        raise OptionError(
            f'"texture" is {size}.', f"Expected {SMALLEST} to {LARGEST} texels.", "Mend --texture."
        )
    if topology is None or topology.uv is None:
        raise OptionError(
            f'Rig "{rig}" has no texture coordinates.',
            "A texture needs them.",
            "Leave --texture away: the colours then are the vertices'.",
        )


def bake(surface: SurfaceMesh, vertices: Tensor, topology: Topology, size: int) -> TexturedMesh:
    """The rig's mesh with what the fused surface shows.

    Args:
        surface: with colours; as dense as its voxels.
        vertices: (V, 3) the rig's, in the same pose, metres.
        topology: with ``uv``.
        size: texels of a side.
    """
    assert topology.uv is not None
    assert surface.colours is not None
    points = vertices.detach().cpu().float()
    faces, coordinates = topology.triangles.cpu(), topology.uv.detach().cpu().float()
    smooth = vertex_normals(points, faces)
    # corners that agree in vertex and texture are one vertex
    keys = np.concatenate(
        [faces.reshape(-1, 1).double().numpy(), coordinates.reshape(-1, 2).double().numpy()], 1
    )
    _, first, split = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    triangles = split.reshape(-1, 3).astype(np.int64)
    at = faces.reshape(-1).numpy()[first]
    place, normal = points.numpy()[at], smooth.numpy()[at]
    uv = coordinates.reshape(-1, 2).numpy()[first]
    tangent = _tangents(place, normal, uv, triangles)
    row, column, face, weight = _covered(uv[triangles], size)

    def spread(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("nk,nkd->nd", weight, values[triangles[face]]))

    colour, bent = _nearest(surface, spread(place), _unit(spread(normal)))
    along, up = spread(tangent[:, :3]), spread(normal)
    across = spread(tangent[:, 3:] * np.cross(normal, tangent[:, :3]))
    local = np.linalg.solve(np.stack([along, across, up], axis=2) + 1e-9 * np.eye(3), bent[..., None])[..., 0]
    local[~np.isfinite(local).all(axis=1)] = (0.0, 0.0, 1.0)
    local = _unit(local)
    base = np.full((size, size, 3), 128, np.uint8)
    bumps = np.full((size, size, 3), FLAT, np.uint8)
    base[row, column] = np.rint(colour)
    bumps[row, column] = np.rint(255 * (0.5 * local + 0.5)).clip(0, 255)
    covered = np.zeros((size, size), bool)
    covered[row, column] = True
    return TexturedMesh(
        place, triangles, normal, tangent, uv, _filled(base, covered), _filled(bumps, covered)
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-12))


def _tangents(place: np.ndarray, normal: np.ndarray, uv: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 4) unit tangents at right angles to the normals, and signs."""
    corner, flat = place[triangles], uv[triangles].astype(np.float64)
    first, second = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    (a, b), (c, d) = (flat[:, 1] - flat[:, 0]).T, (flat[:, 2] - flat[:, 0]).T
    turned = np.sign(a * d - b * c)  # mirrored in the texture: -1; of no size there: 0
    # the gradient of u over the triangle, as long as its area
    area = np.linalg.norm(np.cross(first, second), axis=1, keepdims=True)
    along = area * _unit(turned[:, None] * (d[:, None] * first - b[:, None] * second))
    total, sign = np.zeros_like(place, dtype=np.float64), np.zeros(len(place))
    for k in range(3):
        np.add.at(total, triangles[:, k], along)
        np.add.at(sign, triangles[:, k], turned * area[:, 0])
    total -= (total * normal).sum(axis=1, keepdims=True) * normal
    lost = np.linalg.norm(total, axis=1) < 1e-12
    total[lost] = np.cross(normal[lost], np.where(np.abs(normal[lost, :1]) < 0.9, [1.0, 0, 0], [0, 1.0, 0]))
    return np.concatenate([_unit(total), np.where(sign < 0, -1.0, 1.0)[:, None]], axis=1).astype(np.float32)


def _covered(corners: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns, triangles and barycentric coordinates (M, 3) of the texels whose middles are covered."""
    at = corners.astype(np.float64) * size - 0.5  # texels' middles are whole numbers
    at[..., 1] = size - 1 - at[..., 1]
    low = np.ceil(at.min(axis=1)).clip(0, size).astype(np.int64)
    high = np.floor(at.max(axis=1)).clip(-1, size - 1).astype(np.int64)
    wide, tall = (high - low + 1).clip(0).T
    counts = wide * tall
    found = []
    for part in np.array_split(np.arange(len(at)), 1 + int(counts.sum()) // CHUNK):
        face = np.repeat(part, counts[part])
        step = np.arange(len(face)) - np.repeat(np.cumsum(counts[part]) - counts[part], counts[part])
        column, row = low[face, 0] + step % wide[face].clip(1), low[face, 1] + step // wide[face].clip(1)
        a, b, c = at[face].transpose(1, 2, 0)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        safe = np.where(area == 0, 1.0, area)
        second = ((column - a[0]) * (c[1] - a[1]) - (row - a[1]) * (c[0] - a[0])) / safe
        third = ((b[0] - a[0]) * (row - a[1]) - (b[1] - a[1]) * (column - a[0])) / safe
        weight = np.stack([1.0 - second - third, second, third], axis=1)
        kept = (area != 0) & (weight >= -1e-9).all(axis=1)
        found.append((row[kept], column[kept], face[kept], weight[kept]))
    rows, columns, faces, weights = (np.concatenate(values) for values in zip(*found, strict=True))
    return rows, columns, faces, weights


def _nearest(surface: SurfaceMesh, points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, 3) colours and unit normals of the surface nearest to points; ``normals`` where none is near."""
    from scipy.spatial import cKDTree

    assert surface.colours is not None
    count = min(NEAREST, len(surface.vertices))
    known = surface.vertices.numpy()
    distance, index = cKDTree(known).query(points, k=count, distance_upper_bound=REACH)
    distance, index = distance.reshape(-1, count), index.reshape(-1, count)
    there = np.isfinite(distance)
    index = np.where(there, index, 0)
    bent = surface.normals.numpy()[index]
    agree = there & ((bent * normals[:, None]).sum(axis=2) > 0)
    shortest = np.where(agree, distance, np.inf).min(axis=1, keepdims=True)
    beside = np.where(agree, distance, 0.0) ** 2 - np.where(np.isfinite(shortest), shortest, 0.0) ** 2
    spacing = float(np.median(distance[there])) if there.any() else 1.0
    weight = agree / (beside.clip(0) + 0.1 * spacing**2 + 1e-12)
    total = weight.sum(axis=1, keepdims=True)
    share = (weight / total.clip(1e-12))[..., None]
    none = total[:, 0] == 0
    colour = (share * surface.colours.numpy()[index]).sum(axis=1)
    colour[none] = 128.0
    if none.any() and not none.all():  # what nothing shows looks as what lies beside it
        beside_it = cKDTree(points[~none]).query(points[none])[1]
        colour[none] = colour[~none][beside_it]
    shown = (share * bent).sum(axis=1)
    shown[none] = normals[none]
    return colour, _unit(shown)


def _filled(picture: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """The picture with the nearest covered texel's values where none is covered."""
    from scipy import ndimage

    if covered.all() or not covered.any():
        return picture
    rows, columns = ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
    return np.asarray(picture[rows, columns])
