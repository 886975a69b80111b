"""The dashboards as files: the builder's output, the linter's rules, colours, links, layout, families."""

from __future__ import annotations

import copy
import itertools
import json
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

pytest.importorskip("promql_parser", reason="promql-parser is not installed")

import promql_parser as promql

from grafana.boards import BOARDS
from grafana.builder import palette
from grafana.builder.write import text_of, write
from tests.colour_vision import VISIONS, contrast, distance
from tests.command_line import REPOSITORY
from tests.dashboard_queries import FILES, FOLDER, load, panels, queries
from tests.dashboard_rules import RULES, excuses, lint, matchers, parse, selectors, walk
from wattledger.exposition.catalogue import BY_SAMPLE_NAME
from wattledger.settings import Period

EXCLUSIONS = yaml.safe_load((REPOSITORY / "grafana/.lint").read_text())["exclusions"]
RECORDED = {
    rule["record"]
    for group in yaml.safe_load((REPOSITORY / "deploy/prometheus/wattledger.rules.yml").read_text())["groups"]
    for rule in group["rules"]
}
OF_PROMETHEUS = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_series_added"}
OF_TARGETS = {"cluster", "job", "instance"}
OF_INFOS = {"user", "account"}
UIDS = {
    "Wattledger / Fleet": "wattledger-fleet",
    "Wattledger / Node": "wattledger-node",
    "Wattledger / Workloads": "wattledger-workloads",
    "Wattledger / GPU": "wattledger-gpu",
    "Wattledger / Carbon and budgets": "wattledger-carbon",
    "Wattledger / Exporter health": "wattledger-health",
}
CONFIG_MAP_LIMIT = 900_000

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
each_query = pytest.mark.parametrize("asked", list(queries()), ids=str)


