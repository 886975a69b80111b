"""How people set what turns joules into grams, and what they are told when it does not fit."""

from __future__ import annotations

import os
import subprocess
import sys
import zoneinfo
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.command_line import environment
from tests.settings_file import refusal_of, settings_of
from wattledger.carbon.embodied import COMPONENT_NAMES
from wattledger.cli.carbon_facts import PROVIDER_NAMES, facts_of
from wattledger.cli.carbon_kinds import Date, Mass, mass_g
from wattledger.cli.carbon_options import ROLES, key_variable
from wattledger.cli.carbon_schedule import Days
from wattledger.cli.options import options
from wattledger.settings import IntensitySettings, WeeklyRule

S = 1_000_000_000
H = 3600 * S
WEEKDAYS = frozenset(range(5))
ALL = frozenset(range(7))


def intensity(text: str) -> str:
    """A file with these settings under carbon.intensity."""
    return f"carbon: {{intensity: {{{text}}}}}"


def pue_rules(text: str) -> tuple[WeeklyRule, ...]:
    return settings_of(f"carbon: {{pue_schedule: {text}}}").carbon.pue_schedule


def test_every_key_of_carbon_arrives_in_the_tree() -> None:
    """One file with all four sources, both schedules, water and embodied emissions."""
    carbon = settings_of(
        """
        carbon:
          pue: 1.2
          pue_schedule: [{days: mon-fri, from: "08:00", to: "20:00", value: 1.3}]
          wue: 0.4
          timezone: Europe/Berlin
          intensity:
            provider: electricity-maps
            grid_zone: DE
            key_file: /etc/wattledger/key
            ca_file: ca.pem
            basis: direct
            flow: consumption
            url: https://em.example.org/
            api_version: v3
            refresh: 20m
            max_age: 2h
          fallback: {provider: schedule, grams_per_kwh: 300,
                     schedule: [{days: all, from: "10:00", to: "16:00", grams_per_kwh: 180}]}
          market: {provider: mix, mix: {wind: 40, gas: 60}, basis: lifecycle, flow: production}
          signal: {provider: watttime, grid_zone: CAISO_NORTH, username: me}
          embodied: {total: 1200 kg, lifespan: 1000d, in_service: 2024-05-01}
        """
    ).carbon
    assert (carbon.pue, carbon.wue_l_per_kwh, carbon.timezone) == (1.2, 0.4, "Europe/Berlin")
    assert carbon.pue_schedule == (WeeklyRule(WEEKDAYS, 480, 1200, 1.3),)
    assert carbon.intensity == IntensitySettings(
        provider="electricity-maps",
        grid_zone="DE",
        key_file="/etc/wattledger/key",
        key_variable="WATTLEDGER_CARBON_INTENSITY_KEY",
        ca_file="ca.pem",
        basis="direct",
        flow="consumption",
        url="https://em.example.org",
        api_version="v3",
        refresh_ns=H // 3,
        max_age_ns=2 * H,
    )
    assert carbon.fallback == IntensitySettings(
        provider="schedule", grams_per_kwh=300.0, schedule=(WeeklyRule(ALL, 600, 960, 180.0),)
    )
    assert carbon.market == IntensitySettings(
        provider="mix", mix={"wind": 40.0, "gas": 60.0}, basis="lifecycle", flow="production"
    )
    assert carbon.signal == IntensitySettings(
        provider="watttime",
        grid_zone="CAISO_NORTH",
        username="me",
        key_variable="WATTLEDGER_CARBON_SIGNAL_KEY",
    )
    assert carbon.embodied.total_g == 1_200_000.0
    assert carbon.embodied.lifespan_ns == 1000 * 24 * H
    assert carbon.embodied.in_service_ns == datetime(2024, 5, 1, tzinfo=UTC).timestamp() * S


