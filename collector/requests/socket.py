"""The local socket between whoever times requests (proxy, middleware) and the agent.

A record is one Unix datagram of JSON, `{"table": ..., "row": {...}}`, missing values left out.
There is no acknowledgement: `sent` means handed to the agent's socket. The sender never blocks
and never raises: it serves as well with no agent at all, counts what it loses, and comes back
when the agent does. Standard library and `telemetry` only.
"""

from __future__ import annotations

import errno
import json
import socket
import stat
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import Final, Self

from telemetry.columns import TABLE, TABLE_OF, ColumnSpec, Kind, TableSpec
from telemetry.gaps import BUCKETS
from telemetry.identity import MAX_NAME_LENGTH, Vantage
from telemetry.requests import Finish, InFlightRequest, RequestRecord, Status, TokenGaps

TimedRecord = RequestRecord | TokenGaps | InFlightRequest
"""What may travel here; a proxy cannot speak for a GPU."""

MAX_DATAGRAM_BYTES: Final = 128 * 1024
MAX_GAPS: Final = 10_000
"""Most gaps in one record: the longest list that always fits a datagram."""
MAX_PATH_BYTES: Final = 107
"""Longest socket path Linux takes."""

_TABLES: Final = frozenset({"requests", "token_gaps", "in_flight"})
_NAMES: Final = {name: tuple(column.name for column in TABLE[name].columns) for name in _TABLES}
_ROW: Final = {name: (names, attrgetter(*names)) for name, names in _NAMES.items()}
"""The columns of each table, and what takes all of them from a record at once."""
_ENUMS: Final[Mapping[str, type[StrEnum]]] = {"status": Status, "finish": Finish, "vantage": Vantage}
_SIGNED: Final = frozenset({"priority"})
_RETRY_SECONDS: Final = 0.25


class Reason(StrEnum):
    """Why a datagram was refused; one counter each."""

    OVERSIZED = "oversized"
    NOT_JSON = "not_json"
    UNKNOWN_TABLE = "unknown_table"
    BAD_COLUMN = "bad_column"


