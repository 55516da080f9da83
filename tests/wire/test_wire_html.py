from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.field import field, octets
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.html import BARE_LIMIT, explain_html
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, Seen
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.tcp_options import MaximumSegmentSize
from rawproto.wire.udp import UDP

IPS: dict[str, Any] = {"src": "10.0.0.1", "dst": "10.0.0.2"}


class Quoting(Header, source="a test"):
    """An error about the packet that follows."""

    __slots__ = ()
    quotes = True
    code: int = field(32, 0, "what is wrong", "a test")


SYN = TCP(sport=1234, dport=80, seq=7, flags=TCPFlags.SYN, options=[MaximumSegmentSize(1460)])
SAMPLES: list[Packet] = [
    Ethernet() / VLAN(vid=5) / IPv4(**IPS) / SYN / b"<b>&\"hello'",
    Ethernet() / IPv6() / RDT(options=[Seen(3)]) / b"x",
    IPv4(**IPS) / UDP(length=7) / b"",
    IPv4(**IPS) / Quoting() / bytes(IPv4(src="9.9.9.9") / UDP(sport=53) / b"quoted"),
    (Ethernet() / IPv4(**IPS) / UDP() / b"x").replace(trailer=bytes(9)),
    Packet(payload=b"bare"),
]


class Seen_(HTMLParser):  # noqa: N801 - `Seen` is an option
    """Checks that tags are balanced, and keeps what a browser would show."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.cells: list[tuple[str, set[str], str]] = []
        """For each byte: its text, its classes, its tooltip."""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append((tag, dict(attrs)))
        if tag in ("td", "th", "div", "pre"):
            self.text += "\n"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        tag, attributes = self.open[-1]
        if tag == "style":
            return
        self.text += data
        if tag == "span" and "title" in attributes:
            self.cells.append((data, set((attributes["class"] or "").split()), attributes["title"] or ""))


@pytest.mark.parametrize("sample", SAMPLES)
def test_each_byte_is_there_once_and_says_what_it_is(sample: Packet) -> None:
    page = Seen_(explain_html(sample))
    assert "".join(text for text, _, _ in page.cells) == bytes(sample).hex()
    assert all(title for _, _, title in page.cells)
    layout = sample.layout
    for header, offset in zip(layout.layers, layout.offsets, strict=True):
        for row in header.fields:
            if not row.is_tail:
                for at in range(offset + row.offset // 8, offset + (row.offset + row.bits + 7) // 8):
                    title = page.cells[at][2]
                    assert f"{type(header).__name__} {row.name}" in title
                    assert f"{row.meaning} [{row.source}]" in title


def test_a_tooltip_tells_value_name_and_meaning() -> None:
    cells = Seen_(explain_html(SAMPLES[0])).cells
    assert cells[18][2].split("\n") == [
        "IPv4 version:0-3 = 4",
        "version [RFC 791 §3.1]",
        "IPv4 ihl:4-7 = 5",
        "header length in 32-bit words [RFC 791 §3.1]",
    ]
    assert "TCP flags = 0x02 (SYN)" in cells[18 + 20 + 13][2]
    assert "TCP MaximumSegmentSize = mss=1460" in cells[18 + 20 + 20][2]
    assert cells[-1][2] == "payload, byte 10"
    assert Seen_(explain_html(SAMPLES[4])).cells[-1][2] == "trailer, byte 8"


def test_the_table_has_a_row_for_each_field() -> None:
    text = Seen_(explain_html(SAMPLES[0])).text
    for header in SAMPLES[0].layout.layers:
        assert f"{type(header).__name__}, {header.size} bytes at " in text
        for row in header.fields:
            assert row.is_tail or f"\n{row.name}" in text
    assert "checksum TCP: ok" in text
    assert SAMPLES[0].summary() in text


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_field_and_its_bytes_light_up_together(sample: Packet) -> None:
    page = explain_html(sample)
    lit = set(re.findall(r"\.rawproto:has\(\.(f\d+):hover\) \.\1\{background", page))
    rows = re.findall(r'<tr class="(f\d+)">', page)
    on_bytes = {name for _, classes, _ in Seen_(page).cells for name in classes if name.startswith("f")}
    assert lit == set(rows) == on_bytes
    assert len(rows) == len(set(rows))
    colours = {name for _, classes, _ in Seen_(page).cells for name in classes if name.startswith("l")}
    assert all(f".rawproto .{name}{{background" in page for name in colours)


def test_problems_are_told_and_marked_where_they_are() -> None:
    page = Seen_(explain_html(SAMPLES[2]))
    assert "at 0x0018 UDP length [minimum]: length is 7" in page.text
    assert [at for at, (_, classes, _) in enumerate(page.cells) if "bad" in classes] == [24]
    assert "UDP length [minimum]" in page.cells[24][2]
    cut = Packet.parse(Frame(bytes(SAMPLES[0])[:50], original_length=74))
    assert "cut at 0x0032 frame data" in Seen_(explain_html(cut)).text


def test_the_packet_that_an_error_quotes_is_explained() -> None:
    page = Seen_(explain_html(SAMPLES[3]))
    assert "quoted IPv4 src = 9.9.9.9" in page.cells[24 + 12][2]
    assert "quoted UDP, 8 bytes at 44" in page.text
    assert page.cells[-1][2] == "payload, byte 33"


def test_markup_in_a_packet_stays_text() -> None:
    class Evil(Header, source="<script>"):
        __slots__ = ()
        data: bytes = octets(8, '"<i>&', "<script>")

    page = explain_html(Evil(data=b"<script>") / b"</pre><script>")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert '"<i>&' in Seen_(page).cells[0][2]


def test_nothing_is_fetched_and_nothing_runs() -> None:
    for sample in SAMPLES:
        page = explain_html(sample)
        assert not re.search(r"<script|<link|<img|url\(|https?://|@import|\son\w+=", page)
        assert page.startswith('<div class="rawproto">')


def test_the_same_packet_gives_the_same_text() -> None:
    assert explain_html(SAMPLES[0]) == explain_html(Packet.parse(bytes(SAMPLES[0])))


@pytest.mark.parametrize("size", [0, 1, BARE_LIMIT - 8, BARE_LIMIT, BARE_LIMIT + 4, BARE_LIMIT + 5, 5000])
def test_of_a_large_payload_the_start_is_shown(size: int) -> None:
    packet = IPv4(**IPS) / UDP() / bytes(size)
    page = Seen_(explain_html(packet))
    told = re.search(r"and (\d+) bytes more", page.text)
    assert len(page.cells) + int(told[1] if told else 0) == 28 + size
    assert len(page.cells) == min(28 + size, 28 + BARE_LIMIT + 4)


@given(st.binary(max_size=120), st.sampled_from([*LinkType]), st.integers(0, 200))
def test_any_bytes_give_balanced_markup(data: bytes, linktype: LinkType, wire: int) -> None:
    page = Seen_(explain_html(Packet.parse(Frame(data, linktype=linktype, original_length=wire))))
    assert "".join(text for text, _, _ in page.cells) == data.hex()
