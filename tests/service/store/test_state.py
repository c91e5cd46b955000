"""The state store, on SQLite and PostgreSQL: every noun keeps what it was given."""

from __future__ import annotations

import pytest

from alerts.matchers import Matcher
from alerts.silences import Silence
from cost.prices import Price
from service.store.errors import StoreRefused, StoreUnavailable
from service.store.findings import StoredFinding
from service.store.fleet import AgentSeen, ExpectedGpu, ReplicaStanding
from service.store.notes import AuditEntry
from service.store.objectives import StoredObjective
from service.store.silences import StoredReceiver
from service.store.state import State
from service.store.tokens import Role
from telemetry.condition import Severity
from telemetry.samples import ReplicaState

NOW = 1_790_000_000_000_000


def test_a_token_is_found_by_its_text_until_it_is_revoked(state):
    text = state.tokens.create("agent-1", Role.AGENT, now_us=NOW)
    assert (state.tokens.find(text).name, state.tokens.find(text).role) == ("agent-1", Role.AGENT)
    assert state.tokens.find(text + "x") is None
    assert state.tokens.revoke("agent-1", now_us=NOW + 1) == 1
    assert state.tokens.find(text) is None
    assert state.tokens.revoke("agent-1", now_us=NOW + 2) == 0
    assert [token.revoked_at_us for token in state.tokens.listed()] == [NOW + 1]


