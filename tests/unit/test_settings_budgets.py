"""How people set budgets, and what they are told when one cannot be used."""

from __future__ import annotations

import pytest

from tests.settings_file import refusal_of, settings_of
from wattledger.settings import BudgetSettings

VALID = "name: a, period: day, limit: 2 kg"


def budget(text: str) -> BudgetSettings:
    """The budget of a file that has one with these settings."""
    (one,) = settings_of(f"budgets: [{{{VALID}, {text}}}]").budgets
    return one


def test_every_key_of_a_budget_arrives_in_the_tree() -> None:
    """One budget with the least, one with everything, in the order of the file."""
    budgets = settings_of(
        """
        budgets:
          - {name: node-month, period: month, limit: 50 kg}
          - name: ml:day_1.0
            period: day
            limit: 1.5 t
            timezone: Europe/Berlin
            select: {pod_namespace: ml, user: [ann, bob*], account: "*"}
            scope: total
        """
    ).budgets
    assert budgets == (
        BudgetSettings(name="node-month", limit_g=50_000.0, period="month"),
        BudgetSettings(
            name="ml:day_1.0",
            limit_g=1_500_000.0,
            period="day",
            timezone="Europe/Berlin",
            select={"pod_namespace": ("ml",), "user": ("ann", "bob*"), "account": ("*",)},
            scope="total",
        ),
    )


@pytest.mark.parametrize("text", ["budgets:", "budgets: []", ""])
def test_no_budgets_are_fine(text: str) -> None:
    """A file whose budgets are all commented out has none."""
    assert settings_of(text).budgets == ()


def test_a_budget_without_a_zone_is_in_that_of_the_site() -> None:
    """The zone is said once, and a flag changes it for both."""
    text = f"carbon: {{timezone: Asia/Tokyo}}\nbudgets: [{{{VALID}}}]"
    assert settings_of(text).budgets[0].timezone == "Asia/Tokyo"
    assert settings_of(text, {"carbon.timezone": "UTC"}).budgets[0].timezone == "UTC"


@pytest.mark.parametrize("period", ["day", "week", "month", "quarter", "year"])
def test_each_period_can_be_given(period: str) -> None:
    assert budget("scope: operational").scope == "operational"
    assert settings_of(f"budgets: [{{name: a, period: {period}, limit: 1 g}}]").budgets[0].period == period


def test_patterns_are_text_whatever_yaml_makes_of_them() -> None:
    """A user by number, Norway, and a truth value are names here; an empty selector is the whole node."""
    assert budget("select: {user: [1000, NO, true], unit: 'a?[bc]'}").select == {
        "user": ("1000", "NO", "true"),
        "unit": ("a?[bc]",),
    }
    assert budget("select: {}").select == {}
    assert budget("select: ").select == {}


