"""The next request goes where the fewest are, in turn when equal, not where nobody answers."""

from collector.requests.upstreams import COOL_SECONDS, Upstream, Upstreams


def test_equal_servers_take_turns():
    servers = [Upstream(f"u{number}", f"r{number}") for number in range(3)]
    choose = Upstreams(servers)
    assert [choose.choose(0).url for _ in range(6)] == ["u0", "u1", "u2"] * 2


def test_the_server_with_the_fewest_in_flight_is_next():
    servers = [Upstream("u0", "r0", in_flight=3), Upstream("u1", "r1", in_flight=1)]
    assert Upstreams(servers).choose(0).url == "u1"


def test_an_unreachable_server_is_left_alone_for_a_while():
    servers = [Upstream("u0", "r0"), Upstream("u1", "r1", in_flight=9)]
    choose = Upstreams(servers)
    choose.unreachable(servers[0], 100.0)
    assert choose.choose(100.0).url == "u1"
    choose.unreachable(servers[1], 100.0)
    assert choose.choose(100.1).url == "u0"
    assert choose.choose(100.0 + COOL_SECONDS).url == "u0"
