"""`inferometer slo test`: unit tests of objectives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferometer.saying import Failure, answer


def test(
    files: Annotated[list[Path], typer.Argument(help="Files of tests.", show_default=False)],
) -> None:
    """Play input series through the engine, and compare alerts, burn rates and budgets with what is expected.

    Exits 1 with each difference: file, line, column, what was expected, what came out. The form of a
    file: docs/slo-test.md.
    """
    from service.objectives.mistakes import Mistake, ObjectiveFileError
    from service.objectives.trials.reading import trials
    from service.objectives.trials.running import differences

    passed, failed = 0, list[Mistake]()
    for path in files:
        try:
            found = trials(path)
        except ObjectiveFileError as error:
            raise Failure(str(error)) from None
        for trial in found:
            wrong = differences(trial, str(path))
            failed += wrong
            passed += not wrong
    if failed:
        raise Failure("\n".join(map(str, failed)))
    answer(f"{passed} {'test' if passed == 1 else 'tests'} passed")
