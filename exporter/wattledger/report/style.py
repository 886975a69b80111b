"""The stylesheet of a report: that of our pages, and what plots and paper need besides."""

from __future__ import annotations

import base64
import hashlib

from ..exposition.page import STYLE as PAGE

STYLE = (
    PAGE
    + """\
:root{--c0:#0072b2;--c1:#e69f00;--c2:#009e73;--c3:#cc79a7}
@media (prefers-color-scheme:dark){:root{--c0:#56b4e9;--c1:#e69f00;--c2:#2bbd94;--c3:#e3a5c7}}
figure{margin:1rem 0}
figcaption{color:var(--soft);font-size:.9rem}
svg{display:block;width:100%;max-width:60rem;height:auto;font-size:12px}
svg text{fill:var(--fg)}
svg .end{text-anchor:end}
svg .middle{text-anchor:middle}
svg .grid{stroke:var(--line);stroke-width:1}
svg .line{fill:none;stroke:var(--c0);stroke-width:2}
svg .dot{fill:var(--c0)}
.c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}
.period{font-size:1.1rem}
ul{max-width:45rem;padding-left:1.2rem}
li{margin:.25rem 0}
tr.sum td,tr.sum th{font-weight:600}
@page{size:A4;margin:15mm 14mm}
@media print{
:root{color-scheme:light;--fg:#000;--bg:#fff;--soft:#444;--line:#bbb;--link:#000;--warn-fg:#000;
--warn-bg:#fff;--warn-line:#444;--c0:#0072b2;--c1:#e69f00;--c2:#009e73;--c3:#cc79a7}
body{max-width:none;padding:0;font-size:9.5pt;line-height:1.4}
svg{max-width:150mm}
small{display:inline;margin-left:.5em}
dd{font-size:1.2rem}
.scroll{overflow:visible}
h2{break-after:avoid;margin-top:1.2rem}
figure,tr,li,dl,.warning{break-inside:avoid}
thead{display:table-header-group}
tfoot{display:table-row-group}
svg rect{print-color-adjust:exact;-webkit-print-color-adjust:exact}
th,td{padding:.12rem .5rem .12rem 0}
}
"""
)


def content_security_policy() -> str:
    """Allows the one stylesheet and nothing else; a page opened from a file brings its policy along."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
