"""`wattledger best-window`: the cleanest time to run something, and running it then."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from ..clock import Clock
from ..logs import configure
from ..model import S_NS
from ..settings import Settings
from .best_window_report import as_json, as_line, as_text, as_unix
from .flags import EPILOG, given, settings_flags
from .grid_source import Grid, opened, what_to_configure
from .grid_words import span
from .kinds import Duration, Kind
from .load import load_settings
from .text_table import printable
from .window_plan import Plan, Wish, plan, wait

WAIT_STATUS = 75
"""EX_TEMPFAIL of sysexits.h: try again later."""
NO_FORECAST_STATUS = 69
"""EX_UNAVAILABLE of sysexits.h."""
_DEFAULT_WITHIN = "24h"
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127


def _parsed(kind: Kind) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A click callback that reads a value as one in the settings is read."""

    def callback(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
        if text is None:
            return None
        try:
            return kind.parse(text.strip())
        except (ValueError, OverflowError):
            message = f"{text!r} is not accepted; give {kind.accepts}"
            raise click.BadParameter(message, context, parameter) from None

    return callback


@dataclass(frozen=True, slots=True)
class Moment:
    """A date with a time as nanoseconds of wall time; in local time where it has no offset from UTC."""

    accepts: str = "a date with a time such as 2026-01-31T06:00, with +01:00 or Z where it is not local"
    metavar: str = "TIME"
    is_text: bool = True
    is_list: bool = False

    def parse(self, text: str) -> int:
        if len(text) <= len("2026-01-01"):
            raise ValueError(text)
        try:
            return int(datetime.fromisoformat(text).astimezone().timestamp()) * S_NS
        except OSError:
            raise ValueError(text) from None

    def show(self, value: int) -> str:
        return datetime.fromtimestamp(value // S_NS, UTC).isoformat()


_DURATION = Duration("1m", "7d", "2h")
_WITHIN = Duration("1m", "14d", "24h")


@click.command(
    epilog=EPILOG,
    short_help="Find the cleanest time to run something, or run it then.",
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--duration", "duration_ns", callback=_parsed(_DURATION), metavar=_DURATION.metavar, required=True,
    help="How long it takes.",
)  # fmt: skip
@click.option(
    "--within", "within_ns", callback=_parsed(_WITHIN), metavar=_WITHIN.metavar,
    help=f"How long from now it may take until it is done.  [default: {_DEFAULT_WITHIN}, or the deadline]",
)  # fmt: skip
@click.option(
    "--deadline", "deadline_ns", callback=_parsed(Moment()), metavar=Moment().metavar,
    help="When it has to be done, such as 2026-01-31T06:00; with --within, the earlier of both.",
)  # fmt: skip
@click.option(
    "--min-saving", type=click.FloatRange(0, 100), default=0.0, show_default=True, metavar="PERCENT",
    help="Least estimated saving to wait for; with less of it the best time is now.",
)  # fmt: skip
@click.option(
    "--format", "shape", type=click.Choice(["text", "json", "unix"]),
    help="Text for a person, JSON for a program, or the start as Unix time.  [default: text]",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Tell by the exit status whether to start now (0) or wait (75).")
@click.option(
    "--otherwise", type=click.Choice(["run", "fail"]),
    help="What to do without a forecast.  [default: run for a command, else fail]",
)  # fmt: skip
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@settings_flags(("carbon", "log"))
def best_window(
    *,
    duration_ns: int,
    within_ns: int | None,
    deadline_ns: int | None,
    min_saving: float,
    shape: str | None,
    check: bool,
    otherwise: str | None,
    command: tuple[str, ...],
    **parameters: Any,
) -> int:
    """Find the time with the lowest mean carbon intensity; with a command, wait for it and run it.

    The command takes the place of this process, so its exit status is the one that is seen. While it waits,
    the forecast is looked at again every minute; the deadline is kept whatever happens.

    Exit status 0: a window was found; with --check, it begins now. 75: wait (--check). 69: there is no
    forecast. 2: a setting cannot be used. 126, 127: the command cannot be run.
    """
    if command and (check or shape):
        raise click.UsageError("a command is run, so there is nothing to check or to print in a format")
    flags = given(parameters)
    settings = load_settings(flags, os.environ)
    configure(settings.log.level if "log.level" in flags else "error", settings.log.format)

    def wish(now_ns: int) -> Wish:
        return _wish(now_ns, duration_ns, within_ns, deadline_ns, min_saving / 100)

    if command:
        _end_at_once()
        return run_then(command, settings, wish, opened, otherwise=otherwise or "run", sleep=time.sleep)
    return show(settings, wish, opened, shape=shape or "text", check=check, otherwise=otherwise or "fail")


Open = Callable[[Settings], AbstractContextManager[Grid]]
Wishing = Callable[[int], Wish]


def show(
    settings: Settings, wishing: Wishing, open_: Open, *, shape: str, check: bool, otherwise: str
) -> int:
    """Print the best window; the exit status."""
    with open_(settings) as grid:
        now_ns = grid.clock.wall_ns()
        found = plan(grid.steers, wishing(now_ns), now_ns)
    if found is None:
        _say(what_to_configure(grid.feeds))
        return 0 if otherwise == "run" else NO_FORECAST_STATUS
    if shape == "json":
        text = json.dumps(as_json(found), indent=2) + "\n"
    else:
        text = as_unix(found) if shape == "unix" else as_text(found)
    click.echo(text, nl=False)
    return WAIT_STATUS if check and found.wait_ns else 0


def run_then(
    command: Sequence[str],
    settings: Settings,
    wishing: Wishing,
    open_: Open,
    *,
    otherwise: str,
    sleep: Callable[[float], object],
    run: Callable[[Sequence[str]], int] | None = None,
) -> int:
    """Wait for the best window and run the command; returns only when it cannot be run."""
    if shutil.which(command[0]) is None:
        _say(f"{command[0]}: no such command")
        return _NOT_FOUND
    with open_(settings) as grid:
        clock: Clock = grid.clock
        wish = wishing(clock.wall_ns())

        def ask(now_ns: int) -> Plan | None:
            return plan(grid.steers, wish, now_ns)

        found = ask(clock.wall_ns())
        if found is None:
            _say(what_to_configure(grid.feeds))
            if otherwise == "fail":
                return NO_FORECAST_STATUS
            _say("starting at once")
        else:
            _say(as_line(found))
            wait(found, ask, clock, sleep, lambda newer: _say(f"the forecast changed: {as_line(newer)}"))
    return (run or become)(command)


def become(command: Sequence[str]) -> int:
    """Run a command in the place of this process; the exit status where that fails."""
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and what is ignored is inherited
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(command[0], list(command))  # noqa: S606 - the user's own command
    except FileNotFoundError as error:
        _say(f"{command[0]}: {error.strerror}")
        return _NOT_FOUND
    except OSError as error:
        _say(f"{command[0]}: {error.strerror}")
        return _NOT_EXECUTABLE


def _wish(
    now_ns: int, duration_ns: int, within_ns: int | None, deadline_ns: int | None, min_saving: float
) -> Wish:
    """Raises a usage error that tells both times where there is not enough of it."""
    if within_ns is None and deadline_ns is None:
        within_ns = _WITHIN.parse(_DEFAULT_WITHIN)
    ends = [end for end in (deadline_ns, now_ns + within_ns if within_ns else None) if end is not None]
    left_ns = min(ends) - now_ns
    if left_ns <= 0:
        raise click.UsageError(
            "the deadline is over; give one to come, with +01:00 or Z where it is not local"
        )
    if left_ns < duration_ns:
        raise click.UsageError(
            f"it takes {span(duration_ns)} and has to be done within {span(left_ns)}; give more time, or no"
            " deadline"
        )
    latest_ns = min(ends) - duration_ns
    return Wish(duration_ns=duration_ns, latest_start_ns=latest_ns, min_saving=min_saving)


def _end_at_once() -> None:
    """Let SIGINT and SIGTERM end the wait with the status a shell expects, in process 1 of a container too.

    A signal that is ignored from outside stays so.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda got, _: os._exit(128 + got))


def _say(message: str) -> None:
    click.echo(f"wattledger: {printable(message)}", err=True)
