"""Scenarios as TOML files: `load` gives the `Scenario` that `dump` wrote, equal in every field.

A file says what a `Scenario` holds, in the same words: the keys are the names of the fields, but times are texts with
their unit ("10 ms"), and so their keys have no "_ns". What is left out is as in the dataclass. Whatever is wrong with a
file is one ConfigError of one line: the file, the table, the key, and what would be right.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tomlkit
from tomlkit.items import AbstractTable, Item, Table

from rawproto.errors import ConfigError
from rawproto.link.impairment import Impairment
from rawproto.link.script import Event
from rawproto.sim.quantities import parse_rate, parse_size, parse_time, time_text
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.transport import congestion
from rawproto.transport.config import Config

__all__ = ["TABLES", "Key", "dump", "event_keys", "load", "load_file"]

Made = TypeVar("Made")

LARGEST_FILE = 1 << 20
LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Kind:
    """How the values of a key are written: `read` raises ValueError, `write` gives what TOML can hold."""

    wanted: str
    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a table: the field that it stands for, and how its values are written."""

    name: str
    field: str
    kind: Kind


def _of(*types: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) not in types:
            raise ValueError
        return value

    return read


def _text_or_whole(parse: Callable[[str], int], least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = parse(value) if type(value) is str else value
        if type(number) is not int or number < least:
            raise ValueError
        return number

    return read


def _read_signed_time(value: Any) -> int:
    if type(value) is not str:
        raise ValueError
    return parse_time(value)


def _read_time(value: Any) -> int:
    time_ns = _read_signed_time(value)
    if time_ns < 0:
        raise ValueError
    return time_ns


def _read_texts(value: Any) -> tuple[str, ...]:
    if type(value) is not list or any(type(text) is not str for text in value):
        raise ValueError
    return tuple(value)


def _write_text(text: str) -> Item | str:
    """Over several lines, if it has them and needs no escapes for anything else."""
    lines = text.split("\n")
    return tomlkit.string(text, multiline=True) if len(lines) > 1 and all(map(str.isprintable, lines)) else text


TEXT = Kind("a text in quotes", _of(str), _write_text)
SWITCH = Kind("true or false", _of(bool))
WHOLE = Kind("a whole number", _of(int))
SHARE = Kind("a number from 0.0 to 1.0", _of(float, int))
TIME = Kind('a text with its unit, such as "10 ms", "250 us" or "1.5 s"', _read_time, time_text)
SIGNED_TIME = replace(TIME, read=_read_signed_time)
SIZE = Kind('bytes: a whole number, or a text such as "64 KiB"', _text_or_whole(parse_size, 0))
RATE = Kind('bits a second: a whole number, or a text such as "10 Mbit/s"', _text_or_whole(parse_rate, 1))
TEXTS = Kind('a list of texts, such as ["send 3000", "shutdown"]', _read_texts, list)

CONFIG_TIMES = (
    "initial_rto", "min_rto", "max_rto", "ack_delay", "user_timeout", "connect_timeout", "keep_alive_idle",
    "keep_alive_interval", "msl", "cookie_lifetime",
)  # fmt: skip
CONFIG_SIZES = ("send_buffer", "receive_buffer", "segment_size", "max_record", "base_mtu")
SIZES = ("mtu", "queue_bytes", *CONFIG_SIZES)
KINDS: Mapping[str, Kind] = {"str": TEXT, "bool": SWITCH, "float": SHARE, "int": WHOLE}


def _key(field: Field[Any], prefix: str = "") -> Key:
    """The key of a field whose type is a plain one."""
    name = str(field.name)
    if name == "for_ns":
        kind = SIGNED_TIME  # a clock jumps forward or backward
    elif name.endswith("_ns") or name in CONFIG_TIMES:
        kind = TIME
    elif name == "rate_bps":
        kind = RATE
    elif name in SIZES:
        kind = SIZE
    elif name in ("writes", "reads"):
        kind = TEXTS
    else:
        kind = KINDS[str(field.type)]
    return Key(prefix + name.removesuffix("_ns").removesuffix("_bps"), name, kind)


def _keys(kind: type, *without: str) -> tuple[Key, ...]:
    return tuple(_key(field) for field in fields(kind) if field.name not in without)


SCENARIO = _keys(Scenario, "talks", "events", "settings", "road")
SETTINGS = _keys(Config)
ROAD = _keys(Road, "impairment")
TWICE = {key.field for key in ROAD}
"""Fields of Road that Impairment has, too: the delay and the rate of the line, and those of a bad link on it."""
IMPAIRMENT = tuple(_key(field, "impairment_" if field.name in TWICE else "") for field in fields(Impairment))
CONNECTION = _keys(Talk, "client", "server")
PARTY = _keys(Party)
EVENT = _keys(Event)

TABLES: Mapping[str, tuple[Key, ...]] = {
    "": SCENARIO,
    "[settings]": SETTINGS,
    "[road]": (*ROAD, *IMPAIRMENT),
    "[[connection]]": CONNECTION,
    "client, server": PARTY,
    "[[event]]": EVENT,
}
"""The keys of each table, by how that is written."""

PLACES = ("settings", "road", "connection", "event")


# -- reading -----------------------------------------------------------------------------------------------------------


def load_file(path: str | os.PathLike[str]) -> Scenario:
    """Read the scenario in a file. Raises ConfigError, for a file that can't be read as well."""
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: of the name, or of the text
        reason = "it is not in UTF-8" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None)
        raise ConfigError(f"{path}: can't read it: {reason or error}; give a scenario in TOML") from None
    if len(data) > LARGEST_FILE:
        raise ConfigError(f"{path}: it has more than 1 MiB: give a scenario in TOML")
    return load(text, str(path))


