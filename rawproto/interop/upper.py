"""What rides above the transport, in one short text: DNS, HTTP and TLS, read by dpkt; and, by scapy, all the rest.

    upper_of(Packet.parse(frame))       # Upper("dns", "query 0x1234 A example.org")
    scapy_summary(frame)                # "RadioTap / 802.11 Management 8 ..."

One packet is looked at, not its stream: what is only a part of a message is told as far as it goes. Nothing is raised
for what the bytes hold, and what a text quotes from them has no control characters. dpkt and scapy are imported when
they are first needed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from io import BytesIO
from ipaddress import ip_address
from struct import Struct
from typing import Any, NamedTuple

from rawproto.wire.frame import Frame
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

__all__ = ["Upper", "scapy_summary", "upper_of"]

LONGEST = 60
"""Characters that are quoted of a name, a path, a header."""
MOST_SHOWN = 4
"""Answers, or records, of one message; of others there is only the number."""

DNS_PORT = 53
DNS_PORTS = {DNS_PORT: "dns", 5353: "mdns", 5355: "llmnr"}
"""RFC 1035 §4.2, RFC 6762 §1, RFC 4795 §2.4."""
DNS_HEADER = 12
DNS_TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV",
    35: "NAPTR", 41: "OPT", 43: "DS", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 64: "SVCB", 65: "HTTPS", 251: "IXFR",
    252: "AXFR", 255: "ANY", 257: "CAA",
}  # fmt: skip
"""IANA's "Resource Record (RR) TYPEs", those that one meets."""
DNS_OPT = 41
DNS_OPCODES = {0: "query", 1: "inverse query", 2: "status", 4: "notify", 5: "update", 6: "stateful"}
DNS_RCODES = {
    0: "", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE",
}  # fmt: skip
DNS_VALUES = {"A": "rdata", "AAAA": "rdata", "CNAME": "cname", "MX": "mxname", "NS": "nsname", "PTR": "ptrname"}
"""Of these types the value is told; dpkt's name for it."""

HTTP_START = (b"HTTP/1.", b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"CONNECT ", b"OPTIONS ", b"TRACE ",
              b"PATCH ", b"PROPFIND ", b"NOTIFY ", b"SUBSCRIBE ", b"SEARCH ", b"M-SEARCH ")  # fmt: skip
"""What a segment with the start of a message begins with; a datagram too, of SSDP."""

TLS_RECORD = Struct(">BHH")
"""Type, version, length (RFC 8446 §5.1)."""
TLS_RECORDS = {20: "ChangeCipherSpec", 21: "Alert", 22: "Handshake", 23: "ApplicationData", 24: "Heartbeat"}
TLS_VERSIONS = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
TLS_LARGEST = (1 << 14) + 2048
"""Bytes of a record, encrypted (RFC 5246 §6.2.3)."""
TLS_HANDSHAKE = 22
TLS_HELLOS = {1: "ClientHello", 2: "ServerHello"}
TLS_MESSAGES = {
    0: "HelloRequest", **TLS_HELLOS, 4: "NewSessionTicket", 8: "EncryptedExtensions", 11: "Certificate",
    12: "ServerKeyExchange", 13: "CertificateRequest", 14: "ServerHelloDone", 15: "CertificateVerify",
    16: "ClientKeyExchange", 20: "Finished", 22: "CertificateStatus",
}  # fmt: skip
SERVER_NAME, ALPN, SUPPORTED_VERSIONS = 0, 16, 43
"""Extensions of a hello (RFC 6066 §3, RFC 7301 §3.1, RFC 8446 §4.2.1)."""


class Upper(NamedTuple):
    """What a payload is."""

    protocol: str
    """"dns", "mdns", "llmnr", "http", "ssdp" or "tls"."""
    summary: str


def upper_of(packet: Packet) -> Upper | None:
    """What the payload of a TCP or UDP packet is; None for all that is none of these protocols, or can't be read."""
    layers = packet.layers
    last = layers[-1] if layers else None
    if not isinstance(last, (TCP, UDP)):
        return None
    payload = packet.payload
    if len(payload) < TLS_RECORD.size:
        return None
    reader = _reader_for(last, payload)
    if reader is None:
        return None
    try:
        return reader(payload)
    except Exception:  # dpkt raises whatever its bytes lead to
        return None


