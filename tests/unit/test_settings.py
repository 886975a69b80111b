"""Settings come from flags, environment, file and defaults; a mistake is told in one line."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.cli.kinds import Calibrations, Duration, duration_ns
from wattledger.cli.load import load_settings
from wattledger.cli.options import CONFIG_FILE, options
from wattledger.errors import SettingsError
from wattledger.hostfs import HostFS
from wattledger.model import Calibration
from wattledger.settings import Settings

S = 1_000_000_000


@pytest.fixture
def load(tmp_path: Path):
    """Load settings from YAML text, flags by key, and environment variables."""

    def load(text: str | bytes | None = None, flags: dict | None = None, **environ: str) -> Settings:
        given_flags = dict(flags or {})
        if text is not None:
            path = tmp_path / "wattledger.yaml"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            given_flags["config.file"] = str(path)
        return load_settings(given_flags, environ)

    return load


@pytest.fixture
def refusal(load, tmp_path: Path):
    """The message that a refused file gives, without the folder."""

    def refusal(text: str | bytes, **more) -> str:
        with pytest.raises(SettingsError) as caught:
            load(text, **more)
        message = str(caught.value).replace(f"{tmp_path}/", "")
        assert "\n" not in message
        return message

    return refusal


def test_nothing_given_is_the_default(load) -> None:
    """No flag, no variable and no file give the defaults of the tree itself."""
    assert load() == Settings()


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "---\n", "sampling:\n", "~", "sampling: {interval: }"]
)
def test_an_empty_file_or_section_is_fine(load, tmp_path: Path, text: str) -> None:
    """A file whose settings are all commented out leaves the defaults."""
    assert load(text) == Settings(config_file=str(tmp_path / "wattledger.yaml"))


def test_every_key_of_the_file_arrives_in_the_tree(load) -> None:
    """One file that sets everything."""
    s = load(
        """
        sampling: {interval: 10s}
        storage: {path: /var/lib/wattledger, retention: 30d}
        attribution:
          idle: usage
          idle_watts: {cpu: 40, dram: 3.5}
          series_limit: 100
          grace: 15m
          processes: {enabled: true, top: 7}
        sensors:
          powercap: {enabled: false}
          estimate: {enabled: true, microarchitecture: sapphire-rapids, idle_watts: 1.0, max_watts: 4.2}
        carbon:
          pue: 1.2
          intensity: {provider: static, grams_per_kwh: 250, grid_zone: DE, basis: direct}
        web:
          listen_address: ["127.0.0.1:19190", "[::1]:19191"]
          telemetry_path: /power
        log: {level: debug, format: json}
        """
    )
    assert s.sampling.interval_ns == 10 * S
    assert (s.storage.path, s.storage.retention_ns) == ("/var/lib/wattledger", 30 * 86400 * S)
    assert (s.attribution.idle, s.attribution.idle_watts) == ("usage", {"cpu": 40.0, "dram": 3.5})
    assert (s.attribution.series_limit, s.attribution.grace_ns) == (100, 900 * S)
    assert (s.attribution.processes.enabled, s.attribution.processes.top) == (True, 7)
    assert s.sensors.enabled == {"powercap": False, "estimate": True}
    assert s.sensors.estimate.microarchitecture == "sapphire-rapids"
    assert (s.sensors.estimate.idle_watts, s.sensors.estimate.max_watts) == (1.0, 4.2)
    assert s.carbon.pue == 1.2
    intensity = s.carbon.intensity
    assert (intensity.provider, intensity.grams_per_kwh) == ("static", 250.0)
    assert (intensity.grid_zone, intensity.basis) == ("DE", "direct")
    assert s.web.listen_addresses == ("127.0.0.1:19190", "[::1]:19191")
    assert s.web.telemetry_path == "/power"
    assert (s.log.level, s.log.format) == ("debug", "json")


LAYERS = [
    ("sampling.interval", ("5s", "2s", "3s", "4s")),
    ("storage.retention", ("400d", "2d", "3d", "4d")),
    ("attribution.idle", ("unallocated", "usage", "memory", "requests")),
    ("attribution.series_limit", ("5000", "20", "30", "40")),
    ("attribution.grace", ("5m", "2m", "3m", "4m")),
    ("attribution.processes.top", ("50", "2", "3", "4")),
    ("carbon.pue", ("1", "2", "3", "4")),
    ("carbon.intensity.grams_per_kwh", (None, "100", "200", "300")),
    ("web.listen_address", (":19190", ":2", ":3", ":4")),
    ("web.telemetry_path", ("/metrics", "/a", "/b", "/c")),
    ("log.level", ("info", "debug", "warn", "error")),
]


def value_of(settings: Settings, key: str) -> object:
    return {
        "sampling.interval": settings.sampling.interval_ns,
        "storage.retention": settings.storage.retention_ns,
        "attribution.idle": settings.attribution.idle,
        "attribution.series_limit": settings.attribution.series_limit,
        "attribution.grace": settings.attribution.grace_ns,
        "attribution.processes.top": settings.attribution.processes.top,
        "carbon.pue": settings.carbon.pue,
        "carbon.intensity.grams_per_kwh": settings.carbon.intensity.grams_per_kwh,
        "web.listen_address": settings.web.listen_addresses,
        "web.telemetry_path": settings.web.telemetry_path,
        "log.level": settings.log.level,
    }[key]


@pytest.mark.parametrize(("key", "texts"), LAYERS)
def test_flags_win_over_environment_over_file_over_defaults(load, key: str, texts) -> None:
    """Each layer is seen alone, and hidden by the next."""
    option = next(option for option in options() if option.key == key)
    _, in_file, in_environment, in_flag = texts
    want = [option.kind.parse(text) if text else text for text in texts]
    section, _, rest = key.partition(".")
    document = f"{section}:\n" + "".join(
        f"{'  ' * (depth + 1)}{word}:\n" for depth, word in enumerate(rest.split(".")[:-1])
    )
    document += f"{'  ' * (key.count('.'))}{key.rpartition('.')[2]}: {in_file}\n"
    variable = {option.environment: in_environment}
    assert value_of(load(), key) == want[0]
    assert value_of(load(document), key) == want[1]
    assert value_of(load(document, **variable), key) == want[2]
    assert value_of(load(document, flags={key: in_flag}, **variable), key) == want[3]


@pytest.mark.parametrize("written", ["TRUE", "yes", "on", "1"])
def test_a_switch_in_the_environment_turns_a_collector_on(load, written: str) -> None:
    """Collectors follow the same layers under the name of their flag."""
    assert load("sensors: {perf: {enabled: false}}").sensors.enabled == {"perf": False}
    assert load("sensors: {perf: {enabled: false}}", WATTLEDGER_COLLECTOR_PERF=written).sensors.enabled == {
        "perf": True
    }


def test_the_file_may_be_named_in_the_environment(tmp_path: Path) -> None:
    """A container needs no arguments to find its settings."""
    (tmp_path / "a.yaml").write_text("carbon: {pue: 2}")
    settings = load_settings({}, {CONFIG_FILE.environment: str(tmp_path / "a.yaml")})
    assert settings.carbon.pue == 2.0


def test_empty_and_foreign_variables_are_ignored(load) -> None:
    """Kubernetes sets such names for a service called wattledger."""
    assert load(WATTLEDGER_PORT="tcp://10.0.0.1:19190", WATTLEDGER_CARBON_PUE="") == Settings()


def test_the_state_directory_of_systemd_is_the_last_resort(load) -> None:
    """systemd gives several directories with colons between; the first is the agent's."""
    systemd = {"STATE_DIRECTORY": "/var/lib/wattledger:/var/lib/other"}
    assert load(**systemd).storage.path == "/var/lib/wattledger"
    assert load("storage: {path: /srv}", **systemd).storage.path == "/srv"


