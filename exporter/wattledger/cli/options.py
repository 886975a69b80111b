"""Every setting a person can give: its key, kind, default, flag, and environment variable.

The settings file, the flags, the environment and `docs/configuration.md` all follow this one table.
"""

from __future__ import annotations

from ..model import COMPONENTS
from ..sensors.registry import COLLECTORS
from ..settings import Settings
from .carbon_options import carbon_options
from .kinds import Addresses, Calibrations, Choice, Duration, Integer, Names, Number, Switch, Text
from .option import Option

_PATH = Text("a path", metavar="PATH")


CONFIG_FILE = Option(
    key="config.file",
    kind=_PATH,
    default=None,
    help="Settings file in YAML.",
    flag="config.file",
    in_file=False,
    default_note="`$CONFIGURATION_DIRECTORY/wattledger.yaml` where it exists, else none",
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
            help="How long energy history is kept in the state directory; a yearly statement takes 800d.",
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
            key="sensors.calibration",
            kind=Calibrations(),
            default=d.sensors.calibrations,
            help="Correct devices that were compared with a better meter, by their `device` label.",
            flag="sensors.calibration",
            default_note="none",
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
        *name_options(),
        *carbon_options(),
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
            key="web.config_file",
            kind=_PATH,
            default=d.web.config_file,
            help="File with TLS, passwords, headers and a rate limit, as other Prometheus exporters take it.",
            flag="web.config.file",
            default_note="none: plain HTTP, open to all",
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


def name_options() -> tuple[Option, ...]:
    """How workloads get their names."""
    d = Settings().names
    return (
        Option(
            key="names.enabled",
            kind=Switch(),
            default=d.enabled,
            help="Look up names of containers, pods, virtual machines and jobs.",
            flag="names",
        ),
        Option(
            key="names.hold",
            kind=Duration("0s", "5m", "10s"),
            default=d.hold_ns,
            help="How long the series of a new workload wait for its name at most.",
            flag="names.hold",
        ),
        Option(
            key="names.refresh",
            kind=Duration("1s", "1d", "2m"),
            default=d.refresh_ns,
            help="How often all names are looked up again, for renames.",
            flag="names.refresh",
        ),
        Option(
            key="names.slurm.job_folder",
            kind=_PATH,
            default=None,
            help="Folder in which a Slurm prolog writes the facts of a job, under the host's root.",
            flag="names.slurm.job-folder",
            default_note="none",
        ),
        Option(
            key="names.slurm.gpu_folder",
            kind=_PATH,
            default=None,
            help="Folder in which a Slurm prolog writes the jobs of each GPU, as for dcgm-exporter.",
            flag="names.slurm.gpu-folder",
            default_note="none",
        ),
        Option(
            key="names.kubelet.url",
            kind=Text("an address such as https://127.0.0.1:10250", r"https://[^\s/]+(/[^\s]*)?"),
            default=None,
            help="The kubelet to ask for pods and their labels.",
            flag="names.kubelet.url",
            default_note="none: names come from files of the host",
        ),
        Option(
            key="names.kubelet.token_file",
            kind=_PATH,
            default=d.kubelet.token_file,
            help="File with the bearer token for the kubelet.",
            flag="names.kubelet.token-file",
        ),
        Option(
            key="names.kubelet.ca_file",
            kind=_PATH,
            default=d.kubelet.ca_file,
            help="File with the authority that signed the kubelet's certificate.",
            flag="names.kubelet.ca-file",
        ),
        Option(
            key="names.kubelet.server_name",
            kind=Text("a host name", r"[A-Za-z0-9._-]{1,253}"),
            default=None,
            help="Name that the kubelet's certificate has to carry.",
            flag="names.kubelet.server-name",
            default_note="the host of the address",
        ),
        Option(
            key="names.kubelet.labels",
            kind=Names(),
            default=d.kubelet.labels,
            help="Pod labels that become labels of `workload_info`, as a list in the file.",
            flag="names.kubelet.labels",
            default_note="none",
        ),
    )
