"""Generates docs/configuration.md: `python -m wattledger.cli.reference > docs/configuration.md`."""

from __future__ import annotations

import sys

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
  intensity: {grams_per_kwh: 250, grid_zone: DE}
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
    "web": "Web",
    "log": "Log",
    "path": "Host paths",
    "config": "Settings file",
}


def markdown() -> str:
    """The reference page, one section per top-level key."""
    parts = [_HEAD]
    for section, title in _SECTIONS.items():
        parts.append(f"\n## {title}\n")
        parts += [_entry(option) for option in (*options(), CONFIG_FILE) if option.section == section]
    return "".join(parts)


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
