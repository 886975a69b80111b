"""Makes the pictures of this folder: the pages of a simulated host and of a fleet, in a real Chromium.

    python docs/images/screenshots.py [FOLDER]

Time stands still at a summer afternoon, and the same seed plays the same hosts: the same program and fonts
give the same pictures.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "exporter")]

from tests.chromium import Chromium  # noqa: E402 - the path is set above
from wattledger.app.demo import build_demo  # noqa: E402
from wattledger.clock import ManualClock  # noqa: E402
from wattledger.exposition.http import NodeView, make_app  # noqa: E402
from wattledger.exposition.server import Server  # noqa: E402
from wattledger.settings import BudgetSettings, Settings  # noqa: E402
from wattledger.snapshot import Snapshot  # noqa: E402

BEGIN_NS = 1_781_182_800 * 10**9  # Thursday 2026-06-11 13:00 UTC
STEP_S = 5
STEPS_A_MINUTE = 60 // STEP_S
WIDTH = 1200
MARGIN = 10
AHEAD = ".pair"
SIZE_LIMIT = 300_000
BUDGETS = (
    BudgetSettings(name="node-month", limit_g=1_000_000, period="month", timezone="Europe/Berlin"),
    BudgetSettings(name="node-day", limit_g=36_000, period="day", timezone="Europe/Berlin"),
    BudgetSettings(
        name="ml-day",
        limit_g=4_500,
        period="day",
        timezone="Europe/Berlin",
        select={"pod_namespace": ("ml",)},
    ),
    BudgetSettings(
        name="shop-week",
        limit_g=3_200,
        period="week",
        timezone="Europe/Berlin",
        scope="total",
        select={"pod_namespace": ("shop", "ingress")},
    ),
)
"""One over its limit, the others at different paces."""


class Still:
    """A node that was played for a while, and stands still now."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def latest(self) -> Snapshot:
        """The last moment."""
        return self._snapshot

    def refresh(self, done: Callable[[], None]) -> None:
        """There is nothing newer."""
        done()


def played(settings: Settings, nodes: int, minutes: int) -> tuple[ManualClock, dict[str, Snapshot]]:
    """Simulated nodes after some minutes, by name, and the clock that stands at that moment."""
    clock = ManualClock(epoch_ns=BEGIN_NS)
    built = build_demo(settings, nodes, clock)
    watches = {id(node.grid): node.grid.watch for node in built}.values()
    for step in range(minutes * STEPS_A_MINUTE):
        if step % STEPS_A_MINUTE == 0:
            for watch in watches:
                watch.turn()
        clock.advance(STEP_S)
        shots = {node.name: node.sampler.tick() for node in built}
    for node in built:
        node.sampler.close()
    return clock, shots


@contextmanager
def served(clock: ManualClock, shots: Mapping[str, Snapshot]) -> Iterator[str]:
    """The address of a server that shows these moments."""
    single = len(shots) == 1
    views = {"" if single else name: NodeView(source=Still(shot)) for name, shot in shots.items()}
    server = Server(make_app(views, clock=clock), ["127.0.0.1:0"])
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server.urls[0]
    finally:
        server.stop()
        thread.join()


def marked(png: bytes, html: str) -> bytes:
    """The picture with the digest of its page as text, so that one of an older page can be told."""
    data = b"Page\0" + hashlib.sha256(html.encode()).hexdigest().encode()
    chunk = struct.pack(">I", len(data)) + b"tEXt" + data + struct.pack(">I", zlib.crc32(b"tEXt" + data))
    end = len(png) - 12  # the empty chunk IEND
    return png[:end] + chunk + png[end:]


def main(folder: Path) -> None:
    """Write the pictures."""
    logging.disable()
    os.environ["TZ"] = "UTC"
    time.tzset()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, Chromium(Path(profile)) as browser:

        def picture(name: str, url: str, end: str, *, scheme: str = "light") -> None:
            """The page down to the end of the element that a selector names."""
            page = browser.open(f"{url}?refresh=off", width=WIDTH, height=800, scheme=scheme)
            bottom = page.evaluate(f"document.querySelector('{end}').getBoundingClientRect().bottom")
            height = math.ceil(bottom) + MARGIN
            page.close()
            page = browser.open(f"{url}?refresh=off", width=WIDTH, height=height, scheme=scheme)
            png = marked(page.picture(), page.evaluate("document.documentElement.outerHTML"))
            page.close()
            if len(png) > SIZE_LIMIT:
                raise SystemExit(f"{name}: {len(png)} bytes, more than {SIZE_LIMIT}")
            (folder / name).write_bytes(png)
            sys.stdout.write(f"{folder / name}: {WIDTH} x {height}, {len(png):,} bytes\n")

        with served(*played(Settings(budgets=BUDGETS), 1, 60)) as url:
            picture("landing-light.png", url, AHEAD)
            picture("landing-dark.png", url, AHEAD, scheme="dark")
        with served(*played(Settings(), 10, 20)) as url:
            picture("fleet-light.png", url, "table")
            picture("fleet-dark.png", url, "table", scheme="dark")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