def scapy_summary(frame: Frame) -> str:
    """How scapy sums up a frame of any link type; empty where it knows no more than that there are bytes.

    Also empty without scapy, and for what scapy fails at.
    """
    try:
        first = _scapy_layers().get(int(frame.linktype))
        if first is None:
            return ""
        parsed = first(frame.data)
        last = parsed.lastlayer().__class__.__name__
        return "" if last in ("Raw", "Padding", "NoPayload") else _clean(parsed.summary(), 4 * LONGEST)
    except Exception:  # scapy raises whatever its bytes lead to
        return ""


@cache
def _scapy_layers() -> dict[int, Any]:
    """scapy's first layers by link type; empty where scapy is not installed. It takes a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scapy's own, about what it imports
        try:
            import_module("scapy.layers.all")
        except ImportError:
            return {}
    return dict(import_module("scapy.config").conf.l2types.num2layer)


def _reader_for(last: TCP | UDP, payload: bytes) -> Callable[[bytes], Upper] | None:
    """Who can read this payload, by its ports and its first bytes."""
    is_tcp = isinstance(last, TCP)
    if not is_tcp:
        name = DNS_PORTS.get(last.dport) or DNS_PORTS.get(last.sport)
        if name:
            return partial(_dns, protocol=name)
    elif DNS_PORT in (last.sport, last.dport):
        return lambda data: _dns(data[2:], "dns")  # its length is before it (RFC 1035 §4.2.2)
    if payload.startswith(HTTP_START):
        return partial(_http, protocol="http" if is_tcp else "ssdp")
    if is_tcp and payload[0] in TLS_RECORDS and payload[1] == 3 and payload[2] <= 4:
        return _tls
    return None


def _dns(data: bytes, protocol: str) -> Upper:
    from dpkt import dns  # noqa: PLC0415 - the command line starts without

    message = dns.DNS(data)
    number = "" if protocol == "mdns" else f"{message.id:#06x} "
    asked = [f"{_dns_type(question.type)} {_clean(question.name) or '.'}" for question in message.qd]
    if not message.qr:
        kind = DNS_OPCODES.get(message.opcode, f"opcode {message.opcode}")
        return Upper(protocol, f"{kind} {number}{_list(asked) or 'of nothing'}")
    words = ["answer", *number.split(), *([_list(asked)] if asked else [])]
    found = [_dns_record(record) for record in message.an]
    told = DNS_RCODES.get(message.rcode, f"rcode {message.rcode}")
    if not told:
        told = _list(found) or "no records"
    return Upper(protocol, f"{' '.join(words)}: {told}{', cut short' if message.tc else ''}")


def _dns_type(number: int) -> str:
    return DNS_TYPES.get(number, f"TYPE{number}")


def _dns_record(record: Any) -> str:
    """One resource record, with its value where that is an address or a name."""
    kind = _dns_type(record.type)
    value = getattr(record, DNS_VALUES.get(kind, ""), None)
    if kind in ("A", "AAAA") and isinstance(value, bytes):
        return f"{kind} {ip_address(value)}"
    return f"{kind} {_clean(value)}" if value else kind


def _http(data: bytes, protocol: str) -> Upper:
    from dpkt import http  # noqa: PLC0415

    if b"\n" not in data:
        return Upper(protocol, f"{_clean(data.decode('ascii', 'replace')).removesuffix('...')}...")
    head, _, _ = data.partition(b"\r\n\r\n")
    line, _, rest = head.partition(b"\r\n")
    # Line and headers apart: the body, which dpkt would look for, is seldom whole in one packet.
    wanted: tuple[tuple[str, str], ...] = (("host", "host {}"),)
    if line.startswith(b"HTTP/"):
        response = http.Response(line + b"\r\n\r\n")
        start = f"HTTP/{response.version} {response.status} {response.reason}".strip()
        wanted = (("content-type", "{}"), ("content-length", "{} bytes"), ("location", "to {}"))
    else:
        method, *others = line.split(b" ")
        # dpkt's list of methods lacks some.
        request = http.Request(b" ".join((b"GET", *others)) + b"\r\n\r\n")
        start = f"{method.decode('ascii', 'replace')} {_clean(request.uri)} HTTP/{request.version}"
    headers = _headers(http, rest)
    told = [form.format(_clean(headers[name])) for name, form in wanted if headers.get(name)]
    return Upper(protocol, ", ".join([_clean(start, 2 * LONGEST), *told]))


def _headers(http: Any, data: bytes) -> dict[str, str]:
    """Header fields by name in lower case; none if they can't be read."""
    try:
        found = http.parse_headers(BytesIO(data))
    except Exception:  # as in `upper_of`; the start line is worth telling alone
        return {}
    return {name: value[0] if isinstance(value, list) else value for name, value in found.items()}


