"""Every log line is one line that a machine reads back, whatever was logged."""

from __future__ import annotations

import io
import json
import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.logs import JsonFormatter, LogfmtFormatter, StderrHandler, configure, quote

LINE = re.compile(r'([A-Za-z0-9_.-]+)=("(?:[^"\\]|\\.)*"|[^ ="\\]+)(?: |$)')
ESCAPE = re.compile(r"\\(u[0-9a-f]{4}|U[0-9a-f]{8}|.)")
SHORT = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


def parse(line: str) -> dict[str, str]:
    """Read a logfmt line back; fails on anything that is not part of a pair."""
    pairs, end = {}, 0
    for match in LINE.finditer(line):
        assert match.start() == end, line
        pairs[match[1]], end = unquote(match[2]), match.end()
    assert end == len(line), line
    return pairs


def unquote(text: str) -> str:
    if not text.startswith('"'):
        return text
    return ESCAPE.sub(lambda m: SHORT[m[1]] if m[1] in SHORT else chr(int(m[1][1:], 16)), text[1:-1])


def record(message: str = "meter failed", **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("wattledger.sampler", logging.WARNING, __file__, 1, message, (), None)
    made.created = 1_767_225_600.25
    vars(made).update(extra)
    return made


@pytest.fixture
def stream():
    """Where `configure` writes during a test; the loggers are put back afterwards."""
    root, own = logging.getLogger(), logging.getLogger("wattledger")
    levels = root.level, own.level
    yield io.StringIO()
    for handler in [h for h in root.handlers if isinstance(h, StderrHandler)]:
        root.removeHandler(handler)
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def test_a_logfmt_line_has_stable_keys_first_and_the_extras_in_order() -> None:
    """Time, level, logger, message, then what the caller gave."""
    line = LogfmtFormatter().format(record(zone="package-0", reason="eio", up=False, count=3))
    assert line == (
        'ts=2026-01-01T00:00:00.250Z level=warn logger=wattledger.sampler msg="meter failed" '
        "zone=package-0 reason=eio up=false count=3"
    )


def test_a_json_line_keeps_the_types_of_numbers_and_booleans() -> None:
    """Numbers stay numbers, so that a log store can compare them."""
    line = JsonFormatter().format(record(up=False, count=3, share=0.25, why=None))
    assert json.loads(line) == {
        "ts": "2026-01-01T00:00:00.250Z",
        "level": "warn",
        "logger": "wattledger.sampler",
        "msg": "meter failed",
        "up": False,
        "count": 3,
        "share": 0.25,
        "why": None,
    }


def test_json_has_no_nan() -> None:
    """NaN is not JSON; it is written as text."""
    assert json.loads(JsonFormatter().format(record(share=float("nan"))))["share"] == "nan"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("bare", "bare"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("back\\slash", r'"back\\slash"'),
        ("line\nbreak", r'"line\nbreak"'),
        ("\x1b[31mred", r'"\u001b[31mred"'),
        ("Zürich", "Zürich"),
        ("right\u202eleft", r'"right\u202eleft"'),
        ("caf\udce9", r'"caf\udce9"'),
    ],
)
def test_values_are_quoted_only_where_needed(text: str, written: str) -> None:
    """Spaces, quotes, control characters, and bytes that were not UTF-8 are quoted and escaped."""
    assert quote(text) == written


@given(st.text(st.characters(), max_size=20))
def test_any_text_reads_back_from_a_logfmt_line(text: str) -> None:
    """No value can end the line, forge a key, or be lost; lone surrogates included."""
    line = LogfmtFormatter().format(record(message="m", value=text, after="x"))
    assert line.isprintable()
    read = parse(line)
    assert (read["value"], read["after"]) == (text, "x")


@given(st.text(st.characters(), max_size=20))
def test_any_text_makes_ascii_json_without_lone_surrogates(text: str) -> None:
    """Strict JSON readers refuse lone surrogates; well-formed text reads back as it was."""
    line = JsonFormatter().format(record(value=text))
    value = json.loads(line)["value"]
    assert line.isascii()
    assert value.encode("utf-8") == text.encode("utf-8", "backslashreplace")


def test_a_key_cannot_break_a_line() -> None:
    """Odd characters in a key become underscores."""
    made = record()
    vars(made)["a key\n="] = "v"
    assert LogfmtFormatter().format(made).endswith(" a_key__=v")


def test_an_exception_is_one_line_with_its_traceback_escaped() -> None:
    """The line names the error; the traceback is kept as one escaped value."""
    made = record()
    try:
        raise ValueError("no such\nzone")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = LogfmtFormatter().format(made)
    assert "\n" not in line
    assert parse(line)["error"] == "ValueError: no such\nzone"
    assert "test_logs.py" in parse(line)["traceback"]


def test_levels_choose_what_is_written(stream) -> None:
    """At warn, info is silent; of other libraries nothing below warn is heard."""
    configure("warn", "logfmt", stream)
    logging.getLogger("wattledger.sampler").info("quiet")
    logging.getLogger("wattledger.sampler").warning("heard")
    assert [parse(line)["msg"] for line in stream.getvalue().splitlines()] == ["heard"]
    configure("info", "logfmt", stream)
    logging.getLogger("asyncio").info("quiet")
    logging.getLogger("wattledger.sampler").info("heard too")
    assert [parse(line)["msg"] for line in stream.getvalue().splitlines()] == ["heard", "heard too"]


def test_configuring_again_does_not_write_lines_twice(stream) -> None:
    """A reload may change the format; each line is still written once."""
    configure("info", "logfmt", stream)
    configure("info", "json", stream)
    logging.getLogger("wattledger").info("once")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["msg"] == "once"


def test_the_web_servers_errors_come_in_our_format_and_its_access_log_does_not(stream) -> None:
    """uvicorn writes through the same handler; one line per request is not wanted."""
    configure("info", "logfmt", stream)
    logging.getLogger("uvicorn.error").error("bad request")
    logging.getLogger("uvicorn.access").error("GET /metrics")
    logging.getLogger("uvicorn.error").warning("not a request")
    assert [parse(line)["msg"] for line in stream.getvalue().splitlines()] == ["bad request"]


def test_a_stream_that_fails_does_not_stop_the_agent(stream, capsys) -> None:
    """A closed stderr loses the line and nothing else."""
    configure("info", "logfmt", stream)
    stream.close()
    logging.getLogger("wattledger").warning("lost")
    assert capsys.readouterr() == ("", "")
