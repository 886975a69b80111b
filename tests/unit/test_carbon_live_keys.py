"""Where a key comes from, and that it goes nowhere else."""

from __future__ import annotations

import logging
import os
import random
import traceback
from pathlib import Path

import pytest

from tests.hostile_server import (
    Behaviour,
    HostileServer,
    answer,
    close_at_once,
    drip_body,
    drip_head,
    never,
    raw,
)
from tests.scripted_provider import hour
from wattledger.carbon.live.cache import SeriesCache
from wattledger.carbon.live.fetch import FetchError
from wattledger.carbon.live.http import HttpGet
from wattledger.carbon.live.keys import KeyReader
from wattledger.carbon.live.source import LiveSource
from wattledger.carbon.providers.registry import build_provider
from wattledger.logs import JsonFormatter, LogfmtFormatter
from wattledger.settings import IntensitySettings

VARIABLE = "WATTLEDGER_CARBON_INTENSITY_KEY"
KEY = "k3y-0f-great-price"


def reader(path: Path | None = None, **environ: str) -> KeyReader:
    return KeyReader(IntensitySettings(key_file=str(path) if path else None, key_variable=VARIABLE), environ)


def refusal(key: KeyReader) -> str:
    with pytest.raises(FetchError) as caught:
        key()
    assert caught.value.reason == "no_key"
    assert caught.value.__context__ is None
    assert KEY not in "".join(traceback.format_exception(caught.value)) + repr(key)
    return str(caught.value)


def test_a_file_is_read_anew_every_time_and_stripped(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"  {KEY}\n")
    key = reader(path)
    assert key() == KEY
    path.write_text("rotated\r\n")
    assert key() == "rotated"


def test_the_variable_is_read_where_no_file_is_named() -> None:
    environ = {VARIABLE: f" {KEY}\n"}
    key = KeyReader(IntensitySettings(key_variable=VARIABLE), environ)
    assert key() == KEY
    environ[VARIABLE] = "rotated"
    assert key() == "rotated"


def test_a_file_that_is_gone_is_not_stood_in_for(tmp_path: Path) -> None:
    words = refusal(reader(tmp_path / "key", **{VARIABLE: KEY}))
    assert words.startswith(f"key_file {tmp_path}/key: No such file or directory")


def test_without_a_key_it_says_what_to_set() -> None:
    assert refusal(reader()) == (
        f"no key: set key_file to the path of a file that holds it, or the variable {VARIABLE}"
    )
    assert refusal(reader(**{VARIABLE: " \n"})).endswith(VARIABLE)
    assert "key_file" in refusal(KeyReader(IntensitySettings(), {}))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (f"{KEY}\n{KEY}".encode(), "more than one line"),
        (f"{KEY}\x00".encode(), "more than one line"),
        (f"{KEY}\x1b[0m".encode(), "more than one line"),
        (f"{KEY}\xff".encode("latin-1"), "more than one line"),
        (KEY.encode() * 1000, "larger than 16384 bytes"),
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    assert words in refusal(reader(path))
    if b"\x00" not in content:
        text = os.fsdecode(content)
        said = refusal(reader(**{VARIABLE: text}))
        assert words in said or VARIABLE in said


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_only_a_regular_file_is_read(tmp_path: Path, make: object) -> None:
    """A FIFO would hold the thread for ever."""
    make(tmp_path / "key")
    assert "not a regular file" in refusal(reader(tmp_path / "key"))


def test_a_link_to_a_file_is_one(tmp_path: Path) -> None:
    """Kubernetes mounts secrets as links."""
    (tmp_path / "data").write_text(KEY)
    (tmp_path / "key").symlink_to("data")
    assert reader(tmp_path / "key")() == KEY


def test_a_key_that_everybody_can_read_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o644)
    key = reader(path)
    assert [key(), key()] == [KEY, KEY]
    (line,) = caplog.records
    assert (line.path, line.fix) == (str(path), f"chmod 0400 {path}")
    path.chmod(0o640)
    assert reader(path)() == KEY
    assert len(caplog.records) == 1


ECHO = f'{{"error":"bad key {KEY}","zone":"{KEY}","carbonIntensity":"{KEY}"}}'.encode()


@pytest.mark.parametrize(
    "behave",
    [
        *(answer(ECHO, status) for status in (200, 400, 401, 403, 404, 422, 429, 500, 502, 503)),
        answer(ECHO, 429, Retry_After=KEY),
        answer(b"", 302, Location=f"https://elsewhere.example/?auth-token={KEY}"),
        answer(b"", 302, Location=f"https://{KEY}@elsewhere.example/"),
        answer(ECHO, 200, Content_Encoding=KEY),
        answer(ECHO, 200, Content_Encoding="gzip"),
        raw(f"HTTP/9 {KEY}\r\n\r\n".encode()),
        raw(f"HTTP/1.1 200 OK\r\n{KEY}\r\nA b{KEY}\r\n\r\n".encode()),
        raw(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode()),
        raw(f"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{KEY}".encode()),
        close_at_once,
        never,
        drip_head(0.02),
        drip_body(0.02),
    ],
)
def test_no_answer_makes_the_key_appear(
    tmp_path: Path, behave: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that gives back what it was sent: not in the logs of any level, the health, or the cache."""
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "key"
    path.write_text(KEY)
    with HostileServer(behave) as server:
        configured = IntensitySettings(
            provider="electricity-maps", grid_zone="DE", url=server.url, key_file=str(path)
        )
        key = KeyReader(configured, {})
        provider = build_provider(configured, key)
        get = HttpGet(environ={}, connect_s=0.3, total_s=0.3)
        with pytest.raises(FetchError) as caught:
            provider.fetch(get, hour(0))
        source = LiveSource(
            "intensity",
            provider,
            get,
            configured,
            cache=SeriesCache(str(tmp_path), "intensity", configured),
            rng=random.Random(1),
        )
        source.refresh(hour(0))
        assert f"auth-token: {KEY}" in server.heads[0]
        assert source.at(hour(0)).fallback
        assert not source.health.up
    formatters = (LogfmtFormatter(), JsonFormatter(), logging.Formatter())
    logged = "".join(formatter.format(line) for line in caplog.records for formatter in formatters)
    assert "carbon source failed" in logged
    error: BaseException | None = caught.value
    chain = ""
    while error is not None:  # also what a traceback would not show
        chain += "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)
        error = error.__cause__ or error.__context__
    shown = repr((source, source.health, provider, get, key, configured))
    for text in (logged, shown, chain):
        assert KEY not in text
    assert os.listdir(tmp_path) == ["key"]
