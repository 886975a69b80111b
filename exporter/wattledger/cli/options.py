"""Every setting a person can give: its key, kind, default, flag, and environment variable.

The settings file, the flags, the environment and `docs/configuration.md` all follow this one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from ..model import COMPONENTS
from ..sensors.registry import COLLECTORS
from ..settings import Settings
from .kinds import Addresses, Choice, Duration, Integer, Kind, Number, Switch, Text

_ENVIRONMENT_PREFIX = "WATTLEDGER_"
_PATH = Text("a path", metavar="PATH")
_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting.

    `key` is its dotted place in the settings file; `in_file` is False where only flag and environment
    may set it. `flag` is the flag's name without dashes, "" where only the file may set it.
    `default` is the value when nobody sets it; `default_note` says it where it is not a constant.
    """

    key: str
    kind: Kind
    default: Any
    help: str
    flag: str = ""
    in_file: bool = True
    default_note: str = ""

    @property
    def environment(self) -> str:
        """The environment variable that sets it, "" where none does."""
        return _ENVIRONMENT_PREFIX + self._flag_word.upper() if self.flag else ""

    @property
    def parameter(self) -> str:
        """The name click passes the flag's value under."""
        return self._flag_word

    @property
    def _flag_word(self) -> str:
        return self.flag.replace(".", "_").replace("-", "_")

    @property
    def section(self) -> str:
        return self.key.partition(".")[0]

    @property
    def default_text(self) -> str:
        """The default as a person would write it."""
        if self.default_note:
            return self.default_note
        return "" if self.default is None else self.kind.show(self.default)


CONFIG_FILE = Option(
    key="config.file",
    kind=_PATH,
    default=None,
    help="Settings file in YAML.",
    flag="config.file",
    in_file=False,
    default_note="none",
)


