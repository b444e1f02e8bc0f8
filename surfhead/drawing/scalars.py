"""How numbers become colours: which map, between which values, and the words that say so.

A channel that shows one number a pixel has a unit, a range and a colour map of its own. A ``Scale`` replaces
any of them, for one picture or for a whole film, and says afterwards what the colours mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from surfhead.core.errors import OptionError, unknown_name
from surfhead.drawing.colour_maps import MAPS, mapped

FULL_ERROR = 0.2  # mean absolute colour error at the upper end
FULL_STRETCH = 1.5  # stretch at the upper end, its inverse at the lower
ROOM = 0.1  # of the picture's depth, added at both ends
NARROWEST = 0.01  # of the channel's own range: below it, percentiles would show noise
MOST = 1 << 20  # values that percentiles are taken of, at most: torch.quantile has a limit


@dataclass(frozen=True)
class Scalar:
    """A channel of one number a pixel.

    Attributes:
        low, high: its own range; None: that of what is drawn.
        colour_map: its own.
        unit: behind the numbers.
        log: equal ratios are equally far apart.
        falling: the low end has the upper colour, as for depth, where near is bright.
        everywhere: it has a value where nothing is drawn, too.
    """

    low: float | None
    high: float | None
    colour_map: str
    unit: str = ""
    log: bool = False
    falling: bool = False
    everywhere: bool = False


SCALARS: dict[str, Scalar] = {
    "depth": Scalar(None, None, "grey", unit="m", falling=True),
    "alpha": Scalar(0.0, 1.0, "grey", everywhere=True),
    "error": Scalar(0.0, FULL_ERROR, "heat", everywhere=True),
    "blend": Scalar(0.0, 1.0, "heat"),
    "observed": Scalar(0.0, 1.0, "heat"),
    "stretch": Scalar(1.0 / FULL_STRETCH, FULL_STRETCH, "blue-red", unit="x", log=True),
}


@dataclass(frozen=True)
class Legend:
    """What the colours of a picture mean.

    Attributes:
        channel: whose.
        low, high: the values at the ends; those beyond have the ends' colours.
        colour_map: its name.
        unit: of the values; empty for plain numbers.
        log, falling: as of ``Scalar``.
    """

    channel: str
    low: float
    high: float
    colour_map: str
    unit: str = ""
    log: bool = False
    falling: bool = False

    def colours(self, values: Tensor) -> Tensor:
        """(..., 3) RGB in [0, 1] of values (...)."""
        low, high = (values.new_tensor(end) for end in (self.low, self.high))
        if self.log:
            values, low, high = (value.clamp_min(1e-12).log() for value in (values, low, high))
        place = ((values - low) / (high - low).clamp_min(1e-9)).clamp(0.0, 1.0)
        return mapped(1.0 - place if self.falling else place, self.colour_map)

    def strip(self, count: int) -> Tensor:
        """(count, 3) the colours from the low end to the high one."""
        place = torch.linspace(0.0, 1.0, count)
        return mapped(1.0 - place if self.falling else place, self.colour_map)

    @property
    def words(self) -> str:
        """Such as ``depth 0.52 to 0.81 m, viridis``."""
        return (
            f"{self.channel} {self.low:.3g} to {self.high:.3g}{' ' * bool(self.unit)}{self.unit}, "
            f"{self.colour_map}"
        )


@dataclass
class Scale:
    """What is asked of the colours of numbers, and what came of it.

    Attributes:
        colour_map: a name of ``MAPS`` for all of them; None: each channel's own.
        span: lowest and highest value; None: each channel's own.
        percentile: the range leaves out this many per cent of the picture's values at either end, instead of
            ``span``; None: it does not follow the picture.
        hold: the first range that is found serves all later pictures, as in a film.
        bar: draw a bar with the range into every picture of numbers.
        legends: channel -> what its colours meant last.

    Raises:
        UnknownNameError: there is no such map.
        OptionError: an empty range, a percentile outside 0 to 49, or both a range and a percentile.
    """

    colour_map: str | None = None
    span: tuple[float, float] | None = None
    percentile: float | None = None
    hold: bool = False
    bar: bool = False
    legends: dict[str, Legend] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.colour_map is not None and self.colour_map not in MAPS:
            raise unknown_name("colour map", self.colour_map, MAPS, "Choose one of these with --map.")
        if self.span is not None and not self.span[0] < self.span[1]:
            raise OptionError(
                f'"range" is {self.span[0]:g} to {self.span[1]:g}.',
                "Expected the lower value first.",
                "Mend --range.",
            )
        if self.percentile is not None and not 0.0 <= self.percentile < 50.0:
            raise OptionError(
                f'"percentile" is {self.percentile:g}.',
                "Expected 0 to less than 50: so many per cent are left out at either end.",
                "Mend --percentile.",
            )
        if self.span is not None and self.percentile is not None:
            raise OptionError(
                "A range and a percentile are both given.", "", "Leave out --range, or --percentile."
            )

    def legend(
        self, channel: str, values: Tensor, drawn: Tensor, span: tuple[float, float] | None = None
    ) -> Legend:
        """What a picture's colours mean from now on.

        Args:
            channel: a name of ``SCALARS``.
            values: (H, W).
            drawn: (H, W) bool, the pixels whose values count.
            span: a range that the caller knows better than the channel.
        """
        if self.hold and channel in self.legends:
            return self.legends[channel]
        kind = SCALARS[channel]
        made = Legend(
            channel, 0.0, 1.0, self.colour_map or kind.colour_map, kind.unit, kind.log, kind.falling
        )
        found = values[drawn]
        if self.percentile is not None:
            span = _percentiles(found, self.percentile, _own(kind, found))
        else:
            span = self.span or span or _own(kind, found)
        if span is None:  # nothing is drawn: the next picture may show something
            return replace(made, low=kind.low or 0.0, high=1.0 if kind.high is None else kind.high)
        self.legends[channel] = replace(made, low=span[0], high=span[1])
        return self.legends[channel]


def _own(kind: Scalar, found: Tensor) -> tuple[float, float] | None:
    """A channel's own range."""
    if kind.low is not None and kind.high is not None:
        return kind.low, kind.high
    return roomy(found)


def roomy(found: Tensor) -> tuple[float, float] | None:
    """The smallest and the largest value, and some room at both ends; None of nothing."""
    if not len(found):
        return None
    low, high = float(found.min()), float(found.max())
    return low - ROOM * (high - low), high + ROOM * (high - low)


def _percentiles(
    found: Tensor, percent: float, own: tuple[float, float] | None
) -> tuple[float, float] | None:
    """The range between two percentiles, no narrower than a hundredth of the channel's own."""
    if own is None or not len(found):
        return None
    some = found[:: -(-len(found) // MOST)].float()
    low, high = torch.quantile(some, some.new_tensor([percent / 100, 1 - percent / 100])).tolist()
    lacking = max(NARROWEST * (own[1] - own[0]), 1e-6) - (high - low)
    return (low - lacking / 2, high + lacking / 2) if lacking > 0 else (low, high)
