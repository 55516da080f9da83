"""The documents say what the code does: tables, examples and section numbers are held against it."""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

import rawproto
from rawproto.transport import arrival, congestion, pmtud
from rawproto.transport.codec import RdtCodec
from rawproto.transport.config import SWITCHES, Config
from rawproto.transport.recovery import Phase
from rawproto.transport.segment import Segment
from rawproto.transport.state import TRANSITIONS, Event, State
from rawproto.wire import rdt_format
from rawproto.wire.rdt import RDT
from rawproto.wire.rdt_format import Flags, OptionKind, Options, decode_options, encode_options

ROOT = Path(__file__).parent.parent
PACKAGE = Path(rawproto.__file__).parent
TEXT = (ROOT / "docs" / "rdt.md").read_text(encoding="utf-8")
PROSE = " ".join(TEXT.split())
UNITS = {"": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
QUOTED = re.compile(r"(?<!\w)'.+?'(?!\w)", re.DOTALL)
"""What another document says, in its own key words."""
ENDS = (Event.RESET, Event.ABORT, Event.GIVE_UP)


def after_mark(mark: str) -> str:
    """What follows the comment `mark` in the document; it must be there exactly once."""
    _, *rest = TEXT.split(f"<!-- {mark} -->\n")
    assert len(rest) == 1, f"docs/rdt.md has {len(rest)} marks <!-- {mark} -->"
    return rest[0]


def table(mark: str) -> list[list[str]]:
    """The rows of the table behind `mark`, without its head."""
    lines = re.match(r"(?:\|.*\n)+", after_mark(mark))
    assert lines, f"no table follows <!-- {mark} -->"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()]
    return rows[2:]


def block(mark: str) -> str:
    """The fenced block behind `mark`."""
    found = re.match(r"```\w*\n(.*?)^```$", after_mark(mark), re.DOTALL | re.MULTILINE)
    assert found, f"no fenced block follows <!-- {mark} -->"
    return found[1]


def test_crc_example() -> None:
    lines = block("crc-example").splitlines()
    datagram = bytes.fromhex("".join(re.match(r"(?:[0-9a-f]{2} )+", line)[0] for line in lines))  # type: ignore[index]
    _, words, flags, source, destination, plen_pn, seq, ack, wnd, crc = rdt_format.FIXED.unpack_from(datagram)
    header = words * 4
    assert len(datagram) == header + (plen_pn >> 48) == 75
    assert crc == crc32(datagram[40:], crc32(datagram[:36])) == rdt_format.datagram_crc(datagram)
    assert f"of bytes 0 to 35 is {crc32(datagram[:36]):#010x}" in PROSE
    assert f"it becomes {crc:#010x}" in PROSE and f"CRC-32 {crc:#010x}" in PROSE
    assert (flags, source, destination, plen_pn & 0xFFFF_FFFF_FFFF) == (Flags.ACK, 49152, 80, 7)
    assert (seq, ack, wnd, datagram[header:]) == (1001, 5001, 65535, b"RDT")
    options = decode_options(datagram[40:header])
    assert options == Options(sack=((1440, 2880), (4320, 5760)), seen=(12, 250))
    assert "6441 to 7881 and 9321 to 10761" in PROSE
    assert crc32(b"123456789") == 0xCBF43926


def test_states() -> None:
    documented: dict[State, dict[Event, State]] = {state: {} for state in State}
    for state, event, after, _ in table("states"):
        for one in State if state == "all but CLOSED" else (State(state),):
            if state != "all but CLOSED" or one is not State.CLOSED:
                assert Event(event) not in documented[one], f"{state}, {event}: twice"
                documented[one][Event(event)] = State(after)
    assert documented == TRANSITIONS


def test_state_diagram() -> None:
    found = re.findall(r"^    (\w+) --> (\w+): (.*)$", TEXT, re.MULTILINE)
    drawn = {(State[before], State[after], Event(event)) for before, after, event in found}
    assert len(drawn) == len(found)
    assert drawn == {
        (state, after, event)
        for state, events in TRANSITIONS.items()
        for event, after in events.items()
        if event not in ENDS
    }


