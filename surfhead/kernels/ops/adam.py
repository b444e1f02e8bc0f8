"""Adam (Kingma and Ba 2015), on a GPU in one launch for all parameters, which a CUDA graph can hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

MOMENTS = ("exp_avg", "exp_avg_sq")  # Adam's state, by PyTorch's names


class Adam:
    """Adam, whose step is the kernel's where the parameters allow it, else PyTorch's.

    Not a ``torch.optim.Optimizer``: making one loads PyTorch's compiler, which takes as long as PyTorch.

    Args:
        rows: parameter groups as PyTorch's: their ``params`` and whatever else the caller keeps there.
        betas: decays of both averages, a step.
        epsilon: added to the root of the second average.

    Attributes:
        param_groups: the rows, each with ``lr`` (0 at first), ``betas`` and ``eps``.
        state: of each parameter that took a step ``step`` and ``MOMENTS``, as PyTorch's.
        by_kernel: whether the kernel takes the steps. It then leaves elements alone whose gradient is not
            finite, and takes note of them.
    """

    def __init__(self, rows: list[dict[str, Any]], betas: tuple[float, float], epsilon: float) -> None:
        self.param_groups: list[dict[str, Any]] = [
            {"lr": 0.0, "betas": betas, "eps": epsilon, **row} for row in rows
        ]
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self.by_kernel = _serves(self.values())
        if self.by_kernel:
            device, count = self.values()[0].device, len(self.values())
            self._rates = torch.zeros(count, device=device)
            self._broken = torch.zeros(count, dtype=torch.int32, device=device)

    def values(self) -> list[Tensor]:
        """All parameters, group by group."""
        return [value for row in self.param_groups for value in row["params"]]

    def load_rates(self) -> None:
        """Take note of the groups' rates; a captured step reads them from the device."""
        if self.by_kernel:
            rates = [row["lr"] for row in self.param_groups for _ in row["params"]]
            self._rates.copy_(torch.tensor(rates), non_blocking=True)

    def unbroken(self) -> Tensor | None:
        """(K,) bool: the parameters whose gradients were finite at all steps; None where nobody took note."""
        return self._broken == 0 if self.by_kernel else None

    def step(self, values: Iterable[Tensor] | None = None) -> None:
        """One step for the parameters that have a gradient; of ``values`` alone, if they are given."""
        wanted = None if values is None else {id(value) for value in values}
        active = [
            [v for v in row["params"] if v.grad is not None and (wanted is None or id(v) in wanted)]
            for row in self.param_groups
        ]
        for value in (value for row in active for value in row):
            if value not in self.state:
                start = {key: torch.zeros_like(value, requires_grad=False) for key in MOMENTS}
                self.state[value] = {"step": torch.zeros((), device=value.device), **start}
        if not any(active):
            return
        if self.by_kernel:
            self._launch({id(value) for row in active for value in row})
        elif not self._natively(active):
            self._plain(active)

    def drop_gradients(self) -> None:
        """Forget all gradients."""
        for value in self.values():
            value.grad = None

    @torch.no_grad()
    def _natively(self, active: list[list[Tensor]]) -> bool:
        """The step of these, by row, by the native library of a CPU; False where it cannot take it."""
        rows = [(value, row) for row, own in zip(self.param_groups, active, strict=True) for value in own]
        values = [value for value, _ in rows]
        if values[0].is_cuda:
            return False
        from surfhead.kernels import cpu_parameters

        if not all(cpu_parameters.serves(value) and value.is_contiguous() for value in values):
            return False
        state = [self.state[value] for value in values]
        if not all(each[key].is_contiguous() for each in state for key in MOMENTS):
            return False
        for each in state:
            each["step"] += 1.0
        cpu_parameters.adam_step(
            values,
            [each[MOMENTS[0]] for each in state],
            [each[MOMENTS[1]] for each in state],
            [int(each["step"]) for each in state],
            [row["lr"] for _, row in rows],
            rows[0][1]["betas"],
            rows[0][1]["eps"],
        )
        return True

    @torch.no_grad()
    def _plain(self, active: list[list[Tensor]]) -> None:
        """PyTorch's own step of these, a row at a time."""
        for row, values in zip(self.param_groups, active, strict=True):
            if not values:
                continue
            state = [self.state[value] for value in values]
            adam(
                values,
                [value.grad for value in values if value.grad is not None],
                [each[MOMENTS[0]] for each in state],
                [each[MOMENTS[1]] for each in state],
                [],
                [each["step"] for each in state],
                fused=True,
                amsgrad=False,
                beta1=row["betas"][0],
                beta2=row["betas"][1],
                lr=row["lr"],
                weight_decay=0.0,
                eps=row["eps"],
                maximize=False,
            )

    def _launch(self, active: set[int]) -> None:
        """The kernel's step over those of these identities."""
        from surfhead.kernels import cuda

        values = self.values()
        torch._foreach_add_([self.state[value]["step"] for value in values if id(value) in active], 1.0)
        nothing = torch.empty(0, device=self._rates.device)
        moments = []
        for value in values:
            own = self.state.get(value, {}) if id(value) in active else {}
            mean, square, step = (own.get(key, nothing) for key in (*MOMENTS, "step"))
            moments.append(cuda.Moments(value, mean, square, step, taking_part=bool(own)))
        row = self.param_groups[0]
        cuda.adam_step(moments, self._rates, self._broken, row["betas"], row["eps"])


def _serves(values: list[Tensor]) -> bool:
    """Whether the GPU's own kernel can take the steps of these parameters."""
    if not values or not values[0].is_cuda:
        return False
    from surfhead.kernels import cuda

    return len(values) <= cuda.MAX_PARAMETERS and all(
        cuda.serves(value) and value.is_contiguous() for value in values
    )
