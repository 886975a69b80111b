"""Plain-text tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap


def columns(
    rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), flexible: int, width: int, indent: str = ""
) -> list[str]:
    """The rows as lines of at most `width` characters, in aligned columns two spaces apart.

    The columns numbered in `right` are aligned to the right. The column `flexible` gives way, down to
    eight characters, by losing the middle of its text; characters that are not printable are escaped.
    """
    if not rows:
        return []
    aligned_right = set(right)
    texts = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(texts[0]))]
    others = sum(widths) - widths[flexible] + 2 * (len(widths) - 1) + len(indent)
    widths[flexible] = max(min(widths[flexible], width - others), 8)
    lines = []
    for row in texts:
        cells = [shortened(cell, size) for cell, size in zip(row, widths, strict=True)]
        padded = [
            cell.rjust(size) if i in aligned_right else cell.ljust(size)
            for i, (cell, size) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append((indent + "  ".join(padded)).rstrip())
    return lines


def pairs(rows: Sequence[tuple[str, str]], *, width: int) -> list[str]:
    """Names with what is said of them beside, in lines of at most `width` characters; nothing is left out.

    A name that is empty goes on with the one before. Words longer than a line stay whole.
    """
    beside = max((len(printable(name)) for name, _ in rows), default=0) + 2
    lines: list[str] = []
    for name, text in rows:
        lines += wrap(
            printable(text),
            max(width, beside + 20),
            initial_indent=printable(name).ljust(beside),
            subsequent_indent=" " * beside,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` characters; the middle is replaced by an ellipsis."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return text[: width - 1 - tail] + "…" + text[len(text) - tail :]


def printable(text: str) -> str:
    """`text` with every character that could move the cursor escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
