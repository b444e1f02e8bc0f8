"""What the host reads of a GPU without waiting for it: a look later."""

from __future__ import annotations

import torch
from torch import Tensor


class ReadBack:
    """Numbers of a device that the host looks at now and then.

    Waiting for a GPU leaves it without work for as long as the host takes to queue some. So a look begins to
    copy the numbers of now and gives those of the look before, which have long been there.
    """

    def __init__(self) -> None:
        self._copied: tuple[Tensor, torch.cuda.Event] | None = None

    def look(self, values: Tensor) -> list[float] | None:
        """The numbers of the look before, None at the first; on a CPU those of now.

        Args:
            values: (K,) float32, as many at every look.
        """
        if not values.is_cuda:
            found: list[float] = values.tolist()
            return found
        before = None
        if self._copied is None:
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copy = torch.empty(len(values), pin_memory=True)
            self._copied = copy, copied
        else:
            copy, copied = self._copied
            copied.synchronize()
            before = copy.tolist()
        copy.copy_(values.detach(), non_blocking=True)
        copied.record(torch.cuda.current_stream(values.device))
        return before
