"""Who is told: receivers of the settings and of the command line, and which alert explains another."""

from __future__ import annotations

from decimal import Decimal

import pytest

from alerts.errors import ConfigurationError
from alerts.inhibition import inhibited_by
from alerts.receivers.webhook import new_secret
from service.alerting.receiving import Receiving, page_before_ticket
from service.settings import ReceiverSettings
from service.store.silences import StoredReceiver
from slo.indicators.ttft import Ttft
from slo.objective import Objective

OBJECTIVE = Objective(
    name="ttft", indicator=Ttft(limit_us=1_000_000), target=Decimal("0.99"), group_by=("tenant",)
)


@pytest.fixture
def receiving(kept):
    return Receiving(kept, external_url="http://x")


def stored(name="late", secret=None, url="https://example.org/hook"):
    return StoredReceiver(
        name=name, kind="webhook", url=url, secret=secret or new_secret(), allow_private=False
    )


def test_a_receiver_without_a_secret_gets_one_that_is_told_once(receiving):
    told = []
    wanted = [ReceiverSettings(name="pager", url="https://example.org/hook")]
    receiving.keep(wanted, tell=told.append)
    receiving.keep(wanted, tell=told.append)
    assert len(told) == 1 and "whsec_" in told[0]


def test_a_receiver_added_while_running_is_routed_to_at_the_next_look(kept, receiving):
    assert list(receiving.routes()) == []
    kept.receivers.keep(stored(), now_us=1)
    assert [route.receiver for route in receiving.routes()] == ["late"]
    assert "late" in receiving and len(receiving) == 1


def test_a_changed_receiver_is_made_anew_and_an_unchanged_one_is_not(kept, receiving):
    kept.receivers.keep(stored(), now_us=1)
    first = receiving["late"]
    assert receiving["late"] is first
    kept.receivers.keep(stored(url="https://example.org/other"), now_us=2)
    assert receiving["late"] is not first


def test_a_receiver_that_cannot_be_used_is_refused_by_name(receiving):
    with pytest.raises(ConfigurationError, match="pager"):
        receiving.keep([ReceiverSettings(name="pager", url="ftp://example.org")], tell=print)


def labels(severity, tenant="a", objective="ttft"):
    return {"alertname": objective, "objective": objective, "tenant": tenant, "severity": severity}


@pytest.mark.parametrize(
    ("cause", "told", "held"),
    [
        (labels("page"), labels("ticket"), True),
        (labels("page", tenant="b"), labels("ticket"), False),
        (labels("page", objective="e2e"), labels("ticket"), False),
        (labels("ticket"), labels("page"), False),
        (labels("page"), labels("page"), False),
        ({"alertname": "A1", "severity": "page"}, {"alertname": "A1", "severity": "ticket"}, False),
    ],
)
def test_a_page_says_what_the_ticket_of_the_same_group_would(cause, told, held):
    rule = page_before_ticket([OBJECTIVE])
    assert (inhibited_by([rule], [cause], told) is not None) is held
