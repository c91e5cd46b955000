"""Where the fixtures of other projects stand, and the converter as the tests ask it."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from service.objectives.languages.convert import Asked, Source, Target, convert
from service.objectives.mistakes import ObjectiveFileError

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def exceptions():
    return YAML(typ="safe", pure=True).load(HERE / "exceptions.yaml")


@pytest.fixture(scope="session")
def values():
    """Returns the documents of a YAML text as values."""

    def load(text):
        return [each for each in YAML(typ="safe", pure=True).load_all(io.StringIO(text)) if each is not None]

    return load


@pytest.fixture(scope="session")
def converted():
    """Converts files; returns the text."""

    def run(source, target, *paths, **asked):
        return convert(paths, Asked(source=Source(source), target=Target(target), **asked)).text

    return run


@pytest.fixture
def mistakes(tmp_path, converted):
    """Converts texts, each a file of its own; returns the mistakes as (file, line, column, cause)."""

    def run(source, target, *texts, **asked):
        paths = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        with pytest.raises(ObjectiveFileError) as raised:
            converted(source, target, *paths, **asked)
        return [
            (Path(each.file).name, each.place.line, each.place.column, each.cause)
            for each in raised.value.mistakes
        ]

    return run


@pytest.fixture(scope="session")
def promtool():
    """Runs promtool; returns whether it was content, and what it said."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not here (Debian's package prometheus)")

    def run(*arguments):
        done = subprocess.run(
            ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode == 0, done.stdout + done.stderr

    return run
