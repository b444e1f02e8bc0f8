"""An avatar in SurFhead's files, and a plain double precision drawing of it, for tests of its import.

Nothing of the package is used: the head, its triangles' Jacobians, their polar factors and blends, harmonics,
lobes, network and compositing are written once more from docs/method.md, with NumPy and SciPy, the way the
files' own layout suggests. Colours and shapes are random.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plyfile import PlyData, PlyElement
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

SAVED = "iteration_300000"
EYES, FACE = 260, 900  # surfels
HEIGHT, WIDTH = 48, 72
PARENTS = (-1, 0, 1, 1, 1)
VHAP = 5143  # vertices that static and dynamic offsets have, teeth included


@dataclass
class Published:
    """What the files hold: surfels' columns by name, tracked parameters, network, and the head model."""

    surfels: dict[str, np.ndarray]
    tracked: dict[str, np.ndarray]
    network: dict[str, np.ndarray]
    model: dict[str, Any]
    eyeballs: np.ndarray  # (F,) bool


def read_head(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """A FLAME-shaped model written by the tests, and which of its triangles are eyeballs."""
    with path.open("rb") as file:
        model = pickle.load(file)
    with path.with_name("FLAME_masks.pkl").open("rb") as file:
        masks = pickle.load(file)
    model["f"] = model["f"].astype(np.int64)
    eyes = np.concatenate([masks["left_eyeball"], masks["right_eyeball"]])
    return model, np.isin(model["f"], eyes).all(axis=1)


def make(model_path: Path, seed: int = 0) -> Published:
    """An avatar with two timesteps of strong expression, the second with the head turned nearly to π."""
    random = np.random.default_rng(seed)
    model, eyeballs = read_head(model_path)
    corners = model["v_template"][model["f"]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    ahead = normal[:, 2] > 0.3 * np.linalg.norm(normal, axis=1)
    middle = corners.mean(axis=1)
    face = ahead & ~eyeballs & (abs(middle[:, 0]) < 0.055) & (abs(middle[:, 1] - 0.02) < 0.045)
    hosts = np.concatenate(
        [random.choice(np.flatnonzero(ahead & eyeballs), EYES), random.choice(np.flatnonzero(face), FACE)]
    )
    count, on_eye = len(hosts), np.arange(len(hosts)) < EYES
    size = np.where(on_eye, 1.3, 1.6)[:, None]  # of the triangle, so that surfels overlap
    surfels = {
        "xyz": random.normal(size=(count, 3)) * [0.4, 0.4, 0.2],
        "blend": random.normal(size=(count, 4)) * 1.5,
        "dc": random.normal(size=(count, 3)) * 0.7,
        "rest": random.normal(size=(count, 3, 15)) * 0.12,  # channel-major, as in the file
        "opacity": random.normal(size=count) + 1.0,
        "scale": np.log(size) + 0.3 * random.normal(size=(count, 2)),
        "rot": np.array([2.0, 0, 0, 0]) + 0.5 * random.normal(size=(count, 4)),
        "sg": random.normal(size=(count, 24)),
        "binding": hosts,
    }
    frames = 2
    offset = np.zeros((1, VHAP, 3))
    offset[0, np.unique(model["f"][eyeballs]), 2] = 0.016  # out of the example's head
    tracked = {
        "shape": random.normal(size=300) * (np.arange(300) < 100),
        "expr": random.normal(size=(frames, 100)) * 2.5 * (np.arange(100) < 50),
        "rotation": np.array([[0.1, 0.2, -0.1], [0.1, 3.1, 0.2]]),
        "neck_pose": random.normal(size=(frames, 3)) * 0.1,
        "jaw_pose": np.array([[0.3, 0.0, 0.0], [0.1, 0.1, 0.0]]),
        "eyes_pose": random.normal(size=(frames, 6)) * 0.2,
        "translation": random.normal(size=(frames, 3)) * 0.01,
        "static_offset": offset,
        # uneven, so that it matters whose Jacobians are blended how
        "dynamic_offset": random.normal(size=(frames, VHAP, 3)) * 0.0006,
    }
    tracked["dynamic_offset"][:, np.unique(model["f"][eyeballs])] = 0

    network = random_network(random, "lasg")
    single = {name: value.astype(np.float32).astype(float) for name, value in surfels.items()}
    single["binding"] = hosts
    return Published(
        single,
        {name: value.astype(np.float32).astype(float) for name, value in tracked.items()},
        {name: value.astype(np.float32).astype(float) for name, value in network.items()},
        model,
        eyeballs,
    )


def write(avatar: Published, run: Path) -> None:
    """The run folder, as formats of SurFhead lay it out."""
    rows = avatar.surfels
    count = len(rows["binding"])
    blocks = {
        **{axis: rows["xyz"][:, i] for i, axis in enumerate("xyz")},
        **{f"n{axis}": np.zeros(count) for axis in "xyz"},
        **{f"blend_weight_{i}": rows["blend"][:, i] for i in range(4)},
        **{f"f_dc_{i}": rows["dc"][:, i] for i in range(3)},
        **{f"f_rest_{i}": rows["rest"].reshape(count, 45)[:, i] for i in range(45)},
        "opacity": rows["opacity"],
        **{f"scale_{i}": rows["scale"][:, i] for i in range(2)},
        **{f"rot_{i}": rows["rot"][:, i] for i in range(4)},
        **{f"f_sg_{i}": rows["sg"][:, i] for i in range(24)},
        "binding_0": rows["binding"],
    }
    table = np.zeros(count, dtype=[(name, "<f4") for name in blocks])
    for name, values in blocks.items():
        table[name] = values
    cloud = run / "point_cloud" / SAVED
    cloud.mkdir(parents=True)
    PlyData([PlyElement.describe(table, "vertex")]).write(cloud / "point_cloud.ply")
    np.savez(cloud / "flame_param.npz", **{k: v.astype(np.float32) for k, v in avatar.tracked.items()})
    (run / "specular" / SAVED).mkdir(parents=True)
    state = {name: torch.tensor(value, dtype=torch.float32) for name, value in avatar.network.items()}
    torch.save(state, run / "specular" / SAVED / "specular.pth")


def head(avatar: Published, step: int | None) -> np.ndarray:
    """(V, 3) the head at a timestep, or at rest (None)."""
    model, tracked = avatar.model, avatar.tracked
    count = len(model["v_template"])
    shapes, expressions = model["shapedirs"][:, :, :100], model["shapedirs"][:, :, 100:]
    shaped = model["v_template"] + shapes @ tracked["shape"][:100] + tracked["static_offset"][0, :count]
    if step is None:
        return np.asarray(shaped)
    shaped = shaped + expressions @ tracked["expr"][step, :50] + tracked["dynamic_offset"][step, :count]
    vectors = [
        tracked[name][step].reshape(-1, 3) for name in ("rotation", "neck_pose", "jaw_pose", "eyes_pose")
    ]
    turns = Rotation.from_rotvec(np.concatenate(vectors)).as_matrix()
    joints = model["J_regressor"] @ shaped
    shaped = shaped + model["posedirs"] @ (turns[1:] - np.eye(3)).reshape(36)
    chain: list[np.ndarray] = []
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = turns[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        chain.append(local if parent < 0 else chain[parent] @ local)
    moved = np.zeros((count, 3))
    for joint, transform in enumerate(chain):
        place = (shaped - joints[joint]) @ transform[:3, :3].T + transform[:3, 3]
        moved += model["weights"][:, joint, None] * place
    return moved + tracked["translation"][step]


def frames(
    vertices: np.ndarray, triangles: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Edge matrices E, frames R̄, scales k and centroids of triangles."""
    v0, v1, v2 = np.moveaxis(vertices[triangles], 1, 0)
    e1, e2 = v1 - v0, v2 - v0
    c = np.cross(e1, e2)
    area = np.linalg.norm(c, axis=1, keepdims=True)
    a = e1 / np.linalg.norm(e1, axis=1, keepdims=True)
    b = np.cross(c / area, a)
    scale = (np.linalg.norm(e1, axis=1) + (b * e2).sum(axis=1)) / 2
    edges = np.stack([e1, e2, c / np.sqrt(area)], axis=2)
    return edges, np.stack([a, b, c / area], axis=2), scale, (v0 + v1 + v2) / 3


def neighbourhoods(triangles: np.ndarray, hosts: np.ndarray) -> np.ndarray:
    """(N, 4) hosts and the triangles across their edges v0v1, v1v2, v2v0, or themselves."""
    sharing: dict[frozenset[int], list[int]] = {}
    for number, corners in enumerate(triangles.tolist()):
        for i in range(3):
            sharing.setdefault(frozenset((corners[i], corners[i - 2])), []).append(number)
    rows = []
    for host in hosts.tolist():
        corners = triangles[host].tolist()
        across = []
        for i in range(3):
            others = [t for t in sharing[frozenset((corners[i], corners[i - 2]))] if t != host]
            across.append(others[0] if len(others) == 1 else host)
        rows.append([host, *across])
    return np.array(rows)


def random_network(random: np.random.Generator, model: str) -> dict[str, np.ndarray]:
    """Weights and biases of `lasg`, `asg` or `sg`, large enough for highlights that are seen."""
    outputs, inputs, channels = {"lasg": (64, 48, 1), "asg": (128, 80, 3), "sg": (96, 80, 3)}[model]
    network = {}
    for name, rows, columns, gain in (
        ("first_of_all", outputs, 24, 2.0),
        ("render.net.0", 128, inputs, 1.4),
        ("render.net.2", 128, 128, 1.4),
        ("render.net.4", channels, 128, 0.5),
    ):
        network[f"{name}.weight"] = random.normal(size=(rows, columns)) * gain / columns**0.5
        network[f"{name}.bias"] = random.normal(size=rows) * 0.1
    return network


def network_light(network: dict[str, np.ndarray], sg: np.ndarray, d: np.ndarray, n: np.ndarray) -> np.ndarray:
    """(M, 1 or 3) light of the highlight: lobes of the published grid, then the perceptron."""
    weights = [value for name, value in network.items() if name.endswith("weight")]
    biases = [value for name, value in network.items() if name.endswith("bias")]
    white = len(biases[-1]) == 1
    bands, last = (2, np.pi / 2) if white else (4, np.pi)
    facing = -(d * n).sum(axis=1, keepdims=True)
    o = d + 2 * facing * n
    numbers = (sg @ weights[0].T + biases[0]).reshape(len(sg), bands, 8, -1)
    sharp = np.log1p(np.exp(numbers[..., 2:] - 1))
    responses = np.zeros((len(sg), bands, 8, 2))
    for i, theta in enumerate(np.linspace(0, last, bands)):
        for j, phi in enumerate(np.linspace(0, 2 * np.pi, 8)):
            axis = [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]
            x = [np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), -np.sin(theta)]
            y = [-np.sin(phi), np.cos(phi), 0.0]
            if sharp.shape[-1] == 1:
                response = np.exp(sharp[:, i, j, 0] * (o @ axis - 1))
            else:
                fall = sharp[:, i, j, 0] * (o @ x) ** 2 + sharp[:, i, j, 1] * (o @ y) ** 2
                response = np.maximum(o @ axis, 0) * np.exp(-fall)
            responses[:, i, j] = numbers[:, i, j, :2] * response[:, None]
    multiples = (d[:, :, None] * [1.0, 2.0]).reshape(len(d), 6)  # x, 2x, y, 2y, z, 2z
    values = np.concatenate(
        [responses.reshape(len(sg), 16 * bands), facing, d, np.sin(multiples), np.cos(multiples)], axis=1
    )
    for layer in (1, 2, 3):
        values = values @ weights[layer].T + biases[layer]
        values = np.maximum(values, 0) if layer < 3 else values
    return np.asarray(values)


def harmonics(d: np.ndarray) -> np.ndarray:
    """(N, 16) real spherical harmonics with the Condon–Shortley phase."""
    polar, azimuth = np.arccos(np.clip(d[:, 2], -1, 1)), np.arctan2(d[:, 1], d[:, 0])
    columns = []
    for degree in range(4):
        for order in range(-degree, degree + 1):
            value = sph_harm_y(degree, abs(order), polar, azimuth)
            part = value.imag if order < 0 else value.real
            columns.append(part * (np.sqrt(2) if order else 1))
    return np.stack(columns, axis=1)


def camera(avatar: Published, step: int, aside: float) -> tuple[np.ndarray, np.ndarray]:
    """Camera-from-world and intrinsics before the face at a timestep, ``aside`` radians to the side."""
    turn = Rotation.from_rotvec(avatar.tracked["rotation"][step])
    corners = head(avatar, step)[avatar.model["f"][avatar.eyeballs]]
    target = corners.reshape(-1, 3).mean(axis=0)
    forward = -turn.apply([np.sin(aside), 0.15, np.cos(aside)])
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, turn.apply([0.0, 1.0, 0.0]))
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    matrix[:3, 3] = -matrix[:3, :3] @ (target - 0.3 * forward)
    focal = 0.3 * WIDTH / 0.1  # ten centimetres across
    return matrix, np.array([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1.0]])


def draw(
    avatar: Published, step: int, matrix: np.ndarray, intrinsics: np.ndarray, highlight: bool = True
) -> np.ndarray:
    """(H, W, 3) the picture over white."""
    rows, triangles = avatar.surfels, avatar.model["f"]
    hosts = rows["binding"]
    rest_edges, rest_frame, rest_scale, _ = frames(head(avatar, None), triangles)
    edges, _, _, centroid = frames(head(avatar, step), triangles)
    jacobian = edges @ np.linalg.inv(rest_edges)
    left, values, right = np.linalg.svd(jacobian)
    rotation = left @ right
    stretch = np.swapaxes(right, 1, 2) * values[:, None] @ right
    vectors = Rotation.from_matrix(rotation).as_rotvec()
    near = neighbourhoods(triangles, hosts)
    weight = 1 / (1 + np.exp(-rows["blend"]))
    weight /= weight.sum(axis=1, keepdims=True)
    weight[avatar.eyeballs[hosts]] = [1, 0, 0, 0]
    turn = Rotation.from_rotvec((weight[:, :, None] * vectors[near]).sum(axis=1)).as_matrix()
    affine = turn @ (weight[:, :, None, None] * stretch[near]).sum(axis=1)
    k, frame = rest_scale[hosts], rest_frame[hosts]
    local = Rotation.from_quat(rows["rot"][:, [1, 2, 3, 0]]).as_matrix()
    mean = (affine @ frame @ rows["xyz"][:, :, None])[:, :, 0] * k[:, None] + centroid[hosts]
    axes = affine @ frame @ local
    tangents = axes[:, :, :2] * np.exp(rows["scale"])[:, None] * k[:, None, None]
    normal = (np.linalg.inv(affine).swapaxes(1, 2) @ frame @ local)[:, :, 2]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)

    centre = -matrix[:3, :3].T @ matrix[:3, 3]
    view = mean - centre
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    d = np.einsum("nji,nj->ni", turn, view)
    n = np.einsum("nji,nj->ni", turn, normal)
    n = np.where((n * d).sum(axis=1, keepdims=True) > 0, -n, n)
    basis = harmonics(d)
    colour = basis[:, :1] * rows["dc"] + np.einsum("nck,nk->nc", rows["rest"], basis[:, 1:]) + 0.5
    if highlight:
        shining = avatar.eyeballs[hosts]
        colour[shining] += network_light(avatar.network, rows["sg"][shining], d[shining], n[shining])
    return composite(
        mean @ matrix[:3, :3].T + matrix[:3, 3],
        matrix[:3, :3] @ tangents,
        1 / (1 + np.exp(-rows["opacity"])),
        np.maximum(colour, 0),
        intrinsics,
    )


def composite(
    mean: np.ndarray, tangents: np.ndarray, opacity: np.ndarray, colour: np.ndarray, intrinsics: np.ndarray
) -> np.ndarray:
    """Surfels in camera space, front to back over white (2D Gaussian splatting)."""
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    through = np.ones((HEIGHT, WIDTH))
    picture = np.zeros((HEIGHT, WIDTH, 3))
    for surfel in np.argsort(mean[:, 2], kind="stable"):
        place = intrinsics @ np.column_stack([tangents[surfel], mean[surfel]])
        kx, ky, kz = (x * place[2, i] - place[0, i] for i in range(3))
        lx, ly, lz = (y * place[2, i] - place[1, i] for i in range(3))
        third = kx * ly - ky * lx
        u, v = (ky * lz - kz * ly) / third, (kz * lx - kx * lz) / third
        px, py = place[0, 2] / place[2, 2], place[1, 2] / place[2, 2]
        rho = np.minimum(u**2 + v**2, 2 * ((x - px) ** 2 + (y - py) ** 2))
        alpha = np.minimum(0.99, opacity[surfel] * np.exp(-rho / 2))
        alpha[alpha < 1 / 255] = 0
        alpha[through * (1 - alpha) < 1e-4] = 0
        picture += (alpha * through)[..., None] * colour[surfel]
        through *= 1 - alpha
    return picture + through[..., None]


def psnr(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Decibels between pictures clipped to [0, 1]."""
    difference = np.clip(ours, 0, 1) - np.clip(theirs, 0, 1)
    return float(-10 * np.log10(np.mean(difference**2)))
