"""Every page can be found from docs/README.md, and no link between pages leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.command_line import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(REPOSITORY / "grafana").rglob("*.md"),
        *(REPOSITORY / "deploy").rglob("*.md"),
    ]
)
_LINK = re.compile(r"""\]\(([^)\s]+)\)|<[^>]*?\b(?:src|srcset|href)="([^"\s]+)""")
_FENCED = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)


def links_of(page: Path) -> list[str]:
    """The targets of a page's links and pictures within the repository; code blocks have none."""
    targets = [link or tag for link, tag in _LINK.findall(_FENCED.sub("", page.read_text()))]
    return [target for target in targets if "://" not in target]


def anchors_of(page: Path) -> set[str]:
    """The names under which a page's headings can be linked."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    """To a file or folder that there is, and to a heading that it has."""
    broken = []
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


def test_the_index_names_every_page() -> None:
    """Those of runbooks and decisions by their folders."""
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links_of(DOCS / "README.md")}
    pages = {page for page in DOCS.glob("*.md") if page.name != "README.md"}
    assert pages <= linked
    assert {DOCS / "runbooks", DOCS / "adr"} <= linked
