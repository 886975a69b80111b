"""What a restart finds of the intensity."""

from __future__ import annotations

import json
import os
import random
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.scripted_provider import ScriptedProvider, hour, hourly
from wattledger.carbon.live.cache import SeriesCache
from wattledger.carbon.live.fetch import FetchError
from wattledger.carbon.live.source import LiveSource
from wattledger.carbon.series import Series
from wattledger.settings import IntensitySettings, Role

DE = IntensitySettings(provider="energy-charts", grid_zone="DE", refresh_ns=900 * 10**9)
NOTHING = FetchError("connect", "no network yet")


def live(
    folder: Path, step: Series | Exception, configured: IntensitySettings = DE, role: Role = "intensity"
) -> LiveSource:
    """A source as a process has it that just began."""
    source = LiveSource(
        role,
        ScriptedProvider(step),
        lambda _: None,
        configured,
        cache=SeriesCache(str(folder), role, configured),
        rng=random.Random(1),
    )
    assert source.at(hour(0.5)).fallback  # nothing is read before it is asked when it is due
    source.first_due_s(hour(0.5))
    return source


def stored(folder: Path) -> Path:
    """A file with the hours 0 to 2, fetched at 0.5."""
    live(folder, hourly(100, 200, 300)).refresh(hour(0.5))
    return folder / "intensity-intensity.json"


def test_a_restart_prices_at_once_and_does_not_ask_anew(tmp_path: Path) -> None:
    """Six minutes after the fetch, nine are left of the quarter of an hour."""
    stored(tmp_path)
    again = live(tmp_path, NOTHING)
    assert again.at(hour(1.5)).grams_per_kwh == 200
    assert again.at(hour(1.5)).estimated
    assert (again.health.up, again.health.last_success_ns) == (True, hour(0.5))
    assert [p.value for p in again.series(hour(0), hour(9)).points] == [100, 200, 300]
    assert again.first_due_s(hour(0.6)) == pytest.approx(540)
    assert again.first_due_s(hour(1)) == 0
    assert again.first_due_s(hour(0.4)) == 0  # fetched in the future: the clock was set


def test_what_is_too_old_by_now_is_not_priced_with(tmp_path: Path) -> None:
    stored(tmp_path)
    again = live(tmp_path, NOTHING)
    assert again.at(hour(6.6)).fallback
    assert again.first_due_s(hour(6.6)) == 0


def test_the_past_week_survives(tmp_path: Path) -> None:
    stored(tmp_path)
    again = live(tmp_path, hourly(400, first=3))
    again.refresh(hour(3))
    assert [p.value for p in again.series(hour(0), hour(9)).points] == [100, 200, 300, 400]


@pytest.mark.parametrize(
    "change",
    [
        {"grid_zone": "FR"},
        {"provider": "electricity-maps"},
        {"basis": "direct"},
        {"flow": "production"},
        {"url": "https://other.example"},
        {"api_version": "v3"},
    ],
)
def test_another_configuration_starts_anew(
    tmp_path: Path, change: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    stored(tmp_path)
    assert live(tmp_path, NOTHING, replace(DE, **change)).at(hour(0.5)).fallback
    assert [line.why for line in caplog.records] == ["of another configuration"]


def test_how_often_it_is_asked_and_with_which_key_changes_nothing(tmp_path: Path) -> None:
    stored(tmp_path)
    other = replace(DE, refresh_ns=10**9, max_age_ns=10**18, key_file="/run/key", ca_file="/etc/ca.pem")
    assert live(tmp_path, NOTHING, other).at(hour(0.5)).grams_per_kwh == 100


def test_each_role_has_a_file_of_its_own_for_its_owner_only(tmp_path: Path) -> None:
    path = stored(tmp_path)
    live(tmp_path, hourly(7), role="market").refresh(hour(0))
    assert sorted(os.listdir(tmp_path)) == ["intensity-intensity.json", "intensity-market.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert live(tmp_path, NOTHING, role="market").at(hour(0)).grams_per_kwh == 7


def test_a_signal_is_not_booked_out_of_a_file_either(tmp_path: Path) -> None:
    """Percentiles under the name of the books, as after a change of the program."""
    cache = SeriesCache(str(tmp_path), "intensity", DE)
    percentiles = hourly(50, unit="percentile", fetched_ns=hour(0))
    cache.store(percentiles, percentiles)
    assert live(tmp_path, NOTHING).at(hour(0)).fallback


def edited(path: Path, **changes: object) -> bytes:
    return json.dumps({**json.loads(path.read_bytes()), **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [
        lambda _: b"",
        lambda path: path.read_bytes()[:-5],
        lambda _: b"\xff\xfe",
        lambda _: b"[]",
        lambda _: b"{}",
        lambda _: b"[" * 100_000,
        lambda path: edited(path, version=2),
        lambda path: edited(path, fresh={}),
        lambda path: path.read_bytes().replace(b'"value":200', b'"value":-200'),
        lambda path: path.read_bytes().replace(b'"value":200', b'"value":1e999'),
        lambda path: path.read_bytes().replace(b'"value":200', b'"value":"200"'),
        lambda path: path.read_bytes() + b" " * (8 << 20),
    ],
)
def test_a_file_that_is_not_sound_is_ignored_with_one_line(
    tmp_path: Path, content: object, caplog: pytest.LogCaptureFixture
) -> None:
    """And the next answer takes its place."""
    path = stored(tmp_path)
    path.write_bytes(content(path))
    again = live(tmp_path, hourly(7))
    assert again.at(hour(0.5)).fallback
    assert [line.message for line in caplog.records] == ["cached intensity ignored"]
    again.refresh(hour(0.5))
    assert live(tmp_path, NOTHING).at(hour(0.5)).grams_per_kwh == 7


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: object) -> None:
    make(tmp_path / "intensity-intensity.json")
    assert live(tmp_path, NOTHING).at(hour(0)).fallback


def test_a_link_is_not_read(tmp_path: Path) -> None:
    """What lies elsewhere was not put there by this agent."""
    path = stored(tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("elsewhere")
    assert live(tmp_path, NOTHING).at(hour(0.5)).fallback


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("x")
    for name in ("intensity-intensity.json", "intensity-intensity.json.new"):
        (tmp_path / name).symlink_to(target)
    stored(tmp_path)
    assert target.read_text() == "x"
    assert live(tmp_path, NOTHING).at(hour(0.5)).grams_per_kwh == 100


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = live(tmp_path / "gone", hourly(7))
    source.refresh(hour(0))
    source.refresh(hour(0.5))
    assert source.at(hour(0.5)).grams_per_kwh == 7
    assert source.health.up
    assert [(line.message, line.error) for line in caplog.records] == [
        ("intensity not kept on disk", "No such file or directory")
    ]


def test_without_a_state_directory_nothing_is_kept() -> None:
    cache = SeriesCache(None, "intensity", DE)
    cache.store(hourly(1), hourly(1))
    assert cache.load() is None
