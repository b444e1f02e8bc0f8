"""The checks of rigs each reject what they should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from surfhead.core.api import LinearRig, Mesh, RestMesh, Rig, RigParameter
from surfhead.testing import check, tiny
from tests.conformance.planted import checks_of_kind_alone, error_of


class Sheet(Rig):
    """Sound: the bent sheet, moved and bent further."""

    name = "sheet"
    summary = "A bent sheet."

    def parameters(self) -> Mapping[str, RigParameter]:
        return {
            "translation": RigParameter(3, 1e-6, "metres"),
            "bend": RigParameter(1, None, "height of the bend, metres"),
        }

    def made(self) -> RestMesh:
        return tiny.rest_mesh()

    def prepare(self, identity: Mapping[str, Tensor], device: Any = "cpu") -> RestMesh:
        self._rest = self.made().to(device)
        return self._rest

    def rest(self) -> RestMesh:
        return self._rest

    def fingerprint(self) -> str:
        return "sheet"

    def values(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        poses = max((len(value) for value in parameters.values()), default=1)
        zeros = {name: torch.zeros(poses, info.size) for name, info in self.parameters().items()}
        return {**zeros, **parameters}

    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        given = self.values(parameters)
        vertices = self._rest.vertices + given["translation"][:, None]
        bend = given["bend"][:, :, None] * (50 * self._rest.vertices[:, :1].square())
        return Mesh(vertices + torch.cat((torch.zeros(*bend.shape[:2], 2), bend), dim=-1), self._rest)


class Growing(Sheet):
    """Sound: the sheet in another size, which can learn."""

    def identity_parameters(self) -> Mapping[str, RigParameter]:
        return {"size": RigParameter(1, 1e-3, "a tenth of its growth")}

    def prepare(self, identity: Mapping[str, Tensor], device: Any = "cpu") -> RestMesh:
        self._made = super().prepare(identity, device)
        self.follow(identity)
        return self._rest

    def follow(self, identity: Mapping[str, Tensor]) -> None:
        self._factor = 1.0 + 0.1 * identity.get("size", torch.zeros(1))
        self._rest = RestMesh(self._made.vertices * self._factor.detach(), self._made.topology)

    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        mesh = super().__call__(parameters)
        return Mesh(mesh.vertices + self._made.vertices * (self._factor - self._factor.detach()), mesh.rest)


class FollowsNothing(Growing):
    """It stays as it was prepared."""

    def follow(self, identity: Mapping[str, Tensor]) -> None:
        if not hasattr(self, "_factor"):
            super().follow(identity)


class FollowsWithoutGradient(Growing):
    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        mesh = super().__call__(parameters)
        return Mesh(mesh.vertices.detach() + 0.0 * self._factor, mesh.rest)


class FollowsElsewhere(Growing):
    """The triangles are made anew."""

    def follow(self, identity: Mapping[str, Tensor]) -> None:
        super().follow(identity)
        self._rest = RestMesh(self._rest.vertices, replace(self._rest.topology))


class BendsIfAsked(Sheet):
    capturable = True

    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        return super().__call__({name: v for name, v in parameters.items() if v.tolist() != [[0.0]]})


class MadeOnTheHost(Sheet):
    """The sheet's zeros lie on the CPU, wherever the vertices are."""

    capturable = True


class NoDescription(Sheet):
    def parameters(self) -> Mapping[str, RigParameter]:
        return {**super().parameters(), "bend": RigParameter(1)}


class EmptyParameter(Sheet):
    def parameters(self) -> Mapping[str, RigParameter]:
        return {**super().parameters(), "bend": RigParameter(0, None, "nothing")}


def remade(**changes: Any) -> type[Sheet]:
    """A sheet whose topology has these parts made anew, each by a function of the sound topology."""

    class Remade(Sheet):
        def made(self) -> RestMesh:
            rest = super().made()
            topology = rest.topology
            parts = {name: change(topology) for name, change in changes.items()}
            return RestMesh(rest.vertices, replace(topology, **parts))

    return Remade


class DoublePrecision(Sheet):
    def made(self) -> RestMesh:
        return super().made().to("cpu", torch.float64)


class ForgetsRest(Sheet):
    def rest(self) -> RestMesh:
        return RestMesh(self._rest.vertices * 2, self._rest.topology)


class ZeroIsBent(Sheet):
    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        given = self.values(parameters)
        return super().__call__({**given, "bend": given["bend"] + 0.01})


class NeedsAll(Sheet):
    def values(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: parameters[name] for name in self.parameters()}


class FirstPoseForAll(Sheet):
    def values(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: value[:1].expand_as(value) for name, value in super().values(parameters).items()}


