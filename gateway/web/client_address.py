"""Whose address a request comes from: the peer's, or what trusted proxies say of theirs.

Each proxy adds the address of its own client at the right end of X-Forwarded-For; so the list is read from there, and
only as long as the one who wrote an entry is trusted. What stands further left anybody may have written.
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For#selecting_an_ip_address
"""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address


def client_address(
    peer: str, forwarded_for: str, trusted: Collection[IPv4Network | IPv6Network]
) -> IPv4Address | IPv6Address | None:
    """The nearest address that is not a trusted proxy's; None where a trusted one wrote what is no address."""
    address = _parse(peer)
    entries = [entry.strip(" \t") for entry in forwarded_for.split(",")] if forwarded_for else []
    while address is not None and entries and any(address in network for network in trusted):
        address = _parse(entries.pop())
    return address


def is_trusted(peer: str, trusted: Collection[IPv4Network | IPv6Network]) -> bool:
    """Is it one of the proxies whose word counts?"""
    address = _parse(peer) if trusted else None
    return address is not None and any(address in network for network in trusted)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address; IPv4 in IPv6 clothes is IPv4, and a zone says nothing to anybody else."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
