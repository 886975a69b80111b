"""What a sensor promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ..model import Probe, Reading


class Sensor(Protocol):
    """One kind of energy meter.

    A sensor knows nothing of flags, other sensors or metrics.
    """

    @property
    def name(self) -> str:
        """The collector's name: flag, label and file name are the same word."""

    def probe(self) -> Probe:
        """Look at the host anew and say what can be read and why the rest cannot.

        Called at start, on a slow cycle, and by `wattledger check`. Never raises for the state of the host.
        """

    def read(self) -> Sequence[Reading]:
        """Read every zone of the last probe once, cheaply, each stamped with the boot time of its own read.

        A failed read is a Reading without a value; it never hides the other zones. A zone that is not
        to be disturbed this time is left out.
        """


@runtime_checkable
class Closable(Protocol):
    """A sensor that holds files or processes."""

    def close(self) -> None:
        """Give them back, without waiting; another sensor may be built in its place."""


@runtime_checkable
class Deferred(Protocol):
    """A sensor that learns of its zones elsewhere, a little later than it is asked."""

    def settle(self, seconds: float) -> None:
        """Wait until the zones are known, at most so long; for the start, when no tick waits behind it."""

    def wants_probe(self) -> bool:
        """Whether zones came or went since the last probe."""


@runtime_checkable
class Releasable(Protocol):
    """A sensor that holds device files which an operator may need."""

    def release(self) -> None:
        """Close the device files and stay away from them, without waiting."""

    def acquire(self) -> None:
        """Take them back."""
