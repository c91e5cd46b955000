"""The parts of an objective read so far, checked together at the end."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from decimal import Decimal

from service.objectives.mistakes import Place
from service.objectives.section import Section
from slo.calendars import Calendar
from slo.errors import ObjectiveError
from slo.indicator import Indicator
from slo.indicators.availability import Availability
from slo.objective import LONGEST_PERIOD_US, Objective, Rolling
from slo.slices import OCCURRENCES, Budgeting

_WINDOW = Rolling(LONGEST_PERIOD_US)
_INDICATOR = Availability()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Every part, with a harmless default: a mistaken part keeps it while the others are checked.

    `places` says where the part stands that `ObjectiveError.subject` names.
    """

    name: str = "unnamed"
    display_name: str = ""
    description: str = ""
    guess: bool = False
    indicator: Indicator = _INDICATOR
    target: Decimal = Decimal("0.999")
    window: Rolling | Calendar = _WINDOW
    budgeting: Budgeting = OCCURRENCES
    selector: tuple[tuple[str, str], ...] = ()
    group_by: tuple[str, ...] = ()
    policy: str = "none"
    places: tuple[tuple[str, Place], ...] = ()

    def at(self, subject: str, place: Place) -> Draft:
        """Return the draft that knows where a part stands."""
        return replace(self, places=(*self.places, (subject, place)))

    def objective(self) -> Objective:
        """Return the objective; raises `ObjectiveError` if it cannot be judged."""
        return Objective(
            name=self.name,
            indicator=self.indicator,
            target=self.target,
            window=self.window,
            budgeting=self.budgeting,
            selector=self.selector,
            group_by=self.group_by,
            policy=self.policy,
            display_name=self.display_name,
            description=self.description,
            guess=self.guess,
        )


def checked(draft: Draft, document: Section) -> Objective | None:
    """Return the objective; None when parts are refused, each noted at its place.

    A refused part is replaced by its harmless default, so that the next one can be found.
    """
    harmless, places, refused = Draft(), dict(draft.places), False
    for _ in fields(Draft):
        try:
            made = draft.objective()
        except ObjectiveError as error:
            refused = True
            document.notes.wrong(places.get(error.subject, document.place()), error.cause, error.hint)
            draft = replace(draft, **{error.subject: getattr(harmless, error.subject)})
        else:
            return None if refused else made
    return None
