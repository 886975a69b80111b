"""Whatever a counter does, its steps add up to the truth or say that they do not."""

from hypothesis import given
from hypothesis import strategies as st

from wattledger.counters import CounterState, advance
from wattledger.model import S_NS, Reading, Zone

INTEL_RANGE_UJ = 262_143_328_850
AMD_RANGE_UJ = 65_532_610_987
RANGES = st.sampled_from([INTEL_RANGE_UJ, AMD_RANGE_UJ])
MAX_POWER_W = 1000
KNOWN = {"advanced", "wrapped"}

# 60 s at 1000 W are 60 kJ: less than one turn of either counter
INTERVALS = st.lists(
    st.tuples(st.integers(1_000_000, 30 * S_NS), st.floats(0, 1), st.booleans()), min_size=1, max_size=60
)


def zone(range_uj: int) -> Zone:
    return Zone(
        sensor="powercap",
        name="package-0",
        device="package-0",
        covers="cpu",
        range_uj=range_uj,
        max_power_w=MAX_POWER_W,
        survives_suspend=False,
    )


@given(range_uj=RANGES, start=st.floats(0, 1), intervals=INTERVALS)
def test_reads_often_enough_reproduce_the_consumption_to_the_microjoule(range_uj, start, intervals):
    """Wraps on either range and failed reads (never two in a row) lose nothing and add nothing."""
    meter = zone(range_uj)
    consumed_uj = seen_at_uj = booked_uj = at_ns = 0
    origin_uj = int(start * (range_uj - 1))
    state, _ = advance(meter, None, Reading(meter, 0, origin_uj, "boot/1"), 0)
    failed_before = False
    for elapsed_ns, load, fails in intervals:
        at_ns += elapsed_ns
        consumed_uj += int(load * MAX_POWER_W * elapsed_ns / 1000)
        failed_before = fails and not failed_before
        if failed_before:
            continue
        raw_uj = (origin_uj + consumed_uj) % range_uj
        state, step = advance(meter, state, Reading(meter, at_ns, raw_uj, "boot/1"), 0)
        assert step.outcome in KNOWN
        booked_uj += step.delta_uj
        seen_at_uj = consumed_uj
    assert booked_uj == seen_at_uj


@given(
    range_uj=st.sampled_from([0, INTEL_RANGE_UJ, AMD_RANGE_UJ]),
    previous=st.builds(
        CounterState,
        st.sampled_from(["boot/1", "boot/2"]),
        st.integers(0, 2**63),
        st.integers(0, 2**62),
        st.integers(0, 2**62),
    ),
    raw_uj=st.integers(0, 2**63),
    at_ns=st.integers(0, 2**62),
    suspended_ns=st.integers(0, 2**62),
)
def test_no_pair_of_reads_gives_negative_or_impossible_energy(
    range_uj, previous, raw_uj, at_ns, suspended_ns
):
    """At most what the zone can draw in the time, and 11 J of slack."""
    meter = zone(range_uj)
    state, step = advance(meter, previous, Reading(meter, at_ns, raw_uj, "boot/1"), suspended_ns)
    assert state == CounterState("boot/1", raw_uj, at_ns, suspended_ns)
    if step.delta_uj is not None:
        most_uj = MAX_POWER_W * max(0, at_ns - previous.at_ns) / 1000 + 11_000_000
        assert 0 <= step.delta_uj <= most_uj * (1 + 1e-12)
        assert previous.lineage == "boot/1"


@given(
    range_uj=RANGES,
    elapsed_ns=st.integers(1_000_000, 30 * S_NS),
    depth=st.floats(0, 1),
    since_reset=st.floats(0, 1),
)
def test_a_reset_far_from_the_top_gives_no_energy(range_uj, elapsed_ns, depth, since_reset):
    """The counter restarts from 0 when it stood lower than a plausible wrap could start from."""
    meter = zone(range_uj)
    within_uj = MAX_POWER_W * elapsed_ns // 1000
    highest_uj = range_uj - within_uj - 12_000_000
    before_uj = int(depth * highest_uj)
    after_uj = int(since_reset * min(within_uj, max(0, before_uj - 1)))
    if before_uj == after_uj:
        return
    previous = CounterState("boot/1", before_uj, 0, 0)
    _, step = advance(meter, previous, Reading(meter, elapsed_ns, after_uj, "boot/1"), 0)
    assert (step.delta_uj, step.outcome) == (None, "reset")


@given(range_uj=RANGES, origin=st.floats(0, 1), watts=st.integers(0, MAX_POWER_W), hours=st.integers(1, 72))
def test_a_long_gap_never_books_more_than_was_drawn(range_uj, origin, watts, hours):
    """After hours without a read the booked part is a lower bound, short by whole turns."""
    meter = zone(range_uj)
    origin_uj = int(origin * (range_uj - 1))
    consumed_uj = watts * hours * 3600 * 1_000_000
    raw_uj = (origin_uj + consumed_uj) % range_uj
    previous = CounterState("boot/1", origin_uj, 0, 0)
    _, step = advance(meter, previous, Reading(meter, hours * 3600 * S_NS, raw_uj, "boot/1"), 0)
    assert step.outcome == "ambiguous"
    assert step.delta_uj <= consumed_uj
    assert (consumed_uj - step.delta_uj) % range_uj == 0