FLAGS = {
    "carbon.provider": ("electricity-maps", "provider", "electricity-maps"),
    "carbon.grid-zone": ("DE", "grid_zone", "DE"),
    "carbon.basis": ("direct", "basis", "direct"),
    "carbon.flow": ("production", "flow", "production"),
    "carbon.url": ("https://a.example", "url", "https://a.example"),
    "carbon.api-version": ("v4", "api_version", "v4"),
    "carbon.key-file": ("/k", "key_file", "/k"),
    "carbon.ca-file": ("/ca", "ca_file", "/ca"),
    "carbon.refresh": ("1h", "refresh_ns", H),
    "carbon.max-age": ("3h", "max_age_ns", 3 * H),
}


def test_the_source_of_the_books_can_be_set_without_a_file() -> None:
    """A container needs flags or variables only."""
    by_flag = {option.flag: option for option in options()}
    flags = {by_flag[flag].key: text for flag, (text, _, _) in FLAGS.items()}
    variables = {by_flag[flag].environment: text for flag, (text, _, _) in FLAGS.items()}
    for source in (settings_of("", flags), settings_of("", **variables)):
        for _, field, value in FLAGS.values():
            assert getattr(source.carbon.intensity, field) == value
    rest = settings_of("", {"carbon.wue": "0.5", "carbon.timezone": "Asia/Kolkata"}).carbon
    assert (rest.wue_l_per_kwh, rest.timezone) == (0.5, "Asia/Kolkata")


def test_a_key_can_be_given_nowhere_but_in_a_file_of_its_own_or_its_variable() -> None:
    """No option ends in a key, none reads the variable of a key, and only keyed providers have one."""
    variables = {option.environment for option in options()}
    for role in ROLES:
        assert key_variable(role) == f"WATTLEDGER_CARBON_{role.upper()}_KEY"
        assert key_variable(role) not in variables
    assert not [option.key for option in options() if option.key.rpartition(".")[2] == "key"]
    assert settings_of(intensity("provider: table, grid_zone: DE")).carbon.intensity.key_variable == ""


@pytest.mark.parametrize("word", ["key", "api_key", "token", "auth_token", "password", "secret"])
@pytest.mark.parametrize("role", ROLES)
def test_a_key_in_the_settings_file_is_refused_and_not_shown(role: str, word: str) -> None:
    """The message says where keys go."""
    text = f"carbon:\n  {role}:\n    {word}: hunter2\n"
    assert refusal_of(text) == (
        f"w.yaml:3: carbon.{role}.{word}: keys and passwords do not belong in the settings file;"
        f" give carbon.{role}.key_file, or the environment variable WATTLEDGER_CARBON_{role.upper()}_KEY"
    )


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("key_file: hunter2", "what was given is no absolute path (and not shown, as it may be the key)"),
        ("url: 'https://me:hunter2@x.example'", "an address with user, password, ? or # is not accepted"),
        ("url: 'https://x.example/?token=hunter2'", "an address with user, password, ? or # is not accepted"),
        ("url: 'hunter2@x.example'", "an address with user, password, ? or # is not accepted"),
    ],
)
def test_what_may_be_a_secret_is_not_repeated(setting: str, why: str) -> None:
    """People paste a key where its file belongs, or into the address."""
    text = intensity(f"provider: electricity-maps, grid_zone: DE, {setting}")
    message = refusal_of(text)
    assert why in message
    assert "hunter2" not in message


def test_a_bare_number_is_static_and_a_zone_its_label() -> None:
    source = settings_of(intensity("grams_per_kwh: 250, grid_zone: DE, basis: direct")).carbon.intensity
    assert (source.provider, source.grid_zone, source.basis) == ("static", "DE", "direct")
    assert settings_of("carbon: {market: {grams_per_kwh: 0}}").carbon.market.provider == "static"


