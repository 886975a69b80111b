"""The shell of every HTML page: one inline stylesheet, no script, nothing fetched from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from html import escape
from types import MappingProxyType

from . import moments

REFRESH_S = 10

STYLE = """\
:root{color-scheme:light dark;--fg:#1b1f24;--bg:#fff;--soft:#57606a;--line:#d0d7de;--link:#0a58ca;
--warn-fg:#5c3c00;--warn-bg:#fff4d6;--warn-line:#b27600;--track:#e3e8ee;--used:#2f6fb3;--ahead:#5f7f9f;
--bad:#b3261e;--on-bad:#fff;--green:#1a7f37;--amber:#9a6700;--red:#cf222e}
@media screen and (prefers-color-scheme:dark){:root{--fg:#e6e8eb;--bg:#14171a;--soft:#a3abb4;--line:#3a424b;
--link:#8ab4f8;--warn-fg:#ffe2a0;--warn-bg:#33290c;--warn-line:#c98a00;--track:#2c333b;--used:#6ea8e6;
--ahead:#8ba3bd;--bad:#ff9b90;--on-bad:#2b0a07;--green:#4ac26b;--amber:#d4a72c;--red:#ff7b72}}
body{margin:0 auto;max-width:70rem;padding:1rem 1.25rem 3rem;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:.5rem 0;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.25rem 0 .5rem}
h3{font-size:1rem;margin:0;overflow-wrap:anywhere}
a{color:var(--link)}
nav a{margin-right:1rem}
p{max-width:45rem;overflow-wrap:anywhere}
.soft{color:var(--soft);font-size:.9rem}
.state{text-transform:capitalize}
dl{display:flex;flex-wrap:wrap;gap:.75rem 2.5rem;margin:1rem 0}
dt{color:var(--soft);font-size:.9rem}
dd{margin:0;font-size:1.4rem;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
caption{text-align:left;color:var(--soft);padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line)}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
small{display:block;font-weight:400;color:var(--soft);overflow-wrap:anywhere}
tbody th{font-weight:600;overflow-wrap:anywhere;min-width:8rem}
td{min-width:3rem}
time{white-space:nowrap}
code{overflow-wrap:anywhere}
.tag{border:1px solid currentColor;border-radius:.25rem;padding:0 .3rem;font-size:.85rem;font-weight:400;
white-space:nowrap}
.bad{color:var(--on-bad);background:var(--bad);border-color:var(--bad);font-weight:600}
.warning{color:var(--warn-fg);background:var(--warn-bg);border-left:.3rem solid var(--warn-line);
padding:.5rem .75rem}
.pair{display:grid;grid-template-columns:minmax(0,2fr) minmax(0,5fr);gap:1rem 2.5rem;align-items:start}
.pair tbody th{min-width:4rem;white-space:nowrap}
.columns,.budgets{display:grid;
grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr));gap:1.75rem 2.5rem}
.columns{row-gap:0}
article p{margin:.25rem 0}
svg{fill:var(--used)}
.none{position:absolute}
.bar{display:block;width:100%;height:24px;margin:.35rem 0}
.share{width:6rem;height:.6rem;background:var(--track)}
.share rect{height:100%}
.strip{display:block;width:100%;min-width:12rem;height:24px;overflow:visible}
.strip text{fill:var(--soft);font-size:.8rem;font-weight:400;text-anchor:middle}
.sign{width:.8em;height:.8em}
.track{fill:var(--track)}
.ahead{fill:none;stroke:var(--ahead);stroke-width:2;stroke-dasharray:4 3}
.beyond{fill:var(--bad)}
.gap{stroke:var(--bg);stroke-width:5}
.plan,.limit{stroke:var(--fg);stroke-width:2}
.limit{stroke-dasharray:3 3}
.axis{stroke:var(--line);stroke-width:2}
.green{fill:var(--green)}
.amber{fill:var(--amber)}
.red{fill:var(--red)}
.hollow{fill:none;stroke:var(--soft);stroke-width:1.5}
@media (max-width:60rem){.pair{grid-template-columns:minmax(0,1fr)}}
@media (max-width:40rem){.w{display:none}
body{padding:.5rem .75rem 2rem}dl{gap:.5rem 1.5rem}dd{font-size:1.2rem}}
@media print{nav,footer{display:none}body{max-width:none;padding:0;font-size:10pt}.scroll{overflow:visible}
h2{break-after:avoid}tr,article,.warning{break-inside:avoid}
.bad,.share,.warning{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
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
    """A warning that does not rely on colour; plain text, with what is to be typed in backticks."""
    shown = re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
    return f'<p class="warning"><strong>Warning:</strong> {shown}</p>'


def page_time(at_ns: int, place: tzinfo | None = None) -> str:
    """A moment in a time zone, by default this process's, with UTC beside it, as HTML."""
    return f'<time datetime="{moments.utc(at_ns)}">{escape(moments.local_and_utc(at_ns, place))}</time>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of terms with their values, both plain text."""
    items = "\n".join(f"<div><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>" for term, value in pairs)
    return f"<dl>\n{items}\n</dl>"


def section(title: str, parts: Iterable[str]) -> str:
    """A part of the page under its heading; `parts` are HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def beside(*parts: str) -> str:
    """Parts next to each other where there is room for that."""
    return '<div class="columns">\n' + "\n".join(parts) + "\n</div>"


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numeric: Sequence[str] = (),
    wide: Sequence[str] = (),
    foot: Sequence[str] = (),
    heads: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """A table whose cells are HTML already; the first of each row is its header.

    The columns named in `numeric` are aligned right, those in `wide` left out on narrow screens. `foot` is a
    last row apart, and `heads` are HTML that goes below the names of some columns.
    """
    kinds = {**dict.fromkeys(numeric, ' class="n"'), **dict.fromkeys(wide, ' class="w"')}
    classes = [kinds.get(column, "") for column in columns]
    head = "".join(
        f'<th scope="col"{style}>{escape(column)}{heads.get(column, "")}</th>'
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
