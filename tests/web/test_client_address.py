"""Whose address it is: trusted proxies are passed from right to left, and nobody else is believed."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.client_address import client_address

PROXIES = tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.7/32", "2001:db8:1::/48")))
CLIENT, PROXY, SECOND = "198.51.100.1", "10.0.0.1", "192.0.2.7"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "wanted"),
    [
        (CLIENT, "", CLIENT),
        (CLIENT, "203.0.113.9", CLIENT),
        (CLIENT, "10.0.0.5", CLIENT),
        (PROXY, "", PROXY),
        (PROXY, CLIENT, CLIENT),
        (PROXY, f"203.0.113.9, {CLIENT}", CLIENT),
        (PROXY, f"garbage,,, {CLIENT}", CLIENT),
        (PROXY, f"{CLIENT}, {SECOND}", CLIENT),
        (PROXY, f"203.0.113.9,{CLIENT},\t{SECOND} , 10.9.9.9", CLIENT),
        (PROXY, "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("2001:db8:1::5", "2001:db8:2::1", "2001:db8:2::1"),
        ("2001:db8:1::5", CLIENT, CLIENT),
        ("2001:db8:2::5", CLIENT, "2001:db8:2::5"),
        (f"::ffff:{PROXY}", CLIENT, CLIENT),
        (PROXY, f"::ffff:{CLIENT}", CLIENT),
        (PROXY, f"{CLIENT}, ::ffff:{SECOND}", CLIENT),
        ("fe80::1%eth0", CLIENT, "fe80::1"),
        (PROXY, "fe80::1%eth0", "fe80::1"),
        (PROXY, "2001:DB8:0:0::1", "2001:db8::1"),
    ],
)
def test_the_nearest_address_that_is_no_trusted_proxys_is_the_clients(peer, forwarded_for, wanted):
    assert client_address(peer, forwarded_for, PROXIES) == ip_address(wanted)


@pytest.mark.parametrize(
    "written",
    ["unknown", "198.51.100", "198.51.100.1:443", "[2001:db8::1]", "0xC6336401", "198.051.100.001", "", " ", "١٩٨.51.100.1",
     f"{CLIENT} 10.0.0.1", f"{CLIENT}, ", "_hidden", "%eth0"],
)  # fmt: skip
def test_what_a_trusted_proxy_wrote_and_is_no_address_is_nobodys(written):
    assert client_address(PROXY, f"{CLIENT}, {written}", PROXIES) is None


def test_a_zone_says_nothing():
    """So an address with one is inside the networks that it is in without."""
    assert client_address("2001:db8:1::1%en0", CLIENT, PROXIES) == ip_address(CLIENT)


def test_without_a_peer_there_is_no_address():
    """A socket that is gone, or one of the file system."""
    assert client_address("", CLIENT, PROXIES) is None


def test_without_trusted_proxies_the_header_is_not_read():
    assert client_address(PROXY, CLIENT, ()) == ip_address(PROXY)


addresses = st.ip_addresses().map(str)
entries = st.lists(addresses | st.text("0123456789abcdef.:%, \t[]x", max_size=20)).map(",".join)


@given(addresses, entries)
def test_whatever_the_header_says_an_address_comes_out_or_none(peer, forwarded_for):
    client_address(peer, forwarded_for, PROXIES)


@given(addresses.filter(lambda text: ip_address(text) not in PROXIES[0]), entries)
def test_who_is_no_trusted_proxy_cannot_choose_an_address(peer, forwarded_for):
    assert client_address(peer, forwarded_for, PROXIES[:1]) == client_address(peer, "", ())


@given(entries, st.ip_addresses(v=4).filter(lambda address: not any(address in network for network in PROXIES)))
def test_what_stands_left_of_the_client_changes_nothing(left, client):
    assert client_address(PROXY, f"{left},{client}", PROXIES) == client
