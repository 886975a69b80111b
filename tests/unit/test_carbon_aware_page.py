"""What people copy from docs/carbon-aware.md works."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from tests.command_line import REPOSITORY
from wattledger.carbon.ahead.outlook import HORIZON_HOURS, WINDOW_HOURS
from wattledger.cli.group import wattledger
from wattledger.cli.load import load_settings
from wattledger.exposition.catalogue import BY_SAMPLE_NAME, OUTLOOK

PAGE = (REPOSITORY / "docs/carbon-aware.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def expressions() -> list[str]:
    """The queries of the PromQL blocks, one paragraph each, and the one of the ScaledObject."""
    queries = [part for block in blocks("promql") for part in block.strip().split("\n\n")]
    (scaled,) = [block for block in blocks("yaml") if "ScaledObject" in block]
    return [*queries, yaml.safe_load(scaled)["spec"]["triggers"][0]["metadata"]["query"]]


def test_every_command_is_accepted() -> None:
    """Each `wattledger ...` of a block parses; what follows `--` is the user's."""
    lines = [line for language in ("sh", "ini") for block in blocks(language) for line in block.splitlines()]
    lines += re.findall(r"`(ExecStartPre=[^`]+)`", PAGE)
    calls = [call for line in lines for call in re.findall(r"\bwattledger (best-window [^)|]*)", line)]
    assert len(calls) >= 8
    for call in calls:
        arguments = shlex.split(call)[1:]
        command = wattledger.commands["best-window"]
        context = command.make_context("best-window", list(arguments))
        assert context.params["duration_ns"] > 0
        assert ("--" in arguments) == bool(context.params["command"])


def test_every_flag_that_is_named_exists() -> None:
    """Of the commands of this page, outside of its blocks too."""
    command = wattledger.commands["best-window"]
    known = {flag for one in command.params if isinstance(one, click.Option) for flag in one.opts}
    named = set(re.findall(r"`(--[a-z.-]+)[^`]*`", re.sub(r"^```.*?^```$", "", PAGE, flags=re.M | re.S)))
    assert named - {"--begin"} <= known
    assert "--otherwise" in named


def test_every_gauge_of_the_outlook_is_explained() -> None:
    """All of the catalogue's and no others, with the horizons and durations that there are."""
    told = set(re.findall(r"\bwattledger_\w+", PAGE))
    assert told == {family.sample_name for family in OUTLOOK}
    assert told <= set(BY_SAMPLE_NAME)
    assert ", ".join(f"`{hours}h`" for hours in HORIZON_HOURS) in PAGE
    assert ", ".join(f"`{hours}h`" for hours in WINDOW_HOURS) in PAGE


def test_the_labels_of_the_gauges_are_those_of_the_catalogue() -> None:
    """Row by row."""
    for family in OUTLOOK:
        (labels,) = re.findall(rf"^\| `{family.sample_name}` \| ([^|]*) \|", PAGE, re.M)
        assert set(family.labels) <= set(re.findall(r"`(\w+)`", labels))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
def test_every_query_is_valid(tmp_path: Path) -> None:
    """promtool reads each PromQL expression."""
    rules = [{"record": f"page:{number}", "expr": text} for number, text in enumerate(expressions())]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "page", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout


GRID = 'grid_zone="{}", provider="schedule", basis="lifecycle", kind="average"'
FORECAST = "wattledger_grid_forecast_carbon_intensity_grams_per_kilowatt_hour"


def promtool_test(folder: Path, series: dict[str, str], expected: dict[str, list[tuple[str, float]]]) -> None:
    """Evaluate queries over constant series five minutes after the start."""
    text = {
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": f"{value}x10"} for name, value in series.items()],
                "promql_expr_test": [
                    {
                        "expr": query,
                        "eval_time": "5m",
                        "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
                    }
                    for query, samples in expected.items()
                ],
            }
        ]
    }
    file = folder / "test.yaml"
    file.write_text(json.dumps(text))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def query(words: str) -> str:
    """The query whose text has these words."""
    (found,) = [text for text in expressions() if words in text]
    return found


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
def test_the_queries_answer_what_they_are_said_to(tmp_path: Path) -> None:
    """Two nodes in DE at 300 and one in FR at 75; a window that begins in two hours."""
    nodes = {"a": ("DE", 300), "b": ("DE", 300), "c": ("FR", 75)}
    series = {
        f'{FORECAST}{{instance="{node}", job="w", horizon="6h", {GRID.format(zone)}}}': f"{grams}+0"
        for node, (zone, grams) in nodes.items()
    }
    for horizon, grams in (("1h", 200), ("3h", 150)):
        series[f'{FORECAST}{{instance="a", job="w", horizon="{horizon}", {GRID.format("DE")}}}'] = (
            f"{grams}+0"
        )
    start = "wattledger_grid_best_window_start_timestamp_seconds"
    series[f'{start}{{instance="a", job="w", duration="2h"}}'] = "7500+0"
    de, fr = GRID.format("DE"), GRID.format("FR")
    promtool_test(
        tmp_path,
        series,
        {
            query("bottomk"): [(f"{{{fr}}}", 75.0)],
            query("group_right"): [(f"{{{de}}}", 0.75), (f"{{{fr}}}", 0.0)],
            query("/ 3600"): [('{instance="a", job="w", duration="2h"}', 2.0)],
            query("/ ignoring"): [(f'{{instance="a", job="w", {de}}}', 0.75)],
        },
    )


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
@pytest.mark.parametrize(
    ("states", "messages", "workers"),
    [
        (["green", "green"], 50, 10.0),
        (["green"], 3, 3.0),
        (["amber"], 50, 4.0),
        (["red"], 50, 1.0),
        (["unknown"], 50, 4.0),
        (["green", "amber"], 50, 7.0),
        ([], 50, 4.0),
    ],
)
def test_the_scaled_object_has_as_many_workers_as_said(
    tmp_path: Path, states: list[str], messages: int, workers: float
) -> None:
    """By the state, by the messages, and four where nothing is known."""
    series = {
        f'wattledger_grid_signal{{instance="{node}", state="{state}"}}': f"{int(state == held)}+0"
        for node, held in enumerate(states)
        for state in ("green", "amber", "red", "unknown")
    }
    series["queue_messages"] = f"{messages}+0"
    promtool_test(tmp_path, series, {query("queue_messages"): [("{}", workers)]})


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on PATH")
def test_the_units_are_valid(tmp_path: Path) -> None:
    """systemd reads them, once the programs they name are there."""
    for block in blocks("ini"):
        (name,) = re.findall(r"^# /etc/systemd/system/(\S+\.service)", block)
        unit = re.sub(r"=/usr/(local/)?bin/\S+", "=/bin/true", block)
        (tmp_path / name).write_text(unit)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", tmp_path / name],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        own = [line for line in (done.stdout + done.stderr).splitlines() if name in line]
        assert own == []


def test_the_settings_are_accepted(tmp_path: Path) -> None:
    """The example loads as it stands, and steers by a schedule."""
    (block,) = [block for block in blocks("yaml") if block.startswith("carbon:")]
    file = tmp_path / "w.yaml"
    file.write_text(block)
    carbon = load_settings({"config.file": str(file)}, {}).carbon
    assert (carbon.intensity.provider, carbon.signal.provider) == ("table", "schedule")