def constant(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    return getattr(Config() if module == "Config" else importlib.import_module(f"rawproto.{module}"), attribute)


@pytest.mark.parametrize("row", table("constants") + table("neighbour-constants"), ids=lambda row: row[0].strip("`"))
def test_constant(row: list[str]) -> None:
    value = constant(row[0].strip("`"))
    number, _, unit = row[1].partition(" ")
    assert value == (int(number) * UNITS[unit] if number.isdigit() else row[1])


def test_every_setting_is_documented() -> None:
    numbers = [row[0].strip("`").removeprefix("Config.") for row in table("constants") if "`Config." in row[0]]
    switches = [row[0].strip("`") for row in table("mechanisms")]
    for names in (numbers, switches):
        assert len(names) == len(set(names))
    assert {*numbers, *switches} == set(Config.__dataclass_fields__)
    assert set(numbers) & set(switches) == {"congestion_control"}, "it has a default that is no switch, and an off"


@pytest.mark.parametrize("row", table("mechanisms"), ids=lambda row: row[0].strip("`"))
def test_mechanism(row: list[str]) -> None:
    switch, off, _, _, section = (cell.strip("`") for cell in row)
    changes: dict[str, Any] = {switch: {"False": False}.get(off, off)}
    assert replace(Config(), **changes)
    assert isinstance(getattr(Config(), switch), bool) is (off == "False")
    assert section.removeprefix("§") in dict(sections())


def test_every_switch_is_a_mechanism() -> None:
    assert {row[0].strip("`") for row in table("mechanisms")} == {*SWITCHES, "checksum", "congestion_control"}


def test_congestion_controls() -> None:
    assert sorted(row[0] for row in table("congestion-controls")) == congestion.names()


def test_phases_of_recovery() -> None:
    assert {row[0] for row in table("recovery-phases")} == {phase.value for phase in Phase if phase is not Phase.OPEN}


def test_phases_of_arrival() -> None:
    """Each has its paragraph, in the order in which a segment goes through them."""
    names = ["sequence", "RST", "SYN", "ACK", "payload", "FIN"]
    assert re.findall(r"^\*\*Phase (\d), (\w+)\.\*\*", TEXT, re.MULTILINE) == [
        (str(index + 1), name) for index, name in enumerate(names)
    ]
    assert [phase.__name__.rpartition("_")[2] for phase in arrival.PHASES] == [
        {"RST": "reset"}.get(name, name.lower()) for name in names
    ]


def test_common_sizes_of_packets() -> None:
    *sizes, last = map(str, pmtud.COMMON_MTUS)
    assert f"tries first are {', '.join(sizes)} and {last} bytes" in PROSE


def test_flags() -> None:
    assert [(name, int(value, 16)) for name, value, _ in table("flags")] == [(f.name, f.value) for f in Flags]


def test_options() -> None:
    assert [(int(kind), name) for kind, name, *_ in table("options")] == [(o.value, o.name) for o in OptionKind]


def lengths_in_words(text: str) -> set[int]:
    """The lengths that an option may have by the third column of the table of options."""
    if found := re.fullmatch(r"(\d+) \+ (\d+)n, n = (\d+)\.\.(\d+)", text):
        base, step, low, high = map(int, found.groups())
        return {base + step * n for n in range(low, high + 1)}
    first, _, last = text.partition("..")
    return set(range(int(first), int(last or first) + 1))


@pytest.mark.parametrize("row", table("options")[1:], ids=lambda row: row[1])
def test_option_lengths(row: list[str]) -> None:
    kind = int(row[0])
    values = {length: decode_options(bytes((kind, length)) + bytes(length - 2)).error for length in range(2, 256)}
    assert {length for length, error in values.items() if error != "option length"} == lengths_in_words(row[2])


@pytest.mark.parametrize("row", table("options")[1:], ids=lambda row: row[1])
def test_where_options_mean_something(row: list[str]) -> None:
    """With the flag that the fourth column names, and with that alone; a row that says "any" needs none."""
    field = row[1].lower()
    values: dict[str, Any] = {"sack": ((5, 9),), "seen": (1, 0), "dsack": (5, 4), "cookie": b"x"}
    given: dict[str, Any] = {field: values.get(field, 77)}
    options = encode_options(**given)
    heeded = set()
    for name, flag in (("ACK", Flags.ACK), ("SYN", Flags.SYN)):
        datagram = bytes(RDT(flags=flag, options=options)).ljust(77, b"\0")
        (segment,) = RdtCodec().decode([datagram], lambda reason, length: None)
        empty = Segment(0, 0, 0, 0)
        if getattr(segment, field) != getattr(empty, field):
            heeded.add(name)
    assert heeded == ({"ACK", "SYN"} if row[3] == "any" else {row[3].removeprefix("with ")})


def reasons(path: str) -> set[str]:
    """The reasons for discarding that the module at `path` can count.

    They are the strings given to a function called discard or refuse, used as a key of `discarded`, assigned to
    `error`, or returned by a function whose name says that it finds a fault, receives a message or opens a cookie.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[*arguments]) if re.search(
                r"discard|refuse", name
            ):
                found |= set().union(*map(strings, arguments))
            case ast.Subscript(value=ast.Attribute(attr="discarded"), slice=key):
                found |= strings(key)
            case ast.Assign(targets=[ast.Name(id="error")], value=value):
                found |= strings(value)
            case ast.FunctionDef(name=name) if re.search(r"fault|^receive$|receive_(arp|icmp)|^open$", name):
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Return) and inner.value is not None:
                        found |= strings(inner.value)
    return found - {""}


def strings(node: ast.expr) -> set[str]:
    """The string constants that the expression can have as its value; not those within a call or a comparison."""
    if isinstance(node, ast.IfExp):
        return strings(node.body) | strings(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


@pytest.mark.parametrize(
    ("mark", "counted_by", "paths"),
    [
        ("discards", "codec", ["transport/codec.py", "wire/rdt_format.py"]),
        ("discards", "endpoint", ["transport/endpoint.py", "transport/cookie.py", "transport/datagram.py"]),
        ("carrier-discards", "", ["link/carrier.py", "link/neighbor.py"]),
    ],
)
def test_discard_reasons(mark: str, counted_by: str, paths: list[str]) -> None:
    documented = [row[0] for row in table(mark) if row[1] == counted_by or not counted_by]
    assert len(documented) == len(set(documented))
    assert set(documented) == set().union(*(reasons(path) for path in paths))


def test_whole_connection() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block("connection-program"), "docs/rdt.md, appendix A", "exec"), {})
    assert printed.getvalue() == block("connection-output")


def sections() -> Iterator[tuple[str, str]]:
    """Number and text of each numbered section, its subsections not included."""
    parts = re.split(r"^##+ (\d+(?:\.\d+)*) .*$", TEXT, flags=re.MULTILINE)
    return zip(parts[1::2], parts[2::2], strict=True)


def test_contents() -> None:
    """They name every section and appendix, and each name leads to its heading."""
    links = re.findall(r"\[([^\]]+)\]\(#([^)]+)\)", " ".join(TEXT.partition("## 1 ")[0].split()))
    headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert [anchor for _, anchor in links] == [
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
    ]
    for (name, _), heading in zip(links, headings, strict=True):
        assert heading.startswith(name)


def retired() -> set[str]:
    """The numbers of statements that are gone, from the appendix."""
    return set(re.findall(r"\[(\d[\d.]*-\d+)\]", TEXT.partition("## Appendix B")[2]))


def test_each_statement_has_its_number() -> None:
    """In the section that it is in, counted from 1; those that are missing are listed as retired."""
    gone = retired()
    for number, text in sections():
        ids = re.findall(rf"^- \[({re.escape(number)}-\d+)\] ", text, re.MULTILINE)
        left = [f"{number}-{index + 1}" for index in range(len(ids) + len(gone))]
        assert ids == [one for one in left if one not in gone][: len(ids)], f"section {number}"
    assert not gone & set(re.findall(r"\[(\d[\d.]*-\d+)\]", TEXT.partition("## Appendix B")[0]))


def test_each_requirement_is_a_statement() -> None:
    """Nothing is required without a number, but where the key words are explained."""
    for number, text in sections():
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
        for part in re.split(r"\n\n|\n(?=- )", prose):
            if number != "1" and re.search(r"\b(MUST|SHOULD|MAY)\b(?!-)", QUOTED.sub("", part)):
                assert re.match(r"\s*- \[\d", part), f"section {number}, without a number: {part}"


def test_references_lead_somewhere() -> None:
    numbers = {number for number, _ in sections()}
    ids = set(re.findall(r"^- \[([\d.]+-\d+)\] ", TEXT, re.MULTILINE))
    assert set(re.findall(r"\[(\d[\d.]*-\d+)\]", TEXT)) <= ids | retired()
    others = r"(?:RFC \d+|draft-[\w-]+) §[\d.]+\d(?:(?:, | to )§[\d.]*\d)*"
    assert set(re.findall(r"§(\d+(?:\.\d+)*)", re.sub(others, "", PROSE))) <= numbers
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for named in re.findall(r"docs/rdt\.md §(\d+(?:\.\d+)*)", text):
            assert named in numbers, f"{path} refers to §{named}"
        for named in re.findall(r"docs/rdt\.md \[(\d[\d.]*-\d+)\]", text):
            assert named in ids, f"{path} refers to [{named}]"
