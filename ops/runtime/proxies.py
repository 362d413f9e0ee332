"""Find the address of a client behind proxies.

A maintained library was looked for: aiohttp-remotes does not check whether the peer is a proxy of ours, so that anybody
who reaches the port chooses an address, and it accepts neither ports nor invalid entries.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def client(peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """Return the client's address: the peer's, or what our proxies say, which each append their own peer.

    The rightmost of ``X-Forwarded-For`` that is no proxy of ours; what stands left of it is hearsay. If all are ours,
    the one farthest away. What cannot be read was not written by a proxy that can be believed: the peer's own then.
    """
    nearest = _address(peer or "")
    if nearest is None or not _ours(nearest, trusted):
        return None if nearest is None else str(nearest)
    found = nearest
    for said in reversed([part for line in forwarded for part in line.split(",")]):
        hop = _address(said.strip())
        if hop is None:
            return str(nearest)
        found = hop
        if not _ours(hop, trusted):
            break
    return str(found)


def is_ours(peer: str | None, trusted: Sequence[Network]) -> bool:
    """Return whether the peer is a proxy of ours."""
    nearest = _address(peer or "")
    return nearest is not None and _ours(nearest, trusted)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address with or without a port, as proxies write it; IPv4 inside of IPv6 is IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(ip, IPv6Address) and ip.ipv4_mapped) or ip


def _ours(ip: IPv4Address | IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(ip in network for network in trusted)
