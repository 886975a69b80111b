"""The price of a joule over an interval: intensity, PUE, market-based intensity and water together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..model import S_NS, Component, Price
from .intensity import IntensitySource

JITTER_NS = S_NS
"""Meters are read some milliseconds before or after the workloads; that much is no other interval."""


class Ratio(Protocol):
    """A number that may change with the time of the week, such as PUE."""

    def at(self, wall_ns: int) -> float:
        """The value at a moment."""

    def next_step(self, wall_ns: int) -> int:
        """The first time after a moment at which the value may change."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A ratio that never changes."""

    value: float

    def at(self, wall_ns: int) -> float:  # noqa: ARG002 - the protocol's parameter
        return self.value

    def next_step(self, wall_ns: int) -> int:  # noqa: ARG002 - the protocol's parameter
        return 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The prices of one frame: `now` for its interval, `late` for components whose energy covers another.

    `start_ns` and `end_ns` (wall time) span everything the frame holds.
    """

    now: Price
    start_ns: int
    end_ns: int
    late: Mapping[Component, Price] = field(default_factory=dict)

    def of(self, component: Component) -> Price:
        """What energy of a component costs."""
        return self.late.get(component, self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """Prices intervals; whatever the sources know, there is always a price.

    Where PUE changes within an interval, the price's PUE is the mean weighted by intensity, so
    that intensity times PUE is the exact mean of their product.
    """

    intensity: IntensitySource
    pue: Ratio = Constant(1.0)
    market: IntensitySource | None = None
    wue_l_per_kwh: float | None = None

    def price(self, start_ns: int, end_ns: int) -> Price:
        """The price of an interval of wall time."""
        return Price(
            intensity=self.intensity.over(start_ns, end_ns),
            pue=self._pue(self.intensity, start_ns, end_ns),
            market=self.market.over(start_ns, end_ns) if self.market else None,
            wue_l_per_kwh=self.wue_l_per_kwh,
        )

    def prices(self, wall_ns: int, interval_ns: int, spans_ns: Mapping[Component, int]) -> Prices:
        """The prices of a frame that ends at `wall_ns`.

        `spans_ns` is how much time the energy of a component covers; where that is not well beyond
        the interval, the interval's price holds.
        """
        late: dict[Component, Price] = {}
        start_ns = wall_ns - interval_ns
        for component, span_ns in spans_ns.items():
            if span_ns - interval_ns > max(interval_ns // 5, JITTER_NS):
                late[component] = self.price(wall_ns - span_ns, wall_ns)
                start_ns = min(start_ns, wall_ns - span_ns)
        now = self.price(wall_ns - interval_ns, wall_ns)
        return Prices(now=now, start_ns=start_ns, end_ns=wall_ns, late=late)

    def _pue(self, intensity: IntensitySource, start_ns: int, end_ns: int) -> float:
        edge_ns = self.pue.next_step(start_ns)
        if edge_ns >= end_ns:
            return self.pue.at(max(start_ns, end_ns - 1))
        product = grams = plain = 0.0
        from_ns = start_ns
        while from_ns < end_ns:
            to_ns = min(edge_ns, end_ns)
            pue, length_ns = self.pue.at(from_ns), to_ns - from_ns
            piece = intensity.over(from_ns, to_ns).grams_per_kwh * length_ns
            product += pue * piece
            grams += piece
            plain += pue * length_ns
            from_ns, edge_ns = to_ns, self.pue.next_step(to_ns)
        return product / grams if grams > 0 else plain / (end_ns - start_ns)
