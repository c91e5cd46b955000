"""One truth of files and API: objectives given, checked, listed, withdrawn; and a kill while they change."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

TTFT = """\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: {name}}}
spec:
  service: chat
  indicator:
    metadata: {{name: {name}}}
    spec:
      thresholdMetric: {{metricSource: {{type: inferometer, spec: {{indicator: ttft}}}}}}
  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{op: lte, value: {limit}, targetPercent: 99}}]
"""
PATH = "/api/v1/objectives"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("objectives")
    (made / "filed.yaml").write_text(TTFT.format(name="filed", limit=1))
    return made


@pytest.fixture(scope="module")
def house(tmp_path_factory, folder, serving):
    """Return a service with one file of objectives, and pages closed."""
    home = tmp_path_factory.mktemp("house")
    with serving(home, PAGES_OPEN="false", OBJECTIVES=json.dumps([str(folder)])) as running:
        yield running
        assert "Traceback" not in running.log()


def listed(served):
    answer = served.call("GET", PATH, token=served.token("read")).json()
    return {each["name"]: each for each in answer["objectives"]} | {"": answer}


def promises(served):
    return served.call("GET", "/api/v1/views/objectives").json()["objectives"]


def give(served, name, text, **params):
    return served.call("PUT", f"{PATH}/{name}", token=served.token("admin"), content=text, params=params)


def test_what_the_api_was_given_comes_into_force_and_can_be_withdrawn(house):
    answer = give(house, "given", TTFT.format(name="given", limit=2))
    assert answer.status_code == 200 and answer.json()["origin"] == "api"
    house.until(lambda: listed(house)["given"]["in_force"])
    told = listed(house)["given"]
    assert told["source"] == "API, given by a-admin" and told["since_us"] > 0
    one = house.call("GET", f"{PATH}/given", token=house.token("read")).json()
    assert one["document"] == TTFT.format(name="given", limit=2)
    give(house, "given", TTFT.format(name="given", limit=3))
    house.until(
        lambda: "within 3s" in listed(house)["given"]["promise"] and listed(house)["given"]["in_force"]
    )
    one = house.call("GET", f"{PATH}/given", token=house.token("read")).json()
    assert [each["to_us"] is None for each in one["versions"]] == [True, False]
    assert house.call("DELETE", f"{PATH}/given", token=house.token("admin")).status_code == 204
    house.until(lambda: "given" not in listed(house))
    with house.state() as state:
        done = [(each.who, each.action) for each in state.audit.listed() if each.subject == "given"]
    assert done == [("a-admin", "withdraw objective"), *[("a-admin", "give objective")] * 2]


def test_json_is_a_document_too(house):
    document = {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": "told"},
        "spec": {
            "service": "s",
            "indicator": {
                "metadata": {"name": "told"},
                "spec": {
                    "thresholdMetric": {
                        "metricSource": {"type": "inferometer", "spec": {"indicator": "ttft", "limit": "2s"}}
                    }
                },
            },
            "timeWindow": [{"duration": "30d", "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"target": 0.99}],
        },
    }
    answer = house.call(
        "PUT", f"{PATH}/told", token=house.token("admin"), json=document, params={"check": "true"}
    )
    assert answer.status_code == 200 and "first token within 2s" in answer.json()["promise"]


def test_a_check_keeps_nothing(house):
    assert give(house, "maybe", TTFT.format(name="maybe", limit=2), check="true").status_code == 200
    assert "maybe" not in listed(house)
    assert house.call("GET", f"{PATH}/maybe", token=house.token("read")).status_code == 404


def test_every_mistake_is_told_with_its_place(house):
    answer = give(house, "wrong", TTFT.format(name="wrong", limit="soon").replace("Occurrences", "Guesses"))
    assert answer.status_code == 422
    told = answer.json()
    assert [each["place"]["line"] for each in told["mistakes"]] == [11, 12]
    assert all(each["cause"] and each["hint"] for each in told["mistakes"])
    assert ":11:" in told["detail"]


@pytest.mark.parametrize(
    "text",
    [TTFT.format(name="other", limit=2), "\n---\n".join([TTFT.format(name=n, limit=1) for n in ("a", "b")])],
)
def test_a_body_is_the_one_document_of_that_name(house, text):
    answer = give(house, "named", text)
    assert answer.status_code == 422 and "called named" in answer.json()["detail"]


def test_what_a_file_says_only_the_file_can_change(house, folder):
    for answer in (
        give(house, "filed", TTFT.format(name="filed", limit=9)),
        house.call("DELETE", f"{PATH}/filed", token=house.token("admin")),
    ):
        assert answer.status_code == 409
        assert f"{folder}/filed.yaml says what it is; change it there" in answer.json()["detail"]
    assert house.call("DELETE", f"{PATH}/nobody", token=house.token("admin")).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_reader_may_look_and_not_change(house, method):
    assert house.call("GET", PATH, token=house.token("read")).status_code == 200
    assert house.call("GET", PATH).status_code == 401
    assert house.call(method, f"{PATH}/filed", token=house.token("read"), content="x").status_code == 403


def test_a_file_that_changes_is_in_force_within_seconds_and_a_mistake_in_it_is_told_everywhere(house, folder):
    file = folder / "filed.yaml"
    file.write_text(TTFT.format(name="filed", limit=4))
    house.until(
        lambda: "within 4s" in listed(house)["filed"]["promise"] and listed(house)["filed"]["in_force"]
    )
    file.write_text(TTFT.format(name="filed", limit="soon"))
    house.until(lambda: listed(house)[""]["mistakes"])
    assert "within 4s" in listed(house)["filed"]["promise"] and listed(house)["filed"]["in_force"]
    assert house.metric("objective_mistakes") == 1
    health = house.call("GET", "/health")
    assert health.status_code == 200 and f"{file}:12:" in health.json()["notes"][0]
    assert f"{file}:12:" in house.log()
    file.write_text(TTFT.format(name="filed", limit=5))
    house.until(lambda: house.call("GET", "/health").json()["notes"] == [])
    assert listed(house)[""]["mistakes"] == []


def test_kill_9_while_objectives_change_loses_no_request_and_counts_none_twice(tmp_path, batch, serving):
    folder, sent = tmp_path / "objectives", 0
    folder.mkdir()

    def write(name, limit):
        (folder / f"{name}.yaml").write_text(TTFT.format(name=name, limit=limit))

    write("steady", 1)
    for wait in (1.3, 2.2):
        with serving(tmp_path, OBJECTIVES=json.dumps([str(folder)])) as running:
            for _ in range(20):
                assert running.post(batch(5, ttft_us=1_500_000, e2e_us=2_000_000)).status_code == 202
                sent += 5
            write("steady", 1 + round(wait))
            write(f"late{wait:.0f}", 1)
            for _ in range(10):
                running.post(batch(5, ttft_us=1_500_000, e2e_us=2_000_000))
                sent += 5
            time.sleep(wait)
            os.kill(running.child.pid, signal.SIGKILL)
            running.child.wait()
    with serving(tmp_path, OBJECTIVES=json.dumps([str(folder)])) as running:
        running.until(lambda: {each["total"] for each in promises(running)} == {sent})
        told = {each["objective"]: (each["good"], each["total"]) for each in promises(running)}
    assert told == {"steady": (sent, sent), "late1": (0, sent), "late2": (0, sent)}
