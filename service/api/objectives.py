"""Objectives over HTTP: what is in force and where it comes from; given, checked and withdrawn.

What a file says, only the file can change.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import BaseModel

from service.api.callers import Admin, Reader, TheService
from service.clock import now_us
from service.objectives.chosen import Origin, Written, written_in
from service.objectives.located import MAX_BYTES
from service.store.notes import AuditEntry
from service.store.objectives import ObjectiveDocument, StoredObjective
from service.wiring import Service

router = APIRouter(prefix="/api/v1", tags=["objectives"])
MOST_DOCUMENTS: Final = 10_000
"""Most objectives that the API keeps; files hold any number."""
_DOCUMENT: Final = {
    "requestBody": {"required": True, "content": {"application/yaml": {}, "application/json": {}}}
}


async def document_of(request: Request) -> str:
    """Return the body as text; 413 beyond `MAX_BYTES`, 422 for what is not UTF-8."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise HTTPException(413, f"body: over {MAX_BYTES:,} bytes; give one objective at a time")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise HTTPException(422, f"body: byte {error.start} is not UTF-8") from None


class ObjectiveAnswer(BaseModel):
    """One objective: what it promises, who says so, and whether that is in force."""

    name: str
    title: str
    promise: str
    group_by: list[str]
    guess: bool
    version: str
    origin: Origin
    source: str
    """The file, or who gave it to the API."""
    in_force: bool
    """False while it is being counted: then its earlier version, if there was one, is in force."""
    since_us: int | None
    """Since when this version is in force, UTC microseconds; null = not yet."""


class VersionAnswer(BaseModel):
    """One version of an objective, in force in [from_us, to_us); null = still."""

    version: str
    promise: str
    source: str
    from_us: int
    to_us: int | None


class OneObjective(ObjectiveAnswer):
    """An objective with its document, as it was written, and every version there was, newest first."""

    document: str
    versions: list[VersionAnswer]


class Counting(BaseModel):
    """How far the objectives are counted that will come into force; in hours of stored facts."""

    names: list[str]
    done: int
    total: int


class MistakeAnswer(BaseModel):
    """Where a file is wrong; what it said before is in force."""

    file: str
    line: int
    column: int
    cause: str
    hint: str


class Objectives(BaseModel):
    """Every objective that is asked for, what is being counted, and what is wrong in files."""

    objectives: list[ObjectiveAnswer]
    counting: Counting | None
    mistakes: list[MistakeAnswer]


@router.get("/objectives")
def listed(service: TheService, _caller: Reader) -> Objectives:
    """Return every objective that is asked for, by name; its source says whether the API may change it."""
    since = _since(service)
    asked = sorted(service.in_force.asked.written, key=lambda each: each.objective.name)
    return Objectives(
        objectives=[ObjectiveAnswer(**_told(service, each, since)) for each in asked],
        counting=counting(service),
        mistakes=mistakes(service),
    )


@router.get("/objectives/{name}")
def one(name: str, service: TheService, _caller: Reader) -> OneObjective:
    """Return one objective with its document and its versions."""
    written = service.in_force.asked.find(name)
    if written is None:
        raise HTTPException(404, f"no objective is called {name!r}; `inferometer slo list` has all")
    told = _told(service, written, _since(service))
    return OneObjective(**told, document=written.document, versions=versions(service, name))


@router.put("/objectives/{name}", openapi_extra=_DOCUMENT)
def put(
    name: str,
    service: TheService,
    caller: Admin,
    text: Annotated[str, Depends(document_of)],
    *,
    check: Annotated[bool, Query(description="true = say what would be, and keep nothing")] = False,
) -> ObjectiveAnswer:
    """Take one OpenSLO document, YAML or JSON; it is in force once its past is counted.

    422 with every mistake, its line, column, cause and hint; 409 for an objective of a file.
    """
    given = _read(text, name, caller.name)
    _refuse_of_file(service, name)
    if not check:
        documents = service.state.objective_documents
        kept = [each.name for each in documents.listed()]
        if name not in kept and len(kept) >= MOST_DOCUMENTS:
            raise HTTPException(
                422, f"{name}: {MOST_DOCUMENTS:,} objectives are kept; withdraw one, or use files"
            )
        documents.put(ObjectiveDocument(name=name, document=text, given_by=caller.name, given_at_us=now_us()))
        _audit(service, caller.name, "give objective", name)
        service.in_force.ask()
    return ObjectiveAnswer(**_told(service, given, _since(service)))


@router.delete("/objectives/{name}", status_code=204)
def withdraw(name: str, service: TheService, caller: Admin) -> None:
    """Withdraw an objective that the API was given; its versions and counts stay, its alerts end."""
    if not service.state.objective_documents.remove(name):
        _refuse_of_file(service, name)
        raise HTTPException(404, f"the API was given no objective {name!r}; `inferometer slo list` has all")
    _audit(service, caller.name, "withdraw objective", name)
    service.in_force.ask()


def counting(service: Service) -> Counting | None:
    """Return how far the count of what is new or changed is; None = everything is in force."""
    progress = service.in_force.progress
    if progress is None:
        return None
    return Counting(names=list(progress.names), done=progress.done, total=progress.total)


def mistakes(service: Service) -> list[MistakeAnswer]:
    """Return what is wrong in the files of objectives."""
    return [
        MistakeAnswer(
            file=each.file, line=each.place.line, column=each.place.column, cause=each.cause, hint=each.hint
        )
        for each in service.in_force.mistakes
    ]


def versions(service: Service, name: str) -> list[VersionAnswer]:
    """Return every version of an objective, the newest first. One query."""
    return [
        VersionAnswer(
            version=each.version,
            promise=each.sentence,
            source=each.source,
            from_us=each.valid_from_us,
            to_us=each.valid_to_us,
        )
        for each in reversed(service.state.objectives.history(name))
    ]


def _since(service: Service) -> dict[str, StoredObjective]:
    return {each.version: each for each in service.state.objectives.current()}


def _told(service: Service, written: Written, since: dict[str, StoredObjective]) -> dict[str, Any]:
    objective = written.objective
    held = since.get(objective.version)
    return {
        "name": objective.name,
        "title": objective.display_name,
        "promise": objective.sentence(),
        "group_by": list(objective.group_by),
        "guess": objective.guess,
        "version": objective.version,
        "origin": written.origin,
        "source": written.source,
        "in_force": held is not None and service.objectives.find(objective.name) is not None,
        "since_us": None if held is None else held.valid_from_us,
    }


def _read(text: str, name: str, who: str) -> Written:
    found = written_in(text, origin=Origin.API, source=f"API, given by {who}")
    names = [each.objective.name for each in found]
    if names != [name]:
        raise HTTPException(422, f"body: holds {', '.join(names)}; give one document, called {name}")
    return found[0]


def _refuse_of_file(service: Service, name: str) -> None:
    written = service.in_force.asked.find(name)
    if written is not None and written.origin is Origin.FILE:
        raise HTTPException(409, f"{name}: {written.source} says what it is; change it there")


def _audit(service: Service, who: str, action: str, subject: str) -> None:
    service.state.audit.add(AuditEntry(at_us=now_us(), who=who, action=action, subject=subject, detail={}))
