"""`rawproto dump`: lines, blocks and JSON of captures, whole, damaged, filtered, written again; held against tshark."""

from __future__ import annotations

import gzip
import io
import json
import os
import select
import shutil
import struct
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rawproto.capture import PcapngWriter, PcapWriter, open_capture
from rawproto.cli import main
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.expression import parse_expression
from rawproto.wire.frame import ChecksumStatus, Direction, Frame, LinkType
from rawproto.wire.icmp import ICMPEcho
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

PCAPS = Path(__file__).parents[2] / "pcaps"
RESET = str(PCAPS / "reset.pcapng")
HEADER = Ethernet(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
IP = IPv4(src="10.0.0.1", dst="10.0.0.2")
REQUEST = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"
SECOND = 1_000_000_000
PATIENCE = 20
START = 1_700_000_000 * SECOND

PACKETS: list[Packet] = [
    HEADER / IP / TCP(sport=1024, dport=80, seq=7, flags=0x02) / b"",
    HEADER / IP / TCP(sport=1024, dport=80, seq=8, flags=0x18) / REQUEST,
    HEADER / VLAN(vid=5) / IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=9, dport=7) / b"hello",
    HEADER / ARP(sender_ip="10.0.0.1", target_ip="10.0.0.2"),
    HEADER / IP / ICMPEcho(id=3, seq=4) / b"ping",
    HEADER / IP / TCP(sport=1, dport=2, data_offset=3, checksum=5) / b"wrong",
    Ethernet(ethertype=0x888E) / b"\2\1\0\0",
    HEADER / b"an experiment of somebody",
]
FRAMES = [Frame(bytes(packet), START + number * 1_500_000) for number, packet in enumerate(PACKETS)]
CUT = FRAMES[1]._replace(data=FRAMES[1].data[:60], original_length=len(FRAMES[1].data))


@pytest.fixture
def capture(tmp_path: Path) -> str:
    return write(tmp_path / "some.pcap", [*FRAMES, CUT])


def write(path: Path, frames: list[Frame]) -> str:
    with PcapngWriter(path) if path.suffix == ".pcapng" else PcapWriter(path, frames[0].linktype) as writer:
        for frame in frames:
            writer.write(frame)
    return str(path)