def load(text: str, source: str = "scenario") -> Scenario:
    """Read a scenario. `source` is what errors call it. Raises ConfigError."""
    try:
        table = tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(f"{source}: this is not TOML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{source}: this is nested too deeply to be a scenario") from None
    return Reader(source).scenario(table)


class Reader:
    """Makes values of the tables of one file."""

    def __init__(self, source: str) -> None:
        self._source = source

    def scenario(self, table: dict[str, Any]) -> Scenario:
        """The whole file."""
        settings, road, talks, events = (table.pop(place, None) for place in PLACES)
        given = self._given("", table, SCENARIO, PLACES)
        if "name" not in given:
            self._fail("", 'it has no name: give one, such as name = "one loss"')
        if talks is None:
            self._fail(
                "", 'there is no connection: give one with [[connection]], such as client = { writes = ["send 3000"] }'
            )
        given["talks"] = tuple(self._talk(place, talk) for place, talk in self._several("connection", talks))
        given["events"] = tuple(self._event(place, event) for place, event in self._several("event", events or []))
        if settings is not None:
            given["settings"] = self._settings(settings)
        if road is not None:
            given["road"] = self._road(road)
        return self._made("", Scenario, given, SCENARIO)

    def _settings(self, table: Any) -> dict[str, Any]:
        place = "[settings]"
        given = self._given(place, self._table(place, table), SETTINGS)
        self._made(place, Config, given, SETTINGS)
        control = given.get("congestion_control", "none")
        if ":" not in control and control not in congestion.names():
            known = ", ".join(congestion.names())
            self._fail(place, f"congestion_control is {control!r}; it must be one of: {known}, or module:Class")
        return given

    def _road(self, table: Any) -> Road:
        place = "[road]"
        keys = TABLES[place]
        given = self._given(place, self._table(place, table), keys, by_key=True)
        mine = {key.field: given[key.name] for key in ROAD if key.name in given}
        faults = {key.field: given[key.name] for key in IMPAIRMENT if key.name in given}
        impairment = self._made(place, Impairment, faults, IMPAIRMENT)
        return self._made(place, Road, {**mine, "impairment": impairment}, ROAD)

    def _talk(self, place: str, table: dict[str, Any]) -> Talk:
        parties = {side: table.pop(side) for side in ("client", "server") if side in table}
        given = self._given(place, table, CONNECTION, ("client", "server"))
        for side, party in parties.items():
            inside = f"{place} {side}"
            given[side] = self._made(inside, Party, self._given(inside, self._table(inside, party), PARTY), PARTY)
        return self._made(place, Talk, given, CONNECTION)

    def _event(self, place: str, table: dict[str, Any]) -> Event:
        given = self._given(place, table, EVENT)
        if "kind" not in given:
            self._fail(place, 'it has no kind: give one, such as kind = "drop"')
        return self._made(place, Event, given, EVENT)

    def _several(self, name: str, tables: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """The tables of that name, each with its place: "[[event]] 2"."""
        if type(tables) is dict:
            self._fail("", f"{name} is one table: write [[{name}]], in double brackets")
        if type(tables) is not list:
            self._fail("", f"{name} is {_shown(tables)}; it must be tables: write [[{name}]]")
        for number, table in enumerate(tables, 1):
            place = f"[[{name}]] {number}"
            yield place, self._table(place, table)

    def _table(self, place: str, value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            self._fail(place, f"it is {_shown(value)}; it must be a table")
        table: dict[str, Any] = value
        return table

    def _given(
        self, place: str, table: dict[str, Any], keys: Sequence[Key], more: Sequence[str] = (), *, by_key: bool = False
    ) -> dict[str, Any]:
        """The values in `table`, by field or by key. `more` are the names of what else may stand there."""
        known = {key.name: key for key in keys}
        given = {}
        for name, value in table.items():
            if name not in known:
                self._fail(place, _unknown(name, [*known, *more]))
            key = known[name]
            try:
                given[name if by_key else key.field] = key.kind.read(value)
            except ValueError:
                self._fail(place, f"{name} is {_shown(value)}; it must be {key.kind.wanted}")
        return given

    def _made(self, place: str, kind: Callable[..., Made], given: Mapping[str, Any], keys: Sequence[Key]) -> Made:
        try:
            return kind(**given)
        except ConfigError as error:
            names = {key.field: key.name for key in keys}
            self._fail(place, re.sub(r"[a-z_]+", lambda word: names.get(word[0], word[0]), str(error)))

    def _fail(self, place: str, problem: str) -> NoReturn:
        raise ConfigError(": ".join(part for part in (self._source, place, problem) if part)) from None


def _unknown(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name.lower(), known, 3, 0.6)
    places = [place or "the top" for place, keys in TABLES.items() if name in {key.name for key in keys}]
    if places:
        hint = f"it belongs to {' or '.join(places)}"
    else:
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}"
    return f"there is no key {_shown(name)}; {hint}"


def _shown(value: Any) -> str:
    if type(value) in (dict, list):
        return "a table" if type(value) is dict else "a list"
    try:
        text = str(value).lower() if type(value) is bool else repr(value) if type(value) is str else str(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


# -- writing -----------------------------------------------------------------------------------------------------------


def dump(scenario: Scenario) -> str:
    """Write a scenario: what is as in the dataclass is left out."""
    document = tomlkit.document()
    _write(document, scenario, SCENARIO, always=("name", "until"))
    if scenario.settings:
        settings = tomlkit.table()
        for key in SETTINGS:
            if key.field in scenario.settings:
                settings[key.name] = key.kind.write(scenario.settings[key.field])
        document["settings"] = settings
    road = tomlkit.table()
    _write(road, scenario.road, ROAD)
    _write(road, scenario.road.impairment, IMPAIRMENT)
    if road:
        document["road"] = road
    document["connection"] = _aot(map(_talk_table, scenario.talks))
    if scenario.events:
        document["event"] = _aot(map(_event_table, scenario.events))
    return tomlkit.dumps(document)


def _write(
    table: AbstractTable | tomlkit.TOMLDocument, value: Any, keys: Sequence[Key], always: Sequence[str] = ()
) -> None:
    defaults = {field.name: field.default for field in fields(value)}
    for key in keys:
        given = getattr(value, key.field)
        if key.name in always or given != defaults[key.field] or defaults[key.field] is MISSING:
            table[key.name] = key.kind.write(given)


def _aot(tables: Iterator[Table]) -> Item:
    array = tomlkit.aot()
    for table in tables:
        array.append(table)
    return array


def _talk_table(talk: Talk) -> Table:
    table = tomlkit.table()
    _write(table, talk, CONNECTION)
    for side, party in (("client", talk.client), ("server", talk.server)):
        if party != Party():
            inline = tomlkit.inline_table()
            _write(inline, party, PARTY, always=("writes", "reads"))
            table[side] = inline
    return table


def _event_table(event: Event) -> Table:
    table = tomlkit.table()
    table.update(event_keys(event))
    return table


def event_keys(event: Event) -> dict[str, Any]:
    """An event as its table says it: "for" is "5 s"."""
    given = event.as_dict()
    return {key.name: key.kind.write(given[key.field]) for key in EVENT if key.field in given}
