"""Which sensors are built, and in which order."""

import pytest

from wattledger.clock import ManualClock
from wattledger.errors import SettingsError
from wattledger.hostfs import HostFS
from wattledger.sensors.registry import COLLECTORS, build_sensors
from wattledger.settings import EstimateSettings, SensorSettings, Settings


def names(**enabled: bool) -> list[str]:
    """The names of the sensors built when the user switched these on or off."""
    settings = Settings(sensors=SensorSettings(enabled=enabled))
    return [sensor.name for sensor in build_sensors(settings, ManualClock())]


def test_measured_sensors_are_probed_before_the_estimate():
    """Without settings every collector that is on by default is there, and powercap goes before perf."""
    built = names()
    assert built == [collector.name for collector in COLLECTORS if collector.default]
    assert built[:2] == ["powercap", "perf"]
    assert built[-1] == "estimate"


def test_a_sensor_carries_the_name_of_its_collector():
    """Flag, label and file name are the same word."""
    for collector in COLLECTORS:
        only = {other.name: other is collector for other in COLLECTORS}
        assert names(**only) == [collector.name]
        assert collector.help


@pytest.mark.parametrize("name", ["powercap", "perf", "hwmon", "estimate"])
def test_a_collector_can_be_switched_off(name):
    assert name not in names(**{name: False})
    assert {name, *names(**{name: False})} == set(names())


def test_switching_a_default_on_again_changes_nothing():
    assert names(powercap=True) == names()


def test_an_unknown_collector_is_a_settings_error_that_names_the_known_ones():
    with pytest.raises(SettingsError, match=r"'rapl'.*powercap, perf"):
        names(rapl=True)


def test_sensors_read_the_host_that_the_settings_name(tmp_path):
    """Nothing is taken from this machine: an empty root has no meter."""
    settings = Settings(
        paths=HostFS.at(str(tmp_path)),
        sensors=SensorSettings(
            enabled={"estimate": False}, estimate=EstimateSettings(idle_watts=1.0, max_watts=2.0)
        ),
    )
    for sensor in build_sensors(settings, ManualClock()):
        assert sensor.probe().zones == ()
        assert list(sensor.read()) == []


def test_what_no_setting_changes_is_taken_over_by_a_reload():
    """A GPU worker need not start anew, nor an integral, because the estimate was given other watts."""
    before = build_sensors(Settings(), ManualClock())
    fresh = Settings(
        sensors=SensorSettings(enabled={"hwmon": False}, estimate=EstimateSettings(max_watts=2.0))
    )
    after = {sensor.name: sensor for sensor in build_sensors(fresh, ManualClock(), before)}
    same = {sensor.name for sensor in before if after.get(sensor.name) is sensor}
    assert same == {"powercap", "perf", "nvidia", "amdgpu", "intelgpu"}
    assert after.keys() == same | {"estimate"}
