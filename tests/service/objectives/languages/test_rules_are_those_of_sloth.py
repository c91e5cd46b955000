"""Rules for Sloth's specs: its groups, names, labels, windows and thresholds, as YAML values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from service.objectives.languages.durations import prometheus_us
from service.objectives.languages.rules import Wanted

FIXTURES = Path(__file__).parents[4] / "../shared/fixtures/slo/sloth"
CASES = sorted(each for each in FIXTURES.glob("*") if each.is_dir())
FIGURE = re.compile(r"> \(?([-\d.e* ]+)\)?\)|vector\(([^)]*)\)")
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not CASES, reason="needs ../shared/fixtures/slo"),
]


def _asked(case):
    flags = YAML(typ="safe", pure=True).load(case / "args.yaml")
    period = flags.get("default_slo_period")
    return {
        "period_us": prometheus_us(period) if period else None,
        "wanted": Wanted(
            labels=flags.get("extra_labels", {}),
            alerts=not flags.get("disable_alerts", False),
            recordings=not flags.get("disable_recordings", False),
        ),
    }


def _groups(document):
    return document["groups"] if "groups" in document else document["spec"]["groups"]


def _figures(expression):
    """Returns the numbers of a rule: budgets and thresholds, products worked out."""
    written = [next(filter(None, found)) for found in FIGURE.findall(expression)]
    return [eval(each, {"__builtins__": {}}) for each in written]


def _shape(rule):
    """Returns a rule without its figures, without how it computes the SLI, and without who wrote it."""
    labels = {name: value for name, value in rule["labels"].items() if name != "sloth_version"}
    name = rule.get("record", "")
    expression = "" if name.startswith("slo:sli_error") else FIGURE.sub("> x)", rule["expr"])
    return {**rule, "labels": labels, "expr": " ".join(expression.split())}


@pytest.fixture(scope="module", params=CASES, ids=lambda path: path.name)
def pair(request, converted, values):
    """Our groups and Sloth's, of one case."""
    case = request.param
    ours = values(converted("sloth", "prometheus", case / "input.yaml", **_asked(case)))
    theirs = values((case / "expected.yaml").read_text())
    return tuple([group for document in each for group in _groups(document)] for each in (ours, theirs))


def test_groups_rules_names_labels_and_windows_are_the_same(pair):
    ours, theirs = (
        [(group["name"], [_shape(rule) for rule in group["rules"]]) for group in groups] for groups in pair
    )
    assert ours == theirs


def test_thresholds_objectives_and_budgets_are_the_same_numbers(pair):
    ours, theirs = (
        [
            _figures(rule["expr"])
            for group in groups
            for rule in group["rules"]
            if "sli_error" not in rule.get("record", "")
        ]
        for groups in pair
    )
    assert any(ours)
    assert [pytest.approx(each, rel=1e-9) for each in theirs] == ours


def test_every_sli_is_one_ratio_over_its_own_window(pair):
    ours, _ = pair
    slis = [rule for group in ours for rule in group["rules"] if "sli_error" in rule.get("record", "")]
    for rule in slis:
        window = rule["labels"]["sloth_window"]
        assert f"[{window}]" in rule["expr"]
        assert "count_over_time(slo:" not in rule["expr"]
        assert "window}}" not in rule["expr"]