@pytest.mark.parametrize(
    ("written", "rules"),
    [
        ("[{value: 1.5}]", [(ALL, 0, 1440)]),
        ("[{days: mon-fri, from: 08:00, to: 20:00, value: 1.5}]", [(WEEKDAYS, 480, 1200)]),
        ("[{days: Mon, from: 8:00, value: 1.5}]", [({0}, 480, 1440)]),
        ("[{days: sun, to: 24:00, value: 1.5}]", [({6}, 0, 1440)]),
        ("[{days: 'sat,sun', to: 06:30, value: 1.5}]", [({5, 6}, 0, 390)]),
        ("[{days: [mon, wed-thu], value: 1.5}]", [({0, 2, 3}, 0, 1440)]),
        ("[{days: fri-mon, value: 1.5}]", [({4, 5, 6, 0}, 0, 1440)]),
        ("[{days: all, from: 22:00, to: 05:00, value: 1.5}]", [(ALL, 1320, 1440), (ALL, 0, 300)]),
        ("[{days: sun, from: 22:00, to: 01:00, value: 1.5}]", [({6}, 1320, 1440), ({0}, 0, 60)]),
        ("[{days: fri, from: 22:00, to: 00:00, value: 1.5}]", [({4}, 1320, 1440)]),
        ("[]", []),
    ],
)
def test_schedules_are_read_as_people_write_them(written: str, rules) -> None:
    """Times without quotes are integers to YAML 1.1; a rule past midnight becomes two."""
    assert pue_rules(written) == tuple(WeeklyRule(frozenset(d), a, b, 1.5) for d, a, b in rules)


def test_a_schedule_over_the_whole_week_needs_no_other_number() -> None:
    """Two halves of each day; the day after each night belongs to it."""
    rules = "[{from: 08:00, to: 20:00, grams_per_kwh: 1}, {from: 20:00, to: 08:00, grams_per_kwh: 2}]"
    source = settings_of(intensity(f"provider: schedule, schedule: {rules}")).carbon.intensity
    assert (source.grams_per_kwh, len(source.schedule)) == (None, 3)


def test_components_are_those_of_the_model() -> None:
    """What can be written is what is counted."""
    written = ", ".join(f"{name}: {count}" for count, name in enumerate(COMPONENT_NAMES))
    components = settings_of(
        f"carbon: {{embodied: {{components: {{{written}}}}}}}"
    ).carbon.embodied.components
    assert components == {name: float(count) for count, name in enumerate(COMPONENT_NAMES)}


def test_fuels_are_known_by_all_their_names() -> None:
    """As people write them, arriving under the name of the table."""
    source = settings_of(intensity("provider: mix, mix: {Natural Gas: 1, wind-onshore: 2, coal: }"))
    assert source.carbon.intensity.mix == {"gas": 1.0, "wind": 2.0}


WHOLE = {
    "grams_per_kwh": "300",
    "grid_zone": "DE",
    "mix": "{wind: 1}",
    "schedule": "[{grams_per_kwh: 1}]",
    "file": "/a.csv",
    "url": "https://a.example",
    "username": "me",
}
ZONES = {
    "watttime": "CAISO_NORTH",
    "uk-carbon-intensity": "GB",
    "eco2mix": "FR",
    "energi-data-service": "DK1",
}


def complete(provider: str) -> dict[str, str]:
    """What a provider needs, as it is written."""
    fields = {field: WHOLE[field] for field in facts_of(provider).needs}
    if "grid_zone" in fields:
        fields["grid_zone"] = ZONES.get(provider, "DE")
    if provider == "carbon-aware-sdk":
        fields["basis"] = "direct"
    return {"provider": provider, **fields}


