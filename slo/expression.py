"""Conditions that a user writes over the columns of a table: `ttft_us <= 2_000_000 and stream`.

Read with Python's own parser into a tree of which only the kinds below are known; nothing is
ever executed. Known are column names, numbers, texts in quotes, `True`, `False`, `None`; the
signs `< <= > >= == != + - * /` and brackets; `and`, `or`, `not`; `is None`, `is not None`;
`in (...)`, `not in (...)` over listed values.

Three-valued: what was not measured makes a comparison neither true nor false, and the whole
too unless the rest settles it (`and` with something false, `or` with something true). Numbers
are doubles, exact up to 2^53; a division by zero is unknown. At most 1,000 characters and 200
parts; evaluated at once over all rows.
"""

from __future__ import annotations

import ast
import difflib
import functools
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from slo.indicator import Promise
from telemetry.columns import TABLE, ColumnSpec, Kind
from telemetry.frame import Frame, Numbers

MOST_CHARACTERS: Final = 1_000
MOST_PARTS: Final = 200
MOST_NUMBER: Final = 2**53

Condition = Callable[[Frame], Promise]
_Number = Callable[[Frame], Numbers]
_Sign = Callable[[Any, Any], Any]

_ARITHMETIC: Final[Mapping[type[ast.operator], _Sign]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
_ORDER: Final[Mapping[type[ast.cmpop], _Sign]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_NEGATED: Final[Mapping[type[ast.cmpop], bool]] = {
    ast.Eq: False, ast.NotEq: True, ast.In: False, ast.NotIn: True, ast.Is: False, ast.IsNot: True,
}  # fmt: skip
_KIND_WORDS: Final = {Kind.INT: "number", Kind.FLOAT: "number", Kind.TEXT: "text", Kind.FLAG: "condition"}


class ExpressionError(ValueError):
    """What is wrong with a condition: at which character (from 1), why, and what to write instead."""

    def __init__(self, character: int, cause: str, hint: str) -> None:
        super().__init__(f"character {character}: {cause}; {hint}")
        self.character = character
        self.cause = f"character {character}: {cause}"
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition that can be judged: `columns` are those it reads, `of` judges a frame's rows."""

    columns: tuple[str, ...]
    of: Condition


@functools.lru_cache(maxsize=1_024)
def expression(text: str, table: str) -> Expression:
    """Return a text read as a condition over a table of facts. Raises `ExpressionError`."""
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(1, f"it is over {MOST_CHARACTERS} characters", "write it shorter")
    line = text.replace("\n", " ").replace("\t", " ")
    tree = _parsed(line)
    if sum(1 for _ in ast.walk(tree)) > MOST_PARTS:
        raise ExpressionError(1, f"it has over {MOST_PARTS} parts", "write it shorter")
    reader = _Reader(line, table)
    condition = reader.condition(tree.body)
    return Expression(tuple(dict.fromkeys(reader.columns)), condition)


def _parsed(line: str) -> ast.Expression:
    start = len(line) - len(line.lstrip())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(line[start:], mode="eval")
    except SyntaxError as error:
        raise ExpressionError(
            start + (error.offset or 1), f"not a condition: {error.msg}", _EXAMPLE
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError(1, "not a condition", _EXAMPLE) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            node.col_offset += start
    return tree


_EXAMPLE: Final = "write one such as ttft_us <= 2_000_000 and finish != 'length'"


class _Reader:
    """Turns the nodes of one text into functions of a frame, refusing every other kind of node."""

    def __init__(self, line: str, table: str) -> None:
        self._line, self._table = line.encode(), table
        self.columns: list[str] = []

    def condition(self, node: ast.expr) -> Condition:
        """Return a node that is true, false or unknown on each row."""
        match node:
            case ast.BoolOp(op=op, values=values):
                join = operator.and_ if isinstance(op, ast.And) else operator.or_
                parts = [self.condition(value) for value in values]
                return lambda frame: functools.reduce(join, [part(frame) for part in parts])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.condition(operand)
                return lambda frame: ~inner(frame)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                sides = [left, *rights]
                pairs = [self._compared(*pair, node) for pair in zip(sides[:-1], ops, rights, strict=True)]
                return lambda frame: functools.reduce(operator.and_, [pair(frame) for pair in pairs])
            case ast.Constant(value=bool(value)):
                return lambda frame: _known(np.full(frame.rows, value), np.True_)
            case ast.Name(id=name) if self._column(node, name).kind is Kind.FLAG:
                return lambda frame: _flag(frame.numbers(name))
        hint = "compare it with something" if self._kind(node) != "condition" else _EXAMPLE
        raise self._wrong(node, "this is neither true nor false", hint)

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr, whole: ast.expr) -> Condition:
        if isinstance(op, ast.Is | ast.IsNot):
            return self._presence(left, op, right)
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List) or not right.elts:
                raise self._wrong(right, "not a list of values", "write in ('stop', 'length')")
            among = [self._compared(left, ast.Eq(), value, whole) for value in right.elts]
            either: Condition = lambda frame: functools.reduce(operator.or_, [one(frame) for one in among])  # noqa: E731
            return (lambda frame: ~either(frame)) if isinstance(op, ast.NotIn) else either
        kinds = {self._kind(left), self._kind(right)}
        if kinds == {"number"}:
            return self._ordered(left, _ORDER[type(op)], right)
        if kinds == {"text"} and type(op) in _NEGATED:
            return self._same_text(left, right, negated=_NEGATED[type(op)])
        if "None" in kinds:
            raise self._wrong(whole, "nothing is equal to None", "write is None or is not None")
        if kinds == {"condition"}:
            raise self._wrong(whole, "a condition is compared", "write it by itself, or with not before it")
        cause = (
            "texts have no order" if kinds == {"text"} else f"a {' and a '.join(sorted(kinds))} are compared"
        )
        raise self._wrong(whole, cause, "compare numbers with numbers, texts with texts by == or !=")

    def _presence(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Condition:
        if not isinstance(left, ast.Name) or not isinstance(right, ast.Constant) or right.value is not None:
            raise self._wrong(
                left, "only whether a column was measured can be asked", "write ttft_us is None"
            )
        name, negated = left.id, _NEGATED[type(op)]
        if self._column(left, name).kind is Kind.TEXT:
            return lambda frame: _known((frame.texts(name).codes < 0) ^ negated, np.True_)
        return lambda frame: _known(~frame.numbers(name).valid ^ negated, np.True_)

    def _ordered(self, left: ast.expr, sign: _Sign, right: ast.expr) -> Condition:
        one, other = self.number(left), self.number(right)

        def judge(frame: Frame) -> Promise:
            a, b = one(frame), other(frame)
            return _known(sign(a.values, b.values), a.valid & b.valid)

        return judge

    def _same_text(self, left: ast.expr, right: ast.expr, *, negated: bool) -> Condition:
        match (left, right) if isinstance(left, ast.Name) else (right, left):
            case (ast.Name(id=name) as named, ast.Constant(value=str(word)) as quoted):
                words = self._column(named, name).words
                if words and word not in words:
                    raise self._wrong(quoted, f"{name} is never {word!r}", _nearest(word, words))

                def judge(frame: Frame) -> Promise:
                    texts = frame.texts(name)
                    return _known(texts.equals(word) ^ negated, texts.codes >= 0)

                return judge
        raise self._wrong(left, "two of a kind are compared", "compare a column with a text in quotes")

    def number(self, node: ast.expr) -> _Number:
        """Return a node that is a number on each row, or unknown."""
        match node:
            case ast.Constant(value=int(value) | float(value)) if not isinstance(value, bool):
                if not math.isfinite(value) or abs(value) > MOST_NUMBER:
                    raise self._wrong(node, "a number beyond 2^53", "write a smaller one")
                return _constant(value)
            case ast.Name(id=name) if self._kind(node) == "number":
                return lambda frame: Numbers(
                    frame.numbers(name).values.astype(np.float64), frame.numbers(name).valid
                )
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                signed = np.subtract if isinstance(sign, ast.USub) else np.add
                return self._combined(_constant(0), signed, self.number(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._combined(self.number(left), _ARITHMETIC[type(op)], self.number(right))
        raise self._wrong(node, "not a number", "use columns, numbers and + - * /")

    def _combined(self, left: _Number, sign: _Sign, right: _Number) -> _Number:
        def calculate(frame: Frame) -> Numbers:
            a, b = left(frame), right(frame)
            with np.errstate(all="ignore"):
                values = sign(a.values, b.values)
            valid = a.valid & b.valid & np.isfinite(values)
            return Numbers(np.where(valid, values, 0.0), valid)

        return calculate

    def _kind(self, node: ast.expr) -> str:
        """Return `number`, `text`, `condition` or `None`; refuse what is none of them."""
        match node:
            case ast.Constant(value=None):
                return "None"
            case ast.Constant(value=bool()) | ast.BoolOp() | ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return "condition"
            case ast.Constant(value=str()):
                return "text"
            case ast.Constant(value=int() | float()) | ast.BinOp() | ast.UnaryOp():
                return "number"
            case ast.Name(id=name):
                return _KIND_WORDS[self._column(node, name).kind]
        raise self._wrong(node, f"{type(node).__name__.lower()} is not read here", _EXAMPLE)

    def _column(self, node: ast.expr, name: str) -> ColumnSpec:
        known = {each.name: each for each in TABLE[self._table].columns if each.kind in _KIND_WORDS}
        if name not in known:
            raise self._wrong(node, f"{self._table} have no column {name!r}", _nearest(name, tuple(known)))
        self.columns.append(name)
        return known[name]

    def _wrong(self, node: ast.expr, cause: str, hint: str) -> ExpressionError:
        character = len(self._line[: node.col_offset].decode(errors="replace")) + 1
        return ExpressionError(character, cause, hint)


def _known(true: Any, known: Any) -> Promise:
    return Promise(true & known, ~true & known)


def _constant(value: float) -> _Number:
    return lambda frame: Numbers(np.full(frame.rows, float(value)), np.ones(frame.rows, np.bool_))


def _flag(column: Numbers) -> Promise:
    return _known(column.values != 0, column.valid)


def _nearest(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"use one such as {', '.join(known[:5])}"
