"""Which process serves a port: a tree of /proc made for each trap, and this machine's own for one real pair."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from collector.placement.processes import HOST_PID_NAMESPACE, Processes, Server, literal_address

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


class Proc:
    """A /proc with the files that are looked at."""

    def __init__(self, root):
        self.root = root
        self.add(os.getpid(), 1)
        (root / "self").symlink_to(str(os.getpid()))

    def add(
        self,
        pid,
        parent,
        *,
        sockets=(),
        title="python3",
        network="net:[1]",
        listening=(),
        addresses=("127.0.0.1",),
    ):
        folder = self.root / str(pid)
        for name in ("ns", "fd", "net"):
            (folder / name).mkdir(parents=True)
        (folder / "ns/pid").symlink_to(HOST_PID_NAMESPACE)
        (folder / "ns/net").symlink_to(network)
        (folder / "stat").write_text(f"{pid} (a (strange) name) S {parent} 1 1 0 -1\n")
        (folder / "cmdline").write_text(title + "\0--port\0")
        (folder / "fd/0").symlink_to("/dev/null")
        for number, inode in enumerate(sockets, start=3):
            (folder / f"fd/{number}").symlink_to(f"socket:[{inode}]")
        rows = [
            f"   0: 00000000:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1\n"
            for port, inode, state in listening
        ]
        (folder / "net/tcp").write_text(HEAD + "".join(rows))
        locals_ = "".join(
            f"           |-- {address}\n              /32 host LOCAL\n" for address in addresses
        )
        (folder / "net/fib_trie").write_text("Main:\n  +-- 0.0.0.0/0 3 0 5\n" + locals_)


@pytest.fixture
def proc(tmp_path):
    return Proc(tmp_path)


def look(proc, pid, port=8000, address=None):
    return Processes(proc.root).server_above(pid, address, port)


LISTENS = ((8000, 77, "0A"),)


def test_a_worker_belongs_to_the_server_it_descends_from(proc):
    proc.add(100, 1, sockets=(77,), listening=LISTENS)
    proc.add(200, 100, listening=LISTENS, title="VLLM::EngineCore_DP1")
    proc.add(300, 200, listening=LISTENS, title="VLLM::Worker_TP0")
    assert look(proc, 300) == Server(100, 1)
    assert look(proc, 100) == Server(100, None)


@pytest.mark.parametrize(
    ("title", "rank"),
    [
        ("VLLM::EngineCore_DP3", 3),
        ("VLLM::Worker_DP2_TP0_EP1", 2),
        ("sglang::scheduler_DP1_TP0", 1),
        ("python3 DP4", None),
        ("VLLM::EngineCore", None),
    ],
)
def test_a_rank_is_read_from_a_title_that_an_engine_sets(proc, title, rank):
    proc.add(100, 1, sockets=(77,), listening=LISTENS)
    proc.add(200, 100, listening=LISTENS, title=title)
    assert look(proc, 200) == Server(100, rank)


def test_a_neighbour_of_the_server_is_not_its_child(proc):
    proc.add(50, 1)
    proc.add(100, 50, sockets=(77,), listening=LISTENS)
    proc.add(200, 50, listening=LISTENS)
    assert look(proc, 200) is None


def test_who_merely_talks_to_the_port_does_not_serve_it(proc):
    proc.add(100, 1, sockets=(77,), listening=((8000, 77, "01"),))
    assert look(proc, 100) is None


def test_the_first_process_serves_nobody(proc):
    proc.add(1, 0, sockets=(77,), listening=LISTENS)
    proc.add(200, 1, listening=LISTENS)
    assert look(proc, 200) is None


def test_another_containers_port_8000_is_not_this_hosts(proc):
    proc.add(100, 1, sockets=(77,), listening=LISTENS, network="net:[2]")
    assert look(proc, 100) is None


def test_an_address_belongs_to_the_network_that_owns_it(proc):
    for pid, address in ((100, "10.0.0.7"), (200, "10.0.0.8")):
        proc.add(
            pid, 1, sockets=(77,), listening=LISTENS, network=f"net:[{pid}]", addresses=("127.0.0.1", address)
        )
    assert look(proc, 100, address="10.0.0.7") == Server(100, None)
    assert look(proc, 200, address="10.0.0.7") is None


def test_what_cannot_be_seen_is_not_guessed(proc):
    proc.add(100, 1, listening=LISTENS)  # its sockets are hidden from us
    assert look(proc, 100) is None
    assert look(proc, 999) is None


def test_a_ring_of_parents_ends(proc):
    proc.add(100, 200, listening=LISTENS)
    proc.add(200, 100, listening=LISTENS)
    assert look(proc, 100) is None


def test_a_container_with_ids_of_its_own_is_noticed(proc):
    assert Processes(proc.root).host_ids()
    link = proc.root / str(os.getpid()) / "ns/pid"
    link.unlink()
    link.symlink_to("pid:[4026532999]")
    assert not Processes(proc.root).host_ids()


def test_a_real_child_of_a_real_server_is_found():
    if not Path("/proc/self/net/tcp").exists():
        pytest.skip("this system has no /proc")
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            assert Processes().server_above(child.pid, None, server.getsockname()[1]) == Server(
                os.getpid(), None
            )
            assert Processes().server_above(child.pid, None, 1) is None
        finally:
            child.communicate(b"\n")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("127.0.0.1", None),
        ("localhost", None),
        ("engine.example", None),
        ("::1", None),
        ("fe80::1", None),
    ],
)
def test_only_a_literal_address_says_which_network(host, address):
    assert literal_address(host) == address