def written(fields: dict[str, str]) -> str:
    return ", ".join(f"{field}: {value}" for field, value in fields.items())


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
def test_each_provider_is_accepted_with_what_it_needs_and_refused_without(provider: str) -> None:
    """Each needed setting is named when it is missing; a key is not asked for here, as it may come later."""
    role = "signal" if provider == "watttime" else "intensity"
    fields = complete(provider)
    source = getattr(settings_of(f"carbon: {{{role}: {{{written(fields)}}}}}").carbon, role)
    assert source.provider == provider
    for field in facts_of(provider).needs:
        less = {name: value for name, value in fields.items() if name != field}
        message = refusal_of(f"carbon: {{{role}: {{{written(less)}}}}}")
        assert message.startswith(
            f"w.yaml:1: carbon.{role}.provider: {provider} needs carbon.{role}.{field} as well: "
        )


@pytest.mark.parametrize("provider", PROVIDER_NAMES)
def test_each_provider_refuses_what_it_would_ignore(provider: str) -> None:
    """Settings that do nothing are mistakes: the person meant something by them."""
    role = "signal" if provider == "watttime" else "intensity"
    facts = facts_of(provider)
    extras = {**WHOLE, "api_version": "v4", "key_file": "/k", "ca_file": "/c", "refresh": "1h"}
    for field, value in extras.items():
        if field in ("grid_zone", *facts.needs, *facts.takes):
            continue
        message = refusal_of(f"carbon: {{{role}: {{{written(complete(provider))}, {field}: {value}}}}}")
        told = "needs no key; leave key_file out" if field == "key_file" else "does not use it; leave it out"
        assert message.startswith(f"w.yaml:1: carbon.{role}.{field}: {provider} {told}")


