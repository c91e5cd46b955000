from __future__ import annotations

from fractions import Fraction

from cost.attribution import Window, attribute
from cost.classes import CostClass
from cost.ledger import by_model, by_tenant
from cost.statement import per_million, statements

TEN_SECONDS = Window(0, 10_000_000)


def two_tenants(demand, replica, a10, make_request):
    records = [make_request("1", 0, 4, tenant="acme"), make_request("2", 1, 3, tenant="birch", model="n")]
    return attribute([replica(model="m")], demand(records), prices=a10, window=TEN_SECONDS)


def test_loaded_statements_sum_to_the_bill(demand, replica, a10, make_request):
    ledger = two_tenants(demand, replica, a10, make_request)
    found = statements(ledger.rows, {}, by=lambda row: row.tenant)
    assert [each.name for each in found] == ["acme", "birch"]
    assert sum(each.loaded_nano for each in found) == ledger.total()
    assert {each.name: each.direct_nano for each in found}.items() <= by_tenant(ledger.rows).items()


def test_statement_by_model_leaves_idle_to_nobody(demand, replica, a10, make_request):
    ledger = two_tenants(demand, replica, a10, make_request)
    found = {each.name: each for each in statements(ledger.rows, {}, by=lambda row: row.model)}
    assert set(found) == {"m", "n"}
    assert CostClass.IDLE_READY not in found["m"].classes
    assert by_model(ledger.rows)["m"] > found["m"].direct_nano  # the replica's idle time is the model's


def test_unit_cost_is_an_exact_fraction(demand, replica, a10, make_request):
    ledger = two_tenants(demand, replica, a10, make_request)
    (acme, _) = statements(ledger.rows, {"acme": 3_000_000}, by=lambda row: row.tenant)
    assert acme.direct_per_million == Fraction(acme.direct_nano, 3 * 10**9)
    assert acme.loaded_per_million > acme.direct_per_million


def test_unit_cost_without_tokens_is_not_known():
    assert per_million(5, 0) is None
    assert per_million(5, None) is None


def test_idle_fleet_has_one_statement_of_nobody(demand, replica, a10):
    ledger = attribute([replica()], demand([]), prices=a10, window=TEN_SECONDS)
    (found,) = statements(ledger.rows, {}, by=lambda row: row.tenant)
    assert found.name is None
    assert (found.direct_nano, found.loaded_nano) == (0, ledger.total())
