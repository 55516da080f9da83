"""Scenarios as TOML: what is written is read back, and what is wrong is said in one line that names the place."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawproto.errors import ConfigError
from rawproto.link.forgery import FORGERIES
from rawproto.link.impairment import Impairment
from rawproto.link.script import KINDS, Event
from rawproto.sim import scenario_toml
from rawproto.sim.quantities import parse_rate, parse_size, parse_time, time_text
from rawproto.sim.scenario import TOPOLOGIES, Party, Road, Scenario, Talk
from rawproto.sim.scenario_toml import TABLES, dump, load, load_file
from rawproto.transport.config import SECOND, SWITCHES, Config

LEAST = 'name = "n"\n[[connection]]\n'
TIMES = st.integers(0, 1 << 62)
SHARES = st.floats(0, 1)


def optional(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=strategies)


IMPAIRMENTS = optional(
    loss=SHARES,
    burst_start=SHARES,
    burst_stop=st.floats(0.01, 1),
    corrupt=SHARES,
    corrupt_bits=st.integers(1, 100),
    truncate=SHARES,
    duplicate_delay_ns=TIMES,
    delay_ns=TIMES,
    jitter_ns=TIMES,
    jitter_keeps_order=st.booleans(),
    rate_bps=st.none() | st.integers(1, 1 << 40),
).map(lambda given: Impairment(**given))
ROADS = optional(
    topology=st.sampled_from(TOPOLOGIES),
    delay_ns=TIMES,
    mtu=st.integers(124, 9000),
    rate_bps=st.integers(1, 1 << 40),
    queue_bytes=st.integers(1, 1 << 30),
    impairment=IMPAIRMENTS,
).map(lambda given: Road(**given))
WRITES = st.lists(st.sampled_from(["send 3000", "send 16 by 1", "wait 250 ms", "await end", "shutdown", "abort"]))
READS = st.lists(st.sampled_from(["read all", "read 100", "wait 1.5 s"]))
PARTIES = st.builds(Party, WRITES.map(tuple), READS.map(tuple))
TALKS = optional(
    client=PARTIES,
    server=PARTIES,
    kind=st.sampled_from(["stream", "records", "datagrams"]),
    start_ns=TIMES,
    client_port=st.integers(0, 65535),
    again=st.booleans(),
).map(lambda given: Talk(**given))


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from([kind for kind in KINDS if kind != "rebind"]))
    values: dict[str, Any] = {"kind": kind, "side": draw(st.sampled_from(["client", "server"]))}
    for name in KINDS[kind]:
        if name == "what":
            values[name] = draw(st.sampled_from(sorted(FORGERIES)))
        else:
            least = 1 if name == "packet" else -(1 << 62) if (kind, name) == ("jump", "for_ns") else 0
            values[name] = draw(st.integers(least, 1 << 62))
    return Event(**values)


SETTINGS = optional(
    **{name: st.booleans() for name in SWITCHES},
    checksum=st.sampled_from(["crc32", "internet", "none"]),
    congestion_control=st.sampled_from(["cubic", "none", "bbr"]),
    initial_rto=st.integers(1, 1 << 50),
    user_timeout=st.integers(1, 1 << 50),
    receive_buffer=st.integers(1, 0xFFFF_FFFF),
    initial_window=st.integers(1, 1000),
)


def whole(*values: Any) -> Scenario | None:
    """The scenario, if it can be: buffers may be too small for its records."""
    with suppress(ConfigError):
        return Scenario(*values)
    return None


SCENARIOS = st.builds(
    whole,
    st.text(),
    st.lists(TALKS, min_size=1, max_size=3).map(tuple),
    st.lists(events(), max_size=4).map(tuple),
    SETTINGS,
    ROADS,
    TIMES,
    st.text() | st.text(alphabet='ab"\\\n '),
).filter(lambda scenario: scenario is not None)


# -- there and back ----------------------------------------------------------------------------------------------------


@given(SCENARIOS)
def test_what_is_written_is_read_back(scenario: Scenario) -> None:
    assert load(dump(scenario)) == scenario


@given(st.integers(-(10**21), 10**21))
def test_times_are_exact(time_ns: int) -> None:
    assert parse_time(time_text(time_ns)) == time_ns


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [(0, "0 s"), (1, "1 ns"), (1_500, "1.5 us"), (-5 * SECOND, "-5 s"), (SECOND + 1, "1.000000001 s")],
)
def test_times_are_written_short(time_ns: int, text: str) -> None:
    assert time_text(time_ns) == text


def test_sizes_and_rates_may_be_texts() -> None:
    assert (parse_size("64 KiB"), parse_rate("10 Mbit/s"), parse_rate("1.5 kbit")) == (65_536, 10**7, 1500)
    text = LEAST.replace("[[", '[settings]\nreceive_buffer = "8 KiB"\n[road]\nrate = "10 Mbit/s"\n[[')
    scenario = load(text)
    assert scenario.settings == {"receive_buffer": 8192}
    assert scenario.road == Road(rate_bps=10**7)


def test_the_shape_of_a_file() -> None:
    text = """
        name = "one old SYN"
        text = "why"
        until = "20 s"
        [settings]
        handshake = false
        initial_rto = "500 ms"
        [road]
        topology = "nat"
        delay = "5 ms"
        loss = 0.1
        jitter = "3 ms"
        reorder = 0.05
        reorder_delay = "5 ms"
        impairment_delay = "1 ms"
        [[connection]]
        kind = "records"
        start = "1 s"
        client = { writes = ["send 3000", "shutdown"], reads = ["read all"] }
        [[event]]
        kind = "duplicate"
        packet = 1
        for = "5 s"
        [[event]]
        kind = "jump"
        side = "server"
        start = "250 us"
        for = "-1 s"
    """
    faults = Impairment(loss=0.1, jitter_ns=3_000_000, reorder=0.05, reorder_delay_ns=5_000_000, delay_ns=1_000_000)
    assert load(text) == Scenario(
        "one old SYN",
        (Talk(Party(("send 3000", "shutdown")), kind="records", start_ns=SECOND),),
        (Event("duplicate", packet=1, for_ns=5 * SECOND), Event("jump", "server", start_ns=250_000, for_ns=-SECOND)),
        {"handshake": False, "initial_rto": SECOND // 2},
        Road("nat", 5_000_000, impairment=faults),
        20 * SECOND,
        "why",
    )


def test_every_field_has_a_key_of_its_own() -> None:
    for table, kinds in {
        "": (Scenario,),
        "[settings]": (Config,),
        "[road]": (Road, Impairment),
        "[[connection]]": (Talk,),
        "client, server": (Party,),
        "[[event]]": (Event,),
    }.items():
        keys = TABLES[table]
        values = [field.name for kind in kinds for field in fields(kind)]
        nested = {"talks", "events", "settings", "road", "impairment", "client", "server"}
        assert [key.field for key in keys] == [name for name in values if name not in nested]
        assert len({key.name for key in keys}) == len(keys)


def test_times_and_sizes_of_the_settings_are_known_as_such() -> None:
    kinds = {key.name: key.kind for key in TABLES["[settings]"]}
    plain = [name for name, kind in kinds.items() if kind is scenario_toml.WHOLE]
    assert plain == [
        "sequence_bits", "max_ranges", "max_replies", "max_datagrams", "packet_threshold", "keep_alive_count",
        "initial_window",
    ]  # fmt: skip


# -- what is wrong -----------------------------------------------------------------------------------------------------

EVENT = LEAST + "[[event]]\n"
ROAD = LEAST + "[road]\n"

WRONG = {
    "no name": ("[[connection]]", 'it has no name: give one, such as name = "one loss"'),
    "no connection": ('name = "n"', "there is no connection: give one with [[connection]]"),
    "empty list": ('name = "n"\nconnection = []', "n: there is no connection: give one or more"),
    "syntax": ('name = "n"\nroad', "this is not TOML: Expected '=' after a key in a key/value pair (at "),
    "twice": ('name = "n"\nname = "m"', "this is not TOML: Cannot overwrite a value (at "),
    "digits": ("name = 1" + "0" * 5000, "this is not TOML: Exceeds the limit"),
    "depth": ("name = " + "[" * 100_000, "this is nested too deeply"),
    "unknown": ("nane = 1\n" + LEAST, "there is no key 'nane'; did you mean name?"),
    "unknown table": (LEAST + "[[events]]", "there is no key 'events'; did you mean event?"),
    "elsewhere": (LEAST + "loss = 0.1", "[[connection]] 1: there is no key 'loss'; it belongs to [road]"),
    "far off": (
        "zzz = 1\n" + LEAST,
        "there is no key 'zzz'; there are: name, until, text, settings, road, connection, event",
    ),
    "name": (LEAST.replace('"n"', "5"), "name is 5; it must be a text in quotes"),
    "no unit": ('until = "5"\n' + LEAST, "until is '5'; it must be a text with its unit"),
    "number for time": ("until = 5\n" + LEAST, "until is 5; it must be a text with its unit"),
    "negative": ('until = "-5 s"\n' + LEAST, "until is '-5 s'; it must be a text with its unit"),
    "unit": ('until = "5 hours"\n' + LEAST, "until is '5 hours'; it must be a text with its unit"),
    "half a nanosecond": ('until = "0.5 ns"\n' + LEAST, "until is '0.5 ns'"),
    "long": (f'until = "{"x" * 5000}"\n' + LEAST, "x...; it must be a text"),
    "date": ("until = 1979-05-27\n" + LEAST, "until is 1979-05-27; it must be"),
    "settings": ("settings = 5\n" + LEAST, "[settings]: it is 5; it must be a table"),
    "setting": (LEAST + "[settings]\nhandshak = 1", "[settings]: there is no key 'handshak'; did you mean handshake?"),
    "switch": (LEAST + "[settings]\nsack = 1", "[settings]: sack is 1; it must be true or false"),
    "whole": (
        LEAST + "[settings]\ninitial_window = true",
        "[settings]: initial_window is true; it must be a whole number",
    ),
    "range": (LEAST + '[settings]\nmin_rto = "0 s"', "[settings]: min_rto is 0; it must be at least 1"),
    "control": (
        LEAST + '[settings]\ncongestion_control = "cubik"',
        "[settings]: congestion_control is 'cubik'; it must be",
    ),
    "road": (LEAST + "[[road]]", "[road]: it is a list; it must be a table"),
    "with _ns": (ROAD + "delay_ns = 5", "[road]: there is no key 'delay_ns'; did you mean delay?"),
    "share": (ROAD + 'loss = "10%"', "[road]: loss is '10%'; it must be a number from 0.0 to 1.0"),
    "nan": (ROAD + "loss = nan", "[road]: loss is nan: give a probability from 0.0 to 1.0"),
    "rate": (ROAD + 'rate = "10 MB"', "[road]: rate is '10 MB'; it must be bits a second"),
    "no rate": (ROAD + "rate = 0", "[road]: rate is 0; it must be bits a second"),
    "mtu": (ROAD + "mtu = -1", "[road]: mtu is -1; it must be bytes"),
    "topology": (ROAD + 'topology = "ring"', "[road]: topology is 'ring'; it must be one of: direct, dumbbell"),
    "queue": (ROAD + 'queue = "codel"', "[road]: a queue without rate never fills"),
    "company": (ROAD + "reorder = 0.5", "[road]: reorder is 0.5 but reorder_delay is 0: give 1 ns or more"),
    "alike": (
        ROAD + "impairment_queue_bytes = 5",
        "[road]: impairment_queue_bytes is 5 but impairment_rate is None: give",
    ),
    "one connection": ('name = "n"\n[connection]', "connection is one table: write [[connection]], in double brackets"),
    "connection": ('name = "n"\nconnection = 5', "connection is 5; it must be tables: write [[connection]]"),
    "connections": ('name = "n"\nconnection = [5]', "[[connection]] 1: it is 5; it must be a table"),
    "kind": (LEAST + 'kind = "carrier pigeon"', "[[connection]] 1: kind is 'carrier pigeon'; it must be one of"),
    "port": (LEAST + "client_port = 65536", "[[connection]] 1: client_port is 65536, start 0: give 0 or more"),
    "client": (LEAST + "client = 5", "[[connection]] 1 client: it is 5; it must be a table"),
    "clients": (LEAST + "cliemt = {}", "[[connection]] 1: there is no key 'cliemt'; did you mean client?"),
    "party": (
        LEAST + "client = { write = [] }",
        "[[connection]] 1 client: there is no key 'write'; did you mean writes?",
    ),
    "list": (
        LEAST + 'client = { writes = "shutdown" }',
        "[[connection]] 1 client: writes is 'shutdown'; it must be a list",
    ),
    "lists": (
        LEAST + "client = { writes = [5] }",
        "[[connection]] 1 client: writes is a list; it must be a list of texts",
    ),
    "step": (
        LEAST + 'client = { writes = ["sned 5"] }',
        "[[connection]] 1 client: 'sned 5' is no step; those are: send N",
    ),
    "place": (LEAST + 'server = { reads = ["abort"] }', "[[connection]] 1 server: 'abort' can't stand among the reads"),
    "event": (EVENT, '[[event]] 1: it has no kind: give one, such as kind = "drop"'),
    "event kind": (EVENT + 'kind = "dorp"', "[[event]] 1: there is no event 'dorp'; there are: drop, duplicate"),
    "second": (
        EVENT + 'kind = "drop"\npacket = 1\n[[event]]\nkind = "drop"',
        "[[event]] 2: drop: packet is 0; the first",
    ),
    "side": (
        EVENT + 'kind = "drop"\npacket = 1\nside = "left"',
        "[[event]] 1: drop: side is 'left'; it must be client or",
    ),
    "not its field": (
        EVENT + 'kind = "drop"\npacket = 1\nfor = "1 s"',
        "[[event]] 1: drop has no for; it takes: side, packet",
    ),
    "its fields": (EVENT + 'kind = "restart"\nat = 1', "[[event]] 1: restart has no at; it takes: side, start"),
    "backward": (
        EVENT + 'kind = "delay"\npacket = 1\nfor = "-1 s"',
        "[[event]] 1: delay: for is -1000000000; give a whole",
    ),
    "forgery": (EVENT + 'kind = "forge"\npacket = 1', "[[event]] 1: forge: what is ''; it must be one of: blind-data"),
    "rebind": (EVENT + 'kind = "rebind"', "n: rebind needs the topology nat"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_in_one_line(wrong: str) -> None:
    text, expected = WRONG[wrong]
    with pytest.raises(ConfigError) as caught:
        load(text, "x.toml")
    said = str(caught.value)
    assert said.startswith("x.toml: ")
    assert expected in said
    assert "\n" not in said
    assert len(said) < 300


def test_a_line_is_named_where_the_syntax_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"line 3"):
        load('name = "n"\n\nroad = = 5\n\n')


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(
        ["5", '"x"', '"5 s"', "true", "0.5", "nan", "-1", "1979-05-27", "07:32:00", '"send 5"', "{}", "[]"]
    ),
    lambda inner: st.lists(inner, max_size=2).map(lambda values: f"[{', '.join(values)}]"),
    max_leaves=4,
)
NAMES = sorted({key.name for keys in TABLES.values() for key in keys} | {"client", "server", "x", "settings"})


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "[settings]", "[road]", "[[connection]]", "[[event]]", "[connection]", "[[road]]"]),
            st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=4),
        ),
        max_size=5,
    )
)
def test_junk_is_refused_in_one_line_or_it_is_a_scenario(tables: list[tuple[str, dict[str, str]]]) -> None:
    lines = ['name = "n"']
    for head, values in tables:
        lines += [head, *(f"{name} = {value}" for name, value in values.items())]
    try:
        scenario = load("\n".join(lines), "x.toml")
    except ConfigError as error:
        assert re.fullmatch(r"x\.toml: .+", str(error))
    else:
        assert load(dump(scenario)) == scenario


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "x.toml").write_text('name = "é"\r\n[[connection]]\r\n', encoding=encoding)
        assert load_file(tmp_path / "x.toml") == Scenario("é")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "can't read it: No such file or directory; give a scenario in TOML"),
        (lambda path: path.mkdir(), "can't read it: Is a directory; give a scenario in TOML"),
        (lambda path: path.symlink_to("/dev/zero"), "it has more than 1 MiB: give a scenario in TOML"),
        (lambda path: path.symlink_to("/dev/null"), "it has no name: give one"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "can't read it: it is not in UTF-8; give a scenario in TOML"),
        (lambda path: path.write_bytes(b"#" * (2 << 20)), "it has more than 1 MiB: give a scenario in TOML"),
        (lambda path: path.write_bytes(b"x"), "this is not TOML: "),
    ],
)
def test_a_file_that_can_not_be_read(tmp_path: Path, make: Any, problem: str) -> None:
    path = tmp_path / "x.toml"
    make(path)
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{path}: {problem}')}"):
        load_file(path)


@pytest.mark.parametrize("step", ["wait inf s", "wait -5 s", "wait 5", "wait 0.5 ns", "wait 1 hour"])
def test_a_wait_that_can_not_be_is_refused(step: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{step!r} is no step; those are:")):
        load(LEAST + f'client = {{ writes = ["{step}"] }}')
