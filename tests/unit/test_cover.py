"""Overlap rules: no energy twice, a meter before an estimate, one sensor per component."""

from wattledger.model import Zone
from wattledger.sensors.cover import Envelope, choose_cover


def zone(sensor, name, covers, method="measured", device="d"):
    return Zone(sensor=sensor, name=name, device=device, covers=covers, method=method)


def names(zones):
    return [(z.sensor, z.name) for z in zones]


def test_the_first_sensor_in_probe_order_covers_a_component_alone():
    cover = choose_cover(
        [
            ("powercap", [zone("powercap", "package-0", "cpu"), zone("powercap", "package-1", "cpu")]),
            ("perf", [zone("perf", "package-0", "cpu"), zone("perf", "dram", "dram")]),
        ]
    )
    assert names(cover.components["cpu"]) == [("powercap", "package-0"), ("powercap", "package-1")]
    assert names(cover.components["dram"]) == [("perf", "dram")]


def test_an_estimate_is_used_only_where_nothing_measures():
    estimate = ("estimate", [zone("estimate", "cpu", "cpu", "estimated")])
    assert choose_cover([estimate]).components["cpu"][0].sensor == "estimate"
    assert not choose_cover([estimate]).measured
    both = choose_cover([estimate, ("hwmon", [zone("hwmon", "Esocket0", "cpu")])])
    assert names(both.components["cpu"]) == [("hwmon", "Esocket0")]
    assert both.measured


def test_zones_that_only_show_are_not_counted():
    cover = choose_cover([("powercap", [zone("powercap", "core", "")])])
    assert cover.components == {}
    assert cover.counted == frozenset()


def test_a_node_meter_goes_before_psys():
    psys = ("powercap", [zone("powercap", "psys", "node")])
    bmc = ("hwmon", [zone("hwmon", "power_meter", "node")])
    assert names(choose_cover([psys, bmc]).node) == [("hwmon", "power_meter")]
    assert names(choose_cover([psys]).node) == [("powercap", "psys")]


def test_gpu_boards_of_several_sensors_are_added_once_each():
    cover = choose_cover(
        [
            (
                "nvml",
                [zone("nvml", "board", "gpu", device="GPU-b"), zone("nvml", "board", "gpu", device="GPU-a")],
            ),
            ("amdgpu", [zone("amdgpu", "board", "gpu", device="GPU-c")]),
            ("other", [zone("other", "board", "gpu", device="GPU-a")]),
        ]
    )
    assert [(z.sensor, z.device) for z in cover.components["gpu"]] == [
        ("nvml", "GPU-a"),
        ("nvml", "GPU-b"),
        ("amdgpu", "GPU-c"),
    ]


def test_other_is_what_the_node_meter_shows_beyond_the_rest():
    envelope = Envelope()
    envelope.rest(60)
    assert envelope.meter(100) == 40


def test_other_never_goes_back_and_owes_nothing_twice():
    """A dip of 30 is paid back before anything more is booked."""
    envelope = Envelope()
    envelope.rest(100)
    assert envelope.meter(70) == 0
    envelope.rest(100)
    assert envelope.meter(120) == 0
    envelope.rest(100)
    assert envelope.meter(150) == 40


def test_a_late_node_reading_is_compared_with_all_it_spans():
    envelope = Envelope()
    envelope.rest(60)
    envelope.rest(60)
    assert envelope.meter(200) == 80


def test_a_node_meter_that_starts_anew_owes_nothing():
    envelope = Envelope()
    envelope.rest(1_000_000)
    envelope.skip()
    envelope.rest(60)
    assert envelope.meter(100) == 40
