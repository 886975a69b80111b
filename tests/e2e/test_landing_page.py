"""The landing page in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import struct
import subprocess
import threading
import zlib
from html.parser import HTMLParser

import pytest

from tests.snapshots import large_snapshot, rich_snapshot, snapshot
from wattledger.clock import ManualClock
from wattledger.exposition.http import NodeView, make_app
from wattledger.exposition.server import Server

pytestmark = pytest.mark.e2e

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT_S = 120


class Source:
    def __init__(self, shot) -> None:
        self.shot = shot

    def latest(self):
        return self.shot

    def refresh(self, done) -> None:
        done()


class Page(HTMLParser):
    """What the browser made of the page: headings, table rows by caption, and every element seen."""

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.elements: list[tuple[str, dict]] = []
        self._text: list[str] | None = None
        self._rows: list[list[str]] = []
        self.feed(dom)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self._rows.append([])
        elif tag in ("h1", "h2", "caption", "th", "td"):
            self._text = []
        elif tag == "small" and self._text is not None:
            self._text.append(" | ")

    def handle_data(self, data):
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag):
        text = "".join(self._text or ())
        if tag in ("h1", "h2"):
            self.headings.append(text)
        elif tag == "caption":
            self._rows = self.tables[text] = []
        elif tag in ("th", "td"):
            self._rows[-1].append(text)
        if tag in ("h1", "h2", "caption", "th", "td"):
            self._text = None

    def attributes(self, tag) -> list[dict]:
        return [attrs for seen, attrs in self.elements if seen == tag]


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium found (Debian package chromium)")
    return found


@pytest.fixture
def browse(chromium, tmp_path):
    """Load a page and return the arguments' output; the browser's whole process group ends with it."""

    def run(url: str, *arguments: str) -> str:
        command = [chromium, *FLAGS, f"--user-data-dir={tmp_path}/profile", *arguments, url]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        ) as browser:
            try:
                output, _ = browser.communicate(timeout=TIMEOUT_S)
            finally:
                if browser.poll() is None:
                    os.killpg(browser.pid, signal.SIGKILL)
        assert browser.returncode == 0
        return output

    return run


@pytest.fixture
def serve():
    """Serve snapshots, by node name, and return the URL; the clock stands at the snapshots' time."""
    servers: list[tuple[Server, threading.Thread]] = []

    def start(**shots) -> str:
        views = {name.removeprefix("root"): NodeView(source=Source(shot)) for name, shot in shots.items()}
        server = Server(make_app(views, clock=ManualClock()), ["127.0.0.1:0"])
        thread = threading.Thread(target=server.serve)
        thread.start()
        servers.append((server, thread))
        return server.urls[0]

    yield start
    for server, thread in servers:
        server.stop()
        thread.join(10)


def test_a_person_sees_meters_power_and_workloads(browse, serve):
    page = Page(browse(serve(root=rich_snapshot()), "--dump-dom"))
    assert page.headings == ["Wattledger", "Power now", "Top workloads", "Meters"]
    power = page.tables["Mean over the last interval, by component"]
    assert power[1] == ["cpu", "100.0 W", "40.0 W | observed", "1.00 kJ", "250 mg", "estimated"]
    assert power[-1][0] == "node"
    workloads = page.tables["Allocated power, highest first: 5 of 5"]
    assert workloads[1][0].startswith("ml/train-0/main | trainer | 4f4f")
    assert workloads[1][1:] == ["container", "260.0 W", "2.60 kJ", "650 mg"]
    meters = page.tables["Zones found; they overlap and do not add up"]
    assert [row[0] for row in meters[1:]] == ["cpu", "psys", "board"]
    assert meters[2][-2:] == ["no value", "–"]  # noqa: RUF001 - the page's own dash


def test_hostile_names_stay_text(browse, serve):
    dom = browse(serve(root=rich_snapshot()), "--dump-dom")
    page = Page(dom)
    assert page.attributes("script") == []
    names = [row[0] for row in page.tables["Allocated power, highest first: 5 of 5"]]
    assert '<script>alert(1)</script> | /weird.slice/a\\x2db "c"\nd.service' in names


def test_the_page_is_accessible_and_needs_nothing_from_elsewhere(browse, serve):
    """Language, title, captions and scopes are there; the stylesheet passes its own policy."""
    url = serve(root=rich_snapshot())
    page = Page(browse(url, "--dump-dom"))
    assert page.attributes("html") == [{"lang": "en"}]
    assert len(page.attributes("table")) == len(page.attributes("caption")) == 3
    assert {attrs.get("scope") for attrs in page.attributes("th")} == {"col", "row"}
    links = [attrs["href"] for attrs in page.attributes("a")]
    assert links == ["metrics", "docs", "?refresh=off"]
    assert page.attributes("link") == page.attributes("img") == []
    assert {"http-equiv": "refresh", "content": "10"} in page.attributes("meta")


def pixels_of(png: bytes) -> set[bytes]:
    """The colours of an 8-bit RGB or RGBA picture (PNG specification, sections 7 and 9)."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    packed, at = b"", 8
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        data = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, _, depth, colour_type = struct.unpack(">IIBB", data[:10])
            assert (depth, colour_type) in ((8, 2), (8, 6))
            size = 3 if colour_type == 2 else 4
        elif kind == b"IDAT":
            packed += data
        at += length + 12
    raw = zlib.decompress(packed)
    colours, above = set(), bytearray(width * size)
    for start in range(0, len(raw), width * size + 1):
        method, line = raw[start], bytearray(raw[start + 1 : start + 1 + width * size])
        for i in range(len(line)):
            left, up = line[i - size] if i >= size else 0, above[i]
            corner = above[i - size] if i >= size else 0
            paeth = min((left, up, corner), key=lambda value: abs(left + up - corner - value))
            line[i] = (line[i] + (0, left, up, (left + up) // 2, paeth)[method]) & 255
        colours |= {bytes(line[i : i + 3]) for i in range(0, len(line), size)}
        above = line
    return colours


def test_the_stylesheet_passes_its_own_policy(browse, serve, tmp_path):
    """A browser ignores a stylesheet whose hash the policy does not name: then warnings had no background."""
    picture = tmp_path / "page.png"
    browse(serve(root=rich_snapshot()), f"--screenshot={picture}", "--window-size=500,300")
    light, dark = bytes.fromhex("fff4d6"), bytes.fromhex("33290c")
    assert {light, dark} & pixels_of(picture.read_bytes())


def test_only_the_top_twenty_are_listed(browse, serve):
    page = Page(browse(serve(root=large_snapshot(50)), "--dump-dom"))
    rows = page.tables["Allocated power, highest first: 20 of 50"]
    assert [row[2] for row in rows[1:3]] == ["5.0 W", "4.9 W"]
    assert len(rows) == 21


def test_several_nodes_have_an_index(browse, serve):
    url = serve(alpha=snapshot(), beta=None)
    page = Page(browse(url, "--dump-dom"))
    rows = page.tables["Nodes served by this process"]
    assert [re.sub(r"\s+", " ", row[0]) for row in rows[1:]] == ["alpha", "beta"]
    assert rows[1][1:] == ["100.0 W", "1.00 kJ", "250 mg", "2"]
    assert [attrs["href"] for attrs in page.attributes("a")][:4] == [
        "sd",
        "docs",
        "nodes/alpha/",
        "nodes/beta/",
    ]
