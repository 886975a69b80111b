"""Every setting of what turns joules into grams, and of the budgets for them."""

from __future__ import annotations

from typing import get_args

from ..settings import CarbonSettings, IntensitySettings, ProviderName, Role
from .budget_list import Budgets
from .carbon_kinds import Address, Date, KeyFile, Mass, TimeZone
from .carbon_mix import Mix
from .carbon_schedule import Schedule
from .kinds import Choice, Duration, Integer, Number, Text
from .option import Option
from .structured_numbers import Numbers

ROLES: tuple[Role, ...] = get_args(Role)
GRAMS = Number(0, 5000, "grams")
_PUE = Number(1, 5)
_FILE = Text("a path", metavar="PATH")
_COMPONENTS: dict[str, Number | Integer] = {
    "cpus": Integer(0, 1000),
    "memory_gb": Number(0, 100_000),
    "ssds": Integer(0, 10_000),
    "hdds": Integer(0, 10_000),
    "gpus": Integer(0, 1000),
}
_SECRET_WORDS = ("key", "api_key", "apikey", "token", "auth_token", "password", "secret")


def key_variable(role: Role) -> str:
    """The environment variable that the key of a role's live provider is read from."""
    return f"WATTLEDGER_CARBON_{role.upper()}_KEY"


def refused_keys() -> dict[str, str]:
    """Keys that people may try in the settings file, and what to do instead."""
    return {
        f"carbon.{role}.{word}": (
            "keys and passwords do not belong in the settings file;"
            f" give carbon.{role}.key_file, or the environment variable {key_variable(role)}"
        )
        for role in ROLES
        for word in _SECRET_WORDS
    }


def carbon_options() -> tuple[Option, ...]:
    """The sections `carbon` and `budgets`, in the order of the reference."""
    d = CarbonSettings()
    return (
        Option(
            key="carbon.pue",
            kind=_PUE,
            default=d.pue,
            help="Power usage effectiveness of the site; multiplies the grams.",
            flag="carbon.pue",
        ),
        Option(
            key="carbon.pue_schedule",
            kind=Schedule("value", _PUE, "1.3"),
            default=None,
            help="Times of the week with another PUE; the last rule that holds counts.",
            default_note="none: `carbon.pue` always holds",
        ),
        Option(
            key="carbon.wue",
            kind=Number(0, 100, "litres per kWh"),
            default=d.wue_l_per_kwh,
            help="Water usage effectiveness of the site, in litres per kWh of IT energy.",
            flag="carbon.wue",
            default_note="none: no water is counted",
        ),
        Option(
            key="carbon.timezone",
            kind=TimeZone(),
            default=d.timezone,
            help="Time zone of the schedules, and of budgets that give none.",
            flag="carbon.timezone",
        ),
        *(option for role in ROLES for option in role_options(role)),
        *_embodied_options(),
        Option(
            key="budgets",
            kind=Budgets(),
            default=None,
            help="Limits on emissions per calendar period.",
            default_note="none",
        ),
    )


