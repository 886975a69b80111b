"""The landing page in a real browser."""

from __future__ import annotations

import re
import struct
import threading
import time
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.chromium import Chromium, find_chromium
from tests.snapshots import WALL_NS, large_snapshot, rich_snapshot, snapshot
from wattledger.clock import ManualClock
from wattledger.exposition.http import NodeView, make_app
from wattledger.exposition.server import Server
from wattledger.model import S_NS, BudgetRow, FeedHealth

pytestmark = pytest.mark.e2e

HOUR_NS = 3600 * S_NS


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


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    """The server's time zone is UTC, wherever the tests run."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if find_chromium() is None:
        pytest.skip("no Chromium found (Debian package chromium)")
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def load(chromium):
    """Load a page at a width and in a colour scheme; pages are closed at the end."""
    pages = []

    def run(url: str, width: int = 1200, height: int = 900, **more):
        pages.append(chromium.open(url, width=width, height=height, **more))
        return pages[-1]

    yield run
    for page in pages:
        page.close()


@pytest.fixture
def browse(load):
    """Load a page and give what the browser made of it."""
    return lambda url: load(url).evaluate("document.documentElement.outerHTML")


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
    page = Page(browse(serve(root=rich_snapshot())))
    assert page.headings == [
        "Wattledger",
        "Power now",
        "Budgets",
        "Emissions so far",
        "Carbon intensity",
        "Hours ahead",
        "Top workloads",
        "GPU boards",
        "Meters",
    ]
    power = page.tables["Mean over the last interval, by component"]
    assert power[1] == ["cpu", "", "100.0 W", "40.0 W | observed", "1.00 kJ", "250 mg", "estimated"]
    assert power[-1][0] == "node"
    workloads = page.tables["Allocated power, highest first: 5 of 5"]
    assert workloads[1][0].startswith("ml/train-0/main | trainer | 4f4f")
    assert workloads[1][1:] == ["container", "", "260.0 W", "2.60 kJ", "650 mg"]
    meters = page.tables["Zones found; they overlap and do not add up"]
    assert [row[0] for row in meters[1:]] == ["cpu", "psys", "board"]
    assert meters[2][-2:] == ["no value", "–"]  # noqa: RUF001 - the page's own dash
    (board,) = page.tables["GPU boards, mean over the last interval"][1:]
    assert board[0].startswith("0 · H200 | 00000000:18:00.0 GPU-7f3a")
    assert board[1:] == [
        "200.0 W",
        "75.5 W",
        "2.00 kJ",
        "split by the size of MIG instances | MIG: 1g.18gb, 3g.71gb",
    ]


def test_a_person_sees_when_to_run(browse, serve):
    """The snapshot is of midnight UTC: two hours from one o'clock on save half."""
    page = Page(browse(serve(root=rich_snapshot())))
    assert page.tables["Best time to start within the next 24 hours"][1:] == [
        ["2 h", "Thu 01 Jan 01:00 UTC | in 1 h", "", "150 g/kWh", "50 %"]
    ]
    assert [row[:2] for row in page.tables["Mean intensity of the hours ahead"][1:]] == [
        ["now", "300 g/kWh"],
        ["next 1 h", "290 g/kWh"],
        ["next 24 h", "250 g/kWh"],
    ]


def budget(name="node-day", limit_g=100.0, consumed_g=50.0, **changes) -> BudgetRow:
    """Half used when a quarter of its day has passed."""
    row = BudgetRow(
        name=name,
        period="day",
        limit_g=limit_g,
        consumed_g=consumed_g,
        start_ns=WALL_NS - 6 * HOUR_NS,
        end_ns=WALL_NS + 18 * HOUR_NS,
        timezone="UTC",
        scope="operational",
        selects="pod_namespace=ml",
    )
    return replace(row, **changes)


PLACES = """(() => {
  const bar = document.querySelector("svg.bar").getBoundingClientRect();
  const at = x => Math.round(1000 * (x - bar.left) / bar.width) / 10;
  const ends = part => { const r = part.getBoundingClientRect(); return [at(r.left), at(r.right)]; };
  const all = name => [...document.querySelectorAll("svg.bar " + name)].map(ends);
  return {used: all(".used"), over: all("[fill]"), plan: all(".plan"), limit: all(".limit"),
          ahead: all(".ahead")};
})()"""


