"""Reads sheets and text out of a PDF as Chromium writes it: one object after the other, streams deflated.

Names of operators and keys are those of ISO 32000-1; a font's characters are found by its ToUnicode map.
"""

from __future__ import annotations

import re
import zlib

_OBJECT = re.compile(rb"(?:^|\n)(\d+) 0 obj\n(.*?)\nendobj", re.S)
_STREAM = re.compile(rb"stream\n(.*)\nendstream", re.S)
_SHOWN = re.compile(rb"/(\w+) [\d.]+ Tf|(<[0-9A-Fa-f]*>) Tj|\[(.*?)\] TJ", re.S)


def pages_of(pdf: bytes) -> list[tuple[float, float]]:
    """Width and height of every sheet, in points."""
    boxes = [re.search(rb"/MediaBox \[([^]]+)\]", body) for body in _pages(_objects(pdf))]
    sizes = [[float(number) for number in box[1].split()] for box in boxes if box]
    assert len(sizes) == len(boxes)
    return [(right - left, top - bottom) for left, bottom, right, top in sizes]


def text_of(pdf: bytes) -> str:
    """The text of all sheets in the order in which it is painted."""
    objects = _objects(pdf)
    said = []
    for page in _pages(objects):
        fonts = {}
        for names in re.findall(rb"/Font <<(.*?)>>", page, re.S):
            for name, number in re.findall(rb"/(\w+) (\d+) 0 R", names):
                fonts[name] = _characters(objects, objects[int(number)])
        contents = re.search(rb"/Contents (\d+) 0 R", page)
        characters: dict[int, str] = {}
        for font, one, several in _SHOWN.findall(_stream(objects[int(contents[1])])):
            if font:
                characters = fonts[font]
            codes = b"".join(re.findall(rb"<([0-9A-Fa-f]*)>", one or several))
            said += [characters.get(int(codes[i : i + 4], 16), "") for i in range(0, len(codes), 4)]
    return "".join(said)


def _objects(pdf: bytes) -> dict[int, bytes]:
    return {int(number): body for number, body in _OBJECT.findall(pdf)}


def _pages(objects: dict[int, bytes]) -> list[bytes]:
    (kids,) = [re.search(rb"/Kids \[(.*?)\]", body) for body in objects.values() if b"/Type /Pages" in body]
    return [objects[int(number)] for number in re.findall(rb"(\d+) 0 R", kids[1])]


def _stream(body: bytes) -> bytes:
    stream = _STREAM.search(body)
    return zlib.decompress(stream[1]) if b"/FlateDecode" in body else stream[1]


def _characters(objects: dict[int, bytes], font: bytes) -> dict[int, str]:
    """The text of each code of a font."""
    found = re.search(rb"/ToUnicode (\d+) 0 R", font)
    if not found:
        return {}
    table = _stream(objects[int(found[1])])
    characters = {}
    for block in re.findall(rb"beginbfchar(.*?)endbfchar", table, re.S):
        for code, text in re.findall(rb"<(\w+)> <(\w+)>", block):
            characters[int(code, 16)] = bytes.fromhex(text.decode()).decode("utf-16-be")
    for block in re.findall(rb"beginbfrange(.*?)endbfrange", table, re.S):
        for first, last, text in re.findall(rb"<(\w+)> <(\w+)> <(\w+)>", block):
            for offset in range(int(last, 16) - int(first, 16) + 1):
                characters[int(first, 16) + offset] = chr(int(text, 16) + offset)
    return characters