def _tls(data: bytes) -> Upper:
    """The records that begin in this segment; the last one may go on in the next."""
    told = list(_tls_records(data))
    return Upper("tls", f"{told[0][0]}, {_list([text for _, text in told])}")


def _tls_records(data: bytes) -> Iterator[tuple[str, str]]:
    """Each record's version, and what it is. Raises ValueError if the first one is none."""
    at = 0
    while at + TLS_RECORD.size <= len(data):
        kind, version, length = TLS_RECORD.unpack_from(data, at)
        at += TLS_RECORD.size
        if kind not in TLS_RECORDS or version not in TLS_VERSIONS or not 0 < length <= TLS_LARGEST:
            if at == TLS_RECORD.size:
                raise ValueError("no TLS record")
            return
        body = data[at : at + length]
        at += length
        if kind == TLS_HANDSHAKE and len(body) >= 4:
            yield _tls_handshake(body, length, TLS_VERSIONS[version])
        else:
            yield TLS_VERSIONS[version], f"{TLS_RECORDS[kind]} ({length} bytes)"


def _tls_handshake(body: bytes, length: int, version: str) -> tuple[str, str]:
    """The version and the first message of a handshake record of `length` bytes."""
    kind, size = body[0], int.from_bytes(body[1:4])
    if kind not in TLS_MESSAGES or (size + 4 > length and kind not in (11, *TLS_HELLOS)):
        return version, f"encrypted Handshake ({length} bytes)"
    if kind not in TLS_HELLOS:
        return version, TLS_MESSAGES[kind]
    try:
        hello = _tls_hello(kind, body[4 : 4 + size])
    except Exception:  # as in `upper_of`; a hello that goes on in the next segment is one all the same
        return version, TLS_HELLOS[kind]
    extensions = dict(getattr(hello, "extensions", ()))
    version = TLS_VERSIONS.get(_tls_version(extensions.get(SUPPORTED_VERSIONS, b""), hello.version), version)
    name = extensions.get(SERVER_NAME, b"")[5:].decode("ascii", "replace")
    offered = _alpn(extensions.get(ALPN, b"")[2:])
    words = [TLS_HELLOS[kind]]
    if name:
        words.append(f"SNI {_clean(name)}")
    if offered:
        words.append(f"ALPN {_clean('/'.join(offered))}")
    if kind == 2:
        words.append(_clean(hello.ciphersuite.name))
    return version, " ".join(words)


def _tls_hello(kind: int, data: bytes) -> Any:
    from dpkt import ssl  # noqa: PLC0415

    return ssl.TLSClientHello(data) if kind == 1 else ssl.TLSServerHello(data)


def _tls_version(supported: bytes, legacy: int) -> int:
    """The version that a ServerHello has chosen, or the highest that a ClientHello offers in a list with its length."""
    pairs = supported[len(supported) & 1 :]
    known = [int.from_bytes(pairs[at : at + 2]) for at in range(0, len(pairs), 2)]
    return max((version for version in known if version in TLS_VERSIONS), default=legacy)


def _alpn(data: bytes) -> list[str]:
    """The protocols in an ALPN list, each behind its length."""
    found = []
    while data:
        found.append(data[1 : 1 + data[0]].decode("ascii", "replace"))
        data = data[1 + data[0] :]
    return found


def _list(texts: list[str]) -> str:
    more = f" and {len(texts) - MOST_SHOWN} more" if len(texts) > MOST_SHOWN else ""
    return ", ".join(texts[:MOST_SHOWN]) + more


def _clean(text: str, limit: int = LONGEST) -> str:
    """`text` from a packet for a terminal: no control characters, and not too much of it."""
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[: limit + 1])
    return shown if len(text) <= limit else shown[:limit] + "..."
