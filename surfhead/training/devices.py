"""The device a run computes on."""

from __future__ import annotations

import torch

from surfhead.core.errors import OptionError, UnavailableError


def choose_device(name: str) -> torch.device:
    """``auto`` is the GPU when there is one. Raises UnavailableError when the named one is absent."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index):
            raise ValueError
    except (RuntimeError, TypeError, ValueError) as error:
        raise OptionError(
            f'Device "{name}" is not a device.', "Expected auto, cpu, cuda or cuda:N.", "Mend --device."
        ) from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise UnavailableError(
                f'Device "{name}" is not here.',
                f"PyTorch {torch.__version__} sees {count} CUDA devices.",
                "Use --device cpu, or see `surfhead doctor`.",
            )
    return device
