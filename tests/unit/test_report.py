"""A report from a journal: groups, what is apart, coverage, statements, formats."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from dataclasses import replace
from html.parser import HTMLParser

import jsonschema
import pytest

from tests.command_line import REPOSITORY
from tests.journal_batches import DB, HOUR_NS, IDLE, START_NS, WEB, J, Totals, at, write
from wattledger.cli.report_table import as_table
from wattledger.ledger.journal_prune import prune
from wattledger.ledger.journal_read import open_for_reading
from wattledger.model import S_NS, Intensity, Workload
from wattledger.report.as_csv import as_csv
from wattledger.report.as_html import as_html
from wattledger.report.as_json import as_json
from wattledger.report.gather import gather
from wattledger.report.span import Span
from wattledger.report.statements import boundary, boundary_sentences, cautions, method_sentences

NOBODY = Workload(kind="unattributed")
ANN = Workload(kind="job", id="8", facts=(("user", "ann"), ("account", "physics")))
BOB = Workload(kind="job", id="9", facts=(("user", "bob"), ("account", "physics")))
HOSTILE = Workload(
    kind="unit",
    id='=1+1"<script>alert(1)</script>',
    name="=1+1",
    facts=(("user", "</title><img src=x onerror=alert(1)>\u202e"),),
)
AGENT = {"version": "0.1.0", "settings": "0123456789abcdef", "sysname": "Linux"}


def made(folder, *batches, start=0, end=24, now=None, by="workload", top=None, timezone="UTC"):
    """The report over hours after START_NS, of a journal with these batches; now is the end of the period."""
    write(folder, *batches)
    span = Span(start_ns=at(start), end_ns=at(end), timezone=timezone)
    with open_for_reading(str(folder / "journal.sqlite3")) as reader:
        return gather(
            reader,
            span,
            by=by,
            top=top,
            now_ns=at(end if now is None else now),
            node="node-7",
            version="wattledger 0.1.0",
        )


def day_of_work(**more):
    """An hour: 600 J by web, 300 J by db, 200 J idle, 100 J unattributed; 0.0001 g per joule."""
    totals = Totals(**more).use(WEB, 600 * J).use(DB, 300 * J)
    totals.use(IDLE, 200 * J, mode="idle").use(NOBODY, 100 * J, mode="")
    return totals.pass_time(3600)


def test_rows_are_ranked_and_nobodys_energy_is_apart(tmp_path):
    report = made(tmp_path, day_of_work().batch(at(0.99)), end=1)
    assert [(row.group, row.energy_uj // J) for row in report.rows] == [
        ("container/web", 600),
        ("container/db", 300),
    ]
    assert [(row.group, row.energy_uj // J) for row in report.apart] == [("idle", 200), ("unattributed", 100)]
    assert report.totals.energy_uj == 1200 * J
    assert (report.totals.idle_uj, report.totals.unattributed_uj) == (200 * J, 100 * J)
    assert report.unaccounted_uj == 0
    # Totals of journal_batches have a PUE of 1.5: 0.12 g for 1800 J of the facility.
    assert report.totals.pue == 1.5
    assert report.totals.intensity == pytest.approx(0.12 / 1800 * 3.6e6)


def test_small_groups_are_folded_into_one_row(tmp_path):
    totals = Totals()
    for number in range(10):
        totals.use(Workload(kind="unit", id=f"{number}"), (number + 1) * J)
    report = made(tmp_path, totals.batch(at(0.5)), end=1, top=3)
    assert [row.group for row in report.rows] == ["unit/9", "unit/8", "unit/7"]
    assert (report.rest.energy_uj, report.rest.members, report.folded) == (28 * J, 7, 7)
    assert report.unaccounted_uj == 0


def test_users_and_accounts_come_from_facts(tmp_path):
    totals = Totals().use(ANN, 5 * J).use(BOB, 4 * J).use(WEB, 3 * J)
    users = made(tmp_path, totals.batch(at(0.5)), end=1, by="user")
    assert [(row.group, row.energy_uj // J) for row in users.rows] == [("ann", 5), ("bob", 4), ("", 3)]
    accounts = made(tmp_path, end=1, by="account")
    assert [(row.group, row.members) for row in accounts.rows] == [("physics", 2), ("", 1)]
    namespaces = made(tmp_path, end=1, by="namespace")
    assert [(row.group, row.energy_uj // J) for row in namespaces.rows] == [("", 9), ("shop", 3)]


def test_components_contain_what_is_nobodys(tmp_path):
    totals = Totals().use(WEB, 600 * J, component="cpu").use(IDLE, 100 * J, component="dram", mode="idle")
    report = made(tmp_path, totals.batch(at(0.5)), end=1, by="component")
    assert [(row.group, row.energy_uj // J, row.idle_uj // J) for row in report.rows] == [
        ("cpu", 600, 0),
        ("dram", 100, 100),
    ]
    assert report.apart == ()
    assert report.unaccounted_uj == 0


def test_idle_that_workloads_were_charged_with_is_told(tmp_path):
    totals = Totals().use(WEB, 600 * J).use(WEB, 100 * J, mode="idle")
    report = made(tmp_path, totals.batch(at(0.5)), end=1)
    assert (report.rows[0].energy_uj, report.rows[0].idle_uj) == (700 * J, 100 * J)
    assert (report.totals.idle_uj, report.totals.charged_idle_uj) == (0, 100 * J)
    assert any("was charged to workloads" in text for text in method_sentences(report))
    alone = made(tmp_path / "alone", day_of_work().batch(at(0.5)), end=1)
    assert any("charged to nobody" in text for text in method_sentences(alone))


def test_what_was_configured_tells_what_figures_cannot(tmp_path):
    """The idle policy is named, and a market-based contract of 0 g/kWh is none the less booked."""
    totals = Totals().use(WEB, 600 * J).use(WEB, 100 * J, mode="idle")
    batch = replace(totals.batch(at(0.5)), agent={"version": "1", "idle": "requests", "market": "static"})
    report = made(tmp_path, batch, end=1)
    assert any("charged to workloads by reserved CPUs;" in text for text in method_sentences(report))
    assert report.totals.market_g == 0


def test_what_was_never_booked_is_none_and_not_zero(tmp_path):
    report = made(tmp_path, day_of_work().batch(at(0.99)), end=1)
    totals = report.totals
    assert (totals.market_g, totals.embodied_g, totals.water_l) == (None, None, None)
    assert {row.embodied_g for row in (*report.rows, *report.apart)} == {None}
    with_embodied = made(
        tmp_path / "other", Totals().use(WEB, J, embodied_g=2.5).pass_time(60).batch(at(0.5)), end=1
    )
    assert with_embodied.totals.embodied_g == with_embodied.rows[0].embodied_g == 2.5


def test_hours_outside_the_period_do_not_count(tmp_path):
    """Two hours of 1200 J: each alone, both, and neither."""
    totals = day_of_work()
    batches = [totals.batch(at(0.99)), totals.use(WEB, 1200 * J).pass_time(3600).batch(at(1.99))]
    write(tmp_path, *batches)
    sums = {}
    for span in ((0, 1), (1, 2), (0, 2)):
        sums[span] = made(tmp_path, start=span[0], end=span[1]).totals.energy_uj // J
    assert sums == {(0, 1): 1200, (1, 2): 1200, (0, 2): 2400}
    assert made(tmp_path, start=2, end=3) is None


def test_a_running_period_ends_now(tmp_path):
    """Half an hour of a day has passed, all of it covered: what is still to come is no gap."""
    totals = Totals().use(WEB, J).pass_time(1800)
    report = made(tmp_path, totals.batch(at(0.5)), end=24, now=0.51)
    assert report.end_ns == at(0.5)
    assert report.coverage.ratio == 1.0
    stopped = made(tmp_path, end=24, now=2)
    assert stopped.end_ns == at(2)
    assert stopped.coverage.ratio == 0.25
    assert any("25.0 %" in text for text in cautions(stopped))


def test_what_retention_deleted_is_no_mere_gap(tmp_path):
    """Two days, of which the first is deleted; and a journal that begins where the other one does now."""
    totals = day_of_work()
    batches = [totals.batch(at(0.99)), totals.use(WEB, J).pass_time(3600).batch(at(24.99))]
    later = made(tmp_path / "later", day_of_work().batch(at(24.99)), end=48)
    whole = made(tmp_path, *batches, end=48)
    assert whole.deleted_until_ns is later.deleted_until_ns is None
    with sqlite3.connect(tmp_path / "journal.sqlite3", isolation_level=None) as connection:
        prune(connection, at(24) // HOUR_NS)
    cut = made(tmp_path, end=48)
    assert cut.deleted_until_ns == at(24)
    said = (
        "Hours before 2025-11-25 16:00 are not in the figures: they were older than storage.retention"
        " and were deleted; 800d or more keeps a calendar year until the next one is over."
    )
    assert said in cautions(cut)
    assert said in as_json(cut)["cautions"]
    assert said in " ".join(as_table(cut, 100).split())
    assert made(tmp_path, start=24, end=48).deleted_until_ns is None


def test_days_and_hours_tell_their_own_part_on_fallback(tmp_path):
    """Two hours of one day, 600 J and 200 J, half of each on fallback; the day is their sum."""
    totals = Totals()
    first = totals.use(WEB, 600 * J, embodied_g=2.0).pass_time(3600).batch(at(0.99))
    second = totals.use(WEB, 200 * J, embodied_g=1.0).pass_time(1800).batch(at(1.99))
    report = made(tmp_path, first, second, end=2)
    figures = [
        (one.energy_uj // J, one.fallback_uj // J, one.emissions_g, one.embodied_g, one.covered_ns // HOUR_NS)
        for one in (*report.hours, *report.days)
    ]
    assert figures == [
        (600, 300, pytest.approx(0.06), 2.0, 1),
        (200, 100, pytest.approx(0.02), 1.0, 0),
        (800, 400, pytest.approx(0.08), 3.0, 1),
    ]


def test_shares_of_fallback_and_cautions(tmp_path):
    """Half of the energy of journal_batches is on fallback."""
    report = made(tmp_path, day_of_work().batch(at(0.99)), end=1)
    assert report.totals.part(report.totals.fallback_uj) == 0.5
    assert any("50.0 %" in text and "fallback" in text for text in cautions(report))


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("weak_uj", "25.0 % of the energy was priced with an intensity that its source calls estimated"),
        ("estimated_uj", "25.0 % of the energy was estimated, not measured"),
    ],
)
def test_what_is_estimated_is_a_caution(tmp_path, part, words):
    """300 of 1200 J; where there is none, nothing is said of it."""
    report = made(tmp_path, day_of_work().batch(at(0.99)), end=1)
    assert not any("estimated" in text for text in cautions(report))
    totals = replace(report.totals, **{part: 300 * J})
    assert any(words in text for text in cautions(replace(report, totals=totals)))


def test_a_journal_whose_log_could_not_be_read_is_a_caution(tmp_path):
    """As of a copy of the main file alone."""
    report = made(tmp_path, day_of_work().batch(at(0.99)), end=1)
    assert not any("newest hours" in text for text in cautions(report))
    assert any("newest hours may be missing" in text for text in cautions(replace(report, complete=False)))


def test_sources_have_their_provenance(tmp_path):
    totals = day_of_work()
    first = totals.batch(at(0.9))
    totals.intensity = Intensity(
        grams_per_kwh=500.0, provider="table", grid_zone="FR", licence="CC BY 4.0", fallback=True
    )
    report = made(tmp_path, first, totals.use(WEB, 400 * J).batch(at(1.9)), end=2)
    assert [(one.provider, one.grid_zone, one.fallback, one.energy_uj // J) for one in report.sources] == [
        ("static", "DE", False, 1200),
        ("table", "FR", True, 400),
    ]
    assert report.sources[1].licence == "CC BY 4.0"


def test_the_boundary_follows_the_meters(tmp_path):
    report = made(tmp_path, day_of_work().batch(at(0.99)), end=1)
    known = boundary(report.components)
    assert (known.measured, known.absent, known.whole_node) == (("cpu",), ("dram", "gpu", "other"), False)
    assert any(
        "fans, disks and network cards are not in the figures" in s for s in boundary_sentences(report)
    )
    whole = made(tmp_path / "whole", Totals().use(WEB, J, component="other").batch(at(0.5)), end=1)
    assert boundary(whole.components).whole_node
    assert any(text.startswith("A meter of the whole node") for text in boundary_sentences(whole))


def test_days_are_those_of_the_time_zone(tmp_path):
    """START_NS is 16:00 UTC and so 01:00 in Tokyo, where the first day has 23 hours left."""
    totals = Totals()
    batches = []
    for hour in range(48):
        batches.append(totals.use(WEB, J).pass_time(3600).batch(at(hour + 0.9)))
    write(tmp_path, *batches[:30:10])
    report = made(tmp_path, end=48, timezone="Asia/Tokyo")
    begins = [(day.start_ns - START_NS) // HOUR_NS for day in report.days]
    assert begins == [0, 23, 47]
    assert [day.energy_uj // J for day in report.days] == [21, 0, 0]
    assert sum(day.energy_uj for day in report.days) == report.totals.energy_uj


def test_software_is_that_of_the_period(tmp_path):
    totals = day_of_work()
    first = totals.batch(at(0.9), agent=AGENT)
    second = totals.use(WEB, J).batch(at(5.9), agent={**AGENT, "version": "0.2.0"})
    report = made(tmp_path, first, second)
    assert [agent.facts["version"] for agent in report.software] == ["0.1.0", "0.2.0"]
    later = made(tmp_path, start=5, end=6)  # its beginning was still the first one's
    assert [agent.facts["version"] for agent in later.software] == ["0.1.0", "0.2.0"]


def test_csv_is_exact_and_by_the_rfc(tmp_path):
    totals = Totals().use(HOSTILE, 1_234_567).use(NOBODY, 1, mode="")
    text = as_csv(made(tmp_path, totals.batch(at(0.5)), end=1))
    assert text.endswith("\r\n")
    assert re.search(r"(?<!\r)\n", text) is None
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["row"] for row in rows] == ["group", "idle", "unattributed", "total"]
    assert [row["energy_joules"] for row in rows] == ["1.234567", "0.000000", "0.000001", "1.234568"]
    assert rows[0]["id"] == "'" + HOSTILE.id  # a spreadsheet would work it out
    assert rows[0]["group"] == "unit/" + HOSTILE.id


def test_csv_tells_idle_energy_and_how_many_workloads_there_are(tmp_path):
    """100 J that a container was charged with and 200 J of nobody are the node's 300 J of idle energy."""
    totals = day_of_work().use(WEB, 100 * J, mode="idle")
    text = as_csv(made(tmp_path, totals.batch(at(0.5)), end=1, by="namespace"))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(row["row"], row["workloads"], row["idle_joules"]) for row in rows] == [
        ("group", "2", "100.000000"),
        ("idle", "", "200.000000"),
        ("unattributed", "", "0.000000"),
        ("total", "", "300.000000"),
    ]


