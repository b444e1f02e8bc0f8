"""The checks of deformers each reject what they should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from surfhead.core.api import AffineField, Binding, Deformer, FieldModel, Mesh, ParameterSpec, Schedule
from surfhead.core.registry import registry
from surfhead.testing import check
from surfhead.testing.steps import host_field
from tests.conformance.planted import checks_of_kind_alone, error_of


class Follow(Deformer):
    """Sound: the host's affine map."""

    name = "follow"
    summary = "Follows the host."
    capturable = True

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        assert mesh is not None
        return host_field(mesh, binding)

    def field_model(self, binding: Binding) -> FieldModel | None:
        return FieldModel("linear")


class Learns(Follow):
    """Sound: a triangle's growth lifts its surfels, by a learnt gain; at rest nothing is lifted."""

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {"gain": ParameterSpec((), 0.5, Schedule(1e-3))}

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        field = super().__call__(mesh, binding)
        assert mesh is not None
        area = mesh.frames.area[:, binding.triangle] / mesh.rest.frames.area[binding.triangle]
        lift = binding.parameters["gain"] * 0.01 * (area - 1)
        normal = mesh.frames.rotation[:, binding.triangle, :, 2]
        return replace(field, origin=field.origin + lift[..., None] * normal)

    def field_model(self, binding: Binding) -> None:
        return None


class TellsSimilarity(Follow):
    def field_model(self, binding: Binding) -> FieldModel:
        return FieldModel("similarity")


class TakesOffset(Follow):
    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {"offset": ParameterSpec((3,), 0.0, Schedule(1e-3))}


class BadStart(Follow):
    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {"gain": ParameterSpec((4,), lambda count, generator: torch.zeros(count), Schedule(1e-3))}


class NeedsSurfels(Follow):
    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        assert int(binding.triangle.max()) >= 0
        return super().__call__(mesh, binding)


class StretchedRotation(Follow):
    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        field = super().__call__(mesh, binding)
        return replace(field, rotation=field.linear / field.scale[..., None, None])


class Flat(Follow):
    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        field = super().__call__(mesh, binding)
        return replace(field, scale=field.scale[0])


class Trembles(Follow):
    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        field = super().__call__(mesh, binding)
        return replace(field, origin=field.origin + 1e-6 * torch.randn_like(field.origin))


class MovesMesh(Follow):
    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        assert mesh is not None
        with torch.no_grad():
            mesh.vertices.add_(0.1)
        return super().__call__(mesh, binding)


class CentresBatch(Follow):
    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        field = super().__call__(mesh, binding)
        return replace(field, origin=field.origin - field.origin.mean(dim=0, keepdim=True))


class NumbersSurfels(Follow):
    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        field = super().__call__(mesh, binding)
        return replace(field, origin=field.origin + 1e-3 * torch.arange(len(binding))[:, None])


class TwiceTheScale(Follow):
    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        field = super().__call__(mesh, binding)
        return replace(field, linear=2 * field.linear)


class StaysUpright(Follow):
    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        field = super().__call__(mesh, binding)
        assert mesh is not None
        rest = mesh.rest.frames
        axes = rest.scale[binding.triangle, None, None] * rest.rotation[binding.triangle]
        return replace(field, linear=axes.expand_as(field.linear))


def boastful() -> Any:
    """`jbs` with the published rotation blend, which fails beyond 90 degrees, but claims any angle."""
    cls: Any = registry().get("deformer", "jbs")

    class Boasts(cls):  # type: ignore[misc]
        max_angle = float("inf")

    return Boasts(Boasts.Options(rotation_blend="paper"))


class InvertsEdges(Follow):
    """Jacobians by inverting edge matrices, without regard to collapsed triangles."""

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        field = super().__call__(mesh, binding)
        assert mesh is not None

        def edges(vertices: torch.Tensor) -> torch.Tensor:
            v0, v1, v2 = vertices[..., mesh.topology.triangles, :].unbind(-2)
            normal = torch.linalg.cross(v1 - v0, v2 - v0)
            unit = normal / normal.norm(dim=-1, keepdim=True).sqrt()
            return torch.stack((v1 - v0, v2 - v0, unit), dim=-1)

        affine = edges(mesh.vertices) @ torch.linalg.inv_ex(edges(mesh.rest.vertices))[0]
        rest, host = mesh.rest.frames, binding.triangle
        axes = rest.scale[host, None, None] * rest.rotation[host]
        return replace(field, linear=affine[:, host] @ axes)


class PolarBySvd(Follow):
    """The rotation by singular value decomposition, whose gradient fails where singular values are equal."""

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        field = super().__call__(mesh, binding)
        assert mesh is not None
        axes = mesh.rest.frames.rotation[binding.triangle]
        left, _, right = torch.linalg.svd(field.linear / field.scale[..., None, None] @ axes.mT)
        return replace(field, rotation=left @ right)


class DetachesJacobian(Follow):
    """The published code: the rig learns through the centroids only."""

    def __call__(self, mesh: Mesh | None, binding: Binding) -> AffineField:
        field = super().__call__(mesh, binding)
        return replace(field, linear=field.linear.detach())


class IgnoresParameter(Follow):
    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {"gain": ParameterSpec((), 0.5, Schedule(1e-3))}


class GivesLogits(Learns):
    def host_weight(self, binding: Binding) -> torch.Tensor:
        return 3.0 + binding.parameters["gain"]


BUGS = [
    ("host_weight_is_a_share", GivesLogits, "outside [0, 1]"),
    ("declares_parameters", TakesOffset, '"offset"'),
    ("declares_parameters", BadStart, "shape"),
    ("gives_field", NeedsSurfels, ""),
    ("gives_field", StretchedRotation, "rotation times its transpose"),
    ("gives_field", Flat, "scale"),
    ("field_model_agrees", TellsSimilarity, "The field model's linear"),
    ("deterministic", Trembles, '"origin" differs'),
    ("inputs_unmodified", MovesMesh, "vertices"),
    ("poses_are_independent", CentresBatch, "origin, pose 0"),
    ("surfels_are_independent", NumbersSurfels, "origin"),
    ("capturable", NeedsSurfels, "reads values back"),
    ("rest_gives_rest", TwiceTheScale, "linear"),
    ("follows_rigid_motion", StaysUpright, "linear of the"),
    ("follows_rigid_motion", boastful(), "after a turn by"),
    ("degenerate_is_finite", InvertsEdges, "NaN or infinity"),
    ("gradients_finite_at_rest", PolarBySvd, '"vertices" holds NaN'),
    ("gradients_are_right", DetachesJacobian, "Jacobian mismatch"),
    ("parameters_learn", IgnoresParameter, '"gain" gets no gradient'),
]


@pytest.mark.parametrize("sound", [Follow, Learns])
def test_the_sound_ones_pass(sound: Any, tmp_path: Path) -> None:
    assert [result for result in check(sound, tmp_path) if not result.passed] == []


@pytest.mark.parametrize(("name", "bug", "says"), BUGS)
def test_a_planted_bug_is_rejected(name: str, bug: Any, says: str, tmp_path: Path) -> None:
    error = error_of(bug, name, tmp_path)
    assert error is not None, f"{bug} passes {name}"
    assert says in str(error)


def test_every_check_has_a_planted_bug() -> None:
    assert checks_of_kind_alone(Follow) == {name for name, _, _ in BUGS}


def test_checks_of_the_rig_do_not_concern_deformers_without_one() -> None:
    static = checks_of_kind_alone(registry().get("deformer", "static"))
    assert "gives_field" in static
    assert "follows_rigid_motion" not in static
