"""Adam over everything that learns: a group a parameter, rates scheduled in images, frozen regions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import Selection
from surfhead.core.config import Rate, RunConfig
from surfhead.core.errors import SurfheadError, unknown_name
from surfhead.core.moments import in_images
from surfhead.core.parameters import Schedule
from surfhead.kernels import ops
from surfhead.kernels.ops.adam import MOMENTS

EPSILON = 1e-15  # 3DGS; gradients of single surfels are tiny
DECAYS = (0.9, 0.999)  # of Adam's two averages, an image


@dataclass(frozen=True)
class Group:
    """Parameters with one schedule.

    Attributes:
        kind: ``surfels``, ``network`` or ``rig``.
        schedule: the rate over the run.
        factor: constant factor on it (extent, batch size).
    """

    kind: str
    schedule: Schedule
    factor: float


class Optimiser:
    """Adam (Kingma and Ba 2015) with the method's groups (section 8).

    Args:
        avatar: whose parameters learn.
        config: rates, freezes, batch size.
        extent: the scene's extent, metres.
    """

    def __init__(self, avatar: Avatar, config: RunConfig, extent: float) -> None:
        self.avatar = avatar
        self.length = config.iterations
        self.detached = [name for name, wanted in vars(config.freeze).items() if wanted]
        self.groups: dict[str, Group] = {}
        rates = dict(config.rate)
        batch = math.sqrt(config.batch_size) if config.scale_rates else 1.0
        rows = []
        for name, spec in avatar.surfels.specs.items():
            schedule = _override(spec.rate, rates.get(spec.group or name), self.length)
            if spec.group_share != 1.0 and (spec.group or name) in rates:
                schedule = _scaled(schedule, spec.group_share)
            self.groups[name] = Group("surfels", schedule, batch * (extent if spec.scaled_by_extent else 1.0))
            rows.append({"params": [avatar.surfels.parameters[name]], "name": name})
        known = {spec.group or name for name, spec in avatar.surfels.specs.items()}
        network = avatar.appearance.network()
        if network is not None:
            known.add("network")
            schedule = _override(avatar.appearance.network_rate(), rates.get("network"), self.length)
            self.groups["network"] = Group("network", schedule, batch)
            rows.append({"params": list(network.parameters()), "name": "network"})
        for name, info in avatar.rig.parameters().items():
            known.add(f"rig.{name}")
            if config.train_rig and info.rate is not None and name in avatar.motion:
                schedule = _override(Schedule(info.rate), rates.get(f"rig.{name}"), self.length)
                self.groups[f"rig.{name}"] = Group("rig", schedule, batch)
                avatar.motion[name] = avatar.motion[name].detach().clone().requires_grad_()
                rows.append({"params": [avatar.motion[name]], "name": f"rig.{name}"})
        avatar.shaping = config.train_rig and config.train_identity and avatar.deformer.rig_bound
        for name, info in avatar.rig.identity_parameters().items():
            known.add(f"rig.{name}")
            if avatar.shaping and info.rate is not None:
                schedule = _override(Schedule(info.rate), rates.get(f"rig.{name}"), self.length)
                self.groups[f"rig.{name}"] = Group("rig", schedule, batch)
                start = avatar.identity.get(name, torch.zeros(info.size)).detach()
                learnt = start.to(avatar.device, torch.float32, copy=True).requires_grad_()
                avatar.identity[name] = learnt
                rows.append({"params": [learnt], "name": f"rig.{name}"})
        for name, given in rates.items():
            if name not in known and not given.optional:
                raise unknown_name("rate", name, known, "Name one of these with --set rate.NAME=NUMBER.")
        reach = config.batch_size if config.scale_momenta else 1
        betas = (DECAYS[0] ** reach, DECAYS[1] ** reach)
        self.adam = ops.Adam(rows, betas, EPSILON)
        self._finite: Tensor | None = None  # of the steps since it was last asked

    @property
    def capturable(self) -> bool:
        """Whether ``step`` can be captured in a CUDA graph, once it ran outside one."""
        return self.adam.by_kernel

    def set_rates(self, images: int) -> None:
        """Set every group's rate for the step that starts after ``images`` images."""
        for row in self.adam.param_groups:
            group = self.groups[row["name"]]
            row["lr"] = group.schedule.at(images, self.length) * group.factor
        self.adam.load_rates()

    def named(self) -> list[tuple[str, Tensor]]:
        """Every learning tensor by a readable name."""
        found = []
        for row in self.adam.param_groups:
            many = len(row["params"]) > 1
            for i, value in enumerate(row["params"]):
                found.append((f"{row['name']}.{i}" if many else row["name"], value))
        return found

    def in_backward_order(self) -> list[Tensor]:
        """Every learning tensor, about as a backward pass ends with them: of colours, surfels, the rig."""
        rows = [(self.groups[row["name"]].kind, row["params"]) for row in self.adam.param_groups]
        rows = [row for row in reversed(rows) if row[0] != "rig"] + [row for row in rows if row[0] == "rig"]
        return [value for _, values in rows for value in values]

    def rows_in_backward_order(self) -> list[Tensor | None]:
        """Of each of these the rows that alone ever get a gradient, (M,) int64; None: all."""
        surfels = self.avatar.surfels
        rows = {id(value): surfels.learning(name) for name, value in surfels.parameters.items()}
        return [rows.get(id(value)) for value in self.in_backward_order()]

    def freeze(self, values: Iterable[Tensor]) -> None:
        """Zero the gradients of frozen surfels, of those parameters that are among ``values``."""
        surfels, wanted = self.avatar.surfels, {id(value) for value in values}
        for name, value in surfels.parameters.items():
            if value.grad is None or id(value) not in wanted:
                continue
            index = surfels.frozen(name, self.detached)
            if index is not None:
                value.grad.index_fill_(0, index, 0.0)

    def watch(self, now: bool = False) -> None:
        """Take note of gradients that are not finite; nothing waits for the device.

        The kernel's step takes note by itself, unless it is to be known ``now``, before the step.
        """
        if self.adam.by_kernel and not now:
            return
        finite = ops.finite([value.grad for _, value in self.named()], self.avatar.device)
        self._finite = finite if self._finite is None else self._finite & finite

    def blame(self, images: int, losses: Mapping[str, Tensor] | None = None) -> None:
        """Raise an error naming the parameters whose gradient was not finite since the last such look.

        Of the last step's ``losses`` it names those that were not finite either: the cause may be there.
        """
        finite = self._finite_lately()
        if finite is None:
            return
        flags = finite.tolist()
        self._finite = None
        if not all(flags):
            bad = [name for (name, _), fine in zip(self.named(), flags, strict=True) if not fine]
            terms = [name for name, value in (losses or {}).items() if not bool(value.isfinite().all())]
            raise SurfheadError(
                f'The gradient of parameter "{bad[0]}" is NaN or infinite near image {images}'
                + (f" (also: {', '.join(bad[1:])})." if bad[1:] else ".")
                + (f" So are terms of the loss: {', '.join(terms)}." if terms else ""),
                "Training stopped; the last checkpoint is from before that.",
                "Run again with --resume --debug to dump the step's inputs, or lower this parameter's rate.",
            )

    def broken(self) -> Tensor:
        """() float32, whether ``blame`` would find something: 1, else 0."""
        finite = self._finite_lately()
        return torch.zeros((), device=self.avatar.device) if finite is None else 1.0 - finite.all().float()

    def _finite_lately(self) -> Tensor | None:
        """(K,) bool, by parameter: finite gradients since the last ``blame``; None: nobody took note."""
        unbroken = self.adam.unbroken()
        if unbroken is None or self._finite is None:
            return self._finite if unbroken is None else unbroken
        return self._finite & unbroken

    def freeze_and_step(self, values: Iterable[Tensor]) -> None:
        """One Adam step of these parameters, frozen surfels' apart."""
        values = list(values)
        self.freeze(values)
        self.adam.step(values)

    def step(self) -> None:
        """One Adam step; gradients are dropped afterwards."""
        self.adam.step()
        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Forget all gradients, such as those of a step that was broken off."""
        self.adam.drop_gradients()

    def select(self, selection: Selection, reset_opacity: bool) -> None:
        """Follow a densifying plan: survivors keep their state, fresh surfels start at zero."""
        parameters = self.avatar.surfels.parameters
        for row in self.adam.param_groups:
            name = row["name"]
            if self.groups[name].kind != "surfels":
                continue
            old, new = row["params"][0], parameters[name]
            state = self.adam.state.pop(old, None)
            row["params"] = [new]
            if state is None:
                continue
            moved = {"step": state["step"]}
            for key in MOMENTS:
                value = state[key][selection.source]
                value[selection.fresh] = 0.0
                if reset_opacity and name == "opacity":
                    value.zero_()
                moved[key] = value
            self.adam.state[new] = moved

    def tensors(self) -> dict[str, Tensor]:
        """Adam's state for a checkpoint."""
        found: dict[str, Tensor] = {}
        for name, value in self.named():
            for key, state in self.adam.state.get(value, {}).items():
                found[f"{name}/{key}"] = torch.as_tensor(state)
        return found

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take Adam's state from a checkpoint."""
        for name, value in self.named():
            keys = ("step", *MOMENTS)
            if f"{name}/step" in tensors:
                state = {key: tensors[f"{name}/{key}"].clone().to(value.device) for key in keys}
                for key in keys[1:]:
                    if state[key].shape != value.shape:
                        raise ValueError(f'"adam/{name}/{key}" has shape {tuple(state[key].shape)}')
                if value.device.type == "cpu":
                    state["step"] = state["step"].cpu()
                self.adam.state[value] = state


def _override(schedule: Schedule, rate: Rate | None, length: int) -> Schedule:
    if rate is None:
        return schedule
    changes = {f.name: getattr(rate, f.name) for f in dataclasses.fields(Rate) if f.name != "optional"}
    changes = {k: v for k, v in changes.items() if v is not None}
    for key in ("steps", "delay_steps"):
        if key in changes:
            changes[key] = in_images(changes[key], length, f"rate.{key}")
    if "initial" in changes and "final" not in changes and schedule.final is not None:
        # a lone number moves the whole schedule
        changes["final"] = schedule.final * changes["initial"] / max(schedule.initial, 1e-30)
    return dataclasses.replace(schedule, **changes)


def _scaled(schedule: Schedule, factor: float) -> Schedule:
    final = None if schedule.final is None else schedule.final * factor
    return dataclasses.replace(schedule, initial=schedule.initial * factor, final=final)