def test_json_follows_the_schema_and_holds_what_is_hostile(tmp_path):
    totals = day_of_work().use(HOSTILE, 7 * J)
    found = as_json(made(tmp_path, totals.batch(at(0.5), agent=AGENT), end=1, top=1))
    again = json.loads(json.dumps(found, ensure_ascii=False).encode())
    assert again == found
    schema = json.loads((REPOSITORY / "docs/report.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(again)
    assert again["groups"]["rest"]["workloads"] == 2
    assert again["software"][0]["facts"]["settings"] == "0123456789abcdef"


class Elements(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("by", ["workload", "user"])
def test_hostile_names_stay_text_in_the_page(tmp_path, by):
    """In table, plot and title; characters that turn a line around are written out."""
    page = as_html(made(tmp_path, day_of_work().use(HOSTILE, 7 * J).batch(at(0.5)), end=1, by=by))
    elements = Elements(page)
    tags = {tag for tag, _ in elements.tags}
    assert not tags & {"script", "img", "iframe", "link", "a"}
    assert not any(name.startswith("on") for _, attrs in elements.tags for name in attrs)
    assert "\u202e" not in page
    assert "onerror=alert(1)>\\u202e" in elements.text
    assert page.count("<title>") == len(re.findall("</title>", page))


def test_the_page_of_an_idle_node_has_no_division_by_zero(tmp_path):
    """The agent ran and measured nothing: the page says so and stays whole."""
    report = made(tmp_path, Totals().pass_time(3600).batch(at(0.99)), end=1)
    assert report.totals.energy_uj == 0
    assert report.totals.intensity is None
    page = as_html(report)
    assert "0.00 Wh" in page
    assert re.search(r"\bnan\b", page) is None
    as_json(report)
    as_csv(report)


def test_coverage_is_of_the_whole_period(tmp_path):
    report = made(tmp_path, Totals().use(WEB, J).pass_time(3600).batch(at(0.99)), end=4)
    assert report.coverage.covered_ns == 3600 * S_NS
    assert [
        ((gap.start_ns - START_NS) // HOUR_NS, gap.missing_ns // HOUR_NS) for gap in report.coverage.gaps
    ] == [(1, 3)]


def test_a_narrow_table_loses_no_fact(tmp_path):
    """Gaps, sources and versions go on in the next line; only names of groups are shortened."""
    hex_id = "0123456789ab" + "c" * 52
    anonymous = Workload(kind="container", id=hex_id)
    batches = (Totals().use(anonymous, 7 * J).pass_time(3600).batch(at(0.5)),)
    report = made(tmp_path, *batches, end=4)
    table = as_table(report, 60)
    wide = as_table(report, 200)
    assert "0123456789ab  container" in wide
    assert hex_id not in wide
    assert max(map(len, table.splitlines())) <= 60
    begin = "intensity from"
    assert " ".join(table[table.index(begin) :].split()) == " ".join(wide[wide.index(begin) :].split())