class TestFiles:
    @pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
    def test_a_file_is_what_the_builder_writes(self, board):
        """Whoever changes a board runs `python -m grafana`."""
        assert (FOLDER / f"{board.uid}.json").read_text(encoding="utf-8") == text_of(board)

    def test_every_file_has_a_board(self):
        assert {file.stem for file in FILES} == {board.uid for board in BOARDS}

    def test_files_of_boards_that_are_gone_are_removed(self, tmp_path):
        (tmp_path / "old.json").write_text("{}")
        write(BOARDS[:1], tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == ["wattledger-fleet.json"]

    def test_addresses_never_change(self):
        """Bookmarks and links of users hold the uid."""
        assert {load(file)["title"]: load(file)["uid"] for file in FILES} == UIDS

    @each_file
    def test_a_file_fits_into_a_config_map(self, file):
        assert file.stat().st_size < CONFIG_MAP_LIMIT

    @each_file
    def test_the_head_of_a_dashboard(self, file):
        """Classic JSON that imports everywhere, in the reader's time zone, reloaded no faster than 30 s."""
        dashboard = load(file)
        assert dashboard["id"] is None
        assert dashboard["schemaVersion"] >= 39
        assert dashboard["editable"] is True
        assert dashboard["timezone"] == "browser"
        assert dashboard["refresh"] in ("30s", "1m", "5m")
        assert dashboard["tags"] == ["wattledger"]
        assert "__inputs" not in dashboard

    def test_the_page_tells_of_every_dashboard(self):
        page = (REPOSITORY / "docs/dashboards.md").read_text()
        missing = [word for title, uid in UIDS.items() for word in (title, uid) if word not in page]
        assert missing == []


class TestLinter:
    @pytest.mark.parametrize("rule", RULES)
    @each_file
    def test_a_rule_is_kept_or_its_breach_is_argued(self, file, rule):
        entries = EXCLUSIONS.get(rule)
        findings = lint(rule, load(file))
        if entries is not None:
            assert entries["reason"]
            listed = entries.get("entries", [])
            findings = [f for f in findings if listed and not any(excuses(entry, f) for entry in listed)]
        assert findings == []

    def test_no_exception_is_left_over(self):
        """An entry without a breach would excuse the next one."""
        dashboards = [load(file) for file in FILES]
        stale = [
            (rule, entry)
            for rule, exclusion in EXCLUSIONS.items()
            for entry in exclusion.get("entries", [{}])
            if not any(
                not entry or excuses(entry, finding)
                for dashboard in dashboards
                for finding in lint(rule, dashboard)
            )
        ]
        assert stale == []

    @pytest.mark.parametrize("rule", RULES)
    def test_a_rule_finds_its_breach(self, rule):
        """A small dashboard that keeps every rule, and one breach of each."""
        good = small_dashboard()
        assert lint(rule, good) == []
        bad = copy.deepcopy(good)
        BREACHES[rule](bad)
        assert len(lint(rule, bad)) == 1


def small_dashboard():
    """One panel that keeps every rule."""
    source = {"type": "prometheus", "uid": "$datasource"}
    variable = {"type": "query", "datasource": source, "multi": True, "allValue": ".+", "refresh": 2}
    return {
        "title": "small",
        "editable": False,
        "templating": {
            "list": [
                {
                    "type": "datasource",
                    "name": "datasource",
                    "label": "Data source",
                    "query": "prometheus",
                },
                {**variable, "name": "job", "label": "Job", "query": {"query": "label_values(up, job)"}},
                {
                    **variable,
                    "name": "instance",
                    "label": "Instance",
                    "query": {"query": "label_values(up, instance)"},
                },
            ]
        },
        "panels": [
            {
                "type": "stat",
                "title": "Power",
                "description": "Power.",
                "datasource": source,
                "fieldConfig": {"defaults": {"unit": "watt"}, "overrides": []},
                "targets": [
                    {
                        "datasource": source,
                        "expr": 'sum(rate(a_total{job=~"$job", instance=~"$instance"}[$__rate_interval]))',
                    }
                ],
            }
        ],
    }


def _set(*path, value):
    def breach(dashboard):
        *above, last = path
        place = dashboard
        for step in above:
            place = place[step]
        place[last] = value

    return breach


TARGET = ("panels", 0, "targets", 0)
BREACHES = {
    "template-datasource-rule": _set("templating", "list", 0, "label", value="Source"),
    "template-job-rule": _set("templating", "list", 1, "multi", value=False),
    "template-instance-rule": _set("templating", "list", 2, "allValue", value=".*"),
    "template-label-promql-rule": _set(
        "templating", "list", 1, "query", value={"query": "label_values(up{, job)"}
    ),
    "template-on-time-change-reload-rule": _set("templating", "list", 1, "refresh", value=1),
    "panel-datasource-rule": _set("panels", 0, "datasource", "uid", value="fixed"),
    "panel-title-description-rule": _set("panels", 0, "description", value=""),
    "panel-units-rule": _set("panels", 0, "fieldConfig", "defaults", "unit", value="Watts"),
    "panel-no-targets-rule": _set("panels", 0, "targets", value=[]),
    "target-logql-rule": _set(*TARGET, "datasource", "type", value="loki"),
    "target-logql-auto-rule": _set(*TARGET, "datasource", "type", value="loki"),
    "target-promql-rule": _set(*TARGET, "expr", value="sum("),
    "target-rate-interval-rule": _set(*TARGET, "expr", value="increase(a_total[5m])"),
    "target-job-rule": _set(*TARGET, "expr", value='up{instance=~"$instance"}'),
    "target-instance-rule": _set(*TARGET, "expr", value='up{job=~"$job"}'),
    "target-counter-agg-rule": _set(*TARGET, "expr", value='sum(a_total{job=~"$job"})'),
    "uneditable-dashboard": _set("editable", value=True),
}


class TestQueries:
    @each_query
    def test_only_known_series_are_asked_for(self, asked):
        """Families of the catalogue, our recording rules, and what Prometheus writes per scrape."""
        names = {selector.name for selector in selectors(asked.expr)}
        assert names
        assert names <= set(BY_SAMPLE_NAME) | RECORDED | OF_PROMETHEUS

    @each_query
    def test_matchers_are_over_labels_that_the_family_has(self, asked):
        for selector in selectors(asked.expr):
            family = BY_SAMPLE_NAME.get(selector.name)
            if family is not None:
                own = {label for label, _, _ in matchers(selector)} - OF_TARGETS
                assert own <= set(family.labels) | OF_INFOS

    @each_query
    def test_every_selector_keeps_to_the_chosen_cluster(self, asked):
        for selector in selectors(asked.expr):
            assert ("cluster", "=~", "$cluster") in matchers(selector)

    @each_query
    def test_rates_are_of_counters_only(self, asked):
        """And only of raw ones: a rate of a sum misreads every reset."""
        for node, _ in walk(parse(asked.expr)):
            if isinstance(node, promql.Call) and node.func.name in ("rate", "irate", "increase"):
                (argument,) = node.args
                assert isinstance(argument, promql.MatrixSelector)
                assert argument.vector_selector.name.endswith("_total")

    @each_query
    def test_a_legend_names_labels_that_exist(self, asked):
        known = OF_TARGETS | OF_INFOS | {label for f in BY_SAMPLE_NAME.values() for label in f.labels}
        assert set(re.findall(r"{{(\w+)}}", asked.target["legendFormat"])) <= known | {"model", "reason"}

    def test_the_energy_of_a_node_is_never_a_sum_of_its_workloads(self):
        """Workloads miss what they drew before their first sample; the node's own counters miss nothing."""
        totals = [
            asked
            for asked in queries()
            if asked.panel["title"] in ("Energy", "Emissions", "Power", "Power by component")
        ]
        assert len(totals) >= 8
        for asked in totals:
            assert not [s.name for s in selectors(asked.expr) if "workload" in s.name], str(asked)

    def test_lists_over_a_fleet_are_bounded(self):
        """Every column of a table and every row of bars has an end, also at a thousand nodes."""
        unbounded = {
            asked.panel["title"]
            for asked in queries()
            if asked.panel["type"] in ("bargauge", "table") and not re.search(r"topk\(\d", asked.expr)
        }
        assert unbounded == {
            "Meters",  # of one node
            "Sources",  # one row per grid and licence
            "Whose nobody is",  # five kinds
        }

    def test_lines_do_not_come_and_go_with_their_rank(self):
        """Which series are drawn is decided once, at the end of the time shown, not at every step of it."""
        for asked in queries():
            if asked.target["instant"]:
                continue
            aggregates = [n for n, _ in walk(parse(asked.expr)) if isinstance(n, promql.AggregateExpr)]
            for rank in (one for one in aggregates if (str(one.op), one.modifier) == ("topk", None)):
                ranked = [s for s, _ in walk(rank.expr) if isinstance(s, promql.VectorSelector)]
                assert {str(s.at) for s in ranked} == {"@ end()"}, str(asked)

    def test_a_panel_without_data_says_when(self):
        """Where there would be `No data`; in a table the same text would stand in every empty cell."""
        for title, panel in panels():
            said = panel["fieldConfig"]["defaults"].get("noValue", "")
            if panel["type"] != "table" and " Empty " in panel["description"]:
                assert said.startswith("Nothing "), (title, panel["title"])
            else:
                assert said == ""

    def test_the_plan_of_every_period_is_dashed(self):
        (panel,) = (panel for _, panel in panels() if panel["title"] == "Consumed against plan")
        dashed = {
            override["matcher"]["options"]
            for override in panel["fieldConfig"]["overrides"]
            if any(item["id"] == "custom.lineStyle" for item in override["properties"])
        }
        assert dashed == {f"plan for the {period}" for period in get_args(Period)}

    def test_a_panel_with_recorded_series_says_so(self):
        for title, panel in panels():
            recorded = any(":" in (s.name or "") for t in panel["targets"] for s in selectors(t["expr"]))
            assert ("Needs the recording rules." in panel["description"]) == recorded, (title, panel["title"])


class TestVariables:
    @each_file
    def test_source_cluster_job_and_instance_come_first(self, file):
        names = [variable["name"] for variable in load(file)["templating"]["list"]]
        assert names[:4] == ["datasource", "cluster", "job", "instance"]

    @each_file
    def test_all_clusters_include_no_cluster(self, file):
        """`.+` would match nothing where no label `cluster` exists."""
        (cluster,) = (v for v in load(file)["templating"]["list"] if v["name"] == "cluster")
        assert (cluster["includeAll"], cluster["allValue"]) == (True, ".*")

    @each_file
    def test_every_variable_is_used(self, file):
        dashboard = load(file)
        text = json.dumps(dashboard["panels"]) + json.dumps(
            [v.get("query") for v in dashboard["templating"]["list"]]
        )
        unused = [v["name"] for v in dashboard["templating"]["list"] if f"${v['name']}" not in text]
        assert unused == []

    def test_one_node_is_shown_at_first_where_all_would_be_too_many(self):
        (instance,) = (
            v for v in load(FOLDER / "wattledger-node.json")["templating"]["list"] if v["name"] == "instance"
        )
        assert instance["includeAll"] is False


class TestLinks:
    @each_file
    def test_the_menu_keeps_time_and_selection(self, file):
        (menu,) = load(file)["links"]
        assert (menu["type"], menu["tags"], menu["asDropdown"]) == ("dashboards", ["wattledger"], True)
        assert (menu["keepTime"], menu["includeVars"]) == (True, True)

    def test_links_of_cells_keep_time_and_selection_and_lead_somewhere(self):
        urls = {
            link["url"]
            for _, panel in panels()
            for override in panel["fieldConfig"]["overrides"]
            for item in override["properties"]
            if item["id"] == "links"
            for link in item["value"]
        }
        assert len(urls) >= 2
        for url in urls:
            assert url.split("/")[2] in UIDS.values()
            for kept in ("datasource:queryparam", "job:queryparam", "__url_time_range"):
                assert f"${{{kept}}}" in url

    def test_a_link_leads_to_the_cluster_of_its_row(self):
        """Nodes of two clusters may have one name; a table that links has to show the cluster for it."""
        for title, panel in panels():
            names = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
            links = [
                link["url"]
                for override in panel["fieldConfig"]["overrides"]
                for item in override["properties"]
                if item["id"] == "links"
                for link in item["value"]
            ]
            for url in links:
                assert "var-cluster=${__data.fields.cluster:percentencode}" in url
                assert "cluster" in names, (title, panel["title"])


class TestLayout:
    @each_file
    def test_panels_lie_within_the_grid_and_apart(self, file):
        dashboard = load(file)
        taken = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = set(
                itertools.product(
                    range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
                )
            )
            assert not taken & cells, panel["title"]
            taken |= cells

    @each_file
    def test_numbers_and_titles_are_unique(self, file):
        """The linter's exceptions and links to single panels need it."""
        found = load(file)["panels"]
        assert len({panel["id"] for panel in found}) == len(found)
        titles = [panel["title"] for panel in found if panel["type"] != "row"]
        assert len(set(titles)) == len(titles)

    def test_columns_are_named_after_queries_that_exist(self):
        for title, panel in panels():
            if panel["type"] == "table":
                letters = {target["refId"] for target in panel["targets"]}
                names = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
                wanted = {f"Value #{letter}" for letter in letters} if len(letters) > 1 else {"Value"}
                assert {name for name in names if name.startswith("Value")} == wanted, (
                    title,
                    panel["title"],
                )


class TestColours:
    @pytest.mark.parametrize("colours", palette.SETS, ids="-".join)
    @pytest.mark.parametrize("vision", VISIONS)
    def test_colours_of_a_set_are_told_apart(self, colours, vision):
        """CIE76 distance of at least 15; 2.3 is what a trained eye just notices."""
        for one, other in itertools.combinations(colours.values(), 2):
            assert distance(one, other, vision) >= 15, (one, other)

    @pytest.mark.parametrize("background", [palette.DARK_PANEL, palette.LIGHT_PANEL])
    def test_colours_stand_out_from_both_themes(self, background):
        """WCAG 2.1 asks for 3 to 1 for parts of graphics."""
        for colours in palette.SETS:
            for colour in colours.values():
                assert contrast(colour, background) >= 3, colour

    def test_red_and_green_would_not_pass(self):
        """The usual pair is what the check is for."""
        assert distance("#73BF69", "#F2495C", "none") >= 15
        assert min(distance("#2E7D32", "#A0522D", vision) for vision in VISIONS) < 15

    def test_no_other_colour_is_used(self):
        known = {colour for colours in palette.SETS for colour in colours.values()}
        used = {
            colour for file in FILES for colour in re.findall(r"#[0-9A-Fa-f]{6}\b", Path(file).read_text())
        }
        assert used
        assert used <= known


class TestSchema:
    @each_file
    def test_grafanas_own_types_know_every_key(self, file):
        """Read into the types that are generated from Grafana's schema and written again, nothing is lost."""
        models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
        cog = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
        original = load(file)
        plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
        plugins.register_default_plugins()
        again = json.loads(
            cog.JSONEncoder(sort_keys=True).encode(models.Dashboard.from_json(copy.deepcopy(original)))
        )
        assert lost(original, again) == []


def lost(original, again, path=""):
    """Where a value of the first is not in the second; what is empty in the first may be left out."""
    if isinstance(original, dict):
        if not isinstance(again, dict):
            return [path]
        return [
            place
            for key, value in original.items()
            if value not in (None, {}, [], "")
            for place in (lost(value, again[key], f"{path}/{key}") if key in again else [f"{path}/{key}"])
        ]
    if isinstance(original, list):
        if not isinstance(again, list) or len(again) != len(original):
            return [path]
        return [
            place
            for number, (one, other) in enumerate(zip(original, again, strict=True))
            for place in lost(one, other, f"{path}/{number}")
        ]
    return [] if original == again else [path]
