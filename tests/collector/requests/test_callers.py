"""Tenants come from keys, from headers of trusted peers only, and stay bounded."""

import hashlib
import ipaddress

import pytest
from multidict import CIMultiDict

from collector.requests.callers import MAX_REMEMBERED, Attempts, Callers, LabelCap, is_within
from collector.requests.settings import ProxySettings

DIGEST = hashlib.sha256(b"sk-acme").hexdigest()
NEAR = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))


@pytest.fixture
def callers(tmp_path):
    def make(**changes):
        plain = {
            "upstream": ("http://h:1",),
            "socket": tmp_path / "s",
            "tenants": {DIGEST: "acme"},
            "trusted": NEAR,
        }
        return Callers(ProxySettings(**{**plain, **changes}))

    return make


def _tenant(callers, headers, peer="10.1.2.3"):
    return callers.identify(CIMultiDict(headers), peer).tenant


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer sk-acme"}, {"X-API-Key": "sk-acme"}, {"api-key": "sk-acme"}]
)
def test_a_known_key_names_the_tenant_whatever_the_header_says(callers, headers):
    assert _tenant(callers(), {**headers, "X-Tenant-Id": "other"}, peer="8.8.8.8") == "acme"


def test_a_header_counts_from_a_trusted_peer_only(callers):
    header = {"X-Tenant-Id": "beta", "X-Inferometer-Synthetic": "1"}
    it = callers()
    assert _tenant(it, header) == "beta"
    assert _tenant(it, header, peer="::ffff:10.0.0.1") == "beta"
    for peer in ("8.8.8.8", None, "not an address", "fe80::1%eth0"):
        caller = it.identify(CIMultiDict(header), peer)
        assert (caller.tenant, caller.synthetic) == ("__unknown__", False)
    assert it.identify(CIMultiDict(header), "::1").synthetic


@pytest.mark.parametrize("name", ["", "x" * 201, "a\tb", "\udcff"])
def test_a_name_that_is_none_is_unknown(callers, name):
    assert _tenant(callers(), {"X-Tenant-Id": name}) == "__unknown__"


def test_tenants_past_the_cap_are_other_and_counted(callers):
    it = callers(tenant_cap=3)
    names = [_tenant(it, {"X-Tenant-Id": f"t{number}"}) for number in range(100)]
    assert names == ["t0", "t1"] + ["__other__"] * 98
    assert _tenant(it, {"Authorization": "Bearer sk-acme"}) == "acme"
    assert it.tenants.folded == 98


def test_a_name_not_to_be_learnt_takes_no_place():
    cap = LabelCap(1)
    assert [cap.admit("junk", learn=False), cap.admit("good"), cap.admit("good", learn=False)] == [
        "__other__",
        "good",
        "good",
    ]


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1", True), ("", False), ("x" * 201, False), ("a\x01", False)]
)
def test_a_request_id_is_kept_when_it_is_one_else_made(callers, given, kept):
    made = callers().identify(CIMultiDict({"X-Request-Id": given}), None).request_id
    assert (made == given) is kept
    assert 0 < len(made) <= 200


def test_a_further_attempt_under_the_same_id_is_told_apart(callers):
    it = callers()
    first, second, third = (it.identify(CIMultiDict({"X-Request-Id": "r"}), None) for _ in range(3))
    assert (first.request_id, first.retry, first.retry_of) == ("r", 0, None)
    assert (second.request_id, second.retry, second.retry_of) == ("r#2", 1, "r")
    assert (third.request_id, third.retry, third.shared_id) == ("r#3", 2, "r")
    assert len(it.identify(CIMultiDict({"X-Request-Id": "x" * 200}), None).request_id) == 200
    assert len(it.identify(CIMultiDict({"X-Request-Id": "x" * 200}), None).request_id) <= 200


@pytest.mark.parametrize(
    ("said", "retry"), [("2", 2), ("0", 0), ("", 0), ("-1", 0), ("1" * 9, 0), ("two", 0)]
)
def test_the_attempt_a_client_states_is_believed_within_bounds(callers, said, retry):
    caller = callers().identify(CIMultiDict({"X-Stainless-Retry-Count": said}), None)
    assert (caller.retry, caller.retry_of) == (retry, None)


def test_only_the_latest_ids_are_remembered():
    attempts = Attempts()
    seen = [attempts.before(f"r{number}") for number in range(MAX_REMEMBERED + 1)]
    assert not any(seen)
    assert (attempts.before("r0"), attempts.before(f"r{MAX_REMEMBERED}")) == (0, 1)


def test_nobody_is_trusted_by_default():
    assert not is_within("127.0.0.1", ())
