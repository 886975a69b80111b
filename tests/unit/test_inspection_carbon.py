"""What `wattledger check` says of carbon sources, budgets, the journal and the web addresses."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.carbon_services import NOW_NS, ElectricityMapsService, Status
from tests.command_line import run
from tests.journal_batches import DAY_NS, WEB, J, Totals, at, write
from tests.ports import free_port
from wattledger.carbon.budgets.book import Budgets
from wattledger.clock import ManualClock
from wattledger.idle import IdleFloor
from wattledger.inspection.budgets import budget_findings
from wattledger.inspection.grid import GridLook, look_at_grid
from wattledger.inspection.journal import journal_findings
from wattledger.inspection.web import web_findings
from wattledger.ledger.floors import FloorsFile
from wattledger.model import S_NS, Intensity, Price
from wattledger.settings import (
    AttributionSettings,
    BudgetSettings,
    CarbonSettings,
    EmbodiedSettings,
    IntensitySettings,
    Settings,
    StorageSettings,
    WebSettings,
)

KEY = "em-key-27c1"
"""The service answers to this key; nothing that is printed may hold it."""


def look(**carbon: object) -> GridLook:
    return look_at_grid(
        Settings(carbon=CarbonSettings(**carbon)), ManualClock(now_ns=10**12, epoch_ns=NOW_NS - 10**12)
    )


def lines(found: GridLook) -> dict[str, tuple[str, str]]:
    return {one.subject: (one.status, one.why) for one in found.findings}


@pytest.fixture
def service() -> Iterator[ElectricityMapsService]:
    with ElectricityMapsService(NOW_NS, KEY) as running:
        yield running


def live(service: ElectricityMapsService, key_file: object, **changes: object) -> IntensitySettings:
    given = {"grid_zone": "DE", "url": service.url, "key_file": str(key_file)} | changes
    return IntensitySettings(provider="electricity-maps", **given)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o400)
    return path


def test_nothing_configured_is_priced_with_the_world_average() -> None:
    (found,) = look().findings
    assert (found.sensor, found.subject, found.status) == ("carbon", "intensity", "absent")
    assert found.why == "none configured: priced with the world average, 473 g/kWh"
    assert found.fix == "wattledger run --carbon.provider=table --carbon.grid-zone=COUNTRY"


def test_an_offline_source_says_its_price_and_needs_no_fallback() -> None:
    static = IntensitySettings(provider="static", grams_per_kwh=380.0, grid_zone="DE")
    market = IntensitySettings(provider="static", grams_per_kwh=20.0)
    embodied = EmbodiedSettings(total_g=8760.0, lifespan_ns=365 * 86400 * S_NS)
    assert lines(look(intensity=static, market=market, embodied=embodied)) == {
        "intensity": ("usable", "static DE, lifecycle average, 380 g/kWh"),
        "market": ("usable", "static, lifecycle average, 20 g/kWh"),
        "embodied": ("usable", "1.00 g an hour, written off evenly"),
    }


def test_a_live_source_is_asked_once_and_tells_the_hours_ahead(service, key_file) -> None:
    """At 12:10 DE has 112 g; it gets cheaper at midnight. No fallback is configured."""
    found = lines(look(intensity=live(service, key_file)))
    assert found["intensity"] == (
        "usable",
        "electricity-maps DE, lifecycle average, 112 g/kWh, up to date, estimated",
    )
    assert found["fallback"][0] == "absent"
    assert "473 g/kWh, stands in while electricity-maps gives no value" in found["fallback"][1]
    assert found["outlook"][0] == "usable"
    assert "best 1 h from Sat 21 Nov" in found["outlook"][1]
    assert len(service.paths()) == len(set(service.paths()))


def test_a_refused_key_shows_the_command_that_puts_a_new_one_there(service, key_file) -> None:
    key_file.chmod(0o600)
    key_file.write_text("wrong-key")
    table = IntensitySettings(provider="table", grid_zone="FR")
    found = look(intensity=live(service, key_file), fallback=table)
    (denied,) = [one for one in found.findings if one.status == "denied"]
    assert denied.subject == "intensity"
    assert denied.why.startswith("electricity-maps cannot be used: ")
    assert denied.why.count("electricity-maps") == 1
    assert "; priced by table FR, lifecycle average, " in denied.why
    assert denied.fix == f"install -D -m 0400 /dev/stdin {key_file}"
    assert "wrong-key" not in repr(found)
    assert found.price.intensity.fallback


@pytest.mark.parametrize(
    ("zone", "fallback", "told"),
    [
        ("DE", "DE", ""),
        ("DE", "FR", "carbon.intensity is in DE: give carbon.fallback.grid_zone DE"),
        ("US-CA", "US", ""),
        ("DE", "aws:eu-west-1", ""),
        ("DK1", "FR", ""),
    ],
)
def test_a_fallback_of_another_country_is_told(service, key_file, zone, fallback, told) -> None:
    """Only where the tables know both zones by one name: DK1 is not one of theirs."""
    table = IntensitySettings(provider="table", grid_zone=fallback)
    found = lines(look(intensity=live(service, key_file, grid_zone=zone), fallback=table))["fallback"]
    assert found[0] == "usable"
    assert (told in found[1]) if told else ("unless another grid is meant" not in found[1])


def test_a_key_that_everybody_can_read_is_told_with_the_fix(service, key_file) -> None:
    assert not [one for one in look(intensity=live(service, key_file)).findings if one.subject == "key"]
    key_file.chmod(0o444)
    (found,) = [one for one in look(intensity=live(service, key_file)).findings if one.subject == "key"]
    assert found.fix == f"chmod 0400 {key_file}"


def test_a_missing_key_is_told_from_a_service_that_is_down(service, key_file) -> None:
    """A missing key can be mended here, so it is denied; a service in trouble has failed."""
    settings = live(service, key_file)
    key_file.unlink()
    status, why = lines(look(intensity=settings))["intensity"]
    assert (status, "No such file or directory" in why) == ("denied", True)
    key_file.write_text(KEY)
    service.fault = Status(503)
    (found,) = [one for one in look(intensity=settings).findings if one.subject == "intensity"]
    assert (found.status, found.fix) == ("failed", "")
    assert "priced by the world average, lifecycle average, 473 g/kWh instead" in found.why
    assert KEY not in repr(found)


def test_a_file_that_is_missing_is_named(tmp_path) -> None:
    """As the books', and as a signal, which prices nothing."""
    settings = IntensitySettings(provider="file", file=str(tmp_path / "none.csv"))
    for role in ("intensity", "signal"):
        status, why = lines(look(**{role: settings}))[role]
        assert status == "failed"
        assert "none.csv: No such file or directory" in why
        assert ("instead" in why) == (role == "intensity")


