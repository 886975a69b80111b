"""Makes the settings from the layers flags > environment > file > defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import SettingsError
from ..hostfs import HostFS
from ..model import COMPONENTS
from ..sensors.cpu_curves import CpuCurves
from ..sensors.registry import COLLECTORS
from ..settings import (
    AttributionSettings,
    EstimateSettings,
    KubeletSettings,
    LogSettings,
    NameSettings,
    ProcessSettings,
    SamplingSettings,
    SensorSettings,
    Settings,
    StorageSettings,
    WebSettings,
)
from .carbon_checks import check_carbon
from .carbon_options import refused_keys
from .carbon_settings import budget_settings, carbon_settings
from .kinds import read_text
from .option import Option
from .options import CONFIG_FILE, options
from .structure import Given, Structure

_SERVICE_FILE = "wattledger.yaml"


def load_settings(flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Read the settings anew, the settings file included.

    `flags` holds the flags that were given as text by key (`options.given`).
    Environment variables that are empty or not in the table are ignored: service managers and
    Kubernetes set such names too. Raises SettingsError for the first value that cannot be used.
    """
    table = {option.key: option for option in options()}
    by_layer = (_flags(table, flags), _environment(table, environ))
    config_file = flags.get(CONFIG_FILE.key) or environ.get(CONFIG_FILE.environment) or _service_file(environ)
    from_file = _file(table, config_file) if config_file else {}
    given: dict[str, Given] = {**from_file, **by_layer[1], **by_layer[0]}
    if "storage.path" not in given and (state := _state_directory(environ)):
        given["storage.path"] = Given(state, "$STATE_DIRECTORY")
    values = {key: option.default for key, option in table.items()}
    values |= {key: _parse(table[key], one) for key, one in given.items()}
    _check_roots(given)
    _check_together(given, values)
    return _build(values, given, config_file)


def _flags(table: Mapping[str, Option], flags: Mapping[str, str]) -> dict[str, Given]:
    return {key: Given(text, f"--{table[key].flag}") for key, text in flags.items() if key in table}


def _environment(table: Mapping[str, Option], environ: Mapping[str, str]) -> dict[str, Given]:
    return {
        key: Given(environ[option.environment].strip(), f"environment variable {option.environment}")
        for key, option in table.items()
        if option.environment and environ.get(option.environment, "").strip()
    }


def _file(table: Mapping[str, Option], config_file: str) -> dict[str, Given]:
    from .yaml_file import read_file  # noqa: PLC0415 - YAML costs memory

    in_file = {key: option for key, option in table.items() if option.in_file}
    return read_file(config_file, in_file, refused_keys())


def _service_file(environ: Mapping[str, str]) -> str | None:
    """The settings file in the directory of `ConfigurationDirectory=`, None where there is none."""
    folder = environ.get("CONFIGURATION_DIRECTORY", "").split(":")[0]
    path = os.path.join(folder, _SERVICE_FILE)
    return path if folder and os.path.lexists(path) else None


def _state_directory(environ: Mapping[str, str]) -> str:
    """The first of the directories systemd made for `StateDirectory=`."""
    return environ.get("STATE_DIRECTORY", "").split(":")[0]


def _parse(option: Option, given: Given) -> Any:
    if isinstance(option.kind, Structure) and given.part is not None:
        return option.kind.read(given.part)
    return read_text(option.kind, given.text, given.origin)


def _check_roots(given: Mapping[str, Given]) -> None:
    """A mistyped or unmounted root would show a host without work, meters or names."""
    for key, one in given.items():
        if key.startswith("path.") and not os.path.isdir(one.text):
            raise SettingsError(
                f"{one.origin}: {one.text} is no folder that can be reached;"
                " give the place where that of the host is mounted"
            )


def _check_together(given: Mapping[str, Given], values: Mapping[str, Any]) -> None:
    """The rules that need more than one value, and those that a table of the sensors knows."""
    check_carbon(given, values)
    name = values["sensors.estimate.microarchitecture"]
    if name is not None:
        try:
            CpuCurves().named(name)
        except SettingsError as error:
            origin = given["sensors.estimate.microarchitecture"].origin
            prefix = "sensors.estimate.microarchitecture: "
            raise SettingsError(f"{origin}: {str(error).removeprefix(prefix)}") from None
    idle_watts, max_watts = values["sensors.estimate.idle_watts"], values["sensors.estimate.max_watts"]
    if idle_watts is not None and max_watts is not None and idle_watts > max_watts:
        origin = given["sensors.estimate.idle_watts"].origin
        raise SettingsError(
            f"{origin}: {idle_watts:g} W idle is more than {max_watts:g} W busy (sensors.estimate.max_watts);"
            " give idle_watts no larger than max_watts"
        )


def _build(values: Mapping[str, Any], given: Mapping[str, Given], config_file: str | None) -> Settings:
    return Settings(
        config_file=config_file,
        paths=HostFS(
            procfs=values["path.procfs"],
            sysfs=values["path.sysfs"],
            cgroupfs=values["path.cgroupfs"] or os.path.join(values["path.sysfs"], "fs/cgroup"),
            rootfs=values["path.rootfs"],
        ),
        sampling=SamplingSettings(interval_ns=values["sampling.interval"]),
        storage=StorageSettings(path=values["storage.path"], retention_ns=values["storage.retention"]),
        attribution=AttributionSettings(
            idle=values["attribution.idle"],
            idle_watts={
                component: values[f"attribution.idle_watts.{component}"]
                for component in COMPONENTS
                if values[f"attribution.idle_watts.{component}"] is not None
            },
            series_limit=values["attribution.series_limit"],
            grace_ns=values["attribution.grace"],
            processes=ProcessSettings(
                enabled=values["attribution.processes.enabled"], top=values["attribution.processes.top"]
            ),
        ),
        sensors=SensorSettings(
            enabled={
                collector.name: values[f"sensors.{collector.name}.enabled"]
                for collector in COLLECTORS
                if f"sensors.{collector.name}.enabled" in given
            },
            calibrations=values["sensors.calibration"],
            estimate=EstimateSettings(
                microarchitecture=values["sensors.estimate.microarchitecture"],
                idle_watts=values["sensors.estimate.idle_watts"],
                max_watts=values["sensors.estimate.max_watts"],
            ),
        ),
        names=NameSettings(
            enabled=values["names.enabled"],
            hold_ns=values["names.hold"],
            refresh_ns=values["names.refresh"],
            slurm_job_folder=values["names.slurm.job_folder"],
            slurm_gpu_folder=values["names.slurm.gpu_folder"],
            kubelet=KubeletSettings(
                url=values["names.kubelet.url"],
                token_file=values["names.kubelet.token_file"],
                ca_file=values["names.kubelet.ca_file"],
                server_name=values["names.kubelet.server_name"],
                labels=values["names.kubelet.labels"],
            ),
        ),
        carbon=carbon_settings(values),
        budgets=budget_settings(values),
        web=WebSettings(
            listen_addresses=values["web.listen_address"],
            telemetry_path=values["web.telemetry_path"],
            config_file=values["web.config_file"],
        ),
        log=LogSettings(level=values["log.level"], format=values["log.format"]),
    )
