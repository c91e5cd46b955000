"""An Xid on a host, from the agent's event to an alert that a person can see, and to its end."""

from __future__ import annotations

import itertools
import time

from collector.hardware.policies import Verdict
from collector.hardware.reports import Report, Route
from collector.hardware.sentences import xid_sentence
from telemetry.events import Event, EventKind
from telemetry.identity import Origin
from telemetry.wire import BatchHeader, encode

GPU = "GPU-5e1d0000-0000-4000-8000-000000000079"
SEQS = itertools.count(1)


def tell(served, kind, message="", code=None):
    now_us = time.time_ns() // 1_000
    event = Event(at_us=now_us, kind=kind, host="node-x", gpu_uuid=GPU, code=code, message=message)
    header = BatchHeader(boot="xid", seq=next(SEQS), sealed_at_us=now_us, host="node-x", origin=Origin.LIVE)
    assert served.post(encode(header, {"events": [event]})).status_code == 202


def firing(served):
    alerts = served.call("GET", "/api/v1/alerts", token=served.admin).json()
    return [each for each in alerts if GPU in str(each["labels"]) and each["state"] == "firing"]


def test_a_fatal_xid_fires_and_a_reset_of_the_gpu_ends_it(serving, tmp_path):
    report = Report(gpu=GPU, code=95, route=Route.DRIVER, after_us=0, at_us=0)
    with serving(tmp_path, KEEP_FIRING_SECONDS="0") as served:
        tell(served, EventKind.XID, xid_sentence(report, Verdict.FATAL), code=95)
        served.until(lambda: firing(served))
        (alert,) = firing(served)
        assert (alert["name"], alert["severity"]) == ("gpu_xid", "ticket")
        assert "Xid 95, fatal: uncontained memory error; reset the GPU" in alert["summary"]
        tell(served, EventKind.GPU_RESET)
        served.until(lambda: not firing(served))