def test_cgroups_are_looked_for_under_the_given_sysfs(load, tmp_path: Path) -> None:
    """In a container, one flag moves both, unless the other is given too."""
    roots = {name: str(tmp_path / name) for name in ("procfs", "sysfs", "cgroupfs", "rootfs")}
    for root in roots.values():
        os.mkdir(root)
    assert load(flags={"path.sysfs": roots["sysfs"]}).paths.cgroupfs == f"{roots['sysfs']}/fs/cgroup"
    both = {f"path.{name}": root for name, root in roots.items()}
    assert load(flags=both).paths == HostFS(**roots)


@pytest.mark.parametrize("name", ["procfs", "sysfs", "cgroupfs", "rootfs"])
def test_a_root_that_is_not_there_is_refused(load, tmp_path: Path, name: str) -> None:
    """The agent would run on and show a host that does nothing."""
    missing = tmp_path / "host"
    message = rf"^--path\.{name}: {re.escape(str(missing))} is no folder that can be reached; give the place"
    with pytest.raises(SettingsError, match=message):
        load(flags={f"path.{name}": str(missing)})


def test_an_intensity_without_a_provider_is_static(load) -> None:
    """The number alone says all there is to say."""
    assert load("carbon: {intensity: {grams_per_kwh: 0}}").carbon.intensity.provider == "static"
    assert load(flags={"carbon.intensity.grams_per_kwh": "30"}).carbon.intensity.provider == "static"


