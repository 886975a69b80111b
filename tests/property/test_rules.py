"""Whatever a budget's text says, it is refused or becomes rules that Prometheus loads."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.promtool import needs_promtool
from wattledger.errors import SettingsError
from wattledger.rules.budget import INFO_LABELS, SERIES_LABELS, TARGET_LABELS, FleetBudget
from wattledger.rules.check import check
from wattledger.rules.generate import groups
from wattledger.rules.load import load_budgets
from wattledger.rules.text import render

AWKWARD = st.sampled_from([*"\"'\\{}[]()|.*+?^$#:&!%@`~,- \t\n\x85\u2028\ufeff\ud800ä日😀", "{{", "}}", "%s"])
TEXTS = st.lists(st.characters() | AWKWARD | st.sampled_from("abc019"), max_size=8).map("".join)
NAMES = TEXTS | st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,6}[A-Za-z0-9])?", fullmatch=True)
MASSES = TEXTS | st.builds(
    "{}{}{}".format,
    st.decimals(min_value=0, max_value=10**18, allow_nan=False, places=6),
    st.sampled_from(["", " "]),
    st.sampled_from(["mg", "g", "kg", "t"]),
)
PIECES = r"""
    a b 1 . * + ? ( ) [ ] { } | \\ ^ $ - , ä \d \Z \A \u0041 \x41 \0 \1 \. \( \{ \ä {2} {,3} {1001}
    (?: (?P<n> (?i) (?a) (?= [[:alpha:]] [^ *? ++ && " '
"""
PATTERNS = st.lists(st.sampled_from(PIECES.split()), max_size=6).map("".join)
SELECTABLE = st.sampled_from([*TARGET_LABELS, *SERIES_LABELS, *INFO_LABELS])
PLAIN = {"name": "a", "limit": "1 kg"}
# One of these each time: of a list in which everything is odd, something is always refused.
ODD = st.one_of(
    st.builds(lambda name: {"name": name}, NAMES),
    st.builds(lambda limit: {"limit": limit}, MASSES),
    st.builds(lambda word: {"severity": word}, TEXTS),
    st.builds(lambda label, text: {"labels": {label: text}}, TEXTS | st.just("le"), TEXTS),
    st.builds(lambda text: {"labels": {"owner": text}}, TEXTS),
    st.builds(lambda label, names: {"select": {label: names}}, SELECTABLE, st.lists(TEXTS, max_size=3)),
    *[st.builds(lambda label, like: {"select": {label: like}}, SELECTABLE, PATTERNS) for _ in range(3)],
)
PERIODS = st.sampled_from(["day", "week", "month", "quarter", "year"])
SCOPES = st.sampled_from(["operational", "total"])


@needs_promtool
@settings(deadline=None, max_examples=150)
@given(ODD, PERIODS, SCOPES)
def test_a_budget_is_refused_or_becomes_rules_that_load(
    odd: dict[str, object], period: str, scope: str
) -> None:
    """With any text as a name, mass, label or pattern; what is refused names its key path."""
    budget = {**PLAIN, "period": period, "scope": scope, **odd}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "budgets.yml"
        path.write_text(yaml.safe_dump({"budgets": [budget]}))
        found, said = _loaded(path)
        assert said == "" or "budgets" in said.removeprefix(f"{path}:")
        assert found == () or check(render(groups(found), ["made from a list"])) is True


def _loaded(path: Path) -> tuple[tuple[FleetBudget, ...], str]:
    """The budgets in a file, or why there are none."""
    try:
        return load_budgets(str(path)), ""
    except SettingsError as error:
        return (), str(error)