def test_the_text_of_a_token_is_nowhere_in_the_store(tmp_path):
    from service.store.migrate import upgrade_state

    url = f"sqlite:///{tmp_path}/state.db"
    upgrade_state(url)
    store = State.open(url)
    text = store.tokens.create("a", Role.ADMIN, now_us=NOW)
    store.close()
    assert all(text.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_an_agent_is_known_as_it_last_spoke(state):
    first = AgentSeen(name="a", host="h", boot="1", software="x 1", last_seen_us=NOW)
    later = AgentSeen(name="a", host="h", boot="2", software="x 2", last_seen_us=NOW + 9, clock_offset_us=-5)
    state.fleet.heard([first])
    state.fleet.heard([later])
    assert state.fleet.agents() == [later]


def test_a_gpu_is_expected_from_when_it_was_first_seen_until_it_is_retired(state):
    gpu = ExpectedGpu(gpu_uuid="GPU-1", host="h", gpu_model=None, since_us=NOW)
    assert state.fleet.expect([gpu]) == 1
    assert (
        state.fleet.expect([ExpectedGpu(gpu_uuid="GPU-1", host="h", gpu_model="A10", since_us=NOW + 1)]) == 0
    )
    assert state.fleet.expected() == [gpu]
    assert state.fleet.retire("GPU-1", now_us=NOW + 2) and not state.fleet.retire("GPU-1", now_us=NOW + 3)
    assert state.fleet.expected() == []


def test_a_replica_has_one_state(state):
    ready = ReplicaStanding(replica="r", state=ReplicaState.READY, since_us=NOW, updated_at_us=NOW)
    lost = ReplicaStanding(
        replica="r",
        state=ReplicaState.LOST,
        since_us=NOW + 1,
        updated_at_us=NOW + 2,
        detail="silent",
        pool="p",
    )
    state.fleet.keep_replicas([ready])
    state.fleet.keep_replicas([lost])
    assert state.fleet.replicas() == [lost]


def objective(version, *, name="ttft", valid_from_us=NOW):
    return StoredObjective(
        name=name, version=version, spec="{}", source="f.yaml", valid_from_us=valid_from_us
    )


def test_a_new_version_ends_the_old_one_and_deletes_nothing(state):
    state.objectives.replace([objective("1"), objective("9", name="gone")], now_us=NOW)
    state.objectives.replace([objective("1"), objective("9", name="gone")], now_us=NOW + 5)
    state.objectives.replace([objective("2")], now_us=NOW + 10)
    assert state.objectives.current() == [objective("2", valid_from_us=NOW + 10)]
    ended = {(each.version, each.valid_from_us, each.valid_to_us) for each in state.objectives.history()}
    assert ended == {("9", NOW, NOW + 10), ("1", NOW, NOW + 10), ("2", NOW + 10, None)}


def test_an_old_version_may_come_back_as_a_new_row(state):
    for at, version in enumerate(["1", "2", "1"]):
        state.objectives.replace([objective(version)], now_us=NOW + at)
    assert [each.version for each in state.objectives.history()] == ["1", "2", "1"]


def test_the_price_book_holds_the_last_word_for_each_instant(state):
    prices = [
        Price(selector="A10", nano_per_hour=1, source="s", dated="2026-11-21"),
        Price(selector="H100", nano_per_hour=2**62),
    ]
    assert state.prices.add(prices, "USD", now_us=NOW) == 2
    assert state.prices.add(prices, "USD", now_us=NOW + 1) == 0
    changed = Price(selector="A10", nano_per_hour=3)
    assert state.prices.add([changed], "USD", now_us=NOW + 2) == 1
    assert set(state.prices.book("USD").prices) == {changed, prices[1]}
    assert state.prices.book("EUR").prices == ()


def finding(number=1, **changes):
    return StoredFinding(
        **{
            "id": f"f{number}",
            "klass": "A9",
            "cause": "an idle GPU beside a queue",
            "severity": Severity.PAGE,
            "replicas": ("a:8000", "b:8000"),
            "started_at_us": NOW + number,
            "updated_at_us": NOW + number,
            "summary": {"waiting": "6"},
            "cost_nano": -(2**62),
            "evidence_id": "e",
            **changes,
        }
    )


def test_a_finding_is_open_until_it_has_an_end(state):
    state.findings.keep([finding(1), finding(2)])
    state.findings.keep([finding(1, ended_at_us=NOW + 100, cause="it was the router")])
    assert state.findings.open() == [finding(2)]
    assert state.findings.get("f1").cause == "it was the router"
    assert state.findings.get("f3") is None


def test_findings_are_asked_for_by_time_and_dataset(state):
    state.findings.keep([finding(1, ended_at_us=NOW + 10), finding(50), finding(3, dataset="trace")])
    assert [each.id for each in state.findings.between(NOW + 11, NOW + 40)] == []
    assert [each.id for each in state.findings.between(NOW, NOW + 60)] == ["f1", "f50"]
    assert [each.id for each in state.findings.open("trace")] == ["f3"]


def silence(ends=10, starts=0):
    return Silence(
        id="s",
        matchers=(Matcher("pool", "=~", "chat-.*"),),
        starts_at_us=NOW + starts,
        ends_at_us=NOW + ends,
        created_by="ops",
    )


def test_a_silence_stands_until_it_ends_or_is_expired(state):
    state.silences.add(silence(), now_us=NOW)
    assert state.silences.standing(NOW + 9) == [silence()]
    assert state.silences.standing(NOW + 10) == []
    assert state.silences.expire("s", now_us=NOW + 5) and not state.silences.expire("s", now_us=NOW + 6)
    assert state.silences.standing(NOW + 5) == []


def test_a_silence_that_has_not_begun_can_be_expired(state):
    state.silences.add(silence(starts=5), now_us=NOW)
    assert state.silences.expire("s", now_us=NOW + 1)
    assert state.silences.standing(NOW) == []


def test_a_receivers_secret_is_kept_and_never_shown(state):
    hook = StoredReceiver(name="ops", kind="webhook", url="https://x/y", secret="whsec_1")
    state.receivers.keep(hook, now_us=NOW)
    assert state.receivers.listed() == [hook]
    assert "whsec_1" not in repr(state.receivers.listed())


def test_notes_are_kept_together_and_the_first_word_can_be_final(state):
    assert state.notes.get("k") is None
    state.notes.set({"k": "1", "l": "2"})
    state.notes.set({"k": "3"})
    assert (state.notes.get("k"), state.notes.get("l")) == ("3", "2")
    assert state.notes.set_once("k", "4") == "3" and state.notes.set_once("m", "5") == "5"


def test_the_audit_trail_is_newest_first(state):
    entries = [
        AuditEntry(at_us=NOW + n, who="ops", action="revoke", subject="t", detail={"n": str(n)})
        for n in range(3)
    ]
    for entry in entries:
        state.audit.add(entry)
    assert state.audit.listed(limit=2) == entries[:0:-1]


def note_twice(database):
    with database.writing() as connection:
        for _ in range(2):
            connection.exec_driver_sql("INSERT INTO meta (key, value) VALUES ('k', 'v')")


def test_a_transaction_that_fails_leaves_nothing(state):
    with pytest.raises(StoreRefused):
        note_twice(state._database)
    assert state.notes.get("k") is None


@pytest.mark.parametrize("url", ["", "mysql://x/y", "clickhousedb:///"])
def test_a_url_of_another_store_is_refused(url):
    with pytest.raises(StoreRefused, match="sqlite:///FILE"):
        State.open(url)


def test_an_unreachable_store_is_said_so_without_its_password():
    store = State.open("postgresql://user:hunter2@127.0.0.1:1/db")
    with pytest.raises(StoreUnavailable) as caught:
        store.notes.get("k")
    assert "hunter2" not in str(caught.value)


def test_sqlite_is_durable_and_checks_its_keys(tmp_path):
    from service.store.database import Database

    database = Database(f"sqlite:///{tmp_path}/deep/state.db")
    with database.reading() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]
    database.close()