def test_norway_is_a_grid_zone_and_not_false(load) -> None:
    """YAML 1.1 reads an unquoted NO as false; where a text is wanted it is a text."""
    assert load("carbon: {intensity: {provider: table, grid_zone: NO}}").carbon.intensity.grid_zone == "NO"


def test_a_single_address_needs_no_list(load) -> None:
    """One address as text, several as a list."""
    assert load("web: {listen_address: 127.0.0.1:80}").web.listen_addresses == ("127.0.0.1:80",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sampling:\n  intervall: 5s",
            (
                "wattledger.yaml:2: sampling.intervall: unknown key; "
                "the nearest valid key is sampling.interval; accepted under sampling: interval"
            ),
        ),
        (
            "interval: 5s",
            (
                "wattledger.yaml:1: interval: unknown key; the nearest valid key is sampling.interval; "
                "accepted at the top: sampling, storage, attribution, sensors, names, carbon,"
                " budgets, web, log"
            ),
        ),
        (
            "budget: []",
            (
                "wattledger.yaml:1: budget: unknown key; the nearest valid key is budgets; "
                "accepted at the top: sampling, storage, attribution, sensors, names, carbon,"
                " budgets, web, log"
            ),
        ),
        (
            "carbon:\n  pue: 1.1\n  fall_back: {provider: table}",
            (
                "wattledger.yaml:3: carbon.fall_back: unknown key; the nearest valid key is carbon.fallback; "
                "accepted under carbon: pue, pue_schedule, wue, timezone, intensity, fallback,"
                " market, signal,"
                " embodied"
            ),
        ),
        (
            "sampling: {interval: 5s}\nsampling: {interval: 6s}",
            "wattledger.yaml:2: sampling: given twice; keep one of them",
        ),
        (
            "carbon:\n  pue: 1.2\n  pue: 1.3",
            "wattledger.yaml:3: carbon.pue: given twice; keep one of them",
        ),
        (
            "sampling.interval: 5s",
            "wattledger.yaml:1: sampling.interval: a key has no dots; write `sampling: {interval: ...}`",
        ),
        (
            "sampling: 5s",
            "wattledger.yaml:1: sampling: needs settings below it, namely interval",
        ),
        (
            "[1, 2]",
            (
                "wattledger.yaml: the file is not a mapping of settings; write keys such as "
                "`sampling: {interval: 5s}`"
            ),
        ),
        (
            "? [a]\n: 1",
            "wattledger.yaml:1: the file: a key must be plain text",
        ),
        ("a: [1", "wattledger.yaml:1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        (
            "a: *b",
            (
                "wattledger.yaml:1: not valid YAML: found undefined alias 'b'; "
                "put quotes around a text that begins with *"
            ),
        ),
        (
            "a: 1\n---\nb: 2",
            "wattledger.yaml:2: not valid YAML: but found another document",
        ),
        (
            "sampling: {interval: 5}",
            (
                'wattledger.yaml:1: sampling.interval: "5" is not accepted; '
                "give a duration from 1s to 30s, such as 5s"
            ),
        ),
        (
            "sampling: {interval: 31s}",
            (
                'wattledger.yaml:1: sampling.interval: "31s" is not accepted; '
                "give a duration from 1s to 30s, such as 5s"
            ),
        ),
        (
            'carbon: {pue: "1.2"}',
            'wattledger.yaml:1: carbon.pue: the text "1.2" is not accepted; give a number from 1 to 5',
        ),
        (
            "carbon: {pue: [1.2]}",
            "wattledger.yaml:1: carbon.pue: a list is not accepted; give a number from 1 to 5",
        ),
        (
            "carbon: {pue: {a: 1}}",
            "wattledger.yaml:1: carbon.pue: a mapping is not accepted; give a number from 1 to 5",
        ),
        (
            "carbon: {pue: .nan}",
            'wattledger.yaml:1: carbon.pue: ".nan" is not accepted; give a number from 1 to 5',
        ),
        (
            "carbon: {intensity: {grams_per_kwh: 5001}}",
            (
                'wattledger.yaml:1: carbon.intensity.grams_per_kwh: "5001" is not accepted; '
                "give a number from 0 to 5000 grams"
            ),
        ),
        (
            "carbon: {intensity: {provider: static}}",
            (
                "wattledger.yaml:1: carbon.intensity.provider: static needs "
                "carbon.intensity.grams_per_kwh as well: a number from 0 to 5000 grams"
            ),
        ),
        (
            "carbon: {intensity: {provider: oracle}}",
            (
                'wattledger.yaml:1: carbon.intensity.provider: "oracle" is not accepted; give one of static,'
                " table, mix, schedule, file, electricity-maps, watttime, uk-carbon-intensity, energy-charts,"
                " eco2mix, energi-data-service, carbon-aware-sdk"
            ),
        ),
        (
            "attribution: {idle: share}",
            (
                'wattledger.yaml:1: attribution.idle: "share" is not accepted; '
                "give one of unallocated, usage, memory, requests"
            ),
        ),
        (
            "attribution: {series_limit: 9}",
            (
                'wattledger.yaml:1: attribution.series_limit: "9" is not accepted; '
                "give a whole number from 10 to 1000000"
            ),
        ),
        (
            "attribution: {processes: {top: 2.5}}",
            (
                'wattledger.yaml:1: attribution.processes.top: "2.5" is not accepted; '
                "give a whole number from 1 to 1000"
            ),
        ),
        (
            "attribution: {processes: {enabled: maybe}}",
            'wattledger.yaml:1: attribution.processes.enabled: "maybe" is not accepted; give true or false',
        ),
        (
            "attribution: {idle_watts: {cup: 4}}",
            (
                "wattledger.yaml:1: attribution.idle_watts.cup: unknown key; the nearest valid key is "
                "attribution.idle_watts.cpu; accepted under attribution.idle_watts: cpu, dram, gpu, other"
            ),
        ),
        (
            "web: {listen_address: [localhost]}",
            (
                'wattledger.yaml:1: web.listen_address: "localhost" is not accepted; '
                "give host:port, :port or [ipv6]:port with a port from 0 to 65535"
            ),
        ),
        (
            "web: {listen_address: []}",
            (
                "wattledger.yaml:1: web.listen_address: a list is not accepted; "
                "give host:port, :port or [ipv6]:port with a port from 0 to 65535"
            ),
        ),
        (
            "web: {telemetry_path: metrics}",
            (
                'wattledger.yaml:1: web.telemetry_path: "metrics" is not accepted; '
                "give a path such as /metrics, of letters, digits and ._~-, outside /-/ and /nodes/"
            ),
        ),
        (
            "sensors: {estimate: {idle_watts: 5, max_watts: 4}}",
            (
                "wattledger.yaml:1: sensors.estimate.idle_watts: 5 W idle is more than 4 W busy "
                "(sensors.estimate.max_watts); give idle_watts no larger than max_watts"
            ),
        ),
    ],
)
def test_a_mistake_names_file_line_key_and_what_is_accepted(refusal, text: str, message: str) -> None:
    """Each message can be acted on without reading the documentation."""
    assert refusal(text) == message


