"""`python -m grafana`, in the repository's root: write the dashboards anew."""

from __future__ import annotations

from pathlib import Path

from .boards import BOARDS
from .builder.write import write

if __name__ == "__main__":
    write(BOARDS, Path(__file__).with_name("dashboards"))