class DatagramError(ValueError):
    """A datagram that is not a record: `reason` to count it by, the message for a person."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SocketPathError(OSError):
    """A path the agent cannot listen on; the message says why and what to do."""


def encode(record: TimedRecord) -> bytes:
    """Return a record as one datagram. Raises `DatagramError` above `MAX_DATAGRAM_BYTES`."""
    table = TABLE_OF[type(record)]
    names, values = _ROW[table.name]
    row = {name: value for name, value in zip(names, values(record), strict=True) if value is not None}
    text = json.dumps({"table": table.name, "row": row}, separators=(",", ":")).encode()
    if len(text) > MAX_DATAGRAM_BYTES:
        raise DatagramError(
            Reason.OVERSIZED,
            f"{table.name}: {len(text):,} bytes, a datagram holds {MAX_DATAGRAM_BYTES:,}",
        )
    return text


def decode(datagram: bytes) -> TimedRecord:
    """Return the record in a datagram, every column checked.

    A column this side does not know is ignored (the sender may be newer), a missing one takes
    its default. Raises `DatagramError` for everything else; nothing of the content is in its
    message but the column's name.
    """
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise DatagramError(Reason.OVERSIZED, f"datagram: above {MAX_DATAGRAM_BYTES:,} bytes")
    try:
        body = json.loads(datagram)
    except (ValueError, RecursionError):
        raise DatagramError(Reason.NOT_JSON, "datagram: not JSON; is something else writing here?") from None
    name = body.get("table") if isinstance(body, dict) else None
    if not isinstance(name, str) or name not in _TABLES:
        raise DatagramError(Reason.UNKNOWN_TABLE, f"datagram: its table is none of {sorted(_TABLES)}")
    row = body.get("row")
    if not isinstance(row, dict):
        raise DatagramError(Reason.BAD_COLUMN, f"{name}: row is not an object")
    return _record(TABLE[name], row)


def _record(table: TableSpec, row: Mapping[str, object]) -> TimedRecord:
    try:
        known = {
            column.name: _value(column, row[column.name]) for column in table.columns if column.name in row
        }
    except ValueError as error:
        raise DatagramError(Reason.BAD_COLUMN, f"{table.name}: {error}") from None
    make: Callable[..., object] = table.record
    try:
        record = make(**known)
    except TypeError as error:  # a column without default is missing; the message names it
        raise DatagramError(Reason.BAD_COLUMN, f"{table.name}: {error}") from None
    assert isinstance(record, RequestRecord | TokenGaps | InFlightRequest)
    return record


def _value(column: ColumnSpec, value: object) -> object:
    if value is None:
        if not column.nullable:
            raise ValueError(f"{column.name} must not be null")
        return None
    if column.kind is Kind.INT:
        return _whole(column.name, value)
    if column.kind is Kind.UINTS:
        return _whole_numbers(column.name, value)
    if column.kind is Kind.FLAG:
        if not isinstance(value, bool):
            raise ValueError(f"{column.name} is neither true nor false")
        return value
    return _text(column, value)


def _whole(name: str, value: object) -> int:
    low = -(2**63) if name in _SIGNED else 0
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value < 2**63:
        raise ValueError(f"{name} is not a whole number of {low} .. 2^63-1")
    return value


def _whole_numbers(name: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > MAX_GAPS:
        raise ValueError(f"{name} is not a list of at most {MAX_GAPS:,} numbers")
    if name == "gap_buckets" and len(value) not in (0, BUCKETS):
        raise ValueError(f"{name} holds {len(value)} counts, not {BUCKETS}")
    if not all(type(number) is int and 0 <= number < 2**32 for number in value):
        raise ValueError(f"{name} holds something that is not a whole number of 0 .. 2^32-1")
    return tuple(value)


def _text(column: ColumnSpec, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_NAME_LENGTH or not value.isprintable():
        raise ValueError(f"{column.name} is not a printable text of at most {MAX_NAME_LENGTH} characters")
    if not column.words:
        return value
    if value not in column.words:
        raise ValueError(f"{column.name} is none of {', '.join(column.words)}")
    return _ENUMS[column.name](value)


def _datagram_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)


class RecordSender:
    """Hands records to the agent from a thread of its own; `send` may be called from any thread.

    At most `capacity` records wait while the agent is away or slow; a later one is lost and
    counted. Snapshots of running requests are not kept for an absent agent: they would be
    stale when it comes back. No lock is shared with those who send: one that a thread holds
    while it waits for its turn would hold up every stream of an event loop.
    """

    def __init__(self, path: Path, *, capacity: int = 4096) -> None:
        self._path = str(path)
        self._capacity = capacity
        self._queue: deque[TimedRecord] = deque()
        self._socket: socket.socket | None = None
        self._asleep = False
        self._woken = threading.Event()
        self._ending = threading.Event()
        self._closing = threading.Event()
        self.sent = 0
        self.lost: Counter[str] = Counter()
        """Records lost, by reason: `overflow`, `oversized`, `stale`, `closed`."""
        self.connected = True
        """Whether the last attempt reached an agent; true until one has failed."""
        self._thread = threading.Thread(target=self._run, name="record-sender", daemon=True)
        self._thread.start()

    def send(self, record: TimedRecord) -> None:
        """Queue a record. Never blocks and never raises; a loss is in `lost`."""
        if isinstance(record, InFlightRequest) and not self.connected:
            self.lost["stale"] += 1
            return
        if len(self._queue) >= self._capacity:
            self.lost["overflow"] += 1
            return
        self._queue.append(record)
        if self._asleep:
            self._asleep = False
            self._woken.set()

    @property
    def waiting(self) -> int:
        """How many records wait to be sent."""
        return len(self._queue)

    def close(self, *, grace_seconds: float = 2.0) -> None:
        """Send what waits for at most `grace_seconds`, count the rest as lost, stop."""
        self._ending.set()
        self._woken.set()
        self._thread.join(grace_seconds)
        self._closing.set()
        self._thread.join(2 * _RETRY_SECONDS + 1.0)
        self.lost["closed"] += len(self._queue)

    def _waiting(self) -> Iterator[TimedRecord]:
        """Yield what is queued, sleeping while nothing is, until the end."""
        while not self._closing.is_set():
            if self._queue:
                yield self._queue.popleft()
            elif self._ending.is_set():
                return
            else:
                self._woken.clear()
                self._asleep = True
                if not self._queue and not self._ending.is_set():  # nobody came before we lay down
                    self._woken.wait()

    def _run(self) -> None:
        for record in self._waiting():
            try:
                datagram = encode(record)
            except DatagramError as error:
                self.lost[error.reason] += 1
                continue
            while not self._delivered(datagram):
                if self._closing.wait(0.0 if self.connected else _RETRY_SECONDS):
                    self.lost["closed"] += 1
                    return
        self._disconnect()

    def _delivered(self, datagram: bytes) -> bool:
        """Try once, for at most `_RETRY_SECONDS`; also true for one that can never go."""
        try:
            if self._socket is None:
                self._socket = _datagram_socket()
                self._socket.settimeout(_RETRY_SECONDS)
                self._socket.connect(self._path)
            self._socket.send(datagram)
        except TimeoutError:
            return False  # the agent is there and its queue is full
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                self.lost[Reason.OVERSIZED] += 1
                return True
            self._disconnect()
            self.connected = False
            return False
        self.connected = True
        self.sent += 1
        return True

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class RecordReceiver:
    """The agent's end: one thread calls `receive` in a loop."""

    def __init__(self, bound: socket.socket, path: Path) -> None:
        self._socket = bound
        self._path = path
        self.received = 0
        self.refused: Counter[Reason] = Counter()
        """Datagrams that were not records, by reason."""

    @classmethod
    def open(cls, path: Path, *, mode: int = 0o660) -> Self:
        """Listen at `path`, taking over a socket file that nobody listens on any more.

        Raises `SocketPathError` when the path is too long, is no socket, or is another agent's.
        """
        if len(bytes(path)) > MAX_PATH_BYTES:
            raise SocketPathError(
                f"listen on {path}: longer than {MAX_PATH_BYTES} bytes; choose a shorter one"
            )
        _remove_abandoned(path)
        bound = _datagram_socket()
        try:
            bound.bind(str(path))
        except OSError as error:
            bound.close()
            raise SocketPathError(f"listen on {path}: {error.strerror}; does its directory exist?") from None
        path.chmod(mode)
        return cls(bound, path)

    def receive(self, *, most: int = 1024, timeout_seconds: float = 0.5) -> list[TimedRecord]:
        """Return the records there are, at most `most`, waiting for the first one at most so long.

        Empty when none came. Datagrams that are not records are counted in `refused`.
        """
        records: list[TimedRecord] = []
        self._socket.settimeout(timeout_seconds)
        for _ in range(most):
            try:
                datagram = self._socket.recv(MAX_DATAGRAM_BYTES + 1)
            except (TimeoutError, BlockingIOError):
                break
            self._socket.settimeout(0)
            try:
                records.append(decode(datagram))
            except DatagramError as error:
                self.refused[error.reason] += 1
        self.received += len(records)
        return records

    def close(self) -> None:
        """Stop listening and remove the socket file."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise SocketPathError(f"listen on {path}: it is there and no socket; choose another path")
    with _datagram_socket() as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise SocketPathError(f"listen on {path}: another agent listens there; stop it or choose another path")