def test_an_unknown_micro_architecture_names_the_nearest(refusal) -> None:
    """The table of curves is asked when settings are read, so that a reload refuses it too."""
    message = refusal("sensors: {estimate: {microarchitecture: saphire-rapids}}")
    assert message.startswith("wattledger.yaml:1: sensors.estimate.microarchitecture: unknown")
    assert "'sapphire-rapids'" in message


def test_a_flag_and_a_variable_are_named_as_they_are_given(load) -> None:
    """The message names what the user typed, not the key behind it."""
    with pytest.raises(SettingsError, match=r'^--carbon\.intensity: "x" is not accepted; give a number'):
        load(flags={"carbon.intensity.grams_per_kwh": "x"})
    with pytest.raises(
        SettingsError, match=r'^environment variable WATTLEDGER_CARBON_PUE: "0\.9" is not accepted'
    ):
        load(WATTLEDGER_CARBON_PUE="0.9")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xfe\xfa", "not valid YAML"),
        (b"a: \xe9", "not valid YAML"),
        (b"a: \x00", "not valid YAML"),
        (b"[" * 5000, "not valid YAML: nested too deeply"),
        (b"#" * (1 << 20) + b"\n", "larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_text_is_refused(refusal, content: bytes, problem: str) -> None:
    """Bytes that are not UTF-8, control characters, and absurd sizes are told apart from settings."""
    assert problem in refusal(content)


def test_a_file_that_cannot_be_read_is_named(load, tmp_path: Path) -> None:
    """A missing file and a folder each say why."""
    missing, folder = str(tmp_path / "none.yaml"), str(tmp_path)
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot read the settings file: No such file"):
        load(flags={"config.file": missing})
    with pytest.raises(SettingsError, match="cannot read the settings file: Is a directory"):
        load(flags={"config.file": folder})


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_reads_back_as_it_is_shown(count: int, unit: str) -> None:
    """`show` writes what `parse` reads."""
    kind = Duration("0s", "10000000d", "5s")
    value = duration_ns(f"{count}{unit}")
    assert kind.parse(kind.show(value)) == value


@pytest.mark.parametrize(
    ("text", "ns"),
    [("5s", 5 * S), ("15m", 900 * S), ("400d", 400 * 86400 * S), ("1h30m", 5400 * S), ("1.5s", 3 * S // 2)],
)
def test_durations_are_exact(text: str, ns: int) -> None:
    """Durations become whole nanoseconds without passing through a float."""
    assert duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "5sec", "5s5", "\u0665s", "1e3s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A number needs its unit, and nothing else may stand around it."""
    with pytest.raises(ValueError, match=r"^"):
        duration_ns(text)


def test_every_option_has_a_key_flag_and_variable_of_its_own() -> None:
    """No two settings share a name, and each default is one that may be given."""
    table = (CONFIG_FILE, *options())
    for names in (
        [o.key for o in table],
        [o.flag for o in table if o.flag],
        [o.parameter for o in table if o.flag],
    ):
        assert len(names) == len(set(names))
    for option in table:
        assert option.flag or option.in_file
        if option.default is not None:
            assert option.kind.parse(option.kind.show(option.default)) == option.default


def test_the_tests_run_without_settings_of_their_own() -> None:
    """No variable of the surroundings reaches these tests: each passes its own environment."""
    assert load_settings({}, {}) == Settings()
    assert os.environ.get("WATTLEDGER_CARBON_PUE") is None


def test_the_reference_has_every_setting() -> None:
    """A new section of settings cannot be left out of the page."""
    page = Path("docs/configuration.md").read_text()
    for option in options():
        name = option.key if option.in_file else f"--{option.flag}"
        if option.key.startswith(("carbon.fallback.", "carbon.market.", "carbon.signal.")):
            assert f"`{name}`" in page  # the same as those of carbon.intensity, so only named
        else:
            assert f"### `{name}`\n" in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GPU-1=1.05:-2", {"GPU-1": Calibration(1.05, -2.0)}),
        ("GPU-1=1.05, package-0=0.97:1.5", {"GPU-1": Calibration(1.05), "package-0": Calibration(0.97, 1.5)}),
    ],
)
def test_calibrations_name_a_device_a_gain_and_an_offset(text: str, expected) -> None:
    assert Calibrations().parse(text) == expected
    assert Calibrations().parse(Calibrations().show(expected)) == expected


@pytest.mark.parametrize("text", ["GPU-1", "=1.0", "GPU-1=x", "GPU-1=9", "GPU-1=nan", "GPU-1=1:900"])
def test_a_senseless_calibration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"=|GPU|float"):
        Calibrations().parse(text)
