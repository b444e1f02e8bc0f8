"""An avatar: surfels, a rig and the chosen components, and how they make pictures."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from surfhead.avatars.captured_drawing import CapturedDrawing
from surfhead.avatars.posing import (
    CameraCheck,
    PoseValue,
    background_of,
    checked,
    factors_of,
    on_device,
    pose_of,
    poses_of_views,
    same_count,
    timesteps_of,
)
from surfhead.avatars.rendering import Rendering, Sight
from surfhead.avatars.state import ABSURD, AvatarState
from surfhead.avatars.surface import colours_of, surface_of
from surfhead.avatars.surfels import Surfels, carry
from surfhead.core.components import Appearance, Deformer, Rasterizer, Rig
from surfhead.core.errors import ShapeError
from surfhead.core.types import AffineField, Cameras, Mesh, RenderOutput, WorldSurfels
from surfhead.files.given import made_by, misfit
from surfhead.kernels import ops


class Avatar:
    """A riggable head (or a static scene) that can be drawn from any camera in any pose.

    Attributes:
        surfels: the learnable surfels.
        rig: turns parameters into meshes, already prepared for this identity.
        deformer, appearance, rasterizer: the chosen components.
        motion: name -> (T, d) rig parameters of the timesteps it was trained on.
        identity: name -> tensor, the rig's identity.
        shaping: whether the identity learns: pictures with gradients are then made with it as it is.
        background: (3,) RGB in [0, 1].
        images: training images seen.
        observed: (N,) in [0, 1], how well the training views know each surfel; None while it is not measured.
        graphs: replay pictures on a GPU as CUDA graphs where every component allows it.
    """

    def __init__(
        self,
        surfels: Surfels,
        rig: Rig,
        deformer: Deformer,
        appearance: Appearance,
        rasterizer: Rasterizer,
        motion: Mapping[str, Tensor],
        background: Tensor,
        identity: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.surfels = surfels
        self.rig = rig
        self.deformer = deformer
        self.appearance = appearance
        self.rasterizer = rasterizer
        self.motion = dict(motion)
        self.background = background
        self.identity = dict(identity or {})
        self.shaping = False
        self._shaped = False
        self.images = 0
        self.observed: Tensor | None = None
        self.graphs = True
        self._drawing = CapturedDrawing(self)
        self._cameras = CameraCheck()

    def __repr__(self) -> str:
        parts = f"{self.rig.name} {self.deformer.name} {self.appearance.name}"
        return f"<Avatar {parts}: {len(self.surfels)} surfels, {self.timesteps} timesteps, {self.device}>"

    @property
    def device(self) -> torch.device:
        """Where the surfels live."""
        return self.surfels.triangle.device

    @property
    def timesteps(self) -> int:
        """Number of timesteps of its own motion."""
        return next((len(v) for v in self.motion.values()), 0)

    def drawn_by(self, rasterizer: Rasterizer) -> Self:
        """The same avatar, whose tensors it shares, drawn by another rasterizer."""
        other = copy.copy(self)
        other.rasterizer = rasterizer
        other._drawing = CapturedDrawing(other)
        return other

    def advance(self, images: int) -> None:
        """Set the number of images seen, which sets the appearance model's stage."""
        self.images = images
        self._shaped = False
        self.appearance.advance(images)

    def shape(self) -> None:
        """Let the rig have the identity as it has learnt so far, without gradients."""
        if self.shaping and not self._shaped:
            with torch.no_grad():
                self.rig.follow(self.identity)
            self._shaped = True

    def state(self) -> AvatarState:
        """Its tensors, which are shared with it."""
        network = self.appearance.network()
        return AvatarState(
            self.surfels.triangle,
            self.background,
            self.surfels.parameters,
            self.motion,
            self.identity,
            {} if network is None else network.state_dict(),
            self.observed,
        )

    def check(self) -> None:
        """See that every number in it can be drawn and written; formats and meshes ask before they begin.

        Raises:
            ShapeError: naming a tensor with NaN, infinity or numbers without sense, and how many it has.
        """
        state = self.state()
        try:
            state.check_values()
            state.check_hosts(self.surfels.topology)
        except ValueError as error:
            raise ShapeError(
                f"The avatar is damaged: {error}.",
                f"Expected finite numbers up to {ABSURD:g}, rotations and scales that mean something, and "
                "host triangles of its rig.",
                "Mend this tensor, or load the avatar anew from a checkpoint of its run.",
            ) from error

    def poses(self, timesteps: Tensor) -> dict[str, Tensor]:
        """Rig parameters (P, d) of the avatar's own timesteps, which are trusted to be in range."""
        if not self.motion:
            return {}
        return dict(zip(self.motion, ops.pose_rows(list(self.motion.values()), timesteps), strict=True))

    def pose(
        self, timestep: Tensor | int | Sequence[int] | None = None, /, **parameters: PoseValue
    ) -> dict[str, Tensor]:
        """Rig parameters to render: a timestep of its own motion, or the neutral pose, changed by name.

        ``avatar.pose(3, jaw=[0.2, 0, 0])`` is the fourth timestep with the jaw 0.2 radians open, and
        ``avatar.pose(expression={"smile_left": 0.8})`` the neutral head (all parameters zero) with a smile.
        `surfhead show rig NAME` and ``avatar.rig.parameters()`` tell names, sizes, units and labels.

        Args:
            timestep: an index into its own motion or (P,) of them; None is the neutral pose.
            parameters: name -> (d,) or (P, d) numbers, or label -> number, which leaves the other values.

        Returns:
            name -> (P, d) of every parameter of the rig; one row is repeated where others have more.

        Raises:
            UnknownNameError: the rig has no such parameter or label.
            ShapeError: numbers that do not fit, or are not finite.
            OptionError: a timestep outside the motion.
        """
        base = {} if timestep is None else self.poses(timesteps_of(self.motion, timestep, self.timesteps))
        return pose_of(self.rig, base, parameters, self.background)

    @torch.no_grad()
    def render(
        self,
        cameras: Cameras,
        timesteps: Tensor | int | Sequence[int] | Mapping[str, PoseValue],
        *,
        pose_of_view: Tensor | Sequence[int] | None = None,
        background: Tensor | Sequence[float] | None = None,
        parts: bool = False,
        opacity_scale: Tensor | Sequence[float] | None = None,
        borrow: bool = False,
    ) -> Rendering:
        """Draw B views without gradients.

        Args:
            cameras: B cameras.
            timesteps: timesteps of the avatar's own motion, an int or (P,) integers, or rig parameters
                name -> (P, d) such as ``pose`` makes.
            pose_of_view: (B,) integers, each view's pose; by default view b shows pose b, or the only one.
            background: (3,) or (B, 3) RGB; by default the avatar's own.
            parts: also draw the colour's parts.
            opacity_scale: (N,) factor of each surfel's opacity; 0 hides it.
            borrow: what is given may be overwritten by the next picture of this avatar, which is faster; for
                whoever draws in one thread and looks at each picture before the next.

        Raises:
            ShapeError: cameras, parameters or the background have another shape or hold NaN, or poses and
                views do not fit each other.
            UnknownNameError: the rig has no such parameter.
            OptionError: a timestep outside the motion, or no whole number.
        """
        sight = self._sight(cameras, timesteps, pose_of_view, background, parts, opacity_scale)
        return self._drawing(sight, borrow)

    @torch.no_grad()
    def pixels(
        self,
        cameras: Cameras,
        timesteps: Tensor | int | Sequence[int] | Mapping[str, PoseValue],
        *,
        pose_of_view: Tensor | Sequence[int] | None = None,
        background: Tensor | Sequence[float] | None = None,
        opacity_scale: Tensor | Sequence[float] | None = None,
    ) -> Tensor:
        """(B, H, W, 3) uint8 on the avatar's device: the pictures of ``render`` alone, which is faster.

        They may be overwritten by the next picture of this avatar. Arguments and errors as of ``render``.
        """
        sight = self._sight(cameras, timesteps, pose_of_view, background, False, opacity_scale)
        return self._drawing.pixels(sight)

    def _sight(
        self,
        given: Cameras,
        timesteps: Tensor | int | Sequence[int] | Mapping[str, PoseValue],
        pose_of_view: Tensor | Sequence[int] | None,
        background: Tensor | Sequence[float] | None,
        parts: bool,
        opacity_scale: Tensor | Sequence[float] | None,
    ) -> Sight:
        """What is asked of ``render``, checked and on the avatar's device."""
        cameras = self._cameras(given, self.background)
        if isinstance(timesteps, Mapping):
            parameters = checked(self.rig, timesteps, self.background)
            same_count(parameters)
        else:
            parameters = self.poses(timesteps_of(self.motion, timesteps, self.timesteps))
        poses = max((rows.shape[0] for rows in parameters.values()), default=1)
        paired = pose_of_view is None and poses == len(cameras)
        shown = poses_of_views(pose_of_view, len(cameras), poses, self.background)
        behind = background_of(background, len(cameras), self.background)
        factors = factors_of(opacity_scale, len(self.surfels), self.background)
        self.shape()
        *rows, behind = on_device([*parameters.values(), behind], self.background)
        return Sight(cameras, dict(zip(parameters, rows, strict=True)), shown, behind, factors, paired, parts)

    def draw(
        self,
        cameras: Cameras,
        parameters: Mapping[str, Tensor],
        pose_of_view: Tensor,
        background: Tensor,
        *,
        paired: bool = False,
        parts: bool = False,
        track: bool = False,
        opacity_scale: Tensor | None = None,
        mesh: Mesh | None = None,
    ) -> Rendering:
        """The differentiable way from parameters to pictures; inputs are trusted.

        Args:
            cameras: B cameras, on the avatar's device.
            parameters: rig parameters name -> (P, d).
            pose_of_view: (B,) int64, the pose that each view shows.
            background: (B, 3) RGB.
            paired: every view has a pose of its own, in order (``pose_of_view`` is 0, 1, ..., B - 1), so
                that nothing is gathered.
            track: retain the rasterizer's gradient on ``surfels.mean`` for the densifier. It is that of
                the rasterizer alone, without the part that flows through view directions.
            parts: also draw the colour's parts.
            opacity_scale: (N,) factor of each surfel's opacity.
            mesh: the rig's mesh of these parameters, where it is known; None: it is posed.
        """
        if self.shaping and torch.is_grad_enabled():
            # What the rig holds of the step before would keep that step's node of the graph, which belongs to
            # another stream than one that captures this step.
            with torch.no_grad():
                self.rig.follow(self.identity)
            self.rig.follow(self.identity)
            self._shaped = False
        if mesh is None and self.deformer.rig_bound:
            mesh = self.rig(parameters)
        if mesh is None:  # a static scene has one pose
            pose_of_view = torch.zeros_like(pose_of_view)
            paired = len(cameras) == 1
        binding = self.surfels.binding()
        field = made_by("deformer", self.deformer.name, self.deformer(mesh, binding), AffineField)
        try:
            world, field = carry(field, binding)
        except ShapeError as error:
            raise misfit("deformer", self.deformer.name, error) from error
        if opacity_scale is not None:
            world = replace(world, opacity=world.opacity * opacity_scale)
        seen = (world.mean, world.normal, field.rotation)
        means, normals, rotation = seen if paired else (value[pose_of_view] for value in seen)
        rest = None if mesh is None else mesh.rest
        centre = cameras.centre
        # without a mesh no side is the outer one: the rasterizer turns normals by itself
        outer = None if mesh is None else binding.parameters["quaternion"]
        facing = ops.facing_normals(means, normals, outer, centre)
        surface = surface_of(self.appearance.wants, means, facing, rotation, binding, rest)
        directions, normals, passed = ops.rest_directions_passing(means, normals.detach(), rotation, centre)
        colour = colours_of(self.appearance, binding, directions, normals, rotation, parts, surface)
        if track:
            if paired:
                mean = passed
            else:  # the densifier wants a gradient per view, not summed over the views of a pose
                mean = world.mean[pose_of_view]
                world = WorldSurfels(
                    mean, world.tangents[pose_of_view], world.normal[pose_of_view], world.opacity
                )
                pose_of_view = torch.arange(len(cameras), device=mean.device)
            mean.retain_grad()
            world = WorldSurfels(mean, world.tangents, world.normal, world.opacity)
        shown = world
        if mesh is not None:  # a normal on the camera's side is of a view, not of a pose
            if not (paired or track):
                shown = WorldSurfels(means, world.tangents[pose_of_view], facing, world.opacity)
                pose_of_view = torch.arange(len(cameras), device=means.device)
            shown = WorldSurfels(shown.mean, shown.tangents, facing, shown.opacity)
        output = self.rasterizer(shown, colour.rgb, cameras, pose_of_view, background)
        made_by("rasterizer", self.rasterizer.name, output, RenderOutput)
        pictures = {
            name: self.rasterizer(shown, value, cameras, pose_of_view, torch.zeros_like(background)).rgb
            for name, value in colour.parts.items()
        }
        return Rendering(output, world, field, mesh, colour, parameters, pictures)