def options() -> tuple[Option, ...]:
    """All settings, in the order of the reference."""
    d = Settings()
    return (
        Option(
            key="sampling.interval",
            kind=Duration("1s", "30s", "5s"),
            default=d.sampling.interval_ns,
            help="Time between two reads of the meters.",
            flag="sampling.interval",
        ),
        Option(
            key="storage.path",
            kind=_PATH,
            default=d.storage.path,
            help="State directory, so that counters survive a restart.",
            flag="storage.path",
            default_note="`$STATE_DIRECTORY`, else none: everything stays in memory",
        ),
        Option(
            key="storage.retention",
            kind=Duration("1d", "3650d", "400d"),
            default=d.storage.retention_ns,
            help="How long energy history is kept in the state directory; none is written yet.",
            flag="storage.retention",
        ),
        Option(
            key="attribution.idle",
            kind=Choice(("unallocated", "usage", "memory", "requests")),
            default=d.attribution.idle,
            help=(
                "Who is charged with idle energy: nobody (unallocated), workloads by their CPU time (usage),"
                " memory for dram (memory), or reserved CPUs (requests)."
            ),
            flag="attribution.idle",
        ),
        *(
            Option(
                key=f"attribution.idle_watts.{component}",
                kind=Number(0, 100_000, "watts"),
                default=None,
                help=f"Idle power of {component}, instead of observing it.",
                default_note="observed",
            )
            for component in COMPONENTS
        ),
        Option(
            key="attribution.series_limit",
            kind=Integer(10, 1_000_000),
            default=d.attribution.series_limit,
            help="Most workload series; what is beyond is booked to `other`.",
            flag="attribution.series-limit",
        ),
        Option(
            key="attribution.grace",
            kind=Duration("0s", "1d", "5m"),
            default=d.attribution.grace_ns,
            help="How long the series of an ended workload are still served.",
            flag="attribution.grace",
        ),
        Option(
            key="attribution.processes.enabled",
            kind=Switch(),
            default=d.attribution.processes.enabled,
            help="Serve series per process too.",
            flag="attribution.processes",
        ),
        Option(
            key="attribution.processes.top",
            kind=Integer(1, 1000),
            default=d.attribution.processes.top,
            help="How many processes get series, by energy.",
            flag="attribution.processes.top",
        ),
        *(
            Option(
                key=f"sensors.{collector.name}.enabled",
                kind=Switch(),
                default=collector.default,
                help=collector.help[:1].upper() + collector.help[1:] + ".",
                flag=f"collector.{collector.name}",
            )
            for collector in COLLECTORS
        ),
        Option(
            key="sensors.estimate.microarchitecture",
            kind=Text("the name of a CPU micro-architecture, such as sapphire-rapids", r"[\w.+ -]+"),
            default=None,
            help="Power curve of the estimate.",
            flag="sensors.estimate.microarchitecture",
            default_note="by the CPU's model",
        ),
        Option(
            key="sensors.estimate.idle_watts",
            kind=Number(0, 1000, "watts"),
            default=None,
            help="Watts per logical CPU when idle, for the estimate.",
            flag="sensors.estimate.idle-watts",
            default_note="by the micro-architecture",
        ),
        Option(
            key="sensors.estimate.max_watts",
            kind=Number(0, 1000, "watts"),
            default=None,
            help="Watts per logical CPU when busy, for the estimate.",
            flag="sensors.estimate.max-watts",
            default_note="by the micro-architecture",
        ),
        Option(
            key="carbon.pue",
            kind=Number(1, 5),
            default=d.carbon.pue,
            help="Power usage effectiveness of the site; multiplies the grams.",
            flag="carbon.pue",
        ),
        Option(
            key="carbon.intensity.provider",
            kind=Choice(("static",)),
            default=d.carbon.intensity.provider,
            help="Source of the grid's carbon intensity.",
            default_note="static where `grams_per_kwh` is given, else the world average",
        ),
        Option(
            key="carbon.intensity.grams_per_kwh",
            kind=Number(0, 5000, "grams"),
            default=d.carbon.intensity.grams_per_kwh,
            help="Carbon intensity of the grid, in grams of CO2e per kWh.",
            flag="carbon.intensity",
            default_note="the world average, with a warning",
        ),
        Option(
            key="carbon.intensity.grid_zone",
            kind=Text("a zone such as DE or US-CAL-CISO", r"[A-Za-z0-9_.-]{1,64}"),
            default=None,
            help="Name of the grid zone, shown as a label.",
            flag="carbon.grid-zone",
            default_note="none",
        ),
        Option(
            key="carbon.intensity.basis",
            kind=Choice(("lifecycle", "direct")),
            default=d.carbon.intensity.basis,
            help="What the given intensity counts, shown as a label.",
            flag="carbon.basis",
        ),
        Option(
            key="web.listen_address",
            kind=Addresses(),
            default=d.web.listen_addresses,
            help="Address to serve on; may be given several times, as a list in the file.",
            flag="web.listen-address",
        ),
        Option(
            key="web.telemetry_path",
            kind=Text(
                "a path such as /metrics, of letters, digits and ._~-, outside /-/ and /nodes/",
                r"(?!/-/|/nodes/)(/[A-Za-z0-9._~-]+)+",
            ),
            default=d.web.telemetry_path,
            help="Path of the metrics.",
            flag="web.telemetry-path",
        ),
        Option(
            key="log.level",
            kind=Choice(("debug", "info", "warn", "error")),
            default=d.log.level,
            help="Least severe level that is logged.",
            flag="log.level",
        ),
        Option(
            key="log.format",
            kind=Choice(("logfmt", "json")),
            default=d.log.format,
            help="Shape of the log lines on stderr.",
            flag="log.format",
        ),
        *(
            Option(
                key=f"path.{name}",
                kind=_PATH,
                default=default,
                help=text,
                flag=f"path.{name}",
                in_file=False,
                default_note=note,
            )
            for name, default, note, text in (
                ("procfs", d.paths.procfs, "", "Where the host's /proc is mounted."),
                ("sysfs", d.paths.sysfs, "", "Where the host's /sys is mounted."),
                ("cgroupfs", None, "`fs/cgroup` under `path.sysfs`", "Where the host's cgroups are mounted."),
                ("rootfs", d.paths.rootfs, "", "Where the host's / is mounted."),
            )
        ),
    )


EPILOG = (
    "Every flag can be set in the environment too: --web.listen-address as WATTLEDGER_WEB_LISTEN_ADDRESS. "
    "Flags win over the environment, and the environment over the settings file."
)

# A simulated host has no meters to choose and keeps no state.
DEMO_SECTIONS = ("sampling", "attribution", "carbon", "web", "log")


def settings_flags(sections: Iterable[str] | None = None) -> Callable[[_Command], _Command]:
    """A decorator that gives a command the flags of these sections (all by default) and `--config.file`."""
    wanted = None if sections is None else set(sections)

    def decorate(command: _Command) -> _Command:
        for option in reversed((CONFIG_FILE, *options())):
            if option.flag and (wanted is None or option.section in wanted or option is CONFIG_FILE):
                command = _flag(option)(command)
        return command

    return decorate


def _flag(option: Option) -> Callable[[_Command], _Command]:
    default = f"  [default: {option.default_text}]".replace("`", "") if option.default_text else ""
    text = option.help.replace("`", "") + default
    if isinstance(option.kind, Switch):
        return click.option(
            f"--{option.flag}/--no-{option.flag}", option.parameter, default=None, type=bool, help=text
        )
    return click.option(
        f"--{option.flag}",
        option.parameter,
        multiple=isinstance(option.kind, Addresses),
        metavar=option.kind.metavar,
        help=text,
    )


def given(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The flags that were given, as text by key; `parameters` is what click passed to the command."""
    texts: dict[str, str] = {}
    for option in (CONFIG_FILE, *options()):
        value = parameters.get(option.parameter) if option.flag else None
        if value is None or value == ():
            continue
        texts[option.key] = ",".join(value) if isinstance(value, tuple) else str(value).strip()
    return texts
