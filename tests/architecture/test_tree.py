"""The tree is what the documents and the build say it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _packages() -> set[str]:
    return {path.parent.name for path in ROOT.glob("*/__init__.py")}


def test_the_build_lists_exactly_the_packages_on_disk():
    listed = {name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert listed == _packages()


def test_every_package_is_under_the_import_contracts():
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == _packages()


def test_every_package_says_what_it_is_for():
    for package in _packages():
        assert (ROOT / package / "__init__.py").read_text().startswith('"""'), package


def test_architecture_is_short_and_names_every_package():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert text.count("\n") < 120
    assert [package for package in sorted(_packages()) if f"{package}/" not in text] == []


def test_every_path_named_in_the_documents_exists():
    documents = [ROOT / "ARCHITECTURE.md", ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    missing = [
        (document.name, path)
        for document in documents
        for path in re.findall(r"`((?:[a-z_]+/)+[a-z_0-9.]*)`", document.read_text())
        if not (ROOT / path).exists()
    ]
    assert missing == []


def test_every_dependency_has_its_line():
    text = (ROOT / "docs" / "dependencies.md").read_text()
    project = PROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {re.split(r"[\[<>=;~ ]", line)[0] for line in wanted} - {"inferometer"}
    assert [name for name in sorted(names) if f"| {name} |" not in text] == []


def test_no_file_names_a_package_registry():
    hosts = re.compile(r"pypi\.org|pythonhosted|registry\.npmjs|deb\.debian")
    suspects = [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and path.suffix in {".txt", ".toml", ".md", ".yaml", ".cfg"}
    ]
    ours = [
        path
        for path in suspects
        if not {".venv", ".real-engine", "build", ".git"} & set(path.relative_to(ROOT).parts)
    ]
    assert [path for path in ours if hosts.search(path.read_text(errors="ignore"))] == []
