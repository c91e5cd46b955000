"""Children of one run: what they say is heard, their end is noticed, nothing is left behind."""

from __future__ import annotations

import threading

import pytest

from inferometer.processes import Children
from inferometer.saying import Failure
from inferometer.stage import Stage


@pytest.fixture
def children():
    started = Children()
    yield started
    started.stop()


def test_a_child_that_cannot_start_tells_its_last_words(children):
    child = children.start("fleet", ["simulate", "--fleet", "nowhere"])
    with pytest.raises(Failure, match=r"(?s)fleet ended with code 2:.*no such fleet"):
        child.wait_for("ready:", 30)


def test_the_end_of_a_child_is_noticed_unless_it_was_asked_for(children, tmp_path):
    heard, ended = [], threading.Event()
    stage = Stage(tmp_path, children)
    stage.fleet("replay")
    stage.fleet("replay", "--replicas", "1")
    children.watch(lambda child: (heard.append(child), ended.set()))
    first, second = children._children
    first.process.kill()
    assert ended.wait(10)
    children.stop()
    assert heard == [first]
    assert (first.process.returncode, second.process.returncode) == (-9, 0)
