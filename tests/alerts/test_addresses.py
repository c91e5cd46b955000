"""Where a webhook may go: every trick we know of, at save time and at delivery time."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import httpx
import pytest

from alerts.addresses import PRIVATE, checked_url, denial, destination, system_resolve, unmapped
from alerts.errors import ConfigurationError, DeliveryError, ForbiddenDestination

DENIED = """
127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.1.1
169.254.169.254 169.254.170.2 100.64.0.1 100.100.100.200 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1
198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 ::ffff:0:7f00:1
64:ff9b::a9fe:a9fe 64:ff9b::7f00:1 64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe::1 2002:7f00:1::1 2002:c0a8:101::
2001:0:4136:e378:8000:63bf:5601:5601 2001::1 2001:db8::1 3fff::1 fe80::1 fec0::1 fc00::1 fd00:ec2::254
ff02::1 100::1 5f00::1 4000::1
"""

PUBLIC = (
    "8.8.8.8 1.1.1.1 93.184.216.34 172.32.0.1 100.128.0.1 2606:4700::1111 2a00:1450:4001::1 64:ff9b::808:808"
)

FORBIDDEN_URLS = [
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://localhost/",
    "http://localhost./",
    "http://LOCALHOST:8080/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
]

REFUSED_URLS = [
    ("ftp://example.com/", "not http or https"),
    ("file:///etc/passwd", "not http or https"),
    ("gopher://example.com/", "not http or https"),
    ("http:///path", "no host"),
    ("//example.com/", "not http or https"),
    ("http://user:secret@example.com/", "user and password"),
    ("http://example.com@127.0.0.1/", "user and password"),
    ("http://[fe80::1%25eth0]/", "zone|cannot be read"),
    ("http://exa mple.com/", "escape"),
]


def resolving(*addresses):
    return lambda host, port: addresses


@pytest.mark.parametrize("text", DENIED.split())
def test_an_address_inside_is_denied(text):
    assert denial(ip_address(text)) is not None


@pytest.mark.parametrize("text", PUBLIC.split())
def test_an_address_outside_is_allowed(text):
    assert denial(ip_address(text)) is None


@pytest.mark.parametrize("text", FORBIDDEN_URLS)
def test_a_disguise_of_loopback_is_seen_through(text):
    seen_through = "is private, local|not a public|^resolve |cannot be read"
    with pytest.raises((ConfigurationError, DeliveryError), match=seen_through):
        destination(checked_url(text))


@pytest.mark.parametrize(("text", "why"), REFUSED_URLS)
def test_a_url_that_is_no_webhook_is_refused(text, why):
    with pytest.raises(ConfigurationError, match=why):
        checked_url(text)


def test_no_error_shows_the_password_of_a_url():
    with pytest.raises(ConfigurationError) as caught:
        checked_url("https://user:hunter2@example.com/")
    assert "hunter2" not in str(caught.value)


def test_one_bad_address_among_good_ones_denies_the_host():
    url = checked_url("https://rebind.example/")
    with pytest.raises(ForbiddenDestination, match="allow_private"):
        destination(url, resolve=resolving("93.184.216.34", "169.254.169.254"))


def test_the_address_that_was_checked_is_the_one_to_connect_to():
    answers = iter([("93.184.216.34",), ("127.0.0.1",)])
    where = destination(checked_url("https://rebind.example/"), resolve=lambda host, port: next(answers))
    assert where.address == "93.184.216.34"


def test_a_scoped_address_is_denied():
    with pytest.raises(ForbiddenDestination):
        destination(checked_url("https://x.example/"), resolve=resolving("2606:4700::1%eth0"))


def test_a_name_that_does_not_resolve_is_worth_another_try():
    def failing(host, port):
        raise OSError("Temporary failure in name resolution")

    with pytest.raises(DeliveryError) as caught:
        destination(checked_url("https://x.example/"), resolve=failing)
    assert not caught.value.permanent and not isinstance(caught.value, ForbiddenDestination)


def test_no_address_at_all_is_worth_another_try():
    with pytest.raises(DeliveryError, match="no address"):
        destination(checked_url("https://x.example/"), resolve=resolving())


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "::1", "fd12::1", "::ffff:10.0.0.1"]
)
def test_an_operator_may_open_private_networks(text):
    assert denial(ip_address(text), PRIVATE) is None


@pytest.mark.parametrize(
    "text", ["169.254.169.254", "::ffff:169.254.169.254", "224.0.0.1", "192.0.0.192", "fe80::1"]
)
def test_opening_private_networks_does_not_open_metadata_services(text):
    assert denial(ip_address(text), PRIVATE) is not None


def test_an_operator_may_name_a_network_of_their_own():
    assert denial(ip_address("169.254.10.1"), [ip_network("169.254.10.0/24")]) is None


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("::ffff:169.254.169.254", "169.254.169.254"),
        ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
        ("2002:a9fe:a9fe::1", "169.254.169.254"),
        ("2001:0:4136:e378:8000:63bf:5601:5601", "169.254.169.254"),
        ("2606:4700::1111", "2606:4700::1111"),
        ("8.8.8.8", "8.8.8.8"),
    ],
)
def test_the_address_inside_an_address_is_found(outer, inner):
    assert unmapped(ip_address(outer)) == ip_address(inner)


def test_the_default_port_follows_the_scheme():
    ports = []
    destination(
        httpx.URL("https://x.example/"), resolve=lambda host, port: ports.append(port) or ("8.8.8.8",)
    )
    destination(httpx.URL("http://x.example/"), resolve=lambda host, port: ports.append(port) or ("8.8.8.8",))
    assert ports == [443, 80]


def test_the_system_resolves_a_literal_without_a_network():
    assert list(system_resolve("127.0.0.1", 80)) == ["127.0.0.1"]
