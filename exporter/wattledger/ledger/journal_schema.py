"""The tables of the journal, and the steps that make them.

Energies are integer microjoules, emissions integer nanograms and water integer nanolitres. An hour is the
number of whole hours since 1970-01-01T00:00Z. The tables `mark_*` hold what is already booked of a boot's
cumulative figures.
Needs SQLite 3.24 (upsert).
"""

# ruff: noqa: S608 - statements are put together from names in this file

from __future__ import annotations

from ..model import S_NS, Component, Mode

HOUR_NS = 3600 * S_NS
APPLICATION_ID = 0x574C4A31
"""`PRAGMA application_id`, by which file(1) and we know the file: "WLJ1"."""

COMPONENT_CODES: dict[Component, int] = {"cpu": 0, "dram": 1, "gpu": 2, "other": 3}
MODE_CODES: dict[Mode, int] = {"": 0, "dynamic": 1, "idle": 2}
COMPONENT_OF = {code: component for component, code in COMPONENT_CODES.items()}
MODE_OF = {code: mode for mode, code in MODE_CODES.items()}

NODE_COLUMNS = (
    "energy_uj",
    "emissions_ng",
    "market_ng",
    "water_nl",
    "estimated_uj",
    "fallback_uj",
    "weak_uj",
    "facility_uj",
)
_NODE_COLUMNS = ", ".join(f"{column} INTEGER NOT NULL" for column in NODE_COLUMNS)

_FIRST = (
    "CREATE TABLE component (code INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    "CREATE TABLE mode (code INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    *(f"INSERT INTO component VALUES ({code}, '{name}')" for code, name in COMPONENT_OF.items()),
    *(f"INSERT INTO mode VALUES ({code}, '{name}')" for code, name in MODE_OF.items()),
    # `facts` is a JSON object; `user` and `account` are those facts, for grouping.
    """CREATE TABLE workload (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, ident TEXT NOT NULL, name TEXT NOT NULL,
        pod_namespace TEXT NOT NULL, pod_name TEXT NOT NULL, container_name TEXT NOT NULL,
        user TEXT NOT NULL, account TEXT NOT NULL, facts TEXT NOT NULL,
        first_hour INTEGER NOT NULL, last_hour INTEGER NOT NULL, UNIQUE (kind, ident))""",
    """CREATE TABLE hour_energy (
        hour INTEGER, workload INTEGER, component INTEGER, mode INTEGER,
        energy_uj INTEGER NOT NULL, emissions_ng INTEGER NOT NULL,
        PRIMARY KEY (hour, workload, component, mode)) WITHOUT ROWID""",
    """CREATE TABLE hour_embodied (
        hour INTEGER, workload INTEGER, emissions_ng INTEGER NOT NULL,
        PRIMARY KEY (hour, workload)) WITHOUT ROWID""",
    f"""CREATE TABLE hour_node (
        hour INTEGER, component INTEGER, {_NODE_COLUMNS}, PRIMARY KEY (hour, component)) WITHOUT ROWID""",
    """CREATE TABLE hour_cover (
        hour INTEGER PRIMARY KEY, covered_ns INTEGER NOT NULL, embodied_ng INTEGER NOT NULL)""",
    """CREATE TABLE source (
        id INTEGER PRIMARY KEY, provider TEXT NOT NULL, grid_zone TEXT NOT NULL, basis TEXT NOT NULL,
        kind TEXT NOT NULL, flow TEXT NOT NULL, licence TEXT NOT NULL, fallback INTEGER NOT NULL,
        UNIQUE (provider, grid_zone, basis, kind, flow, licence, fallback))""",
    """CREATE TABLE hour_source (
        hour INTEGER, source INTEGER, energy_uj INTEGER NOT NULL, facility_uj INTEGER NOT NULL,
        emissions_ng INTEGER NOT NULL, covered_ns INTEGER NOT NULL,
        PRIMARY KEY (hour, source)) WITHOUT ROWID""",
    # `rolled_back`: the ledger once went on from an older state than was booked here.
    """CREATE TABLE boot (
        id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, lineage TEXT NOT NULL, wall_ns INTEGER NOT NULL,
        covered_ns INTEGER NOT NULL, embodied_ng INTEGER NOT NULL, rolled_back INTEGER NOT NULL,
        UNIQUE (boot_id, lineage))""",
    f"""CREATE TABLE mark_node (
        boot INTEGER, component INTEGER, {_NODE_COLUMNS}, PRIMARY KEY (boot, component)) WITHOUT ROWID""",
    """CREATE TABLE mark_account (
        boot INTEGER, workload INTEGER, embodied_ng INTEGER NOT NULL,
        PRIMARY KEY (boot, workload)) WITHOUT ROWID""",
    """CREATE TABLE mark_energy (
        boot INTEGER, workload INTEGER, component INTEGER, mode INTEGER,
        energy_uj INTEGER NOT NULL, emissions_ng INTEGER NOT NULL,
        PRIMARY KEY (boot, workload, component, mode)) WITHOUT ROWID""",
    "CREATE TABLE budget (position INTEGER PRIMARY KEY, dump BLOB NOT NULL)",
    "CREATE TABLE agent (since_ns INTEGER PRIMARY KEY, facts TEXT NOT NULL)",
    # For whoever looks into the file with a SQLite shell.
    """CREATE VIEW energy AS SELECT datetime(hour * 3600, 'unixepoch') AS hour, workload.kind,
        workload.ident AS id, workload.name, pod_namespace, pod_name, container_name, user, account,
        component.name AS component, mode.name AS mode, energy_uj / 1e6 AS joules, emissions_ng / 1e9 AS grams
        FROM hour_energy JOIN workload ON workload.id = hour_energy.workload
        JOIN component ON component.code = hour_energy.component JOIN mode ON mode.code = hour_energy.mode""",
)

STEPS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""The statements that lead from each version of the schema to the next; a new file takes all of them."""

TABLES = frozenset(
    statement.split()[2] for step in STEPS for statement in step if statement.startswith("CREATE TABLE")
)
