"""What files say of corrections is kept as told; counts follow at the next step, nothing is deleted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.counting.correcting import changes, intervals
from service.objectives.files import parse, said
from service.objectives.mistakes import ObjectiveFileError
from service.store.corrections import Ending
from slo.corrections import Correction, Excluded

HOUR = 3_600_000_000
NOW_US = int(datetime(2026, 4, 1, tzinfo=UTC).timestamp()) * 1_000_000
SUNDAYS = """\
apiVersion: inferometer/v1
kind: Correction
metadata:
  name: maintenance
spec:
  objectives: [chat-ttft]
  exclude: bad
  start: 2026-01-04 02:30
  timeZone: Europe/Berlin
  duration: 1h
  rrule: FREQ=WEEKLY;BYDAY=SU
  why: The database is moved.
"""


def asked_in(text, file="slo.yaml"):
    return {file: said(text, file).corrections}


def test_a_file_asks_for_a_correction(state):
    added, ended = changes(asked_in(SUNDAYS), [], NOW_US)
    state.corrections.replace(added, ended)
    (kept,) = state.corrections.listed()
    assert (kept.objectives, kept.excluded, kept.why) == (
        ("chat-ttft",),
        Excluded.BAD,
        "The database is moved.",
    )
    assert (kept.created_by, kept.source, kept.ended_at_us) == ("files", "slo.yaml", None)
    assert changes(asked_in(SUNDAYS), [kept], NOW_US) == ([], {})


def test_sundays_follow_the_clocks_on_the_wall(state):
    (kept,), _ = changes(asked_in(SUNDAYS), [], NOW_US)
    times = intervals(kept, NOW_US - 12 * 24 * HOUR, NOW_US)
    local = [datetime.fromtimestamp(each.from_us / 1e6, UTC).isoformat() for each in times]
    assert local == ["2026-03-22T01:30:00+00:00", "2026-03-29T01:00:00+00:00"]  # 02:30 is skipped on the 29th
    assert {each.to_us - each.from_us for each in times} == {HOUR}


def test_one_that_left_its_file_ends_and_keeps_what_it_left_out(state):
    (kept,), _ = changes(asked_in(SUNDAYS), [], NOW_US - 30 * 24 * HOUR)
    state.corrections.add(kept)
    added, ended = changes({}, state.corrections.listed(), NOW_US)
    state.corrections.replace(added, ended)
    (row,) = state.corrections.listed()
    assert (row.until_us, row.ended_by, row.ended_why) == (NOW_US, "files", "its file no longer says so")
    assert len(intervals(row, NOW_US - 12 * 24 * HOUR, NOW_US + 12 * 24 * HOUR)) == 2


def test_one_that_was_changed_is_withdrawn_for_the_new_one(state):
    (kept,), _ = changes(asked_in(SUNDAYS), [], NOW_US)
    state.corrections.add(kept)
    added, ended = changes(asked_in(SUNDAYS.replace("1h", "2h")), state.corrections.listed(), NOW_US + HOUR)
    state.corrections.replace(added, ended)
    first, second = state.corrections.listed()
    assert (first.until_us, intervals(first, 0, NOW_US)) == (0, ())
    assert (second.duration_us, second.until_us) == (2 * HOUR, None)


def test_what_the_api_was_given_is_no_files_business(state):
    (kept,), _ = changes(asked_in(SUNDAYS, file=""), [], NOW_US)
    assert changes({}, [kept], NOW_US) == ([], {})


def test_one_put_back_into_its_file_is_asked_for_anew(state):
    for at, asked in enumerate((asked_in(SUNDAYS), {}, asked_in(SUNDAYS))):
        state.corrections.replace(*changes(asked, state.corrections.listed(), NOW_US + at * HOUR))
    assert [row.until_us for row in state.corrections.listed()] == [NOW_US + HOUR, None]


def test_a_correction_is_ended_once_and_withdrawn_once(state):
    (kept,), _ = changes(asked_in(SUNDAYS), [], NOW_US)
    state.corrections.add(kept)
    assert state.corrections.end(kept.id, Ending("ann", NOW_US, "moved", NOW_US))
    assert not state.corrections.end(kept.id, Ending("bob", NOW_US + 1, "again", NOW_US + 1))
    assert state.corrections.listed()[0].ended_by == "ann"
    assert state.corrections.end(kept.id, Ending("bob", NOW_US + 2, "wrong day", 0))
    assert not state.corrections.end(kept.id, Ending("ann", NOW_US + 3, "again", 0))
    (row,) = state.corrections.listed()
    assert (row.until_us, row.ended_by) == (0, "bob")
    assert row.ended_why == "wrong day; before, ended by ann: moved"


def test_an_ended_time_is_cut_where_it_ended():
    (kept,), _ = changes(asked_in(SUNDAYS), [], NOW_US)
    (time,) = intervals(kept, NOW_US - 4 * 24 * HOUR, NOW_US)
    cut = replace(kept, until_us=time.from_us + 60_000_000)
    assert intervals(cut, NOW_US - 4 * 24 * HOUR, NOW_US) == (
        Correction(time.from_us, time.from_us + 60_000_000, Excluded.BAD),
    )


def test_objectives_and_corrections_stand_in_one_file():
    assert parse(SUNDAYS, "slo.yaml") == ()
    assert (
        said(f"{SUNDAYS}---\n{SUNDAYS.replace('maintenance', 'other')}", "slo.yaml").corrections[1].name
        == "other"
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "cause"),
    [
        ("inferometer/v1", "openslo/v1", 1, "of this program alone"),
        ("exclude: bad", "exclude: good", 7, "'good' cannot be excluded"),
        ("start: 2026-01-04 02:30", "start: tomorrow", 8, "'tomorrow' is not a local time"),
        ("Europe/Berlin", "Europe/Berln", 9, "no time zone"),
        ("duration: 1h", "duration: 32d", 11, "whole minutes, up to 31d"),
        ("FREQ=WEEKLY;BYDAY=SU", "FREQ=SECONDLY", 11, "is not a rule of days"),
        ("  why: The database is moved.\n", "", 5, "spec.why is missing"),
        ("rrule", "rule", 11, "spec.rule is not a field"),
    ],
)
def test_a_mistaken_correction_is_told_at_its_place(old, new, line, cause):
    with pytest.raises(ObjectiveFileError) as refused:
        said(SUNDAYS.replace(old, new), "slo.yaml")
    told = refused.value.mistakes
    assert any(each.place.line == line and cause in each.cause for each in told), told


def test_two_of_one_name_are_a_mistake():
    with pytest.raises(ObjectiveFileError, match="two corrections are called maintenance"):
        said(f"{SUNDAYS}---\n{SUNDAYS}", "slo.yaml")
