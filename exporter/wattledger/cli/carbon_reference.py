"""What docs/configuration.md says of carbon and budgets beyond the list of settings."""

from __future__ import annotations

from ..carbon.providers.facts import PROVIDERS
from ..settings import Role
from .carbon_facts import PROVIDER_NAMES, facts_of, providers_for, why_not
from .carbon_options import ROLES, key_variable, role_options

SITE = """
The site's share in what a joule costs.
A schedule is a list of rules, which hold in the time zone of `carbon.timezone`.
`days` are names from `mon` to `sun`, spans such as `mon-fri` or `fri-mon`, lists such as `[sat, sun]`, or `all`; without it, a rule holds on all days.
`from` and `to` are times from `00:00` to `24:00`; without them, a rule holds all day.
A rule that ends before it begins goes on past midnight, into the day after each of its days.
Where several rules hold at once, the last of them counts.

  ```yaml
  carbon:
    pue: 1.2
    pue_schedule:
      - {days: mon-fri, from: "08:00", to: "20:00", value: 1.3}
      - {days: all, from: "22:00", to: "05:00", value: 1.1}
    wue: 0.4
    timezone: Europe/Berlin
  ```
"""  # noqa: E501 - one sentence per line in Markdown

_INTENSITY = """
The intensity that the books are priced with.
`carbon.intensity.provider` says where it comes from:

{table}

A bare `grams_per_kwh` is the provider `static`; a bare `grid_zone` is an error, so give `provider: table` to look it up.
A setting that the provider would ignore is an error.

  ```yaml
  carbon:
    intensity: {{provider: electricity-maps, grid_zone: DE, key_file: /etc/wattledger/key, refresh: 15m, max_age: 6h}}
  ```

  ```yaml
  carbon:
    intensity: {{provider: mix, mix: {{wind: 40, gas: 60}}}}
  ```

  ```yaml
  carbon:
    timezone: Europe/Berlin
    intensity:
      provider: schedule
      grams_per_kwh: 300
      schedule:
        - {{days: all, from: "10:00", to: "16:00", grams_per_kwh: 180}}
  ```

  ```yaml
  carbon:
    intensity: {{provider: file, file: /var/lib/grid/intensity.csv, grid_zone: DE}}
  ```

A CSV file has a header with the columns `start` and `grams_per_kwh`, and may have `end` and `estimated`; those of Electricity Maps are read too.
A JSON file has a list of objects with the same keys; those of the Carbon Aware SDK are read too.

### Keys of live providers

A key, and WattTime's password, is read from the file of `key_file`, or else from an environment variable.
There is no flag for it, and in the settings file it is an error.
The file holds the key and nothing else; it is read anew for every request, so a new key needs no restart.

{variables}
"""  # noqa: E501 - one sentence per line in Markdown

_FALLBACK = """
What the books are priced with while the source of `carbon.intensity` has no value younger than its `max_age`.
Accepted are sources that need no network: {providers}.
Without it, the fallback is the world average; either is marked with `fallback` in the metrics.

  ```yaml
  carbon:
    intensity: {{provider: energy-charts, grid_zone: DE}}
    fallback: {{provider: table, grid_zone: DE}}
  ```
"""

_MARKET = """
A second price for market-based reports (contracts, residual mix), counted beside the location-based one and never mixed with it.
Accepted are {providers}.

  ```yaml
  carbon:
    market: {{provider: static, grams_per_kwh: 30}}
  ```
"""  # noqa: E501 - one sentence per line in Markdown

_SIGNAL = """
What the forecast, the best windows and the signal of good hours go by; it is never booked, so marginal sources belong here.
Accepted are {providers}.
Without it, they go by the source of `carbon.intensity`.

  ```yaml
  carbon:
    signal: {{provider: watttime, grid_zone: CAISO_NORTH, username: me, key_file: /etc/wattledger/watttime}}
  ```
"""  # noqa: E501 - one sentence per line in Markdown

EMBODIED = """
What making the machine emitted, written off evenly over its life.
Give the total from its maker's report, or what it is made of for a simple model.

  ```yaml
  carbon:
    embodied: {total: 1200 kg, lifespan: 1460d, in_service: 2024-05-01}
  ```

  ```yaml
  carbon:
    embodied: {components: {cpus: 2, memory_gb: 512, ssds: 2, hdds: 0, gpus: 8}}
  ```
"""

BUDGETS = """
A budget limits what the node, or a selection of its workloads, emits per calendar period.

  ```yaml
  budgets:
    - {name: node-month, period: month, limit: 50 kg, timezone: Europe/Berlin}
    - name: ml-day
      period: day
      limit: 2 kg
      scope: total
      select: {pod_namespace: ml, user: [ann, "bob*"]}
  ```

Each budget has these settings:

- `name`, required: up to 64 letters, digits and `_.:-`, unlike that of any other budget.
- `period`, required: `day`, `week` (from Monday), `month`, `quarter` or `year`.
- `limit`, required: a mass with its unit, one of `g`, `kg`, `t` and `Mg`.
- `timezone`: where the period begins at midnight; `carbon.timezone` if not given.
- `select`: labels of workloads and shell patterns for them, of which one has to match; without it, the whole node counts. The labels are `kind`, `id`, `name`, `pod_namespace`, `pod_name`, `container_name`, and those of `wattledger_workload_info`, such as `user` or `account`. Put quotes around a pattern that begins with `*`.
- `scope`: `operational`, or `total` to count embodied emissions too.
"""  # noqa: E501 - one sentence per line in Markdown

_OFFLINE_TITLES = {
    "static": "One number, for ever",
    "table": "Yearly figures that come with the agent, by country, US state and cloud region",
    "mix": "Shares of generation by fuel, times the IPCC's factors",
    "schedule": "Numbers by the time of the week",
    "file": "A time series in CSV or JSON, read again when it changes",
}


def role_text(role: Role) -> str:
    """What the page says of a source before its settings."""
    if role == "intensity":
        return _INTENSITY.format(table=_table(), variables=_variables())
    text = {"fallback": _FALLBACK, "market": _MARKET, "signal": _SIGNAL}[role]
    providers = ", ".join(f"`{name}`" for name in providers_for(role))
    return text.format(providers=providers) + _same_settings(role)


def _same_settings(role: Role) -> str:
    keys = ", ".join(f"`{option.key}`" for option in role_options(role))
    return (
        "\nIts settings are those of `carbon.intensity`, with the same values and defaults, but in the"
        f" settings file only: {keys}.\n"
    )


def _table() -> str:
    lines = ["| provider | what it is | needs | may fill |", "|---|---|---|---|"]
    for name in PROVIDER_NAMES:
        facts = facts_of(name)
        needs = [f"`{field}`" for field in facts.needs] + (["a key"] if facts.keyed else [])
        title = PROVIDERS[name].title if facts.live else _OFFLINE_TITLES[name]
        roles = ", ".join(role for role in ROLES if not why_not(role, name))
        lines.append(f"| `{name}` | {title} | {', '.join(needs) or 'nothing'} | {roles} |")
    return "\n".join(lines)


def _variables() -> str:
    lines = ["| source | environment variable of its key |", "|---|---|"]
    lines += [f"| `carbon.{role}` | `{key_variable(role)}` |" for role in ROLES if role != "fallback"]
    return "\n".join(lines)
