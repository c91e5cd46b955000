"""The law of size: what cannot be read in one look is split."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "alerts",
    "anomalies",
    "collector",
    "cost",
    "dashboards",
    "inferometer",
    "journal",
    "service",
    "simulator",
    "slo",
    "telemetry",
)
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
SCRIPTS = sorted([*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS = 400, 40, 5
BANNED = {"utils", "common", "core", "base", "helpers", "manager", "util", "misc"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(path: Path) -> list[Function]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Function)]


def _body_lines(function: Function) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*FILES, *SCRIPTS], ids=_name)
def test_a_file_is_at_most_400_lines(path):
    assert path.read_text().count("\n") <= MAX_FILE


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_function_is_at_most_40_lines_without_its_docstring(path):
    long = {f.name: _body_lines(f) for f in _functions(path) if _body_lines(f) > MAX_FUNCTION}
    assert long == {}


@pytest.mark.parametrize(
    "path", [path for path in FILES if "inferometer" not in path.relative_to(ROOT).parts], ids=_name
)
def test_a_function_takes_at_most_five_positional_parameters(path):
    many = {
        f.name for f in _functions(path) if len(f.args.posonlyargs) + len(f.args.args) > MAX_PARAMETERS + 1
    }
    assert many == set()


def test_no_file_hides_behind_a_word_that_says_nothing():
    assert [path for path in FILES if path.stem in BANNED or BANNED & set(path.parts)] == []


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_nothing_is_left_as_a_stub(path):
    text = path.read_text()
    assert [word for word in ("NotImplementedError", "TODO", "FIXME", "XXX") if word in text] == []
