"""Files of unit tests, read whole: every mistake at its place, at once. The form: docs/slo-test.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from service.objectives.files import read, text_of
from service.objectives.located import Fields, documents
from service.objectives.mistakes import Notes, ObjectiveFileError, Place, suggestion
from service.objectives.section import NotThatError, Section
from service.objectives.trials.requests import requests
from service.objectives.trials.series import counts
from service.objectives.trials.trial import ExpectedAlerts, ExpectedValue, Firing, Trial
from service.objectives.words import duration, number
from slo.cells import Cells, Key, fold, merge
from slo.objective import Objective
from telemetry.condition import Severity
from telemetry.frame import Frame, Ints
from telemetry.requests import RequestRecord
from telemetry.units import MICROS_PER_MINUTE

START_US: Final = 1_767_225_600_000_000
"""When every test begins: 2026-01-01 00:00 UTC."""
LONGEST_US: Final = 31 * 24 * 60 * MICROS_PER_MINUTE
VALUES: Final = ("good", "total", "budget_left", "burn")
NO_DATA: Final = "no data"
_START: Final = Place(1, 1)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a test may speak of."""

    objectives: Mapping[str, Objective]

    def chosen(self, entry: Section) -> Objective | None:
        """Return the objective that an entry names; the only one where it names none."""
        names = tuple(self.objectives)
        if entry.lacks("objective") and len(names) == 1:
            return self.objectives[names[0]]
        name = entry.text("objective")
        if name is not None and name not in self.objectives:
            entry.wrong("objective", f"no objective is called {name!r}", suggestion(name, names))
        return self.objectives.get(name or "")


def trials(path: Path) -> tuple[Trial, ...]:
    """Return the tests of a file. Raises `ObjectiveFileError` with every mistake of it and its objectives."""
    notes = Notes(str(path))
    found: list[Trial] = []
    for value in documents(text_of(path, notes) or "", notes):
        if isinstance(value, Fields):
            found += _file(Section(value, "", notes, value.place), path.parent)
        else:
            notes.wrong(value.place, "a test file must be a mapping", "begin it with objective_files:")
    if not found and not notes.mistakes:
        notes.wrong(_START, "the file holds no test", "see docs/slo-test.md for an example")
    if notes.mistakes:
        raise ObjectiveFileError(sorted(notes.mistakes, key=lambda mistake: mistake.place))
    return tuple(found)


def _file(document: Section, folder: Path) -> Iterator[Trial]:
    document.only("objective_files", "evaluation_interval", "tests")
    known = _Known({each.name: each for each in _objectives(document, folder)})
    step_us = document.read("evaluation_interval", _interval, required=False) or MICROS_PER_MINUTE
    if document.lacks("tests"):
        document.wrong(None, "tests is missing", "see docs/slo-test.md for an example")
    for entry in document.sections("tests", required=False):
        if known.objectives:
            yield _trial(entry, known, step_us)


def _objectives(document: Section, folder: Path) -> Iterator[Objective]:
    if document.lacks("objective_files"):
        document.wrong(None, "objective_files is missing", "write objective_files: [chat.yaml]")
    for name, place in document.words("objective_files"):
        try:
            yield from read(folder / name)
        except OSError as error:
            document.notes.wrong(place, f"{name}: {error.strerror}", "name it as seen from this file")


def _trial(entry: Section, known: _Known, step_us: int) -> Trial:
    entry.only("name", "interval", "input_series", "input_requests", "alert_test", "value_test")
    interval_us = entry.read("interval", _interval, required=False) or MICROS_PER_MINUTE
    parts: dict[str, list[Cells]] = {name: [] for name in known.objectives}
    for series in entry.sections("input_series", required=False):
        if (objective := known.chosen(series)) is not None:
            parts[objective.name].append(_series(series, objective, interval_us))
    records = [
        record
        for one in entry.sections("input_requests", required=False)
        for record in requests(one, START_US)
    ]
    for objective in known.objectives.values():
        parts[objective.name] += _folded(objective, records)
    return Trial(
        name=entry.text("name", required=False) or f"line {entry.begin.line}",
        start_us=START_US,
        step_us=step_us,
        cells={name: merge(cells) for name, cells in parts.items()},
        alerts=tuple(_alerts(entry, known)),
        values=tuple(_values(entry, known)),
    )


