"""Which addresses of the network are everybody's, and which lead into somebody's own."""

from __future__ import annotations

import ipaddress

# Not everybody's, whatever `is_global` says of them: relays, tunnels and translations, which hide an IPv4 address, and
# what was private once (RFC 3056, 3068, 3879, 4380, 6052, 8215); and what not every Python knows yet (RFC 6890, 9637).
_HIDING = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "2002::/16",
        "2001::/32",
        "64:ff9b:1::/48",
        "fec0::/10",
        "3fff::/20",
        "::/96",
    )
)
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")  # all that is given out as global unicast (RFC 4291)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Whether an address in its text form is of the public network.

    Not so: private, loopback, link-local, shared (RFC 6598), multicast, reserved and documentation addresses, any of
    them inside an IPv6 address, one with a zone, and what is no address.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        inner = address.ipv4_mapped
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
        if address not in _GLOBAL_V6:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address.version == net.version and address in net for net in _HIDING)
    )
