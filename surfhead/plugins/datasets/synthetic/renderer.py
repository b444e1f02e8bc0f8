"""Pictures of the synthetic head by ray casting: colour, mask, normals and depth.

Light: a sky brighter above than below, dimmed where the head hides it from itself, and soft lamps, all fixed
in the world (see ``lamps``); sharp mirror highlights of the lamps on the eyeballs. Colours are display
values: no gamma is applied. Every picture is cast with several rays a pixel and box filtered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from surfhead.core.api import Cameras, Frame, RestMesh, lamps
from surfhead.maths.lamps import Lamps
from surfhead.meshes.meshcaster import MeshCaster
from surfhead.plugins.datasets.synthetic.face import face_frame
from surfhead.plugins.datasets.synthetic.relief import Relief, vertex_normals
from surfhead.plugins.datasets.synthetic.texture import SolidTexture, bake

VERSION = 5
"""Counts changes of what is drawn: pictures of another version are made anew."""
GLINT, SHARPNESS = 0.9, 420.0  # of a lamp of strength KEY
KEY = 0.34
SKY_RAYS = 40


@dataclass
class _Pose:
    caster: MeshCaster
    normals: Tensor
    openness: Tensor


class Renderer:
    """Draws one person in any pose.

    Args:
        rest: the person's canonical mesh.
        template: the average canonical mesh of the same topology, in whose shape the texture is written.
        seed: of texture and relief.
        detail: parts into which each edge of a triangle is split for relief.
        texels: parts into which each edge is split for colour.
        supersampling: rays along each side of a pixel.
        background: RGB in [0, 1].
        light: what it is drawn under.
    """

    def __init__(
        self,
        rest: RestMesh,
        template: RestMesh,
        seed: int,
        detail: int,
        texels: int,
        supersampling: int,
        background: Sequence[float],
        light: Lamps = lamps.STUDIO,
    ) -> None:
        self.light = light
        frame = face_frame(template)
        self.triangles = rest.topology.triangles
        self.relief = Relief(rest, template, frame, detail, seed)
        self.texels = texels
        self.colours = torch.from_numpy(bake(SolidTexture(frame, seed), template, texels))
        eyeballs = rest.topology.regions.get("eyeballs")
        self.shiny = torch.zeros(len(self.triangles), dtype=torch.bool) if eyeballs is None else eyeballs
        self.supersampling = supersampling
        self.background = torch.tensor(background, dtype=torch.float32)
        self._sky = _fibonacci_hemisphere(SKY_RAYS)
        self._gap = 1.2 * frame.scale
        # Where fine triangles lie in their host: barycentric coordinates of their corners.
        self._inside = self.relief.corners[self.relief.split]

    def pose(self, vertices: Tensor) -> _Pose:
        """Prepare posed vertices (V, 3) for drawing."""
        fine = self.relief(vertices)
        caster = MeshCaster(fine.vertices, fine.triangles)
        return _Pose(caster, fine.normals, self._openness(caster, vertices))

    def draw(self, pose: _Pose, cameras: Cameras) -> list[Frame]:
        """One frame for each camera."""
        return [self._draw_one(pose, cameras[view]) for view in range(len(cameras))]

    def _openness(self, caster: MeshCaster, vertices: Tensor) -> Tensor:
        """(V,) the share of the sky above each vertex that the head itself does not hide."""
        normals = vertex_normals(vertices, self.triangles)
        other = torch.where(normals[:, :1].abs() < 0.8, torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0]))
        first = normalize(torch.linalg.cross(other.expand_as(normals), normals), dim=1)
        basis = torch.stack([first, torch.linalg.cross(normals, first), normals], dim=-1)
        rays = (self._sky @ basis.mT).reshape(-1, 3)
        starts = (vertices + self._gap * normals)[:, None].expand(-1, len(self._sky), 3).reshape(-1, 3)
        hidden = caster.occluded(starts, rays).view(len(vertices), -1)
        openness = 1.0 - hidden.float().mean(dim=1)
        # One pass over the triangles takes the grain of so few rays out.
        mean = openness[self.triangles].mean(dim=1, keepdim=True).expand(-1, 3).reshape(-1)
        corner = self.triangles.reshape(-1)
        total = torch.zeros_like(openness).index_add_(0, corner, mean)
        return total / torch.bincount(corner, minlength=len(openness)).clamp(min=1)

    def _draw_one(self, pose: _Pose, camera: Cameras) -> Frame:
        s = self.supersampling
        large = replace(
            camera,
            intrinsics=camera.intrinsics * torch.tensor([[s], [s], [1.0]], dtype=camera.intrinsics.dtype),
            height=camera.height * s,
            width=camera.width * s,
        )
        hits = pose.caster.cast(large)
        mask = hits.mask[0]
        fine = hits.triangle[0][mask]
        weights = hits.barycentric[0][mask]
        host = fine // (self.relief.size**2)
        inside = (weights[:, :, None] * self._inside[fine % (self.relief.size**2)]).sum(dim=1)
        normal = normalize((pose.normals[self.relief.triangles[fine]] * weights[..., None]).sum(dim=1), dim=1)
        open_sky = (pose.openness[self.triangles[host]] * inside).sum(dim=1)
        rotation = camera.camera_from_world[0, :3, :3].float()
        seen = _directions(large)[mask] @ rotation
        colour = self._shade(self._colour(host, inside), normal, open_sky, seen, self.shiny[host])
        picture = self.background.expand(*mask.shape, 3).clone()
        picture[mask] = colour
        camera_normal = torch.zeros(*mask.shape, 3)
        camera_normal[mask] = normal @ rotation.T
        return self._filter(picture, mask, camera_normal, hits.depth[0])

    def _colour(self, host: Tensor, inside: Tensor) -> Tensor:
        """(M, 3) bilinear colours in [0, 1] from the lattices, inside: (M, 3) barycentric coordinates."""
        size = self.texels
        i = (inside[:, 1] * size).clamp(0, size - 1e-3)
        j = (inside[:, 2] * size).clamp(0, size - 1e-3)
        row, column = i.long(), j.long()
        u, v = i - row, j - column
        upper = (u + v > 1) & (row + column < size - 1)
        corners = torch.stack(
            [
                _lattice_index(
                    torch.where(upper, row + 1, row), torch.where(upper, column + 1, column), size
                ),
                _lattice_index(row + 1, column, size),
                _lattice_index(row, column + 1, size),
            ],
            dim=1,
        )
        lower = torch.stack([(1 - u - v).clamp(min=0), u, v], dim=1)
        higher = torch.stack([(u + v - 1).clamp(min=0), 1 - v, 1 - u], dim=1)
        share = torch.where(upper[:, None], higher, lower)
        share = share / share.sum(dim=1, keepdim=True)
        texel = self.colours[host[:, None], corners].float() / 255.0
        return (texel * share[..., None]).sum(dim=1)

    def _shade(self, albedo: Tensor, normal: Tensor, open_sky: Tensor, seen: Tensor, shiny: Tensor) -> Tensor:
        """(M, 3) reflected light; ``seen`` are unit vectors from the camera to the points."""
        under, up = self.light, (0.5 + 0.5 * normal[:, 1])[:, None]
        rise = torch.tensor([sky - ground for sky, ground in zip(under.sky, under.ground, strict=True)])
        open_sky = torch.ones_like(open_sky) if under.shadowless else open_sky
        open_sky = open_sky[:, None]
        light = (torch.tensor(under.ground) + rise * up) * (0.42 + 0.58 * open_sky)
        mirrored = seen - 2.0 * (seen * normal).sum(dim=1, keepdim=True) * normal
        glints = torch.zeros_like(albedo)
        for lamp in under.lamps:
            towards, colour = normalize(torch.tensor(lamp.direction), dim=0), torch.tensor(lamp.colour)
            facing = ((normal @ towards + lamps.WRAP) / (1.0 + lamps.WRAP)).clamp(min=0)[:, None]
            light = light + colour * facing * (0.4 + 0.6 * open_sky)
            glint = GLINT * torch.exp(SHARPNESS * ((mirrored @ towards) - 1.0)) * shiny * open_sky[:, 0]
            glints = glints + glint[:, None] * torch.tensor([c / KEY for c in lamp.colour])
        return (albedo * light + glints).clamp(0, 1)

    def _filter(self, picture: Tensor, mask: Tensor, normal: Tensor, depth: Tensor) -> Frame:
        """Means over the rays of each pixel; normal and depth over those near the foremost surface."""
        s = self.supersampling

        def mean(values: Tensor) -> Tensor:
            return avg_pool2d(values.permute(2, 0, 1)[None], s)[0].permute(1, 2, 0)

        cover = mean(mask.float()[..., None])
        far = torch.where(mask, depth, torch.full_like(depth, math.inf))
        nearest = -torch.nn.functional.max_pool2d(-far[None, None], s)[0, 0]
        limit = (nearest + 4.0 * self._gap).repeat_interleave(s, 0).repeat_interleave(s, 1)
        front = (mask & (depth <= limit)).float()[..., None]
        share = mean(front).clamp(min=1e-6)
        solid = cover >= 0.5
        return Frame(
            image=(255.0 * mean(picture)).round().to(torch.uint8).numpy(),
            mask=(255.0 * cover[..., 0]).round().to(torch.uint8).numpy(),
            normal=(normalize(mean(normal * front), dim=-1) * solid).numpy(),
            depth=(mean(depth[..., None] * front) / share * solid)[..., 0].numpy(),
        )


def _lattice_index(row: Tensor, column: Tensor, size: int) -> Tensor:
    """Position of lattice point (row, column) in the row by row order of ``lattice``."""
    return row * (size + 1) - row * (row - 1) // 2 + column


def _directions(camera: Cameras) -> Tensor:
    """(H, W, 3) unit camera-space directions through the pixels' centres."""
    column = torch.arange(camera.width, dtype=torch.float64) + 0.5
    row = torch.arange(camera.height, dtype=torch.float64) + 0.5
    y, x = torch.meshgrid(row, column, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    return normalize(pixels @ torch.linalg.inv(camera.intrinsics[0].double()).T, dim=-1).float()


def _fibonacci_hemisphere(count: int) -> Tensor:
    """(count, 3) directions about +z, as dense as the cosine of their angle to it."""
    step = torch.arange(count, dtype=torch.float64) + 0.5
    radius = (step / count).sqrt()
    turn = step * math.pi * (3.0 - math.sqrt(5.0))
    height = (1.0 - radius**2).sqrt()
    return torch.stack([radius * turn.cos(), radius * turn.sin(), height], dim=-1).float()


__all__ = ["VERSION", "Renderer"]
