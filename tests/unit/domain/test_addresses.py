"""Which addresses a webhook may be sent to."""

from __future__ import annotations

import pytest

from antiphon.domain.addresses import is_public

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1",  # noqa: S104  refused, not bound
    "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.1.1.1", "232.1.1.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0", "2a00::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254",
    "ff02::1", "ff0e::1", "2001:db8::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2002:7f00:1::",
    "2002:808:808::", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "100::1", "3fff::1", "4000::1",
    "5f00::1", "localhost", "1", "127.1", "0x7f000001", "2130706433", "017700000001", "1.2.3.4.5",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "93.184.216.34", "172.15.255.255", "172.32.0.1", "192.167.255.255", "100.63.255.255",
    "100.128.0.1", "223.255.255.254", "2a00:1450:4001:830::200e", "2606:4700::1111", "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]  # fmt: skip


@pytest.mark.parametrize("text", [*PRIVATE, "", " 8.8.8.8", "8.8.8.8 "])
def test_what_leads_into_somebodys_own_network_is_not_public(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize("text", PUBLIC)
def test_what_everybody_can_reach_is_public(text: str) -> None:
    assert is_public(text)
