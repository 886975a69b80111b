"""When sensors are waited for and when they are closed."""

from __future__ import annotations

from tests.scripted import J, ScriptedSensor, package
from wattledger.clock import ManualClock
from wattledger.meters import Meters
from wattledger.model import Zone
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


def test_a_zone_that_another_sensor_replaced_is_no_longer_shown():
    """The estimate steps back when a meter is there: it is not lost. Its total goes on when it returns."""
    clock = ManualClock()
    cpu = Zone(sensor="estimate", name="cpu", device="estimate", covers="cpu", method="estimated")
    meter, estimate = ScriptedSensor(clock, []), ScriptedSensor(clock, [cpu], name="estimate")
    meters, sensing = Meters(), Sensing([meter, estimate], guard)

    def shown():
        meters.follow(*sensing.probe(clock.boottime_ns()), sensing.lost)
        meters.take(sensing.read(), 0)
        clock.advance(1)
        estimate.spend(cpu, 5 * J)
        meters.take(sensing.read(), 0)
        return {row.zone.sensor: (row.up, row.energy_uj) for row in meters.rows()}

    assert shown() == {"estimate": (True, 5 * J)}
    meter.zones = [package()]
    assert shown() == {"scripted": (True, 0)}
    meter.zones = []
    assert shown() == {"estimate": (True, 10 * J), "scripted": (False, 0)}


def test_a_zone_of_a_sensor_that_was_switched_off_is_no_longer_shown():
    """One that vanished from its sensor is lost, and stays in sight until its sensor is switched off."""
    clock = ManualClock()
    sensor = ScriptedSensor(clock, [package(0), package(1)])
    memory = Zone(sensor="other", name="dram", device="dimm", covers="dram")
    other = ScriptedSensor(clock, [memory], name="other")
    meters, sensing = Meters(), Sensing([sensor, other], guard)

    def shown():
        meters.follow(*sensing.probe(clock.boottime_ns()), sensing.lost)
        meters.take(sensing.read(), 0)
        return {row.zone.device: row.up for row in meters.rows()}

    assert shown() == {"package-0": True, "package-1": True, "dimm": True}
    sensor.zones = [package(1)]
    assert shown() == {"package-0": False, "package-1": True, "dimm": True}
    sensing.replace([other])
    assert shown() == {"dimm": True}
