"""One document of objectives, to be bent by the tests."""

from __future__ import annotations

import pytest

from service.objectives.files import parse
from service.objectives.mistakes import ObjectiveFileError

CHAT = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: chat-ttft
  displayName: TTFT
spec:
  service: chat
  indicator:
    spec:
      thresholdMetric:
        metricSource:
          type: inferometer
          spec:
            indicator: ttft
            limit: 2s
            pool: chat
            group_by: [model, tenant]
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - target: 0.99
"""


@pytest.fixture
def chat():
    return CHAT


@pytest.fixture
def mistakes_of():
    """Return the mistakes of a text as (line, column, cause, hint)."""

    def read(text):
        with pytest.raises(ObjectiveFileError) as refused:
            parse(text, "slo.yaml")
        return [
            (each.place.line, each.place.column, each.cause, each.hint) for each in refused.value.mistakes
        ]

    return read