NOT_BOOKED = (
    "watttime tells what one more kWh would emit, which steers but is never booked;"
    " put it under carbon.signal; accepted here is one of static, table, mix, schedule, file"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (intensity("provider: watttime"), f"intensity.provider: {NOT_BOOKED}, electricity-maps"),
        ("carbon: {market: {provider: watttime}}", f"market.provider: {NOT_BOOKED}, electricity-maps"),
        ("carbon: {fallback: {provider: watttime}}", f"fallback.provider: {NOT_BOOKED}"),
        (
            "carbon: {fallback: {provider: energy-charts, grid_zone: DE}}",
            (
                "fallback.provider: energy-charts is asked over the network, and the fallback is"
                " for when that"
                " fails; accepted here is one of static, table, mix, schedule, file"
            ),
        ),
        (
            "carbon: {signal: {grams_per_kwh: 4}}",
            (
                "signal.grams_per_kwh: static is the same at all hours, so none of them is better"
                " than another;"
                " accepted here is one of schedule, file, electricity-maps, watttime"
            ),
        ),
        (
            "carbon: {fallback: {grid_zone: DE}}",
            (
                "fallback.grid_zone: there is no provider to use it;"
                " give carbon.fallback.provider, such as table"
            ),
        ),
        (
            intensity("mix: {wind: 1}"),
            "intensity.mix: there is no provider to use it; give carbon.intensity.provider, such as mix",
        ),
        (
            "carbon: {intensity: {grid_zone: DE}}",
            (
                "intensity.grid_zone: there is no provider to use it;"
                " give carbon.intensity.provider, such as table"
            ),
        ),
        (
            intensity("url: 'https://a.example'"),
            "intensity.url: there is no provider to use it; give carbon.intensity.provider",
        ),
        (
            intensity("provider: electricity-maps, grid_zone: DE, grams_per_kwh: 4"),
            (
                "intensity.grams_per_kwh: electricity-maps does not use it; leave it out, or give"
                " a provider that"
                " does, of static, schedule"
            ),
        ),
        (
            intensity("provider: table, grid_zone: DX"),
            "intensity.grid_zone: no zone 'DX' in the bundled tables; ",
        ),
        (
            intensity("provider: table, grid_zone: DE, basis: direct"),
            "intensity.basis: the table's figure for DE is not direct but lifecycle; leave basis out",
        ),
        (
            intensity("provider: energi-data-service, grid_zone: DE"),
            "intensity.grid_zone: 'DE': zones are DK1 and DK2",
        ),
        (
            intensity("provider: energy-charts, grid_zone: DE, basis: direct"),
            "intensity.basis: energy-charts counts lifecycle emissions only",
        ),
        (
            intensity("provider: electricity-maps, grid_zone: DE, url: 'http://a.example'"),
            "intensity.url: the key would cross the network in the clear; use https",
        ),
        (
            intensity("provider: electricity-maps, grid_zone: DE, url: 'ftp://a.example'"),
            (
                'intensity.url: "ftp://a.example" is not accepted; give an address with https:// or http://'
                " without user, password, ? and #, such as https://carbon.example.org"
            ),
        ),
        (
            intensity("provider: electricity-maps, grid_zone: DE, refresh: 5m"),
            "intensity.refresh: electricity-maps may be asked every 10m at most; give a duration from 10m",
        ),
        (
            intensity("provider: electricity-maps, grid_zone: DE, max_age: 10m"),
            (
                "intensity.max_age: values would be given up before new ones are asked for;"
                " give carbon.intensity.max_age no shorter than carbon.intensity.refresh"
            ),
        ),
        (
            intensity("provider: carbon-aware-sdk, grid_zone: eastus, url: 'http://10.0.0.1'"),
            (
                "intensity.provider: carbon-aware-sdk does not tell averages, which may be booked,"
                " from marginal"
                " values; give carbon.intensity.basis (lifecycle or direct) if its source gives averages,"
                " else put it under carbon.signal"
            ),
        ),
        (
            intensity("provider: mix, mix: {winde: 1}"),
            "intensity.mix.winde: unknown fuel; the nearest is wind; accepted are coal, lignite, gas, oil,",
        ),
        (
            intensity("provider: mix, mix: {gas: 1, ccgt: 2}"),
            "intensity.mix.ccgt: gas is given twice; keep one of them",
        ),
        (
            intensity("provider: mix, mix: {gas: -1}"),
            'intensity.mix.gas: "-1" is not accepted; give a number from 0',
        ),
        (
            intensity("provider: mix, mix: {gas: 0}"),
            (
                "intensity.mix: no share is above zero; give a mapping from fuels to shares in any one unit,"
                " such as {wind: 40, gas: 60}"
            ),
        ),
        (
            intensity("provider: mix, mix: {biomass_cofiring: 1}, basis: direct"),
            "intensity.mix.biomass_cofiring: no direct emissions are known for it; use basis: lifecycle",
        ),
        (
            intensity("provider: schedule, schedule: [{from: 00:00, to: 23:00, grams_per_kwh: 1}]"),
            (
                "intensity.schedule: no rule holds on mon at 23:00; give"
                " carbon.intensity.grams_per_kwh for the"
                " rest of the week, a number from 0 to 5000 grams"
            ),
        ),
        (
            intensity("provider: schedule, grams_per_kwh: 1, schedule: []"),
            (
                "intensity.schedule: an empty list is not accepted; give a list of rules such as"
                ' {days: mon-fri, from: "08:00", to: "20:00", grams_per_kwh: 180}'
            ),
        ),
        (
            "carbon: {embodied: {total: 5 kg, components: {cpus: 1}}}",
            (
                "embodied.components: carbon.embodied.total is given too, and either says it all; keep"
                " one of them"
            ),
        ),
        (
            "carbon: {embodied: {lifespan: 400d}}",
            (
                "embodied.lifespan: there is nothing to write off;"
                " give carbon.embodied.total or carbon.embodied.components as well"
            ),
        ),
        (
            "carbon: {embodied: {total: 5}}",
            (
                'embodied.total: "5" is not accepted; give a mass from 1 kg to 1000 t with its unit,'
                " one of g, kg, t, Mg, such as 1200 kg"
            ),
        ),
        (
            "carbon: {embodied: {total: 5 kg, in_service: 2023-02-29}}",
            (
                'embodied.in_service: "2023-02-29" is not accepted; give a date from 1990-01-01 to'
                " 2199-12-31,"
                " such as 2024-05-01"
            ),
        ),
        (
            "carbon: {embodied: {components: {cpu: 1}}}",
            (
                "embodied.components.cpu: unknown key; the nearest valid key is cpus; accepted under"
                " carbon.embodied.components: cpus, memory_gb, ssds, hdds, gpus"
            ),
        ),
        (
            "carbon: {embodied: {components: {cpus: 0}}}",
            "embodied.components: nothing in it is above zero; give a mapping such as {cpus: 2,",
        ),
        (
            "carbon: {timezone: Europe/Berln}",
            (
                "timezone: 'Europe/Berln' is no time zone (did you mean Europe/Berlin?); give a"
                " name from the tz"
                " database, such as Europe/Berlin, America/New_York or UTC"
            ),
        ),
        (
            "carbon: {timezone: berlin}",
            "timezone: 'berlin' is no time zone (did you mean Europe/Berlin?); give",
        ),
        ("carbon: {timezone: CEST}", "timezone: 'CEST' is no time zone; give a name from the tz database"),
        ("carbon: {timezone: Europe}", "timezone: 'Europe' is no time zone"),
        ("carbon: {timezone: ../../etc/passwd}", "timezone: '../../etc/passwd' is no time zone; give"),
        (
            "carbon: {pue_schedule: 1.3}",
            (
                'pue_schedule: "1.3" is not accepted; give a list of rules such as'
                ' {days: mon-fri, from: "08:00", to: "20:00", value: 1.3}'
            ),
        ),
        (
            "carbon: {pue_schedule: [1.3]}",
            'pue_schedule[0]: "1.3" is not accepted; give a rule such as {days: mon-fri, from: "08:00"',
        ),
        (
            "carbon: {pue_schedule: [{days: mon}]}",
            "pue_schedule[0]: value is missing; give a number from 1 to 5",
        ),
        (
            "carbon: {pue_schedule: [{value: '1.2'}]}",
            'pue_schedule[0].value: the text "1.2" is not accepted; give a number from 1 to 5',
        ),
        (
            "carbon: {pue_schedule: [{valu: 1}]}",
            (
                "pue_schedule[0].valu: unknown key; the nearest valid key is value;"
                " accepted under carbon.pue_schedule[0]: days, from, to, value"
            ),
        ),
        (
            "carbon: {pue_schedule: [{value: 1, days: weekend}]}",
            (
                'pue_schedule[0].days: "weekend" is not accepted; give days of mon, tue, wed, thu,'
                " fri, sat, sun,"
                " such as mon-fri, fri-mon, [sat, sun] or all"
            ),
        ),
        (
            "carbon: {pue_schedule: [{days: sat,sun, value: 1}]}",
            (
                "pue_schedule[0]: sun stands alone; in braces, several days need brackets or quotes,"
                " as in days: [sat, sun]"
            ),
        ),
        (
            "carbon: {pue_schedule: [{from: 24:00, value: 1}]}",
            (
                'pue_schedule[0].from: "24:00" is not accepted;'
                ' give a time from "00:00" to "23:59", such as "08:00"'
            ),
        ),
        (
            "carbon: {pue_schedule: [{to: 24:01, value: 1}]}",
            (
                'pue_schedule[0].to: "24:01" is not accepted;'
                ' give a time from "00:00" to "24:00", such as "08:00"'
            ),
        ),
        (
            "carbon: {pue_schedule: [{from: 08:00, to: 08:00, value: 1}]}",
            (
                "pue_schedule[0]: begins and ends at 08:00; give an end that differs,"
                " or leave out from and to for the whole day"
            ),
        ),
        (
            f"carbon: {{pue_schedule: [{', '.join(['{value: 1}'] * 101)}]}}",
            "pue_schedule: 101 are too many; give at most 100",
        ),
    ],
)
def test_a_mistake_names_file_line_key_and_what_is_accepted(text: str, message: str) -> None:
    """Each message can be acted on without reading the documentation."""
    assert refusal_of(text).startswith(f"w.yaml:1: carbon.{message}")