MONTH = BudgetSettings(name="node-month", limit_g=24_000.0, period="month")
PRICE = Price(intensity=Intensity(grams_per_kwh=500.0, provider="static"))


def of(budget: BudgetSettings, power_w: float | None) -> str:
    """What is said of a budget that can be kept."""
    (found,), refused = budget_findings(Settings(budgets=(budget,)), power_w, PRICE, NOW_NS)
    assert (found.sensor, found.subject, found.status, refused) == ("budgets", budget.name, "usable", ())
    return found.why


def test_a_budget_is_compared_with_what_is_drawn_now() -> None:
    """November has 720 h. 100 W at 500 g/kWh are 50 g/h, 36 kg in it; 24 kg are 33.3 g/h."""
    assert of(MONTH, 100.0) == (
        "24.0 kg per month is 33.3 g an hour;"
        " 100.0 W as drawn now would use 36.0 kg per month, more than the limit"
    )
    assert of(MONTH, 10.0).endswith("would use 3.60 kg per month")


def test_a_budget_of_some_workloads_is_not() -> None:
    """Nor is any where the power is not known."""
    some = BudgetSettings(name="ml", limit_g=2400.0, period="day", select={"pod_namespace": ("ml",)})
    assert of(some, 100.0) == "2.40 kg per day is 100 g an hour"
    assert "drawn" not in of(MONTH, None)


def settings(provider: str = "static", **more: object) -> Settings:
    intensity = IntensitySettings(provider=provider, grams_per_kwh=500.0)
    given = {"attribution": AttributionSettings(idle_watts={"cpu": 80.0, "dram": 20.0})} | more
    return Settings(carbon=CarbonSettings(intensity=intensity), budgets=(MONTH,), **given)


SUM = "100 W idle x PUE 1 x 500 g/kWh over 30 d = 36 kg, more than the limit of 24 kg"


def test_a_budget_that_idle_power_alone_exceeds_is_infeasible_and_a_refusal() -> None:
    """As the agent's at its start: 100 W idle are 36 kg in November. An intensity that moves refuses none."""
    (found,), (reason,) = budget_findings(settings(), 10.0, PRICE, NOW_NS)
    assert found.status == "failed"
    assert found.why.startswith(f"infeasible: {SUM}")
    assert reason.startswith(f"budgets: node-month: {SUM}")
    (found,), refused = budget_findings(settings("schedule"), 10.0, PRICE, NOW_NS)
    assert (found.status, refused) == ("usable", ())


def test_the_idle_floor_that_the_agent_learned_counts(tmp_path) -> None:
    """It is in the state directory, which is only read."""
    learned = settings(
        attribution=AttributionSettings(), storage=StorageSettings(path=str(tmp_path), retention_ns=DAY_NS)
    )
    assert budget_findings(learned, 10.0, PRICE, NOW_NS)[1] == ()
    idle = IdleFloor()
    idle.observe("cpu", NOW_NS, 60 * S_NS, 6000 * J, 0.0)
    FloorsFile(str(tmp_path)).save(idle)
    (found,), (reason,) = budget_findings(learned, 10.0, PRICE, NOW_NS)
    assert (found.status, SUM in reason) == ("failed", True)
    assert [path.name for path in tmp_path.iterdir()] == ["idle-floor.json"]


