"""A board's energy as one counter, continued where the hardware began again at 0 (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Change = Literal["", "restarted", "replaced"]

SLACK_UJ = 2_000_000
"""What a sensor that steps every 100 ms may be ahead of its stamp, at two kilowatts and then some."""


@dataclass(frozen=True, slots=True)
class Value:
    """A point of the continued counter.

    `change` says what happened since the point before it: nothing, the hardware `restarted` at 0 and was
    continued, or it was `replaced` by one that cannot be joined, which `lineage` shows too.
    """

    energy_uj: int
    lineage: str
    change: Change


class ContinuedCounter:
    """Joins the counts of a board over reloads of its driver and resets, without inventing energy.

    The hardware counts from the load of the driver. A value below the last one, or of another load, is such a
    restart only if everything it shows can have been drawn since the last value; then it is added on top, and
    what was drawn between the last value and the restart stays unknown. A value that fell in any other way
    (a glitch) begins another lineage, so that nobody subtracts the two.

    The lineage keeps its first name as long as values can be joined. While the hardware has not restarted,
    another process of the same boot finds the same lineage and value.
    """

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id
        self._lineage = ""
        self._load = ""
        self._raw_uj = 0
        self._at_ns = 0
        self._base_uj = 0
        self._replaced = 0

    def take(self, load: str, raw_uj: int, at_ns: int, max_power_w: float) -> Value:
        """Take the hardware's value; `load` names the load of the driver it counts from."""
        change: Change = ""
        if not self._lineage:
            self._lineage = f"{self._boot_id}/{load}"
        elif load != self._load or raw_uj < self._raw_uj:
            drawable_uj = max_power_w * max(0, at_ns - self._at_ns) / 1000 + SLACK_UJ
            if raw_uj <= drawable_uj:
                self._base_uj += self._raw_uj
                change = "restarted"
            else:
                self._base_uj = 0
                self._replaced += 1
                self._lineage = f"{self._boot_id}/{load}/{self._replaced}"
                change = "replaced"
        self._load, self._raw_uj, self._at_ns = load, raw_uj, at_ns
        return Value(self._base_uj + raw_uj, self._lineage, change)
