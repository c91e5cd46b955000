"""While new objectives are counted from stored facts, the page, /health, the API and a metric say how far it is."""

from __future__ import annotations

import json
import time

S = 1_000_000
MINUTE, HOUR = 60 * S, 3_600 * S
DAY_BACK = 24 * HOUR - 5 * MINUTE
OBJECTIVE = """
apiVersion: openslo/v1
kind: SLO
metadata: {{name: new-{number}}}
spec:
  service: chat
  indicator:
    metadata: {{name: new-{number}}}
    spec:
      thresholdMetric: {{metricSource: {{type: inferometer, spec: {{indicator: ttft}}}}}}
  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{op: lte, value: 2, targetPercent: 99}}]
"""


def told_of_progress(house, asking):
    """Return which of the four places say now that something is being counted."""
    page = house.call("GET", "/api/v1/views/objectives", params={"asking": asking}).json()["counting"]
    api = house.call("GET", "/api/v1/objectives").json()["counting"]
    notes = house.call("GET", "/health").json()["notes"]
    return {
        "page": page is not None and page["total"] >= 24,
        "API": api is not None and "new-0" in api["names"],
        "health": any("hours counted, then in force" in note for note in notes),
        "metric": house.metric("recount_hours") >= 24,
    }


def test_it_is_told_in_all_four_places_and_reaches_as_far_back_as_facts_are_kept(tmp_path, serving, batch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old.yaml").write_text(OBJECTIVE.format(number="old"))
    timed = {"ttft_us": 9 * S, "e2e_us": 10 * S, "stream": True}
    with serving(tmp_path, OBJECTIVES=json.dumps([str(tmp_path / "folder")])) as house:
        at_us = time.time_ns() // 1_000 - DAY_BACK
        house.post(batch(7, ended_at_us=at_us, started_at_us=at_us - 10 * S, **timed))
        house.until(lambda: house.metric("stored_rows_total") == 7)
        documents = "---".join(OBJECTIVE.format(number=number) for number in range(12))
        (tmp_path / "folder" / "new.yaml").write_text(documents)
        seen, asking = set(), 0
        while len(seen) < 4:
            assert asking < 2_000, f"only told in {seen}"
            asking += 1
            seen |= {place for place, told in told_of_progress(house, asking).items() if told}
        house.until(lambda: house.call("GET", "/health").json()["notes"] == [])
        rows = house.call("GET", "/api/v1/views/objectives", params={"name": "new-3"}).json()["objectives"]
        assert [(row["good"], row["total"]) for row in rows] == [(0, 7)]
