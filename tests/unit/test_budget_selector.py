"""The selector: shell patterns, one of which has to match for every label."""

from dataclasses import replace

import pytest

from wattledger.carbon.budgets.selector import IDENTITY, Selector, labels_of
from wattledger.errors import SettingsError
from wattledger.model import OTHER, UNATTRIBUTED, Workload

TRAINER = Workload(
    kind="container",
    id="c0ffee",
    name="trainer",
    pod_namespace="ml-prod",
    pod_name="train-7",
    container_name="main",
    facts=(("user", "ada"), ("account", "physics"), ("name", "a fact of that name")),
)


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ({}, True),
        ({"pod_namespace": ("ml-prod",)}, True),
        ({"pod_namespace": ("ml",)}, False),
        ({"pod_namespace": ("ml-*",)}, True),
        ({"pod_namespace": ("ML-*",)}, False),
        ({"pod_namespace": ("web", "ml-*")}, True),
        ({"pod_namespace": ("web", "ml-prod")}, True),
        ({"pod_namespace": ("web", "db-*")}, False),
        ({"pod_name": ("train-?",)}, True),
        ({"pod_name": ("train-[0-6]",)}, False),
        ({"pod_name": ("train-[!0-6]",)}, True),
        ({"pod_name": ("rain-*",)}, False),
        ({"kind": ("container",), "id": ("c0*",), "container_name": ("main",)}, True),
        ({"kind": ("container",), "container_name": ("sidecar",)}, False),
        ({"user": ("ada", "grace")}, True),
        ({"account": ("phys*",), "user": ("grace",)}, False),
        ({"partition": ("*",)}, False),
        ({"user": ("*",)}, True),
        ({"name": ("trainer",)}, True),
        ({"name": ("a fact*",)}, False),
    ],
)
def test_every_label_has_to_match_one_of_its_patterns(select, expected):
    assert Selector(select).matches(TRAINER) is expected


@pytest.mark.parametrize("label", IDENTITY)
def test_no_fact_takes_the_place_of_an_identity_label(label):
    """Facts come from outside, as the labels of a pod do, and may have any name."""
    boasting = replace(TRAINER, facts=((label, "somebody-else"),))
    assert not Selector({label: ("somebody-else",)}).matches(boasting)
    assert Selector({label: (labels_of(TRAINER)[label],)}).matches(boasting)


def test_what_is_unknown_matches_no_pattern():
    """Neither a star nor a negation stands for a name that nobody knows."""
    nameless = Workload(kind="container", id="c0ffee")
    assert not Selector({"pod_namespace": ("*",)}).matches(nameless)
    assert not Selector({"pod_namespace": ("[!x]*",)}).matches(nameless)
    assert not Selector({"id": ("*",)}).matches(OTHER)


def test_pseudo_workloads_are_selected_by_their_kind():
    assert Selector({"kind": ("unattributed",)}).matches(UNATTRIBUTED)
    assert not Selector({"kind": ("unattributed",)}).matches(OTHER)


def test_a_pattern_is_not_a_regular_expression():
    dotted = Workload(kind="unit", id="a.service", name="a.service")
    assert Selector({"name": ("a.service",)}).matches(dotted)
    assert not Selector({"name": (".*",)}).matches(Workload(kind="unit", id="x", name="ab"))
    assert Selector({"name": ("a+(b)", "a.*")}).matches(Workload(kind="unit", id="x", name="a+(b)"))


def test_the_text_is_canonical():
    """Order and repetition do not matter."""
    one = Selector({"pod_namespace": ("ml", "web-*"), "kind": ("container",)})
    other = Selector({"kind": ("container", "container"), "pod_namespace": ("web-*", "ml")})
    assert one.text == other.text == "kind=container,pod_namespace=ml|web-*"
    assert Selector({}).text == ""
    assert Selector({}).everything
    assert not one.everything


def test_the_text_is_bounded():
    long = Selector({"name": tuple(f"workload-{n:03}" for n in range(100))})
    assert len(long.text) == 200
    assert long.text.startswith("name=workload-000|workload-001|")
    assert long.text.endswith("...")


@pytest.mark.parametrize("select", [{"name": ()}, {"name": ("",)}, {"name": ("a", "")}, {"": ("a",)}])
def test_a_label_without_a_pattern_is_refused(select):
    with pytest.raises(SettingsError, match="one or more patterns"):
        Selector(select)