class Averages(Sheet):
    def values(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        given = super().values(parameters)
        return {name: value + 0.1 * value.mean(dim=0) for name, value in given.items()}


class IgnoresBend(Sheet):
    def values(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return super().values({name: value for name, value in parameters.items() if name != "bend"})


class RootOfBend(Sheet):
    """The derivative of a vector's length is not finite at zero."""

    def values(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        given = super().values(parameters)
        return {**given, "bend": given["bend"].square().sum(dim=-1, keepdim=True).sqrt()}


class Trembles(Sheet):
    made_so_far = 0

    def made(self) -> RestMesh:
        type(self).made_so_far += 1
        rest = super().made()
        return RestMesh(rest.vertices + 1e-6 * self.made_so_far, rest.topology)


class ChangesFingerprint(Sheet):
    def fingerprint(self) -> str:
        return str(id(self))


class ScalesInput(Sheet):
    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        with torch.no_grad():
            parameters["translation"].mul_(0.5)
        return super().__call__(parameters)


class Linear(Sheet):
    """Sound: the sheet, told as one blendshape and one joint that nothing turns."""

    def parameters(self) -> Mapping[str, RigParameter]:
        return {**super().parameters(), "turn": RigParameter(3, None, "radians")}

    def linear_model(self) -> LinearRig:
        rest = self._rest.vertices
        bend = torch.cat((torch.zeros(len(rest), 2), 50 * rest[:, :1].square()), dim=-1)
        return LinearRig(
            vertices=rest,
            shapes=bend[None],
            names=("bend",),
            coefficients="bend",
            limits=(0.0, 1.0),
            joints=torch.tensor([[0.1, 0.2, 0.3]]),
            joint_names=("root",),
            parents=(-1,),
            rotations=(("turn", 0),),
            weights=torch.ones(len(rest), 1),
            translation="translation",
        )

    def __call__(self, parameters: Mapping[str, Tensor]) -> Mesh:
        given = self.values(parameters)
        straight = {name: value for name, value in given.items() if name != "turn"}
        bent = super().__call__({**straight, "translation": torch.zeros_like(given["translation"])})
        turn = torch.linalg.matrix_exp(
            torch.linalg.cross(
                given["turn"][:, None].expand(-1, 3, 3), torch.eye(3).expand(len(given["turn"]), 3, 3)
            ).mT
        )
        place = torch.tensor([0.1, 0.2, 0.3])
        turned = (bent.vertices - place) @ turn.mT + place + given["translation"][:, None]
        return Mesh(turned, self._rest)


class LinearNotQuite(Linear):
    """Forgets that the joint is not at the origin."""

    def linear_model(self) -> LinearRig:
        return replace(super().linear_model(), joints=torch.zeros(1, 3))


class LinearUnknown(Linear):
    def linear_model(self) -> LinearRig:
        return replace(super().linear_model(), translation="place")


BUGS = [
    ("declares_parameters", NoDescription, '"bend" has no description'),
    ("declares_parameters", EmptyParameter, "size 0"),
    ("rest_mesh_is_sound", remade(triangles=lambda t: t.triangles + 1), "does not exist"),
    ("rest_mesh_is_sound", remade(triangles=lambda t: t.triangles.int()), "int32"),
    ("rest_mesh_is_sound", remade(front=lambda t: (0.0, 0.0, 2.0)), "front"),
    ("rest_mesh_is_sound", DoublePrecision, "float64"),
    ("rest_mesh_is_sound", ForgetsRest, "rest() is not"),
    ("neighbours_share_edges", remade(neighbours=lambda t: t.neighbours.roll(1, 1)), "Triangle 0"),
    (
        "neighbours_share_edges",
        remade(neighbours=lambda t: torch.arange(len(t.triangles))[:, None].expand(-1, 3)),
        "is not open",
    ),
    ("neighbours_share_edges", remade(neighbours=lambda t: t.neighbours.where(t.neighbours > 0, -1)), "-1"),
    (
        "regions_are_masks",
        remade(regions=lambda t: {name: inside.float() for name, inside in t.regions.items()}),
        "float32",
    ),
    (
        "regions_are_masks",
        remade(regions=lambda t: {name: inside & False for name, inside in t.regions.items()}),
        "is empty",
    ),
    ("regions_are_masks", remade(regions=lambda t: {"face": t.regions["face"]}), "eyeballs"),
    ("zero_is_rest", ZeroIsBent, "The mesh at zero"),
    ("zero_is_rest", NeedsAll, "bend"),
    ("poses_are_independent", FirstPoseForAll, "Pose 1"),
    ("poses_are_independent", Averages, "Pose 0"),
    ("parameters_move_it", IgnoresBend, 'does not depend on "bend"'),
    ("parameters_move_it", RootOfBend, '"bend" holds NaN'),
    ("capturable", MadeOnTheHost, "copies from the host (cat)"),
    ("capturable", BendsIfAsked, "reads values back (tolist)"),
    ("deterministic", Trembles, "rest mesh of a second instance"),
    ("deterministic", ChangesFingerprint, "fingerprint"),
    ("inputs_unmodified", ScalesInput, "translation"),
    ("follows_its_identity", FollowsNothing, "The mesh after follow"),
    ("follows_its_identity", FollowsWithoutGradient, '"size" does not move the mesh'),
    ("follows_its_identity", FollowsElsewhere, "follow changed the topology"),
    ("linear_model_agrees", LinearNotQuite, "The linear model's mesh"),
    ("linear_model_agrees", LinearUnknown, "has not"),
]


@pytest.mark.parametrize("sound", [Sheet, Growing, Linear])
def test_the_sound_ones_pass(sound: Any, tmp_path: Path) -> None:
    assert [result for result in check(sound, tmp_path) if not result.passed] == []


@pytest.mark.parametrize(("name", "bug", "says"), BUGS)
def test_a_planted_bug_is_rejected(name: str, bug: Any, says: str, tmp_path: Path) -> None:
    error = error_of(bug, name, tmp_path)
    assert error is not None, f"{bug} passes {name}"
    assert says in str(error)


def test_every_check_has_a_planted_bug() -> None:
    assert checks_of_kind_alone(Sheet) == {name for name, _, _ in BUGS}