def test_the_bar_of_a_budget_shows_what_is_used_the_even_pace_and_where_it_leads(load, serve):
    """Half used in a quarter of the period leads to twice the limit, of which half as much again is drawn."""
    page = load(serve(root=snapshot(budgets=(budget(),))))
    places = page.evaluate(PLACES)
    assert places["used"] == [[0, pytest.approx(33.3, abs=0.3)]]
    assert places["ahead"] == [[pytest.approx(33.3, abs=0.3), pytest.approx(100, abs=0.3)]]
    assert places["over"] == []
    ((left, right),) = places["plan"]
    assert (left + right) / 2 == pytest.approx(25 / 1.5, abs=0.3)
    ((left, right),) = places["limit"]
    assert (left + right) / 2 == pytest.approx(100 / 1.5, abs=0.3)
    label = page.evaluate("document.querySelector('svg.bar').getAttribute('aria-label')")
    assert label == "50.0 g of 100 g used, 25 % of the day gone"


def test_a_budget_that_is_exceeded_is_not_told_by_colour_alone(load, serve):
    """The part beyond the limit is hatched, a tag says it, and so does a warning at the top."""
    page = load(serve(root=snapshot(budgets=(budget(consumed_g=200.0, end_ns=WALL_NS),))))
    places = page.evaluate(PLACES)
    assert places["used"] == [[0, pytest.approx(50, abs=0.3)]]
    assert places["over"] == [[pytest.approx(50, abs=0.3), pytest.approx(100, abs=0.3)]]
    assert page.evaluate("document.querySelector('svg.bar [fill]').getAttribute('fill')") == "url(#over)"
    assert page.evaluate("document.querySelector('article .tag').innerText") == "over budget"
    assert "The budget node-day is exceeded." in page.evaluate("document.querySelector('main').innerText")


def test_what_is_absent_leaves_no_hole(browse, serve):
    """No budgets, no outlook, no boards: no heading for them. No meter: a warning that says what to do."""
    assert Page(browse(serve(root=snapshot()))).headings == [
        "Wattledger",
        "Power now",
        "Carbon intensity",
        "Top workloads",
        "Meters",
    ]
    dom = browse(serve(root=snapshot(nodes=(), workloads=(), sensors=())))
    assert "No energy meter was found. Run <code>wattledger check</code> to see why." in dom
    waiting = Page(browse(serve(root=None)))
    assert waiting.headings == ["Wattledger"]


def test_hostile_names_stay_text(browse, serve):
    """Of workloads, and of everything else that comes from outside."""
    shot = rich_snapshot(
        budgets=(budget("<b>b</b>", timezone="<b>", selects="name=<b>"),),
    )
    feed = FeedHealth(
        role="intensity", provider="<b>", up=False, last_success_ns=0, errors={}, error="<b>`<b>`"
    )
    shot = replace(
        shot,
        health=replace(shot.health, feeds=(feed,)),
        price=replace(shot.price, intensity=replace(shot.price.intensity, grid_zone="<b>", licence="<b>")),
        outlook=replace(shot.outlook, source=replace(shot.outlook.source, provider="<b>")),
    )
    page = Page(browse(serve(root=shot)))
    assert page.attributes("script") == page.attributes("b") == []
    names = [row[0] for row in page.tables["Allocated power, highest first: 5 of 5"]]
    assert '<script>alert(1)</script> | /weird.slice/a\\x2db "c"\nd.service' in names


def test_the_page_is_accessible_and_needs_nothing_from_elsewhere(browse, serve):
    """Language, title, captions and scopes are there; the stylesheet passes its own policy."""
    url = serve(root=rich_snapshot())
    page = Page(browse(url))
    assert page.attributes("html") == [{"lang": "en"}]
    assert len(page.attributes("table")) == len(page.attributes("caption")) == 6
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


