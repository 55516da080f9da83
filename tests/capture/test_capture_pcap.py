"""pcap: what is written is read back by us, by dpkt and by tshark; what is damaged says where."""

from __future__ import annotations

import gzip
import io
import shutil
import struct
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.capture import PcapReader, PcapWriter, open_capture
from rawproto.errors import CaptureError
from rawproto.wire.frame import Frame, LinkType

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

ARP = bytes.fromhex("ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a000002")
TIME = 1_700_000_000_123_456_789


def written(*frames: Frame, **options: object) -> bytes:
    file = io.BytesIO()
    with PcapWriter(file, **options) as writer:  # type: ignore[arg-type]
        for frame in frames:
            writer.write(frame)
    return file.getvalue()


def read_until_error(data: bytes) -> tuple[list[Frame], str]:
    """The frames before the damage, and the text of the CaptureError."""
    frames: list[Frame] = []
    with pytest.raises(CaptureError) as caught:
        frames.extend(PcapReader(io.BytesIO(data)))
    return frames, str(caught.value)


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=200),
            st.integers(0, (1 << 32) * 10**9 - 1),
            st.none() | st.integers(201, 65_535),
        )
    ),
    st.sampled_from([LinkType.ETHERNET, LinkType.IPV4, LinkType.USER0, LinkType(4242)]),
)
def test_frames_come_back_as_they_were_written(rows: list[tuple[bytes, int, int | None]], link: LinkType) -> None:
    frames = [Frame(data, time_ns, link, original_length=length) for data, time_ns, length in rows]
    assert list(PcapReader(io.BytesIO(written(*frames, linktype=link)))) == frames


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "tick_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_both_byte_orders_and_both_clocks(order: str, magic: int, tick_ns: int) -> None:
    head = struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 65_535, 1)
    data = head + struct.pack(order + "IIII", 7, 999_999, 3, 60) + b"abc"
    [frame] = PcapReader(io.BytesIO(data))
    assert frame == Frame(b"abc", 7_000_000_000 + 999_999 * tick_ns, original_length=60)


def test_the_fcs_bits_are_no_part_of_the_link_type() -> None:
    head = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 0x2400_0000 | LinkType.RAW)
    assert PcapReader(io.BytesIO(head)).linktype is LinkType.RAW


def test_snaplen_cuts_and_keeps_the_length() -> None:
    [frame] = PcapReader(io.BytesIO(written(Frame(b"abcdef"), snaplen=4)))
    assert (frame.data, frame.original_length) == (b"abcd", 6)


def test_a_vlan_tag_beside_the_frame_goes_back_into_it() -> None:
    data = written(Frame(ARP, vlan_tci=0x2005))
    [frame] = PcapReader(io.BytesIO(data))
    assert frame.data == ARP[:12] + b"\x81\x00\x20\x05" + ARP[12:]
    assert frame.original_length is None


def test_dpkt_reads_the_same() -> None:
    data = written(Frame(ARP, TIME), Frame(ARP + b"x", TIME + 1))
    reader = dpkt.pcap.Reader(io.BytesIO(data))
    assert reader.datalink() == 1
    assert [(round(time * 10**9) // 1000, frame) for time, frame in reader] == [
        (TIME // 1000, ARP),
        (TIME // 1000, ARP + b"x"),
    ]


def test_we_read_what_dpkt_writes() -> None:
    file = io.BytesIO()
    dpkt.pcap.Writer(file, nano=True).writepkt_time(ARP, 3)
    assert list(PcapReader(io.BytesIO(file.getvalue()))) == [Frame(ARP, 3_000_000_000)]


@pytest.mark.tshark
@needs_tshark
def test_tshark_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(written(Frame(ARP, TIME), Frame(ARP, TIME + 5, original_length=100)))
    fields = ["-e", "frame.time_epoch", "-e", "frame.cap_len", "-e", "frame.len", "-e", "arp.opcode"]
    out = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", *fields], capture_output=True, text=True, check=True
    ).stdout
    assert [line.split("\t") for line in out.splitlines()] == [
        ["1700000000.123456789", "42", "42", "1"],
        ["1700000000.123456794", "42", "100", "1"],
    ]


def test_the_bytes_depend_on_nothing_but_the_frames(tmp_path: Path) -> None:
    frame = Frame(ARP, TIME)
    for name in ("one.pcap.gz", "two.pcap.gz"):
        with PcapWriter(tmp_path / name) as writer:
            writer.write(frame)
    packed = (tmp_path / "one.pcap.gz").read_bytes()
    assert packed == (tmp_path / "two.pcap.gz").read_bytes()
    assert packed[3:8] == bytes(5), "neither a name nor a time in the header (RFC 1952 §2.3)"
    assert gzip.decompress(packed) == written(frame)
    with open_capture(tmp_path / "one.pcap.gz") as reader:
        assert list(reader) == [frame]


def test_flush_lets_another_reader_see_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    with PcapWriter(path) as writer:
        writer.write(Frame(ARP, TIME))
        writer.flush()
        with open_capture(path) as reader:
            assert list(reader) == [Frame(ARP, TIME)]


def test_a_file_object_stays_open_and_closing_twice_is_fine() -> None:
    file = io.BytesIO()
    writer = PcapWriter(file)
    writer.close()
    writer.close()
    writer.flush()
    reader = PcapReader(io.BytesIO(file.getvalue()))
    reader.close()
    reader.close()
    assert not file.closed


def test_an_iteration_that_was_left_goes_on() -> None:
    reader = PcapReader(io.BytesIO(written(Frame(b"1"), Frame(b"2"), Frame(b"3"))))
    assert next(iter(reader)).data == b"1"
    assert [frame.data for frame in reader] == [b"2", b"3"]


def test_a_reader_of_dribbling_bytes_reads_the_same() -> None:
    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 1, 3))

    frames = [Frame(ARP, TIME), Frame(b"", 0)]
    assert list(open_capture(Dribble(written(*frames)))) == frames


