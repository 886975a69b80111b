"""When sensors are waited for and when they are closed."""

from __future__ import annotations

from tests.scripted import ScriptedSensor
from wattledger.clock import ManualClock
from wattledger.sensing import Sensing


class Late(ScriptedSensor):
    """A sensor that learns of its zones elsewhere."""

    def __init__(self) -> None:
        super().__init__(ManualClock(), [])
        self.waits = self.closes = 0

    def settle(self, _seconds: float) -> None:
        self.waits += 1

    def wants_probe(self) -> bool:
        return False

    def close(self) -> None:
        self.closes += 1


def guard(_name, read):
    return read()


def test_only_the_very_first_probe_waits():
    """Behind every later one, after a reload too, there are ticks and scrapes."""
    first, second = Late(), Late()
    sensing = Sensing([first], guard)
    sensing.probe(0)
    sensing.replace([second])
    sensing.probe(1)
    assert (first.waits, second.waits) == (1, 0)


def test_a_sensor_that_stays_is_not_closed():
    stays, goes = Late(), Late()
    sensing = Sensing([stays, goes], guard)
    sensing.replace([stays])
    assert (stays.closes, goes.closes) == (0, 1)
    assert sensing.sensors == (stays,)