def test_the_stylesheet_passes_its_own_policy(load, serve):
    """A browser ignores a stylesheet whose hash the policy does not name: then warnings had no background."""
    url = serve(root=rich_snapshot())
    for scheme, colour in (("light", "fff4d6"), ("dark", "33290c")):
        assert bytes.fromhex(colour) in pixels_of(load(url, width=500, height=300, scheme=scheme).picture())


CONTRASTS = """(() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = {};
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim()) continue;
    const style = getComputedStyle(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    found["text " + element.tagName + "." + (element.className.baseVal ?? element.className)] =
      ratio(parse(colour), behind(element));
  }
  const track = document.querySelector(".track");
  const onTrack = parse(getComputedStyle(track).fill);
  for (const [name, property, onto] of [
    [".used", "fill", onTrack], [".plan", "stroke", onTrack], [".limit", "stroke", onTrack],
    [".ahead", "stroke", onTrack], [".beyond", "fill", null], [".sign *", "fill", null],
  ]) for (const part of document.querySelectorAll(name))
      found["shape " + name] = ratio(parse(getComputedStyle(part)[property]), onto ?? behind(part));
  return found;
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["green", "amber", "red"])
def test_every_text_and_every_bar_can_be_told_from_its_ground(load, serve, scheme, state):
    """WCAG 2.2 at level AA: 4.5 to 1 for text (1.4.3), 3 to 1 for shapes that mean something (1.4.11)."""
    shot = rich_snapshot(budgets=(budget(), budget("gone", consumed_g=140.0)))
    shot = replace(shot, outlook=replace(shot.outlook, state=state))
    found = load(serve(root=shot), scheme=scheme).evaluate(CONTRASTS)
    assert len([name for name in found if name.startswith("shape ")]) == 6
    assert {"text P.warning", "text SPAN.tag bad", "text SMALL.", "text text.", "text A."} <= found.keys()
    low = {name: ratio for name, ratio in found.items() if ratio < (4.5 if name[:4] == "text" else 3.0)}
    assert low == {}


@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_screen_scrolls_tables_and_never_the_page(load, serve, width):
    """Also with the longest names that the settings let through, and several times in a warning."""
    long = "n" * 64
    shot = rich_snapshot(
        budgets=tuple(
            budget(long[: 64 - i] + "x" * i, consumed_g=300.0, selects="name=" + "y" * 195) for i in range(3)
        )
    )
    page = load(serve(root=shot), width=width)
    assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    hidden = page.evaluate("getComputedStyle(document.querySelector('td .strip').parentElement).display")
    assert (hidden == "none") == (width == 360)


def test_it_prints_in_black_on_white_without_what_only_a_screen_needs(load, serve):
    """Whatever scheme the screen has; the bars are drawn, so that they print as they are."""
    page = load(serve(root=rich_snapshot()), scheme="dark", media="print")
    look = "getComputedStyle(document.querySelector('{}')).{}"
    assert page.evaluate(look.format("nav", "display")) == "none"
    assert page.evaluate(look.format("footer", "display")) == "none"
    assert page.evaluate(look.format("body", "backgroundColor")) == "rgb(255, 255, 255)"
    assert page.evaluate(look.format(".used", "fill")) == "rgb(47, 111, 179)"
    assert page.paper().startswith(b"%PDF-")


def test_only_the_top_twenty_are_listed(browse, serve):
    page = Page(browse(serve(root=large_snapshot(50))))
    rows = page.tables["Allocated power, highest first: 20 of 50"]
    assert [row[3] for row in rows[1:3]] == ["5.0 W", "4.9 W"]
    assert len(rows) == 21


def test_several_nodes_have_an_index(browse, serve):
    url = serve(alpha=snapshot(), beta=None)
    page = Page(browse(url))
    rows = page.tables["Nodes served by this process"]
    assert [re.sub(r"\s+", " ", row[0]) for row in rows[1:]] == ["alpha", "beta"]
    nothing = "–"  # noqa: RUF001 - the page's own dash
    assert rows[1][1:] == ["100.0 W", "1.00 kJ", "250 mg", "900 g/kWh", nothing, "2"]
    assert rows[2][1:] == [nothing] * 6
    assert [attrs["href"] for attrs in page.attributes("a")][:4] == [
        "sd",
        "docs",
        "nodes/alpha/",
        "nodes/beta/",
    ]
