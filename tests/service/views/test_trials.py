"""A trial as the page draws it: its pages of all groups laid together, none left out of the drawing."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from service.past.trying import Trial
from service.views import trials
from service.views.asking import asked
from slo.backtest import WouldBe
from slo.cells import Cells
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from telemetry.condition import Severity

MINUTE = 60_000_000
NOW = 1_800_000_000_000_000
TTFT = Objective(name="ttft", indicator=Ttft(2_000_000), target=Decimal("0.99"), group_by=("tenant",))


def would_be(tenant, from_minute, to_minute, *, severity=Severity.PAGE, worst=20):
    pair = next(each for each in TTFT.alerts.pairs if each.severity is severity)
    to_us = None if to_minute is None else NOW + to_minute * MINUTE
    return WouldBe(
        group=(tenant,),
        severity=severity,
        pair=pair,
        from_us=NOW + from_minute * MINUTE,
        to_us=to_us,
        burn=Fraction(15),
        worst=Fraction(worst),
    )


def told(*alerts, group=None):
    trial = Trial(objective=TTFT, cells=Cells.empty(), alerts=alerts, silent=None)
    return trials.view(trial, asked(NOW, "1h", {}), group, "")


def spans(answer):
    return [
        ((each["from_ms"] - NOW // 1000) // 60_000, (each["to_ms"] - NOW // 1000) // 60_000, each["times"])
        for each in answer["paged"]
    ]


def test_pages_that_overlap_are_one_span_that_says_how_many_they_are():
    answer = told(would_be("a", -50, -40, worst=30), would_be("b", -45, -30), would_be("a", -20, None))
    assert spans(answer) == [(-50, -30, 2), (-20, 0, 1)]
    assert answer["paged"][0]["worst"] == 30
    assert answer["longest_us"] == asked(NOW, "1h", {}).to_us - NOW + 20 * MINUTE


def test_every_page_is_drawn_though_not_each_is_told():
    many = [would_be(f"t{number}", -number - 1, -number) for number in range(2 * trials.MOST_ALERTS)]
    answer = told(*many)
    assert len(answer["alerts"]) == trials.MOST_ALERTS < answer["pages"]
    assert sum(times for *_, times in spans(answer)) == answer["pages"]


def test_tickets_and_other_groups_are_not_drawn_as_pages():
    answer = told(
        would_be("a", -9, -8),
        would_be("b", -5, -4),
        would_be("a", -3, -2, severity=Severity.TICKET),
        group="a",
    )
    assert (answer["pages"], answer["tickets"], spans(answer)) == (1, 1, [(-9, -8, 1)])
    assert told()["longest_us"] is None