def test_a_mistake_deep_in_a_list_names_its_own_line() -> None:
    """The second rule stands on the fourth line."""
    text = "carbon:\n  pue_schedule:\n  - {value: 1.1}\n  - {value: 9}\n"
    assert refusal_of(text).startswith('w.yaml:4: carbon.pue_schedule[1].value: "9" is not accepted')


def test_a_flag_that_does_not_fit_the_file_is_named_as_a_flag() -> None:
    """The message names what was typed last."""
    message = refusal_of(
        intensity("provider: energy-charts, grid_zone: DE"), {"carbon.intensity.grams_per_kwh": "250"}
    )
    assert message.startswith("--carbon.intensity: energy-charts does not use it; leave it out, or give")
    message = refusal_of("", WATTLEDGER_CARBON_PROVIDER="table")
    assert message.startswith(
        "environment variable WATTLEDGER_CARBON_PROVIDER: table needs carbon.intensity.gr"
    )


@pytest.mark.parametrize(
    ("text", "grams"),
    [
        ("500 g", 500.0),
        ("50 kg", 50_000.0),
        ("50kg", 50_000.0),
        ("1.5 t", 1.5e6),
        ("1.5 Mg", 1.5e6),
        ("0.1 kg", 100.0),
    ],
)
def test_masses_have_their_unit(text: str, grams: float) -> None:
    """A megagram is a tonne."""
    assert mass_g(text) == grams
    kind = Mass("0 g", "1000 t", "50 kg")
    assert kind.parse(kind.show(grams)) == grams


