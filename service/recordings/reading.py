"""One reading under way: where it stands, what it tolerates, what it will have to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.recordings.content import Row, RowFile, Value
from service.recordings.recording import Place, RecordingError
from service.recordings.values import Convert, missing

Progress = Callable[[str, int], None]
"""Called with the file and the rows read of it so far."""

PROGRESS_ROWS = 2_000


@dataclass(slots=True)
class Reading:
    """Bounds, counts and sentences of one recording while it is read."""

    tolerated_rows: int = 0
    progress: Progress = lambda _file, _rows: None
    skipped_rows: int = 0
    notes: list[str] = field(default_factory=list)
    seen_ids: Counter[str] = field(default_factory=Counter)

    def rows(self, file: RowFile) -> Iterator[Row]:
        """Yield a file's readable rows, telling how far it has come."""
        done = 0
        for done, row in enumerate(file.rows(), 1):
            if isinstance(row, RecordingError):
                self.skip(row)
            else:
                yield row
            if done % PROGRESS_ROWS == 0:
                self.progress(str(file.path), done)
        self.progress(str(file.path), done)

    def skip(self, error: RecordingError) -> None:
        """Count an unreadable row; raises its error once more are met than are tolerated."""
        self.skipped_rows += 1
        if self.skipped_rows > self.tolerated_rows:
            raise error
        if self.skipped_rows == 1:
            self.notes.append(f"unreadable rows were skipped, the first: {error}")

    def note(self, sentence: str) -> None:
        """Say a sentence once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def unique(self, request_id: str) -> str:
        """Return an id unlike all before it: a repeated one is numbered, in the order of reading."""
        self.seen_ids[request_id] += 1
        times = self.seen_ids[request_id]
        return request_id if times == 1 else f"{request_id}#{times}"


def value_at(path: Path, row: Row, name: str, convert: Convert) -> Value:
    """Return one converted value of a row, None where not recorded; raises `RecordingError`."""
    recorded = row.values.get(name)
    if missing(recorded):
        return None
    try:
        return convert(recorded)
    except (ValueError, TypeError) as error:
        raise RecordingError(
            Place(str(path), row.line, name), str(error), "correct it, or tolerate unreadable rows"
        ) from None
