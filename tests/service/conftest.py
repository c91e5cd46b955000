"""Real stores for every test of the service: chDB in this process, SQLite, PostgreSQL.

chDB opens one directory in one process, so all tests of a process share a directory and each
gets a database of its own in it.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from service.store.clickhouse import Warehouse
from service.store.facts import Facts
from service.store.migrate import upgrade_facts, upgrade_state
from service.store.state import State

_NUMBERS = itertools.count()
_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


@pytest.fixture(scope="session")
def chdb_folder(tmp_path_factory):
    """Return this process's one chDB directory, kept open: opening it anew costs 0.2 s."""
    folder = tmp_path_factory.mktemp("chdb") / "facts"
    holder = Warehouse(f"clickhousedb:///?interface=chdb&path={folder}")
    holder.command("SELECT 1")
    yield folder
    holder.close()


@pytest.fixture
def facts_url(chdb_folder):
    """Return the URL of an empty, unmigrated database of facts."""
    name = f"t{next(_NUMBERS)}"
    server = Warehouse(f"clickhousedb:///?interface=chdb&path={chdb_folder}")
    server.command(f"CREATE DATABASE {name}")
    server.close()
    return f"clickhousedb:///{name}?interface=chdb&path={chdb_folder}"


@pytest.fixture
def facts(facts_url):
    """Return an open, migrated, empty facts store."""
    upgrade_facts(facts_url)
    store = Facts.open(facts_url)
    yield store
    store.close()


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return server.getsockname()[1]


def _unprivileged() -> int | None:
    """Return whom to run PostgreSQL as: it refuses root."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam("nobody").pw_uid


def _run(*command, user: int | None) -> None:
    subprocess.run(command, check=True, capture_output=True, user=user, cwd="/")


def _wait_for(url: str) -> None:
    engine = create_engine(url)
    deadline = time.monotonic() + 20
    while True:
        try:
            with engine.connect():
                break
        except OperationalError:
            assert time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.05)
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_server():
    """Start a PostgreSQL of our own on a free port; return its URL without a database."""
    if not _POSTGRES:
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    tools, user, port = _POSTGRES[-1], _unprivileged(), _free_port()
    folder = Path(f"/tmp/inferometer-postgres-{os.getpid()}")
    folder.mkdir(mode=0o700)
    if user is not None:
        os.chown(folder, user, -1)
    _run(tools / "initdb", "-D", folder / "data", "-A", "trust", "-U", "test", "--no-sync", user=user)
    server = subprocess.Popen(
        [
            tools / "postgres",
            "-D",
            folder / "data",
            "-p",
            str(port),
            "-k",
            folder,
            "-c",
            "listen_addresses=127.0.0.1",
        ],
        user=user,
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"postgresql+psycopg://test@127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/postgres")
        yield address
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server):
    """Return the URL of an empty PostgreSQL database."""
    name = f"t{next(_NUMBERS)}"
    engine = create_engine(f"{postgres_server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"{postgres_server}/{name}"
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def state_url(request, tmp_path):
    """Return the URL of an empty, unmigrated state store: each test runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def state(state_url):
    """Return an open, migrated, empty state store."""
    upgrade_state(state_url)
    store = State.open(state_url)
    yield store
    store.close()


@pytest.fixture
def kept(tmp_path):
    """Return an open, migrated, empty state store on SQLite, for tests of what is above it."""
    url = f"sqlite:///{tmp_path}/kept.db"
    upgrade_state(url)
    store = State.open(url)
    yield store
    store.close()