def lines(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> list[str]:
    assert main(["dump", *arguments]) == status
    captured = capsys.readouterr()
    if not status:
        assert captured.err == ""
    return captured.out.splitlines()


def objects(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(capsys, *arguments, "--json")]


def told(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    assert main(["dump", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.err.startswith("rawproto: ")
    assert captured.err.count("\n") == 1
    if status == 2:
        assert captured.out == ""
    return captured.err


# -- lines -------------------------------------------------------------------------------------------------------------


def test_one_line_a_packet(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(capsys, capture)
    assert found[0] == "     1  0.000000000  IP 10.0.0.1.1024 > 10.0.0.2.80: Flags [S], seq 7, win 65535, length 0"
    extras = {
        2: ": HTTP GET / HTTP/1.1, host example.org",
        6: " [TCP: data_offset is 3 words, 5 at least]",
        9: ": HTTP GET / ... [cut]",
    }
    for number, (line, frame) in enumerate(zip(found, [*FRAMES, CUT], strict=True), 1):
        time = (frame.time_ns - START) / SECOND
        assert line == f"{number:6}  {time:.9f}  {Packet.parse(frame).summary()}{extras.get(number, '')}"


@pytest.mark.parametrize(
    ("style", "times"),
    [
        ("relative", ["0.000000000", "0.001500000", "2.000000000", "-0.500000000"]),
        ("delta", ["0.000000000", "0.001500000", "1.998500000", "-2.500000000"]),
        (
            "absolute",
            [
                "2023-11-14T22:13:20.000000000Z",
                "2023-11-14T22:13:20.001500000Z",
                "2023-11-14T22:13:22.000000000Z",
                "2023-11-14T22:13:19.500000000Z",
            ],
        ),
        ("none", ["IP"] * 4),
    ],
)
def test_times(style: str, times: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offsets = (0, 1_500_000, 2 * SECOND, -SECOND // 2)
    path = write(tmp_path / "times.pcap", [FRAMES[0]._replace(time_ns=START + offset) for offset in offsets])
    assert [line.split()[1] for line in lines(capsys, path, "--time", style)] == times


def test_relative_times_count_from_the_first_packet_of_the_file(
    capture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lines(capsys, capture, "--number", "4")[0].split()[:2] == ["4", "0.004500000"]


def test_a_time_that_no_calendar_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "late.pcapng", [FRAMES[0]._replace(time_ns=(1 << 64) - 1)])
    assert "2554-07-21T23:34:33.709551615Z" in lines(capsys, path, "--time", "absolute")[0]
    data = bytearray(Path(path).read_bytes())
    at = data.index(struct.pack("<HHBxxx", 9, 1, 9))
    data[at + 4] = 0  # its ticks are seconds
    Path(path).write_bytes(data)
    assert "s after 1970" in lines(capsys, path, "--time", "absolute")[0]


def test_several_files_are_told_apart(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(capsys, capture, RESET, "--number", "2")
    assert [line.split()[0] for line in found] == [f"{capture}:2", f"{RESET}:2"]
    assert [one["file"] for one in objects(capsys, capture, RESET, "-n", "2")] == [capture, RESET]


def test_the_calls_in_a_recording_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    first = lines(capsys, RESET, "--number", "1")[0]
    assert first.endswith("app: connect(peer='10.0.0.2:25300', port=7, local_port=52357, records=False)")
    assert any("app: send(connection=0, data=4096 bytes)" in line for line in lines(capsys, RESET))


def test_a_link_type_without_a_parser_is_called_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "radio.pcap", [Frame(bytes(30), 0, LinkType(127))])
    assert lines(capsys, path) == ["     1  0.000000000  ieee802 11 radiotap, length 30"]


# -- all of it ---------------------------------------------------------------------------------------------------------


def test_verbose_tells_all_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tcp = parse_expression("TCP(dport=80, flags=SYN, options=[MaximumSegmentSize(1460), NoOperation()])")
    frame = Frame(
        bytes(HEADER / IP / tcp / b""), START, interface="eth0", direction=Direction.INBOUND, original_length=None
    )
    found = lines(capsys, write(tmp_path / "one.pcapng", [frame]), "-v")
    assert found[1:3] == [
        "        frame: 62 bytes, ethernet, eth0, inbound",
        "        Ethernet: dst 02:00:00:00:00:02, src 02:00:00:00:00:01, ethertype 0x0800 (IPv4)",
    ]
    assert found[3].startswith("        IPv4: version 4, ihl 5, dscp 0, ecn 0 (not ECN-capable), total_length 48")
    assert "dport 80 (http)" in found[4]
    assert "options [MaximumSegmentSize mss=1460; NoOperation; EndOfOptions]" in found[4]
    assert found[5:] == ["        checksums: IPv4 ok, TCP ok"]


def test_verbose_tells_what_is_wrong_and_what_was_cut(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(capsys, capture, "-v", "--number", "6-9")
    assert "        checksums: IPv4 ok, TCP bad" in found
    assert "        problem at byte 46: TCP data_offset [minimum]: data_offset is 3 words, 5 at least" in found
    assert "        frame: 91 bytes, 60 of them captured, ethernet" in found
    assert any(line.startswith("        cut at byte 60: ") for line in found)


def test_what_is_not_spoken_here_is_given_to_scapy(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, capture, "--number", "7", "--scapy")[0].endswith(" (scapy: Ether / EAPOL EAPOL-Start)")
    assert lines(capsys, capture, "--number", "7", "-v")[-1] == "        scapy: Ether / EAPOL EAPOL-Start"
    assert not any("scapy" in line for line in lines(capsys, capture, "--number", "1-6", "--scapy"))
    found = objects(capsys, capture, "--scapy")
    assert found[6]["scapy"] == "Ether / EAPOL EAPOL-Start"
    assert "scapy" not in found[0]


def test_scapy_is_not_imported_unless_it_is_needed(capture: str) -> None:
    code = (
        "import sys; from rawproto.cli import main; main(sys.argv[1:]);"
        "sys.exit(any(name.startswith('scapy') for name in sys.modules))"
    )
    command = [sys.executable, "-c", code, "dump", capture]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0
    command += ["-v", "--number", "4-5"]
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


# -- JSON --------------------------------------------------------------------------------------------------------------

KEYS = [
    "number", "time_ns", "caplen", "origlen", "linktype", "interface", "layers", "payload_len", "checksums", "problems",
]  # fmt: skip


def test_json_has_the_stated_keys(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = objects(capsys, capture)
    assert [one["number"] for one in found] == list(range(1, 10))
    for one in found:
        assert [key for key in one if key in KEYS] == KEYS
    assert (found[0]["time_ns"], found[0]["caplen"], found[0]["origlen"]) == (START, 54, 54)
    assert [layer["name"] for layer in found[2]["layers"]] == ["ethernet", "vlan", "ipv6", "udp"]
    assert found[2]["layers"][3] == {"name": "udp", "sport": 9, "dport": 7, "length": 13, "checksum": 0xC1ED}
    assert found[2]["payload_len"] == 5
    assert found[5]["checksums"] == {"ipv4": "ok", "tcp": "bad"}
    assert [problem["rule"] for problem in found[5]["problems"]] == ["minimum"]
    assert (found[8]["caplen"], found[8]["origlen"]) == (60, 91)
    assert found[8]["checksums"]["tcp"] == "unverifiable"
    assert found[8]["problems"][0]["by_capture"] is True


def test_json_says_what_rides_above(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = objects(capsys, capture)
    assert found[1]["upper"] == {"protocol": "http", "summary": "GET / HTTP/1.1, host example.org"}
    assert "upper" not in found[0]


def test_json_of_an_offloaded_checksum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = FRAMES[5]._replace(checksum=ChecksumStatus.OFFLOADED, interface="eth0")
    found = objects(capsys, write(tmp_path / "one.pcapng", [frame]))[0]
    assert found["checksums"] == {"ipv4": "ok", "tcp": "offloaded"}
    assert found["interface"] == "eth0"


# -- which packets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (["--filter", "tcp"], [1, 2, 6, 9]),
        (["-f", "tcp and dst port 80"], [1, 2, 9]),
        (["--filter", "vlan 5"], [3]),
        (["--filter", "icmp or arp"], [4, 5]),
        (["--number", "3"], [3]),
        (["--number", "3-5"], [3, 4, 5]),
        (["--number", "8-"], [8, 9]),
        (["--number", "20-30"], []),
        (["--skip", "7"], [8, 9]),
        (["--skip", "1", "--filter", "tcp"], [2, 6, 9]),
        (["--count", "2"], [1, 2]),
        (["-c", "2", "--skip", "1", "--filter", "tcp"], [2, 6]),
        (["--filter", ""], [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_some_of_the_packets(
    arguments: list[str], numbers: list[int], capture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [one["number"] for one in objects(capsys, capture, *arguments)] == numbers


def test_count_is_over_all_files(capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(lines(capsys, capture, capture, "--count", "11")) == 11


def test_a_filter_in_a_file_of_several_link_types(capsys: pytest.CaptureFixture[str]) -> None:
    found = objects(capsys, RESET, "--filter", "udp")  # the calls between are of another link type
    assert len(found) == 15
    assert {one["linktype"] for one in found} == {"raw"}
    assert lines(capsys, RESET, "--filter", "ether host 02:00:00:00:00:01") == []


def test_a_filter_that_only_the_files_link_type_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beacon = bytes.fromhex("80000000") + b"\xff" * 6 + bytes(12)
    path = write(tmp_path / "radio.pcap", [Frame(beacon, 0, LinkType(105)), Frame(bytes(24), 0, LinkType(105))])
    assert len(lines(capsys, path, "--filter", "wlan type mgt subtype beacon")) == 1


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.pcapng", "out.pcap", "out.pcap.gz", "out"])
def test_packets_are_written_again(name: str, capture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / name
    assert len(lines(capsys, capture, "--filter", "tcp", "-w", str(out))) == 4
    with open_capture(out) as reader:
        assert list(reader) == [FRAMES[0], FRAMES[1], FRAMES[5], CUT]
        assert type(reader).__name__ == ("PcapReader" if ".pcap" in name and "ng" not in name else "PcapngReader")
    assert (out.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")


def test_quiet_only_writes(capture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.pcapng"
    assert lines(capsys, capture, "-q", "-w", str(out)) == []
    assert len(lines(capsys, str(out))) == 9


def test_comments_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in.pcapng", tmp_path / "out.pcapng"
    with PcapngWriter(source) as writer:
        writer.write(FRAMES[0], ["look at this"])
    lines(capsys, str(source), "-q", "-w", str(out))
    with open_capture(out) as reader:
        assert [record.comments for record in reader.records()] == [("look at this",)]


def test_no_packet_is_an_empty_capture(capture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("out.pcap", "out.pcapng"):
        lines(capsys, capture, "--filter", "sctp", "-w", str(tmp_path / name))
        assert lines(capsys, str(tmp_path / name)) == []


def test_several_link_types_do_not_go_into_a_pcap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", RESET, "-q", "-w", str(tmp_path / "out.pcap")]) == 2
    assert "a pcap file holds one link type" in capsys.readouterr().err


def test_standard_output_is_only_the_capture(capture: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rawproto", "dump", capture, "-w", "-"], capture_output=True, check=True
    )
    with open_capture(io.BytesIO(done.stdout)) as reader:
        assert list(reader) == [*FRAMES, CUT]


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pcap", ".pcapng"])
@pytest.mark.parametrize("zipped", [False, True])
def test_all_packets_before_the_damage_are_told(
    suffix: str, zipped: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"cut{suffix}"
    write(path, FRAMES)
    data = path.read_bytes()
    path.write_bytes(gzip.compress(data)[:-12] if zipped else data[:-20])
    found = lines(capsys, str(path), status=1)
    assert 1 <= len(found) <= 7 if not zipped else len(found) <= 8
    assert len(lines(capsys, str(path), "--json", status=1)) == len(found)


def test_damage_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.pcap"
    write(path, FRAMES)
    path.write_bytes(path.read_bytes()[:-20])
    assert main(["dump", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 7
    assert captured.err.startswith(f"rawproto: {path}: offset ")
    assert "the file was cut off; what stands before is good" in captured.err
    assert captured.err.count("\n") == 1


def test_the_files_after_a_damaged_one_are_told(
    capture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(Path(capture).read_bytes()[:40])
    assert main(["dump", str(path), capture, str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 9
    assert captured.err.count("rawproto: ") == captured.err.count("\n") == 2


def test_a_frame_of_any_bytes_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = b"".join(frame.data for frame in FRAMES)
    frames = [Frame(data[at : at + at % 61]) for at in range(0, len(data), 3)]
    path = write(tmp_path / "odd.pcap", frames)
    assert len(lines(capsys, path, "-v")) > len(frames)
    assert len(objects(capsys, path)) == len(frames)


# -- wrong calls -------------------------------------------------------------------------------------------------------

WRONG: dict[str, list[str]] = {
    "nothing was given: give capture files": [],
    "can't read /no/such/file: No such file or directory": ["/no/such/file"],
    "can't read /no/such/file:": [RESET, "/no/such/file"],
    "/ is a directory: give a capture file": ["/"],
    "--filter: filter 'udpp': can't parse filter expression: syntax error": [RESET, "--filter", "udpp"],
    "--filter: filter 'port': ": [RESET, "--filter", "port"],
    "--number: '0' is no number of a packet": [RESET, "--number", "0"],
    "--number: '5-3' is no number of a packet": [RESET, "--number", "5-3"],
    "--count: '-1' is not a count": [RESET, "--count", "-1"],
    "--skip: 'x' is not a count": [RESET, "--skip", "x"],
    "--time": [RESET, "--time", "sometimes"],
    "- was given twice": ["-", "-"],
    "unknown option: --jsn. See `rawproto dump --help`.": [RESET, "--jsn"],
    "-w: can't write /no/such/file: No such file or directory": [RESET, "-w", "/no/such/file"],
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_call_is_status_2_and_one_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert line in told(capsys, *WRONG[line])


def test_the_file_that_is_read_is_not_written_over(
    capture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, other = Path(capture).read_bytes(), tmp_path / "link.pcap"
    other.symlink_to(capture)
    for name in (capture, str(other)):
        assert "that is the file that is read: give another name" in told(capsys, capture, "-w", name)
    assert Path(capture).read_bytes() == before


def test_a_wrong_filter_is_told_of_an_empty_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.pcapng"
    PcapngWriter(path).close()
    assert "syntax error" in told(capsys, str(path), "--filter", "udpp")


def test_a_file_that_is_no_capture_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected the magic number of pcap or pcapng, found text" in told(capsys, __file__, status=1)


# -- pipes -------------------------------------------------------------------------------------------------------------


def test_standard_input_is_told_as_it_comes(capture: str) -> None:
    data = Path(capture).read_bytes()
    command = [sys.executable, "-m", "rawproto", "dump", "-"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process,
        ExitStack() as end,
    ):
        end.callback(process.kill)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data[: 24 + 16 + 54])
        process.stdin.flush()
        assert select.select([process.stdout], [], [], PATIENCE)[0], "it waits for more than a packet"
        assert b"IP 10.0.0.1.1024" in process.stdout.readline()
        process.stdin.write(data[24 + 16 + 54 :])
        process.stdin.close()
        assert len(process.stdout.readlines()) == 8
        assert process.wait() == 0


@pytest.mark.parametrize("arguments", [(), ("--json",), ("-v",)])
def test_a_reader_that_goes_away_gives_no_traceback(arguments: tuple[str, ...], capture: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "rawproto", "dump", capture, *arguments]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_full_disk_is_one_line(capture: str) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        command = [sys.executable, "-m", "rawproto", "dump", capture]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "rawproto: can't write the output: No space left on device\n"


def test_memory_stays_flat(tmp_path: Path) -> None:
    path = tmp_path / "large.pcap"
    with PcapWriter(path) as writer:
        for number in range(40_000):
            writer.write(Frame(FRAMES[0].data + bytes(1400), START + number))
    code = (
        "import resource, sys; from rawproto.cli import main; main(['dump', sys.argv[1], '--filter', 'udp']);"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; main(['dump', sys.argv[1], '--time', 'none']);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    assert int(done.stderr) < 8 << 10  # KiB, of a file of 58 MB


# -- as others see it --------------------------------------------------------------------------------------------------

FIELDS = {
    "frame.number": lambda one, layers: one["number"],
    "frame.len": lambda one, layers: one["origlen"],
    "frame.cap_len": lambda one, layers: one["caplen"],
    "frame.time_epoch": lambda one, layers: f"{one['time_ns'] // SECOND}.{one['time_ns'] % SECOND:09}",
    "eth.src": lambda one, layers: layers["ethernet"]["src"],
    "vlan.id": lambda one, layers: layers["vlan"]["vid"],
    "ip.src": lambda one, layers: layers["ipv4"]["src"],
    "ip.dst": lambda one, layers: layers["ipv4"]["dst"],
    "ip.ttl": lambda one, layers: layers["ipv4"]["ttl"],
    "ipv6.dst": lambda one, layers: layers["ipv6"]["dst"],
    "tcp.srcport": lambda one, layers: layers["tcp"]["sport"],
    "tcp.dstport": lambda one, layers: layers["tcp"]["dport"],
    "tcp.window_size_value": lambda one, layers: layers["tcp"]["window"],
    "udp.dstport": lambda one, layers: layers["udp"]["dport"],
    "udp.length": lambda one, layers: layers["udp"]["length"],
    "arp.dst.proto_ipv4": lambda one, layers: layers["arp"]["target_ip"],
    "icmp.seq": lambda one, layers: layers["icmp"]["seq"],
}


@pytest.mark.tshark
def test_tshark_reads_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tshark = shutil.which("tshark")
    assert tshark is not None, "tshark is not installed: apt install tshark"
    path = write(tmp_path / "some.pcap", [*FRAMES[:5], *FRAMES[7:], CUT])
    command = [tshark, "-r", path, "-T", "fields", *(word for name in FIELDS for word in ("-e", name))]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = objects(capsys, path)
    assert len(rows) == len(found)
    compared = 0
    for row, one in zip(rows, found, strict=True):
        layers = {layer["name"]: layer for layer in one["layers"]}
        for theirs, (name, read) in zip(row.split("\t"), FIELDS.items(), strict=True):
            if theirs:
                compared += 1
                assert theirs == str(read(one, layers)), f"packet {one['number']}, {name}"
    assert compared > 60


@pytest.mark.tshark
@pytest.mark.parametrize("path", sorted(PCAPS.glob("*.pcapng")), ids=lambda path: path.stem)
def test_as_many_packets_as_tshark_counts(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tshark = shutil.which("tshark")
    assert tshark is not None, "tshark is not installed: apt install tshark"
    done = subprocess.run([tshark, "-r", str(path)], capture_output=True, text=True, check=True)
    assert len(lines(capsys, str(path))) == len(done.stdout.splitlines())


@pytest.mark.parametrize("wrong", [["--filter", "nonsense("], ["EMPTY"]])
def test_a_call_that_fails_leaves_the_file_to_write_as_it_was(wrong: list[str], tmp_path: Path) -> None:
    empty, precious, new = tmp_path / "empty", tmp_path / "precious.pcap", tmp_path / "new.pcap"
    empty.write_bytes(b"")
    precious.write_bytes(b"precious")
    source = str(Path(__file__).parents[2] / "pcaps/reset.pcapng")
    arguments = [str(empty)] if wrong == ["EMPTY"] else [source, *wrong]
    for target in (precious, new):
        assert main(["dump", *arguments, "-q", "-w", str(target)]) != 0
    assert precious.read_bytes() == b"precious"
    assert not new.exists()
