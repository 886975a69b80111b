"""The report of a simulated month against the truth of the simulator, and its page in a real browser."""

from __future__ import annotations

import csv
import http.server
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import threading

import jsonschema
import pytest

from tests.command_line import REPOSITORY, run
from tests.pdf_text import pages_of, text_of
from tests.simulated_month import DAYS, EMBODIED_G, Month

pytestmark = pytest.mark.e2e

OUTAGE_HOURS = 2
MISSING_DAY = 19
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT_S = 120
BROWSERS_OWN = re.compile(r"\.google(apis)?\.com(:443|/)")
"""Where Chromium looks for updates of itself, whatever page it shows."""
PERIOD = ("--since", "2025-01-01", "--until", "2025-02-01", "--timezone", "Europe/Berlin", "--node", "node-7")


@pytest.fixture(scope="module")
def month(tmp_path_factory) -> Month:
    """31 days with a restart, a crash, an outage of two hours, and a day without intensity."""
    folder = tmp_path_factory.mktemp("month") / "first"
    folder.mkdir()
    month = Month(folder, missing_day=MISSING_DAY)
    month.start()
    month.run(4 * 24 + 7)
    month.stop()
    month.start()  # at once: nothing passes between the two agents
    month.run(5 * 24)
    month.stop()
    month.outage(OUTAGE_HOURS)
    month.start()
    month.run(12 * 24)
    month.crash(folder.parent / "second")
    month.start()
    month.run(DAYS * 24 - month.hour)
    month.stop()
    return month


