"""What rides above the transport, in a line: true, short, and without a control character, whatever the bytes."""

from __future__ import annotations

import ssl
import subprocess
import sys
from typing import Any

import pytest
from dpkt import dns as dpkt_dns
from hypothesis import example, given
from hypothesis import strategies as st

from rawproto.interop.upper import Upper, scapy_summary, upper_of
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

BASE = Ethernet() / IPv4(src="10.0.0.1", dst="10.0.0.2")


def told(transport: Header, payload: bytes) -> Upper | None:
    return upper_of(Packet.parse(bytes(BASE / transport / payload)))


def dns_message(**values: Any) -> bytes:
    message = dpkt_dns.DNS(id=0x1234, **values)
    return bytes(message)


QUESTION = dpkt_dns.DNS.Q(name="example.org", type=dpkt_dns.DNS_A)
QUERY = dns_message(qd=[QUESTION])


def answer(*records: dpkt_dns.DNS.RR, **values: Any) -> bytes:
    return dns_message(op=dpkt_dns.DNS_QR | values.pop("rcode", 0), qd=[QUESTION], an=list(records), **values)


ADDRESS = dpkt_dns.DNS.RR(name="example.org", type=dpkt_dns.DNS_A, rdata=bytes([192, 0, 2, 1]), rlen=4)
ALIAS = dpkt_dns.DNS.RR(name="example.org", type=dpkt_dns.DNS_CNAME, cname="www.example.net")


def client_hello() -> bytes:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="example.org").do_handshake()
    return outgoing.read()


def server_hello(version: bytes = b"") -> bytes:
    extensions = b"\0\x2b\0\2" + version if version else b""
    body = b"\3\3" + bytes(32) + b"\0" + b"\x13\x01" + b"\0" + len(extensions).to_bytes(2) + extensions
    return b"\x16\3\3" + (len(body) + 4).to_bytes(2) + b"\2" + len(body).to_bytes(3) + body


def test_a_dns_query_and_its_answers() -> None:
    assert told(UDP(dport=53), QUERY) == Upper("dns", "query 0x1234 A example.org")
    assert told(UDP(sport=53), answer(ADDRESS)) == Upper("dns", "answer 0x1234 A example.org: A 192.0.2.1")
    found = told(UDP(sport=53), answer(ALIAS, ADDRESS))
    assert found == Upper("dns", "answer 0x1234 A example.org: CNAME www.example.net, A 192.0.2.1")
    assert told(UDP(sport=53), answer(rcode=3)) == Upper("dns", "answer 0x1234 A example.org: NXDOMAIN")
    assert told(UDP(sport=53), answer()) == Upper("dns", "answer 0x1234 A example.org: no records")


def test_dns_over_tcp_has_its_length_before_it() -> None:
    assert told(TCP(dport=53), len(QUERY).to_bytes(2) + QUERY) == Upper("dns", "query 0x1234 A example.org")


def test_dns_without_a_server_is_told_by_its_port() -> None:
    assert told(UDP(sport=5353, dport=5353), QUERY) == Upper("mdns", "query A example.org")
    assert told(UDP(dport=5355), QUERY) == Upper("llmnr", "query 0x1234 A example.org")


def test_many_answers_are_counted() -> None:
    found = told(UDP(sport=53), answer(*[ADDRESS] * 9))
    assert found is not None
    assert found.summary.endswith("A 192.0.2.1, A 192.0.2.1, A 192.0.2.1, A 192.0.2.1 and 5 more")


REQUEST = b"GET /index.html?x=1 HTTP/1.1\r\nUser-Agent: x\r\nHost: example.org\r\n\r\n"


