"""How a router picks a replica."""

from __future__ import annotations

from collections import Counter

import pytest

from simulator.arrivals import Arrival
from simulator.cluster import Cluster
from simulator.errors import SpecError
from simulator.faults import Fault, FaultKind
from simulator.specs import Policy


@pytest.fixture
def routed(make_fleet):
    """Return a function giving the replica keys that a policy picks for some arrivals."""

    def route(policy, arrivals, *, down=()):
        cluster = Cluster(make_fleet(3, policy=policy), 0)
        for key in down:
            cluster.begin_fault(Fault(kind=FaultKind.RESTART, replica=key, start_us=0, end_us=9), 0)
        return [cluster.route(arrival).place.key for arrival in arrivals]

    return route


def _arrivals(count, **more):
    return [
        Arrival(request_id=str(n), at_us=0, prompt_tokens=5, output_tokens=5, **more) for n in range(count)
    ]


def test_round_robin_goes_round(routed):
    assert routed(Policy.ROUND_ROBIN, _arrivals(4)) == ["only-0", "only-1", "only-2", "only-0"]


def test_least_loaded_spreads_over_idle_replicas(routed):
    assert Counter(routed(Policy.LEAST_LOADED, _arrivals(6))) == {"only-0": 2, "only-1": 2, "only-2": 2}


def test_sticky_keeps_a_tenant_where_it_is(routed):
    assert len(set(routed(Policy.STICKY, _arrivals(5, tenant="acme")))) == 1


def test_prefix_aware_keeps_a_prefix_together(routed):
    assert len(set(routed(Policy.PREFIX_AWARE, _arrivals(5, prefix="p", prefix_tokens=4)))) == 1


def test_a_replica_that_is_down_is_left_out(routed):
    assert set(routed(Policy.ROUND_ROBIN, _arrivals(6), down=["only-1"])) == {"only-0", "only-2"}


def test_an_arrival_for_an_unknown_pool_is_refused(routed):
    with pytest.raises(SpecError, match="no pool"):
        routed(Policy.ROUND_ROBIN, _arrivals(1, pool="nowhere"))
