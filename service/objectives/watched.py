"""Files and folders of objectives, watched: what they say now, and what they said last without a mistake.

A file that was changed is read when it has stood still between two looks, so that half a file
is no mistake. A link that is turned to another file, as Kubernetes turns those of a ConfigMap,
is a change. A file with mistakes keeps what it said last; one that left its folder says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.objectives.chosen import Origin, Written, written_in
from service.objectives.corrections import NamedCorrection
from service.objectives.files import SUFFIXES, said, text_of
from service.objectives.mistakes import Mistake, Notes, ObjectiveFileError, Place

_START = Place(1, 1)


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What tells one state of a file from another without reading it; links are followed."""

    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class _Said:
    """What a file says."""

    written: tuple[Written, ...]
    corrections: tuple[NamedCorrection, ...]


class Watched:
    """The files below some paths. For one thread; `written` and `mistakes` may be read by any."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read them all. Raises `ObjectiveFileError` with every mistake of every file."""
        self._paths = tuple(paths)
        self._seen: dict[Path, _Stamp | None] = {}
        self._read: dict[Path, _Stamp | None] = {}
        self._good: dict[Path, _Said] = {}
        self._wrong: dict[Path, tuple[Mistake, ...]] = {}
        self.look()
        self.look()
        if self.mistakes:
            raise ObjectiveFileError(self.mistakes)

    @property
    def written(self) -> tuple[Written, ...]:
        """What the files say, the mistaken ones what they said last."""
        return tuple(each for good in self._good.values() for each in good.written)

    @property
    def corrections(self) -> dict[str, tuple[NamedCorrection, ...]]:
        """The corrections that the files ask for, by file."""
        return {str(file): good.corrections for file, good in self._good.items() if good.corrections}

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """What is wrong in the files as they stand."""
        return tuple(each for wrong in self._wrong.values() for each in wrong)

    def look(self) -> bool:
        """Look at every file once; true = what they say, or what is wrong in them, is not as before.

        Reads only files that changed and have stood still since the last look.
        """
        now = {file: _stamp(file) for file in self._files()}
        still = now.items() & self._seen.items()
        gone = self._read.keys() - now.keys() - self._seen.keys()
        self._seen = now
        changed = {file for file, _ in still - self._read.items()}
        if not changed and not gone:
            return False
        was = (self.written, self.mistakes)
        for file in gone:
            del self._read[file]
            self._good.pop(file, None)
            self._wrong.pop(file, None)
        # What was wrong may have been so for another file's sake.
        self._take([file for file, _ in still if file in changed or file in self._wrong])
        self._read |= dict(still)
        return (self.written, self.mistakes) != was

    def _files(self) -> Iterator[Path]:
        """Yield every file, also one that is named and not there: that is a mistake, not a farewell."""
        for path in self._paths:
            if not path.is_dir():
                yield from [file for file in self._read if file.parent == path] or [path]
                continue
            try:
                yield from sorted(each for each in path.iterdir() if each.suffix in SUFFIXES)
            except OSError:
                yield from [file for file in self._read if file.parent == path]

    def _take(self, changed: Sequence[Path]) -> None:
        """Read changed files, and let each without a mistake say what it says now."""
        fresh: dict[Path, _Said] = {}
        for file in sorted(changed):
            try:
                fresh[file] = _read(file)
                self._wrong.pop(file, None)
            except ObjectiveFileError as error:
                self._wrong[file] = error.mistakes
        while (twice := _twice({**self._good, **fresh}, fresh)) is not None:
            file, mistake = twice
            del fresh[file]
            self._wrong[file] = (mistake,)
        order = {file: at for at, file in enumerate(self._seen)}
        kept = {**self._good, **fresh}
        self._good = {file: kept[file] for file in sorted(kept, key=lambda file: order.get(file, len(order)))}


def _stamp(file: Path) -> _Stamp | None:
    """Return a file's stamp; None = it cannot be looked at."""
    try:
        found = file.stat()
    except OSError:
        return None
    return _Stamp(found.st_ino, found.st_size, found.st_mtime_ns)


def _read(file: Path) -> _Said:
    notes = Notes(str(file))
    text = text_of(file, notes)
    if text is None:
        raise ObjectiveFileError(notes.mistakes)
    source = str(file)
    return _Said(written_in(text, origin=Origin.FILE, source=source), said(text, source).corrections)


def _twice(everything: Mapping[Path, _Said], fresh: Mapping[Path, _Said]) -> tuple[Path, Mistake] | None:
    """Return a freshly read file that gives an objective the name of another file's; None = none does."""
    owner: dict[str, Path] = {}
    for file, each in ((file, each) for file, one in everything.items() for each in one.written):
        name = each.objective.name
        first = owner.setdefault(name, file)
        if first != file:
            wrong, other = (file, first) if file in fresh else (first, file)
            hint = f"it is also in {other}; give each its own name"
            return wrong, Mistake(str(wrong), _START, f"two objectives are called {name}", hint)
    return None
