"""Questions are bounded and exact; answers are kept until the next evaluation and no longer."""

from __future__ import annotations

import threading

import pytest

from dashboards.pages import RANGES as SHOWN
from service.views.asking import POINTS, RANGES, ViewError, asked, instant
from service.views.recent import Recent

NOW = 1_795_000_000_123_456


@pytest.mark.parametrize("name", sorted(RANGES))
def test_a_range_is_covered_by_no_more_points_than_a_chart_shows(name):
    question = asked(NOW, name, {})
    assert question.from_us <= NOW - RANGES[name] + 1_000_000
    assert question.to_us > NOW
    assert len(question.starts) <= POINTS + 2
    assert question.from_us % question.width_us == 0


def test_every_range_that_pages_offer_is_understood():
    assert [each.slug for each in SHOWN] == list(RANGES)


def test_an_unknown_range_names_the_ones_there_are():
    with pytest.raises(ViewError, match="5m, 15m, 1h"):
        asked(NOW, "2h", {})


def test_a_permalink_ends_where_it_says():
    question = asked(NOW, "1h", {}, to="2026-11-18T10:00:00Z")
    assert question.to_us == 1_794_996_000 * 1_000_000
    assert question.pinned


def test_a_permalink_into_the_future_ends_now():
    assert asked(NOW, "1h", {}, to="2199-01-01T00:00:00Z").to_us == asked(NOW, "1h", {}).to_us


@pytest.mark.parametrize("text", ["x", "", "2026-13-01", "1969-01-01T00:00:00Z", "99999-01-01"])
def test_an_instant_that_is_none_is_refused(text):
    with pytest.raises(ViewError, match="to "):
        instant(text)


def test_a_question_is_answered_once_until_the_next_evaluation():
    recent, asked_for = Recent(), []

    def find_out():
        asked_for.append(1)
        return len(asked_for)

    assert [recent.get("q", stamp, find_out) for stamp in (1, 1, 2, 2)] == [1, 1, 2, 2]


def test_those_who_ask_at_once_wait_for_one_answer():
    recent, asked_for, go = Recent(), [], threading.Event()

    def find_out():
        go.wait(5)
        asked_for.append(1)
        return "answer"

    got = []
    threads = [threading.Thread(target=lambda: got.append(recent.get("q", 1, find_out))) for _ in range(8)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(5)
    assert (got, len(asked_for)) == (["answer"] * 8, 1)


def test_an_error_is_not_an_answer():
    recent = Recent()
    with pytest.raises(ZeroDivisionError):
        recent.get("q", 1, lambda: 1 // 0)
    assert recent.get("q", 1, lambda: "now it is known") == "now it is known"


def test_only_so_many_questions_are_remembered():
    recent = Recent(most=2)
    for question in ("a", "b", "a", "c"):
        recent.get(question, 1, lambda: "old")
    assert recent.get("a", 1, lambda: "new") == "old"
    assert recent.get("b", 1, lambda: "new") == "new"
