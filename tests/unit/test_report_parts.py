"""Coverage, series and plots of a report."""

from __future__ import annotations

import re

import pytest

from wattledger.model import S_NS
from wattledger.report import plot
from wattledger.report.coverage import coverage
from wattledger.report.grouping import ranked
from wattledger.report.records import Gap, Row, Slice
from wattledger.report.series import drawable, joined
from wattledger.report.span import HOUR_NS
from wattledger.report.wording import length, plain, share

DAY_NS = 24 * HOUR_NS


def minutes(*hours: float) -> dict[int, int]:
    """Covered minutes of the first hours."""
    return {number * HOUR_NS: round(one * 60 * S_NS) for number, one in enumerate(hours)}


def test_full_hours_have_no_gaps():
    found = coverage(minutes(60, 60), 0, 2 * HOUR_NS)
    assert (found.ratio, found.gaps) == (1.0, ())


def test_a_sample_over_the_turn_of_an_hour_is_no_gap():
    """The interval of 30 s counts where it ends."""
    found = coverage(minutes(59.5, 60.5, 60), 0, 3 * HOUR_NS)
    assert (found.ratio, found.gaps, found.late_ns) == (1.0, (), 0)


def test_neighbouring_gaps_are_one():
    found = coverage(minutes(10, 0, 50, 60), 0, 4 * HOUR_NS)
    assert found.gaps == (Gap(0, 3 * HOUR_NS, 2 * HOUR_NS),)
    assert found.ratio == 0.5


def test_what_was_booked_late_fills_the_gaps_before_it():
    """The disk was full for two hours, and the third hour got it all; the fourth is a real gap."""
    found = coverage(minutes(0, 0, 180, 0), 0, 4 * HOUR_NS)
    assert found.gaps == (Gap(3 * HOUR_NS, 4 * HOUR_NS, HOUR_NS),)
    assert (found.ratio, found.late_ns) == (0.75, 2 * HOUR_NS)


def test_the_last_hour_may_still_run():
    found = coverage(minutes(60, 20), 0, HOUR_NS + HOUR_NS // 3)
    assert (found.ratio, found.gaps) == (1.0, ())


def test_groups_are_ranked_by_all_that_they_emitted_not_by_energy():
    """Ties go by energy, then by name; what is folded adds up."""
    rows = [
        Row(group="b", energy_uj=5, emissions_g=2.0),
        Row(group="a", energy_uj=5, emissions_g=2.0),
        Row(group="at night", energy_uj=9, emissions_g=1.0),
        Row(group="large", energy_uj=1, emissions_g=1.0, embodied_g=3.0),
        Row(group="busy", energy_uj=6, emissions_g=2.0),
    ]
    top, rest = ranked(rows, 4)
    assert [row.group for row in top] == ["large", "busy", "a", "b"]
    assert rest == Row(group="", energy_uj=9, emissions_g=1.0)


def hour(number: int, energy_uj: int = 1) -> Slice:
    return Slice(start_ns=number * HOUR_NS, end_ns=(number + 1) * HOUR_NS, components={"cpu": energy_uj})


def test_days_without_figures_are_there_all_the_same():
    days = joined([hour(0), hour(49, 5)], "day", "UTC", 0, 3 * DAY_NS)
    assert [day.energy_uj for day in days] == [1, 0, 5]
    assert [day.intensity for day in days] == [None, None, None]


@pytest.mark.parametrize(
    ("days", "step", "steps"),
    [(1, "hour", 24), (2, "hour", 48), (3, "day", 3), (93, "day", 93), (94, "week", 14)],
)
def test_a_plot_has_steps_that_can_be_told_apart(days, step, steps):
    hours = [hour(number) for number in range(days * 24)]
    found = joined(hours, "day", "UTC", 0, days * DAY_NS)
    drawn, called = drawable(found, hours, "UTC")
    assert (called, len(drawn)) == (step, steps)
    assert sum(one.energy_uj for one in drawn) == days * 24


def test_ten_years_are_drawn_by_the_year_at_most():
    found = joined([], "day", "UTC", 0, 10 * 365 * DAY_NS)
    assert drawable(found, [], "UTC")[1] == "year"


def axis(*labels: str) -> plot.Axis:
    return plot.Axis(title="T <1>", description="D", labels=labels, unit="kWh")


def test_bars_are_stacked_to_scale():
    """Two parts of 1 and 3 on an axis to 4: their heights are as 1 to 3, one on the other."""
    drawn = plot.stacked_bars(axis("a"), [("cpu", 0, [1.0]), ("dram", 1, [3.0])])
    bars = re.findall(
        r'<rect class="c(\d)" x="[^"]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"><title>', drawn
    )
    heights = {colour: float(height) + 0.6 for colour, _, height in bars}
    assert heights["1"] / heights["0"] == pytest.approx(3, rel=1e-3)
    tops = {colour: float(y) for colour, y, _ in bars}
    assert tops["1"] + heights["1"] == pytest.approx(tops["0"], abs=0.01)
    assert "T &lt;1&gt;" in drawn
    assert "<1>" not in drawn


def test_a_line_is_broken_where_nothing_is_known():
    drawn = plot.line(axis(*"abcde"), [1.0, 2.0, None, 4.0, 5.0])
    assert len(re.findall("<polyline", drawn)) == 2
    assert len(re.findall("<circle", drawn)) == 4


def test_plots_of_nothing_are_whole():
    for drawn in (
        plot.stacked_bars(axis(), []),
        plot.line(axis("a"), [None]),
        plot.ranked_bars(axis(), [], []),
        plot.ranked_bars(axis("a"), [0.0], ["0 g"]),
    ):
        assert drawn.startswith("<figure><svg ")
        assert "nan" not in drawn


@pytest.mark.parametrize("highest", [0.00012, 0.9, 1.0, 3.3, 9.99, 10.0, 12345.0])
def test_the_axis_has_a_few_round_lines(highest):
    top, step = plot._scale(highest)
    assert top >= highest * 0.999999
    assert 2 <= round(top / step) <= 6


def test_words_for_lengths_and_shares():
    assert [length(seconds * S_NS) for seconds in (45, 60, 4800, 86400, 97200)] == [
        "45 s",
        "1 min",
        "1 h 20 min",
        "1 d",
        "1 d 3 h",
    ]
    assert [share(ratio) for ratio in (0.0, 0.0001, 0.5, 0.99999, 1.0)] == [
        "0.0 %",
        "< 0.1 %",
        "50.0 %",
        "> 99.9 %",
        "100.0 %",
    ]


def test_what_hides_or_turns_around_is_written_out():
    assert plain("web\u202e\n\x1b[2Jé") == "web\\u202e\\n\\x1b[2Jé"
