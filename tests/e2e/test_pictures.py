"""The pictures under docs/images are made by their script, and the drawing can be read by everybody."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from tests.chromium import Chromium, find_chromium
from tests.command_line import REPOSITORY, environment
from tests.unit.test_docs_links import PAGES, links_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium found (Debian package chromium)"),
]

FOLDER = REPOSITORY / "docs/images"
FLOW = FOLDER / "data-flow.svg"
SVG = "{http://www.w3.org/2000/svg}"


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height (PNG specification, section 11.2.1)."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def page_of(png: bytes) -> bytes:
    """The digest of the page that it was taken of."""
    (digest,) = re.findall(rb"tEXtPage\0([0-9a-f]{64})", png)
    return digest


def test_the_script_makes_every_picture_that_is_there(tmp_path):
    """Each is small enough for a README, and shows the page as it is now; only fonts may differ."""
    done = subprocess.run(
        [sys.executable, FOLDER / "screenshots.py", tmp_path],
        env=environment(), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    there = {path.name: path.read_bytes() for path in FOLDER.glob("*.png")}
    assert made.keys() == there.keys()
    for name, png in there.items():
        assert len(png) <= 300_000, name
        assert size_of(png)[0] == size_of(made[name])[0] == 1200
        assert size_of(png)[1] > 600
        assert page_of(png) == page_of(made[name]), f"{name}: run python docs/images/screenshots.py"


def test_every_picture_is_shown():
    """On some page."""
    shown = {(page.parent / link).resolve() for page in PAGES for link in links_of(page)}
    assert {*FOLDER.glob("*.png"), FLOW} <= shown


def test_the_drawing_has_a_title_and_a_description() -> None:
    root = ET.parse(FLOW).getroot()
    assert root.get("role") == "img"
    named = {element.get("id"): element.text for element in root if element.get("id")}
    assert root.get("aria-labelledby").split() == list(named) == ["title", "desc"]
    assert all(named.values())
    assert not [one for one in root.iter() if one.tag in (f"{SVG}script", f"{SVG}image")]


OUTSIDE = """(() => {
  const svg = document.documentElement, width = svg.viewBox.baseVal.width;
  const boxes = [...document.querySelectorAll("g")].map(g => g.querySelector("rect, path").getBBox());
  const texts = [...document.querySelectorAll("g text")].filter(text => {
    const box = text.parentElement.querySelector("rect, path").getBBox(), own = text.getBBox();
    return own.x < box.x + 4 || own.x + own.width > box.x + box.width - 4 ||
           own.y < box.y || own.y + own.height > box.y + box.height + 8;
  });
  return [texts.map(text => text.textContent), boxes.length, boxes.filter(b => b.x + b.width > width).length];
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_the_drawing_stays_in_its_box_and_is_readable(tmp_path, scheme):
    """In both schemes, on the drawing's own ground: 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    with Chromium(tmp_path) as browser:
        page = browser.open(FLOW.as_uri(), width=1304, height=560, scheme=scheme)
        outside, boxes, beyond = page.evaluate(OUTSIDE)
        fill = "getComputedStyle(document.querySelector('{}')).fill"
        colours = {
            name: page.evaluate(fill.format(name))
            for name in (".ground", ".box", ".ours", ".name", ".soft", ".group")
        }
    assert (outside, beyond) == ([], 0)
    assert boxes == 15
    grounds = [luminance(colours[name]) for name in (".ground", ".box", ".ours")]
    for name in (".name", ".soft", ".group"):
        text = luminance(colours[name])
        for ground in grounds:
            low, high = sorted((text, ground))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, colours)


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, as WCAG defines it."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
