"""A time series in a file: its shapes, what is refused, and that it is read again when it changes."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from wattledger.carbon.intensity import Static
from wattledger.carbon.offline import series_file
from wattledger.carbon.offline.series_file import FileSeries
from wattledger.carbon.series import Point
from wattledger.carbon.watch import Feed
from wattledger.model import Intensity
from wattledger.settings import IntensitySettings, Role

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
NOON_NS = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 10**9
SPARE = Static(Intensity(grams_per_kwh=500.0, provider="static"))

OWN = """\
# from our meter
start,grams_per_kwh,estimated,note
2026-11-20T11:00Z,100,false,a
2026-11-20T13:00+01:00,200,,b
2026-11-20T13:00Z,300,true,c
"""
MAPS = """\
Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),\
Carbon intensity gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%),\
Renewable energy percentage (RE%),Data source,Data estimated,Data estimation method
2026-11-20 11:00:00,Germany,Germany,DE,250.5,310.25,50,45,entsoe.eu,false,
2026-11-20 12:00:00,Germany,Germany,DE,260,320,50,45,entsoe.eu,true,TSA
"""


def write(path: Path, text: str | bytes, modified_ns: int = NOON_NS - HOUR_NS) -> None:
    """Put a file in place of another one, last modified at a moment."""
    new = path.with_suffix(".new")
    new.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(new, ns=(modified_ns, modified_ns))
    new.rename(path)


def source(path: Path, role: Role = "intensity", **settings: object) -> FileSeries:
    return FileSeries(IntensitySettings(provider="file", file=str(path), **settings), SPARE, role)


def read(path: Path, text: str | bytes, **settings: object) -> FileSeries:
    """A source that has read a file at noon."""
    write(path, text)
    feed = source(path, **settings)
    feed.refresh(NOON_NS)
    return feed


def points(feed: FileSeries) -> list[tuple[float, float, float]]:
    """Start and end in hours from noon, and the value."""
    series = feed.series(NOON_NS - 8 * DAY_NS, NOON_NS + 8 * DAY_NS)
    assert series is not None, feed.health.error
    return [
        ((p.start_ns - NOON_NS) / HOUR_NS, (p.end_ns - NOON_NS) / HOUR_NS, p.value) for p in series.points
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "intensity.csv"


def test_our_own_columns(file: Path) -> None:
    """Rows end where the next begins, the last after the median step; other columns do not count."""
    feed = read(file, OWN, grid_zone="SITE", flow="consumption")
    assert points(feed) == [(-1, 0, 100.0), (0, 1, 200.0), (1, 2, 300.0)]
    now = feed.at(NOON_NS)
    assert (now.grams_per_kwh, now.provider, now.grid_zone, now.basis, now.flow) == (
        200.0,
        "file",
        "SITE",
        "lifecycle",
        "consumption",
    )
    assert not now.fallback


def test_rows_after_the_files_own_time_are_a_forecast(file: Path) -> None:
    """It was modified at 11:00: what begins at 11:00 is not, what begins at noon is."""
    feed = read(file, OWN)
    assert not feed.at(NOON_NS - 1).estimated
    assert feed.at(NOON_NS).estimated


def test_a_row_that_says_so_is_estimated(file: Path) -> None:
    """Even of the past."""
    write(file, OWN, NOON_NS + 2 * HOUR_NS)
    feed = source(file)
    feed.refresh(NOON_NS + 3 * HOUR_NS)
    assert [feed.at(NOON_NS + hour * HOUR_NS).estimated for hour in (-1, 0, 1)] == [False, False, True]


def test_unix_seconds_and_ends(file: Path) -> None:
    """A row with an end leaves a gap after it."""
    noon_s = NOON_NS // 10**9
    feed = read(file, f"start,end,grams_per_kwh\n{noon_s},{noon_s + 900}.0,100\n{noon_s + 3600},,200\n")
    assert points(feed) == [(0, 0.25, 100.0), (1, 2, 200.0)]


def test_the_csv_files_of_electricity_maps(file: Path) -> None:
    """Life cycle unless direct is asked for; UTC without saying so; consumption; their licence."""
    feed = read(file, MAPS)
    assert points(feed) == [(-1, 0, 310.25), (0, 1, 320.0)]
    now = feed.at(NOON_NS)
    assert (now.basis, now.flow, now.grid_zone, now.estimated) == ("lifecycle", "consumption", "DE", True)
    assert now.licence == "ODbL 1.0, Electricity Maps"
    direct = read(file, MAPS, basis="direct")
    assert points(direct) == [(-1, 0, 250.5), (0, 1, 260.0)]
    assert direct.at(NOON_NS).basis == "direct"


def test_the_older_csv_files_of_electricity_maps(file: Path) -> None:
    """Which wrote LCA and capital letters."""
    older = MAPS.replace("(Life cycle)", "(LCA)").replace("Carbon intensity", "Carbon Intensity")
    assert points(read(file, older)) == [(-1, 0, 310.25), (0, 1, 320.0)]


def test_decimal_commas_are_refused_not_cut_off(file: Path) -> None:
    """300,5 would be 300 and a column without a name; empty columns at the end, as of a sheet, do no harm."""
    feed = read(file, "start,grams_per_kwh\n2026-11-20T12:00Z,300,5\n")
    assert feed.health.error == (
        f"{file} line 2: has more than the 2 columns of the header; decimals are written with a point"
    )
    feed = read(file, 'start,grams_per_kwh\n2026-11-20T12:00Z,"300,5"\n')
    assert feed.health.error.endswith(
        "intensity is '300,5'; accepted are 0 to 5000 grams per kWh, as in 312.5"
    )
    assert points(read(file, "start,grams_per_kwh\n2026-11-20T12:00Z,300.5,,\n")) == [(0, 1, 300.5)]


def test_an_empty_value_is_a_gap(file: Path) -> None:
    """The row before it ends at it, and is what is known until it is too old."""
    text = "start,grams_per_kwh\n2026-11-20T11:00Z,100\n2026-11-20T12:00Z,\n2026-11-20T13:00Z,300\n"
    assert points(read(file, text)) == [(-1, 0, 100.0), (1, 2, 300.0)]


def test_json_of_our_own(file: Path) -> None:
    """A list of objects, in any order, with or without an end."""
    rows = [
        {"start": "2026-11-20T13:00Z", "grams_per_kwh": 300, "estimated": True},
        {"start": "2026-11-20T11:00Z", "end": "2026-11-20T12:00Z", "grams_per_kwh": 100.5},
        {"start": NOON_NS // 10**9, "grams_per_kwh": 200, "comment": {"nested": [1]}},
    ]
    for document in (rows, {"data": rows}, {"version": 1, "points": rows}):
        assert points(read(file, json.dumps(document, indent=1))) == [
            (-1, 0, 100.5),
            (0, 1, 200.0),
            (1, 2, 300.0),
        ]


def test_emissions_of_the_carbon_aware_sdk(file: Path) -> None:
    """As its data files and its `bylocation` answers spell them; the location is that of the grid zone."""
    rows = [
        {"Location": "eastus", "Time": "2026-11-20T11:00:00+00:00", "Rating": 90, "Duration": "01:00"},
        {"Location": "westus", "Time": "2026-11-20T11:00:00+00:00", "Rating": 10, "Duration": "01:00"},
        {
            "Location": "eastus",
            "Time": "2026-11-20T12:00:00.5104572+00:00",
            "Rating": 57,
            "Duration": "00:30:00",
        },
    ]
    feed = read(file, json.dumps(rows), basis="lifecycle", grid_zone="EastUS")
    assert [(start, value) for start, _, value in points(feed)] == [
        (-1, 90.0),
        (pytest.approx(510457 / 3.6e9, abs=1e-9), 57.0),
    ]
    assert feed.at(NOON_NS).grid_zone == "EastUS"


def test_forecasts_of_the_carbon_aware_sdk(file: Path) -> None:
    """Where the duration is a number of minutes."""
    data = [
        {
            "location": "DE",
            "timestamp": f"2026-11-20T12:{minute:02}:00+00:00",
            "duration": 5,
            "value": 100 + minute,
        }
        for minute in (0, 5, 10)
    ]
    feed = read(
        file, json.dumps([{"generatedAt": "2026-11-20T12:00:00+00:00", "forecastData": data}]), basis="direct"
    )
    assert [value for _, _, value in points(feed)] == [100.0, 105.0, 110.0]
    assert points(feed)[-1][1] == pytest.approx(0.25)


def test_the_sdks_shape_is_not_booked_without_a_word_on_its_kind(file: Path) -> None:
    """It may be marginal; as a steering signal it is welcome."""
    rows = json.dumps([{"location": "DE", "time": "2026-11-20T12:00:00Z", "rating": 90, "duration": "01:00"}])
    feed = read(file, rows)
    assert feed.health.errors == {"bad_data": 1}
    assert "set basis (lifecycle or direct)" in feed.health.error
    assert feed.at(NOON_NS).fallback
    assert points(read(file, rows, role="signal")) == [(0, 1, 90.0)]


def test_several_locations_need_a_choice(file: Path) -> None:
    """The message lists them."""
    rows = [
        {"location": place, "time": "2026-11-20T12:00:00Z", "rating": 90, "duration": "01:00"}
        for place in ("a", "b")
    ]
    feed = read(file, json.dumps(rows), basis="direct", grid_zone="DE")
    assert "several locations (a, b); set grid_zone" in feed.health.error


HEADER = "start,grams_per_kwh,estimated\n"
GOOD = "2026-11-20T11:00Z,100,false\n"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 0, "is empty"),
        (HEADER, 0, "no row"),
        ("time;grams\n1;2\n", 1, "no header with the columns start and grams_per_kwh"),
        (HEADER + GOOD + "2026-11-20T12:00,1,\n", 3, "has no time zone"),
        (HEADER + GOOD + "\n\nyesterday,1,\n", 5, "'yesterday' is no time"),
        (HEADER + GOOD + "1795176000000,1,\n", 3, "Unix times are in seconds"),
        (HEADER + GOOD + "2026-11-20T12:00Z,-1,\n", 3, "intensity is '-1'; accepted are 0 to 5000"),
        (HEADER + GOOD + "2026-11-20T12:00Z,nan,\n", 3, "intensity is 'nan'"),
        (HEADER + GOOD + "2026-11-20T12:00Z,5001,\n", 3, "intensity is '5001'"),
        (HEADER + GOOD + "2026-11-20T12:00Z,many,\n", 3, "intensity is 'many'"),
        (HEADER + GOOD + "2026-11-20T12:00Z,1,perhaps\n", 3, "estimated is 'perhaps'"),
        (HEADER + GOOD + "2026-11-20T12:00Z\n", 3, "has 1 columns instead of at least 3"),
        (HEADER + GOOD + GOOD, 3, "begins at the same time as"),
        (HEADER + GOOD + '"2026', 3, "is not CSV"),
        ((HEADER + GOOD).encode() + b"\xff\xfe,1,\n", 3, "is not UTF-8"),
        ("start,end,grams_per_kwh\n2026-11-20T11:00Z,2026-11-20T10:00Z,1\n", 2, "ends before it begins"),
        (
            "start,end,grams_per_kwh\n2026-11-20T11:00Z,2026-11-20T12:30Z,1\n2026-11-20T12:00Z,,1\n",
            3,
            "begins before",
        ),
        ('[\n{"start": 1,\n "grams', 3, "is not JSON"),
        ('{"start": 1}', 1, "is not JSON of a shape that is known"),
        ('[{"start": "2026-11-20T11:00Z", "grams_per_kwh": 1},\n 7]', 2, "is no object"),
        ('[{"start": 1},\n{"start": "2026-11-20T11:00Z"}]', 0, "Carbon Aware SDK"),
        (
            '[{"start": "2026-11-20T11:00Z", "grams_per_kwh": 1},\n{"start": "x", "grams_per_kwh": 1}]',
            2,
            "no time",
        ),
        ('[\n{"start": "2026-11-20T11:00Z", "grams_per_kwh": true}]', 2, "intensity is True"),
        (
            '[\n{"start": "2026-11-20T11:00Z", "grams_per_kwh": [1]}]',
            2,
            "is no object with a time and a number",
        ),
        ('[\n{"start": 1795176000, "grams_per_kwh": 1, "duration": "soon"}]', 2, "duration is 'soon'"),
        ("[" * 100_000, 1, "is not JSON"),
        ("[]", 0, "no row"),
        ("[1]", 1, "is not JSON of a shape that is known"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_file_and_line(
    file: Path, text: str | bytes, line: int, what: str
) -> None:
    """Nothing of it is used: the fallback is."""
    feed = read(file, text)
    assert what in feed.health.error
    assert feed.health.error.startswith(f"{file} line {line}: " if line else f"{file}: ")
    assert set(feed.health.errors) <= {"bad_data", "no_data"}
    assert not feed.health.up
    assert feed.at(NOON_NS) == Intensity(grams_per_kwh=500.0, provider="static", fallback=True)


def test_a_file_is_read_again_when_it_changes(file: Path) -> None:
    """By another file in its place, and by writing into it."""
    feed = read(file, OWN)
    write(file, OWN.replace(",200,", ",222,"))
    assert feed.refresh(NOON_NS + 10**9) == series_file.CHECK_S
    assert feed.at(NOON_NS).grams_per_kwh == 222.0
    file.write_text(OWN.replace(",200,", ",2222,"))
    os.utime(file, ns=(NOON_NS, NOON_NS))
    feed.refresh(NOON_NS + 10 * 10**9)
    assert feed.at(NOON_NS).grams_per_kwh == 2222.0
    assert feed.health.errors == {}


def test_a_bad_new_file_leaves_the_old_data_in_force(file: Path) -> None:
    """It is counted at every look, and the next good file clears it."""
    feed = read(file, OWN)
    write(file, OWN.replace(",200,", ",two hundred,"))
    feed.refresh(NOON_NS + 10**9)
    feed.refresh(NOON_NS + 16 * 10**9)
    assert feed.at(NOON_NS).grams_per_kwh == 200.0
    assert (feed.health.up, feed.health.errors) == (False, {"bad_data": 2})
    assert feed.health.last_success_ns == NOON_NS
    assert f"{file} line 4: intensity is 'two hundred'" in feed.health.error
    write(file, OWN.replace(",200,", ",201,"))
    feed.refresh(NOON_NS + 31 * 10**9)
    assert feed.at(NOON_NS).grams_per_kwh == 201.0
    assert (feed.health.up, feed.health.errors, feed.health.error) == (True, {"bad_data": 2}, "")


def test_a_file_that_vanished_is_believed_for_its_maximum_age(file: Path) -> None:
    """Counted from when it was last seen."""
    feed = read(file, OWN, max_age_ns=HOUR_NS)
    file.unlink()
    feed.refresh(NOON_NS + 15 * 10**9)
    assert feed.health.errors == {"not_found": 1}
    assert feed.at(NOON_NS + HOUR_NS).grams_per_kwh == 300.0
    assert feed.at(NOON_NS + HOUR_NS + 1).fallback


def test_beyond_its_data_the_last_value_holds_for_the_maximum_age(file: Path) -> None:
    """The data ends at 14:00; half an hour later it is given up, though the file is still there."""
    feed = read(file, OWN, max_age_ns=HOUR_NS // 2)
    later_ns = NOON_NS + 2 * HOUR_NS + HOUR_NS // 2
    feed.refresh(later_ns)
    assert feed.at(later_ns).grams_per_kwh == 300.0
    assert feed.at(later_ns + 1) == Intensity(grams_per_kwh=500.0, provider="static", fallback=True)


@pytest.mark.parametrize(
    ("day", "why"),
    [
        (30, "all values lie in the future, from 2026-11-30T11:00:00Z on"),
        (10, "the newest value is too old: it held until 2026-11-10T14:00:00Z"),
    ],
)
def test_a_file_without_a_value_for_now_says_which_time_it_is_of(file: Path, day: int, why: str) -> None:
    """It counts as an error and is no reason to forget the file, whose time may come."""
    feed = read(file, OWN.replace("11-20", f"11-{day}"), max_age_ns=HOUR_NS)
    assert feed.health.error == f"{file}: {why}"
    assert (feed.health.up, feed.health.errors) == (False, {"no_data": 1})
    feed.refresh(NOON_NS + 10 * DAY_NS)
    assert feed.health.up == (day == 30)
    assert feed.at(NOON_NS + 10 * DAY_NS).fallback == (day == 10)


def test_an_interval_is_the_mean_over_its_steps(file: Path) -> None:
    """11:30 to 13:00: half an hour at 100 and an hour at 200."""
    feed = read(file, OWN)
    assert feed.over(NOON_NS - HOUR_NS // 2, NOON_NS + HOUR_NS).grams_per_kwh == pytest.approx(500 / 3)
    assert feed.over(NOON_NS, NOON_NS + 5 * 10**9) == feed.at(NOON_NS)


def test_before_the_first_look_there_is_the_fallback(file: Path) -> None:
    """Reading is for the background, and at once."""
    write(file, OWN)
    feed: Feed = source(file)
    assert feed.first_due_s(NOON_NS) == 0.0
    assert not feed.health.up
    assert source(file).over(NOON_NS, NOON_NS + 1).fallback


def test_a_file_that_is_being_written_is_left_to_rest(file: Path) -> None:
    """Modified a second ago: looked at again in two seconds. One that never rests is read in the end."""
    feed = read(file, OWN)
    for late in range(1, 5):
        now_ns = NOON_NS + late * 2 * 10**9
        write(file, OWN.replace(",200,", f",20{late},"), now_ns - 10**9)
        assert feed.refresh(now_ns) == (2.0 if late < 4 else series_file.CHECK_S)
    assert feed.at(NOON_NS).grams_per_kwh == 204.0


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """A FIFO would block, a folder cannot be read."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, reason in ((fifo, "bad_data"), (tmp_path, "bad_data"), (tmp_path / "no", "not_found")):
        feed = source(path)
        feed.refresh(NOON_NS)
        assert feed.health.errors == {reason: 1}, path
        assert feed.health.error.startswith(f"{path}: ")


