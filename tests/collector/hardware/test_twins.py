"""Two routes, one error: counted once whatever the order, the delay, the storm."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from collector.hardware.reports import SLACK_US, Report, Route, Twins

SECOND = 1_000_000


def report(route, at_us, *, after_us=None, code=79, gpu="GPU-1"):
    return Report(
        gpu=gpu, code=code, route=route, after_us=at_us if after_us is None else after_us, at_us=at_us
    )


@given(
    errors=st.lists(
        st.tuples(st.integers(0, 10**9), st.sampled_from([13, 79]), st.sampled_from("ab")), max_size=60
    ),
    driver_late=st.integers(0, 30 * SECOND),
    kernel_late=st.integers(0, 3 * SECOND),
    kernel_first=st.booleans(),
)
def test_every_error_told_by_both_routes_counts_once(errors, driver_late, kernel_late, kernel_first):
    # The driver's events are stamped when read: an interval back to the read before. A line of a
    # text file too; either can be late, even by a call that hung for half a minute.
    driver = [
        report(Route.DRIVER, at + driver_late, after_us=at - SECOND, code=code, gpu=gpu)
        for at, code, gpu in errors
    ]
    kernel = [
        report(Route.KERNEL_LOG, at + kernel_late, after_us=at, code=code, gpu=gpu)
        for at, code, gpu in errors
    ]
    twins = Twins()
    told = [*kernel, *driver] if kernel_first else [*driver, *kernel]
    ordered = sorted(told, key=lambda each: each.at_us)  # as they arrive
    assert sum(not twins.is_repeat(each) for each in ordered) == len(errors)
    assert twins.alone() == []


def test_two_reports_by_one_route_are_two_errors():
    twins = Twins()
    assert [twins.is_repeat(report(Route.KERNEL_LOG, 0)) for _ in range(3)] == [False] * 3


def test_reports_further_apart_than_the_slack_are_two_errors():
    twins = Twins()
    first = report(Route.KERNEL_LOG, 0)
    assert not twins.is_repeat(first)
    assert not twins.is_repeat(report(Route.DRIVER, SLACK_US + 1))
    assert twins.is_repeat(replace(first, route=Route.DRIVER, at_us=SLACK_US))


def test_what_waits_is_bounded():
    twins = Twins()
    for second in range(10_000):
        twins.is_repeat(report(Route.DRIVER, second * SECOND))
    assert len(twins.alone()) <= 256