def report(month: Month, *arguments: str) -> str:
    done = run("report", "--storage.path", str(month.folder), *PERIOD, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def tree(month: Month, *arguments: str) -> dict:
    return json.loads(report(month, "--format", "json", *arguments))


def test_the_totals_are_the_simulators(month):
    """Joules to the microjoule, grams to 1e-9, embodied emissions of the days that passed."""
    found = tree(month)
    drawn = {one["component"]: one["energy_microjoules"] for one in found["components"]}
    assert drawn == month.energy_uj
    assert found["totals"]["emissions_grams"] == pytest.approx(math.fsum(month.grams), rel=1e-9)
    # The machine has been writing itself off at 1 kg a day since the first sample.
    assert found["totals"]["embodied_emissions_grams"] == pytest.approx(DAYS * EMBODIED_G / 1460, rel=1e-9)
    assert found["totals"]["pue"] == pytest.approx(1.2, rel=1e-9)
    truth = month.host.truth()
    everything_uj = sum(truth.node_uj(component) for component in drawn)
    # Truth is rounded per step and workload; what the counters lost is whole turns of theirs.
    assert sum(drawn.values()) + month.lost_uj == pytest.approx(everything_uj, rel=1e-9)


def test_the_books_are_the_ledgers(month):
    """Node and workloads are in the report as the ledger has them, over restarts and a crash."""
    found = tree(month)
    accounts = month.sampler.ledger.accounts
    assert {c: total.energy_uj for c, total in accounts.node.items()} == {
        one["component"]: one["energy_microjoules"] for one in found["components"]
    }
    groups = found["groups"]
    shown = {row["group"]: row for row in groups["rows"]}
    apart = ("idle", "unattributed")
    living = [a for a in accounts.everything() if a.info.kind not in apart and a.cells]
    assert len(living) > 900  # two kinds of jobs came and went all month
    for account in living:
        row = shown[f"{account.info.kind}/{account.info.id}"]
        assert row["energy_microjoules"] == sum(cell.energy_uj for cell in account.cells.values())
        grams = math.fsum(cell.emissions_g for cell in account.cells.values())
        assert row["emissions_grams"] == pytest.approx(grams, rel=1e-9, abs=1e-8)
    assert len(shown) == len(living)
    assert groups["unaccounted_microjoules"] == 0


def test_workloads_are_charged_as_attribution_promises(month):
    """The energy-weighted relative error is below the 16 % that docs/accuracy.md found over a day."""
    rows = {row["group"]: row for row in tree(month)["groups"]["rows"]}
    truth = month.host.truth().dynamic_uj
    pairs = [
        (rows[f"{workload.kind}/{workload.id}"]["components_microjoules"]["cpu"], drawn["cpu"])
        for workload, drawn in truth.items()
        if f"{workload.kind}/{workload.id}" in rows and drawn["cpu"] > 0
    ]
    assert len(pairs) > 900
    wrong = sum(abs(charged - drawn) for charged, drawn in pairs) / sum(drawn for _, drawn in pairs)
    assert wrong < 0.16


def test_coverage_is_all_but_the_outage(month):
    """Two hours of 744 are missing, and they are the one gap; restarts leave none."""
    coverage = tree(month)["coverage"]
    assert coverage["covered_seconds"] == (DAYS * 24 - OUTAGE_HOURS) * 3600
    assert coverage["ratio"] == pytest.approx(1 - OUTAGE_HOURS / (DAYS * 24))
    assert coverage["gaps"] == [
        {
            "start": "2025-01-10T07:00:00+01:00",
            "end": "2025-01-10T09:00:00+01:00",
            "missing_seconds": OUTAGE_HOURS * 3600.0,
        }
    ]


def test_the_share_on_fallback_is_that_of_the_missing_day(month):
    """22 hours: the last value holds for two hours before the fallback does."""
    found = tree(month)
    totals = found["totals"]
    assert sum(one["fallback_microjoules"] for one in found["components"]) == month.fallback_uj
    assert totals["fallback_ratio"] == pytest.approx(month.fallback_uj / totals["energy_microjoules"])
    assert 0.02 < totals["fallback_ratio"] < 0.04
    sources = {source["provider"]: source for source in found["intensity_sources"]}
    assert (sources["file"]["fallback"], sources["static"]["fallback"]) == (False, True)
    assert sources["static"]["energy_microjoules"] == month.fallback_uj
    day = found["days"][MISSING_DAY]
    assert day["start"] == "2025-01-20T00:00:00+01:00"
    assert day["fallback_microjoules"] == month.fallback_uj


@pytest.mark.parametrize("by", ["workload", "namespace", "user", "account", "component"])
def test_rows_add_up_to_the_node_in_every_grouping(month, by):
    """To the microjoule, folded or not, in JSON and in CSV; days and hours too."""
    for top in ((), ("--top", "2")):
        found = tree(month, "--by", by, *top)
        groups = found["groups"]
        rows = [*groups["rows"], *groups["apart"], *([groups["rest"]] if groups["rest"] else [])]
        total_uj = found["totals"]["energy_microjoules"]
        assert sum(row["energy_microjoules"] for row in rows) == total_uj
        for series in ("days", "hours"):
            parts = [sum(one["components_microjoules"].values()) for one in found[series]]
            assert sum(parts) == total_uj
        *lines, last = csv.DictReader(io.StringIO(report(month, "--by", by, "--format", "csv", *top)))
        assert last["row"] == "total"
        for column in ("energy_joules", "idle_joules", "cpu_joules", "dram_joules"):
            assert sum(_micro(line[column]) for line in lines) == _micro(last[column])
        assert _micro(last["energy_joules"]) == total_uj
    assert len(found["days"]) == DAYS
    # What the counters kept over the outage was booked at its end, in the last nanosecond of its second hour.
    assert len(found["hours"]) == DAYS * 24 - OUTAGE_HOURS + 1


def _micro(joules: str) -> int:
    return int(joules.replace(".", ""))


def test_users_and_namespaces_are_named(month):
    """Users come from jobs and sessions; what has none is a group of its own."""
    users = {row["group"]: row["shown_as"] for row in tree(month, "--by", "user")["groups"]["rows"]}
    assert users == {"anna": "anna", "jonas": "jonas", "li": "li", "": "(no user)"}
    namespaces = {row["group"] for row in tree(month, "--by", "namespace")["groups"]["rows"]}
    assert namespaces == {"shop", "ingress", "monitoring", ""}


def test_the_json_follows_the_published_schema(month):
    """With and without rows folded; the schema itself is a valid one and refuses what it does not know."""
    schema = json.loads((REPOSITORY / "docs/report.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    found = tree(month, "--top", "3")
    assert [error.message for error in validator.iter_errors(found)] == []
    assert list(validator.iter_errors({**found, "totals": {}})) != []
    assert list(validator.iter_errors({**found, "more": 1})) != []


@pytest.fixture(scope="module")
def page(month, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert report(month, "--format", "html", "--output", str(path)) == ""
    return path


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Open a page in Chromium: its output, its console, and what was asked of the proxy for all requests."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium found (Debian package chromium)")
    asked: list[str] = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_CONNECT = do_POST = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    profile = tmp_path_factory.mktemp("profile")

    def start(path, *arguments: str) -> tuple[str, list[str], list[str]]:
        command = [
            found,
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--proxy-server=127.0.0.1:{server.server_address[1]}",
            "--proxy-bypass-list=<-loopback>",
            "--enable-logging=stderr",
            *arguments,
            path.as_uri(),
        ]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as browser:
            try:
                output, log = browser.communicate(timeout=TIMEOUT_S)
            finally:
                if browser.poll() is None:
                    os.killpg(browser.pid, signal.SIGKILL)
        assert browser.returncode == 0
        said = [line for line in log.splitlines() if "CONSOLE" in line]
        return output, said, [address for address in asked if not BROWSERS_OWN.search(address)]

    yield start
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_the_page_renders_in_a_browser_without_a_complaint(month, page, browse):
    """Totals, plots and tables are there; nothing was fetched, and the console is empty."""
    dom, console, asked = browse(page, "--dump-dom")
    assert console == []
    assert asked == []
    totals = tree(month)["totals"]
    assert f"<dd>{totals['energy_kwh']:.1f} kWh</dd>" in dom
    assert f"<dd>{totals['emissions_grams'] / 1000:.1f} kg</dd>" in dom
    assert len(re.findall(r"<svg ", dom)) == 3
    assert len(re.findall(r'<svg [^>]*role="img"[^>]*aria-label="[^"]+"', dom)) == 3
    assert "<script" not in dom
    assert re.findall(r'(?:src|href|action)="', dom) == []
    # 31 days of two components, and two squares of the legend
    bars = re.search(r"<svg .*?</svg>", dom, re.S)
    assert len(re.findall(r'<rect class="c[01]"', bars[0])) == DAYS * 2 + 2


def test_a_console_message_would_be_seen(page, browse, tmp_path):
    """The test above can fail: a picture from elsewhere breaks the page's policy, and the console says so."""
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text().replace("</main>", '<img src="http://example.org/x.png"></main>'))
    _, console, asked = browse(broken, "--dump-dom")
    assert any("Content Security Policy" in line for line in console)
    assert asked == []
    open_page = tmp_path / "open.html"
    open_page.write_text('<!DOCTYPE html><img src="http://example.org/x.png">')
    assert browse(open_page, "--dump-dom")[2] == ["http://example.org/x.png"]


def test_the_page_prints_on_few_sheets_of_paper(month, page, browse, tmp_path):
    """A4, five sheets for a month with twenty workloads, one more or less by the fonts of the host."""
    file = tmp_path / "report.pdf"
    browse(page, "--no-pdf-header-footer", f"--print-to-pdf={file}")
    pages = pages_of(file.read_bytes())
    assert {(round(width), round(height)) for width, height in pages} <= {(595, 842), (594, 841), (595, 841)}
    assert 4 <= len(pages) <= 6
    text = text_of(file.read_bytes())
    totals = tree(month)["totals"]
    assert f"{totals['energy_kwh']:.1f} kWh" in text
    assert f"{totals['emissions_grams'] / 1000:.1f} kg" in text
    assert "2025-01-01 00:00 to 2025-02-01 00:00 (Europe/Berlin)" in text