@pytest.mark.parametrize(("start", "limit"), [("[", "16 MiB"), ("start", "64 MiB")])
def test_a_file_that_is_too_large_is_not_read(file: Path, start: str, limit: str) -> None:
    """A sparse file of 65 MiB."""
    write(file, start)
    os.truncate(file, 65 << 20)
    feed = source(file)
    feed.refresh(NOON_NS)
    assert feed.health.errors == {"too_large": 1}
    assert f"more than {limit}" in feed.health.error


def test_a_year_is_checked_but_only_the_time_around_now_is_held(file: Path) -> None:
    """Half-hourly rows of 2026: nine days either way, and the rows beside; a bad row in June counts too."""
    start_s = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    rows = [f"{start_s + 1800 * number},{number % 500}" for number in range(365 * 48)]
    feed = read(file, "start,grams_per_kwh\n" + "\n".join(rows) + "\n")
    assert len(points(feed)) < 18 * 48 + 3
    assert feed.at(NOON_NS).grams_per_kwh == (NOON_NS // 10**9 - start_s) // 1800 % 500
    rows[8000] += "x"
    feed = read(file, "start,grams_per_kwh\n" + "\n".join(rows) + "\n")
    assert f"{file} line 8002: intensity is" in feed.health.error


def test_the_time_that_is_held_moves_along(file: Path) -> None:
    """Twelve days later, without a change of the file."""
    start_s = NOON_NS // 10**9
    rows = [f"{start_s + 3600 * number},{number}" for number in range(24 * 30)]
    feed = read(file, "start,grams_per_kwh\n" + "\n".join(rows) + "\n")
    later_ns = NOON_NS + 12 * DAY_NS
    feed.refresh(later_ns)
    assert feed.at(later_ns) == feed.over(later_ns, later_ns + 10**9)
    assert feed.at(later_ns).grams_per_kwh == 12 * 24


def test_too_many_rows_around_now_are_refused(file: Path) -> None:
    """100,001 rows of a second each."""
    start_s = NOON_NS // 10**9
    rows = [f"{start_s + number},1" for number in range(100_001)]
    feed = read(file, "start,grams_per_kwh\n" + "\n".join(rows) + "\n")
    assert feed.health.errors == {"too_large": 1}


def test_a_refused_version_is_not_parsed_at_every_look(file: Path) -> None:
    """Its data lies in the future: an hour on it is looked at anew, days on there are rows around now."""
    feed = read(file, "start,grams_per_kwh\n2026-12-20T00:00Z,100\n", max_age_ns=40 * DAY_NS)
    now_ns = int(datetime(2026, 12, 20, 1, tzinfo=UTC).timestamp()) * 10**9
    assert feed.at(NOON_NS).fallback
    feed.refresh(now_ns)
    assert feed.at(now_ns).grams_per_kwh == 100.0


def test_logs_tell_changes_not_looks(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line when it fails, one when the data ends, one each when that is over."""
    caplog.set_level("INFO")
    feed = read(file, OWN, max_age_ns=HOUR_NS)
    feed.notice(NOON_NS)
    write(file, "nonsense")
    for late in range(3):
        feed.refresh(NOON_NS + late * 15 * 10**9)
    later_ns = NOON_NS + 4 * HOUR_NS
    feed.notice(later_ns)
    feed.notice(later_ns)
    write(file, OWN.replace("T13:00Z", "T15:30Z"))
    feed.refresh(later_ns)
    feed.notice(later_ns)
    assert [record.message for record in caplog.records] == [
        "carbon file failed",
        "carbon file has no value for now",
        "carbon file works again",
        "carbon file has a value again",
    ]


def test_points_are_the_same_as_those_of_a_live_source(file: Path) -> None:
    """So the outlook can rank them."""
    series = read(file, OWN).series(NOON_NS, NOON_NS + HOUR_NS)
    assert series is not None
    assert series.points == (Point(NOON_NS, NOON_NS + HOUR_NS, 200.0),)
    assert (series.unit, series.kind, series.generated_ns) == ("g/kWh", "average", NOON_NS - HOUR_NS)
