from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import WireError
from rawproto.wire.arp import ARP
from rawproto.wire.codec import source_of
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.explain import reference
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMP, ICMPEcho, ICMPError, ICMPv6, ICMPv6Echo, ICMPv6Error
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.neighbor import NeighborAdvertisement, NeighborSolicitation
from rawproto.wire.rdt import RDT
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.udp import UDP

NAMES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(ARP, Ethernet, VLAN, ICMP, ICMPEcho, ICMPError, ICMPv6, ICMPv6Echo, ICMPv6Error, IPv4, IPv6),
        *(NeighborAdvertisement, NeighborSolicitation, RDT, TCP, UDP),
    )
}
HEADERS: list[type[Header]] = list(NAMES.values())


def headers(kind: type[Header], exact: bool = False) -> st.SearchStrategy[Header]:
    """Any header of a class; `exact` ones have no None."""
    values: dict[str, st.SearchStrategy[Any]] = {}
    for row in kind.fields:
        if row.is_tail:
            values[row.name] = st.binary(max_size=min(10, row.bits // 32)).map(lambda part: part * 4)
        elif row.pack:
            values[row.name] = st.binary(min_size=row.bits // 8, max_size=row.bits // 8)
        elif row.default is None and not exact:
            values[row.name] = st.none() | st.integers(0, row.limit)
        else:
            values[row.name] = st.integers(0, row.limit)
    return st.fixed_dictionaries(values).map(lambda given_values: kind(**given_values))


ANY = st.sampled_from(HEADERS).flatmap(headers)
EXACT = st.sampled_from(HEADERS).flatmap(lambda kind: headers(kind, exact=True))


@given(EXACT)
def test_exact_fields_are_sent_as_given(header: Header) -> None:
    data = bytes(header)
    assert len(data) == header.size
    back = type(header).decode(data, 0, len(data))
    tail = header.fields[-1].is_tail
    assert back._values[: -1 if tail else None] == header._values[: -1 if tail else None]
    if not tail or header.fields[-1].words is None:
        assert back == header


@given(EXACT)
def test_bits_lie_where_the_table_says(header: Header) -> None:
    number, length = int.from_bytes(bytes(header)[: header.SIZE]), header.SIZE * 8
    for row in header.fields:
        if not row.is_tail:
            value = number >> (length - row.offset - row.bits) & row.limit
            raw = header.raw(row.name)
            assert value == (int.from_bytes(raw) if isinstance(raw, bytes) else raw), row.name


@given(ANY)
def test_repr_can_be_pasted_back(header: Header) -> None:
    assert eval(repr(header), NAMES) == header


@given(ANY)
def test_values(header: Header) -> None:
    for twin in (copy.copy(header), copy.deepcopy(header), pickle.loads(pickle.dumps(header)), header.replace()):
        assert twin == header
        assert hash(twin) == hash(header)


@pytest.mark.parametrize("kind", HEADERS)
def test_every_field_refuses_what_does_not_fit_by_name(kind: type[Header]) -> None:
    for row in kind.fields:
        if row.pack:
            continue
        for wrong in (-1, 1 << row.bits, 1.0, "1"):
            with pytest.raises(WireError, match=f"^{kind.__name__} {row.name}: "):
                kind(**{row.name: wrong})
        kind(**{row.name: row.limit})
        if row.default is not None:
            with pytest.raises(WireError, match=f"^{kind.__name__} {row.name}: None"):
                kind(**{row.name: None})


def test_the_range_is_named() -> None:
    with pytest.raises(WireError, match=r"^IPv4 ttl: 256 is not in 0\.\.255$"):
        IPv4(ttl=256)
    with pytest.raises(WireError, match=r"^IPv4 src: IPv4 address: '10\.0' is not"):
        IPv4(src="10.0")
    with pytest.raises(WireError, match=r"^TCP options: 41 bytes, at most 40 fit$"):
        TCP(options=bytes(41))
    with pytest.raises(WireError, match=r"^TCP options: 5 is neither bytes"):
        TCP(options=5)  # type: ignore[arg-type]
    with pytest.raises(WireError, match=r"^TCP options: 'ab' is neither bytes"):
        TCP(options="ab")  # type: ignore[arg-type]


def test_a_computed_value_that_does_not_fit_is_named() -> None:
    with pytest.raises(WireError, match=r"^UDP length: 65536 is not in 0\.\.65535$"):
        bytes(UDP() / bytes(65528))
    with pytest.raises(WireError, match=r"^IPv4 total_length: 65536 "):
        bytes(IPv4() / bytes(65516))


def test_headers_are_immutable() -> None:
    header = IPv4()
    with pytest.raises(AttributeError, match="replace"):
        header.ttl = 3  # type: ignore[misc]
    with pytest.raises(AttributeError, match="can't be changed"):
        del header.ttl
    with pytest.raises(AttributeError):
        header.tll = 3  # type: ignore[attr-defined]
    assert header.replace(ttl=3).ttl == 3
    assert header.ttl == 64
    with pytest.raises(WireError, match="IPv4 has no field tll"):
        header.replace(tll=3)


def test_equality_minds_the_class() -> None:
    assert ICMPEcho(type=128) != ICMPv6Echo(type=128)
    assert ICMPEcho() == ICMPEcho()
    assert IPv4(src="1.2.3.4") == IPv4(src=b"\1\2\3\4")


def test_addresses_read_as_text_and_flags_as_given() -> None:
    assert IPv4(src=b"\1\2\3\4").src == "1.2.3.4"
    assert IPv4(src="1.2.3.4").raw("src") == b"\1\2\3\4"
    assert Ethernet(dst=b"\2\0\0\0\0\1").dst == "02:00:00:00:00:01"
    assert TCP(flags=TCPFlags.SYN | TCPFlags.ACK).flags == 0x12


@pytest.mark.parametrize("kind", HEADERS)
def test_the_reference_names_every_field(kind: type[Header]) -> None:
    page = reference(kind)
    assert all(f"| {row.name} |" in page and row.source in page for row in kind.fields)
    assert all(row.meaning and row.source for row in kind.fields)


def test_generated_code_compiles_alone() -> None:
    compile(source_of(RDT.fields), "table", "exec")
