"""Which format and encoding a client gets for its headers."""

from __future__ import annotations

import pytest

from wattledger.exposition.negotiate import (
    OPENMETRICS_0,
    OPENMETRICS_1,
    TEXT,
    accepts_gzip,
    choose_format,
)

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_TEXT_FIRST = (
    "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "*/*;q=0.2"
)
PROMETHEUS_3_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,"
    + PROMETHEUS_3
)
CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(PROMETHEUS_2_42, OPENMETRICS_1, id="prometheus-2.42"),
        pytest.param(PROMETHEUS_3, OPENMETRICS_1, id="prometheus-3"),
        pytest.param(PROMETHEUS_3_TEXT_FIRST, TEXT, id="prometheus-3-text-first"),
        pytest.param(PROMETHEUS_3_PROTOBUF, OPENMETRICS_1, id="prometheus-3-protobuf"),
        pytest.param(CHROMIUM, TEXT, id="browser"),
        pytest.param("", TEXT, id="none"),
        pytest.param("*/*", TEXT, id="anything"),
        pytest.param("text/plain", TEXT, id="text-without-version"),
        pytest.param("text/*", TEXT, id="any-text"),
        pytest.param("application/openmetrics-text", OPENMETRICS_1, id="openmetrics-without-version"),
        pytest.param("application/*", OPENMETRICS_1, id="any-application"),
        pytest.param("application/openmetrics-text; version=0.0.1", OPENMETRICS_0, id="old-openmetrics"),
        pytest.param("application/openmetrics-text; version=2.0.0", TEXT, id="unknown-openmetrics"),
        pytest.param("application/openmetrics-text; version=2.0.0, */*", TEXT, id="unknown-then-any"),
        pytest.param('Application/OpenMetrics-Text; Version="1.0.0"', OPENMETRICS_1, id="case-and-quotes"),
        pytest.param("text/plain;q=0.9, application/openmetrics-text;q=0.1", TEXT, id="q-decides"),
        pytest.param("text/plain, application/openmetrics-text", OPENMETRICS_1, id="equal-q-richer-format"),
        pytest.param("application/openmetrics-text, */*", OPENMETRICS_1, id="named-before-wildcard"),
        pytest.param("application/openmetrics-text;q=0.5, */*", TEXT, id="wildcard-with-more-q"),
        pytest.param("application/openmetrics-text;q=0, text/plain;q=0.1", TEXT, id="q-0-forbids"),
        pytest.param("application/openmetrics-text;q=0, application/*", TEXT, id="specific-0-beats-wildcard"),
        pytest.param("text/plain;q=0, */*;q=0.5", OPENMETRICS_1, id="text-forbidden"),
        pytest.param("application/openmetrics-text;version=1.0.0;q=0, application/openmetrics-text",
                     OPENMETRICS_0, id="version-0-beats-type"),
        pytest.param("image/png", TEXT, id="nothing-we-have"),
        pytest.param(";;,,=;q=;q", TEXT, id="junk"),
        pytest.param("application/openmetrics-text;q=nan", TEXT, id="q-nan"),
        pytest.param("application/openmetrics-text;q=1e9", TEXT, id="q-exponent"),
        pytest.param("application/openmetrics-text;q=-1", TEXT, id="q-negative"),
        pytest.param("\x00\xff", TEXT, id="bytes"),
    ],
)  # fmt: skip
def test_format(accept, expected):
    assert choose_format(accept) == expected


def test_content_types_say_their_version():
    assert [one.content_type for one in (TEXT, OPENMETRICS_1, OPENMETRICS_0)] == [
        "text/plain; version=0.0.4; charset=utf-8",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "application/openmetrics-text; version=0.0.1; charset=utf-8",
    ]


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br", False),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=0.4, identity;q=0.5", False),
        ("gzip;q=junk", False),
    ],
)
def test_gzip(accept_encoding, expected):
    assert accepts_gzip(accept_encoding) is expected
