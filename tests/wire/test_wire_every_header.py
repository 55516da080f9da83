"""What holds for every header and every option: found by walking the classes, so that none is forgotten."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rawproto.wire
from rawproto.errors import WireError
from rawproto.wire.explain import reference
from rawproto.wire.header import ETHERTYPES, IP_PROTOCOLS, LINKTYPES, Header
from rawproto.wire.ipv4_options import IPV4_OPTIONS
from rawproto.wire.ipv6_options import IPV6_OPTIONS
from rawproto.wire.neighbor_options import NEIGHBOR_OPTIONS, DNSSearchList
from rawproto.wire.options import Option, OptionFamily
from rawproto.wire.packet import Packet
from rawproto.wire.tcp_options import TCP_OPTIONS

MODULES = [
    importlib.import_module(f"rawproto.wire.{module.name}")
    for module in pkgutil.iter_modules(rawproto.wire.__path__)
    if not module.name.startswith("_")
]


def below(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        ours = child.__module__.startswith("rawproto.wire.")
        # A dataclass with slots is made twice; only the second one has its module's name.
        if ours and getattr(sys.modules[child.__module__], child.__name__, None) is child:
            yield child
            yield from below(child)


ABSTRACT = {"Message", "ExtensionHeader", "OptionsHeader", "NeighborMessage", "Routing", "PPP"}
"""What others are made from: registered, some of them, but read as one of their subclasses."""
HEADERS: list[Any] = sorted(set(below(Header)), key=lambda kind: kind.__name__)
CONCRETE = [kind for kind in HEADERS if kind.__name__ not in ABSTRACT]
OPTIONS: list[Any] = sorted(set(below(Option)), key=lambda kind: kind.__name__)
FAMILIES = [IPV4_OPTIONS, IPV6_OPTIONS, NEIGHBOR_OPTIONS, TCP_OPTIONS]
SCOPE = {kind.__name__: kind for kind in (*HEADERS, *OPTIONS)}


def headers(kind: type[Header], exact: bool = False) -> st.SearchStrategy[Header]:
    """Any header of a class; an exact one has no None."""
    values: dict[str, st.SearchStrategy[Any]] = {}
    for row in kind.fields:
        if row.is_tail:
            step = 8 if row.unit == 8 else 4
            values[row.name] = st.binary(max_size=min(10, row.bits // 8 // step)).map(lambda part, n=step: part * n)
        elif row.pack:
            values[row.name] = st.binary(min_size=row.bits // 8, max_size=row.bits // 8)
        else:
            number = st.integers(0, row.limit)
            values[row.name] = number if exact or row.default is not None else st.none() | number
    return st.fixed_dictionaries(values).map(lambda given_values: kind(**given_values))


few = settings(max_examples=20)
each_header = pytest.mark.parametrize("kind", HEADERS, ids=lambda kind: kind.__name__)


def test_names_are_unique() -> None:
    assert len(SCOPE) == len(HEADERS) + len(OPTIONS)
    assert len(HEADERS) > 60
    assert len(OPTIONS) > 50


@each_header
@few
@given(data=st.data())
def test_repr_can_be_pasted_back(kind: type[Header], data: st.DataObject) -> None:
    header = data.draw(headers(kind))
    assert eval(repr(header), SCOPE) == header


@each_header
@few
@given(data=st.data())
def test_exact_fields_are_sent_as_given_where_the_table_says(kind: type[Header], data: st.DataObject) -> None:
    header = data.draw(headers(kind, exact=True))
    sent = header.pack()
    assert len(sent) == header.size
    number, length = int.from_bytes(sent[: kind.SIZE]), kind.SIZE * 8
    for row in kind.fields:
        raw = header.raw(row.name)
        if row.is_tail:
            assert sent[kind.SIZE :] == raw
            continue
        value = number >> (length - row.offset - row.bits) & row.limit
        assert value == (int.from_bytes(raw) if isinstance(raw, bytes) else raw), row.name


@each_header
@few
@given(data=st.data())
def test_what_is_read_is_what_was_there(kind: type[Header], data: st.DataObject) -> None:
    sent = data.draw(st.binary(min_size=kind.SIZE, max_size=kind.SIZE + 64))
    header: Header = kind.decode(sent, 0, len(sent))
    assert header.pack() == sent[: header.size]
    assert type(header) is kind
    assert hash(header) == hash(kind.decode(sent, 0, len(sent)))


@each_header
def test_every_field_has_meaning_and_source(kind: type[Header]) -> None:
    page = reference(kind)
    assert all(row.meaning and row.source and f"| {row.name} |" in page for row in kind.fields)
    assert kind.source
    assert kind.family
    assert kind.__doc__


@each_header
def test_every_field_refuses_what_does_not_fit(kind: type[Header]) -> None:
    for row in kind.fields:
        wrong = bytes(row.bits // 8 + 1) if row.pack else 1 << row.bits
        with pytest.raises(WireError, match=f"^{kind.__name__} {row.name}: "):
            kind(**{row.name: wrong})


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_defaults_are_built_and_told(kind: type[Header]) -> None:
    packet = Packet((kind(),), b"payload")
    assert bytes(packet).endswith(b"payload")
    assert kind.__name__ in packet.explain()
    assert packet.summary()
    assert "None" not in packet.summary()


@each_header
def test_what_a_number_stands_for_knows_the_number(kind: type[Header]) -> None:
    """What parsing finds by a number, building fills the number in for."""
    for number, registry in ((kind.ether_number, ETHERTYPES), (kind.ip_number, IP_PROTOCOLS)):
        if number is not None:
            assert issubclass(kind, registry[number])
    assert kind.link_number is None or kind.link_number in LINKTYPES or kind.has_pseudo_header


OPTION_SAMPLES: list[Option] = [
    family.read(item)
    for family in FAMILIES
    for number in range(256)
    for size in (0, 1, 2, 4, 6, 8, 10, 14, 16, 22, 30)
    for item in family.items(
        bytes((number, (size + 2) // 8 if family.unit == 8 else size + 2 - family.extra)) + bytes(size)
    )
]

OPTION_SAMPLES.append(DNSSearchList(("example.com",), 5))


def test_samples_cover_every_option() -> None:
    never = {"Option", "TCPOption", "IPOption", "IPv6Option", "DiscoveryOption", "Route"}
    assert {kind.__name__ for kind in OPTIONS} - {type(option).__name__ for option in OPTION_SAMPLES} <= never


@pytest.mark.parametrize("family", FAMILIES, ids=["IPv4", "IPv6", "neighbor", "TCP"])
@given(data=st.binary(max_size=60))
def test_options_joined_again_are_the_bytes(family: OptionFamily[Any], data: bytes) -> None:
    items = list(family.items(data))
    read = [item for item in items if not item.error]
    joined = b"".join(map(bytes, family.parse(data)))
    end = read[-1].offset + read[-1].length if read else 0
    if read and read[-1].kind in family.ends:
        end = read[-1].offset + 1  # what follows the end is padding
    assert joined == data[:end]
    assert len(family.rows(data)) == len(items)
    assert any(broken.rule == "option" for broken in family.broken(data)) == any(item.error for item in items)


def test_reprs_of_options_can_be_pasted_back() -> None:
    for option in OPTION_SAMPLES:
        assert eval(repr(option), SCOPE) == option


@pytest.mark.parametrize(
    "kind", [kind for kind in OPTIONS if is_dataclass(kind) and fields(kind)], ids=lambda k: k.__name__
)
def test_options_refuse_numbers_that_do_not_fit(kind: Any) -> None:
    samples = [option for option in OPTION_SAMPLES if type(option) is kind]
    for option in samples[:1]:
        for row in fields(kind):
            if isinstance(getattr(option, row.name), int):
                values = {each.name: getattr(option, each.name) for each in fields(kind)}
                with pytest.raises(WireError, match="does not fit"):
                    bytes(kind(**{**values, row.name: 1 << 64}))
