from __future__ import annotations

import ipaddress
from typing import Any

import netaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import WireError
from rawproto.wire.address import ip_text, mac_text, pack_ip, pack_ipv4, pack_ipv6, pack_mac

MAC = bytes.fromhex("02000000ab01")


@pytest.mark.parametrize(
    "given_as",
    [
        "02:00:00:00:ab:01",
        "02-00-00-00-AB-01",
        "0200.0000.ab01",
        "02000000ab01",
        MAC,
        bytearray(MAC),
        memoryview(MAC),
        netaddr.EUI("02-00-00-00-ab-01"),
    ],
)
def test_a_mac_in_every_guise(given_as: Any) -> None:
    assert pack_mac(given_as) == MAC


@pytest.mark.parametrize(
    "wrong",
    [
        "02:00:00:00:ab",
        "02:00:00:00:ab:01:02",
        "02:00-00:00:ab:01",
        "0200000000zz",
        "",
        "2:0:0:0:ab:1",
        b"12345",
        5,
        None,
    ],
)
def test_a_wrong_mac_is_refused(wrong: Any) -> None:
    with pytest.raises(WireError, match="MAC address"):
        pack_mac(wrong)


@pytest.mark.parametrize(
    "given_as",
    ["10.0.0.1", b"\n\0\0\1", bytearray(b"\n\0\0\1"), ipaddress.ip_address("10.0.0.1"), netaddr.IPAddress("10.0.0.1")],
)
def test_an_ipv4_address_in_every_guise(given_as: Any) -> None:
    assert pack_ipv4(given_as) == b"\n\0\0\1" == pack_ip(given_as)


@pytest.mark.parametrize("given_as", ["fe80::1", ipaddress.ip_address("fe80::1"), netaddr.IPAddress("fe80::1")])
def test_an_ipv6_address_in_every_guise(given_as: Any) -> None:
    assert pack_ipv6(given_as) == b"\xfe\x80" + bytes(13) + b"\1" == pack_ip(given_as)


@pytest.mark.parametrize("wrong", ["10.0.0", "10.0.0.256", "10.0.0.01", "::1", b"123", 1, netaddr.IPAddress("::1")])
def test_a_wrong_ipv4_address_is_refused(wrong: Any) -> None:
    with pytest.raises(WireError, match="IPv4 address"):
        pack_ipv4(wrong)


@pytest.mark.parametrize("wrong", ["fe80::1%eth0", "fe80:::1", "10.0.0.1", b"1234", 1])
def test_a_wrong_ipv6_address_is_refused(wrong: Any) -> None:
    with pytest.raises(WireError, match="IPv6 address"):
        pack_ipv6(wrong)


@pytest.mark.parametrize("wrong", ["host", "", b"12345", None])
def test_a_wrong_ip_address_is_refused_in_one_line(wrong: Any) -> None:
    with pytest.raises(WireError) as caught:
        pack_ip(wrong)
    assert "address" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)))
def test_ip_text_reads_back(packed: bytes) -> None:
    assert pack_ip(ip_text(packed)) == packed
    assert ip_text(packed) == str(ipaddress.ip_address(packed))


@given(st.binary(min_size=6, max_size=6))
def test_mac_text_reads_back(packed: bytes) -> None:
    assert pack_mac(mac_text(packed)) == packed


def test_ip_text_of_another_size() -> None:
    with pytest.raises(WireError):
        ip_text(b"12345")
