"""The JSON files of dashboards."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from .dashboard import Dashboard


def text_of(dashboard: Dashboard) -> str:
    """The file's text."""
    return json.dumps(dashboard.json(), indent=2, ensure_ascii=False) + "\n"


def write(dashboards: Iterable[Dashboard], folder: Path) -> None:
    """Write one file per dashboard, named after its uid, and remove files of dashboards that are gone."""
    texts = {f"{dashboard.uid}.json": text_of(dashboard) for dashboard in dashboards}
    folder.mkdir(exist_ok=True)
    for file in folder.glob("*.json"):
        if file.name not in texts:
            file.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
