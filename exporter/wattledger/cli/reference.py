"""Generates docs/configuration.md: `python -m wattledger.cli.reference > docs/configuration.md`."""

from __future__ import annotations

import sys

from .carbon_options import ROLES
from .carbon_reference import BUDGETS, EMBODIED, SITE, role_text
from .option import Option
from .options import CONFIG_FILE, options

_HEAD = """\
# Configuration

Generated from the table of settings by `./dev docs`; do not edit.

Nothing needs to be configured: every setting has a default.
A setting may be given as a flag, in the environment, or in a settings file in YAML.
Flags win over the environment, the environment over the settings file, and the file over the defaults.
An environment variable that is empty counts as not given.
A key without a value in the file counts as not given; a key that is unknown or given twice is an error.
A setting that cannot be used is one line on stderr, which says where it was given and what is accepted, and exit status 2.

`wattledger check --config.file FILE` tries a settings file without starting the agent.
SIGHUP reads the settings file again; a file that cannot be used leaves the old settings in force.
Paths, storage and the web address take a restart.

Durations are written `500ms`, `5s`, `15m`, `1h30m`, `400d` or `2w`.
Masses are written `500 g`, `50 kg`, `1.5 t` or `1.5 Mg`, and dates `2024-05-01`.

## Example

```yaml
sampling: {interval: 5s}
storage: {path: /var/lib/wattledger}
attribution:
  idle: unallocated
  processes: {enabled: true, top: 20}
sensors:
  perf: {enabled: false}
  estimate: {microarchitecture: sapphire-rapids}
carbon:
  pue: 1.2
  timezone: Europe/Berlin
  intensity: {provider: energy-charts, grid_zone: DE}
  fallback: {provider: table, grid_zone: DE}
  embodied: {total: 1200 kg, in_service: 2024-05-01}
budgets:
  - {name: node-month, period: month, limit: 50 kg}
  - {name: ml-day, period: day, limit: 2 kg, select: {pod_namespace: ml}}
web: {listen_address: ["127.0.0.1:19190"]}
log: {format: json}
```
"""  # noqa: E501 - one sentence per line in Markdown

_SECTIONS = {
    "sampling": "Sampling",
    "storage": "Storage",
    "attribution": "Attribution",
    "sensors": "Sensors",
    "names": "Names",
    "carbon": "Carbon",
    "carbon.intensity": "Grid intensity",
    "carbon.fallback": "Fallback",
    "carbon.market": "Market-based intensity",
    "carbon.signal": "Signal",
    "carbon.embodied": "Embodied emissions",
    "budgets": "Budgets",
    "web": "Web",
    "log": "Log",
    "path": "Host paths",
    "config": "Settings file",
}


def markdown() -> str:
    """The reference page, one section per part of the settings."""
    texts = {"carbon": SITE, "carbon.embodied": EMBODIED, "budgets": BUDGETS}
    texts |= {f"carbon.{role}": role_text(role) for role in ROLES}
    # The other sources have the settings of the first, and their texts name them.
    short = {f"carbon.{role}" for role in ROLES if role != "intensity"}
    parts = [_HEAD]
    for section, title in _SECTIONS.items():
        parts.append(f"\n## {title}\n{texts.get(section, '')}")
        if section not in short:
            parts += [_entry(option) for option in (*options(), CONFIG_FILE) if _section(option) == section]
    return "".join(parts)


def _section(option: Option) -> str:
    """The longest name of a section that the key begins with."""
    words = option.key.split(".")
    names = [".".join(words[:count]) for count in range(len(words), 0, -1)]
    return next(name for name in names if name in _SECTIONS)


def _entry(option: Option) -> str:
    name = option.key if option.in_file else f"--{option.flag}"
    where = []
    if option.flag:
        where.append(f"flag `{_flag(option)}`")
        where.append(f"environment `{option.environment}`")
    else:
        where.append("settings file only")
    if not option.in_file:
        where.append("not in the settings file")
    default = option.default_note or f"`{option.default_text}`"
    return (
        f"\n### `{name}`\n\n{option.help}\n\n"
        f"- Accepts {option.kind.accepts}.\n- Default: {default}.\n- Given as: {', '.join(where)}.\n"
    )


def _flag(option: Option) -> str:
    return f"--{option.flag}" if option.kind.metavar else f"--{option.flag}/--no-{option.flag}"


if __name__ == "__main__":
    sys.stdout.write(markdown())