MASS = "give a mass from 1 g to 1000000 t with its unit, one of g, kg, t, Mg, such as 50 kg"
KEYS = "accepted under budgets[0]: name, period, limit, timezone, select, scope"
LIST = "give a list of budgets such as {name: node-month, period: month, limit: 50 kg}"
PATTERN = "give a shell pattern of up to 256 characters, such as ml or bob*"
PATTERNS = "give a shell pattern or a list of them, such as [ann, bob*]"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{name: a}", f": a mapping is not accepted; {LIST}"),
        ("node", f': "node" is not accepted; {LIST}'),
        ("[a]", '[0]: "a" is not accepted; give a budget such as {name: node-month, period: month, limit:'),
        ("[~]", "[0]: nothing is not accepted; give a budget such as {name: node-month, period: month,"),
        ("[{name: a, period: day}]", f"[0]: limit is missing; {MASS}"),
        ("[{name: a, limit: 1 kg}]", "[0]: period is missing; give one of day, week, month, quarter, year"),
        ("[{period: day}]", "[0]: name is missing; give a name of up to 64 letters, digits and _.:-"),
        ("[{name: , period: day}]", "[0]: name is missing; give a name of up to 64 letters, digits and _.:-"),
        ("[{name: a, period: day, limit: 50}]", f'[0].limit: "50" is not accepted; {MASS}'),
        ("[{name: a, period: day, limit: 0 kg}]", f'[0].limit: "0 kg" is not accepted; {MASS}'),
        ("[{name: a, period: day, limit: [1 kg]}]", f"[0].limit: a list is not accepted; {MASS}"),
        (
            "[{name: a b, period: day, limit: 1 g}]",
            '[0].name: "a b" is not accepted; give a name of up to 64 letters, digits and _.:-',
        ),
        (
            "[{name: a, period: daily, limit: 1 g}]",
            '[0].period: "daily" is not accepted; give one of day, week, month, quarter, year',
        ),
        (
            f"[{{{VALID}}}, {{{VALID}}}]",
            "[1].name: a is the name of budgets[0] too; give each budget a name of its own",
        ),
        (f"[{{{VALID}, nmae: b}}]", f"[0].nmae: unknown key; the nearest valid key is name; {KEYS}"),
        (
            f"[{{{VALID}, selector: {{}}}}]",
            f"[0].selector: unknown key; the nearest valid key is select; {KEYS}",
        ),
        (f"[{{{VALID}, name: b}}]", "[0].name: given twice; keep one of them"),
        (f"[{{{VALID}, ? [b] : 1}}]", "[0]: a key must be plain text"),
        (
            f"[{{{VALID}, select: ml}}]",
            (
                '[0].select: "ml" is not accepted; give a mapping from labels of workloads to shell patterns,'
                " such as {pod_namespace: ml}"
            ),
        ),
        (
            f"[{{{VALID}, select: {{Pod: ml}}}}]",
            (
                "[0].select.Pod: no label of a workload can be called that; give one such as kind, name,"
                " pod_namespace or user, of lower-case letters, digits and _"
            ),
        ),
        (
            f"[{{{VALID}, select: {{namespace: ml}}}}]",
            "[0].select.namespace: no workload has that label; the one meant is pod_namespace",
        ),
        (
            f"[{{{VALID}, select: {{user: []}}}}]",
            f"[0].select.user: an empty list matches nothing; {PATTERNS}",
        ),
        (f"[{{{VALID}, select: {{user: }}}}]", f"[0].select.user: nothing is not accepted; {PATTERNS}"),
        (f"[{{{VALID}, select: {{user: ''}}}}]", f'[0].select.user: "" is not accepted; {PATTERN}'),
        (
            f"[{{{VALID}, select: {{user: [a, ~]}}}}]",
            f"[0].select.user[1]: nothing is not accepted; {PATTERN}",
        ),
        (f"[{{{VALID}, select: {{user: [[a]]}}}}]", f"[0].select.user[0]: a list is not accepted; {PATTERN}"),
        (
            f"[{{{VALID}, select: {{{', '.join(f'l{n}: a' for n in range(13))}}}}}]",
            "[0].select: 13 labels are too many; give at most 12",
        ),
        (
            f"[{{{VALID}, timezone: Europe/Berln}}]",
            (
                "[0].timezone: 'Europe/Berln' is no time zone (did you mean Europe/Berlin?); give a"
                " name from the"
            ),
        ),
        (f"[{{{VALID}, scope: all}}]", '[0].scope: "all" is not accepted; give one of operational, total'),
    ],
)
def test_a_mistake_names_file_line_key_and_what_is_accepted(written: str, message: str) -> None:
    """Each message can be acted on without reading the documentation."""
    assert refusal_of(f"budgets: {written}").startswith(f"w.yaml:1: budgets{message}")


def test_a_mistake_in_a_long_list_names_its_own_line() -> None:
    """Budgets are written over many lines; the wrong value is on the sixth."""
    text = (
        "budgets:\n- {name: a, period: day, limit: 1 g}\n- name: b\n  period: day\n  # much\n  limit: many\n"
    )
    assert refusal_of(text) == f'w.yaml:6: budgets[1].limit: "many" is not accepted; {MASS}'


@pytest.mark.parametrize("written", ["*bob", "[*]"])
def test_a_bare_star_is_told_from_a_broken_file(written: str) -> None:
    """To YAML it is an alias."""
    message = refusal_of(f"budgets: [{{{VALID}, select: {{user: {written}}}}}]")
    assert message.startswith("w.yaml:1: not valid YAML: ")
    assert message.endswith("; put quotes around a text that begins with *")
