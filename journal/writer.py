"""The one thread that writes a journal: it gathers what was asked for into group commits."""

from __future__ import annotations

import queue
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Any, Final, TypeVar

from journal.disk import Ballast, bound_bytes, free_bytes
from journal.errors import JournalClosed, JournalError, JournalFault, JournalFull
from journal.file import OPENING_ERRORS, JournalFile, MalformedFile, is_malformed, is_no_room, is_unusable
from journal.lag import Waiting
from journal.memory import Memory, load
from journal.transaction import RETRY_DISK_SECONDS, Room, Transaction
from journal.words import Limits

T = TypeVar("T")
_TICK_SECONDS: Final = 1.0
_ATTEMPTS: Final = 3
_COMMITS_TIMED: Final = 1_024


@dataclass(frozen=True, slots=True)
class _Task:
    """Something to do in the next transaction. `size` > 0 marks an append: bytes of its body."""

    work: Callable[[Transaction], Any]
    future: Future[Any]
    size: int


class Writer:
    """Owns the writing connection and the journal's memory.

    A task's future is resolved after the commit that holds it, so a result means durable. What
    the disk refuses is given one more try without the appends and without the ballast; what a
    malformed file refuses, one more on a fresh file.
    """

    def __init__(self, file: JournalFile, readers: Sequence[str], limits: Limits, ballast: Ballast) -> None:
        self._file, self._readers, self._limits, self._ballast = file, tuple(readers), limits, ballast
        self._inbox: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._changed = Condition()
        self._pending_bytes = 0
        self.refused_at_door = 0
        """Appends refused before they reached the thread; not in `memory.counts`."""
        self._closed = False
        self.memory = self._load()
        self.memory.count(set_aside=file.generation, salvaged=file.salvaged)
        self.commits_us: deque[int] = deque(maxlen=_COMMITS_TIMED)
        self._waiting = Waiting(time.monotonic())
        self.room = Room(0, 0, 0.0)
        self._trimmable = True
        self._ticked = 0.0
        self._thread = Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def _load(self) -> Memory:
        try:
            return load(self._file.writer, self._readers)
        except OPENING_ERRORS as error:
            if not is_unusable(error, self._file.path):
                raise
        self._file.set_aside()
        return load(self._file.writer, self._readers)

    def ask(self, work: Callable[[Transaction], T], *, size: int = 0) -> Future[T]:
        """Have `work` done in the next transaction. The future may hold any `JournalError`."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # what was asked for is done, whoever still listens
        with self._changed:
            if self._closed:
                future.set_exception(JournalClosed("the journal is closed; open it again"))
            elif size and self._pending_bytes + size > self._limits.pending_bytes and self._pending_bytes:
                cause = f"{self._pending_bytes:,} bytes wait to be committed"
                self.refused_at_door += 1
                future.set_exception(JournalFull(cause, retry_after_seconds=1.0))
            else:
                self._pending_bytes += size
                self._inbox.put(_Task(work, future, size))
        return future

    def wait(self, after: int, timeout_seconds: float) -> int:
        """Block until the head is beyond `after`, the time is up or the journal closes."""
        with self._changed:
            self._changed.wait_for(lambda: self.memory.head > after or self._closed, timeout_seconds)
        return self.memory.head

    def close(self) -> None:
        """Commit what was asked for, then stop; a second call changes nothing."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self._inbox.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            open_ = True
            while open_:
                tasks, open_ = self._gather()
                if tasks or self._trimmable:
                    self._commit(tasks)
                self._tick()
        finally:
            self._refuse_the_rest()

    def _gather(self) -> tuple[list[_Task], bool]:
        """Return the next group, and whether more may come."""
        tasks: list[_Task] = []
        try:
            task = self._inbox.get(timeout=0 if self._trimmable else _TICK_SECONDS)
            if task is not None and task.size:
                time.sleep(self._limits.group_delay_seconds)
            while task is not None:
                tasks.append(task)
                if len(tasks) == self._limits.group_batches:
                    return tasks, True
                task = self._inbox.get_nowait()
        except queue.Empty:
            return tasks, True
        return tasks, False

    def _commit(self, tasks: list[_Task]) -> None:
        self._trimmable = False
        results: list[Any] | None = None
        try:
            for _ in range(_ATTEMPTS):
                try:
                    results = self._attempt(tasks)
                    break
                except (sqlite3.Error, MalformedFile) as error:
                    tasks = self._recover(tasks, error)
        finally:
            if results is None:
                self._fail(tasks, JournalFault(f"commit: failed; look at the disk of {self._file.path}"))
            else:
                self._resolve(tasks, results)

    def _attempt(self, tasks: Sequence[_Task]) -> list[Any]:
        """Do the tasks in one transaction; return their results, errors of their own included."""
        started = time.monotonic()
        db = self._file.writer
        db.execute("BEGIN IMMEDIATE")
        try:
            self._measure(started)
            transaction = Transaction(db, self.memory.draft(), self._limits, self.room)
            results = [_result_of(task, transaction) for task in tasks]
            more = transaction.trim()
            transaction.settle()
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self.commits_us.append(int((time.monotonic() - started) * 1e6))
        self._trimmable = more
        self._adopt(transaction.draft, started)
        return results

    def _measure(self, now: float) -> None:
        free = free_bytes(self._file.path.parent)
        used = self._file.bytes_used()
        bound = bound_bytes(self._limits.max_bytes, free=free, own=self._file.bytes_on_disk())
        allowed = bound if self._limits.drop_oldest else bound // 2
        if self._ballast.given_up:  # what the ballast freed is for trimming, not for appends
            allowed = min(allowed, used) if self._limits.drop_oldest else 0
        (oldest,) = self._file.writer.execute("SELECT min(id) FROM entry").fetchone()
        self.room = Room(used, allowed, self._waiting.seconds(oldest, now))

    def _adopt(self, draft: Memory, now: float) -> None:
        if draft.head > self.memory.head:
            self._waiting.note(self.memory.head + 1, now)
        with self._changed:
            self.memory = draft
            self._changed.notify_all()

    def _recover(self, tasks: list[_Task], error: sqlite3.Error | MalformedFile) -> list[_Task]:
        """Mend what can be mended and return the tasks that deserve another attempt."""
        if is_malformed(error):
            self._set_aside()
            return tasks
        if not is_no_room(error):
            fault = JournalFault(f"commit: {error}; nothing was kept, look at {self._file.path}")
            self._fail(tasks, fault)
            return []
        self.memory.count(disk_full=1)
        could_help = self._ballast.present
        self._ballast.give_up()
        if self._limits.drop_oldest and could_help:
            return tasks
        full = JournalFull(f"the disk is full ({error})", retry_after_seconds=RETRY_DISK_SECONDS)
        self._fail([task for task in tasks if task.size], full)
        return [task for task in tasks if not task.size]

    def _set_aside(self) -> None:
        counts, salvaged, head = self.memory.counts, self._file.salvaged, self.memory.head
        self._file.set_aside()
        fresh = load(self._file.writer, self._readers)
        fresh.counts = counts.plus(set_aside=1, salvaged=self._file.salvaged - salvaged)
        fresh.head = max(fresh.head, head)
        self._adopt(fresh, time.monotonic())

    def _resolve(self, tasks: Sequence[_Task], results: Sequence[Any]) -> None:
        self._release(tasks)
        for task, result in zip(tasks, results, strict=True):
            if isinstance(result, BaseException):
                task.future.set_exception(result)
            else:
                task.future.set_result(result)

    def _fail(self, tasks: Sequence[_Task], error: JournalError) -> None:
        self.memory.count(refused=sum(1 for task in tasks if task.size))
        self._resolve(tasks, [error] * len(tasks))

    def _release(self, tasks: Sequence[_Task]) -> None:
        with self._changed:
            self._pending_bytes -= sum(task.size for task in tasks)

    def _tick(self) -> None:
        """About once a second: give space back to the disk, or take the ballast again."""
        now = time.monotonic()
        if now - self._ticked < _TICK_SECONDS:
            return
        self._ticked = now
        try:
            self._ballast.hold()
            self._measure(now)
            self._file.give_space_back()
        except (sqlite3.Error, OSError, MalformedFile) as error:
            if is_malformed(error):
                self._set_aside()
            else:
                self.memory.count(disk_full=1)

    def _refuse_the_rest(self) -> None:
        """However the thread ended, nobody waits for ever."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        while True:
            try:
                task = self._inbox.get_nowait()
            except queue.Empty:
                return
            if task is not None:
                self._resolve([task], [JournalClosed("the journal is closed; open it again")])


def _result_of(task: _Task, transaction: Transaction) -> Any:
    try:
        return task.work(transaction)
    except (JournalError, ValueError) as error:
        if isinstance(error, JournalFull):
            transaction.draft.count(refused=1)
        return error
