"""pcapng: sections, interfaces, clocks, directions and comments, held against dpkt, tshark and editcap."""

from __future__ import annotations

import io
import json
import re
import shutil
import struct
import subprocess
import tracemalloc
from pathlib import Path

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.capture import PcapngReader, PcapngWriter, Record, open_capture
from rawproto.errors import CaptureError
from rawproto.wire.frame import ChecksumStatus, Direction, Frame, LinkType

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
needs_editcap = pytest.mark.skipif(shutil.which("editcap") is None, reason="editcap is not installed")

ARP = bytes.fromhex("ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a000002")
TIME = 1_700_000_000_123_456_789
SHB, IDB, PB, SPB, NRB, ISB, EPB, CUSTOM = 0x0A0D0D0A, 1, 2, 3, 4, 5, 6, 0xBAD


def written(*records: Record | Frame, **options: object) -> bytes:
    file = io.BytesIO()
    with PcapngWriter(file, **options) as writer:  # type: ignore[arg-type]
        for record in records:
            if isinstance(record, Record):
                writer.write(record.frame, record.comments)
            else:
                writer.write(record)
    return file.getvalue()


def pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


class Build:
    """Blocks of one byte order, made by hand and not by the code under test."""

    def __init__(self, order: str) -> None:
        self.order = order

    def pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self.order + layout, *values)

    def block(self, kind: int, body: bytes) -> bytes:
        length = self.pack("I", 12 + len(pad(body)))
        return self.pack("I", kind) + length + pad(body) + length

    def option(self, code: int, value: bytes) -> bytes:
        return self.pack("HH", code, len(value)) + pad(value)

    def section(self, options: bytes = b"", length: int = -1) -> bytes:
        return self.block(SHB, self.pack("IHHq", 0x1A2B3C4D, 1, 0, length) + options)

    def interface(self, linktype: int = 1, snaplen: int = 0, options: bytes = b"") -> bytes:
        return self.block(IDB, self.pack("HHI", linktype, 0, snaplen) + options)

    def packet(self, data: bytes, ticks: int = 0, interface: int = 0, options: bytes = b"") -> bytes:
        head = self.pack("IIIII", interface, ticks >> 32, ticks & 0xFFFF_FFFF, len(data), len(data))
        return self.block(EPB, head + pad(data) + options)


orders = pytest.mark.parametrize("make", [Build("<"), Build(">")], ids=["little", "big"])
little = Build("<")


def read(data: bytes) -> list[Frame]:
    return list(PcapngReader(io.BytesIO(data)))


def error_of(data: bytes, frames_before: int) -> str:
    frames: list[Frame] = []
    with pytest.raises(CaptureError) as caught:
        frames.extend(PcapngReader(io.BytesIO(data)))
    assert len(frames) == frames_before
    assert "\n" not in str(caught.value)
    return str(caught.value)