def test_a_cut_header_names_the_offset() -> None:
    frames, text = read_until_error(written(Frame(b"abc"), Frame(b""))[:-7])
    assert [frame.data for frame in frames] == [b"abc"]
    assert "offset 43: " in text
    assert "9 of 16 bytes" in text


def test_frames_before_a_cut_are_given_and_the_error_is_one_line() -> None:
    frames, text = read_until_error(written(Frame(b"abc"), Frame(b"defgh"))[:-2])
    assert [frame.data for frame in frames] == [b"abc"]
    assert text.startswith("<capture>: offset 59: expected a frame of 5 bytes, found 3 of 5 bytes")
    assert "\n" not in text


def test_after_damage_nothing_is_read_as_what_it_is_not() -> None:
    data = written(Frame(b"abc")) + struct.pack("<IIII", 0, 0, 0x7FFF_FFFF, 0) + written(Frame(b"x"))[24:]
    reader = PcapReader(io.BytesIO(data))
    for _ in range(2):
        with pytest.raises(CaptureError, match=r"offset 51: .* a length of 2147483647"):
            list(reader)


def test_a_length_that_lies_allocates_nothing(tmp_path: Path) -> None:
    head = struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 0xFFFF_FFFF, 1)
    data = head + struct.pack("<IIII", 0, 0, 120 << 20, 120 << 20) + b"abc"
    path = tmp_path / "lies.pcap"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with open_capture(path) as reader, pytest.raises(CaptureError, match="cut off"):
            list(reader)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "an empty file"),
        (b"hello, world", "text .'hell'."),
        (b"\x28\xb5\x2f\xfd123", "zstd -d"),
        (b"\x00\x01", "0x0001"),
        (b"\xd4\xc3\xb2\xa1\x02\x00", "6 of 24 bytes"),
        (struct.pack("<IHHIIII", 0xA1B23C4D, 3, 2, 0, 0, 1, 1), "version 3.2"),
        (gzip.compress(b"hello", mtime=0), "unzipped.*text"),
    ],
)
def test_what_is_no_capture_is_told_at_once(data: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(CaptureError, match=text) as caught:
        open_capture(path)
    assert str(path) in str(caught.value)


def test_a_damaged_gzip_gives_the_frames_before_the_damage() -> None:
    frames = [Frame(bytes([n]) * 1000, n) for n in range(50)]
    packed = gzip.compress(written(*frames), compresslevel=0)
    got, text = read_until_error(packed[:-20_000])
    assert got == frames[: len(got)]
    assert len(got) > 20
    assert "gzip" in text


def test_a_missing_file_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_capture(tmp_path / "absent.pcap")


@pytest.mark.parametrize("time_ns", [-1, (1 << 32) * 10**9])
def test_a_time_that_pcap_cannot_hold_is_refused(time_ns: int) -> None:
    with pytest.raises(CaptureError, match=str(time_ns)):
        written(Frame(b"", time_ns))


def test_a_second_link_type_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"ETHERNET.*IPV4.*pcapng"):
        written(Frame(b"", 0, LinkType.IPV4))


def test_reading_takes_no_more_memory_for_a_longer_file(tmp_path: Path) -> None:
    def frames(count: int) -> Iterator[Frame]:
        return (Frame(bytes(1000), n) for n in range(count))

    path = tmp_path / "large.pcap"
    with PcapWriter(path) as writer:
        for frame in frames(20_000):
            writer.write(frame)
    tracemalloc.start()
    try:
        with open_capture(path) as reader:
            assert sum(1 for _ in reader) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


@given(st.binary(max_size=300), st.booleans())
def test_arbitrary_bytes_give_frames_or_a_capture_error(tail: bytes, keep_header: bool) -> None:
    data = (written() if keep_header else b"\xa1\xb2\xc3\xd4") + tail
    try:
        for frame in open_capture(io.BytesIO(data)):
            assert len(frame.data) <= len(data)
    except CaptureError as error:
        assert "offset" in str(error)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_modified_format_of_old_linux(order: str) -> None:
    head = struct.pack(order + "IHHIIII", 0xA1B2CD34, 2, 4, 0, 0, 96, 1)
    record = struct.pack(order + "IIII", 5, 6, 4, 60) + struct.pack(order + "IHBB", 2, 0x0800, 4, 0)
    frames = list(PcapReader(io.BytesIO(head + (record + b"abcd") * 2)))
    assert frames == [Frame(b"abcd", 5_000_006_000, LinkType.ETHERNET, original_length=60)] * 2


@pytest.mark.parametrize(
    ("minor", "lengths"),
    [(4, (4, 60)), (3, (4, 60)), (3, (60, 4)), (2, (60, 4))],
)
def test_the_two_lengths_of_old_versions(minor: int, lengths: tuple[int, int]) -> None:
    head = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, minor, 0, 0, 96, 1)
    (frame,) = PcapReader(io.BytesIO(head + struct.pack("<IIII", 0, 0, *lengths) + b"abcd"))
    assert (frame.data, frame.original_length) == (b"abcd", 60)


def test_a_length_on_the_wire_below_the_captured_one_is_kept_as_it_is() -> None:
    head = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 96, 1)
    (frame,) = PcapReader(io.BytesIO(head + struct.pack("<IIII", 0, 0, 4, 3) + b"abcd"))
    assert (frame.data, frame.original_length, frame.wire_length) == (b"abcd", 3, 3)
