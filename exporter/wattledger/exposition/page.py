"""The shell of every HTML page: one inline stylesheet, no script, nothing fetched from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

REFRESH_S = 10

STYLE = """\
:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--soft:#57606a;--line:#d0d7de;--link:#0a58ca;
--warn-fg:#5c3c00;--warn-bg:#fff4d6;--warn-line:#c98a00}
@media (prefers-color-scheme:dark){:root{--fg:#e6e8eb;--bg:#14171a;--soft:#a3abb4;--line:#3a424b;
--link:#8ab4f8;--warn-fg:#ffe2a0;--warn-bg:#33290c;--warn-line:#c98a00}}
body{margin:0 auto;max-width:75rem;padding:1rem 1.25rem 3rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:.5rem 0}
h2{font-size:1.2rem;margin:2rem 0 .5rem}
a{color:var(--link)}
nav a{margin-right:1rem}
p{max-width:45rem}
dl{display:flex;flex-wrap:wrap;gap:.75rem 2.5rem;margin:1rem 0}
dt{color:var(--soft);font-size:.9rem}
dd{margin:0;font-size:1.4rem;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
caption{text-align:left;color:var(--soft);padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line)}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
small{display:block;font-weight:400;color:var(--soft);overflow-wrap:anywhere}
tbody th{font-weight:600;overflow-wrap:anywhere}
code{white-space:nowrap}
.tag{border:1px solid currentColor;border-radius:.25rem;padding:0 .3rem;font-size:.85rem;white-space:nowrap}
.warning{color:var(--warn-fg);background:var(--warn-bg);border-left:.3rem solid var(--warn-line);
padding:.5rem .75rem}
"""


def content_security_policy() -> str:
    """Allows the one stylesheet and nothing else."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def document(title: str, heading: str, body: Iterable[str], *, refresh: bool | None) -> str:
    """A whole page. `title` and `heading` are plain text, `body` is HTML.

    `refresh` is None for a page that never changes, else whether it reloads itself now.
    """
    meta = f'<meta http-equiv="refresh" content="{REFRESH_S}">\n' if refresh else ""
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            meta,
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>\n",
            f"<h1>{escape(heading)}</h1>\n</header>\n<main>\n",
            "\n".join(body),
            "\n</main>\n",
            _footer(refresh),
            "</body>\n</html>\n",
        )
    )


def _footer(refresh: bool | None) -> str:
    if refresh is None:
        return ""
    if refresh:
        return (
            f"<footer><p>This page reloads every {REFRESH_S} seconds. "
            '<a href="?refresh=off">Pause reloading</a></p></footer>\n'
        )
    return '<footer><p>Reloading is paused. <a href="?refresh=on">Resume reloading</a></p></footer>\n'


def links(pairs: Iterable[tuple[str, str]]) -> str:
    """A row of links; each pair is a relative address and its text."""
    anchors = "\n".join(f'<a href="{escape(to)}">{escape(text)}</a>' for to, text in pairs)
    return f'<nav aria-label="Pages">\n{anchors}\n</nav>'


def warning(text: str) -> str:
    """A warning that does not rely on colour."""
    return f'<p class="warning"><strong>Warning:</strong> {escape(text)}</p>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of terms with their values, both plain text."""
    items = "\n".join(f"<div><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>" for term, value in pairs)
    return f"<dl>\n{items}\n</dl>"


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numeric: Sequence[str] = (),
    foot: Sequence[str] = (),
) -> str:
    """A table whose cells are HTML already; the first of each row is its header.

    The columns named in `numeric` are aligned right; `foot` is a last row apart.
    """
    classes = [' class="n"' if column in numeric else "" for column in columns]
    head = "".join(
        f'<th scope="col"{style}>{escape(column)}</th>'
        for column, style in zip(columns, classes, strict=True)
    )
    body = "\n".join(_row(row, classes) for row in rows)
    tail = f"<tfoot>\n{_row(foot, classes)}\n</tfoot>\n" if foot else ""
    return (
        f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0">\n<table>\n'
        f"<caption>{escape(caption)}</caption>\n"
        f"<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}\n</tbody>\n{tail}</table>\n</div>"
    )


def _row(cells: Sequence[str], classes: Sequence[str]) -> str:
    first, *rest = cells
    data = "".join(f"<td{style}>{cell}</td>" for cell, style in zip(rest, classes[1:], strict=True))
    return f'<tr><th scope="row">{first}</th>{data}</tr>'