frames_strategy = st.builds(
    Frame,
    st.binary(max_size=100),
    st.integers(0, (1 << 64) - 1),
    st.sampled_from([LinkType.ETHERNET, LinkType.IPV6, LinkType.USER0, LinkType(4242)]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(Direction),
    st.none() | st.integers(101, 1 << 20),
    st.none(),
    st.sampled_from(ChecksumStatus),
    st.just(""),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(st.builds(Record, frames_strategy, st.lists(texts, max_size=3).map(tuple))), texts, texts)
def test_everything_comes_back_as_it_was_written(records: list[Record], comment: str, application: str) -> None:
    reader = PcapngReader(io.BytesIO(written(*records, comment=comment, application=application)))
    assert (reader.comment, reader.application) == (comment, application)
    assert list(reader.records()) == records


@orders
def test_sections_of_any_byte_order_start_afresh(make: Build) -> None:
    one = make.section(make.option(1, b"one") + make.option(4, b"a program"), length=1000) + make.interface()
    two = little.section(little.option(1, b"two")) + little.interface(101)
    three = make.section() + make.interface(228, options=make.option(2, b"eth0"))
    data = one + make.packet(b"1") + two + little.packet(b"2") + three + make.packet(b"3")
    reader = PcapngReader(io.BytesIO(data))
    seen = [(frame.data, frame.linktype, frame.interface, reader.comment, reader.application) for frame in reader]
    assert seen == [
        (b"1", LinkType.ETHERNET, "", "one", "a program"),
        (b"2", LinkType.RAW, "", "two", ""),
        (b"3", LinkType.IPV4, "eth0", "", ""),
    ]


@orders
@pytest.mark.parametrize(
    ("resolution", "ticks", "time_ns"),
    [
        (None, 1_500_001, 1_500_001_000),
        (0, 3, 3_000_000_000),
        (9, 5_000_000_007, 5_000_000_007),
        (12, 1_999, 1),
        (0x80 | 10, 1536, 1_500_000_000),
        (0x80 | 30, (1 << 30) + 1, 1_000_000_000),
        (0x80 | 32, 1 << 63, (1 << 31) * 1_000_000_000),
    ],
)
def test_every_clock_becomes_nanoseconds(make: Build, resolution: int | None, ticks: int, time_ns: int) -> None:
    options = b"" if resolution is None else make.option(9, bytes([resolution])) + make.option(0, b"")
    [frame] = read(make.section() + make.interface(options=options) + make.packet(b"", ticks))
    assert frame.time_ns == time_ns


@orders
@pytest.mark.parametrize("offset_s", [-5, 1_000_000])
def test_the_offset_of_a_clock_is_added(make: Build, offset_s: int) -> None:
    options = make.option(14, make.pack("q", offset_s))
    [frame] = read(make.section() + make.interface(options=options) + make.packet(b"", 7_000_000))
    assert frame.time_ns == (7 + offset_s) * 10**9


@orders
def test_blocks_and_options_without_use_are_passed_over(make: Build) -> None:
    options = make.option(2988, b"custom") + make.option(1, "ü".encode()) + make.option(6, bytes(8))
    data = (
        make.section(make.option(2, b"hardware"))
        + make.block(NRB, make.pack("HH", 0, 0))
        + make.interface(options=make.option(11, b"\0tcp"))
        + make.block(CUSTOM, bytes(2_000_000))
        + make.packet(ARP, options=options)
        + make.block(ISB, make.pack("III", 0, 0, 0))
    )
    assert list(PcapngReader(io.BytesIO(data)).records()) == [Record(Frame(ARP), ("ü",))]


@orders
def test_simple_packets_are_cut_at_the_snapshot_length(make: Build) -> None:
    head = make.section() + make.interface(101, snaplen=3, options=make.option(2, b"if0")) + make.interface(1)
    data = head + make.block(SPB, make.pack("I", 6) + b"abc") + make.block(SPB, make.pack("I", 3) + b"xyz")
    assert read(data) == [
        Frame(b"abc", 0, LinkType.RAW, "if0", original_length=6),
        Frame(b"xyz", 0, LinkType.RAW, "if0"),
    ]


@orders
def test_old_packet_blocks_have_a_drop_count_and_flags(make: Build) -> None:
    head = make.pack("HHIIII", 1, 9, 0, 5, 3, 60)
    flags = make.option(2, make.pack("I", 2))
    data = make.section() + make.interface(1) + make.interface(101) + make.block(PB, head + b"abc\0" + flags)
    assert read(data) == [Frame(b"abc", 5_000, LinkType.RAW, "", Direction.OUTBOUND, 60)]


@orders
@pytest.mark.parametrize(
    ("flags", "direction", "checksum"),
    [
        (0b01, Direction.INBOUND, ChecksumStatus.UNKNOWN),
        (0b10, Direction.OUTBOUND, ChecksumStatus.UNKNOWN),
        (0b11, Direction.UNKNOWN, ChecksumStatus.UNKNOWN),
        (1 << 9 | 2, Direction.OUTBOUND, ChecksumStatus.OFFLOADED),
        (1 << 10 | 0x8000_0001, Direction.INBOUND, ChecksumStatus.VERIFIED),
    ],
)
def test_the_flags_word(make: Build, flags: int, direction: Direction, checksum: ChecksumStatus) -> None:
    packet = make.packet(ARP, options=make.option(2, make.pack("I", flags)))
    [frame] = read(make.section() + make.interface() + packet)
    assert (frame.direction, frame.checksum) == (direction, checksum)


def test_an_interface_is_described_once_and_by_name_and_link_type() -> None:
    one, two = Frame(b"1", 0, interface="a"), Frame(b"2", 0, LinkType.IPV4, "a")
    data = written(one, one, two, one)
    assert data.count(little.pack("HH", 2, 1) + b"a") == 2
    assert read(data) == [one, one, two, one]


def test_the_section_comment_carries_json() -> None:
    configuration = {"seed": 7, "name": "größe"}
    reader = open_capture(io.BytesIO(written(comment=json.dumps(configuration))))
    assert json.loads(reader.comment) == configuration


def test_snaplen_cuts_and_the_vlan_tag_goes_back() -> None:
    [frame] = read(written(Frame(ARP, vlan_tci=5), snaplen=20))
    assert (frame.data, frame.original_length) == (ARP[:12] + b"\x81\x00\x00\x05" + ARP[12:16], 46)


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    records = [Record(Frame(ARP, TIME, interface="x"), ("hello",))]
    path = tmp_path / "x.pcapng"
    with PcapngWriter(path, comment="c") as writer:
        writer.write(*records[0])
    assert path.read_bytes() == written(*records, comment="c") == written(*records, comment="c")


def test_dpkt_reads_the_same() -> None:
    reader = dpkt.pcapng.Reader(io.BytesIO(written(Frame(ARP, 2_000_000_000), Frame(b"xy", 3_000_000_000))))
    assert reader.datalink() == 1
    assert list(reader) == [(2, ARP), (3, b"xy")]


def test_we_read_what_dpkt_writes() -> None:
    file = io.BytesIO()
    dpkt.pcapng.Writer(file).writepkt(ARP, 3)
    [frame] = read(file.getvalue())
    assert (frame.data, frame.time_ns) == (ARP, 3_000_000_000)


@pytest.mark.tshark
@needs_tshark
def test_tshark_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    frames = [
        Record(Frame(ARP, TIME, interface="left", direction=Direction.OUTBOUND), ("first", "second")),
        Record(Frame(ARP, TIME + 1, interface="right", direction=Direction.INBOUND, original_length=99)),
        Record(Frame(b"\x45" + bytes(19), TIME + 2, LinkType.IPV4, "right")),
    ]
    path.write_bytes(written(*frames, comment="the section"))
    names = ["time_epoch", "interface_name", "packet_flags_direction", "len", "encap_type", "comment"]
    fields = [part for name in names for part in ("-e", f"frame.{name}")]
    command = ["tshark", "-r", str(path), "-T", "fields", "-E", "occurrence=a", *fields]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line.split("\t")[:5] for line in out.splitlines()] == [
        ["1700000000.123456789", "left", "0x00000002", "42", "1"],
        ["1700000000.123456790", "right", "0x00000001", "99", "1"],
        ["1700000000.123456791", "right", "", "20", "129"],
    ]
    assert "first,second" in out