def _series(entry: Section, objective: Objective, interval_us: int) -> Cells:
    entry.only("objective", "group", "good", "bad")
    none = np.zeros(0, dtype=np.int64)
    good, bad = (entry.read(name, counts, required=False) for name in ("good", "bad"))
    good, bad = _alike(good if good is not None else none, bad if bad is not None else none)
    at_us = START_US + np.arange(len(good)) * interval_us
    cells = {"bucket": at_us // MICROS_PER_MINUTE, "good": good, "total": good + bad}
    seen = cells["total"] > 0
    cells = {name: column[seen] for name, column in cells.items()}
    group = np.zeros(int(seen.sum()), dtype=np.int64)
    return Cells.of([_group(entry, "group", objective)], group=group, **cells)


def _alike(one: Ints, other: Ints) -> tuple[Ints, Ints]:
    """Return two series as long as the longer one; what is not written is 0."""
    length = max(len(one), len(other))
    return np.pad(one, (0, length - len(one))), np.pad(other, (0, length - len(other)))


def _folded(objective: Objective, records: list[RequestRecord]) -> list[Cells]:
    if not records or objective.indicator.table != "requests":
        return []
    return [fold(Frame.of("requests", records), objective)]


def _alerts(entry: Section, known: _Known) -> Iterator[ExpectedAlerts]:
    for test in entry.sections("alert_test", required=False):
        test.only("eval_time", "objective", "exp_alerts")
        at_us, objective = test.read("eval_time", _instant), known.chosen(test)
        if at_us is None or objective is None:
            continue
        firing = frozenset(_firing(alert, objective) for alert in test.sections("exp_alerts", required=False))
        yield ExpectedAlerts(test.begin, at_us, objective, firing)


def _firing(alert: Section, objective: Objective) -> Firing:
    alert.only("severity", "labels")
    severity = alert.read("severity", _severity) or Severity.PAGE
    return Firing(severity, _group(alert, "labels", objective))


def _values(entry: Section, known: _Known) -> Iterator[ExpectedValue]:
    for test in entry.sections("value_test", required=False):
        test.only("eval_time", "objective", "group", *VALUES)
        at_us, objective = test.read("eval_time", _instant), known.chosen(test)
        if at_us is None or objective is None:
            continue
        group = _group(test, "group", objective)
        for name in VALUES[:-1]:
            if (text := test.read(name, _value, required=False)) is not None:
                yield ExpectedValue(test.place(name), at_us, objective, group, name, text)
        burns = test.section("burn", required=False)
        if burns is not None:
            yield from _burns(
                burns, ExpectedValue(test.place("burn"), at_us, objective, group, VALUES[-1], "")
            )


def _burns(burns: Section, expected: ExpectedValue) -> Iterator[ExpectedValue]:
    for name in burns.fields.values:
        text, window_us = burns.read(name, _value), _window(burns, name, expected.objective)
        if text is not None and window_us is not None:
            yield replace(expected, place=burns.place(name), text=text, window_us=window_us)


def _group(entry: Section, name: str, objective: Objective) -> Key:
    """Return a group from the words of a mapping, one for each column the objective groups by."""
    if not objective.group_by and not entry.has(name):
        return ()
    words = entry.section(name)
    if words is None:
        return ("",) * len(objective.group_by)
    words.only(*objective.group_by)
    return tuple(words.text(column) or "" for column in objective.group_by)


def _window(burns: Section, name: str, objective: Objective) -> int | None:
    try:
        window_us = duration(name)
    except NotThatError as error:
        burns.wrong(name, error.cause, error.hint)
        return None
    if window_us not in objective.windows_us:
        burns.wrong(
            name, f"{objective.name} is not measured over {name}", "use a window of docs/objectives.md"
        )
        return None
    return window_us


def _severity(text: str) -> Severity:
    if text not in list(Severity):
        raise NotThatError(f"{text!r} is no severity", f"use one of {', '.join(Severity)}")
    return Severity(text)


def _value(text: str) -> str:
    """Return a number as written, or that there is none."""
    if text != NO_DATA:
        number(text)
    return text


def _interval(text: str) -> int:
    found = duration(text)
    if found <= 0 or found % MICROS_PER_MINUTE:
        raise NotThatError(f"{text!r} is not whole minutes", "write 1m, or longer")
    return found


def _instant(text: str) -> int:
    """Return a time since the start, whole minutes, as an instant."""
    found = _interval(text)
    if found > LONGEST_US:
        raise NotThatError(f"{text!r} is over 31d", "look earlier")
    return START_US + found
