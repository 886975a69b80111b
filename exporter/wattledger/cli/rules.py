"""`wattledger rules`: Prometheus rules for budgets over many nodes."""

from __future__ import annotations

import os

import click

from ..errors import SettingsError
from ..rules.budget import FleetBudget
from ..rules.check import check
from ..rules.generate import groups
from ..rules.load import load_budgets
from ..rules.pace import DAYS
from ..rules.text import render
from .output import replace_file


@click.command(short_help="Write Prometheus rules for budgets over many nodes.")
@click.option(
    "--config", "config", required=True, metavar="FILE",
    help="The list of budgets, in YAML; deploy/prometheus/budgets.example.yml is one.",
)  # fmt: skip
@click.option("--output", metavar="FILE", help="Where the rules go.  [default: standard output]")
def rules(config: str, output: str | None) -> int:
    """Write recording rules and alerts for limits on clusters, namespaces, teams, users and accounts.

    Periods are calendar periods in UTC. The rules are checked before they are written, by promtool too where
    it is on PATH. Exit status 2: the list or its rules cannot be used, and nothing was written.
    """
    budgets = load_budgets(config)
    text = render(groups(budgets), _head(config, budgets))
    try:
        checked = check(text)
    except SettingsError as error:
        raise SettingsError(f"{config}: {error}") from error
    if output in (None, "-"):
        click.echo(text, nl=False)
    else:
        replace_file(output, text.encode())
    by = "checked by promtool" if checked else "not checked by promtool, which is not on PATH"
    click.echo(f"{len(budgets)} {'budget' if len(budgets) == 1 else 'budgets'}, {by}", err=True)
    return 0


def _head(config: str, budgets: tuple[FleetBudget, ...]) -> list[str]:
    days = max(DAYS[budget.period] for budget in budgets)
    missing = [budget.name for budget in budgets if not budget.of_nodes]
    head = [
        f"Made by `wattledger rules --config {os.path.basename(config)}`;",
        "change that file and make this one anew.",
        "Consumption counts whole hours of the calendar period in UTC, from when the rules were loaded,",
        f"and needs a retention of {days} days for the recorded series.",
    ]
    if missing:
        head += [
            "Budgets by workload miss what a workload drew before its first sample,",
            "and what could not be attributed:",
            f"{', '.join(missing)}.",
        ]
    return head