@pytest.mark.tshark
@needs_editcap
def test_what_editcap_makes_of_ours_reads_the_same(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.pcapng", tmp_path / "theirs.pcapng"
    frame = Frame(ARP, TIME, interface="left", direction=Direction.OUTBOUND)
    ours.write_bytes(written(Record(frame, ("note",)), comment="the section"))
    subprocess.run(["editcap", "-F", "pcapng", ours, theirs], check=True, capture_output=True)
    with open_capture(theirs) as reader:
        assert reader.comment == "the section"
        assert list(reader.records()) == [Record(frame, ("note",))]


GOOD = little.section() + little.interface() + little.packet(b"abcd")


@pytest.mark.parametrize(
    ("tail", "offset", "text"),
    [
        (little.packet(b"abcd")[:-6], len(GOOD) + 8, "cut off"),
        (little.packet(b"abcd")[:5], len(GOOD), "5 of 8 bytes"),
        (little.packet(b"abcd", interface=1), len(GOOD) + 8, "interface 1"),
        (little.packet(b"abcd")[:-4] + bytes(4), len(GOOD) + 32, "length 36 repeated.*found 0"),
        (little.pack("II", EPB, 37), len(GOOD) + 4, "multiple of 4, found 37"),
        (little.pack("II", EPB, 8), len(GOOD) + 4, "at least 32.*found 8"),
        (little.pack("II", EPB, 0xFFFF_FFFC), len(GOOD) + 8, "a length of 4294967292"),
        (little.pack("II", CUSTOM, 0xFFFF_FFFC), len(GOOD) + 8, "cut off"),
        (little.block(EPB, little.pack("IIIII", 0, 0, 0, 999, 999)), len(GOOD) + 20, "captured length of 999"),
        (little.packet(b"", options=little.pack("HH", 1, 50)), len(GOOD) + 28, "option 1 of 50 bytes"),
        (little.pack("III", SHB, 28, 0), len(GOOD) + 8, "byte-order magic"),
        (little.block(SHB, little.pack("IHHq", 0x1A2B3C4D, 2, 0, -1)), len(GOOD) + 12, "version 2.0"),
    ],
)
def test_damage_is_placed_and_what_is_before_it_given(tail: bytes, offset: int, text: str) -> None:
    message = error_of(GOOD + tail, frames_before=1)
    assert message.startswith(f"<capture>: offset {offset}: expected ")
    assert re.search(text, message)


def test_a_simple_packet_needs_an_interface() -> None:
    assert "interface 0" in error_of(little.section() + little.block(SPB, little.pack("I", 0)), 0)


@pytest.mark.parametrize("data", [b"", b"plain text", b"\n\r\r\n"])
def test_what_is_no_pcapng_is_told_at_once(data: bytes) -> None:
    with pytest.raises(CaptureError, match="pcapng"):
        PcapngReader(io.BytesIO(data))


def test_what_the_format_cannot_hold_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"2\*\*64"):
        written(Frame(b"", 1 << 64))
    with pytest.raises(CaptureError, match="65535"):
        written(Record(Frame(b""), ("x" * 65_536,)))
    with pytest.raises(CaptureError, match="snaplen"):
        written(snaplen=0)


def test_a_refused_frame_leaves_the_file_whole() -> None:
    file = io.BytesIO()
    writer = PcapngWriter(file)
    with pytest.raises(CaptureError):
        writer.write(Frame(b"", -1, interface="new"))
    writer.write(Frame(b"good"))
    assert [frame.data for frame in read(file.getvalue())] == [b"good"]


def test_reading_takes_no_more_memory_for_a_longer_file(tmp_path: Path) -> None:
    path = tmp_path / "large.pcapng"
    with PcapngWriter(path) as writer:
        for n in range(20_000):
            writer.write(Frame(bytes(1000), n, interface="x"))
    tracemalloc.start()
    try:
        with open_capture(path) as reader:
            assert sum(1 for _ in reader) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


@given(st.data())
def test_a_flipped_byte_gives_frames_or_a_capture_error(data: st.DataObject) -> None:
    whole = bytearray(written(Record(Frame(ARP, TIME, interface="a"), ("note",)), Frame(b"x"), comment="c"))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        list(open_capture(io.BytesIO(bytes(whole[:cut]))))
    except CaptureError as error:
        assert "offset" in str(error)