def role_options(role: Role) -> tuple[Option, ...]:
    """The settings of one source of intensity; only those of the books have flags."""
    d = IntensitySettings()

    def flag(name: str) -> str:
        return f"carbon.{name}" if role == "intensity" else ""

    return (
        Option(
            key=f"carbon.{role}.provider",
            kind=Choice(get_args(ProviderName)),
            default=d.provider,
            help="Source of the grid's carbon intensity.",
            flag=flag("provider"),
            default_note={
                "intensity": "static where `grams_per_kwh` is given, else the world average",
                "fallback": "static where `grams_per_kwh` is given, else the world average",
                "market": "static where `grams_per_kwh` is given, else none",
                "signal": "the source of `carbon.intensity`",
            }[role],
        ),
        Option(
            key=f"carbon.{role}.grams_per_kwh",
            kind=GRAMS,
            default=d.grams_per_kwh,
            help="Carbon intensity in grams of CO2e per kWh; with a schedule, outside its rules.",
            flag=flag("intensity"),
            default_note="none",
        ),
        Option(
            key=f"carbon.{role}.grid_zone",
            kind=Text(
                "a zone such as DE or US-CAL-CISO, of letters, digits and _.:/-", r"[A-Za-z0-9_.:/-]{1,64}"
            ),
            default=None,
            help="The grid zone that is asked for or looked up, and shown as a label.",
            flag=flag("grid-zone"),
            default_note="none",
        ),
        Option(
            key=f"carbon.{role}.basis",
            kind=Choice(("lifecycle", "direct")),
            default=d.basis,
            help="What the intensity counts: building and supplying power plants too, or what they burn.",
            flag=flag("basis"),
            default_note="what the source gives by itself",
        ),
        Option(
            key=f"carbon.{role}.flow",
            kind=Choice(("consumption", "production")),
            default=d.flow,
            help="Whether imports are counted, or only what the zone generates.",
            flag=flag("flow"),
            default_note="what the source gives by itself",
        ),
        Option(
            key=f"carbon.{role}.mix",
            kind=Mix(),
            default=None,
            help="Shares of generation by fuel in any one unit, for the provider mix.",
            default_note="none",
        ),
        Option(
            key=f"carbon.{role}.schedule",
            kind=Schedule("grams_per_kwh", GRAMS, "180"),
            default=None,
            help="Intensity by time of the week, for the provider schedule; the last rule that holds counts.",
            default_note="none",
        ),
        Option(
            key=f"carbon.{role}.file",
            kind=_FILE,
            default=d.file,
            help="Time series in CSV or JSON, for the provider file; read again when it changes.",
            flag=flag("file"),
            default_note="none",
        ),
        Option(
            key=f"carbon.{role}.url",
            kind=Address("https://carbon.example.org"),
            default=d.url,
            help="Where a live provider is asked, such as a mirror of your own.",
            flag=flag("url"),
            default_note="the provider's own address",
        ),
        Option(
            key=f"carbon.{role}.api_version",
            kind=Choice(("v3", "v4")),
            default=d.api_version,
            help="Version of the interface of Electricity Maps.",
            flag=flag("api-version"),
        ),
        Option(
            key=f"carbon.{role}.username",
            kind=Text("a user name", r"[^\x00-\x1f\x7f:]{1,256}"),
            default=d.username,
            help="User name at WattTime; the password is the key.",
            flag=flag("username"),
            default_note="none",
        ),
        Option(
            key=f"carbon.{role}.key_file",
            kind=KeyFile(),
            default=d.key_file,
            help="File with the key of a live provider, read again for every request.",
            flag=flag("key-file"),
            default_note=f"the key is in the environment variable `{key_variable(role)}`",
        ),
        Option(
            key=f"carbon.{role}.ca_file",
            kind=_FILE,
            default=d.ca_file,
            help="File with the authorities that may have signed the certificate of a live provider.",
            flag=flag("ca-file"),
            default_note="those of the system",
        ),
        Option(
            key=f"carbon.{role}.refresh",
            kind=Duration("1m", "1d", "15m"),
            default=d.refresh_ns,
            help="How often a live provider is asked.",
            flag=flag("refresh"),
        ),
        Option(
            key=f"carbon.{role}.max_age",
            kind=Duration("1m", "31d", "6h"),
            default=d.max_age_ns,
            help="How long the last known value is used before the fallback is.",
            flag=flag("max-age"),
        ),
    )


def _embodied_options() -> tuple[Option, ...]:
    d = CarbonSettings().embodied
    return (
        Option(
            key="carbon.embodied.total",
            kind=Mass("1 kg", "1000 t", "1200 kg"),
            default=d.total_g,
            help="What making the machine emitted, from its maker's report.",
            default_note="none: no embodied emissions are counted",
        ),
        Option(
            key="carbon.embodied.components",
            kind=Numbers(_COMPONENTS, "{cpus: 2, memory_gb: 512, ssds: 2, hdds: 0, gpus: 8}"),
            default=None,
            help="What the machine is made of, for a simple model instead of a total.",
            default_note="none",
        ),
        Option(
            key="carbon.embodied.lifespan",
            kind=Duration("30d", "36500d", "1460d"),
            default=d.lifespan_ns,
            help="Over which time the embodied emissions are written off.",
        ),
        Option(
            key="carbon.embodied.in_service",
            kind=Date(),
            default=d.in_service_ns,
            help="The day, in UTC, on which the machine went into service; a lifespan later nothing is left.",
            default_note="not known: written off for as long as the machine runs",
        ),
    )
