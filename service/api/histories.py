"""Which facts a question about the past is asked of: what is live, or an import."""

from __future__ import annotations

from typing import Annotated

from fastapi import HTTPException, Query

from service.past.backtesting import History
from service.views.asking import ViewError
from service.wiring import Service

Dataset = Annotated[str, Query(description="an import instead of what is live")]


def history_of(service: Service, dataset: str) -> History:
    """Return an import's facts, or live ones without what corrections leave out; 422 for no import."""
    if not dataset:
        counted = {each.objective.version for each in service.fold.counts}
        of_record, left_out = service.fold.of_record, service.correcting.of
        return History(service.facts, of_record, corrections=left_out, whole=counted.__contains__)
    try:
        return service.imports.history(service.imports.named(dataset))
    except ViewError as error:
        raise HTTPException(422, str(error)) from None