@pytest.mark.parametrize(
    "text", ["", "5", "5 mg", "5 KG", "-5 kg", "5  kg", "1e3 kg", "5 kgCO2e", "\u0665 kg", "1,5 t"]
)
def test_what_is_no_mass_is_refused(text: str) -> None:
    """Milligrams above all, which differ from megagrams by a letter's case."""
    with pytest.raises(ValueError, match=r"^"):
        mass_g(text)


def test_what_is_shown_reads_back() -> None:
    """Dates, days and masses in their usual form."""
    assert Date().show(Date().parse("2024-02-29")) == "2024-02-29"
    assert Days().show(Days().parse("fri-mon")) == "mon,fri,sat,sun"
    assert Mass("1 g", "9 t", "1 g").show(1500.0) == "1500 g"


def test_a_host_without_time_zones_says_how_to_get_them() -> None:
    """A distribution that leaves the package out has no database; UTC works there all the same."""
    code = (
        "import sys; sys.modules['tzdata'] = None\n"
        "from tests.settings_file import refusal_of, settings_of\n"
        "print(settings_of('carbon: {timezone: UTC}').carbon.timezone)\n"
        "print(refusal_of('carbon: {timezone: Europe/Berlin}'))\n"
    )
    env = environment({"PYTHONTZPATH": ""})
    env["PYTHONPATH"] += os.pathsep + "."
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "UTC",
        (
            "w.yaml:1: carbon.timezone: 'Europe/Berlin' cannot be looked up, as this host has no time zone"
            " database; install the package tzdata, or leave it at UTC; give a name from the tz"
            " database, such as"
            " Europe/Berlin, America/New_York or UTC"
        ),
    ]


def test_a_file_in_the_database_that_is_no_time_zone_is_refused(tmp_path: Path) -> None:
    """Lists lie beside the zones, and folders above them."""
    (tmp_path / "Europe").mkdir()
    (tmp_path / "leapseconds").write_text("# a list")
    zoneinfo.reset_tzpath([str(tmp_path)])
    try:
        for name in ("leapseconds", "Europe"):
            assert f"w.yaml:1: carbon.timezone: '{name}' " in refusal_of(f"carbon: {{timezone: {name}}}")
    finally:
        zoneinfo.reset_tzpath()
