"""`wattledger rules` as a user meets it: a list of budgets in, a rule file or a message out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.command_line import REPOSITORY, run
from tests.promtool import needs_promtool
from wattledger.errors import SettingsError
from wattledger.rules.budget import Matcher
from wattledger.rules.load import load_budgets

EXAMPLE = REPOSITORY / "deploy/prometheus/budgets.example.yml"


def refused(folder: Path, text: str) -> str:
    """The message for a list, without its folder."""
    path = folder / "budgets.yml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_budgets(str(path))
    return str(caught.value).removeprefix(f"{folder}/")


def with_budget(line: str) -> str:
    """A list with one budget, whose keys beyond name, limit and period are `line` (line 5)."""
    return f"budgets:\n  - name: a\n    limit: 1 kg\n    period: day\n    {line}\n"


@needs_promtool
def test_the_example_becomes_a_rule_file(tmp_path: Path) -> None:
    """With a heading that says how it was made, checked by promtool, and the same at every run."""
    written = tmp_path / "out.yml"
    done = run("rules", "--config", str(EXAMPLE), "--output", str(written))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "6 budgets, checked by promtool\n"
    text = written.read_text()
    assert text.startswith("# Made by `wattledger rules --config budgets.example.yml`;\n")
    assert "# and needs a retention of 366 days for the recorded series.\n" in text
    assert "# team-ml-month, batch-day, shop-week, astro-quarter.\n" in text
    names = [group["name"] for group in yaml.safe_load(text)["groups"]]
    assert names[0] == "wattledger-budget-everything-year"
    assert len(names) == 6
    assert run("rules", "--config", str(EXAMPLE)).stdout == text
    assert [path.name for path in tmp_path.iterdir()] == ["out.yml"]
    assert written.stat().st_mode & 0o777 == 0o644


def test_without_promtool_it_says_that_nobody_else_looked() -> None:
    """The rules are written all the same."""
    done = run("rules", "--config", str(EXAMPLE), env={"PATH": ""})
    assert done.returncode == 0
    assert done.stderr == "6 budgets, not checked by promtool, which is not on PATH\n"
    assert yaml.safe_load(done.stdout)["groups"]


def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    """Exit status 2, with file, line and key path; the file of before stays as it is."""
    (tmp_path / "budgets.yml").write_text(with_budget("timezone: Europe/Berlin"))
    written = tmp_path / "out.yml"
    written.write_text("before")
    done = run("rules", "--config", "budgets.yml", "--output", "out.yml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        'wattledger: budgets.yml:5: budgets[0].timezone: "Europe/Berlin" is not accepted; give UTC:'
        " rules of Prometheus know no other time zone; an agent's own budgets do\n"
    )
    assert written.read_text() == "before"


def test_a_mistake_with_line_breaks_in_it_is_one_line_too(tmp_path: Path) -> None:
    """They are shown as they can be written."""
    (tmp_path / "budgets.yml").write_text(with_budget(r'labels: {"a\rb": "x"}'))
    done = run("rules", "--config", "budgets.yml", cwd=tmp_path)
    assert done.stderr.startswith(
        r'wattledger: budgets.yml:5: budgets[0].labels.a\rb: "a\rb" is not accepted; '
    )
    assert len(done.stderr.splitlines()) == 1


@needs_promtool
def test_what_only_promtool_knows_to_be_wrong_is_refused(tmp_path: Path) -> None:
    """A regular expression that Python takes and RE2 does not."""
    (tmp_path / "budgets.yml").write_text(with_budget(r"select: {pod_namespace: 'a[\b]'}"))
    done = run("rules", "--config", "budgets.yml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("wattledger: budgets.yml: promtool refuses the rules: ")
    assert done.stderr.count("error parsing regexp") == 1  # of the many rules that it is in


def test_an_output_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With the reason."""
    done = run("rules", "--config", str(EXAMPLE), "--output", str(tmp_path / "no/out.yml"))
    assert done.returncode == 2
    assert done.stderr.endswith("/no/out.yml cannot be written: No such file or directory\n")