def test_a_budget_that_was_in_force_is_infeasible_and_no_refusal(tmp_path) -> None:
    """The journal tells, as the checkpoint tells the agent."""
    kept = settings(storage=StorageSettings(path=str(tmp_path), retention_ns=DAY_NS))
    budgets = Budgets((MONTH,))
    budgets.charge(NOW_NS - S_NS, NOW_NS, 1.0)
    totals = Totals()
    totals.pass_time(60)
    write(tmp_path, totals.batch(at(0.5), budgets=[budgets.dump()]))
    (found,), refused = budget_findings(kept, 10.0, PRICE, NOW_NS)
    assert (found.status, refused) == ("failed", ())
    changed = replace(kept, budgets=(replace(MONTH, limit_g=25_000.0),))
    assert len(budget_findings(changed, 10.0, PRICE, NOW_NS)[1]) == 1


def test_embodied_emissions_of_a_machine_out_of_its_life_are_nothing() -> None:
    """As the agent books none; a year long 1 g an hour, from 2 years ago or in a year."""
    year_ns = 365 * 86400 * S_NS
    for in_service_ns, said in (
        (NOW_NS - 2 * year_ns, "0 g an hour: written off since 2025-11-20, the end of its lifespan"),
        (NOW_NS - year_ns // 2, "1.00 g an hour, written off evenly"),
        (NOW_NS + year_ns, "0 g an hour until 2027-11-20, when it comes into service"),
    ):
        embodied = EmbodiedSettings(total_g=8760.0, lifespan_ns=year_ns, in_service_ns=in_service_ns)
        assert lines(look(embodied=embodied))["embodied"] == ("usable", said)


def test_a_refusal_ends_check_with_2(tmp_path) -> None:
    """After everything else was shown."""
    file = tmp_path / "wattledger.yaml"
    file.write_text(
        "attribution: {idle_watts: {cpu: 100}}\n"
        "carbon: {intensity: {grams_per_kwh: 500}}\n"
        "budgets: [{name: node-day, period: day, limit: 1 kg}]\n"
    )
    done = run("check", "--seconds=0.1", f"--config.file={file}", "--web.listen-address=127.0.0.1:0")
    assert done.returncode == 2
    assert "The agent would not start: budgets: node-day: 100 W idle" in " ".join(done.stdout.split())
    assert "127.0.0.1:0: free to serve on" in done.stdout
    assert done.stderr == ""


def test_the_journal_says_how_far_it_reaches(tmp_path) -> None:
    assert journal_findings(None) == []
    (found,) = journal_findings(str(tmp_path / "later"))
    assert (found.subject, found.status) == ("journal", "absent")
    totals = Totals()
    totals.use(WEB, J)
    totals.pass_time(60)
    write(tmp_path, totals.batch(at(0.5)))
    (found,) = journal_findings(str(tmp_path))
    assert (found.status, found.why) == (
        "usable",
        "1 h from 2025-11-24 16:00 UTC on, last written 2025-11-24 16:30 UTC",
    )


def test_a_journal_that_cannot_be_read_says_why_and_is_left_alone(tmp_path) -> None:
    path = tmp_path / "journal.sqlite3"
    path.write_bytes(b"x" * 4096)
    (found,) = journal_findings(str(tmp_path))
    assert found.status == "failed"
    assert "journal.sqlite3" in found.why
    assert path.read_bytes() == b"x" * 4096


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """Something that serves one page, and its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def web(*addresses: str, **more: str) -> list[tuple[str, str]]:
    found = web_findings(WebSettings(listen_addresses=addresses, **more))
    return [(one.status, one.why) for one in found]


def test_an_address_is_free_or_serves_an_agent_or_something_else() -> None:
    with answering(b"<title>Wattledger: node</title>") as agent, answering(b"<title>Other</title>") as other:
        assert web(agent) == [("usable", "an agent serves there already")]
        (found,) = web(other)
        assert found[0] == "failed"
        assert found[1].startswith("the port is taken by another program; `ss -ltnp")
    assert web(f"127.0.0.1:{free_port()}") == [("usable", "free to serve on")]


def test_what_holds_an_address_and_says_nothing_is_given_up() -> None:
    """With a web configuration it may well be an agent, that wants TLS or a password."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        (found,) = web(address, config_file="/etc/wattledger/web.yml")
    assert found[0] == "failed"
    assert found[1].endswith("it may be an agent, which cannot be asked through its TLS or password")


def test_an_address_of_another_machine_is_told() -> None:
    """192.0.2.1 is kept for documentation (RFC 5737), so no machine has it."""
    assert web("192.0.2.1:19190") == [
        ("failed", "this machine has no such address; `ip address` lists those it has")
    ]
