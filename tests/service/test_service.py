"""The service put together, with real stores in this process: restarts, new objectives, what it says of itself."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from journal import Sealed
from service.app import create_app
from service.settings import Settings
from service.vitals import EVALUATION_LATE
from service.wiring import Service, StartError
from telemetry.identity import Vantage
from telemetry.placement import Placement
from telemetry.requests import RequestRecord, Status
from telemetry.units import MICROS_PER_SECOND
from telemetry.wire import BatchHeader, encode

TTFT = """\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: {name}}}
spec:
  service: chat
  indicator:
    metadata: {{name: {name}}}
    spec:
      thresholdMetric: {{metricSource: {{type: inferometer, spec: {{indicator: ttft, group_by: [tenant]}}}}}}
  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{op: lte, value: {limit}, targetPercent: 99}}]
"""


def now_us():
    return time.time_ns() // 1_000


class House:
    """A data directory in which services are opened one after the other."""

    def __init__(self, folder, facts_url):
        self.folder, self.facts_url, self.seq = folder, facts_url, 0
        self.opened = []

    def open(self, **settings):
        given = {
            "data_dir": self.folder,
            "facts_url": self.facts_url,
            "ballast_bytes": 0,
            "block_seconds": 0.1,
        }
        service = Service.open(
            Settings.model_validate(given | settings), url="http://x", tell=lambda _said: None
        )
        self.opened.append(service)
        return service

    def close(self, service):
        self.opened.remove(service)
        service.close()

    def append(self, service, *records, body=None):
        self.seq += 1
        header = BatchHeader(boot="b", seq=self.seq, sealed_at_us=now_us(), host="h")
        body = encode(header, {"requests": records}) if body is None else body
        sealed = Sealed(agent="a", boot="b", seq=self.seq, received_at_us=now_us(), body=body)
        service.journal.append(sealed).result(5)


@pytest.fixture
def house(tmp_path, facts_url):
    made = House(tmp_path / "data", facts_url)
    yield made
    for service in list(made.opened):
        made.close(service)


@pytest.fixture
def objectives(tmp_path):
    """Write objectives, name to TTFT limit in seconds; return their folder."""

    def write(**limits):
        folder = tmp_path / "objectives"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, limit in limits.items():
            (folder / f"{name}.yaml").write_text(TTFT.format(name=name, limit=limit))
        return folder

    return write


def requests(count, ttft_ms, **more):
    at_us = now_us()
    return [
        RequestRecord(
            request_id=f"{at_us}-{number}-{more.get('vantage', '')}",
            tenant="t",
            model="m",
            status=Status.OK,
            started_at_us=at_us - 9 * MICROS_PER_SECOND,
            ended_at_us=at_us,
            e2e_us=9 * MICROS_PER_SECOND,
            ttft_us=ttft_ms * 1_000,
            output_tokens=5,
            **more,
        )
        for number in range(count)
    ]


def counted(service):
    """Return (good, total) of each objective over its whole period."""
    found = {}
    for counts in service.fold.counts:
        snapshot = counts.ring.counts()
        found[counts.objective.name] = (int(snapshot.good[-1].sum()), int(snapshot.total[-1].sum()))
    return found


def fold_all(service):
    while service.fold.step():
        pass


def test_a_restart_counts_the_same(house, objectives):
    folder = objectives(quick=1)
    first = house.open(objectives=(folder,))
    first.start()
    house.append(first, *requests(7, 500), *requests(2, 1_500))
    house.close(first)
    again = house.open(objectives=(folder,))
    again.writer.recover()
    fold_all(again)
    assert counted(again) == {"quick": (7, 9)}


def test_a_new_objective_counts_from_what_is_stored_as_if_it_had_always_been_there(house, objectives):
    first = house.open(objectives=(objectives(quick=1),))
    first.start()
    house.append(first, *requests(5, 500), *requests(3, 1_500))
    house.append(first, *requests(4, 1_500, vantage=Vantage.ENGINE))
    house.close(first)
    second = house.open(objectives=(objectives(quick=1, slow=2),))
    second.start()
    house.append(second, *requests(2, 2_500))
    deadline = time.monotonic() + 10
    while not second.fold.ready or counted(second)["quick"][1] < 10:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert counted(second) == {"quick": (5, 10), "slow": (8, 10)}
    house.close(second)
    third = house.open(objectives=(objectives(quick=1, slow=2),))
    third.start()
    assert counted(third) == {"quick": (5, 10), "slow": (8, 10)}


def test_an_objective_that_was_dropped_and_comes_back_has_no_hole(house, objectives):
    for names in ({"quick": 1}, {"slow": 2}):
        service = house.open(objectives=(objectives(**names),))
        service.start()
        house.append(service, *requests(5, 500))
        house.close(service)
    again = house.open(objectives=(objectives(quick=1),))
    again.start()
    assert counted(again) == {"quick": (5 + 5, 5 + 5)}


def test_a_pools_vantage_of_record_is_what_counts(house, objectives):
    service = house.open(objectives=(objectives(quick=1),), vantages={"p": Vantage.ENGINE})
    house.append(service, *requests(3, 500, pool="p"))
    house.append(service, *requests(4, 500, pool="p", vantage=Vantage.ENGINE))
    house.append(service, *requests(5, 500, pool="q"), *requests(6, 500, pool="q", vantage=Vantage.ENGINE))
    fold_all(service)
    assert counted(service) == {"quick": (4 + 5, 4 + 5)}


def test_a_batch_that_cannot_be_folded_is_set_aside_and_the_rest_goes_on(house, objectives):
    service = house.open(objectives=(objectives(quick=1),))
    house.append(service, *requests(1, 500))
    house.append(service, body=b"what an older version took")
    house.append(service, *requests(1, 500))
    fold_all(service)
    assert counted(service) == {"quick": (2, 2)} and service.fold.ready
    (aside,) = service.journal.quarantined()
    assert (aside.reader, aside.seq) == ("fold", 2)
    assert b"inferometer_service_journal_quarantined_batches 1.0" in service.metrics.page()


def test_a_service_whose_threads_do_not_run_complains_of_each(house):
    service = house.open()
    complaints = service.vitals.complaints()
    assert {
        f"thread {name} does not run" for name in ("fold", "store", "evaluator", "billing", "delivery")
    } <= set(complaints)
    answer = TestClient(create_app(service)).get("/health")
    assert (answer.status_code, answer.json()) == (503, {"ok": False, "reasons": complaints, "notes": []})
    service.start()
    assert service.vitals.complaints() == []


def test_an_old_evaluation_is_a_complaint(house):
    service = house.open()
    service.start()
    late_us = int((EVALUATION_LATE + 1) * service.settings.evaluation_seconds * MICROS_PER_SECOND)
    later = replace(service.vitals, clock=lambda: now_us() + late_us)
    assert any("the last evaluation is" in reason for reason in later.complaints())


def test_what_was_placed_is_known_again_after_a_restart(house):
    first = house.open()
    first.start()
    placement = Placement(at_us=now_us(), replica="r", gpu_uuid="GPU-1", host="h")
    header = BatchHeader(boot="b", seq=99, sealed_at_us=now_us(), host="h")
    sealed = Sealed(
        agent="a", boot="b", seq=99, received_at_us=now_us(), body=encode(header, {"placements": [placement]})
    )
    first.journal.append(sealed).result(5)
    first.writer.drain()
    house.close(first)
    again = house.open()
    again.start()
    assert again.live.frame("placements", 0, 2**62).texts("gpu_uuid").listed()[:1] == ["GPU-1"]


def test_a_directory_in_use_is_refused_and_left_alone(house):
    service = house.open()
    with pytest.raises(StartError, match="another process holds it"):
        house.open()
    service.start()
    assert service.vitals.complaints() == []


def test_a_receiver_that_cannot_be_used_refuses_the_start_and_lets_go(house):
    with pytest.raises(StartError, match="receiver pager"):
        house.open(receivers=[{"name": "pager", "url": "ftp://example.org"}])
    assert house.open().state.receivers.listed() == []