def test_an_output_of_one_dash_is_standard_output(tmp_path: Path) -> None:
    """As in other commands of a shell, and no file of that name."""
    done = run("rules", "--config", str(EXAMPLE), "--output", "-", cwd=tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (0, [])
    assert done.stdout == run("rules", "--config", str(EXAMPLE)).stdout


def test_a_list_with_a_line_break_in_its_name_is_one_comment(tmp_path: Path) -> None:
    """The rules begin with the name of the file that they were made from."""
    (tmp_path / "a: [\n.yml").write_text(EXAMPLE.read_text())
    done = run("rules", "--config", "a: [\n.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# Made by `wattledger rules --config a: [?.yml`;\n# ")


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    """What a link leads to is replaced; what is no file, such as /dev/stdout, is left alone."""
    (tmp_path / "v1.yml").write_text("before")
    (tmp_path / "rules.yml").symlink_to("v1.yml")
    assert run("rules", "--config", str(EXAMPLE), "--output", str(tmp_path / "rules.yml")).returncode == 0
    assert (tmp_path / "rules.yml").is_symlink()
    assert (tmp_path / "v1.yml").read_text().startswith("# Made by")
    (tmp_path / "null").symlink_to("/dev/null")
    done = run("rules", "--config", str(EXAMPLE), "--output", str(tmp_path / "null"))
    assert done.returncode == 2
    assert done.stderr.endswith("/null is no regular file, so it cannot be replaced\n")
    assert (tmp_path / "null").is_symlink()


def test_budgets_are_read_as_written(tmp_path: Path) -> None:
    """Masses in grams, teams as their namespaces, and a namespace called `no` is no truth value."""
    path = tmp_path / "budgets.yml"
    path.write_text(
        "teams: {nordic: [no, se]}\n"
        "budgets:\n"
        "  - {name: a, limit: 1.5 t, period: year, select: {team: nordic, cluster: eu}}\n"
        "  - {name: b, limit: 50 kg, period: day, scope: total, severity: page, select: {user: [x]}}\n"
        "  - {name: c, limit: 20g, period: week, timezone: UTC, labels: {team: x}}\n"
    )
    a, b, c = load_budgets(str(path))
    assert (a.limit_g, b.limit_g, c.limit_g) == (1_500_000.0, 50_000.0, 20.0)
    assert a.select == {"pod_namespace": Matcher(exactly=("no", "se")), "cluster": Matcher(like="eu")}
    assert a.labels == {"team": "nordic"}
    assert (b.scope, b.severity, b.select) == ("total", "page", {"user": Matcher(exactly=("x",))})
    assert (c.labels, c.of_nodes, a.of_nodes, b.of_nodes) == ({"team": "x"}, True, False, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "budgets.yml: the file is empty; list the budgets under `budgets:`"),
        ("a: [", "budgets.yml:1: not valid YAML: expected the node content, but found '<stream end>'"),
        ("budgets: []\n", "budgets.yml:1: budgets: no budget is given; list one or more"),
        ("teams: {}\n", "budgets.yml:1: the file: budgets is missing"),
        ("budgets: x\n", "budgets.yml:1: budgets: not what is expected here; give a list of budgets"),
        ("\nbudget: []\nbudgets: []", "budgets.yml:2: budget: unknown key; accepted are budgets, teams"),
        ("budgets:\n- name: a\n  name: b\n", "budgets.yml:3: budgets[0].name: given twice; keep one of them"),
        ("budgets:\n- {name: a, limit: 1 g}\n", "budgets.yml:2: budgets[0]: period is missing"),
        (
            with_budget("limits: 3"),
            ("budgets.yml:5: budgets[0].limits: unknown key; accepted are"
            " name, limit, period, timezone, severity, scope, labels, select"),
        ),
        (
            with_budget("select: {namespace: ml}"),
            ("budgets.yml:5: budgets[0].select.namespace: unknown label; accepted are cluster, job, instance,"
            " kind, id, name, pod_namespace, pod_name, container_name,"
            " user, account, partition, unit, image, runtime, team"),
        ),
        (
            with_budget("select: {team: ml}"),
            ('budgets.yml:5: budgets[0].select.team: "ml" is not accepted;'
            " give a team that is listed under teams"),
        ),
        (
            with_budget("select: {user: 'ml-*'}"),
            ('budgets.yml:5: budgets[0].select.user: "ml-*" is a pattern of the shell;'
            " give a name, a regular expression of RE2 such as ml-.*, or a list of names,"
            " with .* for anything"),
        ),
        (
            with_budget("select: {user: '(?!a).*'}"),
            ('budgets.yml:5: budgets[0].select.user: "(?!a).*" is not accepted;'
            " give a name, a regular expression of RE2 such as ml-.*, or a list of names"),
        ),
        (
            with_budget("select: {user: .*}"),
            ('budgets.yml:5: budgets[0].select.user: ".*" matches what has no such label too;'
            " give .+ for any value, or leave it out"),
        ),
        (
            with_budget("select: {user: []}"),
            "budgets.yml:5: budgets[0].select.user: give one or more names, none of them empty",
        ),
        (
            with_budget("labels: {budget: x}"),
            ('budgets.yml:5: budgets[0].labels.budget: "budget" is not accepted;'
            " give a name of a label other than budget, period, severity, window, alertname"),
        ),
        (
            with_budget("labels: [x]"),
            "budgets.yml:5: budgets[0].labels: not what is expected here; give a mapping of labels to texts",
        ),
        (
            with_budget("labels: {owner: '{{ $value }}'}"),
            ('budgets.yml:5: budgets[0].labels.owner: "{{ $value }}" is not accepted;'
            " give a text of 1 to 200 characters on one line, without {{"),
        ),
        (
            with_budget(r'labels: {owner: "\ud800"}'),
            ('budgets.yml:5: budgets[0].labels.owner: "\ud800" is not accepted;'
            " give a text of 1 to 200 characters on one line, without {{"),
        ),
        (
            with_budget(r'select: {user: ["a\x85"]}'),
            "budgets.yml:5: budgets[0].select.user: give one or more names, none of them empty",
        ),
        (
            "teams: {'{{': [a]}\n" + with_budget("select: {team: '{{'}"),
            ('budgets.yml:6: budgets[0].select.team: "{{" is not accepted;'
            " give a name without {{, for it becomes a label"),
        ),
        (
            with_budget(r'select: {user: ["\ud800"]}'),
            "budgets.yml:5: budgets[0].select.user: give one or more names, none of them empty",
        ),
        (
            with_budget("scope: all"),
            'budgets.yml:5: budgets[0].scope: "all" is not accepted; give one of operational, total',
        ),
        (
            "budgets:\n- {name: a, limit: 5, period: day}\n",
            ('budgets.yml:2: budgets[0].limit: "5" is not accepted;'
            " give a mass with its unit (g, kg, t), such as 500 kg"),
        ),
        (
            "budgets:\n- {name: a, limit: 0 kg, period: day}\n",
            ('budgets.yml:2: budgets[0].limit: "0 kg" is not accepted;'
            " give a mass with its unit (g, kg, t), such as 500 kg"),
        ),
        (
            "budgets:\n- {name: a b, limit: 1 g, period: day}\n",
            ('budgets.yml:2: budgets[0].name: "a b" is not accepted;'
            " give up to 64 letters, digits and . _ -, such as ml-month"),
        ),
        (
            "budgets:\n- {name: a, limit: 1 g, period: hour}\n",
            ('budgets.yml:2: budgets[0].period: "hour" is not accepted;'
            " give one of day, week, month, quarter, year"),
        ),
        (
            "budgets:\n- {name: a, limit: 1 g, period: day}\n- {name: a, limit: 1 g, period: week}\n",
            'budgets.yml:3: budgets[1].name: another budget is called "a" already',
        ),
        ("a: &a [*a]\n", "budgets.yml:1: a[0][0][0][0][0][0][0][0]: nested too deeply"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    """File, line, key path, what was given and what is accepted."""
    assert refused(tmp_path, text) == message


def test_a_regular_expression_may_repeat_what_is_no_letter(tmp_path: Path) -> None:
    """`\\d*` and `.*` are meant as such; only a star behind a plain character is one of the shell."""
    path = tmp_path / "budgets.yml"
    path.write_text(with_budget("select: {user: 'u\\d*', account: '(a|b).*', name: '[ab]*c'}"))
    (budget,) = load_budgets(str(path))
    assert budget.select["user"] == Matcher(like="u\\d*")


@pytest.mark.parametrize(
    "pattern", [r"a\Z", r"\u0041", r"\ä", "(?a)x", "(?x) a", "(?=a)b", "a{1001}", "(?P<ä>a)", r"(a)\1", "a++"]
)
def test_what_only_python_can_match_is_refused(tmp_path: Path, pattern: str) -> None:
    """Also where there is no promtool: Prometheus would not load the file."""
    assert "is not accepted" in refused(tmp_path, with_budget(f"select: {{user: '{pattern}'}}"))


@pytest.mark.parametrize(
    "pattern", [r"\(?a", "(?i)a", "(?i-s:a)", "(?P<n>a)", "[[:alpha:]]+", "a[&&b]", "a{1000}"]
)
def test_what_both_can_match_is_taken(tmp_path: Path, pattern: str) -> None:
    """And nothing is said on the side, as Python does of sets in sets."""
    (tmp_path / "budgets.yml").write_text(with_budget(f"select: {{user: '{pattern}'}}"))
    done = run("rules", "--config", "budgets.yml", cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1), done.stderr


def test_a_class_of_letters_that_may_be_missing_matches_what_has_no_label(tmp_path: Path) -> None:
    """Python reads [[:alpha:]]* as something else, which never matches nothing."""
    assert "matches what has no such label" in refused(
        tmp_path, with_budget("select: {user: '[[:alpha:]]*'}")
    )


def test_a_list_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With the reason."""
    with pytest.raises(SettingsError, match=r"no\.yml: cannot read the list of budgets: No such file"):
        load_budgets(str(tmp_path / "no.yml"))