@pytest.mark.parametrize(
    ("payload", "summary"),
    [
        (REQUEST, "GET /index.html?x=1 HTTP/1.1, host example.org"),
        (REQUEST[:40], "GET /index.html?x=1 HTTP/1.1"),
        (REQUEST[:10], "GET /index..."),
        (b"POST /a HTTP/1.1\r\nContent-Length: 500\r\n\r\nonly the start", "POST /a HTTP/1.1"),
        (b"PATCH /a HTTP/1.1\r\n\r\n", "PATCH /a HTTP/1.1"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 500\r\n\r\nabc",
         "HTTP/1.1 404 Not Found, text/html, 500 bytes"),
        (b"HTTP/1.0 301 Moved\r\nLocation: https://example.org/\r\n\r\n",
         "HTTP/1.0 301 Moved, to https://example.org/"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content"),
    ],
)  # fmt: skip
def test_http(payload: bytes, summary: str) -> None:
    assert told(TCP(dport=8080), payload) == Upper("http", summary)


def test_http_in_datagrams_is_ssdp() -> None:
    found = told(UDP(sport=9999, dport=1900), b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n")
    assert found == Upper("ssdp", "M-SEARCH * HTTP/1.1, host 239.255.255.250:1900")


def test_tls_hellos() -> None:
    hello = client_hello()
    assert told(TCP(dport=443), hello) == Upper("tls", "TLS 1.3, ClientHello SNI example.org ALPN h2/http/1.1")
    assert told(TCP(dport=443), hello[:100]) == Upper("tls", "TLS 1.0, ClientHello")
    assert told(TCP(sport=443), server_hello()) == Upper("tls", "TLS 1.2, ServerHello TLS_AES_128_GCM_SHA256")
    found = told(TCP(sport=443), server_hello(b"\3\4"))
    assert found == Upper("tls", "TLS 1.3, ServerHello TLS_AES_128_GCM_SHA256")


def test_tls_records() -> None:
    data = b"\x17\3\3\5\0" + bytes(100)  # goes on in the next segment
    assert told(TCP(sport=443), data) == Upper("tls", "TLS 1.2, ApplicationData (1280 bytes)")
    several = b"\x14\3\3\0\1\1" + b"\x16\3\3\0\x28" + bytes(range(100, 140))
    found = told(TCP(sport=443), several)
    assert found == Upper("tls", "TLS 1.2, ChangeCipherSpec (1 bytes), encrypted Handshake (40 bytes)")


@pytest.mark.parametrize(
    ("transport", "payload"),
    [
        (TCP(dport=443), b"\x16\3\3\xff\xff" + bytes(50)),
        (TCP(dport=443), b"\x17\3\3\0\0" + bytes(50)),
        (TCP(dport=80), b"GETTING somewhere"),
        (TCP(dport=80), b"GET nothing else\r\n\r\n"),
        (UDP(dport=53), b"no DNS at all, but long enough for its header"),
        (UDP(dport=53), b"short"),
        (UDP(dport=9), bytes(20)),
        (TCP(dport=80), b""),
    ],
)
def test_what_is_none_of_them_is_nothing(transport: Header, payload: bytes) -> None:
    assert told(transport, payload) is None


def test_nothing_from_a_packet_reaches_a_terminal_as_control_characters() -> None:
    found = told(TCP(dport=80), b"GET /\x1b]0;title\x07 HTTP/1.1\r\nHost: \x1b[31m\xe2\x80\xaered\r\n\r\n")
    assert found is not None
    assert found.summary == r"GET /\x1b]0;title\x07 HTTP/1.1, host \x1b[31mred"
    question = dpkt_dns.DNS.Q(name="a\x1b[31m\u202eb.org", type=dpkt_dns.DNS_A)
    named = told(UDP(dport=53), dns_message(qd=[question]))
    assert named is not None
    assert named.summary.isprintable()


def test_long_names_are_cut() -> None:
    found = told(TCP(dport=80), b"GET /" + b"x" * 1000 + b" HTTP/1.1\r\nHost: " + b"y" * 1000 + b"\r\n\r\n")
    assert found is not None
    assert len(found.summary) < 200
    assert "..." in found.summary


@given(
    st.sampled_from([TCP(dport=80), TCP(dport=53), UDP(dport=53), UDP(sport=5353), UDP(dport=1900), TCP(sport=443)]),
    st.one_of(
        st.binary(max_size=300),
        st.tuples(
            st.sampled_from([QUERY, answer(ALIAS, ADDRESS), REQUEST, server_hello(b"\3\4"), b"HTTP/1.1 200 OK\r\n"]),
            st.integers(0, 80),
            st.binary(max_size=60),
        ).map(lambda mix: mix[0][: mix[1]] + mix[2] + mix[0][mix[1] + len(mix[2]) :]),
    ),
)
@example(UDP(dport=53), bytes.fromhex("123481000001ffff00000000") + b"\xc0\x0c" * 40)
def test_any_bytes_give_a_line_or_nothing(transport: Header, payload: bytes) -> None:
    found = told(transport, payload)
    assert found is None or (found.summary.isprintable() and len(found.summary) < 700)


def test_scapy_tells_what_is_not_spoken_here() -> None:
    beacon = bytes.fromhex("0000080000000000" + "80000000" + "ff" * 6 + "00" * 12 + "0000" + "00" * 8 + "64000000")
    assert "802.11 Management Beacon" in scapy_summary(Frame(beacon, 0, LinkType(127)))
    assert scapy_summary(Frame(bytes(BASE / UDP(sport=68, dport=67) / (b"\1\1\6" + bytes(233))))).endswith("BOOTP")


@pytest.mark.parametrize(
    "frame",
    [
        Frame(bytes(BASE / UDP(dport=9) / b"bytes")),
        Frame(b"\0", 0, LinkType.ETHERNET),
        Frame(b"x", 0, LinkType(40_000)),
        Frame(bytes(30), 0, LinkType(127)),
    ],
)
def test_scapy_is_silent_where_it_knows_no_more(frame: Frame) -> None:
    assert scapy_summary(frame) == ""


def test_neither_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from rawproto.interop.upper import upper_of; from rawproto.wire.packet import Packet;"
        "upper_of(Packet.parse(bytes(60))); print([name for name in ('dpkt', 'scapy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
