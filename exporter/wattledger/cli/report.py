"""`wattledger report`: what this node drew and emitted over a period, from its journal."""

from __future__ import annotations

import json
import os
import platform
import pwd
import shutil
import sys
import time
from typing import Any, get_args

import click

from .. import __version__
from ..errors import StorageError
from ..ledger.journal_file import FILE
from ..ledger.journal_read import JournalReader, find_journal, open_for_reading
from ..report.as_csv import as_csv
from ..report.as_html import as_html
from ..report.as_json import as_json
from ..report.gather import deleted_until_ns, gather
from ..report.records import By, Report
from ..report.span import Span, span
from ..report.wording import DELETED, moment
from .carbon_kinds import TimeZone
from .flags import given
from .kinds import read_text
from .load import load_settings
from .output import replace_file
from .report_table import as_table
from .state import state_folder, state_options

TOP = 20
NOTHING_FOUND = 1


@click.command(short_help="Report the energy and emissions of a period.")
@click.option(
    "--since", required=True, metavar="TIME",
    help="Where the period begins: a date, a time, an age (36h, 7d, 4w), or the running day, week, month, "
    "quarter or year; with last-, as in last-month, the one before it, with its end.",
)  # fmt: skip
@click.option(
    "--until", metavar="TIME",
    help="Where it ends; that moment is not part of it.  [default: now]",
)  # fmt: skip
@click.option(
    "--by", type=click.Choice(get_args(By)), default="workload", show_default=True,
    help="What the energy is grouped by.",
)  # fmt: skip
@click.option(
    "--format", "shape", type=click.Choice(["table", "json", "csv", "html"]), default="table",
    show_default=True, help="A table or a page for a person, JSON or CSV for a program.",
)  # fmt: skip
@click.option(
    "--top", type=click.IntRange(1), metavar="N",
    help=f"How many groups are told apart; the others are one row.  [default: {TOP} for table and html, "
    "else all]",
)  # fmt: skip
@click.option("--timezone", metavar="ZONE", help="Time zone of days and times.  [default: carbon.timezone]")
@click.option("--node", metavar="NAME", help="What the node is called.  [default: the name of this host]")
@click.option("--output", metavar="FILE", help="Where the report goes.  [default: standard output]")
@state_options
def report(
    *,
    since: str,
    until: str | None,
    by: By,
    shape: str,
    top: int | None,
    timezone: str | None,
    node: str | None,
    output: str | None,
    **parameters: Any,
) -> int:
    """Report what this node drew and emitted, group by group, with what stands behind the figures.

    The agent may be running meanwhile. Exit status 1: nothing was booked in the period.
    """
    settings = load_settings(given(parameters), os.environ)
    zone = read_text(TimeZone(), timezone, "--timezone") if timezone else settings.carbon.timezone
    now_ns = time.time_ns()
    wanted = span(since, until, zone, now_ns)
    if top is None and shape in ("table", "html"):
        top = TOP
    folder = _folder(settings.storage.path)
    path = find_journal(folder)
    with open_journal(path) as reader:
        found = gather(
            reader,
            wanted,
            by=by,
            top=top,
            now_ns=now_ns,
            node=platform.node() if node is None else node,
            version=f"wattledger {__version__}",
        )
        if found is None:
            click.echo(f"wattledger: {_nothing(reader, wanted)}", err=True)
            return NOTHING_FOUND
    if os.path.basename(path) != FILE:
        click.echo(
            f"wattledger: {os.path.join(folder, FILE)} was written by a newer version and is left out; this"
            f" is what {path} has, which this version wrote",
            err=True,
        )
    if not found.complete:
        click.echo("wattledger: the newest hours may be missing; run this as the agent's user", err=True)
    _write(output, _rendered(found, shape).encode("utf-8", "replace"))
    return 0


def _rendered(found: Report, shape: str) -> str:
    if shape == "json":
        return json.dumps(as_json(found), indent=2, ensure_ascii=False) + "\n"
    if shape == "csv":
        return as_csv(found)
    if shape == "html":
        return as_html(found)
    return as_table(found, shutil.get_terminal_size((100, 24)).columns)


def _folder(configured: str | None) -> str:
    folder = state_folder(configured)
    if folder is None:
        raise StorageError(
            "no state directory is known; give --storage.path, or the agent's settings with --config.file"
        )
    return folder


def open_journal(path: str) -> JournalReader:
    """The journal; where it may not be read, the message says whose it is and how to get at it.

    Raises StorageError.
    """
    try:
        return open_for_reading(path)
    except StorageError as error:
        closed = _closed(path)
        if closed is None:
            raise
        raise StorageError(
            f"{path}: may not be read by {_user(os.geteuid())}, as {closed} belongs to"
            f" {_user(os.stat(closed).st_uid)}; run it as that user or as root:"
            f" sudo wattledger report --storage.path {os.path.dirname(path)} ..."
        ) from error


def _closed(path: str) -> str | None:
    """The folder or file on the way to `path` that this user may not use, None if there is none."""
    parts = os.path.realpath(path).split(os.sep)
    for end in range(2, len(parts) + 1):
        way = os.sep.join(parts[:end])
        if os.path.lexists(way) and not os.access(way, os.X_OK if os.path.isdir(way) else os.R_OK):
            return way
    return None


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def _nothing(reader: JournalReader, wanted: Span) -> str:
    """Why there is no report."""
    asked = f"{moment(wanted.start_ns, wanted.timezone)} and {moment(wanted.end_ns, wanted.timezone)}"
    covered = reader.span()
    if covered is None:
        return f"{reader.path}: nothing is booked yet; the agent writes once a minute"
    first, last = (moment(end_ns, wanted.timezone) for end_ns in covered)
    deleted = deleted_until_ns(reader, wanted.start_ns) is not None
    return (
        f"{reader.path}: nothing was booked between {asked} ({wanted.timezone}); the journal goes from"
        f" {first} to {last}" + (f"; it had hours before, but {DELETED}" if deleted else "")
    )


def _write(output: str | None, body: bytes) -> None:
    """To standard output, or to a file that is replaced as a whole."""
    if output in (None, "-"):
        try:
            sys.stdout.buffer.write(body)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise  # click ends quietly
        except OSError as error:
            raise click.ClickException(f"cannot write the result: {error.strerror}") from error
        return
    replace_file(output, body)
